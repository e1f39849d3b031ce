"""Decimals, spans of time, dicts and tuples come as types that one can compute with."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import warnings
from typing import Annotated, Literal, NamedTuple

import polars as pl
import pydantic
import pytest

from qwennb.client import QwenWarning
from qwennb.frames.form import ColumnForm
from qwennb.request import Schema
from qwennb.simulator import Reply

from ..endpoints.real import real_llama_cpp  # noqa: F401

D = decimal.Decimal


class Side(NamedTuple):
    left_side: str
    right: float


class Bill(pydantic.BaseModel):
    price: D
    tax: D = pydantic.Field(ge=0, max_digits=8, decimal_places=2)
    paid: D | None = None
    took: dt.timedelta
    counts: dict[str, int]
    shares: dict[Literal["a", "b"], float]
    pair: tuple[int, str]
    side: Side


BILL = pl.Struct(
    {
        "price": pl.Decimal(38, 9), "tax": pl.Decimal(8, 2), "paid": pl.Decimal(38, 9), "took": pl.Duration("us"),
        "counts": pl.Map(pl.String, pl.Int64), "shares": pl.Struct({"a": pl.Float64, "b": pl.Float64}),
        "pair": pl.Struct({"field_0": pl.Int64, "field_1": pl.String}), "side": pl.Struct({"left_side": pl.String, "right": pl.Float64}),
    }
)  # fmt: skip
SAID = (
    '{"price": "19.99", "tax": 1.5, "paid": null, "took": "PT1H30M", "counts": {"tea": 2}, '
    '"shares": {"a": 0.5}, "pair": [1, "x"], "side": ["l", 2]}'
)


def test_a_class_gives_types_to_compute_with(simulate, client):
    qwen = client(simulate(script=lambda asked: Reply(SAID)))
    frame = pl.DataFrame({"text": ["a", None]})
    lazy = frame.lazy().qwen.extract("text", Bill, into="bill", client=qwen)
    assert lazy.collect_schema()["bill"] == BILL
    made = lazy.collect()
    assert made.equals(frame.qwen.extract("text", Bill, into="bill", client=qwen))
    first = made["bill"][0]
    assert (
        first["price"] == D("19.99")
        and first["tax"] == D("1.5")
        and first["took"] == dt.timedelta(minutes=90)
    )
    assert first["counts"] == {"tea": 2} and first["shares"] == {"a": 0.5, "b": None}
    assert first["pair"] == {"field_0": 1, "field_1": "x"} and first["side"] == {
        "left_side": "l",
        "right": 2.0,
    }
    bill = made["bill"].struct
    assert bill.field("price").sum() == D("19.99") and bill.field("took").dt.total_minutes()[0] == 90
    assert made.select(pl.col("bill").struct.field("counts").map.get("tea")).item(0, 0) == 2


@pytest.mark.parametrize("dialect", ["vllm", "sglang", "llama.cpp", "openrouter", "dashscope", "ollama", "lmstudio", "mlx-vlm"])  # fmt: skip
def test_what_every_server_writes_under_the_schema_fits_it(simulate, client, dialect):
    """The simulator writes whatever the schema that it was sent lets through."""
    sim = simulate(dialect)
    frame = pl.DataFrame({"n": range(12)})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = frame.qwen.extract("n", Bill, into="bill", client=client(sim))
    assert made.schema["bill"] == BILL and made["bill"].null_count() == 0
    assert sim.ledger.count("asked") == 12


@pytest.mark.parametrize(
    ("line", "text", "dtype", "value"),
    [
        ("x Decimal", '{"x": "0.1"}', pl.Decimal(38, 9), D("0.1")),
        ("x: Decimal?", '{"x": null}', pl.Decimal(38, 9), None),
        ("x: timedelta", '{"x": "P1DT2H"}', pl.Duration("us"), dt.timedelta(days=1, hours=2)),
        ("x: dict[str, date]", '{"x": {"a": "2024-02-29"}}', pl.Map(pl.String, pl.Date), {"a": dt.date(2024, 2, 29)}),
        ("x: dict[str, list[int]]", '{"x": {}}', pl.Map(pl.String, pl.List(pl.Int64)), {}),
        ("x: tuple[int, int]", '{"x": [1, 2]}', pl.Struct({"field_0": pl.Int64, "field_1": pl.Int64}), {"field_0": 1, "field_1": 2}),
        ("x: Literal['a', 'b']?", '{"x": null}', pl.Enum(["a", "b"]), None),
        ("x: time", '{"x": "12:30:00"}', pl.Time(), dt.time(12, 30)),
        ("x: dict", '{"x": {"a": 1}}', pl.String(), '{"a":1}'),
    ],
)  # fmt: skip
def test_types_of_a_line(line, text, dtype, value):
    schema = Schema.of(line)
    form = ColumnForm.of(schema, None)
    assert form.dtype == pl.Struct({"x": dtype})
    assert form.series([form.value(text, schema.read(text)), None]).to_list()[0] == {"x": value}


def test_one_enum_given_for_several_columns_makes_them_compare(simulate, client):
    moods = pl.Enum(["calm", "cross"])
    sim = simulate("vllm", script=lambda asked: '{"mood": "calm"}' if "mood" in str(asked.body) else "cross")
    qwen = client(sim)
    frame = pl.DataFrame({"text": ["a", "b"]})
    fields = {"type": "object", "properties": {"mood": moods}, "required": ["mood"]}
    made = (
        frame.qwen.classify("text", moods, client=qwen)
        .qwen.ask("{{ text }}?", choices=moods, client=qwen)
        .qwen.extract("text", fields, client=qwen)
    )
    assert made.schema["label"] == made.schema["answer"] == moods
    assert made.schema["extracted"] == pl.Struct({"mood": moods})
    mood = pl.col("extracted").struct.field("mood")
    compared = made.select(same=pl.col("label") == pl.col("answer"), other=mood == pl.col("label"))
    assert compared.to_dict(as_series=False) == {"same": [True, True], "other": [False, False]}


@pytest.mark.parametrize("labels", [pl.Enum(["a", "b"]), enum.StrEnum("Letters", {"A": "a", "B": "b"})])
def test_labels_may_stand_in_a_schema_as_a_field_or_as_its_enum(labels):
    for field in (labels, {"type": "string", "enum": labels}):
        made = Schema.of({"type": "object", "properties": {"x": field}})
        assert made.json["properties"] == {"x": {"type": "string", "enum": ["a", "b"]}}
        assert made == Schema.of(
            {"type": "object", "properties": {"x": {"type": "string", "enum": ["a", "b"]}}}
        )


def test_digits_that_a_column_has_no_place_for_are_an_error_of_that_row():
    schema = Schema.of(D)
    form = ColumnForm.of(schema, None)
    for text in ('"0.1234567891"', '"1e40"'):
        with pytest.raises(ValueError, match="more digits"):
            form.value(text, schema.read(text))


@pytest.mark.parametrize(
    ("given", "dtype", "most"),
    [
        ({"max_digits": 5}, pl.Decimal(10, 5), ["12345", "0.12345", "123.45"]),
        ({"decimal_places": 2}, pl.Decimal(38, 2), ["123456789.25"]),
        ({"max_digits": 2, "decimal_places": 2}, pl.Decimal(2, 2), ["0.25"]),
    ],
)
def test_a_column_of_decimals_holds_all_that_their_class_allows(given, dtype, most):
    schema = Schema.of(Annotated[D, pydantic.Field(**given)])
    form = ColumnForm.of(schema, None)
    assert form.dtype == dtype
    values = [form.value(f'"{text}"', schema.read(f'"{text}"')) for text in most]
    assert form.series(values).to_list() == [D(text) for text in most]


def test_what_a_server_cannot_hold_is_said_once_before_the_run(simulate, client):
    wanted = {"type": "object", "properties": {"code": {"type": "string", "pattern": r"^(?!x)\d+$"}}}
    frame = pl.DataFrame({"n": range(5)})
    told = r"can't hold an answer to this of the schema: `code`: the pattern \^\(\?!x\)"
    sim = simulate("vllm", script=lambda asked: Reply('{"code": "12"}'))
    qwen = client(sim)
    with pytest.warns(QwenWarning, match=told) as said:
        frame.qwen.ask("{{ n }}", schema=wanted, client=qwen)
        qwen.ask("a", schema=wanted)
    assert len(said) == 1
    assert "pattern" not in str(sim.ledger.last().body["response_format"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        client(simulate("dashscope", script=lambda asked: Reply('{"code": "12"}'))).ask("a", schema=wanted)


@pytest.mark.real
def test_a_real_grammar_takes_the_schema_and_ends(real_llama_cpp):  # noqa: F811
    text = "The kettle took 90 minutes and cost 19.99 plus 1.50 tax."
    made = pl.DataFrame({"text": [text]}).qwen.extract(
        "text", Bill, into="bill", client=real_llama_cpp, on_error="raise", temperature=0.0, max_tokens=400
    )
    assert made["bill"][0]["price"] is not None
