"""What a saved notebook keeps of a playground: the prompt, the settings and the grid, without what changes from run to run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from qwennb.answer import Usage, markup, money, shorten_text
from qwennb.notebook.widgets.playground_run import VariantOutcome

LETTERS = "ABCDEFGH"
_QUESTION, _ANSWER = 200, 600  # characters that are kept of each

Outcomes = Mapping[tuple[int, int], VariantOutcome]


def settings_text(options: Mapping[str, Any]) -> str:
    """The settings of a variant in a line: `qwen3.5-9b, temperature 0.2`."""
    told = [str(options["model"])] if "model" in options else []
    told += [
        f"{name} {_value(value)}" for name, value in options.items() if name not in ("model", "endpoint")
    ]
    return ", ".join(told)


def figures(outcome: VariantOutcome) -> str:
    """Tokens, cost and time of a cell, in a line."""
    answer = outcome.answer
    if answer is None:
        return "no answer"
    took = "from the cache" if outcome.seconds is None else f"{outcome.seconds:.2f} s"
    return f"{_tokens(answer.usage)}, {money(answer.cost, estimated=bool(answer.cost and answer.cost.estimated))}, {took}"


def total(outcomes: Sequence[VariantOutcome], rows: int, *, timed: bool) -> str:
    """The same of a variant, all its rows together."""
    answers = [outcome.answer for outcome in outcomes if outcome.answer is not None]
    told = [f"{len(answers)} of {rows} answered"]
    if answers:
        usage = sum((answer.usage for answer in answers), Usage())
        costs = [answer.cost for answer in answers if answer.cost is not None]
        known = sum(costs) if len(costs) == len(answers) else None
        told += [
            _tokens(usage),
            money(known, estimated=bool(known) and any(cost.estimated for cost in costs)),
        ]
    if timed:
        seconds = [outcome.seconds for outcome in outcomes if outcome.seconds is not None]
        cached = len(answers) - len(seconds)
        told += [f"{sum(seconds) / len(seconds):.2f} s an answer"] if seconds else []
        told += [f"{cached} from the cache"] if cached else []
    return ", ".join(told)


def agreement(outcomes: Outcomes, rows: int, variants: int) -> str:
    """On how many rows all variants say the same; empty where there is nothing to compare."""
    texts = [
        [outcomes[row, variant].text.strip() for variant in range(variants)]
        for row in range(rows)
        if all((found := outcomes.get((row, variant))) and found.answer for variant in range(variants))
    ]
    if variants < 2 or not texts:
        return ""
    same = sum(len(set(said)) == 1 for said in texts)
    return f"The same answer for {same} of {len(texts)} inputs."


def markdown(
    prompt: str, questions: Sequence[str], settings: Sequence[Mapping[str, Any]], outcomes: Outcomes
) -> str:
    """The record."""
    parts = [f"**Playground**\n\n{markup.code_block(prompt, 'text')}" if prompt.strip() else "**Playground**"]
    told = [f"{LETTERS[place]}: {settings_text(options)}" for place, options in enumerate(settings)]
    if not outcomes:
        return "\n\n".join([*parts, *(markup.literal(line) for line in told)])
    variants = range(len(settings))
    rows = [["input", *told]]
    for row, question in enumerate(questions):
        cells = [outcomes.get((row, variant)) for variant in variants]
        rows.append(
            [
                f"{row + 1}: {shorten_text(question, _QUESTION)}",
                *(shorten_text(cell.text, _ANSWER) if cell else "" for cell in cells),
            ]
        )
    sums = [[found for (_, at), found in outcomes.items() if at == variant] for variant in variants]
    rows.append(["together", *(total(found, len(questions), timed=False) for found in sums)])
    parts.append(markup.table(rows))
    said = agreement(outcomes, len(questions), len(settings))
    return "\n\n".join([*parts, *([said] if said else [])])


def plain(
    prompt: str, questions: Sequence[str], settings: Sequence[Mapping[str, Any]], outcomes: Outcomes
) -> str:
    """The record for terminals."""
    lines = [f"Playground: {prompt}"]
    for variant, options in enumerate(settings):
        lines.append(f"{LETTERS[variant]}: {settings_text(options)}")
        for row, _ in enumerate(questions):
            if found := outcomes.get((row, variant)):
                lines.append(f"  {LETTERS[variant]}{row + 1}: {shorten_text(found.text, _ANSWER)}")
    return markup.plain("\n".join(lines))


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return " / ".join(map(str, value))
    return value.__name__ if isinstance(value, type) else str(value)


def _tokens(usage: Usage) -> str:
    return f"{'≈ ' if usage.estimated else ''}{usage.input} → {usage.output} tokens"
