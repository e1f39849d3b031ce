"""The database file: its form, how one is made, known again, and recovered.

The form is diskcache's own (its table, indexes, triggers and settings, so that diskcache alone could open the file and
would forget nothing), with one table more for damaged rows. A file is known by the application id and format
number in its header, which are read without SQLite, so that a file that is not ours is not touched at all.

Recovery works on a copy. Its first page is replaced by the first page of a new file, which is always the same but for
the number of pages; then every row that a walk through the table can reach and whose seal fits goes into a new file.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

from qwennb.cache.record import unseal
from qwennb.errors import CacheError

__all__ = [
    "FILE",
    "SEALED",
    "SETTINGS",
    "connect",
    "insert",
    "inspect",
    "is_damage",
    "is_waiting",
    "known",
    "make",
    "recover",
    "rewrite",
]

FILE = "cache.db"
APPLICATION = 0x51574E42  # "QWNB"
FORMAT = 1
PAGE = 4096

SETTINGS: dict[str, str | int] = {
    "statistics": 0,
    "tag_index": 0,
    "eviction_policy": "none",
    "size_limit": 2**62,
    "cull_limit": 0,
    "sqlite_auto_vacuum": 0,
    "sqlite_cache_size": 2**13,
    "sqlite_journal_mode": "truncate",
    "sqlite_mmap_size": 0,
    "sqlite_synchronous": 2,
    "disk_min_file_size": 2**62,
    "disk_pickle_protocol": 5,
}
METADATA = {"count": 0, "size": 0, "hits": 0, "misses": 0}

_TABLE = (
    "CREATE TABLE Cache ( rowid INTEGER PRIMARY KEY, key BLOB, raw INTEGER, store_time REAL, expire_time REAL,"
    " access_time REAL, access_count INTEGER DEFAULT 0, tag BLOB, size INTEGER DEFAULT 0, mode INTEGER DEFAULT 0,"
    " filename TEXT, value BLOB)"
)
_TRIGGER = (
    "CREATE TRIGGER Settings_{0} AFTER {1} ON Cache FOR EACH ROW BEGIN"
    ' UPDATE Settings SET value = value {2} WHERE key = "{3}"; END'
)
SCHEMA = (
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
)

# A value as it may be read: none where the row claims to be a pickle or a file (mode 1 is plain bytes). A bit
# may have turned the bytes into text, which Python could refuse to decode; as bytes, they fail their seal.
SEALED = "CASE WHEN mode = 1 AND filename IS NULL THEN CAST(Cache.value AS BLOB) END"

INSERT = (
    "INSERT INTO Cache(key, raw, store_time, access_time, access_count, size, mode, value)"
    " VALUES (?, 1, strftime('%s', 'now'), strftime('%s', 'now'), 0, 0, 1, ?) ON CONFLICT(key, raw) DO "
)
KEEP = INSERT + "NOTHING"
REPLACE = INSERT + "UPDATE SET mode = 1, filename = NULL, expire_time = NULL, value = excluded.value"


class Connection(sqlite3.Connection):
    """A connection that can be weakly held, and closes itself when its thread has ended."""

    def __del__(self) -> None:
        self.close()


def connect(path: Path, *, wait: float) -> Connection:
    """A connection that trusts nothing in the file, never makes one, and leaves transactions to us."""
    connection = sqlite3.connect(
        path.absolute().as_uri() + "?mode=rw",
        uri=True,
        timeout=wait,
        isolation_level=None,
        check_same_thread=False,  # only to be closed before a fork; each is used by one thread
        factory=Connection,
    )
    try:
        for pragma in ("trusted_schema = OFF", "cell_size_check = ON", "mmap_size = 0", "synchronous = FULL"):
            connection.execute(f"PRAGMA {pragma}").fetchall()
    except BaseException:
        connection.close()
        raise
    return connection


def create(path: Path) -> None:
    """Make an empty database, complete on the disk before it has its name."""
    _clear(path)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    with closing(connect(path, wait=0)) as new:
        new.execute(f"PRAGMA page_size = {PAGE}")
        new.execute(f"PRAGMA application_id = {APPLICATION}")
        new.execute(f"PRAGMA user_version = {FORMAT}")
        new.execute("BEGIN IMMEDIATE")
        for statement in SCHEMA:
            new.execute(statement)
        new.executemany("INSERT INTO Settings VALUES (?, ?)", (SETTINGS | METADATA).items())
        new.execute("COMMIT")


def make(path: Path) -> None:
    """Make *path*. The caller holds the folder's lock."""
    new = path.with_name(path.name + ".new")
    create(new)
    swap(new, path, aside=False)


def rewrite(path: Path, source: sqlite3.Connection) -> None:
    """Write *path* anew without its empty pages. The caller holds the folder's lock, and *source* the write lock."""
    new = path.with_name(path.name + ".new")
    create(new)
    with closing(connect(new, wait=0)) as target:
        target.execute("BEGIN IMMEDIATE")
        insert(
            target, source.execute("SELECT key, value FROM Cache WHERE raw = 1 AND mode = 1"), replace=False
        )
        target.execute("COMMIT")
    swap(new, path, aside=False)


def insert(connection: sqlite3.Connection, rows: Iterable[tuple[str, bytes]], *, replace: bool) -> int:
    """Put sealed rows in by the thousand; how many were new or replaced."""
    return connection.executemany(REPLACE if replace else KEEP, rows).rowcount


def known(path: Path, folder: Path) -> bool:
    """Whether *path* is one of our databases. An empty file is none; anything else is refused, untouched."""
    with path.open("rb") as file:
        header = file.read(100)
    if not header:
        return False
    advice = "It was not touched: move it away, or set QWENNB_CACHE_DIR."
    if len(header) < 100 or not header.startswith(b"SQLite format 3\0"):
        raise CacheError(f"The file {FILE} in {folder} is not a database. {advice}")
    if int.from_bytes(header[68:72], "big") != APPLICATION:
        raise CacheError(f"The file {FILE} in {folder} is another program's database. {advice}")
    version = int.from_bytes(header[60:64], "big")
    if version != FORMAT:
        raise CacheError(
            f"The cache in {folder} has format {version}, and this qwennb reads format {FORMAT}. "
            "It was not touched: get a newer qwennb, or name another folder by QWENNB_CACHE_DIR."
        )
    return True


def inspect(connection: sqlite3.Connection, folder: Path) -> None:
    """Refuse a file with a table, view or trigger that we did not make: it could act behind a plain look-up."""
    found = connection.execute("SELECT CAST(sql AS BLOB) FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    if sorted(sql for (sql,) in found) != sorted(sql.encode() for sql in SCHEMA):
        raise CacheError(
            f"The cache in {folder} has tables or triggers that qwennb did not make. "
            "It was not used: move it away, or set QWENNB_CACHE_DIR."
        )


def is_damage(error: sqlite3.Error) -> bool:
    """Whether SQLite found the file itself broken. Text that can't be decoded has no code at all."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return type(error) is sqlite3.OperationalError
    return code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def is_waiting(error: sqlite3.Error) -> bool:
    """Whether another connection holds the file just now."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def recover(path: Path) -> tuple[int, int]:
    """Put the damaged *path* aside as `.corrupt-<n>` and what is whole in it into its place: N of M rows.

    The caller holds the folder's lock. Another process that has the old file open can't commit to it meanwhile, and
    sees before its next commit that the file has moved.
    """
    new, copy = path.with_name(path.name + ".new"), path.with_name(path.name + ".copy")
    with ExitStack() as hold:
        try:  # this also rolls back an unfinished write, where the damage allows
            hold.enter_context(closing(connect(path, wait=30))).execute("BEGIN EXCLUSIVE")
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
        create(new)
        _graft(path, copy, new)
        with closing(connect(copy, wait=0)) as source, closing(connect(new, wait=0)) as target:
            target.execute("BEGIN IMMEDIATE")
            insert(target, _whole(source), replace=False)
            ((kept,),) = target.execute("SELECT count(*) FROM Cache").fetchall()
            target.execute("COMMIT")
            counted = _counted(source)
        _clear(copy)
        swap(new, path, aside=True)
    return kept, max(kept, counted)


def swap(new: Path, path: Path, *, aside: bool) -> None:
    """Give *new* the name *path*, and first take away whatever an earlier file of that name left behind."""
    number = 1
    while (kept := path.with_name(f"{path.name}.corrupt-{number}")).exists():
        number += 1
    for suffix in ("-journal", "-wal", "-shm", ""):
        left = path.with_name(path.name + suffix)
        if aside and left.exists():
            left.rename(kept.with_name(kept.name + suffix))
        elif suffix:
            left.unlink(missing_ok=True)
    new.replace(path)
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _clear(path: Path) -> None:
    for suffix in ("-journal", "-wal", "-shm", ""):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _graft(damaged: Path, copy: Path, new: Path) -> None:
    _clear(copy)
    for suffix in ("", "-wal"):
        if (part := damaged.with_name(damaged.name + suffix)).exists():
            shutil.copyfile(part, copy.with_name(copy.name + suffix))
            copy.with_name(copy.name + suffix).chmod(0o600)
    first = new.read_bytes()[:PAGE]
    pages = max(1, copy.stat().st_size // PAGE)
    with copy.open("r+b") as file:
        journal = file.read(20)[18:20]  # whether a write-ahead log belongs to it
        if journal != b"\2\2":
            journal = first[18:20]
        file.seek(0)
        file.write(first[:18] + journal + first[20:28] + pages.to_bytes(4, "big") + first[32:])


def _whole(source: sqlite3.Connection) -> Iterator[tuple[str, bytes]]:
    """The rows of a damaged table that are reachable and whose seal fits."""
    walk = f"SELECT rowid, CAST(key AS BLOB), {SEALED} FROM Cache WHERE raw = 1 AND rowid >= ? ORDER BY rowid"  # noqa: S608 - constants only
    # No more rows than the pages can hold: damage may have bent the tree into a ring.
    most = 64 * source.execute("PRAGMA page_count").fetchone()[0]
    start = _next(source, 0)
    while start is not None:
        reached = start
        with suppress(sqlite3.DatabaseError):
            for _, (rowid, key, sealed) in zip(range(most), source.execute(walk, (start,)), strict=False):
                text = key.decode("utf-8", "replace") if type(key) is bytes else ""
                if unseal(text, sealed) is not None:
                    reached = max(start, rowid)
                    yield text, sealed
            return
        start = _next(source, reached + 1)


def _next(source: sqlite3.Connection, start: int) -> int | None:
    """The first row number from *start* on that can be read: each of the next thousands, then in wider steps."""
    at, step = start, 1
    while at < 2**63:
        try:
            found = source.execute(
                "SELECT rowid, value FROM Cache WHERE rowid >= ? LIMIT 1", (at,)
            ).fetchall()
        except sqlite3.DatabaseError:
            step *= 2 if at - start > 4096 else 1
            at += step
        else:
            return found[0][0] if found else None
    return None


def _counted(source: sqlite3.Connection) -> int:
    with suppress(sqlite3.DatabaseError):
        for (count,) in source.execute("SELECT value FROM Settings WHERE key = 'count'").fetchall():
            if type(count) is int:
                return count
    return 0
