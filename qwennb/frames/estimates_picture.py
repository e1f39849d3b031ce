"""Intervals beside what the model alone said, drawn by matplotlib."""

from __future__ import annotations

import math
from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from qwennb.text import shorten

if TYPE_CHECKING:
    from qwennb.frames.estimates import Estimate

_LONG = 40  # signs of a name in the picture
_OURS, _NAIVE = "#1f77b4", "#d95f02"


class Picture(Figure):
    """A figure that shows itself in a notebook, whether or not pyplot was imported there."""

    def _repr_png_(self) -> bytes:
        kept = BytesIO()
        self.savefig(kept, format="png", metadata={"Software": None})
        return kept.getvalue()


def draw_intervals(lines: Sequence[Estimate], level: float) -> Picture:
    """Draw a row for each of *lines*: its interval, its estimate, and a cross where the model alone was."""
    figure = Picture(figsize=(7, 1.1 + 0.45 * len(lines)), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for place, line in enumerate(lines):
        ends = [one if math.isfinite(one) else line.value for one in (line.low, line.high)]
        axes.plot(
            ends,
            [place, place],
            "-",
            lw=3,
            color=_OURS,
            solid_capstyle="butt",
            label=_once(f"{level:.0%} interval", place),
        )
        axes.plot([line.value], [place], "o", ms=7, color=_OURS, label=_once("estimate", place))
        if line.model is not None:
            axes.plot(
                [line.model], [place], "x", ms=8, mew=2, color=_NAIVE, label=_once("model alone", place)
            )
    axes.set_yticks(range(len(lines)), [shorten(line.name, _LONG).replace("$", r"\$") for line in lines])
    axes.set_ylim(len(lines) - 0.5, -0.5)
    axes.grid(axis="x", alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    return figure


def _once(label: str, place: int) -> str:
    """Name what is drawn once: a name that begins with an underscore stays out of the legend."""
    return label if place == 0 else f"_{label}"
