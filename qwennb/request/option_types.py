"""The type of each option that a user may type: checked here, and refused in one sentence.

A check takes an option's name and what was given, and gives back the value as it is kept. `number`, `text`, `flag`,
`one_of` make the checks; who has options of its own (a call, a column, a client) has a table of them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qwennb.errors import BadInput, nearest, show_value

Check = Callable[[str, Any], Any]


def check_options(given: Callable[[str], Any], checks: Mapping[str, Check]) -> dict[str, Any]:
    """The options that were not left alone, each checked. *given* tells the value of one by its name, None for no value."""
    kept: dict[str, Any] = {}
    for name, check in checks.items():
        if (value := given(name)) is not None:
            kept[name] = check(name, value)
    return kept


def text(what: str = "text", *, empty: bool = False) -> Check:
    """Make a check for text that is *what* the sentence calls it."""

    def check(name: str, value: Any) -> str:
        if not isinstance(value, str) or not (empty or value.strip()):
            raise BadInput(f"{name}={show_value(value)} must be {what}.")
        check_characters(name, value)
        return str.__str__(value)

    return check


def check_characters(name: str, value: str) -> None:
    """Refuse half a character (a lone surrogate), which no file and no server can hold."""
    if not value.isascii() and (half := re.search("[\ud800-\udfff]", value)):
        raise BadInput(
            f"{name} holds half a character, {half[0]!a}, which can't be sent. Where the text was read, give the right encoding."
        )


def one_of(*known: Any) -> Check:
    """Make a check for one of a few words; True is not 1 here."""

    def check(name: str, value: Any) -> Any:
        if not any(value is word or (type(value) is type(word) and value == word) for word in known):
            close = (
                nearest(value, [word for word in known if isinstance(word, str)])
                if isinstance(value, str)
                else ""
            )
            raise BadInput(
                f"{name}={show_value(value)} is not known{close or '.'} Use {', '.join(map(repr, known))}."
            )
        return value

    return check


def several(what: str) -> Check:
    """Make a check for a list or tuple of *what*; a set has no order."""

    def check(name: str, value: Any) -> Any:
        if not isinstance(value, list | tuple):
            raise BadInput(f"{name}= takes a list of {what}, not {type(value).__name__}.")
        return value

    return check


def folder(name: str, value: Any) -> Path:
    """Check a folder's path."""
    if not isinstance(value, str | os.PathLike) or not str(value).strip():
        raise BadInput(f"{name}={show_value(value)} is not a folder's path.")
    return Path(value)


def file_path(name: str, value: Any) -> Path:
    """Check a file's path."""
    if not isinstance(value, str | os.PathLike) or not str(value).strip() or "\0" in str(value):
        raise BadInput(f"{name} {show_value(value)} is not a file's path.")
    check_characters(name, str(value))
    return Path(value)


def anything(name: str, value: Any) -> Any:
    """Take anything: it is checked where it is read."""
    return value


@dataclass(frozen=True, slots=True)
class NumberCheck:
    """A check for a number: its bounds, and whether it is whole. With `above`, larger than that."""

    low: float | None
    high: float | None
    whole: bool
    above: float | None

    def __call__(self, name: str, value: Any) -> Any:
        """Give back *value* as a plain number, or refuse it."""
        kind = "__index__" if self.whole else "__float__"  # as numpy's numbers have them too
        low, high, above = self.low, self.high, self.above
        try:
            if isinstance(value, bool | str) or not hasattr(value, kind):
                raise TypeError
            number = int(value) if hasattr(value, "__index__") else float(value)
        except (TypeError, ValueError, OverflowError):
            raise BadInput(
                f"{name}={show_value(value)} is not a {'whole ' if self.whole else ''}number."
            ) from None
        if above is not None and not number > above:
            raise BadInput(
                f"{name}={show_value(value)} must be a {'whole ' if self.whole else ''}number above {above:g}."
            )
        if number != number or (low is not None and number < low) or (high is not None and number > high):
            limits = f"from {low} to {high}" if high is not None else f"at least {low}"
            raise BadInput(f"{name}={show_value(value)} is out of range: it must be {limits}.")
        return number


def number(
    low: float | None = None, high: float | None = None, *, whole: bool = False, above: float | None = None
) -> NumberCheck:
    """Make a check for a number in a range."""
    return NumberCheck(low, high, whole, above)


def flag(name: str, value: Any) -> bool:
    """Check for True or False."""
    if not isinstance(value, bool):
        raise BadInput(f"{name}={show_value(value)} must be True or False.")
    return value
