"""The one bridge from sync to async: a thread that owns the event loop, and callers that only wait.

The caller's thread never runs a coroutine of ours, so it does not matter whether it has a loop of its own (a notebook
has), and Ctrl-C reaches it at once: waiting is all it does. A forked child finds the thread gone and starts its own.

The thread outlives whatever is raised on it. Where it stands still (code of the user's that it calls sleeps, or turns in
circles), everything stands still with it: whoever waits looks at its pulse, tells where it stands, and in the end gives it
up. The next question begins with a thread of its own.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import sys
import sysconfig
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import suppress
from queue import SimpleQueue
from types import FrameType
from typing import Any, TypeVar

from qwennb.collector import stack_guard
from qwennb.errors import CallbackFailed, QwenError, QwenWarning, Stopped, code_place, in_words
from qwennb.warn import warn_user

T = TypeVar("T")
_SLICE = 0.1  # seconds; on some systems a wait without an end can't be interrupted
TOLD_AFTER = 5.0  # seconds for which the loop stands still; nothing of ours takes a tenth of a second on it
GIVEN_UP_AFTER = 30.0


class Bridge:
    """A background thread with an event loop."""

    def __init__(self, *, told_after: float = TOLD_AFTER, given_up_after: float = GIVEN_UP_AFTER) -> None:
        self._told_after, self._given_up_after = told_after, given_up_after
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pulse: Pulse | None = None
        self._pid = 0

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run *work* on the loop and wait for it. An interrupt cancels it and returns at once."""
        future = asyncio.run_coroutine_threadsafe(work, self.loop)
        try:
            while True:
                try:
                    return future.result(_SLICE)
                except concurrent.futures.TimeoutError:
                    if future.done():
                        return future.result()
                    self.look()
        except QwenError as error:
            future.cancel()
            # What happened on the loop's side is in the sentence; its frames would only bury the caller's line.
            raise error.with_traceback(None) from None
        except BaseException as error:
            future.cancel()
            raise _not_ours(future, error) from None

    async def run_async(self, work: Coroutine[Any, Any, T]) -> T:
        """Run *work* on the loop from another loop, and await it there."""
        future = self.start(work)
        try:
            return await self.watch(asyncio.wrap_future(future))
        except asyncio.CancelledError:
            future.cancel()
            raise
        except BaseException as error:
            future.cancel()
            raise _not_ours(future, error) from None

    async def watch(self, waiting: Awaitable[T]) -> T:
        """Await, on another loop, what this one brings, and look at its pulse meanwhile."""
        task = asyncio.ensure_future(waiting)
        try:
            while not (await asyncio.wait([task], timeout=1.0))[0]:
                self.look()
            return task.result()
        finally:
            task.cancel()

    def look(self) -> None:
        """Look whether the loop turns: for those who wait, every now and then. One that never does is given up."""
        pulse = self._pulse
        if pulse is None or self._pid != os.getpid():
            return
        stood = pulse.look()
        if stood >= self._told_after and not pulse.told:
            pulse.told = True
            warn_user(
                f"Nothing of qwennb has moved for {stood:.0f} s: its loop stands in {pulse.place()}. Every question waits for that; "
                "what is called for each answer must not wait itself.",
                QwenWarning,
            )
        if stood >= self._given_up_after:
            with self._lock:
                if self._pulse is pulse:
                    self._loop = self._pulse = None
            raise CallbackFailed(
                f"Given up after {stood:.0f} s in which qwennb's loop stood in {pulse.place()}. What is called for each answer must "
                "not wait itself: mend it, and ask again."
            )

    def start(self, work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Begin *work* on the loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def iterate(self, work: AsyncIterator[T], stopped: threading.Event | None = None) -> Iterator[T]:
        """Give the items of *work* as they come. Leaving the loop early, an interrupt, or *stopped*, ends the work."""
        items: SimpleQueue[tuple[bool, Any]] = SimpleQueue()
        future = self._pump(work, lambda over, item: items.put((over, item)))
        try:
            while True:
                over, item = self._next(items, stopped)
                if not over:
                    yield item
                elif item is not None:
                    raise item
                else:
                    return
        finally:
            future.cancel()

    async def iterate_async(self, work: AsyncIterator[T]) -> AsyncGenerator[T]:
        """Give the items of *work* on a loop of the caller's own. Leaving early ends the work."""
        here = asyncio.get_running_loop()
        items: asyncio.Queue[tuple[bool, Any]] = asyncio.Queue()

        def hand_over(over: bool, item: Any) -> None:
            with suppress(RuntimeError):  # the caller's loop is closed: nobody listens
                here.call_soon_threadsafe(items.put_nowait, (over, item))

        future = self._pump(work, hand_over)
        try:
            while True:
                over, item = await self.watch(items.get())
                if not over:
                    yield item
                elif item is not None:
                    raise item
                else:
                    return
        finally:
            future.cancel()

    def _pump(
        self, work: AsyncIterator[T], hand_over: Callable[[bool, Any], None]
    ) -> concurrent.futures.Future[None]:
        """Run *work* on the loop: *hand_over* gets each item and, when it is over, what it raised or None."""

        async def pump() -> None:
            try:
                async for item in work:
                    hand_over(False, item)
            finally:
                await work.aclose()  # type: ignore[attr-defined]

        def finish(future: concurrent.futures.Future[None]) -> None:
            hand_over(True, None if future.cancelled() else future.exception())

        future = self.start(pump())
        future.add_done_callback(finish)
        return future

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop, running."""
        with self._lock:
            if self._loop is None or self._pid != os.getpid():
                self._loop = _new_loop()
                self._pid = os.getpid()
                thread = threading.Thread(target=_turn, args=(self._loop,), name="qwennb-loop", daemon=True)
                thread.start()
                self._pulse = Pulse(self._loop, thread)
            return self._loop

    def _next(
        self, items: SimpleQueue[tuple[bool, Any]], stopped: threading.Event | None
    ) -> tuple[bool, Any]:
        from queue import Empty

        while True:
            if stopped is not None and stopped.is_set():
                raise Stopped("The stream was stopped before its answer was whole.")
            try:
                return items.get(timeout=_SLICE)
            except Empty:
                self.look()


def _turn(loop: asyncio.AbstractEventLoop) -> None:
    """Run *loop* for good: SystemExit and KeyboardInterrupt, raised by what runs on it, leave `run_forever`."""
    while not loop.is_closed():
        with suppress(BaseException):
            loop.run_forever()
            return


def _not_ours(future: concurrent.futures.Future[Any], error: BaseException) -> BaseException:
    """Make *error*, where it was raised on the loop and would end the caller's program, one of ours."""
    if isinstance(error, Exception | asyncio.CancelledError) or not future.done() or future.cancelled():
        return error
    if future.exception() is not error:
        return error
    return CallbackFailed(f"What ran on qwennb's loop raised {in_words(error)}.")


def _new_loop() -> asyncio.AbstractEventLoop:
    """Make a loop: uvloop's, where it is installed, for a sixth of a column's time is the loop's own."""
    try:
        import uvloop
    except ImportError:  # there is none for Windows
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


# ---------------------------------------------------------------------- whether the loop turns

_BEAT = 1.0  # seconds between two beats
_MOST_COUNTED = (
    0.5  # seconds between two looks: a machine that slept, or a held lock, is not the loop's doing
)

_LIBRARIES = tuple(
    {sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"), __file__.rpartition("client")[0]}
)


class Pulse:
    """The pulse of one loop and its thread: a beat is sent to it now and then, and looked for by those who wait.

    `told` is for whoever tells that it stands still.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        thread: threading.Thread,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._loop, self._thread, self._clock = loop, thread, clock
        self._beat = self._looked = clock()
        self._sent = False
        self._stood = 0.0
        self._lock = threading.Lock()
        self.told = False

    def look(self) -> float:
        """Seconds for which the loop has stood still, as far as those who wait have seen."""
        with self._lock:
            now = self._clock()
            if self._sent:
                self._stood += min(now - self._looked, _MOST_COUNTED)
            elif now - self._beat > _BEAT:
                self._sent = True
                self._loop.call_soon_threadsafe(self._on_turn)
            self._looked = now
            return self._stood

    def _on_turn(self) -> None:
        with self._lock:
            self._sent, self._stood, self._beat, self.told = False, 0.0, self._clock(), False

    def place(self) -> str:
        """Tell where the loop stands: the innermost line that is neither a library's nor ours, if there is one."""
        with stack_guard:
            innermost = frame = sys._current_frames().get(self._thread.ident or 0)
            while frame is not None and _is_library(frame):
                frame = frame.f_back
            return code_place(frame or innermost)


def _is_library(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith((*_LIBRARIES, "<frozen"))
