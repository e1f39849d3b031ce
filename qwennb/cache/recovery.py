"""Recovering what is whole in a damaged file of answers.

It works on a copy. Its first page is replaced by the first page of a new file, which is always the same but for
the number of pages; then every row that a walk through the table can reach and whose seal fits goes into a new file.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import BinaryIO

from qwennb.cache import database
from qwennb.cache.record import unseal
from qwennb.cache.table import FORM, SEALED, fill


def recover(path: Path, wait: float) -> tuple[int, int]:
    """Put the damaged *path* aside as `.corrupt-<n>` and what is whole in it into its place: N of M rows.

    The caller holds the folder's lock. Another process that has the old file open can't commit to it meanwhile, and
    sees before its next commit that the file has moved.
    """
    new, copy = path.with_name(path.name + ".new"), path.with_name(path.name + ".copy")
    with ExitStack() as hold:
        try:  # this also undoes an unfinished write, where the damage allows
            hold.enter_context(closing(database.connect(path, wait=wait))).execute("BEGIN EXCLUSIVE")
        except sqlite3.DatabaseError as error:
            if not database.is_damage(error):
                raise
        # Open until the file has moved: closing any handle on a file lets go of all this process's locks on it.
        _graft(hold.enter_context(path.open("rb")), path, copy)
        with closing(database.connect(copy, wait=0)) as source:
            kept, counted = fill(new, _whole(source)), _count_rows(source)
        database.clear(copy)
        database.swap(new, path, aside=True)
    return kept, max(kept, counted)


def _graft(damaged: BinaryIO, path: Path, copy: Path) -> None:
    """Copy the damaged file (with its write-ahead log) and give the copy a sound first page."""
    database.create(copy, FORM)
    fresh = copy.read_bytes()
    with copy.open("wb") as target:
        shutil.copyfileobj(damaged, target, 2**20)
    if (log := path.with_name(path.name + "-wal")).exists():
        shutil.copyfile(log, copy.with_name(copy.name + "-wal"))
    size = max(copy.stat().st_size, len(fresh))
    with copy.open("r+b") as target:
        # The first page speaks of the roots of tables, which must be there, if only empty.
        target.truncate(size)
        journal = target.read(20)[18:20]  # whether a write-ahead log belongs to it
        if journal != b"\2\2":
            journal = fresh[18:20]
        pages = (size // database.PAGE).to_bytes(4, "big")
        target.seek(0)
        target.write(fresh[:18] + journal + fresh[20:28] + pages + fresh[32 : database.PAGE])


def _whole(source: sqlite3.Connection) -> Iterator[tuple[str, bytes]]:
    """Read the rows of a damaged table that can be reached and whose seal fits."""
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
    """Find the first row number from *start* on that can be read: each of the next thousands, then in wider steps."""
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


def _count_rows(source: sqlite3.Connection) -> int:
    with suppress(sqlite3.DatabaseError):
        for (count,) in source.execute("SELECT value FROM Settings WHERE key = 'count'").fetchall():
            if type(count) is int:
                return count
    return 0
