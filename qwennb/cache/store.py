"""Where answers are kept: a dictionary from names to bytes, sealed, shared by processes, and never evicted.

Each value is sealed with a checksum that every read checks. A row that fails is a miss; it is counted, and the next
write moves it into quarantine. A damaged file is put aside and what is whole in it is recovered, when it is opened or
when a read or write meets the damage.

Reads may come on any thread and wait `PATIENCE` at most for another process; they are not held up by one that is
writing, only by its commit. Writes belong on one thread (see `writer`) and wait `WRITE_PATIENCE`. No connection lives
across a fork, because SQLite would believe in locks that the child does not hold: all are closed before it, and
opened again when needed.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Any, Self, TypeVar

import orjson

from qwennb.cache import database
from qwennb.cache.database import (
    MOUNTS,
    Connection,
    identity,
    is_damage,
    journal_mode,
    lock_folder,
    safe_file,
    safe_folder,
    use_file,
    warn,
)
from qwennb.cache.record import KEY_LENGTH, Name, seal, unseal
from qwennb.cache.recovery import recover
from qwennb.cache.table import FORM, SEALED, Table
from qwennb.errors import CacheError

PATIENCE = 2.0  # seconds that a read waits for another process; a cell's user waits with it
WRITE_PATIENCE = 30.0  # seconds that a write waits, on the writer's thread, where nobody waits with it
# Names in one query, or removed in one transaction: one lock for as many rows, and none is held long.
BATCH = 1_000
REMOVE_BATCH = 10_000

T = TypeVar("T")

# Every read takes the value through SEALED, so that no row is believed about what it is.
_ONE = f"SELECT {SEALED} FROM Cache WHERE key = ? AND raw = 1"  # noqa: S608 - constants only
# CROSS JOIN has SQLite keep to this order, a look-up in the index for each name, however many it takes them for. The names
# as one argument of JSON cost what a thousand arguments do (2.2 µs a row), and the statement is one, however many are asked.
_MANY = (
    f"SELECT asked.key, {SEALED} FROM json_each(?) AS asked"  # noqa: S608
    " CROSS JOIN Cache ON Cache.key = asked.value AND Cache.raw = 1"
)
# All names of one key stand between "<key>@" and "<key>A", for A is the character after @: a range of the index.
_ANY_ENDPOINT = (
    f"SELECT CAST(Cache.key AS BLOB), {SEALED} FROM json_each(?) AS asked"  # noqa: S608
    " CROSS JOIN Cache ON Cache.key >= asked.value || '@' AND Cache.key < asked.value || 'A' AND Cache.raw = 1"
    " ORDER BY asked.key, Cache.key"
)
# By pages from the last name on, so that no lock is held between two. A key that is a blob would sort after all texts
# (x'' is the least of them), and is none of ours.
_NAMES = (
    "SELECT CAST(key AS BLOB) FROM Cache"
    " WHERE raw = 1 AND key > CAST(? AS TEXT) AND key < x'' ORDER BY key LIMIT 5000"
)
# A reader's own pages, 64 MiB at the most, and no way to write.
_READS_ONLY = ("cache_size = -65536", "query_only = ON")


class Store:
    """A dictionary from names to bytes that outlives whatever happens to its process."""

    lasts = True
    """Whether what is put is still there when the process has ended."""

    def __init__(
        self,
        folder: Path,
        *,
        patience: float = PATIENCE,
        write_patience: float = WRITE_PATIENCE,
        mounts: Path = MOUNTS,
        sqlite: tuple[int, int, int] = sqlite3.sqlite_version_info[:3],
    ) -> None:
        path = safe_folder(folder) / FORM.name
        self._table = Table(path, journal_mode(folder, mounts, sqlite))
        self._write_patience = write_patience
        self._file: tuple[int, int] | None = None
        self._prepare(path, partial(database.connect, path, wait=0, pragmas=_READS_ONLY), patience)
        with self._writing, self._reading:
            self._open()

    def _prepare(self, path: Path, connect: Callable[[], sqlite3.Connection], patience: float) -> None:
        """Prepare to read the file at *path*, over a connection that *connect* opens. From now on a fork closes what is open."""
        self.folder = path.parent
        self.problems: Counter[str] = Counter()
        """What was found wrong since the store was opened, by kind."""
        self._path = path
        self._reader = Connection(path, connect)
        self._patience = patience
        # The one guards what writes, the other the reader. Whoever needs both takes the writing one first.
        self._writing, self._reading = threading.RLock(), threading.RLock()
        self._suspects: set[bytes] = set()
        self._damaged = False
        _open_stores.add(self)

    # -- reading: on any thread -----------------------------------------------------------------------------------

    def get(self, name: Name) -> bytes | None:
        """Read the value; None where there is none. One whose seal does not fit is None, too, and counted."""
        text = name.text
        for (sealed,) in self._select(_ONE, text) or ():
            if (value := unseal(text, sealed)) is not None:
                return value
            self._suspect(text.encode())
        return None

    def get_many(self, names: Iterable[Name]) -> dict[Name, bytes]:
        """Read those that are there, thousands at a time."""
        wanted = {name.text: name for name in names}
        return {wanted[text]: value for text, value in self._read(sorted(wanted))}

    def get_each(self, keys: Iterable[str], endpoint: str) -> Iterator[tuple[str, bytes]]:
        """Read what one endpoint answered to each of these request keys: a million of them."""
        texts = [f"{key}@{endpoint}" for key in sorted(set(keys))]
        return ((text[:KEY_LENGTH], value) for text, value in self._read(texts))

    def _read(self, texts: list[str]) -> Iterator[tuple[str, bytes]]:
        """Read the values under *texts* whose seals fit. Sorted ones share pages."""
        for some in _batches(texts, BATCH):
            rows = self._select(_MANY, orjson.dumps(some).decode())
            if rows is None:  # damage in one row, which must not hide the others
                found = ((place, self._select(_ONE, text)) for place, text in enumerate(some))
                rows = [(place, row[0][0]) for place, row in found if row]
            for place, sealed in rows:
                if (value := unseal(some[place], sealed)) is not None:
                    yield some[place], value
                else:
                    self._suspect(some[place].encode())

    def find_many(self, keys: Iterable[str]) -> dict[str, dict[Name, bytes]]:
        """Read the answers of any endpoint to each of these request keys, sorted by endpoint; a key without any is absent."""
        found: dict[str, dict[Name, bytes]] = {}
        for some in _batches(sorted(set(keys)), BATCH):
            rows = self._select(_ANY_ENDPOINT, orjson.dumps(some).decode())
            if rows is None and len(some) > 1:  # as in `_read`
                for key in some:
                    found |= self.find_many([key])
            for spelled, sealed in rows or ():
                text = spelled.decode("utf-8", "replace")
                value, name = unseal(text, sealed), Name.parse(text)
                if value is None or name is None:
                    self._suspect(spelled)
                else:
                    found.setdefault(name.key, {})[name] = value
        return found

    def names(self) -> Iterator[Name]:
        """List every name, sorted by key. What is put or removed meanwhile may show or not."""
        last = b""
        while rows := self._select(_NAMES, last):
            for (spelled,) in rows:
                if (name := Name.parse(spelled.decode("utf-8", "replace"))) is not None:
                    yield name
            last = rows[-1][0]

    def items(self) -> Iterator[tuple[Name, bytes]]:
        """Read every name with its value, sorted by key."""
        for some in _batches(self.names(), BATCH):
            found = self.get_many(some)
            yield from ((name, found[name]) for name in some if name in found)

    def __len__(self) -> int:
        rows = self._select("SELECT count(*) FROM Cache")
        if rows is None:  # not 0: nobody may take a file that can't be read for an empty one
            raise CacheError(
                f"The cache in {self.folder} is damaged and could not be recovered just now; its answers can't be counted."
            )
        return int(rows[0][0])

    def size(self) -> int:
        """Count the bytes on the disk."""
        files = (self._path.with_name(self._path.name + suffix) for suffix in ("", "-wal"))
        return sum(file.stat().st_size for file in files if file.exists())

    @property
    def quarantine_count(self) -> int:
        """How many damaged rows were found: those set aside, and those that the next write will set aside."""
        rows = self._select("SELECT count(*) FROM Quarantine")
        return len(self._suspects) + (int(rows[0][0]) if rows else 0)

    # -- writing: on the writer's thread --------------------------------------------------------------------------

    def put(self, records: Iterable[tuple[Name, bytes]]) -> None:
        """Keep these, all or none. They are on the disk when this returns."""
        rows = [(text := name.text, seal(text, value)) for name, value in records]
        rows.sort(key=itemgetter(0))  # neighbours share pages; of two with one name the later still wins
        self._write(partial(Table.load, rows=rows))

    def remove(self, names: Iterable[Name]) -> int:
        """Remove these; how many were there. Where much was removed, the file shrinks."""
        removed = 0
        for some in _batches((name.text for name in names), REMOVE_BATCH):
            removed += self._write(partial(Table.drop, texts=some))
        if removed:
            self._shrink()
        return removed

    def close(self) -> None:
        """Close every connection. Nothing is lost by not calling it."""
        _open_stores.discard(self)
        with self._writing, self._reading:
            self._disconnect(for_good=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- the file -------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        """Make, check or recover the file, and remember which one it is."""
        self._disconnect()
        try:
            use_file(self._check, self.folder, f"The cache in {self.folder} can't be opened", self._patience)
        except CacheError:
            self._disconnect()
            raise

    def _check(self) -> None:
        with lock_folder(safe_folder(self.folder)):
            if not (safe_file(self._path) and database.has_form(self._path, self.folder, FORM)):
                database.make(self._path, FORM)
            elif self._damaged and self._file == identity(self._path):
                self._recover()
            else:
                try:
                    self._table.inspect(self.folder)
                except sqlite3.DatabaseError as error:
                    if not is_damage(error):
                        raise
                    self._recover()
            self._file, self._damaged = identity(self._path), False

    def _disconnect(self, *, for_good: bool = False) -> None:
        self._table.disconnect(for_good=for_good)
        self._reader.close(for_good=for_good)

    def _recover(self) -> None:
        self._disconnect()
        kept, counted = recover(self._path, self._patience)
        self.problems["file recovered"] += 1
        warn(
            f"The cache in {self.folder} was damaged: recovered {kept} of {counted} answers. "
            "The damaged file is kept beside it, its name ends in .corrupt and a number."
        )

    def _select(self, query: str, *arguments: object) -> list[Any] | None:
        """Read the rows of *query*; None where the file is damaged there and could not be recovered."""
        what = f"The cache in {self.folder} can't be read"
        try:
            return use_file(
                partial(self._select_once, query, arguments), self.folder, what, self._patience, self._mend
            )
        except CacheError as error:
            if isinstance(error.__cause__, sqlite3.Error) and is_damage(error.__cause__):
                self._damaged = (
                    True  # also where it was mended just now, and has turned out to be damaged again
                )
                return None
            raise

    def _select_once(self, query: str, arguments: tuple[object, ...]) -> list[Any]:
        with self._reading:
            return self._reader.select(query, *arguments)

    def _mend(self) -> bool:
        """Recover the file at once, but only once: a disk that goes on failing must not make every read slow."""
        self._damaged = True
        if self.problems["file recovered"]:
            return False
        try:
            with self._writing, self._reading:
                if self._damaged:
                    self._open()
        except CacheError:
            return False  # somebody is writing, or the disk is full; the next write tries again
        return True

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

    def _write(self, work: Callable[[Table], T]) -> T:
        """Do *work* in one transaction that is on the disk at the end, or never was."""
        what = f"The cache in {self.folder} can't be written"
        return use_file(
            partial(self._write_once, work), self.folder, what, self._write_patience, self._note_damage
        )

    def _write_once(self, work: Callable[[Table], T]) -> T:
        # The lock is let go of between two tries, so that a fork never waits long for it.
        with self._writing:
            if self._damaged or self._file != identity(self._path):
                with self._reading:
                    self._open()
            with self._table.transaction(self._reading, self._write_patience) as table:
                if self._file != identity(self._path):
                    # Another process recovered the file just before we came to lock it: not yet ours to write.
                    busy = sqlite3.OperationalError("the file was moved")
                    busy.sqlite_errorcode = sqlite3.SQLITE_BUSY
                    raise busy
                self._set_aside(table)
                return work(table)

    def _note_damage(self) -> bool:
        """Have the file recovered when it is opened next."""
        self._damaged = True
        return True

    def _set_aside(self, table: Table) -> None:
        """Move the rows that failed on reading into quarantine, unless they have been put anew since."""
        for spelled in list(self._suspects):
            table.quarantine(spelled)
            self._suspects.discard(spelled)

    def _shrink(self) -> None:
        """Write the file anew where removed rows left more than half of it unused."""
        new = self._path.with_name(self._path.name + ".new")
        with self._writing, self._reading:
            try:
                with lock_folder(self.folder):
                    with self._table.transaction(self._reading, self._patience) as table:
                        if self._file == identity(self._path) and table.is_mostly_empty():
                            table.copy_to(new)
                            database.swap(new, self._path, aside=False)
                    self._disconnect()
            except (sqlite3.DatabaseError, OSError):
                return  # only room on the disk: what was to be removed is gone
            self._open()


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
        store._disconnect()
        _forking.append(store)


def _after_fork() -> None:
    while _forking:
        store = _forking.pop()
        store._reading.release()
        store._writing.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
