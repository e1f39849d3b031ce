"""What the simulated model says.

A script decides first: a list of replies used in order, or a function of the question. Without one, or past the list's
end, the reply is invented from the seed and the content alone (and from which draw it is, `X-Sample: 3`):

    a tool is called when the choice forces one, or when the last message is the user's and names it
    a constraint (schema, JSON, regex, grammar, choice) is met
    otherwise the text says back the last user message, after eight hex digits that depend on the whole request

The limits of the request are then kept: `stop` cuts before the string, `max_tokens` cuts with `finish_reason: length`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

from .faults import Fault
from .fit import find_schema, fit_schema
from .parsed_request import Asked, text_of
from .spell import fit_grammar, fit_regex
from .tokens import Counts, count_text

__all__ = ["Reply", "Script", "ToolCall", "count_tokens", "invent", "limit_reply"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool, in a `Reply`.

    Parameters
    ----------
    name : str
        The tool.
    arguments : Mapping or str
        What it is called with; a str is sent as it stands.
    id : str, optional
        The call's own; one is made without it.

    Attributes
    ----------
    text : str
        The arguments as they go over the wire.

    Examples
    --------
    >>> from qwennb.simulator import Reply, Simulator, ToolCall
    >>> def weather(city: str) -> str:
    ...     "The weather in a city."
    ...     return f"rain in {city}"
    >>> with Simulator("vllm", script=[Reply(None, tool_calls=[ToolCall("weather", {"city": "Ulm"})]), "It rains."]) as sim:
    ...     Qwen(endpoint=f"vllm+{sim.base_url}").ask("How is it in Ulm?", tools=[weather]).text
    'It rains.'
    """

    name: str
    arguments: Mapping[str, Any] | str = "{}"
    id: str | None = None

    @property
    def text(self) -> str:
        """The arguments as they go over the wire."""
        return (
            self.arguments
            if isinstance(self.arguments, str)
            else json.dumps(self.arguments, ensure_ascii=False)
        )


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer of the simulated model, in a script.

    Parameters
    ----------
    text : str or None
        What it says; None is content null.
    reasoning : str, optional
        What it thinks.
    tool_calls : sequence of ToolCall
        What it wants called.
    finish_reason : str, optional
        "stop", or "tool_calls" where it calls, without it.
    usage : Mapping or False, optional
        Figures by their wire names in place of counted ones (`prompt_tokens`, `completion_tokens`, `reasoning_tokens`,
        `cached_tokens`, `image_tokens`, `video_tokens`, `cost`); False leaves usage out.
    chunks : sequence, optional
        How a stream is cut: a str is a piece of text, a mapping a delta as it stands, bytes go out raw.
    delay, chunk_delay : float
        Seconds before the first byte, and before each further piece.
    fault : Fault, optional
        What goes wrong with this one answer.
    likely : Mapping, optional
        How probable each beginning of the answer was, where log probabilities are asked for: `{"yes": 0.7, "no": 0.2}`.

    Attributes
    ----------
    ending : str
        The finish reason that is sent.

    Examples
    --------
    >>> from qwennb.simulator import Reply, Simulator
    >>> with Simulator("vllm", script=[Reply("42", reasoning="Six times seven.", chunks=["4", "2"])]) as sim:
    ...     stream = Qwen(endpoint=f"vllm+{sim.base_url}").stream("What is it?")
    ...     [piece.text for piece in stream if piece.text], stream.answer.reasoning
    (['4', '2'], 'Six times seven.')
    """

    text: str | None = ""
    reasoning: str | None = None
    tool_calls: Sequence[ToolCall] = ()
    finish_reason: str | None = None
    usage: Mapping[str, Any] | bool | None = None
    chunks: Sequence[str | Mapping[str, Any] | bytes] | None = None
    delay: float = 0.0
    chunk_delay: float = 0.0
    fault: Fault | None = None
    likely: Mapping[str, float] | None = None

    @property
    def ending(self) -> str:
        """The finish reason."""
        return self.finish_reason or ("tool_calls" if self.tool_calls else "stop")


Scripted = Reply | str | Fault | None
Script = Iterable[Scripted] | Callable[[Asked], Scripted]


class ScriptReader:
    """Hands out scripted replies; None where the script has nothing to say."""

    def __init__(self, script: Script | None = None) -> None:
        self._ask: Callable[[Asked], Scripted] | None = None
        self._list: list[Scripted] = []
        if callable(script):
            self._ask = script
        elif script is not None:
            self._list = list(script)[::-1]

    def reply(self, asked: Asked) -> Reply | None:
        """The next reply for this question."""
        said = self._ask(asked) if self._ask is not None else self._list.pop() if self._list else None
        if isinstance(said, str):
            return Reply(said)
        return replace(invent(asked), fault=said) if isinstance(said, Fault) else said


def invent(asked: Asked, draw: int = 0) -> Reply:
    """The reply to a question that no script answers; *draw* counts the choices of one request."""
    reasoning = _make_thought(asked) if asked.thinking else None
    calls = _calls(asked, draw)
    if calls:
        return Reply(text=None, reasoning=reasoning, tool_calls=calls)
    return limit_reply(Reply(text=_text(asked, draw), reasoning=reasoning), asked)


def limit_reply(reply: Reply, asked: Asked) -> Reply:
    """The reply within `stop` and the token limits of the request."""
    text, ending = reply.text or "", reply.finish_reason
    stops = asked.body.get("stop")
    for stop in [stops] if isinstance(stops, str) else stops or []:
        if isinstance(stop, str) and stop and stop in text:
            text = text[: text.index(stop)]
    limit = _limit(asked)
    reasoning = reply.reasoning
    if limit is not None:
        left = limit
        if reasoning and asked.dialect != "dashscope":  # there the limit is for the answer alone
            if count_text(reasoning) > left:
                reasoning, ending = reasoning[: left * 4], "length"
            left -= count_text(reasoning)
        if count_text(text) > left:
            text, ending = text[: max(0, left) * 4], "length"
    if (text, reasoning, ending) == (reply.text, reply.reasoning, reply.finish_reason):
        return reply
    return replace(reply, text=text, reasoning=reasoning, finish_reason=ending)


def _limit(asked: Asked) -> int | None:
    given = [asked.body.get(name) for name in ("max_completion_tokens", "max_tokens", "max_output_tokens")]
    return next((value for value in given if isinstance(value, int)), None)


def _make_thought(asked: Asked) -> str:
    words = " ".join(asked.text[:400].split()[:12])
    text = f"The user writes: {words}. I consider it from {2 + int(asked.key[0], 16)} sides, then answer."
    return text if asked.budget is None else text[: max(1, asked.budget) * 4]


def _text(asked: Asked, draw: int) -> str:
    constraint = asked.constraint
    if constraint is None:
        mark = blake2b(f"{asked.seed}/{asked.key}/{draw}".encode(), digest_size=4).hexdigest()
        about = asked.text
        if asked.messages and asked.messages[-1].get("role") == "tool":
            results = [text_of(message) for message in asked.messages if message.get("role") == "tool"]
            about = f"the tools say {'; '.join(results)}"
        return f"{mark} {about}".strip()
    rng = asked.random("text", draw)
    match constraint.kind:
        case "schema":
            return _json(fit_schema(constraint.value, rng))
        case "json":
            schema = find_schema([text_of(message) for message in asked.messages])
            return _json({"answer": asked.text} if schema is None else fit_schema(schema, rng))
        case "regex":
            return fit_regex(constraint.value, rng)
        case "choice":
            return str(rng.choice(constraint.value))
        case "grammar":
            return fit_grammar(constraint.value, rng)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _calls(asked: Asked, draw: int) -> tuple[ToolCall, ...]:
    tools, choice = asked.tools, asked.body.get("tool_choice", "auto")
    if not tools or choice == "none" or not asked.messages:
        return ()
    rng = asked.random("tools", draw)
    if isinstance(choice, dict):
        name = choice.get("function", {}).get("name")
        chosen = [tool for tool in tools if tool.get("name") == name]
    else:
        fresh = asked.messages[-1].get("role") == "user"
        chosen = [tool for tool in tools if fresh and str(tool.get("name")) in asked.text]
        if choice == "required" and not chosen:
            chosen = tools[:1]
    if not parallel_calls(asked):
        chosen = chosen[:1]
    return tuple(
        ToolCall(
            str(tool.get("name")),
            _json(fit_schema(tool.get("parameters") or {"type": "object"}, rng)),
            f"call_{rng.randrange(16**12):012x}",
        )
        for tool in chosen
    )


def parallel_calls(asked: Asked) -> bool:
    """Several calls at once: the default everywhere but on DashScope."""
    return bool(asked.body.get("parallel_tool_calls", asked.dialect != "dashscope"))


def count_tokens(reply: Reply, asked: Asked) -> Counts:
    """The usage of one reply, with what the script overrides."""
    reasoning = count_text(reply.reasoning or "")
    written = count_text(reply.text or "") + sum(
        count_text(call.name + call.text) for call in reply.tool_calls
    )
    prompt, completion = asked.counts.prompt, reasoning + max(1, written)
    image, video = asked.counts.image, asked.counts.video
    cost = asked.model.cost(prompt, completion)
    if not isinstance(reply.usage, Mapping):
        return Counts(prompt, completion, reasoning, 0, image, video, cost)
    said = reply.usage
    prompt, completion = said.get("prompt_tokens", prompt), said.get("completion_tokens", completion)
    return Counts(
        prompt,
        completion,
        said.get("reasoning_tokens", reasoning),
        said.get("cached_tokens", 0),
        said.get("image_tokens", image),
        said.get("video_tokens", video),
        said.get("cost", asked.model.cost(prompt, completion)),
    )
