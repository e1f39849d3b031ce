"""Charts and tables of other libraries are given on as what a model can read."""

from __future__ import annotations

import polars as pl
import pytest

from qwennb.errors import BadInput
from qwennb.request import Image, part_of
from qwennb.request.charts import draw_chart

FRAME = pl.DataFrame({"shop": ["east", "west"], "sales": [3, 1]})


@pytest.fixture
def chart():
    altair = pytest.importorskip("altair")
    return altair.Chart(FRAME).mark_bar().encode(x="shop:N", y="sales:Q")


def test_an_altair_chart_is_a_picture_and_the_same_each_time(chart):
    pytest.importorskip("vl_convert")
    drawn = part_of(chart)
    assert isinstance(drawn, Image) and drawn.size[0] > 50
    assert drawn.to_json() == Image(chart).to_json()


@pytest.mark.parametrize("package", ["vl_convert", "kaleido"])
def test_what_can_not_be_drawn_is_told_with_what_to_install(package, chart):
    figure = pytest.importorskip("plotly.graph_objects").Figure() if package == "kaleido" else chart
    noun = {"vl_convert": "an Altair chart", "kaleido": "a Plotly figure"}[package]
    with pytest.raises(BadInput, match=f"^This is {noun}. To have it drawn, type: pip install "):
        draw_chart(figure, find=lambda name: None)


def test_a_great_table_is_a_text_a_row_a_line():
    great_tables = pytest.importorskip("great_tables")
    table = great_tables.GT(FRAME).tab_header("Sales <b>").fmt_currency("sales")
    assert part_of(table).text == "Sales <b>\nshop | sales\neast | $3.00\nwest | $1.00"
