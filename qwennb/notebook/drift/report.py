"""The drift between two runs of one notebook, as a value: what was recorded beside what was answered anew.

An answer is paired with the one to the same question in the same cell: the model left out, then the settings too. What
remains, because a question holds an earlier answer and so was asked otherwise, is paired by its place in the cell.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from qwennb.answer import Answer
from qwennb.notebook.drift.agreement import KINDS, Agreement, Kind, agreement
from qwennb.request import Request, key_of


@dataclass(frozen=True, slots=True)
class CellQuestions:
    """The answers of one cell, in the order in which they were asked, and what came of the cell."""

    number: int
    title: str
    answers: tuple[Answer, ...]
    outputs: str = ""
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Pair:
    """A recorded answer and the new one; `otherwise` says that its question was not quite the same."""

    cell: int
    position: int
    before: Answer
    after: Answer | None
    agreement: Agreement
    otherwise: bool = False


@dataclass(frozen=True, slots=True)
class Moved:
    """A cell that shows something else though it shows no answer itself: a sum, a table, a failure."""

    number: int
    title: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class DriftTotals:
    """How one kind of answers did."""

    kind: str
    answers: int
    changed: int
    agreement: float


@dataclass(frozen=True, slots=True)
class Drift:
    """What came of asking again. `added` counts answers that nothing recorded stands beside."""

    notebook: str
    before: str
    after: str
    day: str
    tolerance: float
    pairs: tuple[Pair, ...]
    moved: tuple[Moved, ...]
    added: int = 0
    cost: float | None = None

    @property
    def changed(self) -> tuple[Pair, ...]:
        """The pairs that do not agree wholly."""
        return tuple(pair for pair in self.pairs if pair.agreement.changed)

    @property
    def agreement(self) -> float:
        """The mean agreement of all answers, from 0 to 1."""
        return _mean(self.pairs)

    def sums(self) -> list[DriftTotals]:
        """Sum up the agreement by kind, and of all."""
        rows = [_sum(kind, [pair for pair in self.pairs if pair.agreement.kind == kind]) for kind in KINDS]
        return [*(row for row in rows if row.answers), _sum("all", self.pairs)]


def _sum(kind: Kind | str, pairs: Sequence[Pair]) -> DriftTotals:
    return DriftTotals(kind, len(pairs), sum(pair.agreement.changed for pair in pairs), _mean(pairs))


def _mean(pairs: Sequence[Pair]) -> float:
    return sum(pair.agreement.share for pair in pairs) / len(pairs) if pairs else 1.0


def drift(
    notebook: str,
    recorded: Sequence[CellQuestions],
    anew: Sequence[CellQuestions],
    *,
    day: str,
    tolerance: float = 0.01,
    cost: float | None = None,
    options: str = "",
) -> Drift:
    """Compare the cells as *recorded* with those that were asked *anew*, with *options* above their own."""
    cells = {cell.number: cell for cell in anew}
    pairs: list[Pair] = []
    moved: list[Moved] = []
    added = 0
    for cell in recorded:
        other = cells.get(cell.number)
        matched, left = _pair_answers(cell.answers, other.answers if other is not None else ())
        added += left
        for position, (before, after, otherwise) in enumerate(matched, 1):
            agreed = agreement(before, after, tolerance=tolerance)
            pairs.append(Pair(cell.number, position, before, after, agreed, otherwise))
        if other is not None and (cell.trouble or cell.outputs) != (other.trouble or other.outputs):
            shown, now = cell.trouble or cell.outputs, other.trouble or other.outputs
            moved.append(Moved(cell.number, cell.title, shown, now))
    after_words = _who(anew) + (f" with {options}" if options else "")
    return Drift(
        notebook, _who(recorded), after_words, day, tolerance, tuple(pairs), tuple(moved), added, cost
    )


def _pair_answers(
    before: Sequence[Answer], after: Sequence[Answer]
) -> tuple[list[tuple[Answer, Answer | None, bool]], int]:
    """Pair each of *before* with its match, and whether that was asked otherwise; count what is left of *after*."""
    left = dict(enumerate(after))
    matches: dict[int, int] = {}
    for name in (_without_model, _without_settings, None):
        waiting: dict[str, deque[int]] = defaultdict(deque)
        for there, answer in left.items():
            waiting[name(answer.request) if name else ""].append(there)
        for here, answer in enumerate(before):
            found = waiting[name(answer.request) if name else ""]
            if here not in matches and found:
                matches[here] = found.popleft()
                del left[matches[here]]
        if name is not None:
            known = frozenset(matches)
    made = [
        (answer, after[matches[here]] if here in matches else None, here in matches and here not in known)
        for here, answer in enumerate(before)
    ]
    return made, len(left)


def _without_model(request: Request) -> str:
    """Name a question with its model left out."""
    return key_of({**request.canonical(), "model": ""})


def _without_settings(request: Request) -> str:
    """Name a question with its settings left out too, but for the number of the draw."""
    asked = request.canonical()
    kept = ("messages", "schema", "choices", "tools", "sample")
    return key_of({name: asked[name] for name in kept if name in asked})


def _who(cells: Iterable[CellQuestions]) -> str:
    """List which models answered where, the most frequent first."""
    counts: dict[str, int] = defaultdict(int)
    for cell in cells:
        for answer in cell.answers:
            counts[f"{answer.model} at {answer.endpoint.partition(':')[0]}"] += 1
    return ", ".join(sorted(counts, key=lambda who: -counts[who])) or "nobody"
