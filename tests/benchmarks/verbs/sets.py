"""The labelled rows that the verbs are measured on: sixty a set, drawn once with a seed and kept as files.

reviews      sentences about products that twenty people on average called clearly good or bad (VADER's, MIT)
foods        reviews of food, called great or other by their writers (modeldata's, MIT; after McAuley and Leskovec)
sections     activities of the European classification NACE and the section they belong to (Eurostat)
courses, support, orders     written for this purpose
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent / "data"


@dataclass(frozen=True)
class LabelledSet:
    """Texts, each with the label that is right, and the labels to choose from."""

    name: str
    labels: list[str]
    rows: list[tuple[str, str]]


def labelled_sets() -> list[LabelledSet]:
    """All of them, in the order of the table."""
    reviews = _read("reviews")
    other_words = {"positive": "praise", "negative": "complaint"}
    sections = [row["label"] for row in _rows("sections")]
    return [
        LabelledSet("reviews, positive or negative", ["positive", "negative"], reviews),
        LabelledSet(
            "reviews, praise or complaint",
            ["praise", "complaint"],
            [(text, other_words[label]) for text, label in reviews],
        ),
        LabelledSet("foods, great or other", ["great", "other"], _read("foods")),
        _labelled("courses, five subjects", "courses"),
        _labelled("messages to a shop, five kinds", "support"),
        LabelledSet(
            "activities, five sections",
            ["agriculture", "construction", "transport", "finance", "health"],
            _read("sections5"),
        ),
        LabelledSet("activities, all 21 sections", sections, _read("sections21")),
    ]


def orders() -> list[dict[str, Any]]:
    """Texts about orders: `text`, and what `name`, `amount`, `date`, `pieces` are, None where it says nothing."""
    return [json.loads(line) for line in (HERE / "orders.jsonl").read_text().splitlines()]


def _labelled(name: str, file: str) -> LabelledSet:
    rows = _read(file)
    return LabelledSet(name, sorted({label for _, label in rows}), rows)


def _read(file: str) -> list[tuple[str, str]]:
    return [(row["text"], row["label"]) for row in _rows(file)]


def _rows(file: str) -> list[dict[str, str]]:
    with (HERE / f"{file}.csv").open(newline="") as lines:
        return list(csv.DictReader(lines))
