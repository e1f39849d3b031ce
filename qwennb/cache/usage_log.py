"""Which answers a piece of work has used: the names of those that were recalled or kept while somebody listened.

UsageLog       a set of names                       what a notebook's pack must hold
RecordingLog   what is new since the last look      %qwen_pack, at the end of each cell
TraceLog       a line of JSON for each use          a kernel that verify or drift has started
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path

import orjson

from qwennb.cache.record import Name
from qwennb.files import open_private

MOST = 1_000_000  # names; a pack holds no more


class UsageLog:
    """A log of names, each once. `count` grows with each new one.

    What is noted here leaves the logs *beside* it: of two folders that hold different answers under one name, that counts
    which was used last.
    """

    def __init__(self, most: int = MOST, beside: Iterable[UsageLog] = ()) -> None:
        self._lock = threading.Lock()
        self._most = most
        self._beside = beside
        self._keys: dict[str, set[bytes]] = {}  # as bytes, by endpoint: there may be a million
        self.count = 0

    def note(self, names: Iterable[tuple[str, str]]) -> None:
        """Record that these were used: pairs of a request's key and the endpoint that had answered."""
        by_endpoint: dict[str, list[str]] = {}
        for key, endpoint in names:
            by_endpoint.setdefault(endpoint, []).append(key)
        with self._lock:
            for endpoint, keys in by_endpoint.items():
                known = self._keys.setdefault(endpoint, set())
                fresh = set(map(bytes.fromhex, keys)) - known
                left = self._most - self.count
                known.update(islice(fresh, left))
                self.count += min(len(fresh), left)
        for other in tuple(self._beside):
            if other is not self:
                other.forget(by_endpoint)

    def forget(self, keys: Mapping[str, Iterable[str]]) -> None:
        """Take these *keys*, by endpoint, out again."""
        with self._lock:
            for endpoint, gone in keys.items():
                if known := self._keys.get(endpoint):
                    before = len(known)
                    known.difference_update(map(bytes.fromhex, gone))
                    self.count -= before - len(known)

    def keep(self, names: Iterable[tuple[str, str]]) -> None:
        """Record that these were answered anew, and kept."""
        self.note(names)

    def miss(self, keys: Iterable[str]) -> None:
        """Record that these were looked for in vain. That is no use of an answer: only a trace tells it."""

    def accept(self, key: str) -> None:
        """Record that the answer under *key* was taken for a figure that is drawn otherwise here: only a trace tells it."""

    def among(self, names: Iterable[Name]) -> list[Name]:
        """List those of *names* that were used."""
        with self._lock:
            return [one for one in names if bytes.fromhex(one.key) in self._keys.get(one.endpoint, ())]

    def names(self) -> list[Name]:
        """List all of them, sorted by key."""
        with self._lock:
            named = [Name(key.hex(), endpoint) for endpoint, keys in self._keys.items() for key in keys]
        return sorted(named, key=lambda name: name.text)


class RecordingLog(UsageLog):
    """A log that is taken from, piece by piece: what was used for the first time, or answered anew, since the last time."""

    def __init__(self) -> None:
        super().__init__()
        self._taking = threading.Lock()
        self._new: dict[Name, None] = {}

    def note(self, names: Iterable[tuple[str, str]]) -> None:
        """Record that these were used."""
        with self._taking:
            for key, endpoint in names:
                before = self.count
                super().note([(key, endpoint)])
                if self.count > before:
                    self._new[Name(key, endpoint)] = None

    def keep(self, names: Iterable[tuple[str, str]]) -> None:
        """Record that these were answered anew, and kept: the answer under a name that is known may be another now."""
        named = list(names)
        self.note(named)
        with self._taking:
            self._new |= dict.fromkeys(Name(key, endpoint) for key, endpoint in named)

    def take(self) -> list[Name]:
        """Take what is new since the last time."""
        with self._taking:
            new, self._new = self._new, {}
            return list(new)


class TraceLog(UsageLog):
    """A log that is written to a file as well, at once: the reader looks at it after each cell."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._file = file

    def note(self, names: Iterable[tuple[str, str]]) -> None:
        """Record that these were used."""
        named = list(names)
        super().note(named)
        self._write({"key": key, "endpoint": endpoint} for key, endpoint in named)

    def miss(self, keys: Iterable[str]) -> None:
        """Record that these were looked for in vain."""
        self._write({"key": key, "missing": True} for key in keys)

    def accept(self, key: str) -> None:
        """Record that it was taken for a figure that is drawn otherwise here."""
        self._write([{"key": key, "accepted": True}])

    def _write(self, lines: Iterable[dict[str, object]]) -> None:
        written = b"".join(orjson.dumps(line) + b"\n" for line in lines)
        with open_private(self._file, "ab", 0) as file:
            file.write(written)
