"""An event loop whose time is its own: waiting takes no time, and a minute's simulation runs in a blink.

What another thread does (a disk) takes time of this machine's: it is waited for where nothing else is to happen.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Selector(selectors.DefaultSelector):
    def __init__(self, loop: ClockworkLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            if events := super().select(10):  # another thread has something to say
                return events
            raise RuntimeError("everything waits and nothing will ever happen")
        self._loop.now += max(timeout, 0.0)
        return super().select(0)


class ClockworkLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.now = 1000.0
        super().__init__(_Selector(self))

    def time(self) -> float:
        return self.now


def run(work: Coroutine[Any, Any, T]) -> T:
    loop = ClockworkLoop()
    try:
        return loop.run_until_complete(work)
    finally:
        loop.close()
