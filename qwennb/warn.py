"""Warnings, at the line of the user's that called into qwennb."""

from __future__ import annotations

import sys
import warnings
from pathlib import PurePath

_NOT_THE_USERS = ("qwennb.", "polars.", "IPython.", "ipykernel.")


def warn_user(message: str, category: type[Warning]) -> None:
    """Warn at the user's own line that called into qwennb, however deep we are.

    A notebook's cell has another file name in every kernel; as that line is saved, and compared when the notebook is run
    again, it is called "cell" here.
    """
    frame = sys._getframe(1)
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).startswith(_NOT_THE_USERS):
        frame = frame.f_back
    file, line = frame.f_code.co_filename, frame.f_lineno
    if PurePath(file).parent.name.startswith("ipykernel_") or file.startswith("<ipython-input"):
        warnings.warn_explicit(message, category, "cell", line)
        return
    names = frame.f_globals
    warnings.warn_explicit(
        message, category, file, line, names.get("__name__"), names.setdefault("__warningregistry__", {})
    )
