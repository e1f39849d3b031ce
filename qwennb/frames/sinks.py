"""No half table that looks finished: when our part in a sink fails, the file that it was writing goes too.

polars writes a sink's file itself and, when a function in the plan raises, leaves what there is: CSV and NDJSON cut off
after some row, Parquet and IPC mostly without their footer but, once in ten, with one. All of them read as a smaller
table. A file that was there before, and that polars has not begun to write (it sorts first, say), is left as it is: its
last change is older than the plan.

The path is read where it was given, on the stack of the call that we are part of: from the frame of `sink_csv` and its
siblings, or from the plans that `collect` and `collect_all` were given, sinks made with `lazy=True` among them. When one
plan of `collect_all` fails, all do, and the files of all of them go. Where there is any doubt a file stays: several calls
into polars are under way at once, or the sink writes to several files, to an open file or to a store elsewhere.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import FrameType, TracebackType

import polars as pl

from qwennb.frames.polars_calls import calls_under_way, find_own_call, frames_above

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
