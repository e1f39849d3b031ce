"""The type of each option that a user may type: checked here, and refused in one sentence.

A check takes an option's name and what was given, and gives back the value as it is kept. `number`, `text`, `flag`,
`one_of` make the checks; who has options of its own (a call, a column, a client) has a table of them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson

from qwennb.errors import BadInput, nearest, show_value
from qwennb.request.canonical import canonical_json

Check = Callable[[str, Any], Any]


def check_options(given: Mapping[str, Any], checks: Mapping[str, Check]) -> dict[str, Any]:
    """Those of *given* that were not left alone, each checked."""
    return {name: checks[name](name, value) for name, value in given.items() if value is not None}


def text(what: str = "text", *, empty: bool = False) -> Check:
    """A check for text that is *what* the sentence calls it."""

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
    """A check for one of a few words; True is not 1 here."""

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
    """A check for a list or tuple of *what*; a set has no order."""

    def check(name: str, value: Any) -> Any:
        if not isinstance(value, list | tuple):
            raise BadInput(f"{name}= takes a list of {what}, not {type(value).__name__}.")
        return value

    return check


def folder(name: str, value: Any) -> Path:
    """A folder's path."""
    if not isinstance(value, str | os.PathLike) or not str(value).strip():
        raise BadInput(f"{name}={show_value(value)} is not a folder's path.")
    return Path(value)


def file_path(name: str, value: Any) -> Path:
    """A file's path."""
    if not isinstance(value, str | os.PathLike) or not str(value).strip() or "\0" in str(value):
        raise BadInput(f"{name} {show_value(value)} is not a file's path.")
    check_characters(name, str(value))
    return Path(value)


def anything(name: str, value: Any) -> Any:
    """What is checked where it is read."""
    return value


def number(
    low: float | None = None, high: float | None = None, *, whole: bool = False, above: float | None = None
) -> Check:
    """A check for a number in a range; with *above*, larger than that."""
    kind = "__index__" if whole else "__float__"  # as numpy's numbers have them too

    def check(name: str, value: Any) -> Any:
        try:
            if isinstance(value, bool | str) or not hasattr(value, kind):
                raise TypeError
            number = int(value) if hasattr(value, "__index__") else float(value)
        except (TypeError, ValueError, OverflowError):
            raise BadInput(
                f"{name}={show_value(value)} is not a {'whole ' if whole else ''}number."
            ) from None
        if above is not None and not number > above:
            raise BadInput(
                f"{name}={show_value(value)} must be a {'whole ' if whole else ''}number above {above:g}."
            )
        if number != number or (low is not None and number < low) or (high is not None and number > high):
            limits = f"from {low} to {high}" if high is not None else f"at least {low}"
            raise BadInput(f"{name}={show_value(value)} is out of range: it must be {limits}.")
        return number

    return check


def _thinking(name: str, value: Any) -> Any:
    levels = ("low", "medium", "high")
    if isinstance(value, bool) or (isinstance(value, str) and value in levels):
        return value
    if isinstance(value, int) and value > 0:
        return value
    raise BadInput(
        f"{name}={show_value(value)} is not known: use None, True, False, {', '.join(map(repr, levels))} or a budget in tokens."
    )


def _stop(name: str, value: Any) -> tuple[str, ...]:
    stops = (value,) if isinstance(value, str) else value
    if (
        not isinstance(stops, list | tuple)
        or not stops
        or not all(isinstance(stop, str) and stop for stop in stops)
    ):
        raise BadInput(f"{name}={show_value(value)} must be text or a list of texts, none of them empty.")
    return tuple(sorted(set(stops)))  # whichever comes first in the answer ends it: their order says nothing


def _logit_bias(name: str, value: Any) -> tuple[tuple[int, float], ...] | None:
    try:
        biases = {int(str(token)): number(-100, 100)(name, bias) for token, bias in dict(value).items()}
        return tuple(sorted(biases.items())) or None
    except BadInput:
        raise
    except (TypeError, ValueError):
        raise BadInput(f"{name}= must map token ids to numbers from -100 to 100.") from None


def _logprobs(name: str, value: Any) -> int | None:
    if isinstance(value, bool):
        return 0 if value else None
    return int(number(0, 20, whole=True)(name, value))


def _sample(name: str, value: Any) -> int | None:
    # The first draw is the plain question.
    return int(number(0, None, whole=True)(name, value)) or None


def _tool_choice(name: str, value: Any) -> str:
    if isinstance(value, Mapping):
        inner = value.get("function", value)
        value = inner.get("name") if isinstance(inner, Mapping) else None
    if not isinstance(value, str) or not value:
        raise BadInput(f'{name}= must be "auto", "none", "required" or a tool\'s name.')
    return value


def flag(name: str, value: Any) -> bool:
    """True or False."""
    if not isinstance(value, bool):
        raise BadInput(f"{name}={show_value(value)} must be True or False.")
    return value


def _extra(name: str, value: Any) -> str | None:
    if isinstance(value, str):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            value = None
    if not isinstance(value, Mapping):
        raise BadInput(f"{name}= must be a dict of fields to pass through.")
    if "n" in value:
        raise BadInput(
            "n is not passed through: no hosted endpoint draws several answers at once. Use sample=0, 1, 2 …"
        )
    return canonical_json(value).decode() if value else None


SETTING_CHECKS: dict[str, Check] = {
    "thinking": _thinking,
    "temperature": number(0, 2),
    "top_p": number(0, 1),
    "top_k": number(0, None, whole=True),
    "min_p": number(0, 1),
    "max_tokens": number(1, None, whole=True),
    "seed": number(0, 2**63 - 1, whole=True),
    "stop": _stop,
    "presence_penalty": number(-2, 2),
    "frequency_penalty": number(-2, 2),
    "repetition_penalty": number(0, 10),
    "logit_bias": _logit_bias,
    "logprobs": _logprobs,
    "tool_choice": _tool_choice,
    "search": flag,
    "sample": _sample,
    "extra": _extra,
}
