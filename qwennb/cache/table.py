"""The table of answers: diskcache, with its dangerous half taken out. Nothing else imports it.

As it comes, diskcache pickles, spills values into files, forgets the oldest at one gigabyte, and obeys settings found
in the file. Here it keeps bytes under text and nothing else:

- `BytesDisk` refuses everything but text keys and plain bytes, on the way in and on the way out, whatever a row says.
- `Table` writes over a connection of its own, and only inside `transaction`: diskcache's own leaves the file locked for
  good when a commit fails. An answer that is kept alone goes in by diskcache's `set`, thousands at once by SQL of ours.

The form of the file is diskcache's own, with a table for damaged rows more, so that plain diskcache could open it and
would forget nothing. docs/how-it-works.md says what else of diskcache was tried, and what was measured.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Self

import diskcache

from qwennb.cache import database
from qwennb.cache.record import unseal

# What plain diskcache finds in the file and obeys: it evicts nothing, spills no value into a file, and has each commit on the
# disk. We read none of it. The count and size are kept by the triggers below.
_COUNTERS = {"count": 0, "size": 0, "hits": 0, "misses": 0}
SETTINGS: dict[str, str | int] = {
    "statistics": 0,
    "tag_index": 0,
    "eviction_policy": "none",
    "size_limit": 2**62,
    "cull_limit": 0,
    "sqlite_auto_vacuum": 0,
    "sqlite_cache_size": 2**13,
    "sqlite_journal_mode": "persist",
    "sqlite_mmap_size": 0,
    "sqlite_synchronous": 2,
    "disk_min_file_size": 2**62,
    "disk_pickle_protocol": 5,
}
_TABLE = (
    "CREATE TABLE Cache ( rowid INTEGER PRIMARY KEY, key BLOB, raw INTEGER, store_time REAL, expire_time REAL,"
    " access_time REAL, access_count INTEGER DEFAULT 0, tag BLOB, size INTEGER DEFAULT 0, mode INTEGER DEFAULT 0,"
    " filename TEXT, value BLOB)"
)
_TRIGGER = (
    "CREATE TRIGGER Settings_{0} AFTER {1} ON Cache FOR EACH ROW BEGIN"
    ' UPDATE Settings SET value = value {2} WHERE key = "{3}"; END'
)
FORM = database.FileForm(
    name="cache.db",
    application=0x51574E42,  # "QWNB"
    version=1,
    schema=(
        "CREATE TABLE Settings ( key TEXT NOT NULL UNIQUE, value)",
        _TABLE,
        "CREATE UNIQUE INDEX Cache_key_raw ON Cache(key, raw)",
        "CREATE INDEX Cache_expire_time ON Cache (expire_time)",
        _TRIGGER.format("count_insert", "INSERT", "+ 1", "count"),
        _TRIGGER.format("count_delete", "DELETE", "- 1", "count"),
        _TRIGGER.format("size_insert", "INSERT", "+ NEW.size", "size"),
        _TRIGGER.format("size_update", "UPDATE", "+ NEW.size - OLD.size", "size"),
        _TRIGGER.format("size_delete", "DELETE", "- OLD.size", "size"),
        "CREATE TABLE Quarantine ( key BLOB, raw INTEGER, mode INTEGER, filename TEXT, value BLOB)",
    ),
    contents=tuple(
        f"INSERT INTO Settings VALUES ('{name}', {value!r})"  # noqa: S608 - our own
        for name, value in (SETTINGS | _COUNTERS).items()
    ),
)

# A value as it may be read: none where the row claims to be a pickle or a file (mode 1 is plain bytes). A bit
# may have turned the bytes into text, which Python could refuse to decode; as bytes, they fail their seal.
SEALED = "CASE WHEN mode = 1 AND filename IS NULL THEN CAST(Cache.value AS BLOB) END"

# The times are diskcache's, and nothing of ours reads them. Its size is that of a value in a file of its own: 0. Of what is
# there already either nothing is touched, or all that says what the value is, for its row may have been spoilt.
_INSERT = (
    "INSERT INTO Cache(key, raw, store_time, access_time, access_count, size, mode, value)"
    " VALUES (?, 1, strftime('%s', 'now'), strftime('%s', 'now'), 0, 0, 1, ?) ON CONFLICT(key, raw) DO "
)
_KEEP = _INSERT + "NOTHING"
_REPLACE = _INSERT + "UPDATE SET mode = 1, filename = NULL, expire_time = NULL, value = excluded.value"


def fill(path: Path, rows: Iterable[tuple[str, bytes]]) -> int:
    """Make *path* anew with these sealed rows; how many there are."""
    database.create(path, FORM)
    with closing(database.connect(path, wait=0)) as new:
        new.execute("BEGIN IMMEDIATE")
        number = new.executemany(_KEEP, rows).rowcount
        new.execute("COMMIT")
    return number


_FOR_WRITING = (
    "journal_size_limit = 1048576",  # bytes of a journal that stay on the disk between commits
    # Up to so many KiB of pages, and none written before the commit: a write in progress never stops a reader.
    "cache_size = -262144",
    "cache_spill = OFF",
)


class ForeignRow(ValueError):
    """A row claims to be something that this store never writes."""


class BytesDisk(diskcache.Disk):  # type: ignore[misc]
    """Bytes under text: no pickle, no file, no other mode, in either direction."""

    def put(self, key: object) -> tuple[str, bool]:
        """Take a key that is text."""
        if type(key) is not str:
            raise TypeError(f"a key is text, not {type(key).__name__}")
        return key, True

    def get(self, key: object, raw: object) -> str:
        """Give a key that is text."""
        if not raw or type(key) is not str:
            raise ForeignRow("a key that is not text")
        return key

    def store(self, value: object, read: bool, key: object = None) -> tuple[int, int, None, memoryview]:
        """Take a value that is bytes."""
        if read or type(value) is not bytes:
            raise TypeError(f"a value is bytes, not {type(value).__name__}")
        return 0, diskcache.core.MODE_RAW, None, sqlite3.Binary(value)

    def fetch(self, mode: int, filename: str | None, value: object, read: bool) -> bytes:
        """Give a value that is bytes, and that its row says so of."""
        if read or mode != diskcache.core.MODE_RAW or filename is not None or type(value) is not bytes:
            raise ForeignRow("a value that is not plain bytes")
        return value


class Table(diskcache.Cache):  # type: ignore[misc]
    """The rows, over the one connection that writes. Only one thread at a time may use it."""

    cull_limit = 0  # the one setting that diskcache's `set` reads: nothing is ever evicted

    def __init__(self, path: Path, journal: str) -> None:
        # Not diskcache's own: that one obeys the settings in the file, sets attributes and pragmas by their names,
        # and rewrites them all at each opening, for which it waits a minute for the write lock.
        self._disk = BytesDisk(str(path.parent))
        connect = partial(database.connect, path, wait=0, pragmas=_FOR_WRITING, journal=journal)
        self._connection = database.Connection(path, connect)

    @property
    def _con(self) -> sqlite3.Connection:
        return self._connection.get()

    def disconnect(self, *, for_good: bool = False) -> None:
        """Close the connection. The next use opens a new one."""
        self._connection.close(for_good=for_good)

    @contextmanager
    def transaction(self, gate: AbstractContextManager[object], patience: float) -> Iterator[Self]:
        """Commit everything inside at the end, or undo it; whatever happens, the file is not left locked.

        The commit goes through *gate*, which the readers of this process go through, too: in the old journal they shut
        each other out, and the gate lets them take turns.
        """
        connection = self._con
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield self
            with gate:
                database.patiently(lambda: connection.execute("COMMIT"), patience)
        except BaseException:
            if connection.in_transaction:
                # Closing undoes it and lets go of every lock, even where the disk fails and a rollback would, too.
                self.disconnect()
            raise

    @contextmanager
    def _transact(self, retry: bool = False, filename: str | None = None) -> Iterator[tuple[Any, Any]]:
        if not self._con.in_transaction:
            raise RuntimeError("a write outside of a transaction")
        yield self._con.execute, lambda filename: None  # a file that a row names is not ours to remove

    def inspect(self, folder: Path) -> None:
        """Refuse a file with anything in it that we did not make."""
        database.inspect(self._con, folder, FORM)

    def load(self, rows: list[tuple[str, bytes]]) -> None:
        """Put sealed rows in, in place of those of the same name."""
        if len(rows) == 1:  # a cell's answer; a row of thousands would cost twice as much this way
            self.set(*rows[0])
        else:
            self._con.executemany(_REPLACE, rows)

    def drop(self, texts: list[str]) -> int:
        """Remove these rows; how many there were."""
        remove = "DELETE FROM Cache WHERE key = ? AND raw = 1"
        return self._con.executemany(remove, ((text,) for text in texts)).rowcount

    def copy_to(self, path: Path) -> None:
        """Write the rows into a new file."""
        rows = self._con.execute("SELECT key, value FROM Cache WHERE raw = 1 AND mode = 1")
        fill(path, rows)

    def is_mostly_empty(self) -> bool:
        """Tell whether removed rows left more than half of the file unused."""
        ((pages,),) = self._con.execute("PRAGMA page_count").fetchall()
        ((empty,),) = self._con.execute("PRAGMA freelist_count").fetchall()
        return bool(empty > pages // 2)

    def quarantine(self, spelled: bytes) -> None:
        """Move the row under *spelled* out of the way if its seal still does not fit."""
        here = "FROM Cache WHERE key = CAST(? AS TEXT) AND raw = 1"
        rows = self._con.execute(f"SELECT {SEALED} {here}", (spelled,)).fetchall()
        if rows and unseal(spelled.decode("utf-8", "replace"), rows[0][0]) is None:
            self._con.execute(
                f"INSERT INTO Quarantine SELECT key, raw, mode, filename, value {here}", (spelled,)
            )
            self._con.execute(f"DELETE {here}", (spelled,))
