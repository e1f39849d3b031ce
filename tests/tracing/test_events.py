"""What `on_event=` hears: of each request in order, of each run its beginning and its end, and nothing that is secret."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import subprocess
import sys
import threading
import warnings
from collections import defaultdict

import polars as pl
import pytest

import qwennb
from qwennb import Qwen
from qwennb.errors import BadInput, BudgetExceeded, InvalidAnswer, KeyRefused, QwenWarning, RequestRefused
from qwennb.simulator import Fault, Options, Quota
from qwennb.tracing import (
    Answered,
    BatchFetched,
    BatchSent,
    Event,
    Failed,
    Joined,
    Paused,
    Recalled,
    Retried,
    RunEnded,
    RunStarted,
    Sent,
)
from tests.conftest import until


def names(heard: list[Event]) -> list[str]:
    return [type(event).__name__ for event in heard]


@pytest.fixture
def heard() -> list[Event]:
    return []


def test_a_question_is_started_sent_answered_and_ended_in_this_order(simulate, client, heard):
    answer = client(simulate(), on_event=heard.append).ask("Why?")
    assert names(heard) == ["RunStarted", "Sent", "Answered", "RunEnded"]
    started, sent, answered, ended = heard
    assert started.kind == "ask" and len({event.run for event in heard}) == 1
    assert (sent.key, sent.model, sent.provider, sent.attempt) == (
        answer.key,
        "qwen3.5-flash",
        "openrouter",
        1,
    )
    assert (answered.input_tokens, answered.output_tokens) == (answer.usage.input, answer.usage.output)
    assert answered.cost == pytest.approx(answer.cost) and answered.finish_reason == "stop"
    assert 0 <= answered.first_seconds <= answered.seconds <= ended.seconds
    assert (ended.done, ended.sent, ended.recalled, ended.failed, ended.error) == (1, 1, 0, 0, "")
    assert [event.time for event in heard] == sorted(event.time for event in heard)


def test_what_is_known_is_told_as_recalled_and_nothing_as_sent(simulate, client, heard):
    first = client(simulate()).ask("Why?")
    qwen = client(simulate(), on_event=heard.append)
    assert qwen.ask("Why?").cached and str(next(iter(qwen.stream("Why?"))).text) == first.text
    assert names(heard) == ["RunStarted", "Recalled", "RunEnded"] * 2
    assert isinstance(heard[1], Recalled)
    assert (heard[1].key, heard[2].recalled, heard[2].sent, heard[2].spent) == (first.key, 1, 0, 0.0)
    assert heard[2].cost == pytest.approx(first.cost)


def test_every_door_is_heard(simulate, client, heard):
    qwen = client(simulate(), on_event=heard.append)
    list(qwen.stream("by stream"))
    asyncio.run(qwen.ask_async("by await"))
    qwen.ask_many(["one of two", "two of two", "one of two"])
    qwen.chat().ask("in a chat")
    qwen.openai.chat.completions.create(model="", messages=[{"role": "user", "content": "by openai"}])
    pl.DataFrame({"n": [1, 2, 2]}).qwen.ask("Say {{ n }}", client=qwen, progress=False)
    pl.LazyFrame({"n": [3, 4]}).qwen.ask("Say {{ n }}", client=qwen, progress=False).collect()
    until(lambda: sum(isinstance(event, RunEnded) for event in heard) == 7, "seven runs have ended")
    ended = [event for event in heard if isinstance(event, RunEnded)]
    assert [event.kind for event in ended] == ["stream", "ask", "ask_many", "ask", "ask", "column", "column"]
    assert [(event.rows, event.unique, event.done, event.sent) for event in ended] == [
        (1, 1, 1, 1), (1, 1, 1, 1), (3, 2, 2, 2), (1, 1, 1, 1), (1, 1, 1, 1), (3, 2, 2, 2), (2, 2, 2, 2),
    ]  # fmt: skip
    assert sum(isinstance(event, Sent) for event in heard) == sum(event.sent for event in ended) == 10


def test_a_client_that_columns_ask_by_default_is_heard_too(simulate, tmp_path, heard):
    sim = simulate()
    qwennb.use(
        endpoint=f"openrouter+{sim.base_url}", api_key="sk-sim", cache_dir=tmp_path, on_event=heard.append
    )
    try:
        pl.DataFrame({"n": [1]}).qwen.ask("Say {{ n }}", progress=False)
    finally:
        from qwennb.frames import forget_default

        forget_default()
    assert names(heard) == ["RunStarted", "Sent", "Answered", "RunEnded"] and heard[0].verb == "ask"


def test_a_failure_that_is_tried_again_is_told_with_what_the_server_said(simulate, client, heard):
    sim = simulate()
    sim.fault("500", times=1)
    client(sim, on_event=heard.append).ask("Why?")
    assert names(heard) == ["RunStarted", "Sent", "Failed", "Retried", "Sent", "Answered", "RunEnded"]
    failed, retried = heard[2], heard[3]
    assert (failed.error, failed.status, failed.attempt) == ("ServerFailed", 500, 1)
    assert (retried.error, retried.attempt, heard[4].attempt) == ("ServerFailed", 2, 2)
    assert (heard[-1].sent, heard[-1].failed, heard[-1].refused) == (2, 0, 0)


def test_an_endpoint_that_asks_to_wait_is_told_as_a_pause(simulate, client, heard):
    sim = simulate()
    sim.fault("429", times=1, retry_after=0.2)
    client(sim, on_event=heard.append).ask("Why?")
    paused = next(event for event in heard if isinstance(event, Paused))
    assert paused.reason == "told" and 0 < paused.seconds <= 0.2 and paused.endpoint == "openrouter"
    failed = next(event for event in heard if isinstance(event, Failed))
    assert (failed.status, failed.retry_after, heard[-1].refused) == (429, 0.2, 1)


def test_an_answer_that_does_not_fit_is_told_as_asked_again(simulate, client, heard):
    sim = simulate(script=["perhaps", "yes"])
    assert (
        client(sim, on_event=heard.append).ask("Cold?", choices=["yes", "no"], thinking=False).data == "yes"
    )
    assert names(heard) == ["RunStarted", "Sent", "Answered", "Retried", "Sent", "Answered", "RunEnded"]
    assert heard[3].error == "InvalidAnswer" and len({event.key for event in heard[1:-1]}) == 1


def test_a_run_that_fails_ends_with_the_class_of_its_error(simulate, client, heard):
    sim = simulate()
    sim.fault("422")
    with pytest.raises(RequestRefused):
        client(sim, on_event=heard.append).ask("Why?")
    assert names(heard) == ["RunStarted", "Sent", "Failed", "RunEnded"]
    assert (heard[2].status, heard[-1].error, heard[-1].failed) == (422, "RequestRefused", 1)


def test_what_was_never_sent_is_not_told_as_sent(simulate, client, heard):
    with pytest.raises(BudgetExceeded):
        client(simulate(), on_event=heard.append, budget=0.000001).ask("Why?")
    assert names(heard) == ["RunStarted", "RunEnded"]
    assert (heard[0].budget, heard[-1].error, heard[-1].sent) == (0.000001, "BudgetExceeded", 0)


def test_a_twin_is_told_that_it_has_joined(simulate, client, heard):
    sim = simulate("vllm", quota=Quota(slots=0))
    one, other = client(sim), client(sim, on_event=heard.append)
    asking = [threading.Thread(target=qwen.ask, args=("Why?",)) for qwen in (one, other)]
    asking[0].start()
    sim.ledger.wait_for(1, "arrived")
    asking[1].start()
    until(lambda: len(heard) == 2, "the second has joined")
    sim.quota(Quota())
    for thread in asking:
        thread.join()
    assert names(heard) == ["RunStarted", "Joined", "RunEnded"] and sim.ledger.count("asked") == 1
    assert isinstance(heard[1], Joined)


def test_of_three_hundred_rows_each_request_is_told_in_its_order(simulate, client, heard):
    sim = simulate()
    sim.fault("500", probability=0.1)
    qwen = client(sim, on_event=heard.append)
    frame = pl.DataFrame({"n": [n % 300 for n in range(400)]})
    frame.qwen.ask("Say {{ n }}", client=qwen, progress=False)
    ended = heard[-1]
    assert isinstance(heard[0], RunStarted) and isinstance(ended, RunEnded)
    assert (ended.rows, ended.unique, ended.done, ended.failed) == (400, 300, 300, 0)
    told = defaultdict(list)
    for event in heard[1:-1]:
        if not isinstance(event, Paused):
            told[event.key].append(event)
    assert len(told) == 300
    for events in told.values():
        *before, sent, answered = names(events)
        assert (sent, answered) == ("Sent", "Answered") and before == ["Sent", "Failed", "Retried"] * (
            len(before) // 3
        )
        assert [e.attempt for e in events if isinstance(e, Sent)] == list(range(1, len(before) // 3 + 2))
    assert ended.sent == sim.ledger.count("asked") == sum(isinstance(event, Sent) for event in heard)
    assert 1 < ended.most_at_once <= 256
    again = frame.qwen.ask("Say {{ n }}", client=qwen, progress=False)
    assert again.height == 400 and names(heard)[-3:] == ["RunStarted", "Recalled", "RunEnded"]
    assert (heard[-2].count, heard[-1].recalled, heard[-1].cost) == (300, 300, pytest.approx(ended.cost))


def test_a_column_ends_with_the_numbers_of_its_last_line(simulate, client, heard):
    sim = simulate()
    sim.fault("422", when=[1])
    told = []
    qwen = client(sim, on_event=heard.append)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pl.DataFrame({"n": [1, 2, 3]}).qwen.ask(
            "Say {{ n }}", client=qwen, progress=told.append, concurrency=1
        )
    last, ended = told[-1], heard[-1]
    assert (ended.rows, ended.unique, ended.done, ended.recalled, ended.failed, ended.tokens, ended.cost) == (
        last.rows, last.unique, last.done, last.cached, last.failed, last.tokens, last.cost,
    )  # fmt: skip
    assert ended.failed == 1 and ended.model == last.model


def test_a_batch_that_is_handed_in_and_fetched_is_told(simulate, client, heard):
    sim = simulate("dashscope", options=Options(batch_polls=1))
    qwen = client(sim, on_event=heard.append)
    frame = pl.DataFrame({"n": [1, 2, 3]})
    made = frame.qwen.ask("Say {{ n }}", client=qwen, lane="batch", thinking=False, meta=True, progress=False)
    assert names(heard) == ["RunStarted", "BatchSent", "BatchFetched", "RunEnded"]
    _, sent, fetched, ended = heard
    assert isinstance(sent, BatchSent) and isinstance(fetched, BatchFetched) and sent.batch == fetched.batch
    assert (sent.questions, fetched.lines, fetched.state, ended.done, ended.sent) == (3, 3, "done", 3, 0)
    assert (
        ended.spent
        == pytest.approx(made["answer_meta"].struct.field("cost").sum())
        == pytest.approx(ended.cost)
    )


# ---------------------------------------------------------------------- the function


def test_a_function_that_raises_costs_no_answer_and_is_told_once(simulate, client):
    def broken(event):
        raise ZeroDivisionError("no")

    qwen = client(simulate(), on_event=broken)
    with pytest.warns(QwenWarning, match="on_event= raised ZeroDivisionError: no in `broken`") as told:
        assert qwen.ask("Why?").text
        assert (
            pl.DataFrame({"n": range(50)})
            .qwen.ask("{{ n }}", client=qwen, progress=False)["answer"]
            .null_count()
            == 0
        )
    assert sum("on_event=" in str(one.message) for one in told) == 1


@pytest.mark.parametrize("problem", [SystemExit, KeyboardInterrupt, asyncio.CancelledError, GeneratorExit])
def test_a_function_that_ends_threads_ends_no_run(simulate, client, problem):
    heard = []

    def broken(event):
        heard.append(event)
        raise problem

    qwen = client(simulate(), on_event=broken)
    with pytest.warns(QwenWarning, match=f"on_event= raised {problem.__name__}"):
        assert qwen.ask("Why?").text
    assert names(heard) == ["RunStarted", "Sent", "Answered", "RunEnded"]


def test_a_function_that_never_returns_holds_up_nobody(simulate, client):
    release, entered = threading.Event(), threading.Event()

    def stuck(event):
        entered.set()
        release.wait(60)

    qwen = client(simulate(), on_event=stuck)
    frame = pl.DataFrame({"n": range(100)})
    try:
        assert frame.qwen.ask("{{ n }}", client=qwen, progress=False)["answer"].null_count() == 0
        assert entered.is_set() and not release.is_set()
    finally:
        release.set()


def test_a_function_may_ask_through_the_same_client(simulate, client):
    told = []

    def ask_on(event):
        if isinstance(event, RunEnded) and not told:
            told.append(qwen.ask("And then?").text)

    qwen = client(simulate(), on_event=ask_on)
    qwen.ask("Why?")
    until(lambda: told, "the function has its answer")


def test_it_is_called_one_event_at_a_time_on_a_thread_that_ends(simulate, client):
    inside, most, threads = [0], [0], set()

    def count(event):
        threads.add(threading.current_thread())
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        inside[0] -= 1

    qwen = client(simulate(), on_event=count)
    asking = [threading.Thread(target=qwen.ask, args=(f"{n}?",)) for n in range(8)]
    for one in asking:
        one.start()
    for one in asking:
        one.join()
    assert most == [1] and threading.current_thread() not in threads
    until(lambda: not any(one.is_alive() for one in threads), "the thread has ended")


def test_what_can_not_be_called_is_refused_where_the_client_is_made():
    with pytest.raises(BadInput, match="on_event='loud' can't be called. Give a function of one argument"):
        Qwen(on_event="loud")


@pytest.mark.slow
def test_a_forked_child_is_heard_on_a_thread_of_its_own(simulate, client, tmp_path):
    program = """
import os, sys, warnings
warnings.simplefilter("ignore")
from qwennb import Qwen
heard = []
qwen = Qwen(endpoint=sys.argv[1], api_key="sk-sim", cache_dir=sys.argv[2], on_event=heard.append)
qwen.ask("before")
if (child := os.fork()) == 0:
    heard.clear()
    qwen.ask("after")
    os._exit(0 if [type(e).__name__ for e in heard] == ["RunStarted", "Sent", "Answered", "RunEnded"] else 1)
os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    sim = simulate()
    where = [f"openrouter+{sim.base_url}", str(tmp_path / "cache")]
    done = subprocess.run(
        [sys.executable, "-c", program, *where], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr


# ---------------------------------------------------------------------- what is in none of them

SECRETS = (
    "sk-CANARY-1234567890",
    "the text of the question",
    "the words of the answer",
    "secret-of-the-server",
)


def ask_with_secrets(simulate, client, tmp_path, **settings):
    """A question, a stream, a column and failures, with SECRETS in all that a user or a server may write."""
    key, question, words, server = SECRETS
    sim = simulate(api_key=key, script=lambda asked: words)
    qwen = client(sim, api_key=key, system=question, **settings)
    qwen.ask(question)
    list(qwen.stream(f"{question} twice"))
    folder = tmp_path / question
    folder.mkdir()
    frame = pl.DataFrame({question: [question, words]})
    frame.qwen.ask(f"{{{{ `{question}` }}}}", client=qwen, progress=False)
    said = f"{server} {key} {question}"
    for name, failure in (
        ("422", contextlib.nullcontext()),
        ("500", contextlib.nullcontext()),
        ("401", pytest.raises(KeyRefused)),
    ):
        sim.fault(Fault(name, times=1, message=said))
        with failure:
            frame.head(1).qwen.ask(
                f"{{{{ `{question}` }}}} {name}", client=qwen, progress=False, on_error="column"
            )
    with pytest.raises(InvalidAnswer):
        qwen.ask(f"{question} in a form", schema="n int", thinking=False)
    return sim


def test_no_event_holds_a_text_a_key_or_a_path(simulate, client, tmp_path, heard):
    ask_with_secrets(simulate, client, tmp_path, on_event=heard.append)
    assert {Sent, Answered, Failed, Retried, RunStarted, RunEnded} <= set(map(type, heard))
    told = " ".join(str(value) for event in heard for value in dataclasses.astuple(event))
    for secret in (*SECRETS, str(tmp_path), os.path.expanduser("~")):
        assert secret not in told
