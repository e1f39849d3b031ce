"""One question under way, and everybody who waits for it.

Whoever asks what is already being asked joins the flight: its pieces so far, then each new one, then its outcome, an
error included. When the last one waiting has gone, the flight is cancelled, or, where cancelling saves no money, left
to finish and be remembered.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any, NamedTuple

from qwennb.answer import Answer, Chunk
from qwennb.cache import Memory
from qwennb.config import CacheMode, Secret
from qwennb.endpoints import Endpoint
from qwennb.request import Request


class FlightName(NamedTuple):
    """What tells one flight from another: the same question, to the same server with the same API key, in the same mode and folder."""

    key: str
    identity: str
    base_url: str
    api_key: Secret | None  # shows itself nowhere
    mode: CacheMode
    memory: Memory

    @classmethod
    def of(cls, request: Request, endpoint: Endpoint, mode: CacheMode, memory: Memory) -> FlightName:
        """Name the flight that *request* would join."""
        identity = endpoint.identity(request.model)
        return cls(request.key, identity, endpoint.base_url, endpoint.key, mode, memory)


class Flight:
    """An asking task with listeners. Used on the engine's loop only.

    *drains* says whether it goes on when nobody waits any more, because cancelling saves no money.
    """

    def __init__(self, drains: Callable[[], bool]) -> None:
        self._task: asyncio.Task[Answer] | None = None
        self._pieces: list[Chunk] = []
        self._queues: list[asyncio.Queue[Chunk | None]] = []
        self._waiting = 0
        self._landed: Callable[[], object] | None = None
        self._drains = drains

    def start(self, asking: Coroutine[Any, Any, Answer], landed: Callable[[], object]) -> None:
        """Begin with *asking*. *landed* is called once it is over, whatever the outcome: from then on nobody may join it."""
        self._task = asyncio.get_running_loop().create_task(asking)
        self._landed = landed

        def over(task: asyncio.Task[Answer]) -> None:
            self._land()
            for queue in self._queues:
                queue.put_nowait(None)
            if not task.cancelled():
                task.exception()  # looked at, so that nobody warns when all who waited have gone

        self._task.add_done_callback(over)

    @property
    def has_listener(self) -> bool:
        """True when somebody has been shown a piece: it can't be taken back by asking again."""
        return bool(self._queues) and bool(self._pieces)

    def show(self, chunk: Chunk) -> None:
        """Pass *chunk* on to the listeners."""
        if chunk.text or chunk.reasoning or chunk.tool_calls:
            self._pieces.append(chunk)
            for queue in self._queues:
                queue.put_nowait(chunk)

    def restart(self) -> None:
        """Forget the pieces of an attempt that failed before anyone listened."""
        self._pieces.clear()

    async def outcome(self) -> Answer:
        """Wait for the answer; the error, if that is what comes of it."""
        assert self._task is not None
        self._waiting += 1
        try:
            return await asyncio.shield(self._task)
        finally:
            self._leave()

    async def pieces(self) -> AsyncGenerator[Chunk, None]:
        """The pieces so far, then each new one, until it is over."""
        assert self._task is not None
        queue: asyncio.Queue[Chunk | None] = asyncio.Queue()
        for chunk in self._pieces:
            queue.put_nowait(chunk)
        if self._task.done():
            queue.put_nowait(None)
        self._queues.append(queue)
        self._waiting += 1
        try:
            while (chunk_or_end := await queue.get()) is not None:
                yield chunk_or_end
        finally:
            self._queues.remove(queue)
            self._leave()

    def _leave(self) -> None:
        self._waiting -= 1
        if self._waiting == 0 and self._task is not None and not self._task.done() and not self._drains():
            self._land()  # at once: who asks the same before the task has ended must not share its end
            self._task.cancel()

    def _land(self) -> None:
        landed, self._landed = self._landed, None
        if landed is not None:
            landed()
