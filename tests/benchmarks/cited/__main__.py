"""`python -m tests.benchmarks.cited FOLDER [tried] [words of a way …]`: cited answers, on the embedded model.

Questions about eight short texts whose answers are known, and fields of orders. The ways to ask (ways.py) were tried on the
first half of the rows (`tried`); what `cite=True` asks, and the same without it, is measured on the others. Told are: how many
came in the form, how many are right (of orders: of the fields), how many of the quotes stand in the text word for word, how
many rows have a quote that stands there and says what is right, and the tokens that a row spends. Answers are kept in FOLDER
(a cache), so that a second run asks only what is new.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from qwennb import Answer, Qwen
from qwennb.answer import Quote
from qwennb.frames.fields import tell_fields
from qwennb.frames.wording import extract_words
from qwennb.request import Schema
from tests.benchmarks.cited.ways import CLAIMS, FIELDS, read_fields
from tests.benchmarks.verbs.extracting import FIELDS as NAMES
from tests.benchmarks.verbs.extracting import LINE, is_right
from tests.benchmarks.verbs.sets import orders

TEXTS = Path(__file__).parent / "data" / "texts.jsonl"
ASKED = {"temperature": 0, "thinking": False}
SYSTEM = extract_words(tell_fields(Schema.of(LINE)))[2].system
Row = tuple[str, str, list[str]]


def read_questions(*, tried: bool) -> list[Row]:
    """Read texts, each with a question, and of what an answer that is right has one."""
    rows = [json.loads(line) for line in TEXTS.read_text(encoding="utf-8").splitlines()]
    rows = rows[:4] if tried else rows[4:]
    return [(row["text"], question, right) for row in rows for question, right in row["questions"]]


def read_orders(*, tried: bool) -> list[dict[str, Any]]:
    """Read orders: the first twenty were for trying, the next twenty are measured."""
    return orders()[:20] if tried else orders()[20:40]


def fold(text: str) -> str:
    """Write *text* in one line without capitals."""
    return re.sub(r"\s+", " ", text.replace("’", "'")).strip().casefold()


def says(text: str, right: Sequence[str]) -> bool:
    """Whether *text* has one of what is *right*."""
    return any(fold(one) in fold(text) for one in right)


def check(quotes: Sequence[tuple[str, str]], text: str) -> list[Quote]:
    """Look for the quotes of another way, each with its claim, in *text*."""
    return [
        Quote(claim, words, found=bool(fold(words)) and fold(words) in fold(text)) for claim, words in quotes
    ]


def count_claims(
    rows: Sequence[Row], answers: Sequence[Answer], read: Callable[[Answer, str], tuple[str, Sequence[Quote]]]
) -> str:
    """Tell how good *answers* to questions are, in cells of a table."""
    came = right = proved = 0
    all_quotes: list[Quote] = []
    for (text, _, wanted), answer in zip(rows, answers, strict=True):
        if answer.error is None:
            said, quotes = read(answer, text)
            came += 1
            right += says(said, wanted)
            proved += any(quote.found and says(quote.quote, wanted) for quote in quotes)
            all_quotes += quotes
    return tell(came, right / len(rows), all_quotes, proved / len(rows), answers)


def count_fields(
    rows: Sequence[Mapping[str, Any]],
    answers: Sequence[Answer],
    read: Callable[[Answer, str], tuple[Any, Sequence[Quote]]],
) -> str:
    """Tell how good the fields of *answers* are, in cells of a table; what is null needs no quote."""
    came = right = proved = 0
    all_quotes: list[Quote] = []
    for row, answer in zip(rows, answers, strict=True):
        if answer.error is None:
            values, quotes = read(answer, row["text"])
            came += 1
            good = {name for name in NAMES if is_right(row, Answer(answer.request, data=values), name)}
            right += len(good)
            proved += sum(bool(quote.found) and quote.claim in good for quote in quotes)
            all_quotes += quotes
    return tell(came, right / len(rows) / len(NAMES), all_quotes, proved / len(rows) / len(NAMES), answers)


def tell(came: int, right: float, quotes: Sequence[Quote], proved: float, answers: Sequence[Answer]) -> str:
    """Write the cells."""
    whole = [answer for answer in answers if answer.error is None]
    tokens = [
        sum(getattr(answer.usage, side) for answer in whole) / max(1, len(whole))
        for side in ("input", "output")
    ]
    found = (
        f"{sum(bool(quote.found) for quote in quotes) / len(quotes):.2f} of {len(quotes)}" if quotes else "–"
    )
    shown = f"{proved:.2f}" if quotes else "–"
    return f"{came} of {len(answers)} | {right:.2f} | {found} | {shown} | {tokens[0]:.0f} | {tokens[1]:.0f}"


HEAD = "| in the form | right | quotes found | right and proved | input tokens | output tokens"


def measure_claims(qwen: Qwen, *, tried: bool, wanted: Sequence[str]) -> None:
    """Print a line for each way to ask a question."""
    rows = read_questions(tried=tried)
    print(f"questions {HEAD}")
    for name, given in (("without cite", {}), ("cite=True", {"cite": True})):
        if is_wanted(name, wanted):
            answers = qwen.ask_many(
                [f"{text}\n\n{question}" for text, question, _ in rows], **given, **ASKED, max_tokens=300
            )
            print(
                name,
                "|",
                count_claims(rows, answers, lambda answer, _: (_claims(answer), answer.quotes)),
                flush=True,
            )
    for name, way in CLAIMS.items() if tried else ():
        if is_wanted(name, wanted):
            asked = [f"{text}\n\n{question}\n\n{way.words}" for text, question, _ in rows]
            answers = qwen.ask_many(asked, schema=way.form, **ASKED, max_tokens=300)
            print(
                name,
                "|",
                count_claims(rows, answers, lambda answer, text: _read_claims(answer.data, text)),
                flush=True,
            )


def _claims(answer: Answer) -> str:
    return " ".join(dict.fromkeys(quote.claim for quote in answer.quotes)) or answer.text


def _read_claims(data: Any, text: str) -> tuple[str, Sequence[Quote]]:
    if "answer" in data:
        return data["answer"], check([(data["answer"], words) for words in data["quotes"]], text)
    pairs = [
        (one["claim"], words) for one in data["claims"] for words in one.get("quotes", [one.get("quote")])
    ]
    return " ".join(claim for claim, _ in pairs), check(pairs, text)


def measure_fields(qwen: Qwen, *, tried: bool, wanted: Sequence[str]) -> None:
    """Print a line for each way to extract."""
    rows = read_orders(tried=tried)
    texts = [row["text"] for row in rows]
    print(f"orders {HEAD}")
    for name, given in (("without cite", {}), ("cite=True", {"cite": True})):
        if is_wanted(name, wanted):
            answers = qwen.ask_many(texts, system=SYSTEM, schema=LINE, **given, **ASKED, max_tokens=400)
            print(
                name,
                "|",
                count_fields(rows, answers, lambda answer, _: (answer.data, answer.quotes)),
                flush=True,
            )
    for name, way in FIELDS.items() if tried else ():
        if is_wanted(name, wanted):
            answers = qwen.ask_many(
                texts, system=f"{SYSTEM}\n{way.words}", schema=way.form, **ASKED, max_tokens=400
            )
            print(
                name,
                "|",
                count_fields(rows, answers, lambda answer, text: _read_fields(answer.data, text)),
                flush=True,
            )


def _read_fields(data: Any, text: str) -> tuple[Any, Sequence[Quote]]:
    values, quotes = read_fields(data)
    return values, check(
        [(name, quotes[name] or "") for name, one in values.items() if one is not None], text
    )


def is_wanted(name: str, wanted: Sequence[str]) -> bool:
    """Whether a way is among those *wanted*; all are without any."""
    return not wanted or any(word in name for word in wanted)


def main(arguments: list[str]) -> None:
    """Print both tables."""
    folder, *wanted = arguments
    tried = "tried" in wanted
    wanted = [word for word in wanted if word != "tried"]
    qwen = Qwen(endpoint="local", timeout=3600, cache_dir=folder)
    for measure in (measure_claims, measure_fields):
        began = time.monotonic()
        measure(qwen, tried=tried, wanted=wanted)
        print(f"({time.monotonic() - began:.0f} s)", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
