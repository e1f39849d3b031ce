"""`python -m tests.benchmarks.verbs [FOLDER] [words of a way …]`: every way over every set on the embedded model.

Answers are kept in FOLDER (a cache), so that a second run asks only what is new.
"""

from __future__ import annotations

import sys
import time

from qwennb import Qwen
from tests.benchmarks.verbs.prompts import CUT, WAYS, Way
from tests.benchmarks.verbs.reading import NOTHING, calibration_error, lean, mean_lean, shares
from tests.benchmarks.verbs.sets import LabelledSet, labelled_sets


def measure(qwen: Qwen, way: Way, labelled: LabelledSet) -> dict[str, float]:
    """How often *way* is right on a set: as the model said it, by its probabilities, and with its lean taken away."""
    words = way.words(labelled.labels)
    began = time.monotonic()
    answers = qwen.ask_many(
        [
            way.question(labelled.labels, text[:CUT])
            for text in (*(row[0] for row in labelled.rows), *NOTHING)
        ],
        system=way.system(labelled.labels),
        choices=words,
        logprobs=20,
        temperature=0,
        thinking=False,
    )
    seconds = time.monotonic() - began
    for answer in answers:
        if answer.error is not None:
            raise answer.error
    asked, empty = answers[: len(labelled.rows)], answers[len(labelled.rows) :]
    away = mean_lean(empty, words)
    said = raw = mended = 0
    told = []
    for (_, label), answer in zip(labelled.rows, asked, strict=True):
        scores = lean(answer, words)
        less = [score - one for score, one in zip(scores, away, strict=True)]
        right = labelled.labels.index(label)
        said += answer.text == words[right]
        raw += scores.index(max(scores)) == right
        best = less.index(max(less))
        mended += best == right
        told.append((max(shares(less)), best == right))
    rows = len(labelled.rows)
    return {
        "said": said / rows, "raw": raw / rows, "mended": mended / rows, "error": calibration_error(told),
        "tokens": sum(answer.usage.input for answer in asked) / rows, "seconds": seconds,
    }  # fmt: skip


def main(arguments: list[str]) -> None:
    """Print a line for each way and set."""
    folder, *wanted = arguments or [""]
    with_cache = {"cache_dir": folder} if folder else {"cache": "off"}
    qwen = Qwen(endpoint="local", timeout=3600, **with_cache)
    print(
        "way | set | as said | by probability | less its lean | calibration error | tokens in a row | seconds"
    )
    for name, way in WAYS.items():
        if wanted and not any(word in name for word in wanted):
            continue
        figures = []
        for labelled in labelled_sets():
            got = measure(qwen, way, labelled)
            figures.append(got)
            print(
                f"{name} | {labelled.name} | {got['said']:.2f} | {got['raw']:.2f} | {got['mended']:.2f} | {got['error']:.2f} "
                f"| {got['tokens']:.0f} | {got['seconds']:.0f}",
                flush=True,
            )
        means = [sum(one[key] for one in figures) / len(figures) for key in ("said", "raw", "mended")]
        print(f"{name} | all | {means[0]:.3f} | {means[1]:.3f} | {means[2]:.3f}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
