"""A question asked once is answered, remembered and never lost."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time

import pydantic
import pytest

from qwennb import Answer, Qwen
from qwennb.client import Options, QwenWarning
from qwennb.client.runtime import runtime
from qwennb.errors import (
    BadInput,
    BudgetExceeded,
    Incomplete,
    InvalidAnswer,
    KeyRefused,
    NotRecorded,
    RateLimited,
    RequestRefused,
    ServerFailed,
    Stopped,
    TemplateError,
    TimedOut,
    UnknownModel,
    UnsupportedOption,
    WindowExceeded,
)
from qwennb.request import Message, Request, Text
from qwennb.simulator import Fault, Quota, Reply
from tests.conftest import NAMES


def test_an_answer_knows_what_it_is(simulate, client):
    sim = simulate()
    answer = client(sim).ask("Summarise {{ doc }}", doc="a {{ b }} text", max_tokens=50)
    assert "a {{ b }} text" in str(answer)
    assert (answer.model, answer.endpoint, answer.finish_reason) == ("qwen3.5-flash", "openrouter", "stop")
    assert answer.usage.input and answer.usage.output
    assert answer.cost == pytest.approx(sim.ledger.last().usage["cost"])
    assert answer.cost.source == "server" and not answer.cached and answer.attempts == 1
    assert len(answer.key) == 64


@pytest.mark.parametrize("dialect", NAMES)
def test_the_same_question_is_asked_once(simulate, client, dialect):
    sim = simulate(dialect)
    first = client(sim).ask("Why?")
    again = client(sim).ask("Why?")
    assert again == first and again.cached and not first.cached
    assert sim.ledger.count("asked") == 1


def test_another_process_folder_or_endpoint_does_not_share(simulate, client, tmp_path):
    sim, other = simulate("openrouter"), simulate("dashscope")
    client(sim).ask("Why?")
    client(sim, cache_dir=tmp_path / "elsewhere").ask("Why?")
    client(other).ask("Why?")
    assert (sim.ledger.count("asked"), other.ledger.count("asked")) == (2, 1)


def test_refresh_asks_again_and_keeps_the_newer(simulate, client):
    sim = simulate(script=["old", "new"])
    qwen = client(sim)
    assert str(qwen.ask("Why?")) == "old"
    assert str(qwen.ask("Why?", cache="refresh")) == "new"
    assert str(qwen.ask("Why?")) == "new"


def test_off_neither_recalls_nor_keeps(simulate, client):
    sim = simulate(script=["one", "two", "three"])
    qwen = client(sim)
    assert [
        str(qwen.ask("Why?", cache="off")),
        str(qwen.ask("Why?", cache="off")),
        str(qwen.ask("Why?")),
    ] == ["one", "two", "three"]


def test_replay_serves_any_endpoints_answer_and_opens_no_socket(simulate, client, tmp_path):
    sim = simulate("dashscope")
    recorded = client(sim).ask("Why?", model="plus")
    sim.stop()
    replayed = Qwen(cache="replay", cache_dir=tmp_path / "cache").ask("Why?", model="plus")
    assert replayed == recorded
    # Without a model, the one that was asked here is meant.
    assert Qwen(cache="replay", cache_dir=tmp_path / "cache").ask("Why?") == recorded


def test_a_miss_in_replay_names_the_request_and_the_command_that_records_it(tmp_path):
    qwen = Qwen(cache="replay", cache_dir=tmp_path / "cache", model="flash")
    with pytest.raises(
        NotRecorded,
        match=r"no answer is recorded for request [0-9a-f]{12} to qwen3\.5-flash \('Why\?'\).*cache=\"on\"",
    ):
        qwen.ask("Why?")


def test_sample_draws_again(simulate, client):
    sim = simulate(script=["one", "two"])
    qwen = client(sim)
    assert [str(qwen.ask("A number?", sample=i)) for i in (0, 1, 0, 1)] == ["one", "two", "one", "two"]
    assert str(qwen.ask("A number?")) == "one"


def test_twins_in_many_threads_are_one_flight(simulate, client):
    sim = simulate(latency=0.2)
    qwen, answers = client(sim), []
    threads = [threading.Thread(target=lambda: answers.append(qwen.ask("Why?"))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 16 and len(set(map(str, answers))) == 1
    assert sim.ledger.count("asked") == 1


def test_what_was_kept_between_the_look_and_the_asking_is_not_paid_twice(simulate, client):
    """Two threads both find nothing; the second reaches the engine when the first has just been answered."""
    sim = simulate()
    qwen = client(sim)
    request = qwen.session.build_request("Why?", {}, Options())
    context = qwen.session.prepare(request, Options())
    first, second = (runtime().bridge.run(qwen.session.ask_engine(request, context)) for _ in range(2))
    assert second == first and second.cached
    assert sim.ledger.count("asked") == 1


@pytest.mark.slow
def test_twins_share_an_error_too_and_the_next_call_asks_again(simulate, client):
    sim = simulate(quota=Quota(slots=0))
    sim.fault("content_filter", times=1)
    qwen, outcomes, begun = client(sim), [], threading.Semaphore(0)

    def ask() -> None:
        begun.release()
        try:
            outcomes.append(qwen.ask("Why?"))
        except Exception as error:
            outcomes.append(type(error).__name__)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for _ in threads:
        begun.acquire()
    with pytest.raises(TimeoutError):
        sim.ledger.wait_for(2, "asked", timeout=1.0)  # by now all of them have joined the first
    sim.quota(Quota())
    for thread in threads:
        thread.join()
    assert outcomes == ["ContentFiltered"] * 8
    assert isinstance(qwen.ask("Why?"), Answer)
    assert sim.ledger.count("asked") == 2


def test_a_stream_comes_in_pieces_and_ends_in_the_same_answer(simulate, client):
    sim = simulate(script=[Reply("one two three", reasoning="hm", chunks=["one ", "two ", "three"])])
    qwen = client(sim)
    stream = qwen.stream("Count")
    pieces = [piece.text for piece in stream if piece.text]
    assert "".join(pieces) == "one two three" and len(pieces) > 1
    assert stream.answer.text == "one two three"
    hit = qwen.stream("Count")
    assert [piece.text for piece in hit] == ["one two three"] and hit.answer.cached


def test_ask_async_and_ask_agree(simulate, client):
    sim = simulate()
    qwen = client(sim)

    async def ask() -> list[Answer]:
        return await asyncio.gather(*(qwen.ask_async("Why {{ n }}?", n=n) for n in range(5)))

    together = asyncio.run(ask())
    assert [qwen.ask("Why {{ n }}?", n=n) for n in range(5)] == together
    assert sim.ledger.count("asked") == 5


def test_sync_calls_work_inside_a_running_loop(simulate, client):
    qwen = client(simulate())

    async def cell() -> str:
        return str(qwen.ask("Why?"))

    assert asyncio.run(cell())


def test_ask_many_keeps_the_order_and_asks_twins_once(simulate, client):
    sim = simulate()
    prompts = [f"number {i % 40}" for i in range(100)]
    answers = client(sim).ask_many(prompts)
    assert [prompt in str(answer) for prompt, answer in zip(prompts, answers, strict=True)] == [True] * 100
    assert sim.ledger.count("asked") == 40


def test_ask_many_fills_a_template(simulate, client):
    answers = client(simulate()).ask_many([{"x": 1}, {"x": "{{ x }}"}], prompt="say {{ x }}")
    assert ["say 1" in str(answers[0]), "say {{ x }}" in str(answers[1])] == [True, True]


def test_one_failure_among_many_costs_no_other_its_answer(simulate, client):
    def script(asked):
        from qwennb.simulator import Fault

        return Fault("400") if "number 7" in str(asked.body) else None

    answers = client(simulate(script=script)).ask_many([f"number {i}" for i in range(20)])
    assert [answer.error is None for answer in answers] == [i != 7 for i in range(20)]
    assert "400" in str(answers[7].error)


def test_an_error_that_every_other_would_meet_ends_the_asking(simulate, client):
    sim = simulate()
    sim.fault("401")
    answers = client(sim, concurrency=4).ask_many([f"number {i}" for i in range(200)])
    assert all(isinstance(answer.error, KeyRefused) for answer in answers)
    assert sim.ledger.count("asked") <= 4


def test_a_schema_gives_data(simulate, client):
    class Person(pydantic.BaseModel):
        name: str
        age: int

    for dialect in NAMES:
        sim = simulate(dialect)
        answer = client(sim).ask("Who?", schema=Person)
        assert isinstance(answer.data, Person)
        assert client(sim).ask("Who?", schema=Person).data == answer.data


def test_what_does_not_fit_is_asked_again_with_the_complaint_and_all_costs_are_told(simulate, client):
    sim = simulate("dashscope", script=['{"age": "old"}', '{"age": -}', '{"age": 7}'])
    answer = client(sim).ask(
        "How old?", schema={"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
    )
    assert answer.data == {"age": 7} and answer.attempts == 3
    asked = sim.ledger.asks()
    assert "is not of type 'integer'" in asked[1].body["messages"][-1]["content"]
    assert answer.usage.input == sum(entry.usage["prompt_tokens"] for entry in asked)
    assert client(sim).ask("How old?", schema=answer.request.schema).cached


def test_what_did_not_fit_takes_no_slot_from_what_is_asked_next(simulate, client):
    sim = simulate("dashscope", script=["no", '{"age": 7}', "no", "no", "no", '{"age": 8}'])
    qwen = client(sim, concurrency=1, timeout=20)
    assert qwen.ask("How old?", schema="age int").data == {"age": 7}
    with pytest.raises(InvalidAnswer):
        qwen.ask("And she?", schema="age int")
    assert qwen.ask("And he?", schema="age int").data == {"age": 8}


def test_after_two_complaints_it_is_an_error_and_nothing_is_kept(simulate, client):
    sim = simulate("dashscope", script=["no", "no", "no", '{"age": 7}'])
    qwen, schema = client(sim), "age int"
    with pytest.raises(InvalidAnswer, match="does not fit what was asked for after 3 attempts"):
        qwen.ask("How old?", schema=schema)
    assert qwen.ask("How old?", schema=schema).data == {"age": 7}


def test_a_remembered_answer_that_no_longer_fits_is_asked_anew_or_an_error_in_replay(simulate, client):
    sim = simulate()

    def person(least: int) -> type[pydantic.BaseModel]:
        class Person(pydantic.BaseModel):
            age: int

            @pydantic.field_validator("age")
            @classmethod
            def old_enough(cls, age: int) -> int:
                if age < least:
                    raise ValueError("too young")
                return age

        return Person

    sim.script(['{"age": 7}', '{"age": 70}'])
    qwen = client(sim)
    assert qwen.ask("How old?", schema=person(0)).data.age == 7
    with pytest.raises(InvalidAnswer, match="no longer fits"):
        qwen.ask("How old?", schema=person(18), cache="replay")
    assert qwen.ask("How old?", schema=person(18)).data.age == 70


def test_a_choice_is_the_text_and_the_data(simulate, client):
    for dialect in NAMES:
        answer = client(simulate(dialect)).ask("Good?", choices=["yes", "no"])
        assert answer.data == answer.text and answer.text in ("yes", "no")


def test_a_budget_is_never_overshot(simulate, client):
    sim = simulate()
    qwen = client(sim, budget=0.0005, concurrency=32)
    with pytest.warns(QwenWarning, match="of the budget"):
        answers = qwen.ask_many([f"number {i}" for i in range(300)], max_tokens=100, thinking=False)
    stopped = [a for a in answers if isinstance(a.error, BudgetExceeded)]
    paid = sum(entry.usage["cost"] for entry in sim.ledger.paid())
    assert stopped and len(stopped) < 300
    assert paid <= 0.0005 and qwen.spent == pytest.approx(paid)
    assert "higher budget=" in str(stopped[0].error)


def test_four_fifths_of_a_budget_are_warned_of(simulate, client):
    sim = simulate(script=lambda asked: Reply("x", usage={"cost": 0.0009}))
    with pytest.warns(QwenWarning, match=r"of the budget of \$0.001 is spent") as told:
        client(sim, budget=0.001).ask("Why?", max_tokens=10, thinking=False)
    assert told[0].filename == __file__, "it points at the line that asked"


def test_a_budget_where_no_price_is_known_is_refused(simulate, client):
    with pytest.raises(BadInput, match="price of qwen3.5-27b there is unknown"):
        client(simulate("dashscope"), budget=1.0).ask("Why?", model="27b", max_tokens=10)


def test_a_server_of_ones_own_costs_nothing(simulate, client):
    answer = client(simulate("vllm"), budget=0.01).ask("Why?")
    assert answer.cost == 0.0 and answer.cost.source == "local"


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        ({"model": "qwen3.5-pluss"}, UnknownModel, "did you mean"),
        ({"temprature": 1}, BadInput, "There is no option `temprature`.*did you mean `temperature`"),
        ({"temperature": 3}, BadInput, "temperature=3 is out of range"),
        ({"top_k": 5}, UnsupportedOption, "`top_k` is not supported by qwen3.5-flash at openrouter"),
        ({"thinking": "hard"}, BadInput, "thinking='hard' is not known"),
        ({"schema": "age int", "choices": ["a", "b"]}, BadInput, "Both schema= and choices="),
        ({"choices": ["a"]}, BadInput, "at least two"),
        ({"extra": {"n": 2}}, BadInput, "sample="),
        ({"cache": "sometimes"}, BadInput, "is not a mode"),
        ({"images": ["no-such-file.png"]}, BadInput, "no-such-file.png"),
    ],
)
def test_bad_input_is_one_sentence_and_sends_nothing(simulate, client, given, kind, words):
    sim = simulate()
    with pytest.raises(kind, match=words) as caught:
        client(sim).ask("Why?", **given)
    assert "\n" not in str(caught.value)
    assert sim.ledger.count("asked") == 0


def test_a_name_that_does_not_exist_names_the_nearest(simulate, client):
    with pytest.raises(TemplateError, match="did you mean `document`"):
        client(simulate()).ask("Read {{ documnt }} and {{ document }}", document="x")


def test_too_long_an_input_is_refused_with_the_numbers(simulate, client):
    sim = simulate("dashscope")
    with pytest.raises(
        WindowExceeded, match=r"The input is .* tokens, and qwen3.5-flash at dashscope-intl takes 983,616"
    ):
        client(sim).ask("Read {{ doc }}", doc="word " * 1_200_000)
    assert sim.ledger.count("asked") == 0


def test_overflow_map_asks_in_pieces_and_combines(simulate, client):
    sim = simulate("vllm", script=lambda asked: f"{len(asked.text)} characters were good")
    paragraph = "The year was good. " * 20 + "\n\n"
    document = paragraph * 3000
    qwen = client(sim)
    answer = qwen.ask("Sum up {{ doc }}", doc=document, overflow="map", thinking=False)
    asked = [entry.body["messages"][-1]["content"] for entry in sim.ledger.asks()]
    pieces = [text.removeprefix("Sum up ") for text in asked if not text.startswith("Sum up [The document")]
    assert "".join(sorted(pieces, key=document.find)) == document or sum(map(len, pieces)) == len(document)
    assert asked[-1].startswith("Sum up [The document was read in") and len(pieces) >= 2
    assert str(answer)
    before = len(asked)
    assert qwen.ask("Sum up {{ doc }}", doc=document, overflow="map", thinking=False) == answer
    assert sim.ledger.count("asked") == before


def test_a_wait_longer_than_the_timeout_is_told_at_once(simulate, client):
    sim = simulate()
    sim.fault("429", times=1, retry_after="100000")
    qwen = client(sim, timeout=30)
    began = time.monotonic()
    with pytest.raises(RateLimited, match=r"asks to wait \d+ s, longer than this request may take"):
        qwen.ask("Why?")
    assert time.monotonic() - began < 25


@pytest.mark.slow
def test_two_clients_share_the_limiter_of_an_endpoint(simulate, client):
    sim = simulate(quota=Quota(rate=50, burst=50), latency=0.1)
    first, second = client(sim), client(sim)
    results: list[list[Answer]] = []
    threads = [
        threading.Thread(
            target=lambda q=qwen, n=n: results.append(q.ask_many([f"{n} {i}" for i in range(100)]))
        )
        for n, qwen in enumerate((first, second))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(answer.error is None for answers in results for answer in answers)
    assert sim.ledger.count("status 429") <= 20


def test_a_plan_counts_and_sends_nothing(simulate, client):
    sim = simulate()
    qwen = client(sim)
    qwen.ask("number 1")
    plan = qwen.plan([f"number {i % 5}" for i in range(10)])
    assert (plan.requests, plan.unique, plan.known, plan.to_ask) == (10, 5, 1, 4)
    assert plan.cost > 0 and plan.at_most > plan.cost
    assert "10 requests, 5 unique, 1 already known, 4 to ask of qwen3.5-flash" in str(plan)
    assert sim.ledger.count("asked") == 1


@pytest.mark.parametrize(
    "options", [{"tool_choice": "required"}, {"tool_choice": "river"}, {"n": None, "max_tokens": 10**9}]
)
def test_a_plan_counts_as_refused_what_asking_would_refuse(simulate, client, options):
    options = {name: value for name, value in options.items() if value is not None}
    sim = simulate()
    qwen = client(sim)
    with pytest.raises(BadInput):
        qwen.ask("Why?", **options)
    plan = qwen.plan(["Why?", "How?"], **options)
    assert (plan.requests, plan.refused, plan.to_ask, sim.ledger.count("arrived")) == (2, 2, 0, 0)


def test_a_request_made_by_hand_is_asked_as_it_is(simulate, client):
    sim = simulate()
    request = Request(
        "qwen3.5-flash", (Message("system", (Text("Be brief."),)), Message("user", (Text("{{ x }}"),)))
    )
    answer = client(sim).ask(request)
    assert answer.request == request
    assert [m["content"] for m in sim.ledger.last().body["messages"]] == ["Be brief.", "{{ x }}"]


def test_an_answer_that_the_server_cut_is_a_failure_and_asked_again(simulate, client):
    sim = simulate()
    sim.fault("length", times=1)
    qwen = client(sim)
    with pytest.raises(Incomplete, match="cut the answer"):
        qwen.ask("Tell me a story")
    assert qwen.ask("Tell me a story").finish_reason == "stop"
    assert sim.ledger.count("asked") == 2


def test_spending_is_recorded_by_day_model_and_endpoint(simulate, client):
    sim = simulate()
    qwen = client(sim)
    qwen.ask_many([f"number {i}" for i in range(10)])
    runtime().settle(qwen.session.config.cache_dir)
    (row,) = qwen.session.memory.spendings.rows()
    assert (row.requests, row.model, row.endpoint) == (10, "qwen3.5-flash", "openrouter")
    assert row.cost == pytest.approx(sum(entry.usage["cost"] for entry in sim.ledger.paid()))


def test_a_stream_is_stopped_from_another_thread(simulate, client):
    pieces = [f"{number} " for number in range(200)]
    sim = simulate("vllm", script=[Reply("".join(pieces), chunks=pieces, chunk_delay=0.05)])
    stream = client(sim).stream("Count")
    read = 0
    with pytest.raises(Stopped):
        for _ in stream:
            read += 1
            if read == 3:
                threading.Thread(target=stream.stop).start()
    assert 3 <= read < 100


def test_where_a_server_counts_nothing_the_figures_are_estimates_and_say_so(simulate, client):
    sim = simulate(script=[Reply("four words of text", usage=False)])
    answer = client(sim).ask("Why is the sky blue, and since when?")
    assert answer.usage.estimated and answer.usage.input >= 9 and answer.usage.output >= 4
    assert answer.cost.source == "table" and answer.cost > 0
    assert "≈ " in str(answer.cost)


def test_an_unknown_price_is_counted_as_unknown_and_never_as_nothing(simulate, client):
    qwen = client(simulate("dashscope"))
    assert qwen.ask("Why?", model="27b", max_tokens=10, thinking=False).cost is None
    runtime().settle(qwen.session.config.cache_dir)
    (row,) = qwen.session.memory.spendings.rows()
    assert (row.requests, row.unknown_cost, row.cost) == (1, 1, 0.0)


@pytest.mark.slow
def test_an_attempt_that_may_have_been_billed_is_listed_and_stays_reserved(simulate, client):
    sim = simulate()
    sim.fault("hang")
    given = {"max_tokens": 1_000, "thinking": False}
    bound = client(sim).endpoint.worst_cost(
        client(sim).session.build_request("Why not?", {}, Options(**given))
    )
    qwen = client(sim, budget=1.5 * bound)
    with pytest.raises(TimedOut):
        qwen.ask("Why?", timeout=2.0, **given)
    runtime().settle(qwen.session.config.cache_dir)
    (row,) = qwen.session.memory.spendings.rows()
    assert (row.requests, row.maybe_billed, qwen.spent) == (0, 1, 0.0)
    sim.reset()
    with pytest.raises(BudgetExceeded):
        qwen.ask("Why not?", **given)
    assert sim.ledger.count("asked") == 0


def test_where_leaving_saves_no_money_the_rest_is_fetched_and_remembered(simulate, client):
    assert asked_when_left_and_asked_again(simulate("openrouter"), client) == 1


@pytest.mark.slow
def test_who_asks_again_at_once_what_was_left_gets_an_answer_of_its_own(simulate, client):
    assert asked_when_left_and_asked_again(simulate("vllm"), client) == 2


def asked_when_left_and_asked_again(sim, client) -> int:
    pieces = [f"{number} " for number in range(40)]
    sim.script(lambda asked: Reply("".join(pieces), chunks=pieces, chunk_delay=0.02))
    qwen = client(sim)
    stream = qwen.stream("Count")
    with pytest.raises(Stopped):
        for _ in stream:
            stream.stop()
    assert qwen.ask("Count").text == "".join(pieces)
    return sim.ledger.count("asked")


FOUND = """
import warnings
from qwennb import Qwen

with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    qwen = Qwen()
    assert qwen.ask("Why?").cached and qwen.ask("Why?").cached
    Qwen(endpoint="openrouter").ask("Why?")
print(*(one.message for one in told), sep="\\n")
"""


@pytest.mark.slow
def test_an_endpoint_that_nobody_chose_is_named_once(simulate, client, tmp_path):
    client(simulate()).ask("Why?")
    environ = {**os.environ, "OPENROUTER_API_KEY": "sk-any", "QWENNB_CACHE_DIR": str(tmp_path / "cache")}
    said = subprocess.run(
        [sys.executable, "-c", FOUND],
        env=environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert said.stdout.splitlines() == [
        "Asking qwen3.5-flash at openrouter. Set endpoint= or QWENNB_ENDPOINT to choose."
    ]


@pytest.mark.slow
def test_who_joins_a_stream_late_gets_all_of_it(simulate, client):
    pieces = [f"{number} " for number in range(30)]
    sim = simulate(script=[Reply("".join(pieces), chunks=pieces, chunk_delay=0.05)])
    qwen = client(sim)
    first = iter(qwen.stream("Count"))
    assert [next(first).text for _ in range(3)] == pieces[:3]
    late = qwen.stream("Count")
    assert "".join(piece.text for piece in late) == late.answer.text == "".join(pieces)
    assert "".join(piece.text for piece in first) == "".join(pieces[3:])
    assert sim.ledger.count("asked") == 1


def test_a_wait_that_would_outlast_the_deadline_is_not_begun(simulate, client):
    sim = simulate()
    sim.fault(Fault("500", retry_after=29))
    began = time.monotonic()
    with pytest.raises(ServerFailed):
        client(sim).ask("Why?", timeout=28.0)
    assert time.monotonic() - began < 25 and sim.ledger.count("asked") == 1


def test_pages_that_a_searching_model_names_are_told_and_remembered(simulate, client):
    named = {"type": "url_citation", "url_citation": {"url": "https://rivers.example/a", "title": "Rivers"}}
    sim = simulate(script=[Reply("Wide.", chunks=["Wide.", {"annotations": [named]}])])
    qwen = client(sim)
    for _ in range(2):
        (page,) = qwen.ask("How wide is it?", search=True).sources
        assert (page.title, page.url) == ("Rivers", "https://rivers.example/a")
    assert sim.ledger.count("asked") == 1


def test_a_value_that_was_cut_is_not_asked_for_again(simulate, client):
    sim = simulate(script=[Reply('{"name": "Ad', finish_reason="length"), '{"name": "Ada"}'])
    with pytest.raises(InvalidAnswer, match="give a larger max_tokens="):
        client(sim).ask("Who?", schema="name")
    assert sim.ledger.count("asked") == 1


@pytest.mark.parametrize(
    "given",
    [
        {"timeout": 0},
        {"timeout": "soon"},
        {"budget": -1},
        {"overflow": "maps"},
        {"max_steps": 0},
        {"max_steps": 1.5},
        {"cache": "onn"},
    ],
)
def test_an_option_of_the_clients_own_that_can_not_be_is_told(simulate, client, given):
    sim = simulate()
    ((name, value),) = given.items()
    with pytest.raises(BadInput, match=f"^{name}={value!r}"):
        client(sim).ask("Why?", **given)
    assert sim.ledger.count("asked") == 0


def test_the_budget_of_one_call_holds_for_that_call(simulate, client):
    sim = simulate()
    qwen = client(sim)
    with pytest.raises(BudgetExceeded):
        qwen.ask("Why?", budget=1e-7, max_tokens=100, thinking=False)
    assert sim.ledger.count("asked") == 0
    assert qwen.ask("Why?", max_tokens=100, thinking=False).complete


def test_another_sample_is_another_draw_and_the_same_one_the_same(simulate, client):
    """The body is the same: which draw it is stands beside it, and another seed draws otherwise."""

    def ask(seed: int) -> list[str]:
        qwen = client(simulate("vllm", seed=seed), cache="off")
        return [qwen.ask("Red or blue?", choices=["red", "blue"], sample=n).text for n in range(12)]

    first = ask(seed=1)
    assert set(first) == {"red", "blue"} and ask(seed=1) == first and ask(seed=2) != first


def test_a_script_is_told_which_draw_it_is(simulate, client):
    sim = simulate("vllm", script=lambda asked: f"draw {asked.sample}")
    qwen = client(sim)
    assert [qwen.ask("Which?", sample=n).text for n in (0, 2)] == ["draw 0", "draw 2"]
    assert all("sample" not in asked.body for asked in sim.ledger.asks())
    assert sim.ledger.duplicates == {}


def test_a_server_that_refuses_likelihoods_nobody_asked_for_is_asked_without_them(simulate, client):
    few = Fault("400", message="Requested sample logprobs of 20, which is greater than max allowed: 5")
    sim = simulate("vllm", script=lambda asked: few if asked.body.get("top_logprobs", 0) > 5 else "yes")
    qwen, ask = client(sim), {"choices": ["yes", "no"], "thinking": False}
    answer = qwen.ask("Is it?", **ask)
    assert answer.text == "yes" and answer.choice_logprobs is None and "logprobs" not in answer.defaults
    assert [one.body.get("top_logprobs") for one in sim.ledger.asks()] == [20, None]
    assert qwen.ask("Is it?", **ask).cached
    for asked in ({"logprobs": 20}, {"extra": {"logprobs": True, "top_logprobs": 20}}):
        with pytest.raises(RequestRefused, match="max allowed: 5"):
            qwen.ask("Is it?", **ask, **asked)
    assert sim.ledger.count("asked") == 4
