"""Whether outputs differ, which is nbval's to say, and where: word by word, in a few lines for people.

What a reader sees comes first, Markdown above all, and data last: a saved file sorts the names in it, and what is
shown live does not, so data is compared by its places and values. Of each difference both sides are shown, the words
that differ in brackets:

    saved: The sky is [blue] today.
    now:   The sky is [green] today.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from itertools import islice
from types import SimpleNamespace
from typing import Any

from nbval.plugin import IPyNbCell, nocolors

from qwennb.answer import markup
from qwennb.notebook.verify.older_form import put_alike
from qwennb.notebook.verify.verdict import Difference, is_typed, tells_state
from qwennb.text import plural

SHOWN = 3  # differences of one output
AROUND = 6  # words before and after one
WIDTH = 80  # characters of what differs
MATCHED = 500  # words; a long text that is another from there on is not matched to its end
_PICTURES = ("image/png", "image/jpeg")
_WIDGET = "application/vnd.jupyter.widget-view+json"  # its ids are random
# What nbval passes over, as it stands in the cell's own collector, which can be had inside pytest only.
PASSED_OVER = (
    "metadata",
    "traceback",
    "prompt_number",
    "output_type",
    "name",
    "execution_count",
    _WIDGET,
    *_PICTURES,
)
_FIRST = ("error", "text/markdown", "stdout", "stderr", "text/plain", "text/html")
_NOTHING = "(nothing)"


class _Nbval:
    """What nbval's comparison asks of the cell that it is a method of, without the pytest around it."""

    compare_outputs = IPyNbCell.compare_outputs
    sanitize = IPyNbCell.sanitize
    parent = SimpleNamespace(skip_compare=PASSED_OVER, sanitize_patterns={})
    colors = nocolors

    def format_output_compare(self, *_: Any) -> None:
        """Say nothing of what differs: it is said better below."""


def find_difference(
    saved: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]
) -> Difference | None:
    """Compare the outputs *now* with those that were *saved*, but for a machine's state and what somebody typed."""
    before, after, _ = put_alike(kept_outputs(saved), kept_outputs(now))
    try:
        if _Nbval().compare_outputs(after, before):
            return None
    except Exception:  # noqa: S110  (nbval can't put some differences into words)
        pass
    return first_difference(before, after)


def kept_outputs(outputs: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Leave out what is no answer: a machine's state, and what somebody typed."""
    return [one for one in outputs if not (tells_state(one) or is_typed(one))]


def count_older(saved: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]) -> int:
    """Count the *saved* outputs whose form is an older one."""
    return put_alike(kept_outputs(saved), kept_outputs(now))[2]


def first_difference(saved: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]) -> Difference:
    """Find the first part, as a reader sees it, in which the outputs *now* are not those that were *saved*."""
    before, after = _parts(saved), _parts(now)
    for part in sorted(before.keys() | after.keys(), key=_rank):
        old, new = before.get(part, []), after.get(part, [])
        if old != new:
            return Difference(part, tuple(markup.plain(line) for line in _tell(old, new)))
    return Difference("output", ("the outputs come in another order",))


def count_redrawn(saved: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]) -> int:
    """Count the pictures that are not the bytes that were saved."""
    pairs = zip(_pictures(saved), _pictures(now), strict=False)
    return sum(one != other for one, other in pairs)


def _parts(outputs: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Sort what stands in *outputs* by what it is: a stream's name, a mime type, an error."""
    made: dict[str, list[Any]] = {}
    for output in outputs:
        kind = output["output_type"]
        if kind == "stream":
            made.setdefault(output["name"], []).append(output["text"])
        elif kind == "error":
            made.setdefault("error", []).append(f"{output['ename']}: {output['evalue']}")
        for mime, value in output.get("data", {}).items():
            if mime not in PASSED_OVER:
                made.setdefault(mime, []).append(value)
    return made


def _rank(part: str) -> tuple[int, bool, str]:
    return _FIRST.index(part) if part in _FIRST else len(_FIRST), part.endswith("json"), part


def _pictures(outputs: Sequence[Mapping[str, Any]]) -> list[str]:
    found = [output.get("data", {}).get(mime) for output in outputs for mime in _PICTURES]
    return ["".join(str(picture).split()) for picture in found if picture is not None]


# ---------------------------------------------------------------------- the lines


def _tell(old: list[Any], new: list[Any]) -> Iterator[str]:
    """Tell the first few differences, and that there are more."""
    if all(isinstance(value, str) for value in (*old, *new)):
        told = _tell_text("\n".join(old), "\n".join(new))
    else:
        told = _tell_data(old, new)
    first = [line for lines in islice(told, SHOWN) for line in lines]
    yield from first or [f"saved: as {plural(len(old), 'output')}", f"now:   as {plural(len(new), 'output')}"]
    if next(told, None) is not None:
        yield "… and more"


def _tell_data(old: list[Any], new: list[Any]) -> Iterator[list[str]]:
    several = max(len(old), len(new)) > 1
    before, after = (dict(_flatten(values if several else values[:1], "")) for values in (old, new))
    for where in sorted(before.keys() | after.keys()):
        one, other = before.get(where, ""), after.get(where, "")
        for lines in _tell_text(one, other):
            yield [f"{_shorten(where if several else where.partition('.')[2], 0)}:", *lines]


def _flatten(value: Any, at: str) -> Iterator[tuple[str, str]]:
    """Yield each value within *value* that is no collection, with where it stands."""
    pairs: Sequence[tuple[Any, Any]] = ()
    if isinstance(value, Mapping):
        pairs = list(value.items())
    elif isinstance(value, list):
        pairs = list(enumerate(value, 1))
    for name, inner in pairs:
        yield from _flatten(inner, f"{at}.{name}" if at else str(name))
    if not pairs:
        yield at, json.dumps(value, ensure_ascii=False)


def _tell_text(old: str, new: str) -> Iterator[list[str]]:
    """Yield the lines of each difference of two texts, one after the other."""
    before, after = old.split(), new.split()
    if before == after:
        if old != new:
            yield _tell_blanks(old, new)
        return
    is_long = old.strip().count("\n") or new.strip().count("\n")
    for i, k, j, m in _changes(before, after):
        one, other = _clip(" ".join(before[i:k]), " ".join(after[j:m]))
        if markup.plain(one) == markup.plain(other):  # what differs can't be seen
            one, other = repr(one)[1:-1], repr(other)[1:-1]
        where = [f"line {_line_of(old, i) if before else _line_of(new, j)}:"] if is_long else []
        saved, now = (
            f"{_words_before(words, begin)}[{piece}]{_words_after(words, end)}" if words else _NOTHING
            for words, begin, piece, end in ((before, i, one, k), (after, j, other, m))
        )
        yield [*where, f"saved: {saved}", f"now:   {now}"]


def _tell_blanks(old: str, new: str) -> list[str]:
    begin = max(0, _count_same(old, new) - WIDTH // 2)
    return [f"saved: {old[begin:][:WIDTH]!r}", f"now:   {new[begin:][:WIDTH]!r}"]


def _changes(before: list[str], after: list[str]) -> Iterator[tuple[int, int, int, int]]:
    """Yield from where to where in *before* stands what is not in *after*, and the same of *after*."""
    same = _count_same(before, after)
    most = min(len(before), len(after)) - same
    ending = _count_same(before[::-1][:most], after[::-1][:most])
    one, other = before[same : len(before) - ending], after[same : len(after) - ending]
    if not (one and other):
        yield same, same + len(one), same, same + len(other)
        return
    for tag, i, k, j, m in SequenceMatcher(
        None, one[:MATCHED], other[:MATCHED], autojunk=False
    ).get_opcodes():
        if tag != "equal":
            yield same + i, same + k, same + j, same + m
    if one[MATCHED:] != other[MATCHED:]:
        yield same + MATCHED, len(before) - ending, same + MATCHED, len(after) - ending


def _count_same(one: Sequence[str], other: Sequence[str]) -> int:
    """Count the words, or characters, that both begin with alike."""
    pairs = zip(one, other, strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def _clip(one: str, other: str) -> tuple[str, str]:
    """Shorten both so that what differs in them is still there."""
    if max(len(one), len(other)) <= WIDTH:
        return one, other
    begin = max(0, _count_same(one, other) - WIDTH // 4)
    return _shorten(one, begin), _shorten(other, begin)


def _shorten(text: str, begin: int, width: int = WIDTH) -> str:
    piece = text[begin : begin + width]
    return f"{'…' if begin else ''}{piece}{'…' if begin + width < len(text) else ''}"


def _words_before(words: list[str], at: int) -> str:
    shown = [_shorten(word, max(0, len(word) - WIDTH // 3)) for word in words[max(0, at - AROUND) : at]]
    return "".join(f"{word} " for word in (["…", *shown] if at > AROUND else shown))


def _words_after(words: list[str], at: int) -> str:
    shown = [_shorten(word, 0, WIDTH // 3) for word in words[at : at + AROUND]]
    return "".join(f" {word}" for word in ([*shown, "…"] if at + AROUND < len(words) else shown))


def _line_of(text: str, word: int) -> int:
    """Find the number of the line of *text* in which its *word*-th word stands."""
    count = 0
    lines = text.split("\n")
    for number, line in enumerate(lines, 1):
        count += len(line.split())
        if word < count:
            return number
    return len(lines)
