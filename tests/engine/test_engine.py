"""What becomes of a question, on a clock of the test's own and over a wire that carries what a script says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing

import pytest

from qwennb.answer import Answer, Chunk
from qwennb.cache import Memory, open_store
from qwennb.config import Secret
from qwennb.endpoints import Endpoint
from qwennb.endpoints.call import Call, Payload
from qwennb.endpoints.dialects import DashScope, OpenRouter, Vllm
from qwennb.engine import Budget, CallContext, Engine
from qwennb.errors import (
    BudgetExceeded,
    ContentFiltered,
    Incomplete,
    InvalidAnswer,
    QwenError,
    RateLimited,
    ServerFailed,
    TimedOut,
)
from qwennb.request import Message, Request, Schema, Settings, Text
from qwennb.tracing import Answered, Event, Failed, Paused, Sent, Trace
from tests.engine.clockwork import run

MODEL = "qwen3.5-27b"
VLLM = Endpoint("vllm", "http://127.0.0.1:9/v1", Vllm(), hosted=False, served=("Qwen/Qwen3.5-27B",))
OPENROUTER = Endpoint(
    "openrouter", "https://openrouter.ai/api/v1", OpenRouter(), hosted=True, key=Secret("k")
)
DASHSCOPE = Endpoint(
    "dashscope-intl", "https://dashscope-intl.aliyuncs.com/v1", DashScope(), hosted=True, key=Secret("k")
)

Act = Callable[[Call], AsyncIterator[Payload]]


def says(*pieces: str, after: float = 0.1, reason: str | None = "stop", cost: float | None = None) -> Act:
    """The pieces of an answer, each *after* so long, and its end."""

    async def act(call: Call) -> AsyncIterator[Payload]:
        for piece in pieces:
            await asyncio.sleep(after)
            yield Payload({"choices": [{"delta": {"content": piece}}]})
        usage = {"prompt_tokens": 10, "completion_tokens": 5} | ({} if cost is None else {"cost": cost})
        yield Payload({"choices": [{"delta": {}, "finish_reason": reason}], "usage": usage}, last=True)

    return act


def fails(error: Exception, *pieces: str, after: float = 0.1) -> Act:
    """*pieces* of an answer, and then *error*."""

    async def act(call: Call) -> AsyncIterator[Payload]:
        for piece in pieces:
            yield Payload({"choices": [{"delta": {"content": piece}}]})
            await asyncio.sleep(after)
        await asyncio.sleep(after)
        raise error

    return act


def hangs(*pieces: str) -> Act:
    """*pieces* of an answer, and then nothing, for ever."""

    async def act(call: Call) -> AsyncIterator[Payload]:
        for piece in pieces:
            yield Payload({"choices": [{"delta": {"content": piece}}]})
        await asyncio.get_running_loop().create_future()

    return act


class Wire:
    """Carries calls: what each meets is the next of *acts*, and the last of them for ever."""

    def __init__(self, *acts: Act) -> None:
        self._acts = list(acts)
        self.calls: list[Call] = []
        self.sent: list[float] = []
        self.in_flight = self.peak = 0

    async def send(self, call: Call) -> AsyncIterator[Payload]:
        self.calls.append(call)
        self.sent.append(asyncio.get_running_loop().time())
        act = self._acts.pop(0) if len(self._acts) > 1 else self._acts[0]
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        try:
            async with aclosing(act(call)) as payloads:
                async for payload in payloads:
                    yield payload
        finally:
            self.in_flight -= 1

    async def close(self) -> None:
        pass


@pytest.fixture
def memory(tmp_path):
    made = Memory(open_store(tmp_path / "cache"))
    yield made
    made.close()


@pytest.fixture
def bench(memory):
    return lambda *acts, **settings: Bench(memory, Wire(*acts), **settings)


class Bench:
    """An engine over a scripted wire; *settings* are those of each call."""

    def __init__(self, memory: Memory, wire: Wire, **settings: object) -> None:
        self.wire, self.engine = wire, Engine(wire, wire)
        self.settings = {"endpoint": VLLM, "memory": memory, "mode": "off"} | settings

    def context(self, **settings: object) -> CallContext:
        return CallContext(**self.settings | settings)

    async def ask(self, prompt: str = "Why?", *, schema: object = None, **settings: object) -> Answer:
        return await self.engine.answer(asked(prompt, schema), self.context(**settings))

    async def outcome(self, prompt: str = "Why?", **settings: object) -> Answer | QwenError:
        try:
            return await self.ask(prompt, **settings)
        except QwenError as error:
            return error


def asked(prompt: str = "Why?", schema: object = None) -> Request:
    form = None if schema is None else Schema.of(schema)
    return Request(MODEL, (Message("user", (Text(prompt),)),), Settings(max_tokens=100), schema=form)


async def elapsed(work) -> tuple[object, float]:
    began = asyncio.get_running_loop().time()
    return await work, asyncio.get_running_loop().time() - began


# ---------------------------------------------------------------------- flights


def test_an_answer_carries_what_its_attempt_took(bench):
    made = bench(says("Be", "cause"))
    answer = run(made.ask())
    assert (answer.text, answer.attempts, answer.finish_reason) == ("Because", 1, "stop")
    assert (answer.usage.input, answer.usage.output, answer.cost) == (10, 5, 0.0)
    assert answer.endpoint == "vllm:Qwen/Qwen3.5-27B"


def test_twins_are_one_flight_and_the_next_asks_again(bench):
    made = bench(says("one"), says("two"))

    async def go():
        twins = await asyncio.gather(*(made.ask() for _ in range(5)))
        return {answer.text for answer in twins}, (await made.ask()).text

    assert run(go()) == ({"one"}, "two")
    assert len(made.wire.calls) == 2


def test_twins_share_an_error_and_the_next_asks_again(bench):
    made = bench(fails(ContentFiltered("no")), says("yes"))

    async def go():
        return await asyncio.gather(made.outcome(), made.outcome()), await made.ask()

    (one, other), after = run(go())
    assert one is other and isinstance(one, ContentFiltered) and after.text == "yes"


@pytest.mark.parametrize(
    "other",
    [
        {"endpoint": Endpoint("vllm", "http://127.0.0.1:10/v1", Vllm(), hosted=False, served=VLLM.served)},
        {
            "endpoint": Endpoint(
                "vllm", VLLM.base_url, Vllm(), hosted=False, key=Secret("b"), served=VLLM.served
            )
        },
        {"mode": "refresh"},
        {"prompt": "How?"},
    ],
    ids=["server", "key", "mode", "question"],
)
def test_another_server_key_mode_or_question_is_another_flight(bench, other):
    made = bench(fails(ContentFiltered("no")), says("yes"))

    async def go():
        return await asyncio.gather(made.outcome(), made.outcome(**other))

    first, second = run(go())
    assert isinstance(first, ContentFiltered), "an error under way is nobody else's"
    assert isinstance(second, Answer) and second.text == "yes"
    assert made.wire.peak == 2


def test_who_joins_late_hears_every_piece(bench):
    made = bench(says(*"abcdef", after=1.0))

    async def listen(late: float) -> str:
        await asyncio.sleep(late)
        heard = [piece async for piece in made.engine.stream(asked(), made.context())]
        assert isinstance(heard[-1], Answer)
        return "".join(piece.text for piece in heard[:-1])

    async def go():
        return await asyncio.gather(listen(0), listen(3.5))

    assert run(go()) == ["abcdef", "abcdef"]
    assert len(made.wire.calls) == 1


def test_who_leaves_last_ends_the_flight(bench):
    made = bench(says("late", after=60))

    async def go():
        for task in (tasks := [asyncio.ensure_future(made.ask()) for _ in range(2)]):
            await asyncio.sleep(1)
            task.cancel()
        await asyncio.wait(tasks)
        await asyncio.sleep(0)
        return made.wire.in_flight

    assert run(go()) == 0


def test_where_leaving_saves_no_money_the_answer_is_fetched_and_kept(bench, memory):
    made = bench(says("paid for", after=60), endpoint=DASHSCOPE, mode="on")

    async def go():
        task = asyncio.ensure_future(made.ask())
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.wait([task])
        return made.wire.in_flight, await made.ask()

    flying, answer = run(go())
    assert flying == 1 and answer.text == "paid for" and len(made.wire.calls) == 1


# ---------------------------------------------------------------------- keeping


def test_an_answer_is_on_the_disk_before_anyone_sees_it(bench, memory):
    made = bench(says("kept"), mode="on")
    answer = run(made.ask())
    assert memory.recall(asked(), answer.endpoint, "replay").text == "kept"


def test_what_was_kept_since_the_look_into_the_cache_is_not_paid_twice(bench):
    made = bench(says("once"), mode="on")

    async def go():
        return (await made.ask()).text, (await made.ask()).text

    assert run(go()) == ("once", "once") and len(made.wire.calls) == 1


@pytest.mark.parametrize("mode", ["off", "refresh"])
def test_off_and_refresh_ask_each_time(bench, mode):
    made = bench(says("one"), says("two"), mode=mode)

    async def go():
        return (await made.ask()).text, (await made.ask()).text

    assert run(go()) == ("one", "two")


# ---------------------------------------------------------------------- trying again


def test_a_failure_is_tried_again_and_nobody_sleeps_in_a_slot(bench):
    """One slot: what is asked meanwhile is answered while the first waits for its next attempt."""
    down = ServerFailed("down", status=500)
    made = bench(fails(down), fails(down), fails(down), fails(down), says("up", after=0.0), concurrency=1)

    async def go():
        first = asyncio.ensure_future(made.ask("first"))
        await asyncio.sleep(0)
        second = await elapsed(made.ask("second"))
        return await first, second

    first, (second, _) = run(go())
    assert first.text == second.text == "up"
    assert first.attempts + second.attempts == len(made.wire.calls) == 6
    assert made.wire.peak == 1


def test_what_is_no_matter_of_luck_is_not_tried_again(bench):
    made = bench(fails(ContentFiltered("no")))
    assert isinstance(run(made.outcome()), ContentFiltered)
    assert len(made.wire.calls) == 1


def test_what_was_shown_is_not_taken_back(bench):
    made = bench(fails(ServerFailed("down", status=500), "half of it"), says("all of it"))

    async def go():
        heard: list[Chunk | Answer] = []
        with pytest.raises(ServerFailed):
            async for piece in made.engine.stream(asked(), made.context()):
                heard.append(piece)
        return [piece.text for piece in heard]

    assert run(go()) == ["half of it"] and len(made.wire.calls) == 1


def test_a_broken_answer_of_dashscope_is_asked_again_as_a_stream(bench):
    made = bench(fails(Incomplete("cut", maybe_billed=True)), says("whole"), endpoint=DASHSCOPE, direct=True)
    request = Request(MODEL, (Message("user", (Text("Why?"),)),), Settings(max_tokens=9, thinking=False))
    answer = run(made.engine.answer(request, made.context()))
    assert answer.text == "whole"
    assert [bool(call.body.get("stream")) for call in made.wire.calls] == [False, True]


def test_what_nobody_foresaw_is_a_sentence_of_ours(bench):
    made = bench(fails(ZeroDivisionError("oh")))
    error = run(made.outcome())
    assert "did not foresee" in str(error) and "ZeroDivisionError" in str(error) and error.attempts == 1


# ---------------------------------------------------------------------- the form


def test_what_does_not_fit_goes_back_with_the_complaint_and_all_is_paid_for(bench):
    made = bench(says("no JSON"), says('{"age": "x"}'), says('{"age": 36}'))
    answer = run(made.ask(schema="age int"))
    assert answer.data == {"age": 36}
    assert (answer.attempts, answer.usage.input, answer.key) == (3, 30, asked("Why?", "age int").key)
    last = made.wire.calls[-1].body["messages"]
    assert last[-2]["content"] == '{"age": "x"}' and "does not fit" in last[-1]["content"]


def test_two_complaints_are_enough(bench):
    made = bench(says("no JSON"))
    error = run(made.outcome(schema="age int"))
    assert isinstance(error, InvalidAnswer) and "after 3 attempts" in str(error)
    assert (error.attempts, error.tokens) == (3, (30, 15))


def test_a_form_that_was_cut_is_not_asked_for_again(bench):
    made = bench(says('{"age": 3', reason="length"))
    error = run(made.outcome(schema="age int"))
    assert isinstance(error, InvalidAnswer) and "max_tokens" in str(error) and len(made.wire.calls) == 1


# ---------------------------------------------------------------------- time


def test_silence_ends_at_the_deadline(bench):
    made = bench(hangs(), timeout=42.0)
    error, seconds = run(elapsed(made.outcome()))
    assert isinstance(error, TimedOut) and seconds == pytest.approx(42) and error.cost is None
    assert "gave nothing for 42 s" in str(error)


def test_before_its_first_piece_an_answer_has_half_of_a_long_timeout(bench):
    made = bench(hangs(), timeout=3600.0)
    error, seconds = run(elapsed(made.outcome()))
    assert isinstance(error, TimedOut) and seconds == pytest.approx(1800)
    assert "gave nothing for 1800 s" in str(error)


def test_five_minutes_of_silence_end_an_answer_that_has_longer(bench):
    made = bench(hangs("It is"), timeout=3600.0)
    error, seconds = run(elapsed(made.outcome()))
    assert isinstance(error, TimedOut) and seconds == pytest.approx(300)
    assert "waited for the rest of its answer" in str(error)


def test_who_is_still_writing_at_the_deadline_was_not_silent(bench):
    made = bench(says(*"abcdefghij", after=10.0), timeout=42.0)
    error, seconds = run(elapsed(made.outcome()))
    assert "was still writing its answer" in str(error) and seconds == pytest.approx(42)


def test_a_wait_that_would_outlast_the_deadline_is_told_at_once(bench):
    made = bench(fails(RateLimited("429", status=429, retry_after=25.0)), timeout=20.0)
    error, seconds = run(elapsed(made.outcome()))
    assert isinstance(error, RateLimited) and "asks to wait 2" in str(error) and seconds < 1


def test_a_wait_within_the_deadline_is_kept_by_everybody(bench):
    made = bench(fails(RateLimited("429", status=429, retry_after=5.0)), says("now"))

    async def go():
        first = asyncio.ensure_future(made.ask("first"))
        await asyncio.sleep(1)
        return await first, await elapsed(made.ask("second"))

    first, (second, _) = run(go())
    assert first.text == second.text == "now" and first.attempts == 2
    assert made.wire.sent[1] - made.wire.sent[0] >= 5


def test_none_of_many_is_given_up_for_want_of_a_turn(bench):
    """Ten answers of two seconds, one after another, and five seconds for each question."""
    made = bench(says("in turn", after=2.0), direct=True, concurrency=1, timeout=5.0)

    async def go():
        return await asyncio.gather(*(made.outcome(f"Question {n}") for n in range(10)))

    assert [type(one) for one in run(go())] == [Answer] * 10


def test_a_question_of_its_own_keeps_its_deadline(bench):
    made = bench(says("in turn", after=2.0), concurrency=1, timeout=5.0)

    async def go():
        return await asyncio.gather(*(made.outcome(f"Question {n}") for n in range(10)))

    late = [one for one in run(go()) if isinstance(one, TimedOut)]
    assert len(late) == 8 and "its turn at the endpoint's limit" in str(late[-1])
    assert len(made.wire.calls) == 3


# ---------------------------------------------------------------------- money


def test_a_budget_lets_as_many_go_at_once_as_it_can_pay_for(bench):
    bound = OPENROUTER.worst_cost(asked("Question 1"))
    budget = Budget(2.5 * bound)
    made = bench(says("cheap", cost=bound / 100), endpoint=OPENROUTER, budgets=(budget,))

    async def go():
        return await asyncio.gather(*(made.outcome(f"Question {n}") for n in range(9)))

    assert all(isinstance(one, Answer) for one in run(go()))
    assert made.wire.peak == 2 and budget.spent == pytest.approx(9 * bound / 100)


def test_a_budget_is_not_overshot(bench):
    bound = OPENROUTER.worst_cost(asked("Question 1"))
    budget = Budget(3.5 * bound)
    made = bench(says("dear", cost=bound), endpoint=OPENROUTER, budgets=(budget,))

    async def go():
        return await asyncio.gather(*(made.outcome(f"Question {n}") for n in range(9)))

    outcomes = run(go())
    assert sum(isinstance(one, Answer) for one in outcomes) == len(made.wire.calls) == 3
    assert sum(isinstance(one, BudgetExceeded) for one in outcomes) == 6
    assert budget.spent <= budget.limit


def test_what_may_have_been_billed_stays_reserved(bench):
    bound = OPENROUTER.worst_cost(asked())
    budget = Budget(100 * bound)
    lost = Incomplete("cut", maybe_billed=True)
    made = bench(
        fails(lost), fails(lost), says("whole", cost=bound / 2), endpoint=OPENROUTER, budgets=(budget,)
    )
    answer = run(made.ask())
    assert answer.attempts == 3
    assert budget.maybe_billed == pytest.approx(2 * bound) and budget.spent == pytest.approx(bound / 2)


def test_an_account_without_a_limit_only_counts(bench):
    account = Budget()
    made = bench(says("dear", cost=1.5), endpoint=OPENROUTER, budgets=(account,))
    assert run(made.ask()).cost == 1.5 and account.spent == 1.5 and account.reserved == 0


# ---------------------------------------------------------------------- the limiter's name


def test_a_server_of_ones_own_has_one_limiter_and_another_key_another(bench):
    made = bench(says("a"))

    async def go():
        own = made.engine.limiter(made.context(), MODEL)
        assert made.engine.limiter(made.context(), "qwen3.5-35b-a3b") is own
        keyed = Endpoint("vllm", VLLM.base_url, Vllm(), hosted=False, key=Secret("b"), served=VLLM.served)
        assert made.engine.limiter(made.context(endpoint=keyed), MODEL) is not own
        assert made.engine.limiter(made.context(concurrency=3), MODEL) is not own

    run(go())


def test_a_providers_quota_is_for_each_model(bench):
    made = bench(says("a"), endpoint=DASHSCOPE)

    async def go():
        flash = made.engine.limiter(made.context(), "qwen3.5-flash")
        assert made.engine.limiter(made.context(), "qwen3.5-flash") is flash
        assert made.engine.limiter(made.context(), "qwen3.5-plus") is not flash

    run(go())


# ---------------------------------------------------------------------- who listens


def listen() -> tuple[Trace, list[Event]]:
    heard: list[Event] = []
    return Trace([lambda event, _: heard.append(event)], "ask_many", MODEL), heard


def test_an_outage_is_told_as_a_pause_and_not_for_each_request(bench):
    trace, heard = listen()
    made = bench(*[fails(ServerFailed("down", status=500))] * 40, says("up"), trace=trace, direct=True)

    async def go():
        return await asyncio.gather(*(made.ask(f"{n}?") for n in range(16)))

    assert len(run(go())) == 16
    paused = [event for event in heard if isinstance(event, Paused)]
    assert {event.reason for event in paused} == {"outage"} and 1 <= len(paused) < 20
    assert sum(isinstance(event, Failed) for event in heard) == 40
    assert sum(isinstance(event, Sent) for event in heard) == 56 == len(made.wire.calls)


def test_a_request_that_nobody_waits_for_any_more_is_told_as_stopped(bench):
    trace, heard = listen()
    made = bench(hangs("a"), trace=trace)

    async def go():
        asking = asyncio.ensure_future(made.ask())
        await asyncio.sleep(1.0)
        asking.cancel()
        await asyncio.sleep(1.0)

    run(go())
    assert [type(event) for event in heard] == [Sent, Failed]
    assert (heard[1].error, heard[1].seconds, heard[1].maybe_billed) == ("Stopped", 1.0, True)


def test_a_request_whose_time_is_over_is_told_as_timed_out(bench):
    trace, heard = listen()
    error = run(bench(hangs(), trace=trace, timeout=5.0).outcome())
    assert isinstance(error, TimedOut)
    assert [(type(event), event.key) for event in heard] == [(Sent, asked().key), (Failed, asked().key)]
    assert (heard[1].error, heard[1].seconds) == ("TimedOut", 5.0)


def test_the_first_piece_of_a_stream_is_timed_and_of_a_whole_reply_it_is_not(bench):
    trace, heard = listen()
    made = bench(says("one", "two", after=0.5), trace=trace)
    run(made.ask())
    run(bench(says("one", "two", after=0.5), trace=trace, direct=True).ask())
    streamed, whole = (event for event in heard if isinstance(event, Answered))
    assert (streamed.first_seconds, streamed.seconds) == (0.5, 1.0)
    assert (whole.first_seconds, whole.seconds) == (None, 1.0)


def test_who_listens_and_raises_is_left_out_and_costs_no_answer(bench):
    def broken(event: Event, _: object) -> None:
        raise RuntimeError

    heard: list[Event] = []
    trace = Trace([broken, lambda event, _: heard.append(event)], "ask", MODEL)
    assert run(bench(says("yes"), trace=trace).ask()).text == "yes"
    assert [type(event) for event in heard] == [Sent, Answered]


def test_what_a_server_calls_itself_is_told_only_where_it_is_a_name(bench):
    async def act(call: Call) -> AsyncIterator[Payload]:
        reply = {
            "id": "gen\x1b[2J-1",
            "model": "the words of the answer",
            "choices": [{"delta": {"content": "yes"}}],
        }
        yield Payload(reply, {"x-request-id": "a" * 101})
        yield Payload({"id": "gen-1", "choices": [{"delta": {}, "finish_reason": "stop"}]}, last=True)

    trace, heard = listen()
    run(bench(act, trace=trace).ask())
    assert (heard[1].served_by, heard[1].reply_id, heard[1].request_id) == ("", "gen-1", "")
