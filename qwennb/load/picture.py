"""One picture of a load, drawn by matplotlib.

Of one stage: when each request was due and how long it took, and how many answers came within a time. Of several: latency
and tokens a second, by how many streams there were or how many requests a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Any

from qwennb.errors import BadInput
from qwennb.load.measures import StageRun, percentile

_SHOWN = (("first token", "#1f77b4"), ("end to end", "#d95f02"))


def check_picture() -> None:
    """Refuse to begin where no picture could be drawn at the end."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise BadInput(
            'The picture is drawn by matplotlib, which is not installed. Type: pip install "qwennb[plots]", or leave --png out.'
        ) from None


def draw(runs: Sequence[StageRun], title: str) -> bytes:
    """Draw *runs* as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    if len(runs) == 1:
        _draw_requests(runs[0], left, right)
    else:
        _draw_stages(runs, left, right)
    figure.suptitle(title.replace("$", r"\$"), fontsize=11)  # a pair of dollars would be read as mathematics
    kept = BytesIO()
    figure.savefig(kept, format="png", metadata={"Software": None})
    return kept.getvalue()


def _draw_requests(run: StageRun, left: Any, right: Any) -> None:
    answers = run.answers
    for name, colour in _SHOWN:
        values = run.values(name)
        took = [one.to_first if name == "first token" else one.total for one in answers]
        left.plot([one.due for one in answers], took, "o", ms=3, color=colour, label=name)
        right.step(
            values,
            [(i + 1) / len(values) for i in range(len(values))],
            where="post",
            color=colour,
            label=name,
        )
    if failed := [one.due for one in run.timings if one.error is not None]:
        left.plot(failed, [0] * len(failed), "x", ms=5, color="black", label="failed")
    left.set(xlabel="due after seconds", ylabel="seconds it took", title=run.stage.name, ylim=(0, None))
    right.set(
        xlabel="seconds",
        ylabel="share of answers within",
        title="how many within",
        ylim=(0, 1),
        xlim=(0, None),
    )
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)


def _draw_stages(runs: Sequence[StageRun], left: Any, right: Any) -> None:
    at = [run.stage.streams or run.stage.rate for run in runs]
    for name, colour in _SHOWN:
        for percent, line in ((50, "-o"), (95, "--o")):
            figures = [percentile(run.values(name), percent) for run in runs]
            known = [(x, y) for x, y in zip(at, figures, strict=True) if y is not None]
            if known:
                left.plot(*zip(*known, strict=True), line, ms=4, color=colour, label=f"{name} p{percent}")
    right.plot(at, [run.a_second(run.output_tokens) for run in runs], "-o", ms=4, color="#1b7837")
    arrivals = "streams at a time" if runs[0].stage.streams else "requests a second"
    left.set(xlabel=arrivals, ylabel="seconds", title="latency", ylim=(0, None))
    right.set(xlabel=arrivals, ylabel="output tokens a second", title="throughput", ylim=(0, None))
    for axes in (left, right):
        axes.set_xscale("log", base=2)
        axes.set_xticks(at, [f"{x:g}" for x in at])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    left.legend(fontsize=8)
