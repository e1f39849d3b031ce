"""`python -m tests.benchmarks.verbs.extracting FOLDER [words of a way …]`: every way to extract, over sixty texts, on the embedded model.

What counts: the share of fields that are as the text says (a field that it does not say is right when it is null), the
share of rows whose first answer was valid, and the tokens that a row spends. Answers are kept in FOLDER (a cache).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import orjson

from qwennb import Answer, Qwen
from qwennb.frames.fields import tell_fields
from qwennb.frames.wording import extract_words
from qwennb.request import Schema
from tests.benchmarks.verbs.sets import orders

LINE = "name: str?: the customer, amount: Decimal?: the money in all, date: date?: the day it names, pieces: int?: how many pieces"
FIELDS = ("name", "amount", "date", "pieces")
MOST = 200  # tokens of an answer; a whole one has about 45


@dataclass(frozen=True)
class Way:
    """How to ask: what the system text says, and the question around a text."""

    question: Callable[[str], str]
    system: str | None = None


_NAMED = "name, amount, date, pieces"
_TOLD = "name (the customer), amount (the money in all), date (the day it names), pieces (how many pieces)"
_LIST = '- name: the customer\n- amount: "0.00", the money in all\n- date: "YYYY-MM-DD", the day it names\n- pieces: how many pieces'
_PLAIN = (
    "- name: the customer\n- amount: the money in all\n- date: the day it names\n- pieces: how many pieces"
)
_NL, _OR = "\n", " or null\n"
_KINDS = (
    "- name: the customer or null\n- amount: the money in all (decimal number) or null\n"
    "- date: the day it names (YYYY-MM-DD) or null\n- pieces: how many pieces (whole number) or null"
)
_SKELETON = (
    '{"name": the customer or null, "amount": "0.00" (the money in all) or null, "date": "YYYY-MM-DD" (the day it names) or '
    'null, "pieces": how many pieces or null}'
)

WAYS: dict[str, Way] = {
    "0.1: instruction, text": Way(
        lambda text: f"Extract what is asked for from the text. Take only what it says.\n\nText:\n{text}"
    ),
    "ours, list in system, text": Way(
        lambda text: text,
        f"Extract from the text, as one line of JSON:\n{_LIST}\nWrite null for what the text does not say.",
    ),
    "ours, skeleton in system, text": Way(
        lambda text: text,
        f"Extract from the text as one line of JSON: {_SKELETON}",
    ),
    "ours, plain list in system, text": Way(
        lambda text: text,
        f"Extract from the text, as one line of JSON:\n{_PLAIN}\nWrite null for what the text does not say.",
    ),
    "ours, plain list with nulls in system, text": Way(
        lambda text: text,
        f"Extract from the text, as one line of JSON:\n{_PLAIN.replace(_NL, _OR)} or null",
    ),
    "ours, list with kinds and nulls in system, text": Way(
        lambda text: text, f"Extract from the text, as one line of JSON:\n{_KINDS}"
    ),
    "ours, the verb's": Way(lambda text: text, extract_words(tell_fields(Schema.of(LINE)))[2].system),
    "ours, kinds or null in brackets, in system, text": Way(
        lambda text: text,
        "Extract from the text, as one line of JSON:\n- name (string or null): the customer\n- amount (decimal or null): "
        "the money in all\n- date (YYYY-MM-DD or null): the day it names\n- pieces (integer or null): how many pieces",
    ),
    "ours, may be null in brackets, in system, text": Way(
        lambda text: text,
        "Extract from the text, as one line of JSON:\n- name (may be null): the customer\n- amount (may be null): "
        "the money in all\n- date (may be null): the day it names\n- pieces (may be null): how many pieces",
    ),
    "ours, text, then list": Way(
        lambda text: (
            f"Text: {text}\n\nExtract from the text, as one line of JSON:\n{_LIST}\nWrite null for what it does not say."
        )
    ),
    "as LOTUS": Way(
        lambda text: f"Context:\n[Text]: «{text}»",
        "The user gives columns that are to be extracted and some context that matters for them. Extract these columns, with a "
        f"short value for each field alone. What each field means: {_TOLD}. The answer is valid JSON with these fields: {_NAMED}.",
    ),
    "as fenic": Way(
        lambda text: text,
        "You are an expert at extracting structured data from a document. Extract what the output schema asks for.\n\n"
        "# Output schema\n- name (string, may be null): the customer\n- amount (decimal, may be null): the money in all\n"
        "- date (date as YYYY-MM-DD, may be null): the day it names\n- pieces (integer, may be null): how many pieces\n\n# Rules\n- Use only what stands in the document.\n- Where a field is not in it, "
        "write null.\n- Write JSON that fits the schema and nothing else.",
    ),
    "as mall": Way(
        lambda text: (
            f"You are an engine that extracts from text and helps. Extract the {_NAMED} that the text speaks of. Four values are "
            f"expected exactly. Explain nothing. Your answer is for this text:\n{text}"
        ),
    ),
    "as openaivec": Way(
        lambda text: orjson.dumps({"id": 0, "body": text}).decode(),
        f"<Prompt><Purpose>Extract {_NAMED} from the text.</Purpose><Cautions><Caution>Leave out what the text does not say."
        "</Caution></Cautions></Prompt>",
    ),
}


def measure(qwen: Qwen, way: Way, schema: Any = LINE) -> dict[str, float]:
    """How many fields *way* gets right, how many rows at the first attempt, and what a row spends."""
    rows = orders()
    answers = qwen.ask_many(
        [way.question(row["text"]) for row in rows],
        system=way.system,
        schema=Schema.of(schema),
        temperature=0,
        thinking=False,
        max_tokens=MOST,
    )
    right = dict.fromkeys(FIELDS, 0)
    for row, answer in zip(rows, answers, strict=True):
        for field in FIELDS:
            right[field] += is_right(row, answer, field)
    whole = [answer for answer in answers if answer.error is None]
    return {
        **{field: count / len(rows) for field, count in right.items()},
        "all": sum(right.values()) / len(rows) / len(FIELDS),
        "first": sum(answer.attempts == 1 for answer in whole) / len(rows),
        "input": sum(answer.usage.input for answer in whole) / max(1, len(whole)),
        "output": sum(answer.usage.output for answer in whole) / max(1, len(whole)),
    }


def is_right(row: Mapping[str, Any], answer: Answer, field: str) -> bool:
    """Whether *answer* has in *field* what the text of *row* says."""
    if answer.error is not None:
        return False
    said, wanted = answer.data.get(field), row[field]
    if said is None or wanted is None:
        return said is wanted
    if field == "amount":
        return Decimal(str(said)) == Decimal(wanted)
    if field == "date":
        return date.fromisoformat(said) == date.fromisoformat(wanted)
    return bool(said.strip() == wanted if field == "name" else said == wanted)


def main(arguments: list[str]) -> None:
    """Print a line for each way."""
    folder, *wanted = arguments
    qwen = Qwen(endpoint="local", timeout=3600, cache_dir=folder)
    print("way | name | amount | date | pieces | fields right | valid first | input tokens | output tokens")
    for name, way in WAYS.items():
        if wanted and not any(word in name for word in wanted):
            continue
        got = measure(qwen, way)
        figures = " | ".join(f"{got[key]:.2f}" for key in FIELDS)
        print(
            f"{name} | {figures} | {got['all']:.3f} | {got['first']:.2f} | {got['input']:.1f} | {got['output']:.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1:])
