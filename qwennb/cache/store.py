"""Where answers are kept: diskcache, with its dangerous half taken out.

diskcache is a table of keys and values in one SQLite file. As it comes it pickles, spills values into files, forgets
the oldest at one gigabyte, and obeys settings found in the file. Here it keeps bytes under text and nothing else:

- `_Disk` refuses everything but text keys and plain bytes, on the way in and on the way out, whatever a row says.
- `_Cache` takes its settings from us and never from the file, opens its own connections, and writes only inside a
  transaction that `Store` has begun: diskcache's own leaves the file locked when a commit fails.
- `Store` seals each value, reads past diskcache with one rule for what a row may be, and checks each seal. A row that fails is a miss; it is counted, and the next
  write moves it into the table `Quarantine`. A damaged file is put aside and what is whole in it is recovered.

A connection belongs to one thread and can't write until that thread begins a transaction. A read waits `PATIENCE` for
another process, a write `WRITE_PATIENCE`. No connection lives across a fork, because SQLite would believe in locks that
the child does not hold: all are closed before it, and opened again when needed.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Self, TypeVar

import diskcache

from qwennb.cache import database
from qwennb.cache.database import FILE, SEALED
from qwennb.cache.place import MOUNTS, explain, journal_mode, locked, safe_file, safe_folder, warn
from qwennb.cache.record import Name, seal, unseal
from qwennb.errors import CacheError

__all__ = ["Name", "Store"]

PATIENCE = 2.0
WRITE_PATIENCE = 30.0
BATCH = 1_000
IMPORT_BATCH = 50_000

T = TypeVar("T")

# Every read takes the value through SEALED, so that no row is believed about what it is.
_ONE = f"SELECT {SEALED} FROM Cache WHERE key = ? AND raw = 1"  # noqa: S608 - constants only
_MANY = (
    f"SELECT asked.key, {SEALED} FROM json_each(?) AS asked"  # noqa: S608
    " CROSS JOIN Cache ON Cache.key = asked.value AND Cache.raw = 1"
)
_ANY_ENDPOINT = (
    f"SELECT CAST(Cache.key AS BLOB), {SEALED} FROM json_each(?) AS asked"  # noqa: S608
    " CROSS JOIN Cache ON Cache.key >= asked.value || '@' AND Cache.key < asked.value || 'A' AND Cache.raw = 1"
    " ORDER BY asked.key, Cache.key"
)
_NAMES = (  # a key that is a blob would sort after all texts, and is none of ours
    "SELECT CAST(key AS BLOB) FROM Cache"
    " WHERE raw = 1 AND key > CAST(? AS TEXT) AND key < x'' ORDER BY key LIMIT 5000"
)


class _ForeignRow(ValueError):
    """A row claims to be something that this store never writes."""


class _Disk(diskcache.Disk):  # type: ignore[misc]
    """Bytes under text: no pickle, no file, no other mode, in either direction."""

    def put(self, key: object) -> tuple[str, bool]:
        if type(key) is not str:
            raise TypeError(f"a key is text, not {type(key).__name__}")
        return key, True

    def get(self, key: object, raw: object) -> str:
        if not raw or type(key) is not str:
            raise _ForeignRow("a key that is not text")
        return key

    def store(self, value: object, read: bool, key: object = None) -> tuple[int, int, None, memoryview]:
        if read or type(value) is not bytes:
            raise TypeError(f"a value is bytes, not {type(value).__name__}")
        return 0, diskcache.core.MODE_RAW, None, sqlite3.Binary(value)

    def fetch(self, mode: int, filename: str | None, value: object, read: bool) -> bytes:
        if read or mode != diskcache.core.MODE_RAW or filename is not None or type(value) is not bytes:
            raise _ForeignRow("a value that is not plain bytes")
        return value

    def filename(self, key: object = None, value: object = None) -> tuple[str, str]:
        raise _ForeignRow("values are never written to files")

    def remove(self, file_path: str) -> None:
        raise _ForeignRow("files are never removed")


class _Cache(diskcache.Cache):  # type: ignore[misc]
    """diskcache's own get, set and delete, over connections and transactions that are ours."""

    def __init__(self, path: Path, journal: str, patience: float) -> None:
        # Not diskcache's own: that one obeys the settings in the file, sets attributes and pragmas by their names,
        # and rewrites them all at each opening, for which it waits a minute for the write lock.
        self._directory = str(path.parent)
        self._path = path
        self._journal = journal
        self._timeout = patience
        self._txn_id: int | None = None
        self._local = threading.local()
        self._connections: weakref.WeakSet[database.Connection] = weakref.WeakSet()
        self._closed = False
        self._disk = _Disk(self._directory)
        for name, value in database.SETTINGS.items():
            setattr(self, name, value)

    @property
    def _con(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "con", None)
        return self._connect() if connection is None else connection

    def _connect(self) -> sqlite3.Connection:
        if self._closed:
            raise CacheError("The cache was closed. Open it again.")
        connection = database.connect(self._path, wait=self._timeout)
        try:
            for pragma in ("query_only = ON", "cache_size = -131072", "cache_spill = OFF"):
                connection.execute(f"PRAGMA {pragma}").fetchall()
            with suppress(sqlite3.OperationalError):  # others have it open with another journal: theirs holds
                connection.execute(f"PRAGMA journal_mode = {self._journal}").fetchall()
        except BaseException:
            connection.close()
            raise
        self._connections.add(connection)
        self._local.con = connection
        return connection

    def disconnect(self, *, for_good: bool = False) -> None:
        """Close the connections of every thread. The next use opens new ones."""
        self._closed = for_good
        for connection in list(self._connections):
            connection.close()
        self._connections.clear()
        self._local = threading.local()

    @contextmanager
    def transaction(self) -> Iterator[Self]:
        """Everything inside is committed at the end, or undone; whatever happens, the file is not left locked."""
        connection = self._con
        try:
            connection.execute("PRAGMA query_only = OFF")
            connection.execute("PRAGMA busy_timeout = 50")
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(f"PRAGMA busy_timeout = {self._timeout * 1000:.0f}")
            self._txn_id = threading.get_ident()
            yield self
            connection.execute("COMMIT")
        except BaseException:
            # Closing undoes what is open and lets go of every lock, even where the disk fails and a rollback would.
            self._local.con = None
            connection.close()
            raise
        finally:
            self._txn_id = None

    @contextmanager
    def _transact(self, retry: bool = False, filename: str | None = None) -> Iterator[tuple[Any, Any]]:
        if self._txn_id != threading.get_ident():
            raise RuntimeError("a write outside of a transaction")
        yield self._con.execute, lambda filename: None  # a file that a row names is not ours to remove

    def inspect(self, folder: Path) -> None:
        """Refuse a file with anything in it that we did not make."""
        database.inspect(self._con, folder)

    def select(self, query: str, *arguments: object) -> list[Any]:
        """The rows of *query*, all at once: a cursor left open would keep its lock."""
        return self._con.execute(query, arguments).fetchall()

    def load(self, rows: list[tuple[str, bytes]], *, replace: bool) -> int:
        """Put many sealed rows in at once."""
        self._con.execute(
            "PRAGMA cache_size = -262144"
        )  # the index is met at random, so the more of it at hand the better
        try:
            return database.insert(self._con, rows, replace=replace)
        finally:
            self._con.execute("PRAGMA cache_size = -131072")

    def drop(self, names: list[Name]) -> int:
        """Remove these rows; how many there were."""
        return sum(self.delete(name.text) for name in names)

    def rewrite(self) -> None:
        """Write the file anew, without the room that removed rows left, where that is more than half."""
        ((pages,),), ((empty,),) = self.select("PRAGMA page_count"), self.select("PRAGMA freelist_count")
        if empty > pages // 2:
            database.rewrite(self._path, self._con)

    def quarantine(self, spelled: bytes) -> None:
        """Move the row under *spelled* out of the way if its seal still does not fit."""
        here = "FROM Cache WHERE key = CAST(? AS TEXT) AND raw = 1"
        rows = self._con.execute(f"SELECT {SEALED} {here}", (spelled,)).fetchall()
        if rows and unseal(spelled.decode("utf-8", "replace"), rows[0][0]) is None:
            self._con.execute(
                f"INSERT INTO Quarantine SELECT key, raw, mode, filename, value {here}", (spelled,)
            )
            self._con.execute(f"DELETE {here}", (spelled,))


class Store:
    """A dictionary from names to bytes that outlives whatever happens to its process."""

    def __init__(
        self,
        folder: Path,
        *,
        patience: float = PATIENCE,
        write_patience: float = WRITE_PATIENCE,
        mounts: Path = MOUNTS,
        sqlite: tuple[int, int, int] = sqlite3.sqlite_version_info[:3],
    ) -> None:
        self.folder = folder
        self.problems: Counter[str] = Counter()
        """What was found wrong since the store was opened, by kind."""
        self._path = safe_folder(folder) / FILE
        self._cache = _Cache(self._path, journal_mode(folder, mounts, sqlite), patience)
        self._write_patience = write_patience
        # Whoever needs both locks takes the writing one first.
        self._writing, self._reading = threading.RLock(), threading.RLock()
        self._suspects: set[bytes] = set()
        self._damaged = False
        self._file: tuple[int, int] | None = None
        self._open()
        _open_stores.add(self)

    # -- reading: on any thread -----------------------------------------------------------------------------------

    def get(self, name: Name) -> bytes | None:
        """The value, or None. One whose seal does not fit is None, too, and counted."""
        text = name.text
        rows = self._select(_ONE, text)
        if not rows:
            return None
        value = unseal(text, rows[0][0])
        if value is None:
            self._suspect(text.encode())
        return value

    def get_many(self, names: Iterable[Name]) -> dict[Name, bytes]:
        """Those that are there, thousands at a time."""
        wanted = {name.text: name for name in names}
        found: dict[Name, bytes] = {}
        for some in _batches(sorted(wanted), BATCH):  # in order, because neighbours share pages
            rows = self._select(_MANY, json.dumps(some))
            if rows is None:  # damage in one row must not hide the others
                found |= {
                    wanted[text]: value for text in some if (value := self.get(wanted[text])) is not None
                }
                continue
            for index, sealed in rows:
                text = some[index]
                value = unseal(text, sealed)
                if value is None:
                    self._suspect(text.encode())
                else:
                    found[wanted[text]] = value
        return found

    def find(self, key: str) -> list[tuple[Name, bytes]]:
        """What any endpoint answered to this request key, sorted by endpoint."""
        return self.find_many([key]).get(key, [])

    def find_many(self, keys: Iterable[str]) -> dict[str, list[tuple[Name, bytes]]]:
        """The answers of any endpoint to each of these request keys; a key without any is absent."""
        found: dict[str, list[tuple[Name, bytes]]] = {}
        for some in _batches(sorted(set(keys)), BATCH):
            for spelled, sealed in self._select(_ANY_ENDPOINT, json.dumps(some)) or ():
                text = spelled.decode("utf-8", "replace")
                value, name = unseal(text, sealed), Name.parse(text)
                if value is None or name is None:
                    self._suspect(spelled)
                else:
                    found.setdefault(name.key, []).append((name, value))
        return found

    def names(self) -> Iterator[Name]:
        """Every name, sorted by key. What is put or removed meanwhile may show or not."""
        last = b""
        while rows := self._select(_NAMES, last):
            for (spelled,) in rows:
                if (name := Name.parse(spelled.decode("utf-8", "replace"))) is not None:
                    yield name
            last = rows[-1][0]

    def items(self) -> Iterator[tuple[Name, bytes]]:
        """Every name with its value, sorted by key."""
        for some in _batches(self.names(), BATCH):
            found = self.get_many(some)
            yield from ((name, found[name]) for name in some if name in found)

    def __len__(self) -> int:
        rows = self._select("SELECT count(*) FROM Cache")
        return int(rows[0][0]) if rows else 0

    def size(self) -> int:
        """Bytes on the disk."""
        files = (self._path.with_name(self._path.name + suffix) for suffix in ("", "-wal"))
        return sum(file.stat().st_size for file in files if file.exists())

    @property
    def quarantined(self) -> int:
        """How many damaged rows were found: those set aside, and those that the next write will set aside."""
        rows = self._select("SELECT count(*) FROM Quarantine")
        return len(self._suspects) + (int(rows[0][0]) if rows else 0)

    # -- writing: on the writer's thread --------------------------------------------------------------------------

    def put(self, records: Iterable[tuple[Name, bytes]]) -> None:
        """Keep these, all or none. They are on the disk when this returns."""
        rows = [(text := name.text, seal(text, value)) for name, value in records]

        def work(cache: _Cache) -> None:
            for text, sealed in rows:
                cache.set(text, sealed)

        self._write(work)

    def import_many(self, records: Iterable[tuple[Name, bytes]], *, replace: bool = False) -> int:
        """Keep very many, each batch all or none; how many came in. What is there already stays, unless replaced."""
        added = 0
        for some in _batches(records, IMPORT_BATCH):
            rows = sorted((text := name.text, seal(text, value)) for name, value in some)
            added += self._write(partial(_Cache.load, rows=rows, replace=replace))
        return added

    def remove(self, names: Iterable[Name]) -> int:
        """Remove these; how many were there. Where much was removed, the file shrinks."""
        removed = sum(self._write(partial(_Cache.drop, names=some)) for some in _batches(names, BATCH))
        if removed:
            self._shrink()
        return removed

    def close(self) -> None:
        """Close every connection. Nothing is lost by not calling it."""
        _open_stores.discard(self)
        with self._writing, self._reading:
            self._cache.disconnect(for_good=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- the file -------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        """Make, check or recover the file, and remember which one it is."""
        self._cache.disconnect()
        try:
            with locked(safe_folder(self.folder)):
                if not (safe_file(self._path) and database.known(self._path, self.folder)):
                    database.make(self._path)
                elif (self._damaged and self._file == _identity(self._path)) or not self._is_sound():
                    self._recover()
                self._file, self._damaged = _identity(self._path), False
        except sqlite3.DatabaseError as error:
            raise explain(error, self.folder) from error
        except OSError as error:
            raise CacheError(f"The cache in {self.folder} can't be opened ({error.strerror}).") from error

    def _is_sound(self) -> bool:
        try:
            self._cache.inspect(self.folder)
        except sqlite3.DatabaseError as error:
            if not database.is_damage(error):
                raise
            return False
        return True

    def _recover(self) -> None:
        self._cache.disconnect()
        kept, counted = database.recover(self._path)
        self.problems["file recovered"] += 1
        warn(
            f"The cache in {self.folder} was damaged: recovered {kept} of {counted} answers. "
            "The damaged file is kept beside it, its name ends in .corrupt and a number."
        )

    def _select(self, query: str, *arguments: object) -> list[Any] | None:
        """The rows, or None where the file is damaged there."""
        try:
            with self._reading:
                return self._cache.select(query, *arguments)
        except sqlite3.DatabaseError as error:
            self._note(error)
            return None

    def _note(self, error: sqlite3.Error) -> None:
        """Go on after damage, which the next write mends; raise anything else."""
        if not database.is_damage(error):
            raise explain(error, self.folder) from error
        self._damaged = True
        self.problems["damaged page"] += 1

    def _suspect(self, spelled: bytes) -> None:
        """Remember a row whose seal does not fit: reading never writes."""
        if spelled not in self._suspects:
            self._suspects.add(spelled)
            self.problems["damaged answer"] += 1
            if self.problems["damaged answer"] == 1:
                warn(
                    f"The cache in {self.folder} has a damaged answer. It is set aside and counts as not recorded."
                )

    # -- one transaction ------------------------------------------------------------------------------------------

    def _write(self, work: Callable[[_Cache], T]) -> T:
        """Do *work* in one transaction that is on the disk at the end, or never was."""
        deadline = time.monotonic() + self._write_patience
        mended = False
        while True:
            try:
                # The lock is let go of between two tries, so that a fork never waits long for it.
                with self._writing:
                    if self._damaged or self._file != _identity(self._path):
                        with self._reading:
                            self._open()
                    with self._cache.transaction() as cache:
                        # Another process may have recovered the file just before we came to lock it.
                        if self._file == _identity(self._path):
                            self._set_aside(cache)
                            return work(cache)
            except sqlite3.DatabaseError as error:
                if database.is_damage(error) and not mended:
                    self._damaged = mended = True
                elif not database.is_waiting(error) or time.monotonic() > deadline:
                    raise explain(error, self.folder) from error
            time.sleep(0.001)

    def _set_aside(self, cache: _Cache) -> None:
        """Move the rows that failed on reading into quarantine, unless they have been put anew since."""
        for spelled in list(self._suspects):
            cache.quarantine(spelled)
            self._suspects.discard(spelled)

    def _shrink(self) -> None:
        with self._writing, self._reading:
            try:
                with locked(self.folder), self._cache.transaction() as cache:
                    if self._file == _identity(self._path):
                        cache.rewrite()
            except (sqlite3.DatabaseError, OSError):
                return  # only room on the disk: what was to be removed is gone
            self._open()


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        facts = path.stat()
    except FileNotFoundError:
        return None
    return facts.st_dev, facts.st_ino


def _batches(things: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(things)
    while some := list(islice(iterator, size)):
        yield some


# No connection is carried across a fork.

_open_stores: weakref.WeakSet[Store] = weakref.WeakSet()
_forking: list[Store] = []


def _before_fork() -> None:
    for store in sorted(_open_stores, key=id):
        store._writing.acquire()
        store._reading.acquire()
        store._cache.disconnect()
        _forking.append(store)


def _after_fork() -> None:
    while _forking:
        store = _forking.pop()
        store._reading.release()
        store._writing.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
