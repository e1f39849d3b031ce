"""`python -m tests.benchmarks.verbs [FOLDER] [words of a way …]`: classify, and other ways to ask, on the embedded model.

Answers are kept in FOLDER (a cache), so that a second run asks only what is new. `classify` is the verb as it is; the
others are asked by prompts.py. Of each: right as it was said, by likelihood, and by what a label gains over the lean.
"""

from __future__ import annotations

import sys
import time

import polars as pl

import qwennb.frames  # noqa: F401 - df.qwen
from qwennb import Qwen
from qwennb.request import NOTHING
from tests.benchmarks.verbs.prompts import CUT, WAYS, Way
from tests.benchmarks.verbs.reading import calibration_error, read_labels
from tests.benchmarks.verbs.sets import LabelledSet, labelled_sets

VERB = "classify"


def measure_verb(qwen: Qwen, labelled: LabelledSet) -> dict[str, float]:
    """How often the verb is right."""
    frame = pl.DataFrame({"text": [text[:CUT] for text, _ in labelled.rows]})
    began = time.monotonic()
    made = frame.qwen.classify("text", labelled.labels, client=qwen, meta=True, progress=False)
    seconds = time.monotonic() - began
    label, meta = made["label"].to_list(), made["label_meta"].struct
    right = [one == gold for one, (_, gold) in zip(label, labelled.rows, strict=True)]
    share = sum(right) / len(right)
    told = list(zip(meta.field("confidence"), right, strict=True))
    return {
        "said": share, "likeliest": share, "gain": share, "error": calibration_error(told),
        "tokens": meta.field("input_tokens").mean() + meta.field("output_tokens").mean(), "seconds": seconds,
        "told": told,
    }  # fmt: skip


def measure(qwen: Qwen, way: Way, labelled: LabelledSet) -> dict[str, float]:
    """How often *way* is right."""
    words = way.words(labelled.labels)
    texts = [*(text for text, _ in labelled.rows), *NOTHING]
    began = time.monotonic()
    answers = qwen.ask_many(
        [way.question(labelled.labels, text[:CUT]) for text in texts],
        system=way.system(labelled.labels), choices=words, temperature=0, thinking=False,
    )  # fmt: skip
    seconds = time.monotonic() - began
    for answer in answers:
        if answer.error is not None:
            raise answer.error
    rows = len(labelled.rows)
    gold = [words[labelled.labels.index(label)] for _, label in labelled.rows]
    read = read_labels(answers[:rows], answers[rows:], words)
    told = [(one[3], one[2] == right) for one, right in zip(read, gold, strict=True)]
    tokens = sum(answer.usage.input + answer.usage.output for answer in answers[:rows])
    shares = [sum(one[n] == right for one, right in zip(read, gold, strict=True)) / rows for n in range(3)]
    return {
        "said": shares[0], "likeliest": shares[1], "gain": shares[2], "error": calibration_error(told),
        "tokens": tokens / rows, "seconds": seconds, "told": told,
    }  # fmt: skip


def main(arguments: list[str]) -> None:
    """Print a line for each way and set."""
    folder, *wanted = arguments or [""]
    qwen = Qwen(endpoint="local", timeout=3600, **({"cache_dir": folder} if folder else {"cache": "off"}))
    print("way | set | as said | by likelihood | by gain | calibration error | tokens in a row | seconds")
    for name in (VERB, *WAYS):
        if wanted and not any(word in name for word in wanted):
            continue
        figures = []
        for labelled in labelled_sets():
            got = measure_verb(qwen, labelled) if name == VERB else measure(qwen, WAYS[name], labelled)
            figures.append(got)
            print(
                f"{name} | {labelled.name} | {got['said']:.2f} | {got['likeliest']:.2f} | {got['gain']:.2f} "
                f"| {got['error']:.2f} | {got['tokens']:.0f} | {got['seconds']:.0f}",
                flush=True,
            )
        means = [
            sum(one[key] for one in figures) / len(figures) for key in ("said", "likeliest", "gain", "error")
        ]
        pooled = calibration_error([pair for one in figures for pair in one["told"]])
        print(
            f"{name} | all | {' | '.join(f'{mean:.3f}' for mean in means)} (pooled {pooled:.3f})", flush=True
        )


if __name__ == "__main__":
    main(sys.argv[1:])
