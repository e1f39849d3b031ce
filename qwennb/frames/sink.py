"""No half table that looks finished: when our part in a sink fails, the file that it was writing goes too.

polars writes a sink's file itself and, when a function in the plan raises, leaves what there is: Parquet and IPC without
the footer, so that nothing reads them; CSV and NDJSON cut off after some row, which read as a smaller table. A file that
was there before, and that polars has not begun to write (it sorts first, say), is left as it is: its last change is
older than the plan.

The path is read where it was given: from the frame of `sink_csv` and its siblings, on the stack of the call that we are
part of. Where there is any doubt the file stays: several calls into polars are under way at once, the sink is one of
`collect_all`, or writes to several files, to an open file or to a store elsewhere.
"""

from __future__ import annotations

import stat
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType, TracebackType

from qwennb.frames.evaluation import _entries, _entry, _is_polars

GRAIN = 0.01  # seconds; the clock of a file system is a tick behind


class Sink:
    """The sink that the call we are part of writes, if it is one. In a `with`, an error removes its file."""

    def __init__(self, built: float) -> None:
        """*built* is when the plan was: what is older was written by somebody else."""
        self._built = built

    def __enter__(self) -> None:
        """Look at once: when something fails, the call may be over, and another may write the same file."""
        self._entry, self._path = _around_us()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the file, where this ends in an error and the call still stands."""
        entry, self._entry = self._entry, None
        if kind is not None and self._path is not None and entry in _entries():
            with suppress(OSError):
                file = self._path.stat()
                if stat.S_ISREG(file.st_mode) and file.st_mtime >= self._built - GRAIN:
                    self._path.unlink()


def _around_us() -> tuple[FrameType | None, Path | None]:
    """The one call into polars that is under way, and the file that it writes."""
    own = _entry(sys._getframe())
    all_of_them = _entries()
    if own is None and len(all_of_them) != 1:
        return None, None
    entry = own or all_of_them[0]
    for top in sys._current_frames().values():
        below: FrameType | None = top
        path: Path | None = None
        while below is not None:
            path = _written_by(below) or path
            if below is entry:
                return entry, path
            below = below.f_back
    return None, None


def _written_by(frame: FrameType) -> Path | None:
    if not (frame.f_code.co_name.startswith("sink_") and _is_polars(frame)):
        return None
    path = frame.f_locals.get("path")
    if isinstance(path, str):
        path = None if "://" in path else Path(path)
    return path.expanduser().resolve() if isinstance(path, Path) else None
