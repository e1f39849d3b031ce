"""The body of a chat question, as the openai package writes it, read as what `ask` would have made of it.

What is a word of ours comes out as an option, so that the same content has the same key whichever door it came through;
the several spellings of thinking (`reasoning_effort`, `enable_thinking`, `thinking_budget`, `chat_template_kwargs`,
`reasoning`) become one. What nobody here knows is passed on as it is, in `extra`. Inside messages and parts, where there is
nothing to pass on into, an unknown word is refused: it would change what is asked and not be in the key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from qwennb.client.options import Options
from qwennb.errors import BadInput
from qwennb.request import SETTINGS, Image, Message, Part, Pdf, Schema, Text, ToolCall, Video, merge_texts

# Words that mean the same here and there.
_SAME = ("model", *(name for name, setting in SETTINGS.items() if setting.plain), "tool_choice", "sample")
_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant", "tool": "tool"}
_EFFORTS: Mapping[str, Any] = {"none": False, "low": "low", "medium": "medium", "high": "high"}


@dataclass(frozen=True, slots=True)
class OpenAiQuestion:
    """What a body asks: the conversation, the options that were set, and whether a stream is to end with its usage."""

    messages: tuple[Message, ...]
    options: Options
    usage_at_end: bool = False


def read_body(body: Mapping[str, Any]) -> OpenAiQuestion:
    """Read the question in *body*."""
    rest = {name: value for name, value in body.items() if value is not None}
    messages = tuple(map(_message, _list(rest.pop("messages", ()), "messages")))
    if not any(message.role == "user" for message in messages):
        raise BadInput('messages= holds no question: give at least one message whose role is "user".')
    rest.pop("stream", None)
    stream_options = _dict(rest.pop("stream_options", {}), "stream_options")
    _refuse_many(rest.pop("n", 1))
    bound = _max_tokens(rest)
    options = {name: rest.pop(name) for name in _SAME if name in rest}
    options |= {
        "model": options.get("model") or None,  # that library wants one; an empty one is the default
        "stop": options.get("stop") or None,
        "max_tokens": bound,
        "logprobs": _logprobs(rest),
        "thinking": _thinking(rest),
        "search": rest.pop("enable_search", None),
        "schema": _schema(rest),
        "tools": [_tool(tool) for tool in _list(rest.pop("tools", ()), "tools")] or None,
    }
    return OpenAiQuestion(
        messages, Options(**options, extra=rest or None), stream_options.get("include_usage") is True
    )


# ---------------------------------------------------------------------- options


def _refuse_many(n: Any) -> None:
    if n != 1:
        raise BadInput(
            f"n={n!r} is not drawn at once: no hosted endpoint does that for these models. Ask once for each draw, with "
            'extra_body={"sample": 0}, {"sample": 1} …'
        )


def _max_tokens(rest: dict[str, Any]) -> Any:
    given = {rest.pop(name) for name in ("max_tokens", "max_completion_tokens") if name in rest}
    if len(given) > 1:
        raise BadInput("max_tokens= and max_completion_tokens= are given and differ. Give one of them.")
    return given.pop() if given else None


def _logprobs(rest: dict[str, Any]) -> Any:
    wanted, top = rest.pop("logprobs", None), rest.pop("top_logprobs", None)
    if top and not wanted:
        raise BadInput("top_logprobs= needs logprobs=True beside it.")
    return (top if top is not None else True) if wanted else None


def _thinking(rest: dict[str, Any]) -> Any:
    """Read the one thinking= that all its spellings stand for."""
    template = _dict(rest.pop("chat_template_kwargs", {}), "chat_template_kwargs")
    reasoning = _dict(rest.pop("reasoning", {}), "reasoning")
    said = [
        rest.pop("enable_thinking", None),
        template.pop("enable_thinking", None),
        reasoning.pop("enabled", None),
        *(_effort(given) for given in (rest.pop("reasoning_effort", None), reasoning.pop("effort", None))),
    ]
    budgets = [rest.pop("thinking_budget", None), reasoning.pop("max_tokens", None)]
    if template:
        rest["chat_template_kwargs"] = template
    if reasoning:
        rest["reasoning"] = reasoning
    given = [value for value in said if value is not None]
    if any(value is False for value in given):
        if any(value is not False for value in given):
            raise BadInput("Thinking is switched on and off in one request. Give one of the two.")
        return False
    finest = [value for value in (*budgets, *given) if value is not None and value is not True]
    if len(set(finest)) > 1:
        raise BadInput(
            f"Thinking is bounded twice in one request: {' and '.join(map(repr, finest))}. Give one."
        )
    return finest[0] if finest else True if given else None


def _effort(given: Any) -> Any:
    if given is None:
        return None
    if given not in _EFFORTS:
        raise BadInput(f"reasoning_effort={given!r} is not known: use {', '.join(map(repr, _EFFORTS))}.")
    return _EFFORTS[given]


def _schema(rest: dict[str, Any]) -> Schema | None:
    """Read the schema of a response_format. `json_object` names none, so there is nothing to check: it is passed on as it is."""
    form = _dict(rest.get("response_format", {}), "response_format")
    if form.get("type") not in ("json_schema", "text"):
        return None
    del rest["response_format"]
    if form["type"] == "text":
        return None
    told = _dict(form.get("json_schema"), "response_format.json_schema")
    schema = Schema.of(_dict(told.get("schema"), "response_format.json_schema.schema"))
    return replace(schema, name=str(told.get("name") or schema.name))


def _tool(given: Any) -> Any:
    # `strict` is left out: it is a promise of OpenAI's own servers. The package still parses a strict tool's arguments.
    if _dict(given, "a tool").get("type") != "function":
        raise BadInput(
            f'A tool of type {given.get("type")!r} can\'t be asked with here; use {{"type": "function", …}}.'
        )
    return given


# ---------------------------------------------------------------------- messages


def _message(given: Any) -> Message:
    said = {name: value for name, value in _dict(given, "a message").items() if value is not None}
    role = said.pop("role", None)
    if role not in _ROLES:
        raise BadInput(f"The role {role!r} is not known; use system, user, assistant or tool.")
    parts = _parts(said.pop("content", ""), role)
    if role == "tool":
        said.pop("name", None)  # the call's id says which tool it was
        if not isinstance(call := said.pop("tool_call_id", None), str):
            raise BadInput("A message of role tool needs the tool_call_id of the call that it answers.")
        made = Message("tool", parts, tool_call_id=call)
    elif role == "assistant":
        # Answers that come back as they were given carry fields that ask for nothing.
        for name in ("annotations", "parsed", "refusal"):
            said.pop(name, None)
        calls = tuple(_call(call) for call in _list(said.pop("tool_calls", ()), "tool_calls"))
        thoughts = [said.pop(name, "") for name in ("reasoning", "reasoning_content")]
        blocks = said.pop("reasoning_details", None)
        made = Message(
            "assistant",
            parts,
            tool_calls=calls,
            reasoning=next(filter(None, thoughts), ""),
            reasoning_blocks=orjson.dumps(blocks).decode() if blocks else "",
        )
    else:
        made = Message("user" if role == "user" else "system", parts)
    _nothing_left(said, f"a message of role {role}")
    return made


def _parts(content: Any, role: str) -> tuple[Part, ...]:
    if isinstance(content, str):
        return (Text(content),) if content or role == "tool" else ()
    return merge_texts(_part(part) for part in _list(content, "a message's content"))


def _part(given: Any) -> Part:
    said = {name: value for name, value in _dict(given, "a part").items() if value is not None}
    kind = said.pop("type", None)
    made: Part
    if kind in ("text", "refusal"):
        made = Text(str(said.pop(kind, "")))
    elif kind == "image_url":
        inner = _as_url_object(said.pop(kind, None), kind)
        made = Image(
            _source(inner.pop("url", None)),
            max_pixels=said.pop("max_pixels", None),
            detail=inner.pop("detail", None),
        )
        said |= inner
    elif kind == "video_url":
        inner = _as_url_object(said.pop(kind, None), kind)
        fps = inner.pop("fps", None) or said.pop("fps", None)
        made = Video(_source(inner.pop("url", None)), fps=fps, max_pixels=said.pop("max_pixels", None))
        said |= inner
    elif kind == "video":
        frames = [Image(_source(url)) for url in _list(said.pop(kind, ()), "a video's frames")]
        made = Video(frames, fps=said.pop("fps", None), max_pixels=said.pop("max_pixels", None))
    elif kind == "file":
        inner = _dict(said.pop(kind, None), "a file")
        inner.pop("filename", None)  # what it is is told by its bytes
        made = Pdf(_source(inner.pop("file_data", None)))
        said |= inner
    else:
        raise BadInput(
            f"A part of type {kind!r} can't be asked with here; use text, image_url, video_url, video or file."
        )
    _nothing_left(said, f"a part of type {kind}")
    return made


def _as_url_object(given: Any, kind: str) -> dict[str, Any]:
    """`{"url": …}`, which some write as the URL alone."""
    return {"url": given} if isinstance(given, str) else _dict(given, kind)


def _source(url: Any) -> str:
    # What is neither data nor a URL would be taken for a path: a body that came from elsewhere opens no file here.
    if not isinstance(url, str) or not url.lower().startswith(("data:", "https://", "http://")):
        raise BadInput("A picture, video or file in messages= must be a data: URI or an https URL.")
    return url


def _call(given: Any) -> ToolCall:
    call = _dict(given, "a tool call")
    function = _dict(call.get("function"), "the function of a tool call")
    name, arguments = function.get("name"), function.get("arguments")
    if not (isinstance(call.get("id"), str) and isinstance(name, str) and isinstance(arguments, str)):
        raise BadInput(
            "A tool call in messages= needs an id, and a function with name and arguments as text."
        )
    return ToolCall(call["id"], name, arguments)


def _dict(given: Any, what: str) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise BadInput(f"{what} must be a JSON object, not {type(given).__name__}.")
    return dict(given)


def _list(given: Any, what: str) -> Sequence[Any]:
    if not isinstance(given, list | tuple):
        raise BadInput(f"{what} must be a list, not {type(given).__name__}.")
    return given


def _nothing_left(said: Mapping[str, Any], where: str) -> None:
    if said:
        raise BadInput(f"`{min(said)}` in {where} can't be passed on. Take it out.")
