"""What was made from something large, kept as long as there is room: a prepared picture, a document's text."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Remembered(Generic[T]):
    """What was made, by key, as long as all of it together has at most *most* bytes; the least used goes first.

    *size* tells the bytes of one. Only what was made is kept, never what it was made from. Two threads that ask for the same
    at once both make it: that costs less than to let one wait.
    """

    def __init__(self, most: int, size: Callable[[T], int]) -> None:
        self._most = most
        self._size = size
        self._held = 0
        self._made: OrderedDict[Hashable, T] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """What *make* made for this key, now or before."""
        with self._lock:
            if key in self._made:
                self._made.move_to_end(key)
                return self._made[key]
        made = make()
        with self._lock:
            if key not in self._made and self._size(made) <= self._most:
                self._made[key] = made
                self._held += self._size(made)
            while self._held > self._most:
                self._held -= self._size(self._made.popitem(last=False)[1])
        return made
