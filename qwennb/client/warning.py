"""What a user should know and nobody asked for, said at the line that called into qwennb."""

from __future__ import annotations

import sys
import warnings

from qwennb.terminal import Readable


class QwenWarning(Readable, UserWarning):
    """Something a user should know: a budget nearly spent, an answer cut short, an endpoint chosen by probing."""


def tell(words: str) -> None:
    """Warn of *words* at the user's line."""
    warnings.warn(words, QwenWarning, stacklevel=_user_level())


def _user_level() -> int:
    """How far up the stack the line that called into qwennb stands, counted from whoever asks."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("qwennb."):
        level, frame = level + 1, frame.f_back
    return level
