"""A million small tuples, made in one go: without Python's collector of cycles.

The collector wakes after every few hundred new objects and looks at the young ones, and now and then at all there are. In
the loops that make a question or an outcome for each row it finds nothing, for nothing in them is cyclic, and takes a
third of the time.
"""

from __future__ import annotations

import gc
import threading


class Bulk:
    """`with BULK:` holds the collector off; threads may do so at once, and the last one lets it on again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held = 0
        self._was_on = False

    def __enter__(self) -> None:
        with self._lock:
            if self._held == 0:
                self._was_on = gc.isenabled()
                gc.disable()
            self._held += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._held -= 1
            if self._held == 0 and self._was_on:
                gc.enable()


BULK = Bulk()
