"""Cells travel as a reader would write them, a null in a used column is null, and a request is the one made by hand."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import polars as pl
import pytest

from qwennb.errors import BadInput, TemplateError
from qwennb.frames.prompts import RequestTemplate, prompts
from qwennb.request import Message, Request, Schema, Settings, Template, Text


def text(prompt: str, **columns: object) -> list[str | None]:
    series = {n: v if isinstance(v, pl.Series) else pl.Series(n, v) for n, v in columns.items()}
    return prompts(Template.of(prompt), series).to_list()


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("as it is {{ x }}", "as it is {{ x }}"),
        (3, "3"),
        (2.5, "2.5"),
        (3.0, "3"),
        (-0.1, "-0.1"),
        (True, "true"),
        (dt.date(2024, 2, 29), "2024-02-29"),
        (dt.datetime.fromisoformat("2024-02-29T03:04:05"), "2024-02-29 03:04:05"),
        (dt.datetime.fromisoformat("2024-02-29T03:04:05.120"), "2024-02-29 03:04:05.120"),
        (dt.datetime(2024, 2, 29, 3, 4, tzinfo=dt.UTC), "2024-02-29 03:04:00+00:00"),
        (dt.time(3, 4, 5), "03:04:05"),
        (dt.timedelta(days=1, hours=2), "1d 2h"),
        (Decimal("1.50"), "1.50"),
        ([1, 2], "[1,2]"),
        (["a", None], '["a",null]'),
        ([[dt.date(2024, 1, 2)]], '[["2024-01-02"]]'),
        ({"a": 1, "b": Decimal("2.50")}, '{"a":1,"b":"2.50"}'),
        ([{"a": "x"}], '[{"a":"x"}]'),
    ],
)
def test_a_cell_is_written_as_a_reader_would(value, written):
    assert text("<{{ x }}>", x=[value, None]) == [f"<{written}>", None]


def test_categories_travel_by_name():
    for dtype in (pl.Categorical(), pl.Enum(["low", "high"])):
        assert text("{{ x }}", x=pl.Series("x", ["high", "low", None], dtype=dtype)) == ["high", "low", None]


def test_a_map_is_written_as_json_and_one_without_texts_for_keys_is_refused():
    made = pl.Series("x", [{"z": 1, "a": None}, {}, None], dtype=pl.Map(pl.String, pl.Int64))
    assert text("{{ x }}", x=made) == ['{"z":1,"a":null}', "{}", None]
    for within, dtype in (([{1: "a"}], pl.List), ({1: "a"}, lambda dtype: dtype)):
        made = pl.Series("x", [within], dtype=dtype(pl.Map(pl.Int64, pl.String)))
        with pytest.raises(BadInput, match=r"a map with keys of Int64.*\.map\.entries\(\)"):
            text("{{ x }}", x=made)


def test_nan_is_a_value_and_null_is_none():
    series = {"x": pl.Series("x", [float("nan"), None, 1.0])}
    assert prompts(Template.of("<{{ x }}>"), series).to_list() == ["<NaN>", None, "<1>"]
    assert prompts(Template.of("<{{ x }}>"), series, nulls=True).to_list() == ["<NaN>", "<>", "<1>"]


def test_several_columns_and_fields_of_structs():
    orders = [{"city": "Ulm", "n": 1}, {"city": None, "n": 2}, None]
    made = text(
        "{{ who }} in {{ order.city }}: {{ `odd name` }}",
        who=["a", "b", "c"],
        order=orders,
        **{"odd name": [1, 2, 3]},
    )
    assert made == ["a in Ulm: 1", None, None]


def test_a_null_that_is_sent_is_an_empty_text():
    series = {"x": pl.Series("x", [None, "a"], dtype=pl.String)}
    assert prompts(Template.of("<{{ x }}>"), series, nulls=True).to_list() == ["<>", "<a>"]


def test_an_unknown_name_names_the_nearest():
    with pytest.raises(TemplateError, match=r"no column `reveiw`; did you mean `review`"):
        text("{{ reveiw }}", review=["a"])
    with pytest.raises(TemplateError, match=r"`order` has no field `town`"):
        text("{{ order.town }}", order=[{"tow": 1}])


@pytest.mark.parametrize(
    "value",
    [b"\x00", [b"\x00"], {"a": b"\x00"}, pl.Series([{"a": b"\x00"}], dtype=pl.Map(pl.String, pl.Binary))],
)
def test_bytes_have_no_place_in_a_text(value):
    with pytest.raises(BadInput, match="holds bytes"):
        text("{{ x }}", x=value if isinstance(value, pl.Series) else [value])


TEXTS = ["plain", 'quotes " and \\ and \u2028', "ünïcödé 😀", "{{ x }}", "line\nbreak", "\x00\x1f", "1"]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize(
    ("system", "form"),
    [
        (None, {}),
        ("Be brief.", {"settings": Settings.of(temperature=0.0, thinking=False)}),
        (None, {"choices": ("a", "b")}),
        ("x", {"schema": Schema.of("name, age int")}),
    ],
)
def test_a_key_is_the_requests_own(text, system, form):
    before = (Message("system", (Text(system),)),) if system else ()
    byhand = Request("m", (*before, Message("user", (Text(text),))), **form)
    template = RequestTemplate("m", system, **form)
    assert template.key(text) == byhand.key == template.request(text).key
    assert template.request(text, key=template.key(text)) == byhand
