"""The rows to be reviewed: each with its source and its answer as texts, and what makes it worth a look."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import polars as pl

from qwennb.documents import cell_text
from qwennb.errors import BadInput, TemplateError, nearest
from qwennb.frames import as_polars, prompts
from qwennb.notebook.widgets.review_picture import draw_again
from qwennb.request import Template
from qwennb.tuning import Label, row_of

NO_ANSWER = "(no answer)"
LOW = 0.7  # confidence below which a row is worth a look
# Columns that `df.qwen.draw` adds: these rows are labelled without sight of the answer.
DRAWN = {"draw_id", "draw_weight"}
MANY = 12  # answers at most that are labels, where the column does not say so


@dataclass(frozen=True, slots=True)
class Row:
    """One row. `name` is what labels know it by; `other` is a second answer, `confidence` how sure the first was."""

    name: str
    number: int
    parts: tuple[tuple[str, str], ...]
    answer: str
    other: str | None = None
    confidence: float | None = None
    is_answered: bool = True

    @property
    def source(self) -> str:
        """What the answer is about, as one text."""
        return _join(self.parts)


class ReviewRows:
    """The rows of a frame that have an answer, in their order; where the answer is hidden, those without one too."""

    def __init__(
        self,
        frame: Any,
        *,
        answer: str,
        source: str | Sequence[str] | None = None,
        other: str | None = None,
        confidence: str | None = None,
        hide_answer: bool | None = None,
    ) -> None:
        if isinstance(frame, pl.LazyFrame):
            raise BadInput("Review takes a frame whose rows are there, not LazyFrame. Give frame.collect().")
        names = [str(name) for name in getattr(frame, "columns", ())]
        if not names:
            raise BadInput(
                f"Review takes a frame of polars or pandas with columns, not {type(frame).__name__}."
            )
        drawn = set(names) >= DRAWN
        self.is_hidden = drawn if hide_answer is None else hide_answer
        left_out = {answer, other, confidence, *(DRAWN if drawn else ())}
        if self.is_hidden:  # what a column leaves beside its answers tells them: label_meta
            left_out |= {name for name in names if name.startswith(f"{answer}_")}
        sources = [source] if isinstance(source, str) else list(source or ())
        sources = sources or [name for name in names if name not in left_out]
        taken = list(dict.fromkeys([answer, *sources, *filter(None, [other, confidence])]))
        for name in taken:
            if name not in names:
                raise BadInput(
                    f"The frame has no column `{name}`{nearest(name, names) or '; it has ' + ', '.join(names) + '.'}"
                )
        self.frame, self.answer, self.other, self.confidence = frame, answer, other, confidence
        self._cut = cut = as_polars(frame, taken)
        if confidence is not None and not cut[confidence].dtype.is_numeric():
            raise BadInput(f"Column `{confidence}` holds {cut[confidence].dtype}; a confidence is a number.")
        self.classes = _classes(cut[answer].dtype)
        self.all = [
            _row(number, values, answer, sources, other, confidence)
            for number, values in enumerate(cut.iter_rows(named=True))
            if self.is_hidden or values[answer] is not None
        ]
        self.missing = len(cut) - len(self.all)
        self._pictured: tuple[int, dict[str, str]] = (-1, {})
        self.choices = self.classes or _repeated([row.answer for row in self.all if row.is_answered])

    def questions(self, prompt: str | None) -> list[str | None]:
        """What was asked about each row: *prompt*, filled as a column fills it, else the source."""
        if prompt is None:
            return [row.source for row in self.all]
        template = Template.of(prompt)
        names = list(dict.fromkeys(hole.name for hole in template.holes))
        known = [str(name) for name in self.frame.columns]
        for name in names:
            if name not in known:
                raise TemplateError(
                    f"The prompt names `{name}`, which is no column{nearest(name, known) or '.'}"
                )
        if not names:
            raise TemplateError('The prompt names no column. Give the one that was asked: "… {{ review }}".')
        cut = as_polars(self.frame, names)
        asked = prompts(template, {name: cut[name] for name in names}).to_list()
        return [asked[row.number] for row in self.all]

    def pictures(self, row: Row) -> dict[str, str]:
        """The pictures among the sources of *row*, by column."""
        if self._pictured[0] != row.number:
            columns = [name for name, _ in row.parts if self._cut[name].dtype == pl.Binary]
            found = {name: draw_again(self._cut[name][row.number] or b"") for name in columns}
            self._pictured = (row.number, {name: picture for name, picture in found.items() if picture})
        return self._pictured[1]


def truth_of(row: Row, label: Label | None) -> str | None:
    """What is true of *row*, as far as *label* tells."""
    if label is None or label.verdict == "wrong":
        return None
    return label.fix if label.verdict == "fixed" else row.answer


def choose_rows(
    rows: Sequence[Row],
    which: str,
    given: Mapping[str, Label],
    others: Sequence[Mapping[str, Label]] = (),
    low: float = LOW,
) -> list[Row]:
    """The rows that *which* means."""
    if which == "low confidence":
        found = [row for row in rows if row.confidence is not None and row.confidence < low]
        return sorted(found, key=lambda row: row.confidence or 0.0)
    if which == "answers differ":
        return [row for row in rows if row.other is not None and row.other != row.answer]
    if which == "reviewers differ":
        return [
            row for row in rows if any(differ(given.get(row.name), their.get(row.name)) for their in others)
        ]
    if which == "not labelled":
        return [row for row in rows if row.name not in given]
    if which in ("right", "wrong", "fixed"):
        return [row for row in rows if (label := given.get(row.name)) and label.verdict == which]
    return list(rows)


def differ(one: Label | None, other: Label | None) -> bool:
    """Whether two who have both looked disagree: one says right and the other does not."""
    return one is not None and other is not None and (one.verdict == "right") != (other.verdict == "right")


def _row(
    number: int,
    values: Mapping[str, Any],
    answer: str,
    sources: Sequence[str],
    other: str | None,
    confidence: str | None,
) -> Row:
    parts = tuple((name, _text(values[name])) for name in sources)
    said = _text(values[answer])
    sure = values[confidence] if confidence is not None else None
    second = values[other] if other is not None else None
    return Row(
        row_of(_join(parts), said), number, parts, said,
        None if second is None else _text(second), None if sure is None or sure != sure else float(sure),
        values[answer] is not None,
    )  # fmt: skip


def _join(parts: Sequence[tuple[str, str]]) -> str:
    return parts[0][1] if len(parts) == 1 else "\n".join(f"{name}: {text}" for name, text in parts)


def _text(value: Any) -> str:
    if isinstance(value, dict | list):
        return orjson.dumps(value, default=str, option=orjson.OPT_INDENT_2).decode()
    if isinstance(value, bytes):  # two pictures of one size are two sources
        return f"({len(value):,} bytes, sha256 {hashlib.sha256(value).hexdigest()[:16]})"
    return cell_text(value)


def _classes(dtype: pl.DataType) -> list[str]:
    if isinstance(dtype, pl.Enum):
        return list(dtype.categories)
    return ["true", "false"] if dtype == pl.Boolean else []


def _repeated(answers: Sequence[str]) -> list[str]:
    """The answers that are few and come again, as labels do and texts do not."""
    found = sorted(set(answers))
    few = min(MANY, max(2, len(answers) // 2))
    return found if len(found) <= few and len(found) < len(answers) else []
