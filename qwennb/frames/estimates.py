"""What estimates came to, for people: a line each, a table of several, a picture of intervals beside what the model alone said."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import polars as pl

from qwennb.answer import markup
from qwennb.errors import BadInput, nearest
from qwennb.terminal import drop_controls, flatten
from qwennb.text import plural, table

_HEAD = ("estimate", "interval", "human labels", "model alone", "worth")


@dataclass(frozen=True, slots=True)
class Estimate:
    """One figure of a table, with its interval.

    Attributes
    ----------
    of : str
        What was estimated: a label, `mean of score`, a coefficient.
    by : object
        The group of rows, where the estimate was asked for each; None else.
    value, low, high : float
        The estimate, and the ends of its interval.
    labels : int
        How many human labels it rests on.
    model : float or None
        What the model alone said.
    worth : float or None
        How many labels without a model one of these was worth; None where that is not known.
    rows : int
        How many rows of the table it is about.
    note : str
        How the interval was reached, where that is to be said.
    is_whole : bool
        Whether it counts rows.
    name : str
        What it is of, with its group.

    Examples
    --------
    >>> df = pl.DataFrame({"n": range(400), "label": ["yes", "no"] * 200})
    >>> labelled = df.qwen.draw("label", n=60).with_columns(human=pl.col("label"))
    >>> one = df.qwen.estimate.share("label", of="yes", human="human", drawn=labelled).lines[0]
    >>> one.of, one.value, one.labels, one.rows
    ('yes', 0.5, 60, 400)
    """

    of: str
    by: Any
    value: float
    low: float
    high: float
    labels: int
    model: float | None
    worth: float | None
    rows: int
    note: str = ""
    is_whole: bool = False

    def _cells(self) -> list[str]:
        """Write the figures, with as many decimals as the interval is worth."""
        low, high = self.low, self.high
        if self.is_whole:
            low, high = math.floor(low), math.ceil(high)
        decimals = 0 if self.is_whole else _decimals(high - low)
        worth = self.worth
        return [
            _write(self.value, decimals),
            f"[{_write(low, decimals)}, {_write(high, decimals)}]",
            f"{self.labels:,}",
            "" if self.model is None else _write(self.model, decimals),
            "" if worth is None or not math.isfinite(worth) else f"{worth:.1f}×",
        ]

    @property
    def name(self) -> str:
        """What it is of, with its group."""
        return self.of if self.by is None else f"{self.by} · {self.of}"

    def __str__(self) -> str:
        value, interval, labels, model, worth = self._cells()
        parts = [f"{value} {interval}", f"{labels} human label{'s' if self.labels != 1 else ''}"]
        parts += [f"model alone said {model}"] if model else []
        parts += [f"worth {worth} the labels"] if worth else []
        parts += [self.note] if self.note else []
        return flatten(f"{self.name}: {' · '.join(parts)} · table: {plural(self.rows, 'row')}")


@dataclass(frozen=True)
class Estimates:
    """What was estimated. `print` it, show it in a notebook, or take its figures; of a single one they are its own.

    Attributes
    ----------
    lines : tuple of Estimate
        Each figure with its interval.
    level : float
        How often such an interval holds the truth.
    notes : tuple of str
        What is to be said of all.
    grouped : str or None
        The column of groups, where the estimate was asked for each.
    value, low, high : float
        The figures of the only line.

    Examples
    --------
    >>> df = pl.DataFrame({"n": range(400), "label": ["yes", "no"] * 200})
    >>> labelled = df.qwen.draw("label", n=60).with_columns(human=pl.col("label"))
    >>> est = df.qwen.estimate.share("label", of="yes", human="human", drawn=labelled)
    >>> print(est)
    yes: 0.500 [0.462, 0.538] · 60 human labels · model alone said 0.500 · worth 9.8× the labels · table: 400 rows
    >>> est.low < est.value < est.high
    True
    """

    lines: tuple[Estimate, ...]
    level: float = 0.95
    notes: tuple[str, ...] = ()
    grouped: str | None = None

    @property
    def value(self) -> float:
        """The estimate, where there is one."""
        return self._only().value

    @property
    def low(self) -> float:
        """The low end of its interval."""
        return self._only().low

    @property
    def high(self) -> float:
        """The high end of its interval."""
        return self._only().high

    def _only(self) -> Estimate:
        if len(self.lines) != 1:
            names = ", ".join(f'"{line.name}"' for line in self.lines[:4])
            raise BadInput(
                f"There are {plural(len(self.lines), 'estimate')}; take one by its name: estimates[…] of {names}."
            )
        return self.lines[0]

    def __iter__(self) -> Iterator[Estimate]:
        return iter(self.lines)

    def __len__(self) -> int:
        return len(self.lines)

    def __getitem__(self, name: str) -> Estimate:
        for line in self.lines:
            if name in (line.name, line.of if line.by is None else str(line.by)):
                return line
        known = [line.name for line in self.lines]
        raise BadInput(
            f"There is no estimate of {name!r}{nearest(str(name), known) or '; there are ' + ', '.join(known[:12]) + '.'}"
        )

    def frame(self) -> pl.DataFrame:
        """Give the figures as a frame, a row each.

        Returns
        -------
        polars.DataFrame
            The columns are the attributes of an `Estimate`; the column of the groups has its own name.

        Examples
        --------
        >>> df = pl.DataFrame({"n": range(400), "label": ["yes", "no"] * 200})
        >>> labelled = df.qwen.draw("label", n=60).with_columns(human=pl.col("label"))
        >>> df.qwen.estimate.share("label", human="human", drawn=labelled).frame()["of"].to_list()
        ['no', 'yes']
        """
        rows = [asdict(line) for line in self.lines]
        made = pl.DataFrame(
            {name: [row[name] for row in rows] for name in _COLUMNS},
            schema_overrides={"model": pl.Float64, "worth": pl.Float64},
            strict=False,
        )
        if self.grouped is None:
            return made.drop("by")
        return made.rename({"by": self.grouped}) if self.grouped not in made.columns else made

    # ------------------------------------------------------------------ for people

    def __str__(self) -> str:
        lines = [str(line) for line in self.lines]
        if len(lines) > 1:
            head = ["", *_HEAD]
            lines = table(
                [head, *([line.name, *line._cells()] for line in self.lines)], right=range(1, 6), indent=""
            )
            lines.append(f"{self._size()}{self._told()}")
        return drop_controls("\n".join([*lines, *map(flatten, self.notes)]))

    __repr__ = __str__

    def _size(self) -> str:
        rows = {str(line.by): line.rows for line in self.lines}
        return f"{self.level:.0%} intervals · table: {plural(sum(rows.values()), 'row')}"

    def _told(self) -> str:
        notes = dict.fromkeys(line.note for line in self.lines if line.note)
        return "".join(f" · {note}" for note in notes)

    def _repr_markdown_(self) -> str:
        notes = [markup.literal(note) for note in self.notes]
        if len(self.lines) == 1:
            name, _, rest = str(self.lines[0]).partition(": ")
            return "\n\n".join([f"**{markup.literal(name)}**: {markup.literal(rest)}", *notes])
        rows = [["", *_HEAD], *([line.name, *line._cells()] for line in self.lines)]
        below = markup.literal(f"{self._size()}{self._told()}")
        return "\n\n".join([markup.table(rows, right=range(1, 6)), below, *notes])

    def plot(self) -> Any:
        """Draw each interval beside what the model alone said.

        Returns
        -------
        matplotlib.figure.Figure
            It shows itself in a notebook; `.savefig(path)` writes it.

        Raises
        ------
        BadInput
            If matplotlib is not installed.

        Examples
        --------
        >>> df = pl.DataFrame({"n": range(400), "label": ["yes", "no"] * 200})
        >>> labelled = df.qwen.draw("label", n=60).with_columns(human=pl.col("label"))
        >>> df.qwen.estimate.share("label", human="human", drawn=labelled).plot().savefig("shares.png")
        """
        try:
            from qwennb.frames.estimates_picture import draw_intervals
        except ImportError:
            raise BadInput(
                'The picture is drawn by matplotlib, which is not installed. Type: pip install "qwennb[plots]"'
            ) from None
        return draw_intervals(self.lines, self.level)


_COLUMNS = ("of", "by", "value", "low", "high", "labels", "model", "worth", "rows", "note")


def _decimals(width: float) -> int:
    """Two figures of half an interval are worth writing."""
    if not math.isfinite(width) or width <= 0:
        return 3
    return max(0, min(6, 1 - math.floor(math.log10(width / 2))))


def _write(value: float, decimals: int) -> str:
    return "unknown" if math.isnan(value) else f"{value:,.{decimals}f}" if math.isfinite(value) else "∞"
