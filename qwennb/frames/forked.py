"""polars after a fork: its threads stay with the parent, and a child would wait for them for ever. We say so instead."""

from __future__ import annotations

import os
from pathlib import Path

from qwennb.errors import BadInput

_lost = False  # this process was forked from one in which polars had threads
_leaves = False  # the fork that is under way leaves them behind


def refuse_after_fork() -> None:
    """Refuse to begin a column in a process in which polars would stand still."""
    if _lost:
        raise BadInput(
            "This process was forked after polars had been used, and polars would wait in it for threads that only the "
            'parent has. Start it with multiprocessing.get_context("spawn"), or ask without a table: ask_many([…]).'
        )


def _look() -> None:
    global _leaves
    try:
        names = [file.read_text() for file in Path("/proc/self/task").glob("*/comm")]
    except OSError:  # a thread that has just ended
        _leaves = True
    else:
        _leaves = not names or any(name.startswith("polars-") and name[7:8].isdigit() for name in names)


def _note_loss() -> None:
    global _lost
    _lost = _lost or _leaves


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_look, after_in_child=_note_loss)
