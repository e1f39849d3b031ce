"""Ways to ask for quotes: the form, and the words after the question. `claims…` are for free text, `fields…` for a schema."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qwennb.request.cite import MOST_CLAIMS

_TEXT = {"type": "string"}


def _object(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _claims(**properties: Any) -> dict[str, Any]:
    listed = {"type": "array", "items": _object(**properties), "minItems": 1, "maxItems": MOST_CLAIMS}
    return _object(claims=listed)


QUOTE_FIRST = _claims(quote=_TEXT, claim=_TEXT)
CLAIM_FIRST = _claims(claim=_TEXT, quote=_TEXT)
ANSWER_LAST = _object(quotes={"type": "array", "items": _TEXT, "minItems": 1, "maxItems": 5}, answer=_TEXT)


@dataclass(frozen=True)
class Way:
    """The form of the answer, and the words after the question; *system* ones stand before."""

    form: Mapping[str, Any]
    words: str = ""
    system: str | None = None


CLAIMS: dict[str, Way] = {
    "quote first, prove": Way(
        QUOTE_FIRST,
        "Answer with JSON. For each claim, first copy the words of the source that prove it, exactly as they stand there, "
        'as "quote"; then say it as "claim".',
    ),
    "quote first, one claim": Way(
        QUOTE_FIRST,
        'Answer with one claim; only where one is not enough, with more. Before the claim copy, as "quote", the sentence of the '
        "text that proves it, word for word.",
    ),
    "quote first, short sentence": Way(
        QUOTE_FIRST,
        'Give one short sentence of the text that answers this, copied word for word, as "quote"; then the answer as "claim". '
        "Give more than one claim only if the question asks for more.",
    ),
    "quote first, one sentence": Way(
        QUOTE_FIRST,
        'Copy the one sentence of the text that answers this, word for word, as "quote". Then answer, as "claim".',
    ),
    "quotes, then one answer": Way(
        ANSWER_LAST,
        'Answer with JSON: as "quotes" the sentences of the text that you rest on, word for word; then "answer".',
    ),
    "claim first, short": Way(
        CLAIM_FIRST,
        'Answer in one short sentence, as "claim"; then copy the sentence of the text that proves it, word for word, as "quote".',
    ),
    "claim first, says so": Way(CLAIM_FIRST, "Then quote the sentence that says so."),
}
