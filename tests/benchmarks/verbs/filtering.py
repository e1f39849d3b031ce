"""`python -m tests.benchmarks.verbs.filtering FOLDER`: how often filter is right, in its newest words and in those of 0.1.

Statements about the texts of the labelled sets, half of them true: forty a set, drawn with a seed. Answers are kept in
FOLDER (a cache).
"""

from __future__ import annotations

import random
import sys

import polars as pl

import qwennb.frames  # noqa: F401 - df.qwen
from qwennb import Qwen
from tests.benchmarks.verbs.prompts import CUT
from tests.benchmarks.verbs.sets import labelled_sets

ROWS = 40
STATEMENTS = {
    "reviews, positive or negative": "{{ text }} is a {{ label }} review.",
    "reviews, praise or complaint": "This review is a {{ label }}: {{ text }}",
    "courses, five subjects": "{{ text }} is a course in {{ label }}",
    "messages to a shop, five kinds": "The message is about {{ label }}: {{ text }}",
    "activities, five sections": "{{ text }} belongs to {{ label }}",
}


def statements(name: str) -> pl.DataFrame:
    """Texts of the set called *name*, each with a label, and whether it is the right one."""
    chance = random.Random(3)
    labelled = next(one for one in labelled_sets() if one.name == name)
    rows = []
    for number, (text, right) in enumerate(chance.sample(labelled.rows, ROWS)):
        wrong = chance.choice([label for label in labelled.labels if label != right])
        rows.append((number, text[:CUT], right if number % 2 else wrong, bool(number % 2)))
    return pl.DataFrame(rows, schema=["row", "text", "label", "is_true"], orient="row")


def main(folder: str) -> None:
    """Print a line for each set and version."""
    qwen = Qwen(endpoint="local", timeout=3600, cache_dir=folder)
    print("words | statement | right | kept")
    for version in (None, 1):
        shares = []
        for name, statement in STATEMENTS.items():
            frame = statements(name)
            kept = frame.qwen.filter(statement, client=qwen, prompt_version=version, progress=False)
            said = frame["row"].is_in(kept["row"].implode())
            shares.append((said == frame["is_true"]).mean())
            words = "0.1" if version else "filter"
            print(f"{words} | {statement} | {shares[-1]:.2f} | {len(kept) / len(frame):.2f}", flush=True)
        print(f"{words} | all | {sum(shares) / len(shares):.3f} |", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
