"""A few prepared pictures kept in memory, so that each turn of a chat does not encode its pictures again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Protocol, TypeVar

__all__ = ["Remembered"]


class Sized(Protocol):
    """What knows how many bytes it holds."""

    def __len__(self) -> int: ...


T = TypeVar("T", bound=Sized)


class Remembered:
    """What was made, by key, as long as all of it together has at most *most* bytes; the least used goes first.

    Only what was made is kept, never what it was made from. Two threads that ask for the same at once both make it:
    that costs less than to let one wait.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = 0
        self._made: OrderedDict[Hashable, Sized] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """What *make* made for this key, now or before."""
        with self._lock:
            if key in self._made:
                self._made.move_to_end(key)
                return self._made[key]  # type: ignore[return-value]
        made = make()
        with self._lock:
            if key not in self._made and len(made) <= self._most:
                self._made[key] = made
                self._held += len(made)
            while self._held > self._most:
                self._held -= len(self._made.popitem(last=False)[1])
        return made
