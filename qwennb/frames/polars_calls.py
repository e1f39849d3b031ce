"""Whose call is this? The calls into polars that are under way in this process, read from the stacks of its threads.

polars tells a Python function nothing of the plan that it stands in. But while the function runs, the call that the plan
is evaluated by (`collect`, `sink_parquet`, `select` …) still stands on some thread's stack. Its entry is the outermost
frame of polars in an unbroken run of them, below our own function: a frame, and so an identity, and where it ends the
evaluation ends too.

No half table that looks finished: when our part in a sink fails, the file that it was writing goes too.
polars writes a sink's file itself and, when a function in the plan raises, leaves what there is: CSV and NDJSON cut off
after some row, Parquet and IPC mostly without their footer but, once in ten, with one. All of them read as a smaller
table. A file that was there before, and that polars has not begun to write (it sorts first, say), is left as it is: its
last change is older than the plan.

The path is read where it was given, on the stack of the call that we are part of: from the frame of `sink_csv` and its
siblings, or from the plans that `collect` and `collect_all` were given, sinks made with `lazy=True` among them. When one
plan of `collect_all` fails, all do, and the files of all of them go. Where there is any doubt a file stays: several calls
into polars are under way at once, or the sink writes to several files, to an open file or to a store elsewhere.

After a fork polars' threads stay with the parent, and a child would wait for them for ever. We say so instead.
"""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from types import FrameType, TracebackType

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


# ---------------------------------------------------------------------- where it writes

GRAIN = 0.01  # seconds; the clock of a file system is a tick behind


class Sink:
    """The files that the call we are part of writes, if any. In a `with`, an error removes them."""

    def __init__(self, built: float) -> None:
        """*built* is when the plan was: what is older was written by somebody else."""
        self._built = built

    def __enter__(self) -> None:
        """Look at once: when something fails, the call may be over, and another may write the same file."""
        self._entry, self._targets = _around_us()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the files, where this ends in an error and the call still stands."""
        entry, self._entry = self._entry, None
        targets, self._targets = self._targets, []
        if kind is None or not targets or entry not in calls_under_way():
            return
        for path in filter(None, map(_path, targets)):
            with suppress(OSError):
                file = path.stat()
                if stat.S_ISREG(file.st_mode) and file.st_mtime >= self._built - GRAIN:
                    path.unlink()


def _around_us() -> tuple[FrameType | None, list[object]]:
    """The one call into polars that is under way, and where it writes: paths, or plans that name them."""
    own = find_own_call()
    all_of_them = calls_under_way()
    if own is None and len(all_of_them) != 1:
        return None, []
    entry = own or all_of_them[0]
    return entry, [target for frame in frames_above(entry) for target in _targets_of(frame)]


def _targets_of(frame: FrameType) -> Iterable[object]:
    name = frame.f_code.co_name
    if name.startswith("sink_"):
        return (frame.f_locals.get("path"),)
    if name == "collect":
        return (frame.f_locals.get("self"),)
    if name == "collect_all" and isinstance(plans := frame.f_locals.get("lazy_frames"), list | tuple):
        return plans
    return ()


def _path(target: object) -> Path | None:
    """The one local file that this is, or that this plan ends in."""
    if isinstance(target, pl.LazyFrame):
        with suppress(Exception):  # what polars tells about a plan is not promised by it
            target = read_sink_target(target)
    if isinstance(target, str):
        target = None if "://" in target else Path(target)
    return target.expanduser().resolve() if isinstance(target, Path) else None


def read_sink_target(plan: pl.LazyFrame) -> object:
    """Where a plan made by `sink_…(lazy=True)` writes.

    Private ground of polars, the only piece of it that we tread on: a plan says publicly neither that it ends in a sink
    nor where. tests/frames/test_sinks.py fails where polars moves it.
    """
    return json.loads(plan._ldf.visit().view_current_node().payload)["File"]["target"]["inner"]


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
