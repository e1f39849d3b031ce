"""An answer, as a frozen value: what came back, what it cost, and which request it belongs to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from qwennb.answer.chunk import Logprob, WebSource
from qwennb.answer.cited import Quote
from qwennb.answer.cut import own_limit
from qwennb.answer.usage import Cost, Usage
from qwennb.errors import QwenError
from qwennb.request import Request, ToolCall
from qwennb.terminal import flatten
from qwennb.text import first_words


@dataclass(frozen=True)
class Answer:
    """What a model answered, to which request, and at what cost.

    Every asking call gives one. It is frozen; `str(answer)` is its text, and a notebook shows it as in a cell.

    Attributes
    ----------
    text : str
        What was answered.
    data : Any
        The value of the schema or the choice, when one was asked for; else None.
    reasoning : str
        The thought, where it was told; `reasoning_blocks` is the same as one endpoint wants it back.
    tool_calls, tool_results, consents : tuple
        What the model wanted called; what each call gave; and whether the user allowed it, None for a call that nobody was
        asked about (empty where that holds for all).
    logprobs : tuple of Logprob or None
        Token by token, where asked for.
    choice_logprobs : tuple of float or None
        The log probability of each of the request's choices, in their order, where the endpoint tells them.
    sources : tuple of WebSource
        The pages that a searching model names. They are never fetched.
    quotes : tuple of Quote
        With `cite=True`: the words that each claim or field rests on, and where they stand in what was sent, or that they
        stand nowhere there.
    said : str
        What the model wrote, where `text` is made of it (with `cite=True`, JSON): this is what is kept.
    usage : Usage
        Tokens, of all attempts together.
    cost : Cost or None
        US dollars; None where the price is unknown.
    request, key, model : Request, str, str
        What was asked, its name, and the model it was asked of.
    endpoint, served_by : str
        The identity of who answered, and the model id that it reported.
    defaults : Mapping
        Settings that were sent though the user left them alone.
    finish_reason : str
        "stop", "tool_calls", "length" (cut at its own `max_tokens`) or "error" (one of many failed).
    complete, is_cut : bool
        Whether it may be remembered, and whether it is a text that was cut at its own `max_tokens`.
    attempts : int
        How many requests it took.
    created : datetime
        When it was answered.
    cached : bool
        Whether this call cost nothing, because the answer was known.
    error : QwenError or None
        Set instead of a text when one of many failed.
    reasoning_blocks : str
        The thought as JSON, to be sent back with the next question.

    Examples
    --------
    >>> answer = qwen.ask("What is the capital of France?")
    >>> answer.text
    'Paris'
    >>> answer.model, answer.finish_reason, answer.cached
    ('qwen3.5-flash', 'stop', False)
    >>> qwen.ask("What is the capital of France?").cached
    True
    >>> answer.usage.output > 0 and answer.cost < 0.001
    True
    """

    request: Request
    text: str = ""
    data: Any = field(default=None, compare=False)
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    logprobs: tuple[Logprob, ...] | None = None
    sources: tuple[WebSource, ...] = ()
    usage: Usage = field(default_factory=Usage)
    cost: Cost | None = None
    endpoint: str = ""
    served_by: str = ""
    finish_reason: str = "stop"
    attempts: int = 1
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    defaults: Mapping[str, Any] = field(default_factory=dict, hash=False)
    reasoning_blocks: str = ""
    tool_results: tuple[str, ...] | None = None
    consents: tuple[bool | None, ...] = ()
    choice_logprobs: tuple[float, ...] | None = None
    cached: bool = field(default=False, compare=False)
    error: QwenError | None = field(default=None, compare=False)
    quotes: tuple[Quote, ...] = field(default=(), compare=False)
    said: str = field(default="", compare=False, repr=False)

    @property
    def key(self) -> str:
        """The name of the request that this answers."""
        return self.request.key

    @property
    def model(self) -> str:
        """The model that was asked."""
        return self.request.model

    @property
    def complete(self) -> bool:
        """True for what may be remembered: not empty, and ended by itself or where its request drew the line."""
        if self.error is not None or not (self.text or self.tool_calls):
            return False
        return self.finish_reason in ("stop", "tool_calls") or self.is_cut

    @property
    def is_cut(self) -> bool:
        """True for a text that ends at its request's own `max_tokens`: the answer to that request, if not the whole text."""
        request, usage = self.request, self.usage
        if self.finish_reason != "length" or self.tool_calls or not request.is_text:
            return False
        most = own_limit(request)
        # Here the usage is that of all attempts together; the engine has looked at the last one's alone.
        return most is not None and bool(self.text.strip()) and (usage.estimated or usage.output >= most)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        shown = repr(first_words(self.text, 60)) if self.error is None else f"failed: {self.error}"
        return flatten(f"<Answer {self.key[:12]} from {self.model} at {self.endpoint}: {shown}>")

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        from qwennb.answer.page import Page

        return Page((self,)).bundle()

    def _mime_(self) -> tuple[str, str]:
        """For marimo, alone and in a list."""
        from qwennb.answer.page import Page
        from qwennb.answer.page_html import write_html

        return "text/html", write_html(Page((self,)).markdown())

    def to_json(self) -> dict[str, Any]:
        """Write everything to be remembered but the request; `data` is read again from the text."""
        made: dict[str, Any] = {
            "text": self.said or self.text,
            "endpoint": self.endpoint,
            "served_by": self.served_by,
            "finish_reason": self.finish_reason,
            "attempts": self.attempts,
            "created": self.created.isoformat(),
            "usage": self.usage.to_json(),
        }
        for name, (write, _) in _AS_JSON.items():
            if (value := getattr(self, name)) != getattr(Answer, name, {}):  # its default
                made[name] = write(value)
        return made

    @classmethod
    def from_json(cls, data: Mapping[str, Any], request: Request) -> Answer:
        """Read the answer that `to_json` wrote, to *request*; recalled, so `cached`."""
        told = {name: read(data[name]) for name, (_, read) in _AS_JSON.items() if data.get(name) is not None}
        return cls(
            request=request,
            text=data["text"],
            usage=Usage.from_json(data["usage"]),
            endpoint=data["endpoint"],
            served_by=data["served_by"],
            finish_reason=data["finish_reason"],
            attempts=data["attempts"],
            created=datetime.fromisoformat(data["created"]),
            cached=True,
            **told,
        )


def _each_to_json(values: Iterable[ToolCall | Logprob | WebSource]) -> list[Any]:
    return [value.to_json() for value in values]


# What is written only where it is not as it is by default: how it is written, and how it is read again.
_AS_JSON: Mapping[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "cost": (lambda cost: [float(cost), cost.source], lambda pair: Cost(*pair)),
    "reasoning": (str, str),
    "reasoning_blocks": (orjson.loads, lambda blocks: orjson.dumps(blocks).decode() if blocks else ""),
    "tool_calls": (_each_to_json, lambda calls: tuple(map(ToolCall.from_json, calls))),
    "tool_results": (list, tuple),
    "choice_logprobs": (list, tuple),
    "consents": (list, tuple),
    "logprobs": (_each_to_json, lambda logprobs: tuple(map(Logprob.from_json, logprobs))),
    "sources": (_each_to_json, lambda sources: tuple(WebSource(*source) for source in sources)),
    "defaults": (dict, dict),
}
