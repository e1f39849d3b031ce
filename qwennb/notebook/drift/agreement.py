"""How far two answers to one question agree, by the kind of answer.

    choice      equal or not
    number      equal within a tolerance, relative to the larger of the two
    schema      field by field: the share of the fields that agree
    tool call   as a schema: which function, and each of its arguments
    text        the words that both have in the same order, as a share of the words of both (ROUGE-L)

A text agrees wholly when its words are the same: capitals, punctuation and line breaks are not counted.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from qwennb.answer import Answer, read_form
from qwennb.request import parse_json

Kind = Literal["choice", "number", "schema", "tool call", "text"]
KINDS: tuple[Kind, ...] = ("choice", "number", "schema", "tool call", "text")

# Chinese, Japanese and Korean are written without spaces: there each character counts as a word.
_ALONE = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_WORD = re.compile(rf"[{_ALONE}]|[^\W{_ALONE}]+")
_NOTHING = object()


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far two answers agree: from 0 to 1, and which fields do not."""

    kind: Kind
    share: float
    fields: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether they are not the same."""
        return self.share < 1.0


def agreement(before: Answer, after: Answer | None, *, tolerance: float = 0.01) -> Agreement:
    """Measure how far *after* says what *before* said; not at all where there is none."""
    kind = kind_of(before)
    if after is None:
        return Agreement(kind, 0.0)
    if kind == "choice":
        return Agreement(kind, float(_choice(before) == _choice(after)))
    if kind == "text":
        if before.tool_calls or after.tool_calls:
            return Agreement(kind, 0.0)  # one gave an answer where the other called a tool
        return Agreement(kind, similarity(before.text, after.text))
    old, new = _leaves(before), _leaves(after)
    names = list(dict.fromkeys([*old, *new]))
    differ = [n for n in names if not _same(old.get(n, _NOTHING), new.get(n, _NOTHING), tolerance)]
    share = 1.0 - len(differ) / len(names) if names else 1.0
    return Agreement(kind, share, tuple(differ) if kind != "number" else ())


def kind_of(answer: Answer) -> Kind:
    """Tell what kind of answer *answer* is."""
    if answer.tool_calls:
        return "tool call"
    if answer.request.choices is not None:
        return "choice"
    leaves = _leaves(answer)
    if len(leaves) == 1 and _is_number(next(iter(leaves.values()))):
        return "number"
    return "text" if _is_free(answer) else "schema"


def similarity(before: str, after: str) -> float:
    """Measure the longest sequence of words that both have, as a share of the words of both: 1 where they are the same."""
    old, new = words(before), words(after)
    if not old and not new:
        return float(before.split() == after.split())  # nothing but signs on both sides
    return 2 * _common(old, new) / (len(old) + len(new))


def words(text: str) -> list[str]:
    """Split *text* into its words, without capitals."""
    return _WORD.findall(text.casefold())


def _common(old: Sequence[str], new: Sequence[str]) -> int:
    """Measure the longest common subsequence, by the bits of one large number: a row of the table at a time."""
    places: dict[str, int] = {}
    for place, word in enumerate(old):
        places[word] = places.get(word, 0) | 1 << place
    row = all_ones = (1 << len(old)) - 1
    for word in new:
        met = row & places.get(word, 0)
        row = (row + met) | (row - met)
    return len(old) - (row & all_ones).bit_count()


def _is_free(answer: Answer) -> bool:
    """Tell free text, that of claims with quotes included."""
    return answer.request.schema is None or (answer.request.is_cited and answer.data is None)


def _leaves(answer: Answer) -> dict[str, Any]:
    """Collect the single values of an answer, by where they stand in it."""
    if answer.tool_calls:
        return dict(_flat([{call.name: _json(call.arguments)} for call in answer.tool_calls], ""))
    if _is_free(answer):
        number = _number(answer.text)
        return {} if number is None else {"": number}
    # As plain JSON: the schema's own classes are of no use in a comparison.
    return dict(_flat(_json(answer.text), ""))


def _choice(answer: Answer) -> str:
    try:
        return str(read_form(answer.request, answer.text))
    except ValueError:
        return _fold(answer.text)


def _json(text: str) -> Any:
    try:
        return parse_json(text)
    except ValueError:
        return text


def _flat(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping | list) and not value:
        yield path, str(value)
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _flat(inner, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from _flat(inner, f"{path}[{place}]")
    else:
        yield path, value


def _same(old: Any, new: Any, tolerance: float) -> bool:
    if _is_number(old) and _is_number(new):
        return math.isclose(old, new, rel_tol=tolerance)
    if isinstance(old, str) and isinstance(new, str):
        return _fold(old) == _fold(new)
    return type(old) is type(new) and bool(old == new)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(text: str) -> float | None:
    try:
        number = float(text.strip().replace(",", "").rstrip("%"))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _fold(text: str) -> str:
    return " ".join(text.split()).casefold()
