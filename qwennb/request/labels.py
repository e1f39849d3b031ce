"""The labels that an answer is chosen from, in the order of the user, each with what it means.

A list, a dict `{label: what it means}`, an Enum or StrEnum class, `Literal[…]`, `pl.Enum` or another type with
categories. A set is refused: its order is another one in every process, and the order is part of the key.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from typing import Any, Literal, get_args, get_origin

from qwennb.errors import BadInput, show_value
from qwennb.request.option_types import check_characters


def read_labels(name: str, given: Any) -> dict[str, str]:
    """Read the labels that are *given* as *name*, each with its meaning; empty where nothing is said of it."""
    if isinstance(given, set | frozenset):
        order = ", ".join(sorted(repr(plain_label(label)) for label in given))
        raise BadInput(
            f"{name} is a set, whose order is another one in every process, and the order is part of what is asked. "
            f"Give a list: [{order}]."
        )
    if isinstance(given, Mapping):
        return {_label(name, label): _meaning(name, label, about) for label, about in given.items()}
    given = getattr(given, "__value__", given) if type(given).__name__ == "TypeAliasType" else given
    if get_origin(given) is Literal:
        given = get_args(given)
    elif (categories := getattr(given, "categories", None)) is not None and not callable(categories):
        given = list(categories)
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        shown = show_value(given) if isinstance(given, str | int | float) else _describe(given)
        raise BadInput(
            f"{name} is {shown}, and not a list of labels. Give a list, {{label: what it means}}, an Enum class, Literal[…] or pl.Enum."
        )
    labels = [_label(name, label) for label in given]
    if twice := next((label for label in labels if labels.count(label) > 1), None):
        raise BadInput(f"{name} names {show_value(twice)} twice. Name each label once.")
    return dict.fromkeys(labels, "")


def read_choices(name: str, given: Any) -> tuple[str, ...]:
    """Read the answers to choose from; what they mean belongs into the prompt."""
    labels = read_labels(name, given)
    if any(labels.values()):
        raise BadInput(
            f"{name} is a dict, and a question of your own says in its prompt what each answer means. "
            f"Write it there and give {name}={list(labels)}; classify(…) takes such a dict."
        )
    return tuple(labels)


def plain_label(label: Any) -> Any:
    """Make a label plain text, where it is a member of an Enum or text of another kind."""
    label = label.value if isinstance(label, enum.Enum) else label
    return str.__str__(label) if isinstance(label, str) else label


def _label(name: str, given: Any) -> str:
    label = plain_label(given)
    if not isinstance(label, str) or not label.strip():
        raise BadInput(f"{name} names {show_value(given)}, and a label is text that is not empty.")
    check_characters(name, label)
    return label


def _meaning(name: str, label: Any, about: Any) -> str:
    if about is not None and not isinstance(about, str):
        raise BadInput(
            f"{name} says of {show_value(label)} that it means {show_value(about)}, and a meaning is text."
        )
    check_characters(name, about or "")
    return " ".join(about.split()) if about else ""


def _describe(given: Any) -> str:
    return f"the class {given.__name__}" if isinstance(given, type) else f"a {type(given).__name__}"
