"""What the ledger knows of each request."""

import hashlib

import pytest

from qwennb.simulator import Reply, RequestLog, content_key

from .wire import KEY, ask, get, raw, valid


def test_a_request_is_written_down_as_it_was_read(start):
    sim = start("dashscope")
    ask(sim, temperature=0.5, frequency_penalty=1, chat_template_kwargs={"enable_thinking": False})
    entry = sim.ledger.last()
    assert (entry.method, entry.path, entry.status) == ("POST", "/compatible-mode/v1/chat/completions", 200)
    assert entry.body["temperature"] == 0.5
    assert {"temperature", "messages.content"} <= entry.read
    assert entry.ignored == {"frequency_penalty", "chat_template_kwargs"}
    assert entry.answer.endswith("Ada.")
    assert entry.seconds >= 0


def test_the_silently_ignored_list_of_dashscope(start):
    sim = start("dashscope")
    names = "frequency_penalty logit_bias max_completion_tokens metadata prediction prompt_cache_key reasoning_effort"
    ask(sim, **dict.fromkeys([*names.split(), "service_tier", "store", "verbosity"], "x"))
    assert sim.ledger.last().ignored == {*names.split(), "service_tier", "store", "verbosity"}


def test_fields_inside_fields_are_told_apart(start):
    sim = start("ollama")
    ask(sim, reasoning={"effort": "none", "max_tokens": 5})
    entry = sim.ledger.last()
    assert "reasoning.effort" in entry.read
    assert "reasoning.max_tokens" in entry.ignored
    sim = start("mlx-vlm")
    parts = [{"type": "image_url", "image_url": {"url": "https://example.org/a.png", "detail": "low"}}]
    ask(sim, messages=[{"role": "user", "content": parts}], stop=["x"], n=2, max_completion_tokens=5)
    assert sim.ledger.last().ignored == {
        "messages.content.image_url.detail",
        "stop",
        "n",
        "max_completion_tokens",
    }
    sim = start("sglang")
    ask(sim, messages=[{"role": "user", "content": "Hi", "name": "Ada"}], add_generation_prompt=True)
    assert sim.ledger.last().ignored == {"messages.name", "add_generation_prompt"}


def test_the_key_is_never_in_the_ledger(start):
    sim = start("openrouter")
    ask(sim, headers={"x-api-key": KEY, "x-title": "mine"})
    told = repr(sim.ledger.entries())
    assert KEY not in told
    digest = hashlib.sha256(f"Bearer {KEY}".encode()).hexdigest()
    assert sim.ledger.last().headers["authorization"] == f"sha256:{digest}"
    assert sim.ledger.last().headers["x-title"] == "mine"


def test_the_same_content_is_one_question_however_it_is_asked(start):
    sim = start("vllm")
    ask(sim)
    ask(sim, stream=True, stream_options={"include_usage": True})
    ask(sim, seed=3)
    entries = sim.ledger.paid()
    assert entries[0].key == entries[1].key != entries[2].key
    assert (sim.ledger.count("paid"), sim.ledger.unique) == (3, 2)
    assert sim.ledger.duplicates == {entries[0].key: 1}
    assert content_key({"b": 1, "a": [2]}) == content_key({"a": [2], "b": 1})


def test_whoever_has_an_answer_finds_it_counted(start):
    sim = start("vllm", script=lambda asked: "word " * (1 if asked.index % 2 else 4000))
    for n in range(1, 60):
        ask(sim, stream=n % 3 == 0)
        assert sim.ledger.count("paid") == n
        assert sim.ledger.in_flight == 0


def test_a_caller_who_hangs_up_has_not_paid(start):
    sim = start("vllm", script=lambda _: Reply("late", delay=30))
    plug = raw(sim, valid("vllm"), read=False)
    sim.ledger.wait_for(1, "asked")
    assert sim.ledger.in_flight == 1
    assert sim.ledger.last().outcome == "open"
    plug.close()
    sim.ledger.wait_for(1, "abandoned")
    assert sim.ledger.count("paid") == 0
    assert sim.ledger.in_flight == 0


def test_what_is_no_question_is_no_answer(start):
    sim = start("vllm")
    get(sim, "/version")
    assert (sim.ledger.count("arrived"), sim.ledger.count("asked"), sim.ledger.count("paid")) == (1, 0, 0)
    assert sim.ledger.count("status 200") == 1
    assert [entry.path for entry in sim.ledger.entries("/version")] == ["/version"]


def test_the_most_in_flight_is_kept(start):
    sim = start("vllm", latency=60.0)
    callers = [raw(sim, valid("vllm"), read=False) for _ in range(5)]
    sim.ledger.wait_for(5, "asked")
    for caller in callers:
        caller.close()
    sim.ledger.wait_for(5, "abandoned")
    assert (sim.ledger.in_flight, sim.ledger.peak) == (0, 5)


def test_waiting_ends_in_time_and_says_what_it_saw():
    with pytest.raises(TimeoutError, match=r"waited 0\.01 s for 2 paid; counted 0"):
        RequestLog().wait_for(2, "paid", timeout=0.01)


def test_clear_counts_from_nought_again(start):
    sim = start("vllm", script=["one"])
    ask(sim)
    sim.ledger.clear()
    assert sim.ledger.entries() == []
    ask(sim)
    assert sim.ledger.last().index == 0


def test_only_the_last_entries_are_kept_and_all_are_counted():
    ledger = RequestLog(keep=3)
    for _ in range(10):
        ledger.close(ledger.open("GET", "/", {}), "delivered")
    assert [entry.index for entry in ledger.entries()] == [7, 8, 9]
    assert ledger.count("delivered") == 10
