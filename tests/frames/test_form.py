"""The type of a column is known before anything runs, and every answer that fits becomes a value of it."""

from __future__ import annotations

import datetime as dt
import enum
import gc
import weakref

import polars as pl
import pydantic
import pytest

from qwennb.frames.form import ColumnForm
from qwennb.request import Schema


class Level(enum.Enum):
    LOW = "low"
    HIGH = "high"


class Line(pydantic.BaseModel):
    item: str
    count: int


class Order(pydantic.BaseModel):
    name: str
    lines: list[Line]
    due: dt.date | None = None
    level: Level = Level.LOW
    price: float | None
    extra: dict[str, int] = {}

    @pydantic.field_validator("name")
    @classmethod
    def shout(cls, name: str) -> str:
        return name.upper()


def read(wanted: object, text: str) -> tuple[pl.DataType, object]:
    schema = Schema.of(wanted)
    form = ColumnForm.of(schema, None)
    return form.dtype, form.series([form.value(text, schema.read(text)), None]).to_list()[0]


def test_a_pydantic_class_is_a_struct_with_nested_optional_and_dated_fields():
    dtype, value = read(
        Order,
        '{"name": "ann", "lines": [{"item": "tea", "count": 2}], "due": "2024-02-29", "price": null, "level": "high"}',
    )
    assert dtype == pl.Struct(
        {
            "name": pl.String,
            "lines": pl.List(pl.Struct({"item": pl.String, "count": pl.Int64})),
            "due": pl.Date,
            "level": pl.Enum(["low", "high"]),
            "price": pl.Float64,
            "extra": pl.Map(pl.String, pl.Int64),
        }
    )
    assert value == {
        "name": "ANN",  # what the class makes of it is what arrives
        "lines": [{"item": "tea", "count": 2}],
        "due": dt.date(2024, 2, 29),
        "level": "high",
        "price": None,
        "extra": {},
    }


@pytest.mark.parametrize(
    ("wanted", "text", "dtype", "value"),
    [
        ("n int", '{"n": 3}', pl.Struct({"n": pl.Int64}), {"n": 3}),
        (
            "at datetime",
            '{"at": "2024-01-02T03:04:05+02:00"}',
            pl.Struct({"at": pl.Datetime("us")}),
            {"at": dt.datetime.fromisoformat("2024-01-02T01:04:05")},
        ),
        (
            "at datetime",
            '{"at": "2024-01-02T03:04:05"}',
            pl.Struct({"at": pl.Datetime("us")}),
            {"at": dt.datetime.fromisoformat("2024-01-02T03:04:05")},
        ),
        ("x float?", '{"x": null}', pl.Struct({"x": pl.Float64}), {"x": None}),
        (
            {"type": "array", "items": {"type": "boolean"}},
            "[true, false]",
            pl.List(pl.Boolean),
            [True, False],
        ),
        ({"type": ["integer", "number"]}, "2.5", pl.Float64(), 2.5),
        ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, "2", pl.String(), "2"),
        ({"type": "object"}, '{"a": 1}', pl.String(), '{"a":1}'),
        ({"enum": [1, 2]}, "2", pl.Int64(), 2),
    ],
)
def test_types_and_values(wanted, text, dtype, value):
    assert read(wanted, text) == (dtype, value)


def test_choices_are_an_enum_in_the_given_order():
    assert ColumnForm.of(None, ("yes", "no", "perhaps")).dtype == pl.Enum(["yes", "no", "perhaps"])


def test_a_number_too_large_for_the_column_is_no_value():
    with pytest.raises(ValueError, match="too large"):
        read("n int", '{"n": 99999999999999999999}')


def test_two_classes_of_one_type_never_pass_for_each_other_even_when_one_has_gone():
    """Told apart by the class itself: Python gives the `id` of one that has gone to the next."""

    def make() -> type[pydantic.BaseModel]:
        return pydantic.create_model("Dish", name=(str, ...))

    one, other = make(), make()
    first, again, second = (ColumnForm.of(Schema.of(kind), None) for kind in (one, one, other))
    assert first.dtype == second.dtype
    assert first.reader == again.reader and hash(first.reader) == hash(again.reader)
    assert first.reader != second.reader
    gone, reader = weakref.ref(one), first.reader
    del one, first, again
    gc.collect()
    assert gone() is not None and reader.held is gone()
