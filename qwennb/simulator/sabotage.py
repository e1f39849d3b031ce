# ruff: noqa: D102  # the table in faults.py tells what each of them does
"""How a fault is carried out: on the reply before it is shaped, or on the bytes while they leave."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from .connection import Exchange, head
from .delivery import DONE, JSON_TYPE, STREAM_TYPE, Delivery, Event, comment, encode
from .dialects import SimulatedDialect
from .faults import Fault
from .parsed_request import Asked
from .problem import Problem
from .replies import Reply

__all__ = ["ON_REPLY", "ON_WIRE", "Wreck"]

PAGE = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body><h1>Sign in to the network</h1></body></html>"
MEGABYTE = 1024 * 1024
HTML_TYPE = ("content-type", "text/html; charset=utf-8")


# The model says something else.


def _half(text: str | None) -> str:
    return (text or "")[: max(1, len(text or "") // 2)]


def _again(reply: Reply) -> Reply:
    """Cut into pieces anew."""
    return replace(reply, chunks=None, tool_calls=())


def _loose(reply: Reply, values: Callable[[str], str]) -> Reply:
    """The reply as the text of a JSON object whose members *values* writes."""
    try:
        known = json.loads(reply.text or "")
    except ValueError:
        known = None
    names = list(known) if isinstance(known, dict) and known else ["answer"]
    return _again(replace(reply, text="{" + ", ".join(values(json.dumps(name)) for name in names) + "}"))


ON_REPLY: dict[str, Callable[[Reply], Reply]] = {
    "length": lambda reply: _again(replace(reply, text=_half(reply.text), finish_reason="length")),
    "content_filter": lambda reply: _again(
        replace(reply, text=_half(reply.text), finish_reason="content_filter")
    ),
    "null_content": lambda reply: _again(replace(reply, text=None)),
    "empty_content": lambda reply: _again(replace(reply, text="")),
    "reasoning_only": lambda reply: _again(
        replace(
            reply, text="", reasoning=reply.reasoning or "I think about it, and on.", finish_reason="stop"
        )
    ),
    "wrong_schema": lambda reply: _again(replace(reply, text='{"unexpected": [1, 2, 3]}')),
    "cut_json": lambda reply: _again(replace(reply, text=_half(reply.text), finish_reason="stop")),
    "fenced_json": lambda reply: _again(replace(reply, text=f"```json\n{reply.text}\n```")),
    "duplicate_keys": lambda reply: _loose(reply, lambda name: f'{name}: "first", {name}: "second"'),
    "nan": lambda reply: _loose(reply, lambda name: f"{name}: [NaN, Infinity, -Infinity]"),
    "partial": lambda reply: _again(replace(reply, text=_half(reply.text), finish_reason=None)),
}


# The bytes leave another way.


class Wreck:
    """One delivery and how it goes wrong. Returns when nothing more will be sent."""

    def __init__(
        self, exchange: Exchange, delivery: Delivery, fault: Fault, asked: Asked, dialect: SimulatedDialect
    ) -> None:
        self.exchange, self.delivery, self.fault, self.asked, self.dialect = (
            exchange,
            delivery,
            fault,
            asked,
            dialect,
        )

    async def happen(self) -> None:
        """Do it."""
        await asyncio.sleep(self.delivery.wait)
        await ON_WIRE[self.fault.name](self)

    # Small words.

    @property
    def events(self) -> list[Event]:
        return self.delivery.events or []

    @property
    def half(self) -> list[Event]:
        """The first half of the content of a stream."""
        speaking = [event for event in self.events if event.data is not DONE and not _ends(event)]
        return speaking[: max(2, (len(speaking) + 1) // 2)]

    def seconds(self, usual: float) -> float:
        return usual if self.fault.seconds is None else self.fault.seconds

    async def whole(self, body: bytes, kind: tuple[str, str] | None = None) -> None:
        """A body in place of the answer."""
        await self.exchange.send(200, body, [kind or self.delivery.type, *self.delivery.headers])

    async def stream(self, pieces: list[bytes], *, end: bool = True) -> None:
        """A stream of these pieces."""
        await self.exchange.begin(200, self.delivery.head)
        for piece in pieces:
            await self.exchange.write(piece)
        if end:
            await self.exchange.end()

    async def forever(self) -> None:
        """Until the caller hangs up."""
        await asyncio.get_running_loop().create_future()

    # What can happen.

    async def html(self) -> None:
        await self.whole(PAGE, HTML_TYPE)

    async def html_as_asked(self) -> None:
        await self.whole(PAGE)

    async def error_in_200(self) -> None:
        problem = Problem(502, "The upstream model failed.", "provider_unavailable", "api_error")
        await self.whole(encode(self.dialect.error(problem)), JSON_TYPE)

    async def no_choices(self) -> None:
        if self.delivery.events is None:
            await self.whole(encode({**self.delivery.body, "choices": []}))
        else:
            bare = [
                replace(e, data={**e.data, "choices": []}) if isinstance(e.data, dict) else e
                for e in self.events
            ]
            await self.stream([event.encode for event in bare])

    async def bad_utf8(self) -> None:
        whole = b"".join(self.delivery.pieces)
        at = (
            max(whole.rfind(b'"content":"') + len(b'"content":"'), 1)
            if b'"content":"' in whole
            else len(whole) // 2
        )
        await self.whole(whole[:at] + b"\xff\xfe\xc3(" + whole[at:])

    async def bad_json(self) -> None:
        if self.delivery.events is None:
            body = encode(self.delivery.body)
            await self.whole(body[: len(body) // 2])
        else:
            broken = b'data: {"id": "x", "choices": [{"delta": {"con\n\n'
            rest = self.events[len(self.half) :]
            await self.stream([*(e.encode for e in self.half), broken, *(e.encode for e in rest)])

    async def nan_body(self) -> None:
        if self.delivery.events is None:
            await self.whole(encode({**self.delivery.body, "score": float("nan")}))
        else:
            odd = [
                replace(e, data={**e.data, "score": float("nan")}) if isinstance(e.data, dict) else e
                for e in self.events
            ]
            await self.stream([event.encode for event in odd])

    async def duplicate_body(self) -> None:
        body = encode(self.delivery.body)
        wrong = encode(
            [{"index": 0, "message": {"role": "assistant", "content": "not this"}, "finish_reason": "stop"}]
        )
        await self.whole(b'{"choices":' + wrong + b"," + body[1:])

    async def empty_body(self) -> None:
        await self.whole(b"")

    async def redirect(self) -> None:
        await self.exchange.send(307, b"", [("location", f"/elsewhere{self.exchange.path}")])

    async def reset(self) -> None:
        self.exchange.reset()

    async def reset_midway(self) -> None:
        await self._begin_half()
        self.exchange.reset()

    async def short_body(self) -> None:
        await self._begin_half()
        self.exchange.close()

    async def hang(self) -> None:
        await self.forever()

    async def hang_midway(self) -> None:
        await self._begin_half()
        await self.forever()

    async def _begin_half(self) -> None:
        if self.delivery.events is None:
            body = encode(self.delivery.body)
            await self.exchange.raw(_promise(self.delivery, len(body)) + body[: len(body) // 2])
        else:
            await self.stream([event.encode for event in self.half], end=False)
        await asyncio.sleep(0.02)  # let the caller read it: a reset throws away what it has not read

    async def drip(self) -> None:
        await self._bytewise(self.seconds(0.1))

    async def utf8_split(self) -> None:
        await self._bytewise(self.seconds(0.0))

    async def _bytewise(self, pause: float) -> None:
        whole = b"".join(self.delivery.pieces)
        streamed = self.delivery.events is not None
        if streamed:
            await self.exchange.begin(200, self.delivery.head)
        else:
            await self.exchange.raw(_promise(self.delivery, len(whole)))
        for at in range(len(whole) - 1):
            one = whole[at : at + 1]
            await (self.exchange.write(one) if streamed else self.exchange.raw(one))
            await asyncio.sleep(pause)
        await (self.exchange.end(whole[-1:]) if streamed else self.exchange.last(whole[-1:]))

    async def huge_body(self) -> None:
        size = self.fault.size or 2 * 1024 * MEGABYTE
        filler = b" " * MEGABYTE
        body = b"".join(self.delivery.pieces)
        await self.exchange.raw(_promise(self.delivery, size + len(body)))
        for sent in range(0, size, MEGABYTE):
            await self.exchange.raw(filler[: min(MEGABYTE, size - sent)])
            await asyncio.sleep(0)
        await self.exchange.last(body)

    async def partial(self) -> None:
        await self.exchange.send(
            200, encode(self.delivery.body), [*self.delivery.head, ("x-dashscope-partialresponse", "true")]
        )

    async def comments_only(self) -> None:
        await self.exchange.begin(200, self.delivery.head)
        for _ in range(self.fault.size or max(1, round(self.seconds(8.0) / 0.1))):
            await self.exchange.write(comment("keep-alive"))
            await asyncio.sleep(0.1 if self.fault.size is None else self.seconds(0.1))
        await self.exchange.end()

    async def comment_flood(self) -> None:
        await self.exchange.begin(200, self.delivery.head)
        left, batch = self.fault.size or 1_000_000, 1000
        while left > 0:
            await self.exchange.write(comment("keep-alive") * min(batch, left))
            await asyncio.sleep(0)
            left -= batch
        for piece in self.delivery.pieces:
            await self.exchange.write(piece)
        await self.exchange.end()

    async def endless(self) -> None:
        await self.exchange.begin(200, self.delivery.head)
        more = next((e for e in reversed(self.half) if _speaks(e)), self.half[-1])
        for event in self.half:
            await self.exchange.write(event.encode)
        while True:
            await self.exchange.write(more.encode)
            await asyncio.sleep(self.seconds(0.001))

    async def long_line(self) -> None:
        spoken = next(
            event for event in self.events if isinstance(event.data, dict) and event.data.get("choices")
        )
        choice = {**spoken.data["choices"][0], "delta": {"content": "a" * (self.fault.size or 1_000_000)}}
        await self.stream(
            [Event({**spoken.data, "choices": [choice]}).encode, *(e.encode for e in self.events)]
        )

    async def no_done(self) -> None:
        await self.stream([event.encode for event in self.events if event.data is not DONE])

    async def no_finish(self) -> None:
        await self.stream([event.encode for event in self.half])

    async def send_done_only(self) -> None:
        await self.stream([*(event.encode for event in self.half), DONE])

    async def stream_html(self) -> None:
        await self.whole(PAGE, STREAM_TYPE)

    async def html_midway(self) -> None:
        await self.stream([*(event.encode for event in self.half), PAGE])

    async def error_midway(self) -> None:
        problem = Problem(502, self.fault.message or "The model broke off.", "server_error", "server_error")
        template: dict[str, Any] = next((dict(e.data) for e in self.events if isinstance(e.data, dict)), {})
        ending = self.dialect.error_events(problem, template)
        await self.stream([event.encode for event in [*self.half, *ending]])


def _promise(delivery: Delivery, length: int) -> bytes:
    return head(200, [*delivery.head, ("content-length", str(length))])


def _ends(event: Event) -> bool:
    """The event brings the finish reason or the usage."""
    if not isinstance(event.data, dict):
        return False
    choices = event.data.get("choices") or []
    return not choices or any(choice.get("finish_reason") for choice in choices)


def _speaks(event: Event) -> bool:
    return isinstance(event.data, dict) and event.tokens > 0


ON_WIRE: dict[str, Callable[[Wreck], Awaitable[None]]] = {
    "html": Wreck.html,
    "html_as_json": Wreck.html_as_asked,
    "error_in_200": Wreck.error_in_200,
    "no_choices": Wreck.no_choices,
    "bad_utf8": Wreck.bad_utf8,
    "bad_json": Wreck.bad_json,
    "nan_body": Wreck.nan_body,
    "duplicate_body": Wreck.duplicate_body,
    "empty_body": Wreck.empty_body,
    "redirect": Wreck.redirect,
    "reset": Wreck.reset,
    "reset_midway": Wreck.reset_midway,
    "short_body": Wreck.short_body,
    "drip": Wreck.drip,
    "utf8_split": Wreck.utf8_split,
    "hang": Wreck.hang,
    "hang_midway": Wreck.hang_midway,
    "huge_body": Wreck.huge_body,
    "partial": Wreck.partial,
    "comments_only": Wreck.comments_only,
    "comment_flood": Wreck.comment_flood,
    "endless": Wreck.endless,
    "long_line": Wreck.long_line,
    "no_done": Wreck.no_done,
    "no_finish": Wreck.no_finish,
    "done_only": Wreck.send_done_only,
    "stream_html": Wreck.stream_html,
    "html_midway": Wreck.html_midway,
    "error_midway": Wreck.error_midway,
}
