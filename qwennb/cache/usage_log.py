"""Which answers a piece of work has used: the names of those that were recalled or kept while somebody listened.

UsageLog       every name, and its folder           what a pack of the whole process holds
RecordingLog   what is new since the last look      %qwen_pack, at the end of each cell
TraceLog       a line of JSON for each event        a kernel that verify or drift has started
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import orjson

from qwennb.cache.record import Name
from qwennb.files import open_private

MOST = 1_000_000  # names; a pack holds no more

# An answer was recalled, or answered anew and kept; one was looked for in replay and is not there; a recorded one was taken
# for a figure that is drawn otherwise here.
Event = Literal["used", "kept", "missing", "accepted"]


class UsageLog:
    """The names that were used, each once, with the folder whose answer it was. `count` grows with each new one.

    Of two folders that hold different answers under one name, that counts which was used last.
    """

    def __init__(self, most: int = MOST) -> None:
        self._lock = threading.Lock()
        self._most = most
        self._folders: dict[
            str, dict[bytes, Path]
        ] = {}  # by endpoint, each key as bytes: there may be a million
        self.count = 0
        self.last: tuple[int, Name] | None = None
        """What was used last, and the how manieth use that was."""

    def record(self, names: Iterable[tuple[str, str]], folder: Path) -> None:
        """Record that these were used, of *folder*: pairs of a request's key and the endpoint that had answered."""
        with self._lock:
            for key, endpoint in names:
                self.last = ((self.last[0] if self.last else 0) + 1, Name(key, endpoint))
                known, spelled = self._folders.setdefault(endpoint, {}), bytes.fromhex(key)
                if spelled not in known:
                    if self.count == self._most:
                        continue
                    self.count += 1
                known[spelled] = folder

    def by_folder(self, wanted: Iterable[Name] | None = None) -> dict[Path, list[Name]]:
        """List those of *wanted* that were used, or all that were, by their folder."""
        found: dict[Path, list[Name]] = {}
        with self._lock:
            if wanted is None:
                wanted = [
                    Name(key.hex(), endpoint) for endpoint, keys in self._folders.items() for key in keys
                ]
            for name in wanted:
                folder = self._folders.get(name.endpoint, {}).get(bytes.fromhex(name.key))
                if folder is not None:
                    found.setdefault(folder, []).append(name)
        return found


class RecordingLog:
    """What was used for the first time, or answered anew, since it was last taken."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, set[bytes]] = {}  # as in a UsageLog
        self._new: dict[Name, None] = {}

    def record(self, event: Event, names: Iterable[tuple[str, str]]) -> None:
        """Record that this happened to these. What is kept may be another answer under a name that is known."""
        with self._lock:
            for key, endpoint in names if event in ("used", "kept") else ():
                known, spelled = self._known.setdefault(endpoint, set()), bytes.fromhex(key)
                if event == "kept" or spelled not in known:
                    known.add(spelled)
                    self._new[Name(key, endpoint)] = None

    def take(self) -> list[Name]:
        """Take what is new since the last time."""
        with self._lock:
            new, self._new = self._new, {}
            return list(new)


class TraceLog:
    """A file that tells each event at once: the reader looks at it after each cell."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def record(self, event: Event, names: Iterable[tuple[str, str]]) -> None:
        """Write that this happened to these."""
        is_use = event in ("used", "kept")
        lines = (
            {"key": key, **({"endpoint": endpoint} if is_use else {event: True})} for key, endpoint in names
        )
        written = b"".join(orjson.dumps(line) + b"\n" for line in lines)
        with open_private(self._file, "ab", 0) as file:
            file.write(written)
