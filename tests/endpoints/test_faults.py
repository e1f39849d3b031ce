"""What can go wrong with an answer, through the client, in a cell and in a column: what the user is told, how often it
was asked for, and that nothing but whole answers is remembered.

A cell goes through the openai package and streams; a column goes straight to the socket, and at DashScope it streams.
The cases wait for each other's back-off, so they are all run at once, each against a simulator of its own; the tests
then look at what came of them.
"""

import asyncio
import itertools
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path

import orjson
import pytest

from qwennb import Qwen
from qwennb.errors import (
    BadInput,
    ContentFiltered,
    CreditExhausted,
    Incomplete,
    InvalidAnswer,
    KeyRefused,
    ModelRefused,
    QwenError,
    RateLimited,
    RequestRefused,
    ServerFailed,
    TimedOut,
    Unreachable,
)
from qwennb.simulator import FAULTS, Fault, Reply

from .kit import client, simulator, stored
from .wire import Raw, reply, serving

TEXT = "Three rivers meet in this town, and 世界 knows that all of them are cold in the early morning."
OBJECT = '{"name": "Ada", "age": 36}'
CELL, COLUMN, STREAMED = "cell", "column", "streamed column"
LANES = {CELL: "openrouter", COLUMN: "openrouter", STREAMED: "dashscope"}


@dataclass(frozen=True)
class Row:
    """One fault: the error that comes of it when it never ends, after how many attempts; None: it is an answer.

    `stream` is the error where a stream says it in another way. `once`: the attempts after which an answer comes when
    the fault strikes once.
    """

    fault: str
    error: type | None
    attempts: int | None = 3
    stream: type | None = None
    once: int | None = None
    timeout: float = 20.0
    seconds: float | None = None
    size: int | None = None
    schema: bool = False

    def lanes(self):
        modes = FAULTS[self.fault].modes
        return [lane for lane in LANES if ("plain" if lane == COLUMN else "stream") in modes]


REFUSED = [
    Row("400", RequestRefused, 1), Row("401", KeyRefused, 1), Row("402", CreditExhausted, 1),
    Row("404", ModelRefused, 1), Row("413", RequestRefused, 1), Row("422", RequestRefused, 1), Row("501", ServerFailed, 1),
]  # fmt: skip
PASSING = [
    Row(status, None, attempts=None, once=2)
    for status in ("408", "409", "500", "502", "503", "504", "524", "529")
]
TABLE = [
    *REFUSED,
    *PASSING,
    Row("redirect", ServerFailed, 1),
    Row("html", ServerFailed, once=2),
    Row("html_as_json", ServerFailed, stream=Incomplete, once=2),
    Row("error_in_200", ServerFailed, once=2),
    Row("no_choices", Incomplete, once=2),
    Row("null_content", Incomplete, once=2),
    Row("empty_content", Incomplete, once=2),
    Row("reasoning_only", Incomplete, once=2),
    Row("bad_utf8", ServerFailed, once=2),
    Row("bad_json", ServerFailed, once=2),
    Row("nan_body", ServerFailed, once=2),
    Row("empty_body", ServerFailed, stream=Incomplete, once=2),
    Row("reset", Incomplete, once=2),
    Row("reset_midway", Incomplete, once=2),
    Row("short_body", Incomplete, once=2),
    Row("no_finish", Incomplete, once=2),
    Row("done_only", Incomplete, once=2),
    Row("stream_html", Incomplete, once=2),
    Row("html_midway", Incomplete, once=2),
    Row("comments_only", Incomplete, seconds=0.2, once=2),
    Row("error_midway", ServerFailed, once=2),
    Row("content_filter", ContentFiltered, 1),
    Row("length", Incomplete, 1),
    Row("hang", TimedOut, 1, timeout=3.0),
    Row("hang_midway", TimedOut, 1, timeout=3.0),
    # whole answers, oddly delivered
    Row("duplicate_body", None, 1),
    Row("no_done", None, 1),
    Row("drip", None, 1, seconds=0.0005),
    Row("utf8_split", None, 1),
    Row("comment_flood", None, 1, size=20_000),
    # answers of another form than was asked for
    Row("wrong_schema", InvalidAnswer, schema=True, once=2),
    Row("cut_json", InvalidAnswer, schema=True, once=2),
    Row("duplicate_keys", InvalidAnswer, schema=True, once=2),
    Row("nan", InvalidAnswer, schema=True, once=2),
    Row("fenced_json", None, 1, schema=True),
]  # fmt: skip
# What stands in no row: refusals in one server's own words (test_dialects), money of its own kind, what needs more room.
ELSEWHERE = {
    "403", "429", "burst", "concurrency", "token_quota", "current_quota", "free_quota", "free_tier_only", "not_purchased",
    "prepaid_overdue", "postpaid_overdue", "budget_limit", "arrearage", "inspected", "not_activated", "algo",
    "algo_parameter", "capacity", "no_endpoints", "moderated", "refused", "policy", "loading", "partial", "long_line",
    "huge_body", "endless",
}  # fmt: skip


def cases():
    for row in TABLE:
        for lane in row.lanes():
            if row.attempts is not None:
                yield row, lane, False
            if row.once is not None:
                yield row, lane, True


def named(item):
    row, lane, once = item
    return f"{row.fault} {'once' if once else 'always'} in a {lane}"


@dataclass
class Outcome:
    """What came of one case."""

    answer: object
    error: object
    asked: int
    records: list


def happens(item, folder):
    row, lane, once = item
    said = OBJECT if row.schema else TEXT
    fault = Fault(row.fault, times=1 if once else None, seconds=row.seconds, size=row.size)
    with simulator(LANES[lane], script=lambda asked: said, faults=[fault]) as sim:
        qwen = client(sim, folder, timeout=row.timeout)
        given = {"schema": "name, age int"} if row.schema else {}
        answer, error = None, None
        try:
            if lane == CELL:
                answer = qwen.ask("Hello", **given)
            else:
                (answer,) = qwen.ask_many(["Hello"], **given)
                error = answer.error
        except QwenError as raised:
            error = raised
        asked = sim.ledger.count("asked")
        assert {entry.fault for entry in sim.ledger.asks()[: 1 if once else None]} <= {row.fault}
        return Outcome(answer, error, asked, stored(qwen))


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """Every case, run side by side."""
    items = list(cases())
    folders = [tmp_path_factory.mktemp("fault") for _ in items]
    with ThreadPoolExecutor(32) as pool:
        return dict(zip(map(named, items), pool.map(happens, items, folders), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("item", list(cases()), ids=named)
def test_each_fault_has_its_error_its_attempts_and_no_place_in_the_cache(outcomes, item):
    row, lane, once = item
    outcome = outcomes[named(item)]
    kind = None if once else (row.stream or row.error) if lane != COLUMN else row.error
    assert type(outcome.error) is (kind or type(None)), outcome.error
    assert outcome.asked == (row.once if once else row.attempts)
    kept = kind is None
    assert len(outcome.records) == kept
    if kept:
        said = OBJECT if row.schema else TEXT
        assert outcome.answer.attempts == outcome.asked
        assert json.loads(outcome.records[0][1])["answer"]["text"].strip("`json\n") == said.strip("`json\n")


@pytest.mark.parametrize("fault", ["hang", "hang_midway"])
@pytest.mark.parametrize("lane", LANES)
@pytest.mark.slow
def test_silence_ends_at_the_deadline(fault, lane, tmp_path):
    with simulator(LANES[lane], script=lambda asked: TEXT, faults=[Fault(fault, when={1})]) as sim:
        client(sim, tmp_path / "before").ask(
            "Hello"
        )  # whatever is loaded for a question is loaded before the clock runs
        # What comes just before the deadline is no silence: on a busy machine even the first piece may come late.
        qwen = client(sim, tmp_path, timeout=2.0 if fault == "hang" else 4.0)
        assert stored(qwen) == []
        started = time.monotonic()
        silence = "2" if fault == "hang" else r"[1-4]"  # since the last piece
        with pytest.raises(TimedOut, match=rf"gave nothing for {silence} s.*timeout="):
            if lane == CELL:
                qwen.ask("Hello")
            else:
                raise qwen.ask_many(["Hello"])[0].error
        assert time.monotonic() - started < 20, "and not at the end of the silence, which has none"
        assert sim.ledger.count("asked") == 2


def test_every_fault_of_the_simulator_stands_in_a_table():
    assert {row.fault for row in TABLE} | ELSEWHERE == set(FAULTS)
    assert not {row.fault for row in TABLE} & ELSEWHERE


@pytest.mark.slow
def test_a_fault_is_told_in_one_line_that_names_the_place(outcomes):
    for outcome in outcomes.values():
        if outcome.error is not None:
            words = str(outcome.error)
            assert "\n" not in words
            assert words.endswith((".", "…"))
            assert len(words) < 420
            assert isinstance(outcome.error, InvalidAnswer) or "openrouter" in words or "dashscope" in words


def test_an_answer_that_was_cut_for_want_of_a_stream_is_asked_again_as_a_stream(tmp_path):
    with simulator("dashscope", script=lambda asked: TEXT, faults=[Fault("partial")]) as sim:
        (answer,) = client(sim, tmp_path).ask_many(["Hello"], thinking=False, max_tokens=100)
        assert (answer.error, answer.text, answer.attempts) == (None, TEXT, 2)
        assert [entry.body.get("stream") for entry in sim.ledger.asks()] == [None, True]


@pytest.mark.parametrize("lane", [CELL, STREAMED])
@pytest.mark.slow
def test_a_server_that_was_still_writing_at_the_deadline_is_not_said_to_be_silent(lane, tmp_path):
    def trickle(asked):
        return Reply("word " * 2000, chunk_delay=0.02)

    with simulator(LANES[lane], script=trickle) as sim:
        qwen = client(sim, tmp_path, timeout=3.0)
        with pytest.raises(TimedOut) as caught:
            if lane == CELL:
                qwen.ask("Hello")
            else:
                raise qwen.ask_many(["Hello"])[0].error
        assert "was still writing its answer" in str(caught.value)
        assert "gave nothing" not in str(caught.value)
        assert "timeout=" in str(caught.value)


@pytest.mark.slow
def test_a_pause_of_our_own_is_not_said_to_be_the_servers_wish(tmp_path):
    with simulator("openrouter", faults=[Fault("503")]) as sim:  # it names no time to wait
        answers = client(sim, tmp_path, timeout=6.0).ask_many([f"Question {n}" for n in range(60)])
        told = {str(answer.error) for answer in answers}
        assert not any("asks to wait" in words for words in told), told
        assert all("openrouter" in words for words in told)


# ---------------------------------------------------------------------- what was already shown


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("reset_midway", Incomplete),
        ("no_finish", Incomplete),
        ("short_body", Incomplete),
        ("error_midway", ServerFailed),
        ("bad_json", ServerFailed),
        ("hang_midway", TimedOut),
    ],
)
@pytest.mark.slow
def test_what_was_shown_is_not_taken_back_by_asking_again(fault, kind, tmp_path):
    with simulator("openrouter", script=lambda asked: TEXT, faults=[Fault(fault, times=1)]) as sim:
        qwen = client(sim, tmp_path, timeout=2.0)
        shown = []
        with pytest.raises(kind) as caught:
            for piece in qwen.stream("Hello"):
                shown.append(piece.text)
        assert type(caught.value) is kind
        assert shown
        assert TEXT.startswith("".join(shown))
        assert sim.ledger.count("asked") == 1
        assert stored(qwen) == []


@pytest.mark.parametrize("fault", ["reset", "500", "429", "html"])
def test_a_stream_that_had_shown_nothing_is_asked_again(fault, tmp_path):
    with simulator(
        "openrouter", script=lambda asked: TEXT, faults=[Fault(fault, times=1, retry_after=0.01)]
    ) as sim:
        stream = client(sim, tmp_path).stream("Hello")
        assert "".join(piece.text for piece in stream) == TEXT
        assert sim.ledger.count("asked") == 2


# ---------------------------------------------------------------------- too fast

FIRST_PAUSE = 1.0
# what the server says, in which form; seconds until the next question; None: told at once, for it is too long
WAITS = {
    "seconds": (1.5, "seconds", 1.5),  # longer than the pause that is taken unasked
    "milliseconds": (1.5, "ms", 1.5),
    "a date": (formatdate(time.time() + 86_400, usegmt=True), "date", None),
    "a date that has passed": (formatdate(0, usegmt=True), "date", FIRST_PAUSE),
    "two minutes": (121, "seconds", None),
    "thirty years": (1e9, "seconds", None),
    "junk": ("soon", "seconds", FIRST_PAUSE),
    "a negative number": ("-5", "seconds", FIRST_PAUSE),
    "nothing": (None, "seconds", FIRST_PAUSE),
}


def waits(item, folder):
    (value, form, _), lane = item
    fault = Fault("429", times=1, retry_after=value, retry_form=form)
    with simulator(LANES[lane], script=lambda asked: TEXT, faults=[fault]) as sim:
        qwen = client(sim, folder, timeout=10.0)
        try:
            answer = qwen.ask("Hello") if lane == CELL else qwen.ask_many(["Hello"])[0]
            error = answer.error
        except QwenError as raised:
            error = raised
        arrived = [entry.arrived for entry in sim.ledger.asks()]
        return error, [later - earlier for earlier, later in itertools.pairwise(arrived)]


@pytest.fixture(scope="module")
def waited(tmp_path_factory):
    """How long was waited after each refusal, run side by side."""
    items = [(said, lane) for said in WAITS.values() for lane in (CELL, COLUMN)]
    folders = [tmp_path_factory.mktemp("wait") for _ in items]
    with ThreadPoolExecutor(6) as pool:
        return dict(zip(items, pool.map(waits, items, folders), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("lane", [CELL, COLUMN])
@pytest.mark.parametrize("name", WAITS)
def test_a_server_that_says_wait_is_waited_for_or_told_of(waited, name, lane):
    error, gaps = waited[WAITS[name], lane]
    seconds = WAITS[name][2]
    if seconds is None:
        assert type(error) is RateLimited
        assert "asks to wait" in str(error)
        assert "timeout=" in str(error)
        assert gaps == []
    else:
        assert error is None
        (gap,) = gaps
        assert (
            seconds <= gap <= seconds * 1.1 + 20
        )  # the engine's own tests say how exactly, on a clock of theirs


@pytest.mark.slow
def test_the_whole_fleet_waits_when_one_is_told_to(tmp_path):
    fault = Fault("429", times=1, retry_after=2.0)
    with simulator("openrouter", faults=[fault]) as sim:
        answers = client(sim, tmp_path).ask_many([f"Question {n}" for n in range(40)])
        assert all(answer.error is None for answer in answers)
        asks = sim.ledger.asks()
        refused = next(entry for entry in asks if entry.status == 429)
        quiet = [e for e in asks if refused.finished + 1.0 < e.arrived < refused.arrived + 2.0]
        assert quiet == []
        assert len(asks) == 41


# ---------------------------------------------------------------------- nobody there


def fails_fast(folder, endpoint, **given):
    qwen = Qwen(endpoint=endpoint, api_key="sk-sim", model="9b", cache_dir=folder, **given)
    told = []
    for ask in (lambda: qwen.ask("Hello"), lambda: qwen.ask_many(["Hello"])[0].error):
        started = time.monotonic()
        try:
            error = ask()
        except QwenError as raised:
            error = raised
        told.append((type(error), str(error)))
        assert time.monotonic() - started < 60, "long before its time of ten minutes is over"
    assert told[0] == told[1]
    assert told[0][0] is Unreachable
    assert stored(qwen) == []
    return told[0][1]


def test_a_server_that_is_down_is_told_at_once_with_its_address(tmp_path):
    # Port 9 is none that is given to whoever asks for one: no test beside this one opens it.
    assert "127.0.0.1:9 can't be reached" in fails_fast(tmp_path, "vllm+http://127.0.0.1:9/v1")


def test_a_host_that_does_not_exist_is_told_at_once(tmp_path):
    assert "can't be reached" in fails_fast(tmp_path, "openrouter+https://nope.invalid/api/v1")


def test_a_certificate_that_nobody_signed_is_told_at_once(tmp_path):
    async def run():
        async with serving(Raw(reply()), tls=(Path(__file__).with_name("localhost.pem"),)) as port:
            return await asyncio.to_thread(
                fails_fast, tmp_path, f"openrouter+https://localhost:{port}/api/v1"
            )

    assert "no certificate that this machine trusts" in asyncio.run(run())


# ---------------------------------------------------------------------- too slow, too long, too much

DEADLINE = 1.0
GREEDY = {
    "drip": (Fault("drip"), TimedOut),
    "endless": (Fault("endless"), TimedOut),
    "endless at full speed": (Fault("endless", seconds=0.0), TimedOut),
    "two gigabytes": (Fault("huge_body"), (ServerFailed, TimedOut)),
    "a line of a million": (Fault("long_line"), (type(None), TimedOut)),
    "a line of forty million": (Fault("long_line", size=40_000_000), (ServerFailed, TimedOut)),
    "a million comments": (Fault("comment_flood"), (type(None), TimedOut)),
    "comments without end": (Fault("comments_only", seconds=60.0), TimedOut),
}


@pytest.fixture(scope="module")
def glutton(tmp_path_factory):
    """What a process of its own told of each: error, seconds, and the memory that it took above its base."""
    sims, steps = [], []
    for name, (fault, _) in GREEDY.items():
        for lane in LANES:
            if ("plain" if lane == COLUMN else "stream") in fault.kind.modes:
                sims.append(simulator(LANES[lane], script=lambda asked: TEXT, faults=[fault]).start())
                endpoint = f"{'openrouter' if lane != STREAMED else 'dashscope-intl'}+{sims[-1].base_url}"
                steps.append({"name": name, "lane": lane, "endpoint": endpoint, "timeout": DEADLINE})
    plain = simulator("vllm").start()
    folder = tmp_path_factory.mktemp("glutton")

    async def run():
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.endpoints.glutton", str(folder), f"vllm+{plain.base_url}",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2],
        )  # fmt: skip
        return json.loads((await process.communicate(orjson.dumps(steps)))[0])

    told = asyncio.run(run())
    for sim in [*sims, plain]:
        sim.stop()
    return {(step["name"], step["lane"]): one for step, one in zip(steps, told, strict=True)}


@pytest.mark.slow
@pytest.mark.parametrize("name", GREEDY)
def test_the_deadline_and_the_byte_cap_hold_in_time_and_in_memory(glutton, name):
    kinds = GREEDY[name][1] if isinstance(GREEDY[name][1], tuple) else (GREEDY[name][1],)
    found = {lane: told for (known, lane), told in glutton.items() if known == name}
    assert found
    for told in found.values():
        assert told["error"] in [kind.__name__ for kind in kinds], told["words"]
        assert told["seconds"] <= DEADLINE + 20, "none of them would end by itself"
        assert told["mebibytes"] <= 64
        assert told["kept"] == (told["error"] == "NoneType")


def test_a_question_that_can_not_be_asked_costs_no_attempt(tmp_path):
    with simulator("openrouter") as sim:
        answers = client(sim, tmp_path).ask_many([{"x": "Hello"}, {}], prompt="Say {{ x }}")
        assert isinstance(answers[1].error, BadInput)
        assert answers[0].error is None
        assert sim.ledger.count("asked") == 1
