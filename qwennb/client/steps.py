"""The tool loop, as a generator that does nothing itself.

It yields what is to be done, a `Request` to be asked or a `Run` of a tool, and is sent what came of it. The sync and
the async client drive the same generator, each in its own way.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from qwennb.answer import Answer
from qwennb.errors import ToolError
from qwennb.request import Message, Request, Text, Tool, ToolCall, is_frame, part_of

MAX_STEPS = 8


@dataclass(frozen=True, slots=True)
class Run:
    """A call of one tool, arguments checked, to be carried out; what is sent back is its result."""

    tool: Tool
    call: ToolCall
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Keep:
    """An answer with its tools' results, to be kept with the step that asked for them."""

    answer: Answer


Step = Request | list[Request] | Run | Keep
Ended = tuple[Answer, tuple[Message, ...]]
Steps = Generator[Step, Any, Ended]


def following(steps: Steps, value: Any, error: Exception | None) -> Step | Ended:
    """The next step, given what came of the last one; at the end what `tool_loop` comes back with."""
    try:
        return steps.throw(error) if error is not None else steps.send(value)
    except StopIteration as end:
        ended: Ended = end.value
        return ended


def consented(
    steps: Steps, ask: Callable[[Request], Answer], refusal: Callable[[ToolCall], str | None]
) -> Steps:
    """*steps*, of which each request is asked by *ask*, and each call of a tool is put before *refusal*: why it may not run.

    The model is told of a refusal. It is not what the tool gave, and is not kept as that.
    """
    value: Any = None
    error: Exception | None = None
    is_refused = False
    while True:
        step = following(steps, value, error)
        if isinstance(step, tuple):
            return step
        value, error = None, None
        if isinstance(step, Request):
            value = ask(step)
        elif isinstance(step, Run) and (why := refusal(step.call)):
            error, is_refused = PermissionError(why), True
        elif is_refused and isinstance(step, Keep):
            is_refused = False
        else:
            try:
                value = yield step
            except Exception as problem:
                error = problem


def tool_loop(request: Request, max_steps: int | None = None) -> Steps:
    """Ask *request*, run the tools that the answer calls, and ask on, until an answer calls none.

    Comes back with that answer and the messages since the question. A step that is remembered with its results runs
    nothing. An exception inside a tool goes back to the model as its result.
    """
    tools = {tool.name: tool for tool in request.tools}
    said: tuple[Message, ...] = ()
    for _ in range(max_steps or MAX_STEPS):
        answer: Answer = yield replace(request, messages=request.messages + said) if said else request
        said = (*said, message_of(answer))
        if not answer.tool_calls or any(
            tools[c.name].function is None for c in answer.tool_calls if c.name in tools
        ):
            return answer, said
        results = answer.tool_results
        if results is None or len(results) != len(answer.tool_calls):
            results = ()
            for call in answer.tool_calls:
                results = (*results, (yield from _result(tools, call)))
            yield Keep(replace(answer, tool_results=results))
        said += tuple(
            Message("tool", (Text(result),), tool_call_id=call.id)
            for call, result in zip(answer.tool_calls, results, strict=True)
        )
    raise ToolError(
        f"The model still calls tools after {max_steps or MAX_STEPS} steps. Give a higher max_steps=, or fewer tools."
    )


def message_of(answer: Answer) -> Message:
    """*answer* as the assistant's turn."""
    return Message(
        "assistant",
        (Text(answer.text),) if answer.text else (),
        tool_calls=answer.tool_calls,
        reasoning=answer.reasoning,
        reasoning_blocks=answer.reasoning_blocks,
    )


def _result(tools: dict[str, Tool], call: ToolCall) -> Generator[Step, Any, str]:
    if call.name not in tools:
        return f"Error: there is no tool {call.name!r}; there are {', '.join(tools)}."
    try:
        arguments = tools[call.name].arguments(call.arguments)
    except ValueError as error:
        return f"Error: the arguments do not fit: {error}."
    try:
        value = yield Run(tools[call.name], call, arguments)
    except Exception as error:  # the model is told, and may find another way
        return f"Error: {type(error).__name__}: {error}"
    return result_text(value)


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
