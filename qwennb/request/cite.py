"""What `cite=True` asks for: words, and a form in which quotes stand beside each claim, or beside the fields of a schema.

    claims    {"claims": [{"quotes": […], "claim": …}, …]}
    fields    {"values": {"name": …}, "quotes": {"name": …}}

Before a claim the quotes come first: a small model that copies before it says is right more often. Before a field they made
it wrong more often, so that values come first, as they would without quotes; said after the text, and not in the system text,
the words of fields made it wrong too. All this was measured (`python -m tests.benchmarks.cited`, docs/documents.md). Words and form are part of the request, so that its key names all
that is asked; how a quote is checked is not, for that is done anew with every answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple, Self

import orjson

from qwennb.errors import SchemaError
from qwennb.request.schema import Schema
from qwennb.request.strict_json import parse_json

CLAIMS_WORDS = 'Answer with JSON: as "quotes" the sentences of the text that you rest on, word for word; then the answer as "claim".'
FIELDS_WORDS = 'The fields are "values"; then "quotes" has for each the words of the text that it rests on, copied exactly.'
NO_QUOTES_OF_CHOICES = (
    "cite=True gives quotes for claims, or for the fields of a schema, and choices= asks for one word. Ask for a field with "
    'these choices, schema={"type": "object", "properties": {"label": {"enum": […]}}, "required": ["label"]}, or leave cite= out.'
)
# At temperature 0 a small model says the same again until its tokens are used up.
MOST_CLAIMS = 8
MOST_QUOTES = 3  # of one claim


class Claim(NamedTuple):
    """What was said, or the name of a field, and a quote that came with it; "" where none did."""

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
        return "values" in self.json["properties"]

    @property
    def fields(self) -> list[str]:
        """The names of the fields that have quotes."""
        return list(self.json["properties"]["quotes"]["properties"])

    @property
    def words(self) -> str:
        """What is said of the form: of fields at the end of the system text, and after the question else and within a conversation."""
        return FIELDS_WORDS if self.has_fields else CLAIMS_WORDS

    def read(self, text: str) -> Any:
        """Read the value in an answer's *text*; of claims that were cut, the whole ones."""
        return self.check(parse_cited(text))

    def check(self, value: Any) -> Any:
        """Make of *value* what the user's own schema makes of it without its quotes; None of free text."""
        Schema.check(self, value)
        values = values_in(value)
        return values if values is None or self.own is None else self.own.check(values)


def without_words(text: str) -> str:
    """Take off what *text* says of the form: these words are ours, and quoted they prove nothing."""
    return text.removesuffix(CLAIMS_WORDS).removesuffix(FIELDS_WORDS)


def parse_cited(text: str) -> Any:
    """Read the JSON in *text*. Claims that were cut (a small model may run on) are read up to the last whole one."""
    try:
        return parse_json(text, exact=True)
    except ValueError:
        if not _CLAIMS.match(text):
            raise
        ends = [place for place, sign in enumerate(text) if sign == "}"][-_MOST_ENDS:]
        for end in reversed(ends):
            with suppress(ValueError):
                return parse_json(f"{text[: end + 1]}]}}", exact=True)
        raise


_CLAIMS = re.compile(r'\s*\{\s*"claims"')
_MOST_ENDS = 20  # braces within quotes are passed by


def claims_in(value: Any) -> list[Claim]:
    """List what is claimed in *value*, an answer in such a form. ValueError where it is in none: packs come from strangers."""
    try:
        if "values" in value:
            quotes = value["quotes"]
            # What is null claims nothing.
            said = [name for name, one in value["values"].items() if one is not None]
            return [Claim(name, str(quotes.get(name, ""))) for name in said]
        return [
            Claim(str(one["claim"]), quote)
            for one in value["claims"]
            for quote in _list_quotes(one["quotes"])
        ]
    except (AttributeError, KeyError, TypeError):
        raise ValueError("the answer has no quotes in the form that was asked for") from None


def _list_quotes(quotes: Any) -> list[str]:
    if not isinstance(quotes, list):
        raise TypeError
    return [quote for quote in quotes if quote.strip()] or [""]


def values_in(value: Any) -> Any:
    """Take the fields out of *value*, an answer in such a form; None of free text."""
    return value.get("values")


@lru_cache(maxsize=1)
def _claims_form() -> Schema:
    quotes = {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": MOST_QUOTES}
    claim = _object({"quotes": quotes, "claim": {"type": "string"}})
    claims = {"type": "array", "items": claim, "minItems": 1, "maxItems": MOST_CLAIMS}
    return Schema.of(_object({"claims": claims}))


@lru_cache(maxsize=256)
def _fields_form(text: str, name: str) -> Schema:
    own = orjson.loads(text)
    definitions = own.pop("$defs", {})
    root = own
    if isinstance(ref := own.get("$ref"), str):  # a class that holds itself
        root = definitions.get(ref.removeprefix("#/$defs/"), {})
    fields: Mapping[str, Any] = root.get("properties", {})
    if not fields or '"$ref":"#"' in text:
        raise SchemaError(
            "cite=True puts a quote beside each field of an object, and this schema has no fields of its own, or names "
            'itself "#". Put what it describes into a field: schema="answer list[str]", or a class with one.'
        )
    made = _object({"values": own, "quotes": _object({field: {"type": "string"} for field in fields})})
    return Schema.of({**made, **({"$defs": definitions} if definitions else {}), "title": name})


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }
