"""What a run has brought, for a pack: answers, lists of them, and frames that were made with `meta=True`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from qwennb.answer import Answer
from qwennb.cache import Memory, Name, Pack
from qwennb.errors import BadInput

_WAYS = "Give answers, or a frame that a column was asked for with meta=True."


def pack_run(memory: Memory, run: Iterable[Any]) -> Pack:
    """The pack of *run*. What failed, and what is not kept, is not in it."""
    answers: list[Answer] = []
    names: list[Name] = []
    for given in run:
        if isinstance(given, Answer):
            answers.append(given)
        elif type(given).__name__ == "LazyFrame":
            raise BadInput("The frame is lazy: nothing was asked yet. Collect it first, and pack what comes.")
        elif hasattr(given, "columns"):
            names += _names_in(given)
        elif isinstance(given, Iterable) and not isinstance(given, str | bytes):
            inner = list(given)
            if not all(isinstance(one, Answer) for one in inner):
                raise BadInput(f"There is nothing to pack in {type(given).__name__}. {_WAYS}")
            answers += inner
        else:
            raise BadInput(f"There is nothing to pack in {type(given).__name__}. {_WAYS}")
    return Pack.of_records(memory.records(names)) | Pack.of(answers)


def _names_in(frame: Any) -> list[Name]:
    """The names that stand in the meta columns of a polars or pandas frame."""
    found = [list(_names(frame[column])) for column in frame.columns]
    if not any(found):
        raise BadInput(f"The frame has no column that tells where its answers come from. {_WAYS}")
    return [name for names in found for name in names]


def _names(values: Iterable[Any]) -> Iterator[Name]:
    for value in values:
        if not isinstance(value, Mapping):
            if value is None:
                continue
            return  # another kind of column
        key, endpoint = value.get("key"), value.get("endpoint")
        if isinstance(key, str) and isinstance(endpoint, str) and len(key) == 64:
            yield Name(key, endpoint)
