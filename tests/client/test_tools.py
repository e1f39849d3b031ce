"""Whose tools run, when, and what comes of one that fails."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from typing import Annotated

import pytest
from pydantic import AfterValidator

from qwennb import Chat
from qwennb.cache import Pack
from qwennb.client import Options, runtime
from qwennb.errors import BadInput, NotRecorded, ToolError
from qwennb.simulator import Reply, ToolCall


def calls(*pairs: tuple[str, dict[str, object]]) -> Reply:
    return Reply(tool_calls=[ToolCall(name, arguments) for name, arguments in pairs])


class Notes:
    """A tool, and what it was called with."""

    def __init__(self) -> None:
        self.ran: list[str] = []

    @property
    def tool(self):
        def note(text: str) -> str:
            """Write it down."""
            self.ran.append(text)
            return f"noted {text}"

        return note


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def no_packs():
    yield
    runtime().packs.forget()


def pack_of(simulate, client, tmp_path, notes, *replies, results=None, prompt="Note it") -> str:
    """A pack whose first step calls `note`, and holds *results* for it; what a stranger could send."""
    sim = simulate(script=list(replies) or [calls(("note", {"text": "rm -rf"})), "Noted."])
    maker = client(sim, cache_dir=tmp_path / "theirs")
    maker.ask(prompt, tools=[notes.tool])
    notes.ran.clear()
    answers = [
        replace(answer, tool_results=results) if answer.tool_calls else answer
        for answer in Pack.of_records(dict(maker.session.memory.store.items()))
    ]
    file = tmp_path / "theirs.qwenpack"
    Pack.of(answers).write(file)
    return str(file)


WRONG = {"none": None, "too few": (), "too many": ("a", "b")}


@pytest.mark.parametrize("results", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("mode", ["on", "replay"])
@pytest.mark.parametrize("door", ["ask", "ask_async", "chat", "chat async", "approving chat"])
def test_a_pack_never_runs_the_readers_tools(
    simulate, client, tmp_path, notes, no_packs, door, mode, results
):
    file = pack_of(simulate, client, tmp_path, notes, results=results)
    sim = simulate(script=["Live."])
    mine = client(sim, cache=mode)
    runtime().load(file)
    approved: list[str] = []
    chat = Chat(mine, tools=[notes.tool], approve=lambda call: approved.append(call.name) or True)
    ask = {
        "ask": lambda: mine.ask("Note it", tools=[notes.tool]),
        "ask_async": lambda: asyncio.run(mine.ask_async("Note it", tools=[notes.tool])),
        "chat": lambda: mine.chat(tools=[notes.tool]).ask("Note it"),
        "chat async": lambda: asyncio.run(mine.chat(tools=[notes.tool]).ask_async("Note it")),
        "approving chat": lambda: chat.ask("Note it"),
    }[door]
    with pytest.raises(NotRecorded, match=r"`note`.*not recorded.*cache=\"refresh\""):
        ask()
    assert notes.ran == [] and approved == [] and sim.ledger.count("asked") == 0


def test_a_pack_with_its_results_runs_nothing_and_answers(simulate, client, tmp_path, notes, no_packs):
    file = pack_of(simulate, client, tmp_path, notes, results=("noted rm -rf",))
    runtime().load(file)
    assert str(client(simulate()).ask("Note it", tools=[notes.tool])) == "Noted."
    assert notes.ran == []


def test_replay_runs_no_tool_even_for_a_step_of_ones_own(simulate, client, notes):
    sim = simulate(script=[calls(("note", {"text": "x"})), "Noted."])
    qwen = client(sim)
    qwen.session.answer(
        qwen.session.build_request("Note x", {}, Options(tools=[notes.tool])), Options()
    )  # asked; nothing was run
    with pytest.raises(NotRecorded, match="`note`"):
        qwen.ask("Note x", tools=[notes.tool], cache="replay")
    assert notes.ran == []
    assert str(qwen.ask("Note x", tools=[notes.tool])) == "Noted." and notes.ran == ["x"]


def test_ones_own_step_still_runs_where_a_pack_says_the_same(simulate, client, tmp_path, notes, no_packs):
    sim = simulate(script=[calls(("note", {"text": "x"})), "Noted."])
    qwen = client(sim)
    qwen.session.answer(qwen.session.build_request("Note x", {}, Options(tools=[notes.tool])), Options())
    qwen.pack(
        qwen.session.answer(qwen.session.build_request("Note x", {}, Options(tools=[notes.tool])), Options())
    ).write(tmp_path / "mine.qwenpack")
    runtime().load(tmp_path / "mine.qwenpack")
    assert str(qwen.ask("Note x", tools=[notes.tool])) == "Noted." and notes.ran == ["x"]


def test_refresh_asks_and_runs_whatever_a_pack_holds(simulate, client, tmp_path, notes, no_packs):
    file = pack_of(simulate, client, tmp_path, notes)
    runtime().load(file)
    sim = simulate(script=[calls(("note", {"text": "mine"})), "Live."])
    assert str(client(sim).ask("Note it", tools=[notes.tool], cache="refresh")) == "Live."
    assert notes.ran == ["mine"]


# ---------------------------------------------------------------------- tool_choice


@pytest.mark.parametrize("choice", ["required", "note", {"type": "function", "function": {"name": "note"}}])
@pytest.mark.parametrize("dialect", ["openrouter", "vllm", "sglang"])
def test_a_forced_tool_is_forced_once(simulate, client, notes, dialect, choice):
    def obey(asked):
        forced = asked.body.get("tool_choice") not in (None, "auto")
        return calls(("note", {"text": "x"})) if forced else "Noted."

    sim = simulate(dialect, script=obey)
    assert str(client(sim).ask("Note x", tools=[notes.tool], tool_choice=choice)) == "Noted."
    assert notes.ran == ["x"]
    first, second = (ask.body for ask in sim.ledger.asks())
    assert first["tool_choice"] not in (None, "auto") and "tool_choice" not in second


def test_a_forced_tool_is_forced_once_in_each_question_of_a_chat(simulate, client, notes):
    def obey(asked):
        return calls(("note", {"text": "x"})) if asked.body.get("tool_choice") == "required" else "Noted."

    sim = simulate(script=obey)
    chat = client(sim).chat(tools=[notes.tool], tool_choice="required")
    assert [str(chat.ask("One")), str(chat.ask("Two"))] == ["Noted.", "Noted."]
    assert [ask.body.get("tool_choice") for ask in sim.ledger.asks()] == ["required", None] * 2


def test_what_0_1_recorded_with_the_choice_repeated_still_replays(simulate, client, notes):
    sim = simulate(script=[calls(("note", {"text": "x"})), "Noted by 0.1."])
    qwen = client(sim)
    options = Options(tools=[notes.tool], tool_choice="required")
    request = qwen.session.build_request("Note x", {}, options)
    first = qwen.session.answer(request, Options())
    from qwennb.client.tools import message_of
    from qwennb.request import Message, Text

    told = Message("tool", (Text("noted x"),), tool_call_id=first.tool_calls[0].id)
    second = replace(request, messages=(*request.messages, message_of(first), told))
    assert second.settings.tool_choice == "required"
    qwen.session.answer(second, Options())
    file = [replace(first, tool_results=("noted x",)), qwen.session.answer(second, Options())]
    Pack.of(file).write(qwen.session.config.cache_dir / "old.qwenpack")
    for mode in ("replay", "on"):
        reader = client(sim, cache_dir=qwen.session.config.cache_dir / mode, cache=mode)
        try:
            runtime().load(qwen.session.config.cache_dir / "old.qwenpack")
            assert str(reader.ask("Note x", tools=[notes.tool], tool_choice="required")) == "Noted by 0.1."
        finally:
            runtime().packs.forget()
    assert notes.ran == [] and sim.ledger.count("asked") == 2


CHOICES = [
    ({"tool_choice": "required"}, "needs tools="),
    ({"tool_choice": "auto"}, "needs tools="),
    ({"tool_choice": "note"}, "needs tools="),
    ({"tool_choice": "required", "tools": []}, "needs tools="),
    ({"tool_choice": "note_it", "tools": True}, "no tool `note_it`; did you mean `note`"),
    ({"tool_choice": "Required", "tools": True}, "no tool `Required`"),
]


@pytest.mark.parametrize(("given", "words"), CHOICES)
@pytest.mark.parametrize("door", ["ask", "ask_async", "ask_many", "stream", "chat", "client", "openai"])
def test_a_choice_that_names_no_tool_is_refused_before_anything_is_sent(
    simulate, client, notes, door, given, words
):
    sim = simulate()
    qwen = client(sim)
    options = {**given, **({"tools": [notes.tool]} if given.get("tools") is True else {})}
    if door == "stream":
        options.pop("tools", None)
        words = "needs tools="
    if door == "openai":
        from qwennb.request import Tool

        body = {"messages": [{"role": "user", "content": "Go"}], "model": "qwen3.5-flash", **options}
        if "tools" in body:
            body["tools"] = [Tool.of(tool).definition() for tool in body["tools"]]
        if options["tool_choice"] not in ("auto", "required", "none"):
            body["tool_choice"] = {"type": "function", "function": {"name": options["tool_choice"]}}
        with pytest.raises(Exception, match=words):
            qwen.openai.chat.completions.create(**body)
    elif door == "ask_many":
        [answer] = qwen.ask_many(["Go"], **options)
        assert isinstance(answer.error, BadInput) and words in str(answer.error)
    else:
        ask = {
            "ask": lambda: qwen.ask("Go", **options),
            "ask_async": lambda: asyncio.run(qwen.ask_async("Go", **options)),
            "stream": lambda: list(qwen.stream("Go", **options)),
            "chat": lambda: qwen.chat(tools=options.pop("tools", ())).ask("Go", **options),
            "client": lambda: client(sim, **options).ask("Go"),
        }[door]
        with pytest.raises(ToolError, match=words):
            ask()
    assert sim.ledger.count("asked") == 0 and notes.ran == []


# ---------------------------------------------------------------------- what user code raises


class Rude(BaseException):
    """An exception that is no Exception."""


class Unspeakable(Exception):
    """An error that can't be put in words."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


RAISED = {
    "SystemExit": SystemExit(3),
    "GeneratorExit": GeneratorExit("gone"),
    "CancelledError": asyncio.CancelledError("no"),
    "Rude": Rude("no manners"),
    "ExceptionGroup": ExceptionGroup("several", [ValueError("a"), OSError("b")]),
    "BaseExceptionGroup": BaseExceptionGroup("several", [SystemExit(1)]),
    "StopIteration": StopIteration("over"),
    "Unspeakable": Unspeakable(),
    "RecursionError": RecursionError("deep"),
}


@pytest.mark.parametrize("name", RAISED)
@pytest.mark.parametrize("door", ["ask", "ask_async"])
@pytest.mark.parametrize("kind", ["plain", "async"])
def test_whatever_a_tool_raises_is_its_result_and_the_loop_goes_on(simulate, client, name, door, kind):
    error = RAISED[name]
    if isinstance(error, GeneratorExit) and door == "ask_async":
        pytest.skip("a coroutine is told so that it is closed")

    def plain() -> str:
        """Break."""
        raise error

    async def slow() -> str:
        """Break."""
        await asyncio.sleep(0)
        raise error

    tool = plain if kind == "plain" else slow
    sim = simulate(script=[calls((tool.__name__, {})), "Sorry.", "Still here."])
    qwen = client(sim)
    answer = (
        qwen.ask("Try", tools=[tool]) if door == "ask" else asyncio.run(qwen.ask_async("Try", tools=[tool]))
    )
    assert str(answer) == "Sorry."
    told = sim.ledger.last().body["messages"][-1]["content"]
    # Python itself turns a StopIteration that leaves a coroutine into a RuntimeError.
    assert told.startswith(("Error: RuntimeError: ", f"Error: {name}")) and len(told) < 500
    assert str(qwen.ask("And now?")) == "Still here."


def test_a_keyboard_interrupt_out_of_an_async_tool_is_its_result(simulate, client):
    async def broken() -> str:
        """Break."""
        raise KeyboardInterrupt("not the user's")

    sim = simulate(script=[calls(("broken", {})), "Sorry.", "Still here."])
    qwen = client(sim)
    assert str(qwen.ask("Try", tools=[broken])) == "Sorry."
    assert str(qwen.ask("And now?")) == "Still here."


def test_an_interrupt_while_a_tool_runs_ends_the_call_and_nothing_else(simulate, client):
    def broken() -> str:
        """Break."""
        raise KeyboardInterrupt

    sim = simulate(script=[calls(("broken", {})), "Still here."])
    qwen = client(sim)
    with pytest.raises(KeyboardInterrupt):
        qwen.ask("Try", tools=[broken])
    assert str(qwen.ask("And now?")) == "Still here."
    # On another thread no user's interrupt arrives: there it is the tool's own doing.
    sim.script([calls(("broken", {})), "Sorry."])
    heard: list[str] = []
    thread = threading.Thread(target=lambda: heard.append(str(client(sim).ask("Try anew", tools=[broken]))))
    thread.start()
    thread.join()
    assert heard == ["Sorry."]


def test_a_cancelled_question_ends_while_its_tool_runs(simulate, client):
    begun, ended = threading.Event(), threading.Event()

    async def wait() -> str:
        """Wait."""
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()
        return "never"

    qwen = client(simulate(script=[calls(("wait", {})), "No."]))

    async def cancel() -> None:
        task = asyncio.create_task(qwen.ask_async("Try", tools=[wait]))
        await asyncio.to_thread(begun.wait, 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert ended.is_set()


class Odd:
    """A value that JSON and str can't tell."""

    def __str__(self) -> str:
        raise SystemExit(1)


VALUES = {"unspeakable": Odd(), "lone surrogate": "a\ud800b", "nested surrogate": {"a": "\ud800"}, "loop": []}
VALUES["loop"].append(VALUES["loop"])


@pytest.mark.parametrize("name", VALUES)
def test_whatever_a_tool_gives_is_told_as_text(simulate, client, name):
    def give():
        """Give."""
        return VALUES[name]

    sim = simulate(script=[calls(("give", {})), "Fine."])
    assert str(client(sim).ask("Give", tools=[give])) == "Fine."
    told = sim.ledger.last().body["messages"][-1]["content"]
    told.encode()
    assert told.startswith("Error: SystemExit") if name == "unspeakable" else "ud800" in told or "..." in told


def refuse(value: str) -> str:
    raise SystemExit("not that")


def test_arguments_whose_own_check_fails_in_its_own_way_are_told_to_the_model(simulate, client):
    def find(city: Annotated[str, AfterValidator(refuse)]) -> str:
        """Find."""
        return city

    sim = simulate(script=[calls(("find", {"city": "Bonn"})), "Sorry."])
    assert str(client(sim).ask("Find", tools=[find])) == "Sorry."
    assert "arguments do not fit: SystemExit: not that" in sim.ledger.last().body["messages"][-1]["content"]


@pytest.mark.parametrize(
    "error", [RuntimeError("no"), SystemExit(3), ExceptionGroup("x", [OSError()]), Rude("x")]
)
@pytest.mark.parametrize("door", ["ask", "ask_async"])
def test_a_consent_that_fails_runs_nothing_and_is_the_calls_error(simulate, client, notes, error, door):
    def approve(call):
        raise error

    sim = simulate(script=[calls(("note", {"text": "x"})), "Noted."])
    chat = Chat(client(sim), tools=[notes.tool], approve=approve)
    with pytest.raises(
        ToolError, match=rf"approve= failed for `note`.*{type(error).__name__}.*Nothing was run"
    ):
        chat.ask("Note x") if door == "ask" else asyncio.run(chat.ask_async("Note x"))
    assert notes.ran == [] and chat.messages == ()
    assert str(Chat(client(sim), tools=[notes.tool], approve=lambda call: True).ask("Note x")) == "Noted."


def test_a_consent_that_is_a_coroutine_is_no_consent(simulate, client, notes):
    async def approve(call) -> bool:
        return False

    sim = simulate(script=[calls(("note", {"text": "x"})), "Noted."])
    with pytest.raises(ToolError, match="approve= must be an ordinary function"):
        Chat(client(sim), tools=[notes.tool], approve=approve).ask("Note x")
    assert notes.ran == []


def test_a_denied_call_is_recorded_as_denied_and_replays_so(simulate, client, notes):
    sim = simulate(script=[calls(("note", {"text": "x"}), ("note", {"text": "y"})), "Half."])
    qwen = client(sim)
    picky = Chat(qwen, tools=[notes.tool], approve=lambda call: '"x"' in call.arguments)
    assert str(picky.ask("Note")) == "Half." and notes.ran == ["x"]
    # In replay nobody is asked.
    again = Chat(client(sim, cache="replay"), tools=[notes.tool], approve=lambda call: 1 / 0)
    assert str(again.ask("Note")) == "Half." and notes.ran == ["x"]
    # Asked anew, the user may allow what was denied; what ran does not run again.
    sim.script(["All."])
    assert str(Chat(qwen, tools=[notes.tool], approve=lambda call: True).ask("Note")) == "All."
    assert notes.ran == ["x", "y"]
    steps = [a for a in Pack.of_records(dict(qwen.session.memory.store.items())) if a.tool_calls]
    assert [step.consents for step in steps] == [(True, True)]


def test_an_answer_with_consents_comes_back_from_a_pack_as_it_was(simulate, client, notes, tmp_path):
    sim = simulate(script=[calls(("note", {"text": "x"})), "No."])
    qwen = client(sim)
    Chat(qwen, tools=[notes.tool], approve=lambda call: False).ask("Note")
    Pack.of_records(dict(qwen.session.memory.store.items())).write(tmp_path / "a.qwenpack")
    [step] = [answer for answer in Pack.read(tmp_path / "a.qwenpack") if answer.tool_calls]
    assert step.consents == (False,) and "did not allow" in step.tool_results[0]
    (tmp_path / "b.qwenpack").write_text(
        (tmp_path / "a.qwenpack").read_text().replace('"consents":[false]', '"consents":["no"]')
    )
    with pytest.raises(BadInput):
        Pack.read(tmp_path / "b.qwenpack")
