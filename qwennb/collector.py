"""Python's collector of cycles, kept out of the way of a million rows, and of stacks that are not ours.

It wakes after every few hundred new objects and looks at the young ones, and now and then at all there are. In the loops
that make a question or an outcome for each row it finds nothing, for nothing in them is cyclic, and takes a third of the
time: there it is held off (`gc_paused`). While thousands of questions are asked it finds little, and takes a fifth: there it
wakes more seldom (`gc_relaxed`).

Where the stack of another thread is read, that thread must stand still. It does, for whoever runs Python code is alone;
but up to Python 3.11 a frame becomes an object when it is first looked at, making it may wake the collector, a finalizer
that this calls may let the other thread run on, and it may leave that very frame. What is read then is whatever lies in
its place, if the process survives. So a stack of another thread is read without the collector (`stack_guard`).
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from typing import ClassVar


class GcPause:
    """`with gc_paused:`, `with gc_relaxed:` or `with stack_guard:`, nested or in several threads at once.

    Of the wishes of all threads the calmest counts, and the collector's own habit once all have gone.
    """

    _lock = threading.RLock()  # the collector may call whoever comes here again
    _wishes: ClassVar[list[int]] = []
    _habit = _applied = gc.get_threshold()

    def __init__(self, young: int) -> None:
        self._young = young  # it is to wake after so many young objects, or never where that is 0

    def __enter__(self) -> None:
        self._change(self._wishes.append)

    def __exit__(self, *_: object) -> None:
        self._change(self._wishes.remove)

    def _change(self, change: Callable[[int], None]) -> None:
        with self._lock:
            # What somebody else has set since is what they want from then on, and comes back at the end.
            if (now := gc.get_threshold()) != GcPause._applied:
                GcPause._habit = now
            change(self._young)
            first, *others = GcPause._habit
            if 0 in self._wishes:
                first = 0
            elif first:
                first = max(first, *self._wishes, 0)
            gc.set_threshold(first, *others)
            GcPause._applied = gc.get_threshold()


gc_paused = GcPause(0)
gc_relaxed = GcPause(50_000)
stack_guard = GcPause(0)
