"""A database of ours: the folder that it may lie in, and how its file is made, known again, opened, and taken away.

It holds people's prompts, and it is read back with trust. So it lies in a folder of one's own that nobody else can
write (0700 where we make it), in plain files of one's own (0600), never behind a symbolic link. Whatever breaks
a rule is refused with the command that mends it; nothing is touched.

A file is known by the application id and the format number in its header, which are read without SQLite, so that a
file that is not ours is not touched at all. Then its schema must be ours to the letter: a trigger or a view that
somebody planted could act behind a plain look-up. A new file is whole on the disk before it gets its name.

The journal is chosen by two facts. SQLite before 3.51.3 can, rarely, corrupt a write-ahead log that two processes write
at once, and a write-ahead log needs memory shared between processes, which a network file system has not: there
the older rollback journal is used, kept between commits ("persist": as safe as cutting it off each time, and four times
as fast). A network file system may also fail to lock, so it is warned about.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, TypeVar

from qwennb.errors import CacheError, CacheWarning
from qwennb.files import (
    is_foreign,
    is_writable_by_others,
    lock,
    make_private_folder,
    open_lock_file,
    open_private,
    sync_folder,
)
from qwennb.warn import warn_user

PAGE = 4096
MOUNTS = Path("/proc/mounts")
NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "lustre", "gpfs", "beegfs", "fuse"}
)
WAL_IS_SOUND = (3, 51, 3)
COMPANIONS = ("-journal", "-wal", "-shm")
# The end of a journal that names a second journal. SQLite would open and delete the file it names; ours never has one.
NAMES_ANOTHER = bytes.fromhex("d9d505f920a163d7")
# Nothing in the schema may call a function with effects, and a page is checked before it is used. No file is mapped into
# memory: there an error of the disk is a signal that ends the process, and no exception.
TRUST_NOTHING = ("trusted_schema = OFF", "cell_size_check = ON", "mmap_size = 0")

T = TypeVar("T")


def warn(message: str) -> None:
    """Warn at the user's line."""
    warn_user(message, CacheWarning)


def safe_folder(folder: Path) -> Path:
    """Make *folder* where it is missing, and refuse it where somebody else could write into it."""
    try:
        facts = make_private_folder(folder)
    except FileExistsError as error:
        raise CacheError(
            f"The cache can't lie in {folder}: that is not a folder. Set QWENNB_CACHE_DIR to one."
        ) from error
    except OSError as error:
        raise CacheError(
            f"The cache folder {folder} can't be made ({error.strerror}). Set QWENNB_CACHE_DIR to a folder of yours."
        ) from error
    if is_foreign(facts):
        raise CacheError(
            f"The cache folder {folder} belongs to another user, who could change answers. "
            "Set QWENNB_CACHE_DIR to a folder of yours."
        )
    if is_writable_by_others(facts):
        raise CacheError(
            f"The cache folder {folder} can be written by other users, who could change answers. "
            f"Type: chmod 700 '{folder}'"
        )
    return folder


def safe_file(path: Path) -> bool:
    """Tell whether the database *path* is there. Refuse one that is not plainly ours, and companions that are not."""
    for companion in COMPANIONS:
        _is_own_file(path.with_name(path.name + companion))
    _refuse_borrowed_journal(path.with_name(path.name + "-journal"))
    return _is_own_file(path)


def _is_own_file(path: Path) -> bool:
    try:
        facts = path.lstat()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise CacheError(f"The cache file {path} can't be looked at ({error.strerror}).") from error
    if not stat.S_ISREG(facts.st_mode):
        raise CacheError(
            f"The cache file {path} is a link or no plain file; it was not opened. Move it away."
        )
    if is_foreign(facts):
        raise CacheError(f"The cache file {path} belongs to another user; it was not opened. Move it away.")
    if is_writable_by_others(facts):
        raise CacheError(
            f"The cache file {path} can be written by other users, who could change answers. Type: chmod 600 '{path}'"
        )
    return True


def _refuse_borrowed_journal(journal: Path) -> None:
    try:
        with journal.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - len(NAMES_ANOTHER)))
            if file.read() == NAMES_ANOTHER:
                raise CacheError(f"The file {journal} is not qwennb's: it names another file. Move it away.")
    except FileNotFoundError:
        return
    except OSError as error:
        raise CacheError(f"The cache file {journal} can't be read ({error.strerror}).") from error


def file_system(folder: Path, mounts: Path = MOUNTS) -> str:
    """Tell the kind of file system that *folder* lies on, or "" where the system does not tell."""
    try:
        lines = mounts.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return ""
    at = folder.resolve()
    kind, depth = "", -1
    for line in lines:
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        # A space is written \040 there.
        point = Path(fields[1].encode("latin-1", "replace").decode("unicode_escape"))
        # Of two on one point, the later lies on top.
        if at.is_relative_to(point) and len(point.parts) >= depth:
            kind, depth = fields[2], len(point.parts)
    return kind


def journal_mode(
    folder: Path, mounts: Path = MOUNTS, sqlite: tuple[int, int, int] = sqlite3.sqlite_version_info
) -> str:
    """Choose the journal that is sound here; warn about a network drive."""
    kind = file_system(folder, mounts)
    if kind in NETWORK or (kind.startswith("fuse.") and kind != "fuse.snapfuse"):
        warn(
            f"The cache folder {folder} is on a network or user-space drive ({kind}), where locks may not hold. "
            "Set QWENNB_CACHE_DIR to a folder on a local disk."
        )
        return "persist"
    return "wal" if sqlite >= WAL_IS_SOUND else "persist"


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Let only one process at a time make or mend the files in *folder*. Held for milliseconds."""
    file = take_lock(folder / "lock")
    assert file is not None  # it is had, for it was waited for
    with file:
        yield


def take_lock(path: Path, *, wait: bool = True) -> IO[bytes] | None:
    """Lock the file *path*, made where it is missing, until it is closed; None where another has it and no *wait* is wanted."""
    try:
        file = open_lock_file(path)
    except OSError as error:
        raise CacheError(f"The cache folder {path.parent} can't be written ({error.strerror}).") from error
    has_it = False
    try:
        has_it = lock(file, wait=wait)
    except OSError as error:  # a file system without locks
        raise CacheError(f"The cache folder {path.parent} can't be locked ({error.strerror}).") from error
    finally:
        if not has_it:  # nor after an interrupt, whose traceback may be kept for as long as the session
            file.close()
    return file if has_it else None


# ---------------------------------------------------------------------- the file


@dataclass(frozen=True, slots=True)
class FileForm:
    """What makes a file ours."""

    name: str
    application: int
    version: int
    schema: tuple[str, ...]
    contents: tuple[str, ...] = ()
    """What a new file is filled with."""


def connect(
    path: Path, *, wait: float, access: str = "rw", pragmas: Sequence[str] = (), journal: str | None = None
) -> sqlite3.Connection:
    """Open a connection that trusts nothing in the file, never makes one, and leaves transactions to us."""
    connection = _connect(path, access, wait)
    try:
        for pragma in (*TRUST_NOTHING, "synchronous = FULL", *pragmas):
            connection.execute(f"PRAGMA {pragma}").fetchall()
        if journal is not None:
            with suppress(sqlite3.OperationalError):  # others have it open with another journal: theirs holds
                connection.execute(f"PRAGMA journal_mode = {journal}").fetchall()
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


class Connection:
    """One connection to the file at *path*, opened when it is needed. Only one thread at a time may use it."""

    def __init__(self, path: Path, connect: Callable[[], sqlite3.Connection]) -> None:
        self._path, self._connect = path, connect
        self._opened: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._is_closed = False

    def get(self) -> sqlite3.Connection:
        """Return the open connection; open one where there is none."""
        if self._opened is None:
            if self._is_closed:
                raise CacheError("The cache was closed. Open it again.")
            self._file = identity(self._path)
            self._opened = self._connect()
        return self._opened

    def select(self, query: str, *arguments: object) -> list[Any]:
        """Read the rows of *query* in the file that lies there now, all at once: a cursor left open would keep its lock."""
        try:
            now = identity(self._path)
        except OSError:  # the folder can't be looked into any more; what is open can still be read
            now = None
        if now is not None and now != self._file:
            self.close()  # another process has put the old file aside: its journal has the name of the new file's
        return (self._opened or self.get()).execute(query, arguments).fetchall()

    def close(self, *, for_good: bool = False) -> None:
        """Close the connection. The next use opens a new one, unless it was *for_good*."""
        self._is_closed = self._is_closed or for_good
        if self._opened is not None:
            self._opened.close()
            self._opened = None


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


def make(path: Path, form: FileForm, *, aside: bool = False) -> None:
    """Make *path*; a damaged one goes *aside*. The caller holds the folder's lock."""
    new = path.with_name(path.name + ".new")
    create(new, form)
    swap(new, path, aside=aside)


def has_form(path: Path, folder: Path, form: FileForm) -> bool:
    """Tell whether *path* is of this form. An empty file is not; refuse anything else, untouched.

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
        # After a crash, SQLite has first to undo a write.
        application, version = _try_access(partial(_look_at_header, path), "ro", "rw")
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
    """Open a connection that only reads, for a folder that can't be written or locked.

    Where SQLite can't have its locks or its log there, it is told that nobody writes. Should somebody do so all the same,
    a page may be read half written: every value is sealed, and one whose seal does not fit counts as not there.
    """
    return _try_access(partial(_look, path, folder, form), "ro", "ro&immutable=1")


def _try_access(look: Callable[[str], T], access: str, otherwise: str) -> T:
    """Have a *look* with the one access, or with the other where SQLite does not grant it."""
    try:
        return look(access)
    except sqlite3.OperationalError as error:
        if is_waiting(error):
            raise
        return look(otherwise)


def _look(path: Path, folder: Path, form: FileForm, access: str) -> sqlite3.Connection:
    connection = connect(path, access=access, wait=0, pragmas=("query_only = ON",))
    try:
        _refuse_others(*_read_header(connection), folder, form)
        inspect(connection, folder, form)
    except BaseException:
        connection.close()
        raise
    return connection


def _look_at_header(path: Path, access: str) -> tuple[int, int]:
    with closing(_connect(path, access, wait=0)) as connection:
        # Else SQLite would refuse, before anything can be known, a file that was cut short.
        connection.execute("PRAGMA writable_schema = ON")
        return _read_header(connection)


def _read_header(connection: sqlite3.Connection) -> tuple[int, int]:
    """Read whose the file is, and in which format."""
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
    for suffix in COMPANIONS:
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
    for suffix in (*COMPANIONS, ""):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def identity(path: Path) -> tuple[int, int] | None:
    """Tell which file has this name now."""
    try:
        facts = path.stat()
    except FileNotFoundError:
        return None
    return facts.st_dev, facts.st_ino


def is_damage(error: sqlite3.Error) -> bool:
    """Tell whether SQLite found the file itself broken. Text that can't be decoded has no code at all."""
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
    """Tell whether it is the disk or its permissions that failed, and not what is in the file."""
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", 0) & 0xFF in _OF_THE_DISK
    return isinstance(error, OSError)


def is_waiting(error: sqlite3.Error) -> bool:
    """Tell whether another connection holds the file just now."""
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


def use_file(
    work: Callable[[], T], folder: Path, what: str, seconds: float, mend: Callable[[], bool] = lambda: False
) -> T:
    """Do *work* with a file in *folder*, patiently; where it is damaged, *mend* it, and try once more if that was of use.

    What goes wrong all the same is said in one sentence: by what SQLite says, or else by *what*.
    """
    deadline = time.monotonic() + seconds
    try:
        try:
            return patiently(work, seconds)
        except sqlite3.DatabaseError as error:
            if not (is_damage(error) and mend()):
                raise
        return patiently(work, deadline - time.monotonic())
    except sqlite3.DatabaseError as error:
        raise explain(error, folder) from error
    except OSError as error:
        raise CacheError(f"{what} ({error.strerror}).") from error


def explain(error: sqlite3.Error, folder: Path) -> CacheError:
    """Say in one sentence what SQLite's error means for the user."""
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
