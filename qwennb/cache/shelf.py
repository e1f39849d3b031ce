"""A store in memory, for where no folder can be had: a read-only home, no home at all."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from qwennb.cache.place import locked, safe_folder, warn
from qwennb.cache.record import Name
from qwennb.cache.store import Store
from qwennb.errors import CacheError

__all__ = ["MemoryStore", "open_store"]


def open_store(folder: Path) -> Store:
    """The store in *folder*, or one in memory, with a warning, where the folder can't be made or written.

    A folder or file that is not safe to use is an error all the same: that is for the user to look at.
    """
    try:
        with locked(safe_folder(folder)):
            pass
    except CacheError as error:
        if not isinstance(error.__cause__, OSError):
            raise
        warn(
            f"The cache folder {folder} can't be written, so answers are remembered only until this session ends. "
            "Set QWENNB_CACHE_DIR to a folder of yours to keep them."
        )
        return MemoryStore()
    return Store(folder)


class MemoryStore(Store):
    """What a store does, in a dictionary that ends with the process."""

    def __init__(self) -> None:
        self.folder = Path()
        self.problems = Counter()
        self._lock = threading.Lock()
        self._answers: dict[str, dict[Name, bytes]] = {}

    def get(self, name: Name) -> bytes | None:
        """The value, or None."""
        return self._answers.get(name.key, {}).get(name)

    def get_many(self, names: Iterable[Name]) -> dict[Name, bytes]:
        """Those that are there."""
        return {name: value for name in names if (value := self.get(name)) is not None}

    def find_many(self, keys: Iterable[str]) -> dict[str, list[tuple[Name, bytes]]]:
        """The answers of any endpoint to each of these request keys."""
        found = {
            key: sorted(self._answers.get(key, {}).items(), key=lambda item: item[0].endpoint) for key in keys
        }
        return {key: answers for key, answers in found.items() if answers}

    def names(self) -> Iterator[Name]:
        """Every name, sorted by key."""
        return iter(
            sorted((name for same in self._answers.values() for name in same), key=lambda name: name.text)
        )

    def __len__(self) -> int:
        return sum(len(same) for same in self._answers.values())

    def size(self) -> int:
        """Bytes in memory."""
        return sum(len(value) for same in self._answers.values() for value in same.values())

    @property
    def quarantined(self) -> int:
        """Memory does not rot."""
        return 0

    def put(self, records: Iterable[tuple[Name, bytes]]) -> None:
        """Keep these, for as long as the process lives."""
        self.import_many(records, replace=True)

    def import_many(self, records: Iterable[tuple[Name, bytes]], *, replace: bool = False) -> int:
        """Keep very many; how many came in."""
        added = 0
        with self._lock:
            for name, value in records:
                same = self._answers.setdefault(name.key, {})
                if replace or name not in same:
                    same[name] = value
                    added += 1
        return added

    def remove(self, names: Iterable[Name]) -> int:
        """Remove these; how many were there."""
        with self._lock:
            return sum(self._answers.get(name.key, {}).pop(name, None) is not None for name in names)

    def close(self) -> None:
        """Forget everything."""
        self._answers = {}
