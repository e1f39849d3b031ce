"""The one bridge from sync to async: a thread that owns the event loop, and callers that only wait.

The caller's thread never runs a coroutine of ours, so it does not matter whether it has a loop of its own (a notebook
has), and Ctrl-C reaches it at once: waiting is all it does. A forked child finds the thread gone and starts its own.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from queue import SimpleQueue
from typing import Any, TypeVar

from qwennb.errors import QwenError, Stopped

T = TypeVar("T")
_SLICE = 0.1  # seconds; on some systems a wait without an end can't be interrupted


class Bridge:
    """A background thread with an event loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = 0

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run *work* on the loop and wait for it. An interrupt cancels it and returns at once."""
        future = self.start(work)
        try:
            while True:
                try:
                    return future.result(_SLICE)
                except concurrent.futures.TimeoutError:
                    if future.done():
                        return future.result()
        except QwenError as error:
            # What happened on the loop's side is in the sentence; its frames would only bury the caller's line.
            raise error.with_traceback(None) from None
        except BaseException:
            future.cancel()
            raise

    async def run_async(self, work: Coroutine[Any, Any, T]) -> T:
        """Run *work* on the loop from another loop, and await it there."""
        future = self.start(work)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            future.cancel()
            raise

    def start(self, work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Begin *work* on the loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def iterate(self, work: AsyncIterator[T], stopped: threading.Event | None = None) -> Iterator[T]:
        """The items of *work* as they come. Leaving the loop early, an interrupt, or *stopped*, ends the work."""
        items: SimpleQueue[tuple[bool, Any]] = SimpleQueue()

        async def pump() -> None:
            try:
                async for item in work:
                    items.put((False, item))
            finally:
                await work.aclose()  # type: ignore[attr-defined]

        def ended(future: concurrent.futures.Future[None]) -> None:
            items.put((True, None if future.cancelled() else future.exception()))

        future = self.start(pump())
        future.add_done_callback(ended)
        try:
            while True:
                over, item = _next(items, stopped)
                if not over:
                    yield item
                elif item is not None:
                    raise item
                else:
                    return
        finally:
            future.cancel()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop, running."""
        with self._lock:
            if self._loop is None or self._pid != os.getpid():
                self._loop = _new_loop()
                self._pid = os.getpid()
                threading.Thread(target=self._loop.run_forever, name="qwennb-loop", daemon=True).start()
            return self._loop


def _new_loop() -> asyncio.AbstractEventLoop:
    """uvloop's, where it is installed: a sixth of a column's time is the loop's own."""
    try:
        import uvloop
    except ImportError:  # there is none for Windows
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def _next(items: SimpleQueue[tuple[bool, Any]], stopped: threading.Event | None) -> tuple[bool, Any]:
    from queue import Empty

    while True:
        if stopped is not None and stopped.is_set():
            raise Stopped("The stream was stopped before its answer was whole.")
        try:
            return items.get(timeout=_SLICE)
        except Empty:
            continue
