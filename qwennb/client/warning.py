"""What a user should know and nobody asked for, said at the line that called into qwennb."""

from __future__ import annotations

from qwennb.errors import QwenWarning
from qwennb.warn import warn_user

__all__ = ["QwenWarning", "tell"]


def tell(words: str) -> None:
    """Warn of *words* at the user's line."""
    warn_user(words, QwenWarning)
