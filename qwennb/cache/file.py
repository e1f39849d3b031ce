"""A database file of ours: how one is made, known again, opened, and taken away.

A file is known by the application id and the format number in its header, which are read without SQLite, so that a
file that is not ours is not touched at all. Then its schema must be ours to the letter: a trigger or a view that
somebody planted could act behind a plain look-up. A new file is whole on the disk before it gets its name.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from qwennb.errors import CacheError
from qwennb.files import open_private, sync_folder

PAGE = 4096

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class FileForm:
    """What makes a file ours."""

    name: str
    application: int
    version: int
    schema: tuple[str, ...]
    contents: tuple[str, ...] = ()
    """What a new file is filled with."""


def connect(path: Path, *, wait: float) -> sqlite3.Connection:
    """A connection that trusts nothing in the file, never makes one, and leaves transactions to us."""
    connection = _connect(path, "rw", wait)
    try:
        for pragma in ("trusted_schema = OFF", "cell_size_check = ON", "mmap_size = 0", "synchronous = FULL"):
            connection.execute(f"PRAGMA {pragma}").fetchall()
    except UnicodeDecodeError:  # SQLite names the damaged part of the schema, and the name itself is damaged
        connection.close()
        damage = sqlite3.DatabaseError("malformed database schema")
        damage.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise damage from None
    except BaseException:
        connection.close()
        raise
    return connection


def _connect(path: Path, access: str, wait: float) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={access}",
        uri=True,
        timeout=wait,
        isolation_level=None,
        check_same_thread=False,  # its owner sees to it that one thread uses it at a time
    )


def create(path: Path, form: FileForm) -> None:
    """Make an empty database of this form, on the disk when this returns."""
    clear(path)
    open_private(path, "xb").close()
    with closing(connect(path, wait=0)) as new:
        new.execute(f"PRAGMA page_size = {PAGE}")
        new.execute(f"PRAGMA application_id = {form.application}")
        new.execute(f"PRAGMA user_version = {form.version}")
        new.execute("BEGIN IMMEDIATE")
        for statement in form.schema + form.contents:
            new.execute(statement)
        new.execute("COMMIT")


def make(path: Path, form: FileForm) -> None:
    """Make *path*. The caller holds the folder's lock."""
    new = path.with_name(path.name + ".new")
    create(new, form)
    swap(new, path, aside=False)


def has_form(path: Path, folder: Path, form: FileForm) -> bool:
    """Whether *path* is of this form. An empty file is not; anything else is refused, untouched.

    SQLite reads the header, because to open and close the file ourselves would let go of the locks that other
    connections of this process hold on it.
    """
    size = path.stat().st_size
    if size == 0:
        return False
    advice = "It was not touched: move it away, or set QWENNB_CACHE_DIR."
    try:
        if size < 512:  # less than the smallest page: SQLite would take it for empty, and write over it
            raise sqlite3.DatabaseError
        try:
            application, version = _header(path, "ro")
        except sqlite3.OperationalError as error:
            if is_waiting(error):
                raise
            application, version = _header(path, "rw")  # after a crash, SQLite has first to undo a write
    except sqlite3.DatabaseError as error:
        if is_waiting(error) or is_of_the_disk(error):
            raise
        raise CacheError(f"The file {form.name} in {folder} is not a database. {advice}") from error
    _refuse_others(application, version, folder, form)
    return True


def _refuse_others(application: int, version: int, folder: Path, form: FileForm) -> None:
    """Refuse another program's file, and one of another format of ours."""
    advice = "It was not touched: move it away, or set QWENNB_CACHE_DIR."
    if application != form.application:
        raise CacheError(f"The file {form.name} in {folder} is another program's database. {advice}")
    if version != form.version:
        raise CacheError(
            f"The file {form.name} in {folder} has format {version}, and this qwennb reads format {form.version}. "
            "It was not touched: get a newer qwennb, or name another folder by QWENNB_CACHE_DIR."
        )


def look_into(path: Path, folder: Path, form: FileForm) -> sqlite3.Connection:
    """A connection that only reads, for a folder that can't be written or locked.

    Where SQLite can't have its locks or its log there, it is told that nobody writes. Should somebody do so all the same,
    a page may be read half written: every value is sealed, and one whose seal does not fit counts as not there.
    """
    try:
        return _looking(path, "ro", folder, form)
    except sqlite3.OperationalError as error:
        if is_waiting(error):
            raise
        return _looking(path, "ro&immutable=1", folder, form)


def _looking(path: Path, access: str, folder: Path, form: FileForm) -> sqlite3.Connection:
    connection = _connect(path, access, wait=0)
    try:
        for pragma in ("trusted_schema = OFF", "cell_size_check = ON", "mmap_size = 0", "query_only = ON"):
            connection.execute(f"PRAGMA {pragma}").fetchall()
        ((application,),) = connection.execute("PRAGMA application_id").fetchall()
        ((version,),) = connection.execute("PRAGMA user_version").fetchall()
        _refuse_others(application, version, folder, form)
        inspect(connection, folder, form)
    except BaseException:
        connection.close()
        raise
    return connection


def _header(path: Path, access: str) -> tuple[int, int]:
    with closing(_connect(path, access, wait=0)) as connection:
        # Else SQLite would refuse, before anything can be known, a file that was cut short.
        connection.execute("PRAGMA writable_schema = ON")
        ((application,),) = connection.execute("PRAGMA application_id").fetchall()
        ((version,),) = connection.execute("PRAGMA user_version").fetchall()
        return application, version


def inspect(connection: sqlite3.Connection, folder: Path, form: FileForm) -> None:
    """Refuse a file with a table, view or trigger that we did not make."""
    found = connection.execute("SELECT CAST(sql AS BLOB) FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    if sorted(sql for (sql,) in found) != sorted(sql.encode() for sql in form.schema):
        raise CacheError(
            f"The file {form.name} in {folder} has tables or triggers that qwennb did not make. "
            "It was not used: move it away, or set QWENNB_CACHE_DIR."
        )


def swap(new: Path, path: Path, *, aside: bool) -> None:
    """Give *new* the name *path*, and first take away whatever an earlier file of that name left behind."""
    number = 1
    while (kept := path.with_name(f"{path.name}.corrupt-{number}")).exists():
        number += 1
    for suffix in ("-journal", "-wal", "-shm"):
        left = path.with_name(path.name + suffix)
        if aside and left.exists():
            left.rename(kept.with_name(kept.name + suffix))
        else:
            left.unlink(missing_ok=True)
    if aside:  # a second name first, so that there is at no moment no file
        try:
            kept.hardlink_to(path)
        except OSError:  # a file system without links
            path.rename(kept)
    new.replace(path)
    sync_folder(path.parent)


def clear(path: Path) -> None:
    """Remove *path* and what SQLite laid beside it."""
    for suffix in ("-journal", "-wal", "-shm", ""):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def identity(path: Path) -> tuple[int, int] | None:
    """Which file it is that has this name now."""
    try:
        facts = path.stat()
    except FileNotFoundError:
        return None
    return facts.st_dev, facts.st_ino


def is_damage(error: sqlite3.Error) -> bool:
    """Whether SQLite found the file itself broken. Text that can't be decoded has no code at all."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return type(error) is sqlite3.OperationalError
    return code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


_OF_THE_DISK = (
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_NOLFS,
)


def is_of_the_disk(error: BaseException | None) -> bool:
    """Whether it is the disk or its permissions that failed, and not what is in the file."""
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", 0) & 0xFF in _OF_THE_DISK
    return isinstance(error, OSError)


def is_waiting(error: sqlite3.Error) -> bool:
    """Whether another connection holds the file just now."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def patiently(work: Callable[[], T], seconds: float) -> T:
    """Try *work* again and again while another connection holds the file.

    SQLite's own waiting slows down to ten tries a second. Behind a process that commits without a pause, that finds the
    short gap between two commits only by luck, after seconds; a try every half millisecond finds it soon.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            return work()
        except sqlite3.OperationalError as error:
            if not is_waiting(error) or time.monotonic() > deadline:
                raise
        time.sleep(0.0005)


def explain(error: sqlite3.Error, folder: Path) -> CacheError:
    """What SQLite's error means for the user, in one sentence."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    sentences = {
        sqlite3.SQLITE_BUSY: f"The cache in {folder} is held by another process. Close it there, or try again.",
        sqlite3.SQLITE_LOCKED: f"The cache in {folder} is held by another process. Close it there, or try again.",
        sqlite3.SQLITE_FULL: f"The disk is full: nothing new is kept in the cache in {folder} until there is space.",
        sqlite3.SQLITE_READONLY: f"The cache in {folder} can't be written. Make it writable or set QWENNB_CACHE_DIR.",
        sqlite3.SQLITE_CANTOPEN: f"The cache in {folder} can't be opened. Set QWENNB_CACHE_DIR to a folder of yours.",
        sqlite3.SQLITE_PERM: f"The cache in {folder} can't be opened. Set QWENNB_CACHE_DIR to a folder of yours.",
        sqlite3.SQLITE_IOERR: f"The disk under the cache in {folder} failed or is full ({error}).",
        sqlite3.SQLITE_CORRUPT: f"The cache in {folder} is damaged. Open it again: what is whole is recovered.",
        sqlite3.SQLITE_NOTADB: f"The cache in {folder} is damaged. Open it again: what is whole is recovered.",
        sqlite3.SQLITE_TOOBIG: f"The answer is too big for the cache in {folder} and was not kept.",
    }
    return CacheError(sentences.get(code, f"The cache in {folder} failed ({error})."))
