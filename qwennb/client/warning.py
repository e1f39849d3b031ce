"""What a user should know and nobody asked for, said at the line that called into qwennb."""

from __future__ import annotations

from qwennb.terminal import Readable
from qwennb.warn import warn_user


class QwenWarning(Readable, UserWarning):
    """Something a user should know: a budget nearly spent, an answer cut short, an endpoint chosen by probing."""


def tell(words: str) -> None:
    """Warn of *words* at the user's line."""
    warn_user(words, QwenWarning)
