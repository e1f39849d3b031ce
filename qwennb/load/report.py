"""What is shown of a load: a live line, a table for each stage with its definitions, one that compares them, and JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from qwennb.answer import money
from qwennb.load.measures import LIMITS, MEASURES, PERCENTS, StageRun, Timing, percentile
from qwennb.text import plural, table, wrap


def seconds(value: float | None) -> str:
    """Write a time with three figures: `0.213 s`, `42.0 ms`; a dash where there is none."""
    if value is None:
        return "–"
    if value < 0.1:
        return f"{1000 * value:.3g} ms"
    return f"{value:.{3 if value < 1 else 2 if value < 10 else 1 if value < 100 else 0}f} s"


def describe_now(run: StageRun) -> str:
    """Say in one line how far a stage is."""
    now = run.timings if run.is_warm else run.warm
    done = [one for one in now if one.end is not None]
    failed = sum(one.error is not None for one in done)
    what = "" if run.is_warm else " to warm up"
    last = next((one for one in reversed(done) if one.is_answer), None)
    shown = f", first token {seconds(last.to_first)}, end to end {seconds(last.total)}" if last else ""
    return f"{run.stage.name}{what}: {len(done):,} over, {len(now) - len(done):,} under way, {failed:,} failed{shown}"


def describe_stage(run: StageRun, limits: Mapping[str, float]) -> list[str]:
    """Write the table of one stage: each figure with what it is."""
    answers, errors = len(run.answers), run.errors
    warm = f", after {plural(len(run.warm), 'request')} to warm up" if run.warm else ""
    lines = [f"{run.stage.name}: {plural(answers, 'answer')} in {seconds(run.window)}{warm}"]
    rows = [["", *(f"p{percent}" for percent in PERCENTS), ""]]
    short = ""
    for name, (_, words) in MEASURES.items():
        values = run.values(name)
        figures = [percentile(values, percent) for percent in PERCENTS]
        if values:
            short = short or ", ".join(f"p{p}" for p, f in zip(PERCENTS, figures, strict=True) if f is None)
            rows.append([name, *map(seconds, figures), words])
    about = "≈ " if run.is_estimated else ""
    rows.append(
        [
            "output tokens",
            f"{about}{run.a_second(run.output_tokens):,.1f} /s",
            "",
            "",
            "",
            "of all answers, thoughts included",
        ]
    )
    rows.append(
        ["answers", f"{run.a_second(answers):,.2f} /s", "", "", "", "whole ones, over the whole time"]
    )
    if limits:
        kept = run.good(limits)
        rows.append(
            ["goodput", f"{run.a_second(kept):,.2f} /s", "", "", "", f"{kept:,} with {_limits(limits)}"]
        )
    failed = ", ".join(f"{count:,} × {kind}" for kind, count in errors.most_common())
    rows.append(["errors", f"{errors.total():,}", "", "", "", failed or "none; nothing is asked again"])
    rows.append(["cost", money(run.cost), "", "", "", "of all that was sent, the warm-up included"])
    lines += table(rows, right=(1, 2, 3, 4))
    if short:
        lines += wrap(
            f"{short} of so few answers would be the slowest of them: it takes 10 for p90, 20 for p95, 100 for p99."
        )
    for kind in errors:
        first = next(one.error for one in run.timings if one.error is not None and one.kind == kind)
        lines += wrap(f"The first {kind}: {first}")
    if run.left:
        lines += wrap(
            f"{plural(run.left, 'request')} had no answer yet when it was stopped, and {'is' if run.left == 1 else 'are'} in no figure."
        )
    if run.stopped:
        lines += wrap(f"It ended before its time. {run.stopped}")
    return lines


def compare_stages(runs: Sequence[StageRun], limits: Mapping[str, float]) -> list[str]:
    """Write one table of several stages, a line each."""
    head = ["", "errors", "tokens/s", "answers/s", *(["goodput/s"] if limits else [])]
    shown = ("first token", "end to end")
    rows = [[*head, *(f"{name} {mark}" for name in ("first", "total") for mark in ("p50", "p95"))]]
    for run in runs:
        good = [f"{run.a_second(run.good(limits)):,.2f}"] if limits else []
        figures = [seconds(percentile(run.values(name), percent)) for name in shown for percent in (50, 95)]
        tokens = f"{run.a_second(run.output_tokens):,.1f}"
        counts = [f"{run.errors.total():,}", tokens, f"{run.a_second(len(run.answers)):,.2f}"]
        rows.append([run.stage.name, *counts, *good, *figures])
    return table(rows, right=range(1, len(rows[0])))


def json_lines(runs: Sequence[StageRun]) -> Iterator[str]:
    """Write one line for each request: what it measured, and nothing of what was asked or answered."""
    for run in runs:
        for warm, timings in ((True, run.warm), (False, run.timings)):
            for one in timings:
                yield json.dumps({"stage": run.stage.name, "warmup": warm, **_record(one)})


def _record(one: Timing) -> dict[str, Any]:
    usage = one.usage
    return {
        "number": one.number,
        "due": one.due,
        "sent": one.sent,
        "first": one.first,
        "first_of_answer": one.first_of_answer,
        "last": one.last,
        "end": one.end,
        "longest_pause": one.pause,
        "between_tokens": one.between,
        "input_tokens": usage and usage.input,
        "output_tokens": usage and usage.output,
        "reasoning_tokens": usage and usage.reasoning,
        "tokens_estimated": usage and usage.estimated,
        "cost": one.cost if one.cost is None else float(one.cost),
        "finish_reason": one.finish_reason,
        "error": one.kind if one.error is not None else None,
    }


def _limits(limits: Mapping[str, float]) -> str:
    return ", ".join(f"{LIMITS[word]} ≤ {seconds(most)}" for word, most in limits.items())
