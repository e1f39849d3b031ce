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
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import Any

from qwennb.client.openai.body import read_body
from qwennb.client.openai.reply import StreamedReply, whole_reply
from qwennb.client.options import Options
from qwennb.client.session import Session, limit_pixels
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
from qwennb.errors import BadInput, NotRecorded
from qwennb.request import Message, Request, Text, merge_texts, user_message

Json = dict[str, Any]


def sync_client(session: Session) -> OpenAI:
    """Make an `openai.OpenAI` that asks through *session*."""
    door = Door(partial(_whole, session), partial(_pieces, session), partial(_beyond, session))
    return openai_client(door, os.environ)


def async_client(session: Session) -> AsyncOpenAI:
    """Make an `openai.AsyncOpenAI` that asks through *session*."""
    door = AsyncDoor(
        partial(_whole_async, session), partial(_pieces_async, session), partial(_beyond, session)
    )
    return async_openai_client(door, os.environ)


# ---------------------------------------------------------------------- questions


def _whole(session: Session, body: Json, seconds: float | None) -> Json:
    request, options, _ = _build_request(session, body, seconds)
    answer = session.answer(request, options)
    session.emit_warnings()
    return whole_reply(answer)


async def _whole_async(session: Session, body: Json, seconds: float | None) -> Json:
    request, options, _ = await asyncio.to_thread(_build_request, session, body, seconds)
    answer = await session.answer_async(request, options)
    session.emit_warnings()
    return whole_reply(answer)


def _pieces(session: Session, body: Json, seconds: float | None) -> Generator[Json]:
    request, options, reply = _build_request(session, body, seconds)
    for piece in session.stream(request, options).chunks:
        yield from reply.chunks(piece)


async def _pieces_async(session: Session, body: Json, seconds: float | None) -> AsyncGenerator[Json]:
    request, options, reply = await asyncio.to_thread(_build_request, session, body, seconds)
    known = await asyncio.to_thread(session.recall, request, options)
    if known is not None:
        for chunk in reply.chunks(known):
            yield chunk
        session.emit_warnings()
        return
    async with aclosing(session.stream_async(request, options)) as pieces:
        async for piece in pieces:
            for chunk in reply.chunks(piece):
                yield chunk


def _build_request(
    session: Session, body: Json, seconds: float | None
) -> tuple[Request, Options, StreamedReply]:
    """Make the request in *body*, with what this client was given for all of its calls, and the reply if it is to be streamed."""
    question = read_body(body)
    # Its clients read an answer as the model writes it, and there are no quotes beside that.
    options = replace(session.with_defaults(replace(question.options, timeout=seconds)), cite=None)
    messages = question.messages
    if options.system and not any(message.role == "system" for message in messages):
        messages = (Message("system", (Text(options.system),)), *messages)
    request = session.complete_request(_with_media(session, messages, options), options)
    reply = StreamedReply(request, usage_at_end=question.usage_at_end, began=int(time.time()))
    return request, options, reply


def _with_media(session: Session, messages: tuple[Message, ...], options: Options) -> tuple[Message, ...]:
    """Put the client's own pictures into the last question, and each picture into the client's bounds."""
    own = user_message(
        "", images=options.images, videos=options.videos, files=session.read_files(options.files)
    ).parts
    made = list(messages)
    last = max(i for i, message in enumerate(messages) if message.role == "user")
    if own:
        made[last] = replace(made[last], parts=merge_texts((*made[last].parts, *own)))
    most = options.max_pixels
    return tuple(made if most is None else [limit_pixels(message, most) for message in made])


# ---------------------------------------------------------------------- every other route


def _beyond(session: Session, method: str, path: str) -> Beyond:
    route = path.partition("?")[0]
    if session.config.cache == "replay":
        raise NotRecorded(
            f"Replay: {method} {route} is passed on to the endpoint and never recorded, so there is nothing to replay. Ask it "
            'with cache="on", or leave it out.'
        )
    if session.config.budget is not None and method == "POST":
        raise BadInput(
            f"budget= can't be kept for {route}: what it costs is not known here. Ask it through a Qwen without budget=."
        )
    there = session.endpoint.call(Wire({}))  # the embedded model is started by it
    return Beyond(there.base_url, there.key)
