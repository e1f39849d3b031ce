"""Where answers go when their folder can't be written: into memory, above what the folder holds already.

A read-only home, a full or failing disk, a file system without locks, a file in the folder's place, no home at all: each
is told once, answers are given all the same, and what can still be read there is read.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from qwennb.cache import database
from qwennb.cache.database import Connection, is_of_the_disk, patiently, safe_file, warn
from qwennb.cache.record import Name
from qwennb.cache.store import PATIENCE, Store, track
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
    beneath = _readable(folder)
    reason = cause.strerror if isinstance(cause, OSError) else str(cause)
    read = "; those that it holds are read" if beneath is not None else ""
    warn(
        f"The cache folder {folder} can't be written ({reason}), so new answers are remembered only until this session "
        f"ends{read}. Set QWENNB_CACHE_DIR to a folder of yours to keep them."
    )
    return MemoryStore(folder, beneath)


def _readable(folder: Path) -> Store | None:
    """Open what *folder* holds, to be read only; None where there is nothing that can be read."""
    path = folder / FORM.name
    try:
        if not safe_file(path):
            return None
        patiently(lambda: database.look_into(path, folder, FORM), PATIENCE).close()
    except sqlite3.Error:
        return None
    except CacheError as error:
        if is_of_the_disk(error.__cause__):
            return None
        raise
    return FrozenStore(folder, path)


class FrozenStore(Store):
    """The answers in a folder that can't be written or locked."""

    def __init__(self, folder: Path, path: Path) -> None:
        self.folder = folder
        self.problems = Counter()
        self._path = path
        self._patience = PATIENCE
        self._writing = self._reading = threading.RLock()
        self._suspects = set()
        self._damaged = False
        self._reader = Connection(path, partial(database.look_into, path, folder, FORM))
        track(self)

    def put(self, records: Iterable[tuple[Name, bytes]]) -> None:
        """Refuse: nothing can be put here."""
        raise CacheError(f"The cache in {self.folder} is only read.")

    def _disconnect(self, *, for_good: bool = False) -> None:
        self._reader.close(for_good=for_good)

    def _recover_once(self) -> bool:
        return False


class MemoryStore(Store):
    """What a store does, in a dictionary that ends with the process; *beneath* it what its folder held already."""

    lasts = False

    def __init__(self, folder: Path = Path(), beneath: Store | None = None) -> None:
        self.folder = folder
        self.problems = Counter()
        self._beneath = beneath
        self._lock = threading.Lock()
        self._answers: dict[str, dict[Name, bytes]] = {}

    def get(self, name: Name) -> bytes | None:
        """Read the value; None where there is none."""
        value = self._answers.get(name.key, {}).get(name)
        return self._beneath.get(name) if value is None and self._beneath is not None else value

    def get_many(self, names: Iterable[Name]) -> dict[Name, bytes]:
        """Read those that are there."""
        wanted = list(names)
        found = {} if self._beneath is None else self._beneath.get_many(wanted)
        return found | {
            n: value for n in wanted if (value := self._answers.get(n.key, {}).get(n)) is not None
        }

    def get_each(self, keys: Iterable[str], endpoint: str) -> Iterator[tuple[str, bytes]]:
        """Read what one endpoint answered to each of these request keys."""
        found = self.get_many(Name(key, endpoint) for key in sorted(set(keys)))
        return ((name.key, value) for name, value in found.items())

    def find_many(self, keys: Iterable[str]) -> dict[str, list[tuple[Name, bytes]]]:
        """Read the answers of any endpoint to each of these request keys."""
        wanted = sorted(set(keys))
        beneath = {} if self._beneath is None else self._beneath.find_many(wanted)
        found = {key: dict(beneath.get(key, ())) | self._answers.get(key, {}) for key in wanted}
        return {
            key: sorted(answers.items(), key=lambda item: item[0].endpoint)
            for key, answers in found.items()
            if answers
        }

    def names(self) -> Iterator[Name]:
        """List every name, sorted by key."""
        found = {name for same in self._answers.values() for name in same}
        if self._beneath is not None:
            found.update(self._beneath.names())
        return iter(sorted(found, key=lambda name: name.text))

    def __len__(self) -> int:
        if self._beneath is None:
            return sum(map(len, self._answers.values()))
        return sum(1 for _ in self.names())

    def size(self) -> int:
        """Count the bytes in memory, and on the disk."""
        own = sum(len(value) for same in self._answers.values() for value in same.values())
        return own + (self._beneath.size() if self._beneath is not None else 0)

    @property
    def quarantine_count(self) -> int:
        """How many damaged rows were found in the folder; memory does not rot."""
        return self._beneath.quarantine_count if self._beneath is not None else 0

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
        wanted = list(names)
        if self._beneath is not None and self._beneath.get_many(wanted):
            raise CacheError(f"The cache in {self.folder} can't be written; nothing was removed.")
        with self._lock:
            return sum(self._answers.get(name.key, {}).pop(name, None) is not None for name in wanted)

    def close(self) -> None:
        """Forget everything."""
        self._answers = {}
        if self._beneath is not None:
            self._beneath.close()
            self._beneath = None
