"""What is proved of a column that was made: found again by the frame's content, for a frame carries nothing beside its cells.

It lasts as long as the process. Elsewhere the same call makes it again out of recalled answers, for nothing.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import polars as pl

from qwennb.errors import BadInput
from qwennb.frames.columns import YES, Column
from qwennb.frames.draft_terms import DraftTerms
from qwennb.terminal import flatten

if TYPE_CHECKING:
    from qwennb.certify import Certificate

MOST = 100  # runs that are remembered

_FOUND: deque[tuple[str, tuple[str, ...], int, Evidence]]
_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is proved of a column that a cheaper model drafted.

    Attributes
    ----------
    goal : str
        What is proved: "agree", "precision" or "recall".
    target, delta : float
        The share that must hold, and how likely the proof may be wrong.
    claim : str
        What is proved, in a sentence. What is right is what the model says, never more.
    model, draft : str
        Who is asked, and who drafts.
    rows : int
        The rows of the table that were asked about.
    labels : int
        The unique questions that were asked to learn from and to prove by.
    routes : dict
        The rows by where their answer comes from: "draft", "asked", "left".
    reached : float
        The least share that is proved.
    steps : polars.DataFrame
        What was tested, prefix by prefix: rows, errors that may be in it, rows drawn, errors among them, whether it passed.
    why_not : str
        Why no draft was taken, where none was.

    Examples
    --------
    >>> mails = pl.DataFrame({"mail": [f"Mail {n}" for n in range(300)]})
    >>> labels = mails.qwen.classify("mail", ["good", "bad"], model="plus", draft="flash", agree=0.8)
    >>> qwennb.evidence(labels, "label").goal
    'agree'
    """

    goal: str
    target: float
    delta: float
    claim: str
    model: str
    draft: str
    rows: int
    labels: int
    routes: Mapping[str, int]
    reached: float
    steps: pl.DataFrame = field(repr=False, compare=False)
    why_not: str
    into: str

    @classmethod
    def of(
        cls,
        column: Column,
        terms: DraftTerms,
        model: str,
        draft: str,
        made: Certificate | None,
        routes: Mapping[str, int],
        why_not: str,
        labels: int,
    ) -> Evidence:
        """Say what a certificate proves of a column."""
        rows = sum(routes.values())
        steps = [] if made is None else made.steps
        table = pl.DataFrame(
            [(one.rows, one.most, one.drawn, one.errors, one.passed) for one in steps],
            schema={
                "rows": pl.Int64,
                "most": pl.Int64,
                "drawn": pl.Int64,
                "errors": pl.Int64,
                "passed": pl.Boolean,
            },
            orient="row",
        )
        return cls(
            terms.goal,
            terms.target,
            terms.delta,
            _claim(column, terms, model, draft, rows, routes, why_not),
            model,
            draft,
            rows,
            labels,
            dict(routes),
            1.0 if made is None else made.reached,
            table,
            why_not,
            "" if column.verb == "filter" else column.into,
        )

    def remember(self, columns: Mapping[str, pl.Series], made: Mapping[str, pl.Series]) -> None:
        """Have it found again by the cells that were read and made."""
        frame = pl.DataFrame(dict(columns))
        if self.into:
            frame = frame.with_columns(made[self.into].alias(self.into))
        else:
            answers = next(iter(made.values()))
            frame = frame.filter((answers == YES).fill_null(value=False))
        with _lock:
            _FOUND.appendleft((self.into, tuple(frame.columns), _fingerprint(frame), self))

    def __str__(self) -> str:
        return flatten(self.claim)


_FOUND = deque(maxlen=MOST)


def _claim(
    column: Column,
    terms: DraftTerms,
    model: str,
    draft: str,
    rows: int,
    routes: Mapping[str, int],
    why_not: str,
) -> str:
    """Say in a sentence what is proved, and of what."""
    came = f"{routes['draft']:,} of {rows:,} rows have the answer of {draft}, {routes['asked']:,} that of {model}"
    if routes["left"]:
        came += f", and {routes['left']:,} have none"
    if why_not:
        return f"No draft was taken: {why_not}. {came}."
    of = (
        f"all {rows:,} rows"
        if terms.on_uncertified == "ask"
        else f"the {rows - routes['left']:,} rows with an answer"
    )
    what = {
        "agree": f"at least {terms.target:.4g} of {of} have the answer that {model} gives",
        "precision": f"of at least {terms.target:.4g} of the rows kept {model} says that it is true",
        "recall": f"at least {terms.target:.4g} of the rows of which {model} says that it is true are kept",
    }[terms.goal]
    near = f", within {terms.tolerance:g}" if column.verb == "score" else ""
    return f"With a confidence of {1 - terms.delta:.4g}, {what}{near}. {came}."


def _fingerprint(frame: pl.DataFrame) -> int:
    """One number of what the rows hold, in whatever order they stand; labels as texts, which pandas has them as."""
    labels = [name for name, dtype in frame.schema.items() if isinstance(dtype, pl.Enum | pl.Categorical)]
    plain = frame.with_columns(pl.col(labels).cast(pl.String))
    return int(plain.hash_rows(seed=0).sum()) if len(plain) else 0


def find_evidence(
    columns: Sequence[str], read: Callable[[Sequence[str]], pl.DataFrame], into: str
) -> Evidence:
    """Find what is proved of the column *into* by the *columns* of a frame and what they hold, which *read* gives."""
    with _lock:
        known = [one for one in _FOUND if one[0] == into]
    prints: dict[tuple[str, ...], int] = {}
    for _, names, fingerprint, found in known:
        if not set(names) <= set(columns):
            continue
        if names not in prints:
            prints[names] = _fingerprint(read(names))
        if prints[names] == fingerprint:
            return found
    of = f"`{into}`" if into else "these rows"
    raise BadInput(
        f"Nothing is known of how {of} came about as the frame stands now. Give evidence() the frame as the call gave it, all of its "
        "rows and no other; in a new session run the call again (it recalls its answers)."
    )
