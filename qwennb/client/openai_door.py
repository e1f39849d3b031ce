"""`qwen.openai` and `qwen.openai_async`: the openai package's own clients, answered by a `Qwen`.

A question of theirs becomes the `Request` that `qwen.ask` would have made of the same content, and goes the same way:
recalled, or asked within the same limits, budget and ledger. Tools are not run here; the calls are handed back, as a
caller of the package expects. Routes other than chat pass through to the endpoint while it may be asked, outside of
cache and ledger, and in replay they are an error.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from qwennb.answer import Answer, Chunk
from qwennb.client.openai_body import OpenAiQuestion, read_body
from qwennb.client.openai_reply import StreamedReply, whole_reply
from qwennb.client.options import Options
from qwennb.endpoints import Wire
from qwennb.endpoints.openai_clients import (
    AsyncDoor,
    AsyncOpenAI,
    Beyond,
    Door,
    OpenAI,
    async_openai_client,
    openai_client,
)
from qwennb.engine import CallContext
from qwennb.errors import BadInput, NotRecorded
from qwennb.request import Message, Request, Schema, Text, Tool, merge_texts, user_message

if TYPE_CHECKING:
    from qwennb.client.qwen import Qwen

Json = dict[str, Any]


def sync_client(qwen: Qwen) -> OpenAI:
    """An `openai.OpenAI` that asks through *qwen*."""
    door = Door(partial(_whole, qwen), partial(_pieces, qwen), partial(_beyond, qwen))
    return openai_client(door, os.environ)


def async_client(qwen: Qwen) -> AsyncOpenAI:
    """An `openai.AsyncOpenAI` that asks through *qwen*."""
    door = AsyncDoor(partial(_whole_async, qwen), partial(_pieces_async, qwen), partial(_beyond_async, qwen))
    return async_openai_client(door, os.environ)


# ---------------------------------------------------------------------- questions


def _whole(qwen: Qwen, body: Json, seconds: float | None) -> Json:
    request, options, _ = _build_request(qwen, body, seconds)
    answer = qwen.answer(request, options)
    qwen._tell()
    return whole_reply(answer)


async def _whole_async(qwen: Qwen, body: Json, seconds: float | None) -> Json:
    request, options, _ = await asyncio.to_thread(_build_request, qwen, body, seconds)
    answer = await qwen.answer_async(request, options)
    qwen._tell()
    return whole_reply(answer)


def _pieces(qwen: Qwen, body: Json, seconds: float | None) -> Generator[Json]:
    request, options, question = _build_request(qwen, body, seconds)
    reply = _start_stream(request, question)
    for piece in qwen._stream(request, options):
        yield from reply.chunks(piece)


async def _pieces_async(qwen: Qwen, body: Json, seconds: float | None) -> AsyncGenerator[Json]:
    request, options, question = await asyncio.to_thread(_build_request, qwen, body, seconds)
    reply = _start_stream(request, question)
    known = await asyncio.to_thread(qwen._recall, request, options)
    if known is not None:
        for chunk in reply.chunks(known):
            yield chunk
        qwen._tell()
        return
    context = await asyncio.to_thread(qwen._validate_context, request, options)
    async with aclosing(_across(qwen, request, context)) as pieces:
        async for piece in pieces:
            for chunk in reply.chunks(piece):
                yield chunk
    qwen._tell()


def _start_stream(request: Request, question: OpenAiQuestion) -> StreamedReply:
    return StreamedReply(request, usage_at_end=question.usage_at_end, began=int(time.time()))


def _build_request(qwen: Qwen, body: Json, seconds: float | None) -> tuple[Request, Options, OpenAiQuestion]:
    """The request in *body*, with what this client was given for all of its calls."""
    question = read_body(body)
    options = qwen.with_defaults(replace(question.options, timeout=seconds))
    messages = question.messages
    if options.system and not any(message.role == "system" for message in messages):
        messages = (Message("system", (Text(options.system),)), *messages)
    request = Request(
        model=qwen._model(options),
        messages=_with_media(messages, options),
        settings=options.settings(),
        schema=None if options.schema is None else Schema.of(options.schema),
        choices=None if options.choices is None else tuple(options.choices),
        tools=tuple(Tool.of(tool) for tool in options.tools or ()),
    )
    return request, options, question


def _with_media(messages: tuple[Message, ...], options: Options) -> tuple[Message, ...]:
    """*messages* with the client's own pictures in the last question, and each picture in the client's bounds."""
    own = user_message("", images=options.images, videos=options.videos, files=options.files).parts
    last = max(i for i, message in enumerate(messages) if message.role == "user")
    made = []
    for i, message in enumerate(messages):
        parts = (*message.parts, *own) if i == last else message.parts
        if options.max_pixels is not None:
            parts = tuple(_limit_pixels(part, options.max_pixels) for part in parts)
        made.append(message if parts == message.parts else replace(message, parts=merge_texts(parts)))
    return tuple(made)


def _limit_pixels(part: Any, most: int) -> Any:
    if isinstance(part, Text) or part.max_pixels is not None:
        return part
    return type(part)(part, max_pixels=most)


async def _across(qwen: Qwen, request: Request, context: CallContext) -> AsyncGenerator[Chunk | Answer]:
    """The pieces of an answer from the engine's loop, on the caller's. Leaving early ends the asking."""
    here = asyncio.get_running_loop()
    items: asyncio.Queue[Chunk | Answer | BaseException | None] = asyncio.Queue()

    def hand_over(item: Chunk | Answer | BaseException | None) -> None:
        with suppress(RuntimeError):  # the caller's loop is closed: nobody listens
            here.call_soon_threadsafe(items.put_nowait, item)

    async def pump() -> None:
        engine = await qwen._runtime.engine()
        async for piece in engine.stream(request, context):
            hand_over(qwen.note_cut(piece) if isinstance(piece, Answer) else piece)

    future = qwen._runtime.bridge.start(pump())
    future.add_done_callback(lambda f: hand_over(None if f.cancelled() else f.exception()))
    try:
        while (item := await qwen._runtime.bridge.watch(items.get())) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        future.cancel()


# ---------------------------------------------------------------------- every other route


def _beyond(qwen: Qwen, method: str, path: str) -> Beyond:
    route = path.partition("?")[0]
    if qwen.config.cache == "replay":
        raise NotRecorded(
            f"Replay: {method} {route} is passed on to the endpoint and never recorded, so there is nothing to replay. Ask it "
            'with cache="on", or leave it out.'
        )
    if qwen.config.budget is not None and method == "POST":
        raise BadInput(
            f"budget= can't be kept for {route}: what it costs is not known here. Ask it through a Qwen without budget=."
        )
    there = qwen.endpoint.call(Wire({}))  # the embedded model is started by it
    return Beyond(there.base_url, there.key)


async def _beyond_async(qwen: Qwen, method: str, path: str) -> Beyond:
    return await asyncio.to_thread(_beyond, qwen, method, path)
