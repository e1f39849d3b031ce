"""Where answers go when their folder can't be written: into memory, above what the folder holds already.

A read-only home, a full or failing disk, a file system without locks, a file in the folder's place, no home at all: each
is told once, answers are given all the same, and what can still be read there is read.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from qwennb.cache import database
from qwennb.cache.database import is_of_the_disk, patiently, safe_file, warn
from qwennb.cache.record import Name
from qwennb.cache.store import PATIENCE, Store
from qwennb.cache.table import FORM
from qwennb.errors import CacheError


def open_store(folder: Path) -> Store:
    """Open the store in *folder*; where the disk does not allow it, one in memory above what can be read there, with a warning.

    A folder or file that is not safe to use is an error all the same: that is for the user to look at.
    """
    try:
        return Store(folder)
    except CacheError as error:
        cause = error.__cause__
        if not is_of_the_disk(cause):
            raise
    is_readable = _can_be_read(folder)
    reason = cause.strerror if isinstance(cause, OSError) else str(cause)
    read = "; those that it holds are read" if is_readable else ""
    warn(
        f"The cache folder {folder} can't be written ({reason}), so new answers are remembered only until this session "
        f"ends{read}. Set QWENNB_CACHE_DIR to a folder of yours to keep them."
    )
    return MemoryStore(folder, is_readable=is_readable)


def _can_be_read(folder: Path) -> bool:
    """Tell whether what *folder* holds can be read."""
    path = folder / FORM.name
    try:
        if not safe_file(path):
            return False
        patiently(lambda: database.look_into(path, folder, FORM), PATIENCE).close()
    except sqlite3.Error:
        return False
    except CacheError as error:
        if is_of_the_disk(error.__cause__):
            return False
        raise
    return True


class MemoryStore(Store):
    """What a store does, in a dictionary that ends with the process; beneath it what its *folder* holds, if that can be read."""

    lasts = False

    def __init__(self, folder: Path = Path(), *, is_readable: bool = False) -> None:
        path = folder / FORM.name
        self._prepare(path, partial(database.look_into, path, folder, FORM), PATIENCE)
        self._is_readable = is_readable
        self._answers: dict[str, dict[Name, bytes]] = {}

    def get(self, name: Name) -> bytes | None:
        """Read the value; None where there is none."""
        value = self._answers.get(name.key, {}).get(name)
        return super().get(name) if value is None else value

    def get_many(self, names: Iterable[Name]) -> dict[Name, bytes]:
        """Read those that are there."""
        wanted = list(names)
        own = {name: self._answers.get(name.key, {}).get(name) for name in wanted}
        return super().get_many(wanted) | {name: value for name, value in own.items() if value is not None}

    def get_each(self, keys: Iterable[str], endpoint: str) -> Iterator[tuple[str, bytes]]:
        """Read what one endpoint answered to each of these request keys."""
        found = self.get_many(Name(key, endpoint) for key in sorted(set(keys)))
        return ((name.key, value) for name, value in found.items())

    def find_many(self, keys: Iterable[str]) -> dict[str, dict[Name, bytes]]:
        """Read the answers of any endpoint to each of these request keys, sorted by endpoint."""
        wanted = set(keys)
        found = super().find_many(wanted)
        for key in wanted:
            if own := self._answers.get(key):
                found[key] = dict(sorted((found.get(key, {}) | own).items()))
        return found

    def names(self) -> Iterator[Name]:
        """List every name, sorted by key."""
        own = (name for same in self._answers.values() for name in same)
        return iter(sorted({*own, *super().names()}, key=lambda name: name.text))

    def __len__(self) -> int:
        return sum(1 for _ in self.names()) if self._is_readable else sum(map(len, self._answers.values()))

    def size(self) -> int:
        """Count the bytes in memory, and on the disk."""
        own = sum(len(value) for same in self._answers.values() for value in same.values())
        return own + (super().size() if self._is_readable else 0)

    def put(self, records: Iterable[tuple[Name, bytes]]) -> None:
        """Keep these, for as long as the process lives."""
        with self._writing:
            for name, value in records:
                self._answers.setdefault(name.key, {})[name] = value

    def remove(self, names: Iterable[Name]) -> int:
        """Remove these; how many were there."""
        wanted = list(names)
        if super().get_many(wanted):
            raise CacheError(f"The cache in {self.folder} can't be written; nothing was removed.")
        with self._writing:
            return sum(self._answers.get(name.key, {}).pop(name, None) is not None for name in wanted)

    def close(self) -> None:
        """Forget everything."""
        self._answers = {}
        super().close()

    def _select(self, query: str, *arguments: object) -> list[Any] | None:
        return super()._select(query, *arguments) if self._is_readable else []

    def _disconnect(self, *, for_good: bool = False) -> None:
        self._reader.close(for_good=for_good)

    def _mend(self) -> bool:
        return False  # what is damaged there stays so: it can't be written
