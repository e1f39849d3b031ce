"""What `cite=True` asks for: words, and a form in which each claim, or each field of a schema, has its quote before it.

    claims    {"claims": [{"quote": …, "claim": …}, …]}
    fields    {"name": {"quote": …, "value": …}, …}

The quote comes first: a small model grounds better when it copies before it says. Which words and which form serve best was
measured (`python -m tests.benchmarks.cited`, docs/documents.md). Both are part of the request, so that its key names all
that is asked; how a quote is checked is not, for that is done anew with every answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple, Self

import orjson

from qwennb.errors import SchemaError
from qwennb.request.schema import Schema
from qwennb.request.wire_schema import takes_null

CLAIMS_WORDS = (
    "Answer with JSON. For each claim, first copy the words of the source that prove it, exactly as they stand there, "
    'as "quote"; then say it as "claim".'
)
FIELDS_WORDS = 'Each field has a "quote", the words of the text that it rests on, copied exactly ("" where it says nothing), and its "value".'
NO_QUOTES_OF_CHOICES = (
    "cite=True gives quotes for claims, or for the fields of a schema, and choices= asks for one word. Ask for a field with "
    'these choices, schema={"type": "object", "properties": {"label": {"enum": […]}}, "required": ["label"]}, or leave cite= out.'
)
MOST_CLAIMS = 8  # at temperature 0 a small model says the same again until its tokens are used up


class Claim(NamedTuple):
    """What was said, or the name of a field, and the quote that stood before it; "" where none did."""

    claim: str
    quote: str


@dataclass(frozen=True, slots=True)
class CitedSchema(Schema):
    """The form of an answer with quotes; *own* is the user's schema, where one was given and did not come from a pack."""

    own: Schema | None = field(default=None, compare=False, repr=False)

    @classmethod
    def around(cls, own: Schema | None) -> Self:
        """Make the form that is asked for in place of *own*, or of free text."""
        form = _claims_form() if own is None else _fields_form(own.typed or own.text, own.name)
        return cls(form.text, form.name, None, form.typed, own)

    @property
    def has_fields(self) -> bool:
        """Tell a schema's fields from the claims of free text."""
        return "items" not in self.json["properties"].get("claims", {})

    @property
    def words(self) -> str:
        """What is said of the form, after the question."""
        return FIELDS_WORDS if self.has_fields else CLAIMS_WORDS

    def check(self, value: Any) -> Any:
        """Make of *value* what the user's own schema makes of it without its quotes; None of free text."""
        Schema.check(self, value)
        values = values_in(value)
        return values if values is None or self.own is None else self.own.check(values)


def without_words(text: str) -> str:
    """Take off what *text* says of the form: these words are ours, and quoted they prove nothing."""
    return text.removesuffix(CLAIMS_WORDS).removesuffix(FIELDS_WORDS)


def claims_in(value: Any) -> list[Claim]:
    """List what is claimed in *value*, an answer in such a form. ValueError where it is in none: packs come from strangers."""
    try:
        if isinstance(listed := value.get("claims"), list):
            return [Claim(str(one["claim"]), str(one["quote"])) for one in listed]
        # What is null claims nothing.
        return [
            Claim(str(name), str(one["quote"])) for name, one in value.items() if one["value"] is not None
        ]
    except (AttributeError, KeyError, TypeError):
        raise ValueError("the answer has no quotes in the form that was asked for") from None


def values_in(value: Any) -> dict[str, Any] | None:
    """Take the values of the fields out of *value*, an answer in such a form; None of free text."""
    if isinstance(value.get("claims"), list):
        return None
    return {name: one["value"] for name, one in value.items()}


@lru_cache(maxsize=1)
def _claims_form() -> Schema:
    claim = _object({"quote": {"type": "string"}, "claim": {"type": "string"}})
    claims = {"type": "array", "items": claim, "minItems": 1, "maxItems": MOST_CLAIMS}
    return Schema.of(_object({"claims": claims}))


@lru_cache(maxsize=256)
def _fields_form(text: str, name: str) -> Schema:
    root = types = orjson.loads(text)
    if isinstance(ref := root.get("$ref"), str):  # a class that holds itself
        root = types.get("$defs", {}).get(ref.removeprefix("#/$defs/"), {})
    fields: Mapping[str, Any] = root.get("properties", {})
    if not fields or '"$ref":"#"' in text:
        raise SchemaError(
            "cite=True puts a quote beside each field of an object, and this schema has no fields of its own, or names "
            'itself "#". Put what it describes into a field: schema="answer list[str]", or a class with one.'
        )
    required = root.get("required", ())
    made = _object(
        {name: _object({"quote": {"type": "string"}, "value": field}) for name, field in fields.items()},
        [name for name, field in fields.items() if name in required or takes_null(field)],
    )
    beside = {word: types[word] for word in ("$defs", "description") if word in types}
    return Schema.of({**made, **beside, "title": name})


def _object(properties: Mapping[str, Any], required: list[str] | None = None) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties) if required is None else required,
        "additionalProperties": False,
    }
