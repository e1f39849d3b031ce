"""Which answers a kernel used, told to whoever has started it: a line of JSON each, in the order of their use."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import orjson

from qwennb.cache.usage_log import UsageLog
from qwennb.files import open_private


class TraceLog(UsageLog):
    """A log that is written to a file as well, at once: the reader looks at it after each cell."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._file = file

    def note(self, names: Iterable[tuple[str, str]]) -> None:
        """These were used."""
        named = list(names)
        super().note(named)
        self._write({"key": key, "endpoint": endpoint} for key, endpoint in named)

    def miss(self, keys: Iterable[str]) -> None:
        """These were looked for, and are not recorded."""
        self._write({"key": key, "missing": True} for key in keys)

    def accept(self, key: str) -> None:
        """It was taken for a figure that is drawn otherwise here."""
        self._write([{"key": key, "accepted": True}])

    def _write(self, lines: Iterable[dict[str, object]]) -> None:
        written = b"".join(orjson.dumps(line) + b"\n" for line in lines)
        with open_private(self._file, "ab", 0) as file:
            file.write(written)
