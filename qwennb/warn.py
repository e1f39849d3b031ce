"""Warnings, at the line of the user's that called into qwennb."""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import PurePath
from types import FrameType

# What may stand between the user's line and us, beside the standard library.
_BETWEEN = frozenset(
    [
        "qwennb",
        "polars",
        "pandas",
        "duckdb",
        "openai",
        "httpx",
        "httpx2",
        "httpcore",
        "httpcore2",
        "anyio",
        "uvloop",
        "IPython",
        "ipykernel",
        "ipywidgets",
        "traitlets",
        "tornado",
        "zmq",
        "jupyter_client",
        "comm",
    ]
)
_CELL = "cell"


def warn_user(message: str, category: type[Warning]) -> None:
    """Warn at the user's own line that called into qwennb, however deep we are.

    A notebook's cell has another file name in every kernel; as that line is saved, and compared when the notebook is run
    again, it is called "cell" here.
    """
    frame = _user_frame()
    if frame is None:  # a task of a notebook's own loop: which cell began it is not known
        warnings.warn_explicit(message, category, _CELL, 1)
        return
    file, line = frame.f_code.co_filename, frame.f_lineno
    if PurePath(file).parent.name.startswith("ipykernel_") or file.startswith("<ipython-input"):
        warnings.warn_explicit(message, category, _CELL, line)
        return
    names = frame.f_globals
    warnings.warn_explicit(
        message, category, file, line, names.get("__name__"), names.setdefault("__warningregistry__", {})
    )


def _user_frame() -> FrameType | None:
    """The innermost frame of the user's on this thread; else on the thread that waits for what this one does."""
    if (frame := _innermost(sys._getframe(1))) is not None:
        return frame
    threads = sys._current_frames()
    others = [frame for number, frame in threads.items() if number != threading.get_ident()]
    in_polars = [frame for frame in others if any(_room(one) == "polars" for one in _stack(frame))]
    main = threads.get(threading.main_thread().ident or 0)
    for candidate in [*(in_polars if len(in_polars) == 1 else ()), main]:
        if (frame := _innermost(candidate)) is not None:
            return frame
    return None


def _innermost(frame: FrameType | None) -> FrameType | None:
    return next((one for one in _stack(frame) if _is_users(one)), None)


def _stack(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _is_users(frame: FrameType) -> bool:
    room = _room(frame)
    if room == "__main__":
        return not frame.f_code.co_filename.endswith("ipykernel_launcher.py")
    return room not in _BETWEEN and room not in sys.stdlib_module_names


def _room(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__")).partition(".")[0]
