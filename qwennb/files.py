"""Files of our own: written in one step, for their owner alone, locked against other processes.

What goes wrong is an OSError. Each caller says in a sentence of its own what it means there.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
import sys
import threading
import time
import weakref
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

# What a file system answers that can't sync a folder (some network drives), or a folder that can't be read, only written to.
_NO_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EACCES)


def replace_file(
    path: Path, content: bytes | Iterable[bytes], *, private: bool = True, durable: bool = False
) -> None:
    """Have *path* hold *content*, in one step: whoever looks finds the old file or the new one, whole.

    A *private* file is its owner's alone; another keeps the permissions that it has, or gets what the umask says. A *durable* one
    outlasts a crash of the machine from here on.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    mode = 0o600 if private else stat.S_IMODE(path.stat().st_mode) if path.is_file() else 0o666
    try:
        with open(draft, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            file.writelines([content] if isinstance(content, bytes) else content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        draft.replace(path)
        if durable:
            sync_folder(path.parent)
    finally:
        with suppress(OSError):
            draft.unlink()


def sync_folder(folder: Path) -> None:
    """Have the names of new files in *folder* outlast a crash. Windows knows no such thing."""
    if os.name != "posix":
        return
    try:
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise


def open_private(path: Path, mode: str, buffering: int = -1) -> IO[Any]:
    """Open *path* as `open` does, never through a link; where it is made, for its owner alone (0600)."""
    link = getattr(os, "O_NOFOLLOW", 0)
    return open(path, mode, buffering, opener=lambda name, flags: os.open(name, flags | link, 0o600))


# A lock belongs to the open file, and a forked process inherits that: the lock would last until both have let go, and a child
# that waits for it would wait for itself. So a child closes what it has inherited; no fork comes between opening and noting.
_lock_files: weakref.WeakSet[IO[Any]] = weakref.WeakSet()
_no_fork = threading.Lock()


def open_lock_file(path: Path) -> IO[Any]:
    """Open the file at *path*, made where it is missing, to `lock` it; in processes forked from this one it is closed."""
    with _no_fork:
        file = open_private(path, "ab")
        _lock_files.add(file)
    return file


def _close_in_child() -> None:
    for file in list(_lock_files):
        with suppress(OSError):
            file.close()
    _lock_files.clear()
    _no_fork.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_no_fork.acquire, after_in_parent=_no_fork.release, after_in_child=_close_in_child
    )


def make_private_folder(folder: Path) -> os.stat_result:
    """Make *folder* where it is missing, for its owner alone (0700); what is known of it then."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder.stat()


def is_foreign(facts: os.stat_result) -> bool:
    """Tell whether a file or folder with these *facts* belongs to another user."""
    return os.name == "posix" and facts.st_uid != os.geteuid()


def is_writable_by_others(facts: os.stat_result) -> bool:
    """Tell whether other users can write to a file or folder with these *facts*."""
    return os.name == "posix" and bool(facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH))


if sys.platform == "win32":
    import msvcrt

    def _try_lock(file: int) -> bool:
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except PermissionError:  # another has it
            return False
        return True

    def lock(file: IO[Any], *, wait: bool = True) -> bool:
        """Lock *file* until it is closed, or its process ends; False where another has it and no *wait* is wanted."""
        while not (has_it := _try_lock(file.fileno())) and wait:
            time.sleep(0.1)
        return has_it
else:
    import fcntl

    def lock(file: IO[Any], *, wait: bool = True) -> bool:
        """Lock *file* until it is closed, or its process ends; False where another has it and no *wait* is wanted."""
        try:
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
