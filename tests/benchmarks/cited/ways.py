"""Ways to ask for quotes that were tried: the form, and the words that go with it.

CLAIMS are for questions, their words stand after the question; FIELDS for a schema, theirs in the system text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qwennb.request import Schema
from tests.benchmarks.verbs.extracting import LINE

_TEXT = {"type": "string"}


@dataclass(frozen=True)
class Way:
    """The form of the answer, and the words that ask for it."""

    form: Mapping[str, Any]
    words: str


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def _texts(most: int) -> dict[str, Any]:
    return {"type": "array", "items": _TEXT, "minItems": 1, "maxItems": most}


def _claims(most: int = 8, **properties: Any) -> dict[str, Any]:
    return _object(
        {"claims": {"type": "array", "minItems": 1, "maxItems": most, "items": _object(properties)}}
    )


_QUOTE_FIRST = _claims(quote=_TEXT, claim=_TEXT)
_CLAIM_FIRST = _claims(claim=_TEXT, quote=_TEXT)

CLAIMS: dict[str, Way] = {
    "a quote, then the claim: words that prove": Way(
        _QUOTE_FIRST,
        "Answer with JSON. For each claim, first copy the words of the source that prove it, exactly as they stand there, "
        'as "quote"; then say it as "claim".',
    ),
    "a quote, then the claim: as few as will do": Way(
        _QUOTE_FIRST,
        'Answer with one claim; only where one is not enough, with more. Before the claim copy, as "quote", the sentence of the '
        "text that proves it, word for word.",
    ),
    "a quote, then the claim: a short sentence": Way(
        _QUOTE_FIRST,
        'Give one short sentence of the text that answers this, copied word for word, as "quote"; then the answer as "claim". '
        "Give more than one claim only if the question asks for more.",
    ),
    "a quote, then the claim: one sentence": Way(
        _QUOTE_FIRST,
        'Copy the one sentence of the text that answers this, word for word, as "quote". Then answer, as "claim".',
    ),
    "a quote, then the claim: that you rest on": Way(
        _claims(5, quote=_TEXT, claim=_TEXT),
        'Answer with JSON: as "quote" the sentence of the text that you rest on, word for word; then the answer as "claim".',
    ),
    "quotes, then the claim: that you rest on": Way(
        _claims(5, quotes=_texts(3), claim=_TEXT),
        'Answer with JSON: as "quotes" the sentences of the text that you rest on, word for word; then the answer as "claim".',
    ),
    "quotes, then one answer": Way(
        _object({"quotes": _texts(5), "answer": _TEXT}),
        'Answer with JSON: as "quotes" the sentences of the text that you rest on, word for word; then "answer".',
    ),
    "the claim, then a quote: in one short sentence": Way(
        _CLAIM_FIRST,
        'Answer in one short sentence, as "claim"; then copy the sentence of the text that proves it, word for word, as "quote".',
    ),
}

_FIELDS: Mapping[str, Any] = Schema.of(LINE).types["properties"]
_EACH = {f"{name}_quote": _TEXT for name in _FIELDS}

FIELDS: dict[str, Way] = {
    "a quote before each field": Way(
        _object(
            {
                key: one
                for name, field in _FIELDS.items()
                for key, one in ((f"{name}_quote", _TEXT), (name, field))
            }
        ),
        'Before each field write its quote: the words of the text that it rests on, copied exactly; "" where it says nothing.',
    ),
    "a quote within each field": Way(
        _object({name: _object({"quote": _TEXT, "value": field}) for name, field in _FIELDS.items()}),
        'Each field has a "quote", the words of the text that it rests on, copied exactly ("" where it says nothing), and its "value".',
    ),
    "values, then quotes": Way(
        _object({"values": _object(_FIELDS), "quotes": _object(dict.fromkeys(_FIELDS, _TEXT))}),
        'The fields are "values"; then "quotes" has for each the words of the text that it rests on, copied exactly.',
    ),
}


def read_fields(data: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Read values and quotes, in whichever of these forms *data* is."""
    if "values" in data:
        return dict(data["values"]), dict(data["quotes"])
    if all(isinstance(data[name], dict) for name in _FIELDS):
        return {name: data[name]["value"] for name in _FIELDS}, {
            name: data[name]["quote"] for name in _FIELDS
        }
    return {name: data[name] for name in _FIELDS}, {name: data[f"{name}_quote"] for name in _FIELDS}
