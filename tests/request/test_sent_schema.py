"""What is sent of a schema is what servers can hold an answer to; the key knows nothing of it."""

from __future__ import annotations

import datetime
import decimal
import re
from typing import Annotated, Literal, NamedTuple

import pydantic
import pytest

from qwennb.request import Request, Schema, read_duration
from qwennb.request.schema import steady_generator
from qwennb.request.wire_schema import plain_pattern


class Pair(NamedTuple):
    left_side: str
    right: int


class Order(pydantic.BaseModel):
    price: decimal.Decimal
    paid: decimal.Decimal | None = None
    tax: Annotated[decimal.Decimal, pydantic.Field(max_digits=8, decimal_places=2, ge=0, description="of it")]
    either: decimal.Decimal | float = 0
    prices: list[decimal.Decimal]
    took: datetime.timedelta
    counts: dict[str, int]
    named: dict[Literal["a", "b"], float]
    pair: tuple[int, str]
    p: Pair
    tags: set[str]


def test_the_key_of_a_class_is_that_of_0_1():
    assert Request("m", (), schema=Schema.of(Order)).key == "1997f8c479f8604b61ca046813c3c8d755c1e51770aff23cee20a8d2f2cf2125"  # fmt: skip


def test_the_pattern_that_some_pydantics_write_for_a_decimal_is_in_no_key():
    """pydantic 2.12 and 2.13 do by themselves; here a generator says so through pydantic's own hook."""

    class Patterned(steady_generator()):
        def get_decimal_pattern(self, schema):
            return "^[0-9]+$"

    adapter = pydantic.TypeAdapter(decimal.Decimal | None)
    assert adapter.json_schema(schema_generator=Patterned) == adapter.json_schema(
        schema_generator=steady_generator()
    )
    assert "pattern" not in str(adapter.json_schema(schema_generator=Patterned))


def test_a_decimal_is_sent_as_a_number_or_as_text_with_its_digits():
    sent = Schema.of(Order).wire_form()["properties"]
    text = {"type": "string", "pattern": r"^-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,9})?$"}
    plain = {"anyOf": [{"type": "number"}, text]}
    assert sent["price"] == plain == sent["prices"]["items"]
    assert sent["paid"]["anyOf"] == [plain, {"type": "null"}]
    assert sent["tax"] == {
        "anyOf": [
            {"type": "number", "minimum": 0},
            {"type": "string", "pattern": r"^(0|[1-9][0-9]{0,5})(\.[0-9]{1,2})?$"},
        ],
        "description": "of it",
    }
    bounded = Schema.of(Annotated[decimal.Decimal, pydantic.Field(ge=1, le=100)])
    assert bounded.wire_form() == {"type": "number", "minimum": 1, "maximum": 100}
    assert (
        "x-qwennb"
        not in str(Schema.of(Order).wire_form()) + str(Schema.of(Order).canonical()) + Schema.of(Order).text
    )


def test_a_decimal_that_is_written_as_a_number_keeps_every_digit():
    class Sums(pydantic.BaseModel):
        exact: decimal.Decimal
        near: float

    read = Schema.of(Sums).read('{"exact": 12345678901.100000001, "near": 0.5}')
    assert read.exact == decimal.Decimal("12345678901.100000001")
    assert Schema.of("exact Decimal").read('{"exact": 12345678901.100000001}') == {
        "exact": "12345678901.100000001"
    }
    assert Schema.of("exact Decimal").read('{"exact": 5181.74}') == {"exact": 5181.74}
    read = Schema.of(Sums).read('{"exact": 1.5, "near": 0.33333333333333333333}')
    assert (read.exact, read.near) == (decimal.Decimal("1.5"), 1 / 3)


@pytest.mark.parametrize(
    ("given", "pattern", "fits", "fails"),
    [
        (
            {"max_digits": 5},
            r"^-?(0|[1-9][0-9]{0,4})(\.[0-9]{1,5})?$",
            ["12345", "-0.12345"],
            ["123456", "007"],
        ),
        ({"decimal_places": 0}, "^-?(0|[1-9][0-9]{0,17})$", ["12", "0"], ["1.5"]),
        ({"max_digits": 2, "decimal_places": 2}, r"^-?0(\.[0-9]{1,2})?$", ["0.25"], ["1.25"]),
        ({"max_digits": 1, "decimal_places": 0}, "^-?[0-9]$", ["7"], ["17"]),
    ],
)
def test_the_digits_of_a_decimal_end_where_its_class_says(given, pattern, fits, fails):
    sent = Schema.of(Annotated[decimal.Decimal, pydantic.Field(**given)]).wire_form()
    number = "integer" if given.get("decimal_places") == 0 else "number"
    assert sent == {"anyOf": [{"type": number}, {"type": "string", "pattern": pattern}]}
    assert all(re.search(pattern, one) for one in fits) and not any(re.search(pattern, one) for one in fails)


def test_a_time_is_sent_as_a_pattern_that_makes_up_no_zone_and_has_an_end():
    sent = Schema.of("at datetime, open time, on date").wire_form()["properties"]
    for text in (
        "2024-02-29T12:30:00",
        "2024-02-29T12:30",
        "2024-02-29T12:30:00.25Z",
        "2024-02-29T12:30:00+02:00",
    ):
        assert re.search(sent["at"]["pattern"], text) and Schema.of(datetime.datetime).read(f'"{text}"')
        assert re.search(sent["open"]["pattern"], text[11:]) and Schema.of(datetime.time).read(
            f'"{text[11:]}"'
        )
    assert not re.search(sent["at"]["pattern"], "2024-02-29T12:30:00.1234567")
    assert sent["on"] == {"type": "string", "format": "date"}
    assert Schema.of("at datetime").wire_form(in_words=True) == Schema.of("at datetime").json


def test_a_field_that_may_be_null_is_sent_as_one_that_is_always_written():
    class Mail(pydantic.BaseModel):
        sender: str
        sent: datetime.date | None = None
        copies: int = 1
        tone: str | None = "calm"

    assert Schema.of(Mail).wire_form()["required"] == ["sender", "sent"]
    assert Schema.of("name, age int?, due date?").wire_form()["required"] == ["name", "age", "due"]
    assert Schema.of("name, age int?").json["required"] == ["name"]


def test_a_decimal_that_was_recorded_as_a_number_is_still_read():
    for text in ("19.99", '"19.99"'):
        assert Schema.of(decimal.Decimal).read(text) == decimal.Decimal("19.99")


def test_a_span_of_time_is_sent_as_a_pattern_that_fits_what_is_read():
    sent = Schema.of(datetime.timedelta).wire_form()
    assert sent["type"] == "string" and "format" not in sent and "ISO 8601" in sent["description"]
    for text in ("P2D", "PT1H30M", "PT45S", "P1DT2H", "PT0.5S", "PT90M"):
        assert re.search(sent["pattern"], text) and Schema.of(datetime.timedelta).read(
            f'"{text}"'
        ) == read_duration(text)
    for text in ("P", "PT", "2 days", "1H", "", "P1DT"):
        assert not re.search(sent["pattern"], text)
        with pytest.raises(ValueError):
            read_duration(text)
    assert read_duration("P1Y90DT3H") == datetime.timedelta(days=455, hours=3)
    assert read_duration("-1 day, 01:30:00") == -datetime.timedelta(days=1, hours=1, minutes=30)
    with pytest.raises(ValueError, match="duration"):
        Schema.of("took timedelta").read('{"took": "two hours"}')


def test_names_that_are_listed_are_sent_as_fields():
    assert Schema.of(Order).wire_form()["properties"]["named"] == {
        "type": "object",
        "properties": {"a": {"type": "number"}, "b": {"type": "number"}},
        "additionalProperties": False,
    }


def test_formats_that_servers_do_not_know_are_left_out_where_a_grammar_is_made():
    schema = Schema.of({"type": "array", "items": {"type": "string", "format": "path"}, "uniqueItems": True})
    assert schema.wire_form() == {"type": "array", "items": {"type": "string"}}
    assert schema.wire_form(in_words=True) == schema.json


PATTERNS = [
    (r"^[A-Z]{2}\d{3}$", "^[A-Z]{2}[0-9]{3}$", ["AB123"], ["AB12", "xAB123"]),
    (r"\d+", "^.*[0-9]+.*$", ["a1b"], ["ab"]),
    (r"^a", "^a.*$", ["abc"], ["ba"]),
    (r"a$", "^.*a$", ["ba"], ["ab"]),
    (r"cat|dog", "^.*(cat|dog).*$", ["a dog"], ["bird"]),
    (r"^(?:cat|dog)$", "^(cat|dog)$", ["dog"], ["a dog"]),
    (r"^(?P<n>x)+?y$", "^(x)+y$", ["xxy"], ["y"]),
    (r"^[\d.]+\s\w*$", r"^[0-9.]+[ \t\n\r][A-Za-z0-9_]*$", ["1. a"], ["a"]),
    (r"^\$\d$", r"^\$[0-9]$", ["$1"], ["1"]),
    (r"^a\$", r"^a\$.*$", ["a$b"], ["ab"]),
]


@pytest.mark.parametrize(("pattern", "plain", "fits", "fails"), PATTERNS)
def test_a_pattern_is_sent_from_edge_to_edge_in_plain_words(pattern, plain, fits, fails):
    assert plain_pattern(pattern) == plain
    assert Schema.of({"type": "string", "pattern": pattern}).wire_form()["pattern"] == plain
    for one in fits:
        assert re.search(pattern, one) and re.search(plain, one)
    for one in fails:
        assert not re.search(pattern, one) and not re.search(plain, one)


@pytest.mark.parametrize("pattern", [r"^(?!x)a$", r"^(?=.*\d).+$", r"(?<=a)b", r"\bword\b", r"^(a)\1$", r"^a|b$", r"^(?i:a)$", r"a^b"])  # fmt: skip
def test_a_pattern_that_no_grammar_holds_is_left_out_and_told(pattern):
    schema = Schema.of({"type": "object", "properties": {"code": {"type": "string", "pattern": pattern}}})
    assert schema.wire_form()["properties"]["code"] == {"type": "string"}
    assert schema.unenforceable == [f"`code`: the pattern {pattern}"]
    assert schema.wire_form(in_words=True) == schema.json


def test_what_every_server_holds_is_not_told_of():
    for wanted in (
        "name, age int, price Decimal, took timedelta",
        list[int],
        dict[str, float],
        tuple[int, str],
        Pair,
    ):
        assert Schema.of(wanted).unenforceable == []
    assert Schema.of(Order).unenforceable == ["`tags`: that nothing stands twice"]
