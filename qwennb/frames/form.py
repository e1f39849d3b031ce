"""The form of a column: its polars type, known before anything runs, and how an answer becomes a value of that type.

Text gives String, choices an Enum in the order given, a score Float64, a schema whatever it describes: objects with
named fields are Structs, lists Lists, dicts Maps, tuples Structs, dates Dates, spans of time Durations, Decimals Decimals,
a list of texts to choose from an Enum. What has no one type (any
object, either a number or a text) is kept as JSON text. A date with a time is without a zone: where the answer names
one, the value is UTC.
"""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import polars as pl

from qwennb.errors import ValidatorFailed, user_code
from qwennb.request import DECIMAL, Schema, decimal_digits, parse_json, read_duration

Read = Callable[[Any], Any]


class Same:
    """Equal to what holds the very same object. It holds it, too: else its `id` could be another's one day."""

    def __init__(self, held: object) -> None:
        self.held = held

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and other.held is self.held

    def __hash__(self) -> int:
        return id(self.held)


_INT64 = 2**63
_EXACT = decimal.Context(prec=100)  # digits enough that quantizing rounds nothing away before it is compared


@dataclass(frozen=True, slots=True)
class ColumnForm:
    """A column's type, and `value`, which makes a value of it out of an answer's text and data.

    `reader` tells forms of one type apart that read an answer differently.
    """

    dtype: pl.DataType
    value: Callable[[str, Any], Any]
    reader: object = None

    def series(self, values: list[Any]) -> pl.Series:
        """*values* as a column."""
        return pl.Series(values, dtype=self.dtype, strict=True)

    @classmethod
    def of(
        cls, schema: Schema | None, choices: Sequence[str] | None, *, take: str | None = None
    ) -> ColumnForm:
        """The form that a schema or choices ask for. *take* names the one field that is the value."""
        if choices is not None:
            return cls(pl.Enum(choices), lambda text, data: data)
        if schema is None:
            return cls(pl.String(), lambda text, data: text)
        dtype, read = _type_of(schema.types)
        if take is not None:
            assert isinstance(dtype, pl.Struct)
            inner = _fields(dtype)[take]
            if isinstance(inner, pl.List):  # labels: each once, in the order in which they were given
                order = list(schema.types["properties"][take]["items"]["enum"])
                return cls(inner, lambda text, data: [one for one in order if one in data[take]], take)
            return cls(inner, lambda text, data: read(data)[take], take)
        return cls(dtype, lambda text, data: read(_plain(schema, text, data)), Same(schema.target))


def _plain(schema: Schema, text: str, data: Any) -> Any:
    """The answer as plain JSON values: as the class of the schema has made it, where it has a class."""
    if schema.target is None:
        return data
    import pydantic

    said = parse_json(text)
    name = f"The class `{getattr(schema.target, '__name__', 'of the schema')}`"
    with user_code(name, ValidatorFailed, "Mend how it is written as JSON.", passing=(ValueError,)):
        made = pydantic.TypeAdapter(schema.target).dump_python(data, mode="json", by_alias=True)
    if isinstance(said, dict) and isinstance(made, dict):
        return {**said, **made}  # a field may be read by one name and written by another
    return made


def _type_of(schema: Mapping[str, Any]) -> tuple[pl.DataType, Read]:
    """The type that *schema* describes, and what makes a JSON value into one of it."""
    if DECIMAL in schema:
        return _decimal(schema[DECIMAL])
    for any_of in (schema.get("anyOf"), schema.get("oneOf")):
        if any_of:
            return _one_of([option for option in any_of if option.get("type") != "null"])
    if "allOf" in schema and len(schema["allOf"]) == 1:
        return _type_of(schema["allOf"][0])
    kind = schema.get("type")
    if isinstance(kind, list):
        return _one_of([{**schema, "type": one} for one in kind if one != "null"])
    listed = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if listed is not None:
        return _type_of_values([value for value in listed if value is not None])
    if kind == "object" and schema.get("properties"):
        return _struct(schema["properties"])
    if kind == "object" and isinstance(values := schema.get("additionalProperties"), Mapping) and values:
        return _map(schema, values)
    if kind == "array" and "prefixItems" in schema and schema.get("maxItems") == len(schema["prefixItems"]):
        return _tuple(schema["prefixItems"])
    if kind == "array" and isinstance(schema.get("items"), Mapping) and "prefixItems" not in schema:
        inner, read = _type_of(schema["items"])
        return pl.List(inner), lambda value: None if value is None else [read(item) for item in value]
    if kind == "string":
        return _TEXTS.get(schema.get("format", ""), (pl.String(), _as_it_is))
    return _PLAIN.get(kind if isinstance(kind, str) else "", (pl.String(), _json))


def _one_of(options: list[Mapping[str, Any]]) -> tuple[pl.DataType, Read]:
    made = [_type_of(option) for option in options]
    if not made:
        return pl.Null(), _as_it_is
    dtypes = [dtype for dtype, _ in made]
    if all(dtype == dtypes[0] for dtype in dtypes) and not isinstance(dtypes[0], pl.Struct):
        return made[0]
    if len(made) == 1:
        return made[0]
    if all(dtype.is_numeric() for dtype in dtypes):
        return _PLAIN["number"]
    return pl.String(), _json


def _type_of_values(values: list[Any]) -> tuple[pl.DataType, Read]:
    if values and all(isinstance(value, str) for value in values):
        return pl.Enum(list(dict.fromkeys(values))), _as_it_is
    for kind, name in ((bool, "boolean"), (int, "integer"), (int | float, "number")):
        if values and all(isinstance(value, kind) for value in values):
            return _PLAIN[name]
    return pl.String(), _json


def _struct(properties: Mapping[str, Any]) -> tuple[pl.DataType, Read]:
    fields = {name: _type_of(inner) for name, inner in properties.items()}
    readers = [(name, read) for name, (_, read) in fields.items()]

    def read(value: Any) -> Any:
        return None if value is None else {name: inner(value.get(name)) for name, inner in readers}

    return pl.Struct({name: dtype for name, (dtype, _) in fields.items()}), read


def _map(schema: Mapping[str, Any], values: Mapping[str, Any]) -> tuple[pl.DataType, Read]:
    """Names with values of one type: a Struct where the names are listed, else a Map."""
    named = schema.get("propertyNames")
    listed = named.get("enum") if isinstance(named, Mapping) else None
    if isinstance(listed, list) and all(isinstance(name, str) for name in listed):
        return _struct(dict.fromkeys(listed, values))
    dtype, read = _type_of(values)

    def read_map(value: Any) -> Any:
        return None if value is None else {name: read(inner) for name, inner in value.items()}

    return pl.Map(pl.String(), dtype), read_map


def _tuple(items: list[Any]) -> tuple[pl.DataType, Read]:
    """So many values in order: a Struct of `field_0`, `field_1` …, or of a NamedTuple's own names."""
    names = [_letters(item.get("title", "")) if isinstance(item, Mapping) else "" for item in items]
    if not all(names) or len(set(names)) < len(names):
        names = [f"field_{place}" for place in range(len(items))]
    dtype, read = _struct(dict(zip(names, items, strict=True)))
    return dtype, lambda value: None if value is None else read(dict(zip(names, value, strict=True)))


def _letters(title: str) -> str:
    return title.strip().replace(" ", "_").lower()


def _decimal(digits: Mapping[str, int]) -> tuple[pl.DataType, Read]:
    precision, scale = decimal_digits(digits)

    def read(value: Any) -> decimal.Decimal | None:
        if value is None:
            return None
        number = decimal.Decimal(str(value))
        kept = number.quantize(decimal.Decimal(1).scaleb(-scale), context=_EXACT)
        if kept != number or len(kept.as_tuple().digits) > precision:
            raise ValueError(f"{number} has more digits than a column of Decimals with {scale} places holds")
        return kept

    return pl.Decimal(precision, scale), read


def _fields(dtype: pl.Struct) -> dict[str, pl.DataType]:
    return {field.name: field.dtype for field in dtype.fields}  # type: ignore[misc]


def _as_it_is(value: Any) -> Any:
    return value


def _json(value: Any) -> Any:
    return None if value is None else value if isinstance(value, str) else orjson.dumps(value).decode()


def _whole(value: Any) -> int | None:
    if value is None:
        return None
    number = int(value)  # JSON Schema calls 3.0 an integer too
    if not -_INT64 <= number < _INT64:
        raise ValueError(f"{number} is too large for a column of whole numbers")
    return number


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _when(value: Any) -> datetime.datetime | None:
    if value is None:
        return None
    made = datetime.datetime.fromisoformat(value)
    return made if made.tzinfo is None else made.astimezone(datetime.UTC).replace(tzinfo=None)


def _time(value: Any) -> datetime.time | None:
    return None if value is None else datetime.time.fromisoformat(value).replace(tzinfo=None)


def _duration(value: Any) -> datetime.timedelta | None:
    return None if value is None else read_duration(value)


def _date(value: Any) -> datetime.date | None:
    return None if value is None else datetime.date.fromisoformat(value)


_TEXTS: dict[str, tuple[pl.DataType, Read]] = {
    "date": (pl.Date(), _date),
    "date-time": (pl.Datetime("us"), _when),
    "time": (pl.Time(), _time),
    "duration": (pl.Duration("us"), _duration),
}
_PLAIN: dict[str, tuple[pl.DataType, Read]] = {
    "integer": (pl.Int64(), _whole),
    "number": (pl.Float64(), _number),
    "boolean": (pl.Boolean(), _as_it_is),
    "null": (pl.Null(), _as_it_is),
}
