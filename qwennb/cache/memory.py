"""What is remembered, and under which mode it is looked for.

    on        recall; what is not known is asked and kept
    refresh   ask, then keep
    replay    recall only, from any endpoint; what is not known is an error, and no socket is opened
    off       neither recall nor keep

A recalled answer is validated again, for a schema's Python validators may have changed since: one that no longer fits
is asked anew, or in replay is an error.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from qwennb.answer import Answer, read_form
from qwennb.cache.record import Name
from qwennb.cache.spending import Spendings
from qwennb.cache.store import Store
from qwennb.cache.writer import Writer
from qwennb.config import CacheMode
from qwennb.errors import CacheError, InvalidAnswer, NotRecorded
from qwennb.request import Request


class Memory:
    """The answers of one folder."""

    def __init__(self, store: Store, writer: Writer, spendings: Spendings) -> None:
        self.store = store
        self.writer = writer
        self.spendings = spendings
        self._done: deque[tuple[asyncio.Future[None], BaseException | None]] = deque()

    def recall(self, request: Request, identity: str | None, mode: CacheMode) -> Answer | None:
        """The remembered answer to *request*, or None when it is to be asked. In replay, a miss is an error."""
        if mode in ("off", "refresh"):
            return None
        if mode == "replay":
            return self._replayed(request, identity)
        try:
            value = self.store.get(Name(request.key, identity)) if identity is not None else None
        except CacheError:  # held by another process for too long: asking again is better than failing
            value = None
        if value is None:
            return None
        answer = _read(value, request)
        return None if isinstance(answer, ValueError) else answer

    def recall_many(
        self, requests: Sequence[Request], identity: str | None, mode: CacheMode
    ) -> list[Answer | None]:
        """As `recall`, thousands at once."""
        if mode != "on" or identity is None:
            return [self.recall(request, identity, mode) for request in requests]
        values = self.store.get_many({Name(request.key, identity) for request in requests})
        found = [(request, values.get(Name(request.key, identity))) for request in requests]
        answers = [None if value is None else _read(value, request) for request, value in found]
        return [None if isinstance(answer, ValueError) else answer for answer in answers]

    def models(self) -> list[str]:
        """The models that were asked here, the one with the most requests first."""
        counts: Counter[str] = Counter()
        for row in self.spendings.rows():
            counts[row.model] += row.requests
        return [model for model, _ in counts.most_common()]

    def close(self) -> None:
        """Write out what is still to be written, and close the files."""
        self.writer.close()
        self.store.close()

    async def keep(self, answer: Answer, warn: Callable[[str], None]) -> None:
        """Keep *answer*, and come back once it is durable. Where it can't be kept, it is not lost: *warn* says so."""
        loop = asyncio.get_running_loop()
        kept: asyncio.Future[None] = loop.create_future()
        name = Name(answer.key, answer.endpoint)
        try:
            self.writer.put(name, record_of(answer), lambda error: self._kept(loop, kept, error))
            await kept
        except Exception as error:
            warn(
                f"An answer could not be kept in the cache ({error}); it is given to you, and will be asked for again."
            )

    def _kept(
        self, loop: asyncio.AbstractEventLoop, kept: asyncio.Future[None], error: BaseException | None
    ) -> None:
        """On the writer's thread: one wake-up of the loop for all that a commit made durable."""
        self._done.append((kept, error))
        if len(self._done) == 1:
            loop.call_soon_threadsafe(self._acknowledge)

    def _acknowledge(self) -> None:
        while self._done:
            kept, error = self._done.popleft()
            if kept.done():
                continue
            if error is None:
                kept.set_result(None)
            else:
                kept.set_exception(error)

    def _replayed(self, request: Request, identity: str | None) -> Answer:
        found = sorted(
            self.store.find(request.key), key=lambda item: (item[0].endpoint != identity, item[0].endpoint)
        )
        problem: ValueError | None = None
        for _, value in found:
            answer = _read(value, request)
            if isinstance(answer, Answer):
                return answer
            problem = answer
        if problem is not None:
            raise InvalidAnswer(
                f'The recorded answer to {request.key[:12]} no longer fits the schema: {problem}. Record it again with cache="refresh".'
            )
        words = " ".join(request.question.split())
        shown = words if len(words) <= 50 else words[:49] + "…"
        raise NotRecorded(
            f"Replay: no answer is recorded for request {request.key[:12]} to {request.model} ({shown!r}). "
            'To record it, ask once with cache="on" (or %qwen_config cache=on) and an endpoint that answers.'
        )


def record_of(answer: Answer) -> bytes:
    """What is stored: the whole request and the answer."""
    # Names stay in the order in which they came: some endpoints want their reasoning blocks back unmodified.
    return orjson.dumps({"request": answer.request.canonical(), "answer": answer.to_json()})


def read_record(value: bytes) -> tuple[Request, Mapping[str, Any]]:
    """The request and the answer's JSON in a stored record."""
    data = orjson.loads(value)
    return Request.from_json(data["request"]), data["answer"]


def _read(value: bytes, request: Request) -> Answer | ValueError:
    try:
        answer = Answer.from_json(orjson.loads(value)["answer"], request)
        if answer.tool_calls:
            return answer
        data = read_form(request, answer.text)
    except (ValueError, KeyError, TypeError) as error:
        return error if isinstance(error, ValueError) else ValueError(f"the record can't be read ({error!r})")
    return answer if data is None else replace(answer, data=data)
