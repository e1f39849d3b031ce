"""Whether a loop turns: a beat is sent to it now and then, and is looked for by those who wait.

What counts is only the time in which somebody looked and found it standing: a machine that slept, or a thread that held
Python's lock, is not the loop's doing.
"""

from __future__ import annotations

import asyncio
import sys
import sysconfig
import threading
import time
from collections.abc import Callable
from types import FrameType

from qwennb.collector import stack_guard
from qwennb.errors import code_place

EVERY = 1.0  # seconds between two beats
MOST = 0.5  # seconds that count between two looks

_LIBRARIES = tuple(
    {sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"), __file__.rpartition("client")[0]}
)


class Pulse:
    """The pulse of one loop and its thread. `told` is for whoever tells that it stands still."""

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
                self._stood += min(now - self._looked, MOST)
            elif now - self._beat > EVERY:
                self._sent = True
                self._loop.call_soon_threadsafe(self._on_turn)
            self._looked = now
            return self._stood

    def _on_turn(self) -> None:
        with self._lock:
            self._sent, self._stood, self._beat, self.told = False, 0.0, self._clock(), False

    def place(self) -> str:
        """Where the loop stands: the innermost line that is neither a library's nor ours, if there is one."""
        with stack_guard:
            innermost = frame = sys._current_frames().get(self._thread.ident or 0)
            while frame is not None and _is_library(frame):
                frame = frame.f_back
            return code_place(frame or innermost)


def _is_library(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith((*_LIBRARIES, "<frozen"))
