"""Reading JSON of which nothing is certain: what has another shape than it should counts as absent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def mapping(value: Any) -> Mapping[str, Any]:
    """*value* where it is an object, else an empty one."""
    return (
        value if isinstance(value, dict) else {}
    )  # what JSON is read into; the abstract class is slow to ask


def mappings(value: Any) -> list[Mapping[str, Any]]:
    """The objects in the list *value*; none where it is no list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def text(value: Any) -> str:
    """*value* where it is a string, else an empty one."""
    return value if isinstance(value, str) else ""


def number(value: Any) -> float | None:
    """*value* where it is a finite number of 0 or more."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < float("inf") else None
