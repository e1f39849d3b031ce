"""`python -m tests.benchmarks.verbs.scoring FOLDER [words of a way …]`: every way to score, over sixty sentences, on the embedded model.

The gold is the mean of about twenty people's ratings, from -4 to 4, laid on the scale from 1 to 5 that is asked for. What
counts: how well the scores go with it (Spearman's and Pearson's correlation), how far they are from it on average, the
share of rows whose first answer was valid, and the tokens that a row spends. A row that failed counts as the middle.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from qwennb import Qwen
from qwennb.frames.wording import score_words
from tests.benchmarks.verbs.sets import HERE

SCHEMA = {
    "type": "object",
    "properties": {"score": {"type": "number", "minimum": 1.0, "maximum": 5.0}},
    "required": ["score"],
    "additionalProperties": False,
}
CRITERION = "how much the writer likes the product"
MIDDLE = 3.0


@dataclass(frozen=True)
class Way:
    """How to ask: what the system text says, and the question around a text."""

    question: Callable[[str], str]
    system: str | None = None


WAYS: dict[str, Way] = {
    "0.1: criterion, text": Way(lambda text: f"Score the text: {CRITERION}, 1 to 5.\n\nText:\n{text}"),
    "ours, text, then criterion": Way(
        lambda text: f"Text: {text}\n\nScore the text: {CRITERION}, from 1 (least) to 5 (most)."
    ),
    "ours, criterion in system, text": Way(
        lambda text: text,
        f"Score the text: {CRITERION}, from 1 (least) to 5 (most).",
    ),
    "ours, the verb's": Way(lambda text: text, score_words(CRITERION, "1", "5", "")[2].system),
    "ours, a judge, text": Way(
        lambda text: text,
        f"You judge texts. Give the text that follows a score from 1 to 5: {CRITERION}. 1 is the lowest score and 5 the highest.",
    ),
    "ours, text, then a number": Way(
        lambda text: (
            f"Text: {text}\n\nOn a scale from 1 (not at all) to 5 (very much): {CRITERION}? Answer with a number."
        )
    ),
    "as LOTUS": Way(
        lambda text: f"Context:\n[Text]: «{text}»\n\nInstruction: Give a score from 1 to 5: {CRITERION}.",
        "You get an instruction from the user and some context that matters for it. Do what the instruction says, with the context given.",
    ),
    "as fenic": Way(
        lambda text: text,
        "You are an expert at judging texts. Give the document that follows a score from 1 to 5.\n\n"
        f"# Criterion\n{CRITERION}\n\n# Rules\n- 1 is the lowest score and 5 the highest.\n- Write the score and nothing else.",
    ),
    "as mall": Way(
        lambda text: (
            f"You are an engine that scores texts and helps. Return a number from 1 to 5 for this: {CRITERION}. "
            f"Explain nothing. Your answer is for this text:\n{text}"
        )
    ),
    "as openaivec": Way(
        lambda text: f'{{"id": 0, "body": "{text}"}}',
        f"<Prompt><Purpose>Score from 1 to 5 {CRITERION}.</Purpose><Cautions><Caution>Give the score and nothing else."
        "</Caution></Cautions></Prompt>",
    ),
}


def ratings() -> list[tuple[str, float]]:
    """Sentences of product reviews, each with its mean rating on a scale from 1 to 5."""
    with (HERE / "ratings.csv").open(newline="") as lines:
        return [(row["text"], float(row["rating"]) / 2 + 3) for row in csv.DictReader(lines)]


def measure(qwen: Qwen, way: Way) -> dict[str, float]:
    """How well the scores of *way* go with the people's, and what a row spends."""
    rows = ratings()
    answers = qwen.ask_many(
        [way.question(text) for text, _ in rows],
        system=way.system,
        schema=SCHEMA,
        temperature=0,
        thinking=False,
        max_tokens=64,
    )
    scores = [MIDDLE if answer.error is not None else float(answer.data["score"]) for answer in answers]
    both = pl.DataFrame({"said": scores, "gold": [gold for _, gold in rows]})
    whole = [answer for answer in answers if answer.error is None]
    return {
        "spearman": both.select(pl.corr("said", "gold", method="spearman")).item(),
        "pearson": both.select(pl.corr("said", "gold")).item(),
        "error": both.select((pl.col("said") - pl.col("gold")).abs().mean()).item(),
        "first": sum(answer.attempts == 1 for answer in whole) / len(rows),
        "input": sum(answer.usage.input for answer in whole) / max(1, len(whole)),
        "output": sum(answer.usage.output for answer in whole) / max(1, len(whole)),
    }


def main(arguments: list[str]) -> None:
    """Print a line for each way."""
    folder, *wanted = arguments
    qwen = Qwen(endpoint="local", timeout=3600, cache_dir=folder)
    print("way | Spearman | Pearson | mean error | valid first | input tokens | output tokens")
    for name, way in WAYS.items():
        if wanted and not any(word in name for word in wanted):
            continue
        got = measure(qwen, way)
        print(
            f"{name} | {got['spearman']:.3f} | {got['pearson']:.3f} | {got['error']:.2f} | {got['first']:.2f} "
            f"| {got['input']:.1f} | {got['output']:.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1:])
