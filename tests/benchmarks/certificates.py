"""Certificates beside those of `bargain` 0.1.3 (SIGMOD 2026), on the same tables: how much of a table is asked of the dear model.

    python -m tests.benchmarks.certificates [runs]              needs: pip install --no-deps bargain==0.1.3
    python -m tests.benchmarks.certificates --picture FILE      the curve of docs/tables.md

The draft's confidence is what it says, so that both have the order that they are best in; a table is right on 93 % or 82 % of its
rows. `bargain` asks for openai, pydantic and tqdm, of which its certificates need none.
"""

from __future__ import annotations

import sys
import types
from datetime import UTC, datetime
from typing import Any

import numpy as np

from qwennb.certify import certify

SETTINGS = [
    (rows, right, target) for rows in (2_000, 10_000) for right in (0.93, 0.82) for target in (0.9, 0.95)
]
DELTA = 0.05


def draw_table(seed: int, rows: int, right: float) -> tuple[Any, Any]:
    """A table's scores, and which drafts are right: as often as the score says."""
    rng = np.random.default_rng(seed)
    sure = np.clip(1 - rng.exponential(1 - right, rows), 0.02, 1)
    return sure, rng.random(rows) < sure


def ours(sure: Any, right: Any, target: float) -> tuple[float, bool]:
    """The share that is asked, and whether the target is missed."""
    made = certify(sure, lambda rows: right[rows], target, DELTA)
    taken = made.accepted & ~made.asked
    return 1 - taken.mean(), (~right[taken]).sum() > (1 - target) * len(sure)


def theirs(sure: Any, right: Any, target: float, seed: int) -> tuple[float, bool]:
    """The same of BARGAIN_A."""
    from BARGAIN import BARGAIN_A, Oracle, Proxy

    class Draft(Proxy):
        def get_preds_and_scores(self, rows, records):
            return np.zeros(len(rows), int), sure[rows.astype(int)]

    class Model(Oracle):
        def is_answer_correct(self, rows, records, said):
            return right[rows.astype(int)]

        def get_pred(self, records, rows=None):
            return (~right[np.asarray(rows, int)]).astype(int)

    proof = BARGAIN_A(
        Draft(verbose=False), Model(verbose=False), target=target, delta=DELTA, verbose=False, seed=seed
    )
    _, asked = proof.process(list(range(len(sure))), return_oracle_usage=True)
    taken = ~np.array(asked)
    return 1 - taken.mean(), (~right[taken]).sum() > (1 - target) * len(sure)


def main(runs: int) -> None:
    """Print a line a setting: shares asked by ours and by theirs, and how often each missed."""
    for name, shown in (
        ("tqdm", {"tqdm": lambda one, **_: one}),
        ("BARGAIN.models.GPTModels", {"OpenAIOracle": None, "OpenAIProxy": None}),
    ):
        if name not in sys.modules:
            sys.modules[name] = types.ModuleType(name)
            vars(sys.modules[name]).update(shown)
    print(f"{datetime.now(UTC):%Y-%m-%d}, {runs} runs a setting, seeds 0 to {runs - 1}, delta {DELTA}")
    print("  rows  right  target   asked: ours   bargain     missed: ours  bargain")
    for rows, right, target in SETTINGS:
        each = []
        for seed in range(runs):
            sure, is_right = draw_table(seed, rows, right)
            each.append((*ours(sure, is_right, target), *theirs(sure, is_right, target, seed)))
        share, missed, their_share, their_missed = np.array(each, dtype=float).mean(axis=0)
        print(
            f"{rows:6,}  {right:.2f}   {target:.2f}        {share:6.1%}    {their_share:6.1%}             {missed:5.1%}    {their_missed:5.1%}",
            flush=True,
        )


def draw_curve(path: str) -> None:
    """Draw what a certificate found, prefix by prefix, beside what only we know: the errors that are there."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows, target = 4_000, 0.95
    sure, right = draw_table(1, rows, 0.94)
    made = certify(sure, lambda some: right[some], target, DELTA)
    figure = Figure(figsize=(7, 3.4), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    wrong = np.cumsum(~right[np.argsort(-sure, kind="stable")])
    axes.plot(
        np.arange(1, rows + 1), wrong, color="#999999", linewidth=1, label="wrong drafts, which nobody knows"
    )
    axes.axhline(
        made.steps[-1].most, color="#d95f02", linestyle="--", label=f"{made.steps[-1].most} may be wrong"
    )
    tested = [one for one in made.steps if one.drawn]
    for passed, colour, said in (
        (True, "#1f77b4", "proved to hold no more"),
        (False, "#d95f02", "not proved: it ends here"),
    ):
        some = [one for one in tested if one.passed is passed]
        axes.plot(
            [one.rows for one in some], [one.errors / one.drawn * one.rows for one in some],
            "o" if passed else "X", color=colour, label=f"estimated from the sample, {said}",
        )  # fmt: skip
    axes.axvspan(0, made.rows_accepted, color="#1f77b4", alpha=0.08)
    axes.set_xlabel(f"rows, the surest drafts first ({made.labels} of {rows:,} asked for the proof)")
    axes.set_ylabel("wrong drafts so far")
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(0.0, 0.95))
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.savefig(path)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--picture"]:
        draw_curve(sys.argv[2])
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
