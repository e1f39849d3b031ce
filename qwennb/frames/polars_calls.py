"""Whose call is this? The calls into polars that are under way in this process, read from the stacks of its threads.

polars tells a Python function nothing of the plan that it stands in. But while the function runs, the call that the plan
is evaluated by (`collect`, `sink_parquet`, `select` …) still stands on some thread's stack. Its entry is the outermost
frame of polars in an unbroken run of them, below our own function: a frame, and so an identity, and where it ends the
evaluation ends too.

After a fork polars' threads stay with the parent, and a child would wait for them for ever. We say so instead.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import polars as pl

from qwennb.collector import stack_guard
from qwennb.errors import BadInput

_ROOM = __name__.rpartition(".")[0]
OURS = (f"{_ROOM}.evaluator", "batch")  # the module and the name of the function that polars calls
_POLARS = str(Path(pl.__file__).parent)


def find_own_call() -> FrameType | None:
    """The entry into polars on the caller's own thread; None where polars called from a thread of its own."""
    return _entry(sys._getframe())


def calls_under_way() -> list[FrameType]:
    """The entry into polars of every thread that is in it."""
    with stack_guard:
        return [entry for frame in sys._current_frames().values() if (entry := _entry(frame)) is not None]


def standing_frames() -> set[int]:
    """The `id` of every frame of every thread: inside a function of the user's the entry is not the nearest of polars'."""
    with stack_guard:
        return {id(frame) for top in sys._current_frames().values() for frame in _down(top)}


def frames_above(entry: FrameType) -> list[FrameType]:
    """Polars' frames from the top of the stack that *entry* stands in down to it; none where it has gone."""
    with stack_guard:
        for top in sys._current_frames().values():
            above = []
            for frame in _down(top):
                above.append(frame)
                if frame is entry:
                    return [frame for frame in above if _is_of_polars(frame)]
    return []


def _entry(frame: FrameType | None) -> FrameType | None:
    """The entry into polars in a stack: below our own function, the outermost of an unbroken run of polars' frames."""
    # What our function does with polars itself, rendering prompts, is nobody's evaluation: begin below it.
    for below in _down(frame):
        if below.f_code.co_name == OURS[1] and below.f_globals.get("__name__") == OURS[0]:
            frame = below
    while frame is not None and not _is_of_polars(frame):
        frame = frame.f_back
    while frame is not None and frame.f_back is not None and _is_of_polars(frame.f_back):
        frame = frame.f_back
    # On a thread of polars' own, the frames that called us are polars' too, and nothing stands below them.
    if frame is None or frame.f_back is None:
        return None
    # `collect_batches` is entered anew for every piece that is taken from it, and goes on in between.
    if frame.f_code.co_name == "__next__":
        return None
    return None if str(frame.f_back.f_globals.get("__name__")).startswith(_ROOM) else frame


def _down(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _is_of_polars(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith(_POLARS)


# ---------------------------------------------------------------------- after a fork

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
