"""The tool loop, as a generator that does nothing itself.

It yields what is to be done, a `Request` to be asked or a `Run` of a tool, and is sent what came of it. The sync and
the async client drive the same generator, each in its own way.

A tool runs only for an answer that was asked here: by this process, or before, into the user's own store. In replay, and
for what a pack holds, results that are not recorded are an error. Where consent is asked for, what was said is kept
beside the results: in replay it is taken from there, and a call that was denied is put before the user again only where
it may run.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from qwennb.answer import Answer
from qwennb.errors import NotRecorded, QwenError, ToolError, nearest
from qwennb.request import (
    Message,
    Request,
    Text,
    Tool,
    ToolCall,
    canonical_json,
    is_frame,
    parse_json,
    part_of,
)

MAX_STEPS = 8
FREE_CHOICES = ("auto", "none")
DENIED = "the user did not allow this call"
UNATTENDED = "nobody was there to allow this call, so it was not run (--yes allows the calls of a cell)"

Approve = Callable[[ToolCall], bool]
"""Asks whether a call may run. `Unattended`, where nobody can be asked."""


class Unattended(Exception):
    """Nobody is there to be asked for consent."""


class ToolFailed(Exception):
    """What a function of the user's raised, in words for the model."""


@dataclass(frozen=True, slots=True)
class RunTool:
    """A call of one tool, arguments checked, to be carried out; what is sent back is its result."""

    tool: Tool
    call: ToolCall
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class KeepResult:
    """An answer with its tools' results, to be kept with the step that asked for them."""

    answer: Answer


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the loop has to know of the answers that are recorded.

    may_run   whether tools may run for an answer: it was asked here, and this is no replay
    find      the recorded answer to a request, where there is one; nothing counts as used by it
    """

    may_run: Callable[[Answer], bool]
    find: Callable[[Request], Answer | None]


Step = Request | list[Request] | RunTool | KeepResult
Ended = tuple[Answer, tuple[Message, ...]]
Steps = Generator[Step, Any, Ended]


def following(steps: Steps, value: Any, error: Exception | None) -> Step | Ended:
    """The next step, given what came of the last one; at the end what `tool_loop` comes back with."""
    try:
        return steps.throw(error) if error is not None else steps.send(value)
    except StopIteration as end:
        ended: Ended = end.value
        return ended


def answer_requests(steps: Steps, ask: Callable[[Request], Answer], note: Callable[[Answer], None]) -> Steps:
    """*steps*, of which *ask* answers each request; *note* hears of an answer again once its tools have run."""
    value: Any = None
    error: Exception | None = None
    while True:
        step = following(steps, value, error)
        if isinstance(step, tuple):
            return step
        value, error = None, None
        if isinstance(step, Request):
            value = ask(step)
            continue
        if isinstance(step, KeepResult):
            note(step.answer)
        try:
            value = yield step
        except Exception as problem:
            error = problem


def tool_loop(
    request: Request,
    max_steps: int | None = None,
    *,
    recorded: Recorded,
    approve: Approve | None = None,
) -> Steps:
    """Ask *request*, run the tools that the answer calls, and ask on, until an answer calls none.

    Comes back with that answer and the messages since the question. A step that is remembered with its results runs
    nothing. An exception inside a tool goes back to the model as its result. *approve* is asked before a tool runs.
    """
    tools = {tool.name: tool for tool in request.tools}
    asked = request
    said: tuple[Message, ...] = ()
    for _ in range(max_steps or MAX_STEPS):
        answer: Answer = yield asked
        said = (*said, message_of(answer))
        if not answer.tool_calls or any(
            tools[c.name].function is None for c in answer.tool_calls if c.name in tools
        ):
            return answer, said
        results = yield from _results(answer, tools, recorded, approve)
        said += tuple(
            Message("tool", (Text(result),), tool_call_id=call.id)
            for call, result in zip(answer.tool_calls, results, strict=True)
        )
        asked = _next_request(request, said, recorded)
    raise ToolError(
        f"The model still calls tools after {max_steps or MAX_STEPS} steps. Give a higher max_steps=, or fewer tools."
    )


def _next_request(request: Request, said: tuple[Message, ...], recorded: Recorded) -> Request:
    """*request* after what was *said* since. A tool that it forces is forced in the first step only."""
    again = replace(request, messages=request.messages + said)
    if request.settings.tool_choice in (None, *FREE_CHOICES):
        return again
    free = replace(again, settings=replace(request.settings, tool_choice=None))
    # qwennb 0.1 forced it in every step: what it recorded so goes on counting, where it led to an answer.
    if recorded.find(free) is None and (old := recorded.find(again)) is not None:
        return free if old.tool_calls and recorded.may_run(old) else again
    return free


def message_of(answer: Answer) -> Message:
    """*answer* as the assistant's turn."""
    return Message(
        "assistant",
        (Text(answer.text),) if answer.text else (),
        tool_calls=answer.tool_calls,
        reasoning=answer.reasoning,
        reasoning_blocks=answer.reasoning_blocks,
    )


# ---------------------------------------------------------------------- results


def _results(
    answer: Answer, tools: Mapping[str, Tool], recorded: Recorded, approve: Approve | None
) -> Generator[Step, Any, tuple[str, ...]]:
    """What each tool that *answer* calls gave: as it is recorded, else by running it."""
    known = answer.tool_results
    if known is not None and len(known) != len(answer.tool_calls):
        known = None
    may_run = recorded.may_run(answer)
    if known is not None and not (may_run and False in answer.consents):
        return known
    if not may_run:
        names = ", ".join(f"`{name}`" for name in dict.fromkeys(call.name for call in answer.tool_calls))
        raise NotRecorded(
            f"The answer to request {answer.key[:12]} calls {names}, and what that gave is not recorded. In replay, and for "
            'what a pack holds, no tool of yours is run. To ask and run it yourself: cache="refresh".'
        )
    results: list[str] = []
    consents: list[bool | None] = []
    for endpoint, call in enumerate(answer.tool_calls):
        said = answer.consents[endpoint] if known is not None else None
        consent: bool | None
        if known is not None and said is not False:
            result, consent = known[endpoint], said
        else:
            result, consent = yield from _result(tools, call, approve)
            if result == _error(UNATTENDED) and known is not None:
                result = known[endpoint]  # it was denied, and nobody is here to say otherwise
        results.append(result)
        consents.append(consent)
    done = replace(
        answer,
        tool_results=tuple(results),
        consents=tuple(consents) if any(consent is not None for consent in consents) else (),
    )
    if done != answer:
        yield KeepResult(done)
    return tuple(results)


def _result(
    tools: Mapping[str, Tool], call: ToolCall, approve: Approve | None
) -> Generator[Step, Any, tuple[str, bool | None]]:
    """What *call* gave, and what was said to it; None where nobody was to be asked."""
    if call.name not in tools:
        return f"Error: there is no tool {call.name!r}; there are {', '.join(tools)}.", None
    try:
        arguments = tools[call.name].arguments(call.arguments)
    except ValueError as error:
        return as_unicode(f"Error: the arguments do not fit: {error}."), None
    except BaseException as error:  # a type's own check
        return as_unicode(f"Error: the arguments do not fit: {contain(error)}."), None
    consent = None
    if approve is not None:
        try:
            consent = _ask_consent(approve, call)
        except Unattended:
            return _error(UNATTENDED), False
        if not consent:
            return _error(DENIED), False
    try:
        value = yield RunTool(tools[call.name], call, arguments)
    except Exception as error:  # the model is told, and may find another way
        return as_unicode(f"Error: {contain(error)}"), consent
    try:
        return as_unicode(result_text(value)), consent
    except BaseException as error:  # a value's own `__str__`
        return as_unicode(f"Error: {contain(error)}"), consent


def _error(reason: str) -> str:
    return f"Error: PermissionError: {reason}"


def _ask_consent(approve: Approve, call: ToolCall) -> bool:
    """Whether *approve* lets *call* run. What it raises is this call's error: a consent that fails is none."""
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
    """What a function of the user's raised, in words; only the user's own interrupt goes on."""
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
    """*approve*, which is not asked where it was *said* before, for the same call, whether that may run.

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
    """*text* as every server takes it: half of a surrogate pair is spelled out."""
    return text.encode("utf-8", "backslashreplace").decode()


def result_text(value: Any) -> str:
    """What a tool gave, as the text that every server wants."""
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


def check_tools(tools: Sequence[Tool], kind: str) -> None:
    """Refuse a definition that breaks a rule of the server's *kind*, with the rule."""
    seen: set[str] = set()
    for tool in tools:
        if tool.name in seen:
            raise ToolError(
                f"Two tools are called `{tool.name}`; the model could not tell them apart. Rename one."
            )
        seen.add(tool.name)
        if (
            not tool.name.replace("_", "").replace("-", "").isalnum()
            or not tool.name.isascii()
            or len(tool.name) > 64
        ):
            raise ToolError(
                f"`{tool.name}` can't be a tool's name: only letters, digits, `_` and `-`, 64 at most. Rename the function."
            )
        if kind == "dashscope" and tool.name == "search":
            raise ToolError("DashScope takes no tool called `search`. Rename the function.")
        if kind == "dashscope" and not tool.description:
            raise ToolError(
                f"DashScope wants a description of tool `{tool.name}`. Give the function a docstring."
            )
        if tool.schema.get("type") != "object":
            raise ToolError(f'The parameters of tool `{tool.name}` must be a JSON Schema of type "object".')


def check_tool_choice(request: Request) -> None:
    """Refuse a choice of tool without tools, or of none of them."""
    choice, names = request.settings.tool_choice, [tool.name for tool in request.tools]
    if choice is None:
        return
    if not names:
        raise ToolError(
            f"tool_choice={choice!r} needs tools= beside it: without tools there is nothing to choose."
        )
    if choice in (*FREE_CHOICES, "required"):
        if choice in names:
            raise ToolError(
                f"tool_choice={choice!r} could mean the tool `{choice}` or the rule of that name. Rename the function."
            )
    elif choice not in names:
        raise ToolError(
            f"tool_choice={choice!r}: there is no tool `{choice}`{nearest(choice, names) or '; there are ' + ', '.join(names) + '.'}"
        )
