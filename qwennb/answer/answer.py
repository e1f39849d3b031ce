"""An answer, as a frozen value: what came back, what it cost, and which request it belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from qwennb.answer.chunk import Logprob, WebSource
from qwennb.answer.cut import own_limit
from qwennb.answer.usage import Cost, Usage
from qwennb.errors import QwenError
from qwennb.request import Request, ToolCall
from qwennb.terminal import flatten


@dataclass(frozen=True)
class Answer:
    """What a model answered. `str(answer)` is its text.

    `data` is the value of the schema or the choice, when one was asked for. `endpoint` is the identity of who
    answered, `served_by` the model id that it reported. `defaults` are settings that were sent though the user left
    them alone. `tool_results` are what the called tools gave, one for each call; `consents` whether the user
    allowed each call, None for one that nobody was asked about, and empty where that holds for all. `cached` says that
    this call cost nothing; `error` is set instead of a text when one of many failed.
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
    cached: bool = field(default=False, compare=False)
    error: QwenError | None = field(default=None, compare=False)

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
        if self.finish_reason != "length" or self.tool_calls or request.schema or request.choices:
            return False
        most = own_limit(request)
        # Here the usage is that of all attempts together; the engine has looked at the last one's alone.
        return most is not None and bool(self.text.strip()) and (usage.estimated or usage.output >= most)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        words = " ".join(self.text.split())
        shown = (
            repr(words if len(words) <= 60 else words[:59] + "…")
            if self.error is None
            else f"failed: {self.error}"
        )
        return flatten(f"<Answer {self.key[:12]} from {self.model} at {self.endpoint}: {shown}>")

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        from qwennb.answer.page import Page

        return Page((self,)).bundle()

    def to_json(self) -> dict[str, Any]:
        """Everything to be remembered but the request; `data` is read again from the text."""
        made: dict[str, Any] = {
            "text": self.text,
            "endpoint": self.endpoint,
            "served_by": self.served_by,
            "finish_reason": self.finish_reason,
            "attempts": self.attempts,
            "created": self.created.isoformat(),
            "usage": self.usage.to_json(),
        }
        if self.cost is not None:
            made["cost"] = [float(self.cost), self.cost.source]
        if self.reasoning:
            made["reasoning"] = self.reasoning
        if self.reasoning_blocks:
            made["reasoning_blocks"] = orjson.loads(self.reasoning_blocks)
        if self.tool_calls:
            made["tool_calls"] = [call.to_json() for call in self.tool_calls]
        if self.tool_results is not None:
            made["tool_results"] = list(self.tool_results)
        if self.consents:
            made["consents"] = list(self.consents)
        if self.logprobs is not None:
            made["logprobs"] = [logprob.to_json() for logprob in self.logprobs]
        if self.sources:
            made["sources"] = [source.to_json() for source in self.sources]
        if self.defaults:
            made["defaults"] = dict(self.defaults)
        return made

    @classmethod
    def from_json(cls, data: Mapping[str, Any], request: Request) -> Answer:
        """The answer that `to_json` wrote, to *request*; recalled, so `cached`."""
        cost, blocks = data.get("cost"), data.get("reasoning_blocks")
        logprobs, results = data.get("logprobs"), data.get("tool_results")
        return cls(
            request=request,
            text=data["text"],
            reasoning=data.get("reasoning", ""),
            tool_calls=tuple(map(ToolCall.from_json, data.get("tool_calls", ()))),
            logprobs=None if logprobs is None else tuple(map(Logprob.from_json, logprobs)),
            sources=tuple(WebSource(*source) for source in data.get("sources", ())),
            usage=Usage.from_json(data["usage"]),
            cost=None if cost is None else Cost(*cost),
            endpoint=data["endpoint"],
            served_by=data["served_by"],
            finish_reason=data["finish_reason"],
            attempts=data["attempts"],
            created=datetime.fromisoformat(data["created"]),
            defaults=data.get("defaults", {}),
            reasoning_blocks=orjson.dumps(blocks).decode() if blocks else "",
            tool_results=None if results is None else tuple(results),
            consents=tuple(data.get("consents", ())),
            cached=True,
        )
