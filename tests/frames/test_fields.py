"""extract tells the model the fields of its schema; what is recorded under the words of 0.1 is recalled under them."""

from __future__ import annotations

import enum

import polars as pl
import pydantic
import pytest

from qwennb.frames.fields import tell_fields
from qwennb.request import Schema


class Mood(enum.Enum):
    CALM = "calm"
    CROSS = "cross"


class Line(pydantic.BaseModel):
    item: str
    count: int


class Order(pydantic.BaseModel):
    name: str = pydantic.Field(description="who\n  ordered")
    lines: list[Line]
    mood: Mood | None = None
    counts: dict[str, int]
    pair: tuple[int, str]
    made_of: Order | None = None


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ("name, age int?, tone str?", "- name\n- age (integer, may be null)\n- tone (may be null)"),
        ("due date?: when, amount Decimal", "- due (YYYY-MM-DD, may be null): when\n- amount (decimal)"),
        ("at datetime, took timedelta", "- at (YYYY-MM-DDThh:mm:ss)\n- took (ISO 8601 duration)"),
        ({"type": "object", "properties": {"x": True, "y": {"enum": [1, "a", None]}}}, "- x\n- y (1 or a, may be null)"),
        (list[int], ""),
    ],
)  # fmt: skip
def test_each_field_is_told_with_its_kind_and_what_is_said_of_it(wanted, told):
    assert tell_fields(Schema.of(wanted)) == told


def test_what_is_nested_is_told_inside_and_what_holds_itself_has_an_end():
    name, lines, mood, counts, pair, made_of = tell_fields(Schema.of(Order)).split("\n")
    assert name == "- name: who ordered"
    assert lines == "- lines (list of item, count (integer))"
    assert mood == "- mood (calm or cross, may be null)"
    assert (counts, pair) == ("- counts (object of integer)", "- pair (list of integer and string)")
    assert made_of.startswith("- made_of (name: who ordered, lines (") and made_of.count("name") <= 4


def test_extract_sends_the_fields_as_system_text_and_the_text_alone(simulate, client):
    sim = simulate("llama.cpp")
    frame = pl.DataFrame({"mail": ["Two teapots. Ada"]})
    frame.qwen.extract("mail", "name: who {{ orders }}, count int?", client=client(sim), system="Be exact.")
    system, question = sim.ledger.last().body["messages"]
    assert system["content"] == (
        "Be exact.\n\nExtract JSON:\n- name: who {{ orders }}\n- count (integer, may be null)"
    )
    assert question["content"] == "Two teapots. Ada"


def test_what_was_extracted_in_the_words_of_0_1_is_recalled_and_nobody_pays_twice(simulate, client):
    sim = simulate("vllm")
    qwen = client(sim)
    frame = pl.DataFrame({"mail": ["Two teapots. Ada", "One kettle. Grace"]})
    old = frame.qwen.extract("mail", "name, count int", client=qwen, prompt_version=1)
    assert "Take only what it says" in str(sim.ledger.last().body["messages"])
    assert frame.qwen.extract("mail", "name, count int", client=qwen).equals(old)
    assert sim.ledger.count("asked") == 2


def test_an_empty_text_that_0_1_asked_about_has_its_answer_and_is_asked_no_more(simulate, client, tmp_path):
    sim = simulate("vllm", script=lambda asked: '{"name": "nobody"}')
    frame, later = pl.DataFrame({"mail": ["", "a"]}), pl.DataFrame({"mail": ["", "b"]})
    made = frame.qwen.extract("mail", "name", client=client(sim), prompt_version=1)
    for mode in ("on", "replay"):
        assert frame.qwen.extract("mail", "name", client=client(sim, cache=mode)).equals(made)
    assert sim.ledger.count("asked") == len(frame)
    qwen = client(sim, cache_dir=tmp_path / "another")
    planned = later.qwen.plan.extract("mail", "name", client=qwen)
    assert planned.to_ask == 1
    made = later.qwen.extract("mail", "name", client=qwen)
    assert (
        made["extracted"].to_list() == [None, {"name": "nobody"}]
        and sim.ledger.count("asked") == len(frame) + 1
    )
    assert later.qwen.extract("mail", "name", client=qwen, cache="replay").equals(made)
