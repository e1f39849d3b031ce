"""Where a store may lie: the folder, its files, and the rules both must keep.

A store holds people's prompts, and it is read back with trust. So it lies in a folder of one's own that nobody else can
write (0700 where we make it), in plain files of one's own (0600), never behind a symbolic link. Whatever breaks
a rule is refused with the command that mends it; nothing is touched.

The journal is chosen by two facts. SQLite before 3.51.3 can, rarely, corrupt a write-ahead log that two processes write
at once, and a write-ahead log needs memory shared between processes, which a network file system has not: there
the older rollback journal is used, kept between commits ("persist": as safe as cutting it off each time, and four times
as fast). A network file system may also fail to lock, so it is warned about.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qwennb.errors import CacheError, CacheWarning
from qwennb.files import is_foreign, is_writable_by_others, lock, make_private_folder, open_lock_file
from qwennb.warn import warn_user

__all__ = [
    "CacheWarning",
    "file_system",
    "journal_mode",
    "lock_folder",
    "safe_file",
    "safe_folder",
    "warn",
]

MOUNTS = Path("/proc/mounts")
NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "lustre", "gpfs", "beegfs", "fuse"}
)
WAL_IS_SOUND = (3, 51, 3)
COMPANIONS = ("-journal", "-wal", "-shm")
# The end of a journal that names a second journal. SQLite would open and delete the file it names; ours never has one.
NAMES_ANOTHER = bytes.fromhex("d9d505f920a163d7")


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
    """Whether the database *path* is there. One that is not plainly ours is refused, and so are its companions."""
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
    """The kind of file system that *folder* lies on, or "" where the system does not tell."""
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
        point = Path(
            fields[1].encode("latin-1", "replace").decode("unicode_escape")
        )  # a space is written \040
        if (
            at.is_relative_to(point) and len(point.parts) >= depth
        ):  # of two on one point, the later lies on top
            kind, depth = fields[2], len(point.parts)
    return kind


def journal_mode(
    folder: Path, mounts: Path = MOUNTS, sqlite: tuple[int, int, int] = sqlite3.sqlite_version_info
) -> str:
    """The journal that is sound here; a network drive is warned about."""
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
    """Only one process at a time makes or mends the files in *folder*. Held for milliseconds."""
    try:
        file = open_lock_file(folder / "lock")
    except OSError as error:
        raise CacheError(f"The cache folder {folder} can't be written ({error.strerror}).") from error
    with file:
        try:
            lock(file)
        except OSError as error:  # a file system without locks
            raise CacheError(f"The cache folder {folder} can't be locked ({error.strerror}).") from error
        yield
