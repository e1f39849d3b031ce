"""The tool loop: written once, as a coroutine, for callers that await and for those that do not.

Who awaits is a `LoopCaller`. For a `ThreadCaller` everything is done at once, on its own thread, so that the coroutine never
waits and `run_now` comes to its end without a loop.

A tool runs only for an answer that was asked here: by this process, or before, into the user's own store. In replay, and
for what a pack holds, results that are not recorded are an error. Where consent is asked for, what was said is kept
beside the results: in replay it is taken from there, and a call that was denied is put before the user again only where
it may run.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import orjson

from qwennb.answer import Answer
from qwennb.client.bridge import Bridge
from qwennb.client.validation import FREE_CHOICES
from qwennb.documents import is_frame
from qwennb.errors import NotRecorded, QwenError, ToolError
from qwennb.request import Message, Request, Text, Tool, ToolCall, canonical_json, parse_json, part_of

T = TypeVar("T")
MAX_STEPS = (
    8  # questions of one loop, where max_steps= does not say: a model that still calls then goes in circles
)
DENIED = "the user did not allow this call"
UNATTENDED = "nobody was there to allow this call, so it was not run (--yes allows the calls of a cell)"

Approve = Callable[[ToolCall], bool]
"""Asks whether a call may run. `Unattended`, where nobody can be asked."""
Note = Callable[[Sequence[Answer]], None]
"""Hears of the answers of all steps so far."""


class Unattended(Exception):
    """Nobody is there to be asked for consent."""


class ToolFailed(Exception):
    """What a function of the user's raised, in words for the model."""


@dataclass(frozen=True, slots=True)
class LoopHost:
    """Who runs the loop, and what it has to know of the answers that are recorded.

    caller    calls the tools, and waits for what is kept
    ask       asks the request of a later step
    keep      keeps an answer with its tools' results, with the step that asked for them
    may_run   whether tools may run for an answer: it was asked here, and this is no replay
    find      the recorded answer to a request, where there is one; nothing counts as used by it
    approve   is asked before a tool runs
    """

    caller: ThreadCaller | LoopCaller
    ask: Callable[[Request], Answer | Awaitable[Answer]]
    keep: Callable[[Answer], Coroutine[Any, Any, None]]
    may_run: Callable[[Answer], bool]
    find: Callable[[Request], Answer | None]
    approve: Approve | None = None


async def tool_loop(
    request: Request,
    answers: list[Answer],
    max_steps: int | None,
    host: LoopHost,
    note: Note | None = None,
) -> None:
    """Run the tools that the first of *answers*, to *request*, calls, and ask on, until an answer calls none.

    Each step's answer is appended to *answers*, and stands there with what its tools gave; *note* hears of it. A step that
    is remembered with its results runs nothing. An exception inside a tool goes back to the model as its result.
    """
    note = note or (lambda _: None)
    tools = {tool.name: tool for tool in request.tools}
    while answers[-1].tool_calls:
        if any(tools[c.name].function is None for c in answers[-1].tool_calls if c.name in tools):
            return  # the calls are handed back: it is the caller's to carry them out
        answers[-1] = await _run_calls(answers[-1], tools, host)
        note(answers)
        if len(answers) == (max_steps or MAX_STEPS):
            raise ToolError(
                f"The model still calls tools after {max_steps or MAX_STEPS} steps. Give a higher max_steps=, or fewer tools."
            )
        turns = [message for answer in answers for message in messages_of(answer)]
        asked = host.ask(_next_request(request, tuple(turns), host))
        answers.append(asked if isinstance(asked, Answer) else await asked)
        note(answers)


def turns_of(answers: Sequence[Answer]) -> tuple[Message, ...]:
    """List the messages since the question that *answers* came to: each answer, and what its tools gave; the last alone."""
    before = [message for answer in answers[:-1] for message in messages_of(answer)]
    return (*before, message_of(answers[-1]))


def messages_of(answer: Answer) -> tuple[Message, ...]:
    """Write *answer* as the assistant's turn, and the results of its tools."""
    results = zip(answer.tool_calls, answer.tool_results or (), strict=True)
    told = (Message("tool", (Text(result),), tool_call_id=call.id) for call, result in results)
    return (message_of(answer), *told)


def message_of(answer: Answer) -> Message:
    """Write *answer* as the assistant's turn."""
    return Message(
        "assistant",
        (Text(answer.said or answer.text),) if answer.text else (),
        tool_calls=answer.tool_calls,
        reasoning=answer.reasoning,
        reasoning_blocks=answer.reasoning_blocks,
    )


def _next_request(request: Request, said: tuple[Message, ...], host: LoopHost) -> Request:
    """Make the request after what was *said* since. A tool that it forces is forced in the first step only."""
    again = replace(request, messages=request.messages + said)
    if request.settings.tool_choice in (None, *FREE_CHOICES):
        return again
    free = replace(again, settings=replace(request.settings, tool_choice=None))
    # qwennb 0.1 forced it in every step: what it recorded so goes on counting, where it led to an answer.
    if host.find(free) is None and (old := host.find(again)) is not None:
        return free if old.tool_calls and host.may_run(old) else again
    return free


# ---------------------------------------------------------------------- the two kinds of callers


@dataclass(frozen=True, slots=True)
class ThreadCaller:
    """Whoever calls without `await`: tools run on their thread, and what is to be waited for holds it up."""

    bridge: Bridge

    async def call(self, function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
        """Call a tool; what it gives to be awaited is awaited on the engine's loop. `ToolFailed` for what it raises."""
        try:
            made = function(**arguments)
            return self.bridge.run(_await(made)) if inspect.isawaitable(made) else made
        except BaseException as problem:
            raise contain(problem) from None

    async def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Have *work* done on the engine's loop."""
        return self.bridge.run(work)


@dataclass(frozen=True, slots=True)
class LoopCaller:
    """Whoever calls with `await`: tools run on their loop."""

    bridge: Bridge

    async def call(self, function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
        """Call a tool. `ToolFailed` for what it raises; but whoever has cancelled the question ends it."""
        try:
            made = function(**arguments)
            return await made if inspect.isawaitable(made) else made
        except GeneratorExit:
            raise
        except BaseException as problem:
            if isinstance(problem, asyncio.CancelledError) and _is_cancelled():
                raise
            raise contain(problem) from None

    async def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Have *work* done on the engine's loop."""
        return await self.bridge.run_async(work)


def run_now(work: Coroutine[Any, Any, T]) -> T:
    """Run *work*, which never waits, to its end."""
    try:
        work.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    raise AssertionError("What should never wait has waited.")


async def _await(made: Awaitable[Any]) -> Any:
    """Await *made*. What would end the loop that it runs on is an error like any other."""
    try:
        return await made
    except asyncio.CancelledError:
        raise
    except BaseException as error:
        raise contain(error) from None


def _is_cancelled() -> bool:
    """Tell whether somebody cancelled the task that runs, other than a tool that raised so itself."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


# ---------------------------------------------------------------------- results


async def _run_calls(answer: Answer, tools: Mapping[str, Tool], host: LoopHost) -> Answer:
    """Put to *answer* what each tool that it calls gave: as it is recorded, else by running it."""
    known = answer.tool_results
    if known is not None and len(known) != len(answer.tool_calls):
        known = None
    may_run = host.may_run(answer)
    if known is not None and not (may_run and False in answer.consents):
        return answer
    if not may_run:
        names = ", ".join(f"`{name}`" for name in dict.fromkeys(call.name for call in answer.tool_calls))
        raise NotRecorded(
            f"The answer to request {answer.key[:12]} calls {names}, and what that gave is not recorded. In replay, and for "
            'what a pack holds, no tool of yours is run. To ask and run it yourself: cache="refresh".'
        )
    results: list[str] = []
    consents: list[bool | None] = []
    for index, call in enumerate(answer.tool_calls):
        said = answer.consents[index] if known is not None else None
        consent: bool | None
        if known is not None and said is not False:
            result, consent = known[index], said
        else:
            result, consent = await _run_call(tools, call, host)
            if result == _error(UNATTENDED) and known is not None:
                result = known[index]  # it was denied, and nobody is here to say otherwise
        results.append(result)
        consents.append(consent)
    done = replace(
        answer,
        tool_results=tuple(results),
        consents=tuple(consents) if any(consent is not None for consent in consents) else (),
    )
    if done != answer:
        await host.caller.wait(host.keep(done))
    return done


async def _run_call(tools: Mapping[str, Tool], call: ToolCall, host: LoopHost) -> tuple[str, bool | None]:
    """Run *call*: what it gave, and what was said to it; None where nobody was to be asked."""
    if call.name not in tools:
        return f"Error: there is no tool {call.name!r}; there are {', '.join(tools)}.", None
    tool = tools[call.name]
    try:
        arguments = tool.arguments(call.arguments)
    except ValueError as error:
        return as_unicode(f"Error: the arguments do not fit: {error}."), None
    except BaseException as error:  # a type's own check
        return as_unicode(f"Error: the arguments do not fit: {contain(error)}."), None
    consent = None
    if host.approve is not None:
        try:
            consent = _ask_consent(host.approve, call)
        except Unattended:
            return _error(UNATTENDED), False
        if not consent:
            return _error(DENIED), False
    assert tool.function is not None
    try:
        value = await host.caller.call(tool.function, arguments)
    except ToolFailed as error:  # the model is told, and may find another way
        return as_unicode(f"Error: {error}"), consent
    try:
        return as_unicode(result_text(value)), consent
    except BaseException as error:  # a value's own `__str__`
        return as_unicode(f"Error: {contain(error)}"), consent


def _error(reason: str) -> str:
    return f"Error: PermissionError: {reason}"


def _ask_consent(approve: Approve, call: ToolCall) -> bool:
    """Ask *approve* whether *call* may run. What it raises is this call's error: a consent that fails is none."""
    try:
        said: Any = approve(call)
        if not inspect.isawaitable(said):
            return bool(said)
    except (QwenError, Unattended):
        raise
    except BaseException as error:
        raise ToolError(
            f"approve= failed for `{call.name}` ({as_unicode(str(contain(error)))}). Nothing was run."
        ) from None
    if inspect.iscoroutine(said):
        said.close()
    raise ToolError(
        f"approve= must be an ordinary function that says True or False; for `{call.name}` it gave something to await. "
        "Nothing was run."
    )


def contain(error: BaseException) -> ToolFailed:
    """Put what a function of the user's raised into words; only the user's own interrupt goes on."""
    if isinstance(error, ToolFailed):
        return error
    if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
        raise error
    try:
        words = str(error)
    except BaseException:
        words = "an error that can't be put in words"
    return ToolFailed(f"{type(error).__name__}: {words}")


def recall_consents(approve: Approve | None, said: Sequence[Sequence[Any]]) -> Approve | None:
    """Spare *approve* the question where it was *said* before, for the same call, whether that may run.

    Each of *said* is the name of a tool, its arguments as JSON and the consent. Denied once is denied.
    """
    if approve is None or not said:
        return approve
    known: dict[tuple[str, str], bool] = {}
    for name, arguments, allowed in said:
        called = (name, _canonical(arguments))
        known[called] = bool(allowed) and known.get(called, True)

    def recall(call: ToolCall) -> bool:
        allowed = known.get((call.name, _canonical(call.arguments)))
        return approve(call) if allowed is None else allowed

    return recall


def _canonical(arguments: str) -> str:
    try:
        return canonical_json(parse_json(arguments or "{}")).decode()
    except ValueError:
        return arguments


def as_unicode(text: str) -> str:
    """Spell out half of a surrogate pair in *text*, which no server takes."""
    return text.encode("utf-8", "backslashreplace").decode()


def result_text(value: Any) -> str:
    """Write what a tool gave as the text that every server wants."""
    if isinstance(value, str):
        return value
    if value is None:
        return "null"
    if is_frame(value):
        part = part_of(value)
        return part.text if isinstance(part, Text) else str(value)
    try:
        return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:
        return str(value)
