"""Each verb makes its column, of its type, under its name, on a frame, a lazy frame and an expression alike."""

from __future__ import annotations

import polars as pl
import pydantic
import pytest

from qwennb.simulator import Reply


class OrderLine(pydantic.BaseModel):
    item: str
    count: int


LABELS = ["praise", "complaint"]
VERBS = [
    ("classify", (LABELS,), "label", pl.Enum(LABELS)),
    ("extract", (OrderLine,), "extracted", pl.Struct({"item": pl.String, "count": pl.Int64})),
    ("extract", ("name, age int",), "extracted", pl.Struct({"name": pl.String, "age": pl.Int64})),
    ("summarize", (), "summary", pl.String()),
    ("translate", ("French",), "translation", pl.String()),
    ("score", ("how urgent, 1 to 5",), "score", pl.Float64()),
]


@pytest.mark.parametrize(("verb", "arguments", "noun", "dtype"), VERBS)
def test_a_verb_is_the_same_on_frame_lazy_frame_and_expression(
    simulate, client, verb, arguments, noun, dtype
):
    sim = simulate()
    frame = pl.DataFrame({"text": ["one", "two", None]})
    qwen = client(sim)
    eager = getattr(frame.qwen, verb)("text", *arguments, client=qwen)
    lazy = getattr(frame.lazy().qwen, verb)("text", *arguments, client=qwen).collect()
    said = frame.select(getattr(pl.col("text").qwen, verb)(*arguments, client=qwen))
    assert eager.columns == ["text", noun] and eager.schema[noun] == dtype
    assert eager.equals(lazy) and said["text"].equals(eager[noun], check_names=False)
    assert eager[noun].null_count() == 1
    # All three ask the same question, so it was asked once.
    assert sim.ledger.count("asked") == 2


@pytest.mark.parametrize(("verb", "arguments", "noun", "dtype"), VERBS)
def test_verbs_leave_thinking_off_and_ask_leaves_it_to_the_model(
    simulate, client, verb, arguments, noun, dtype
):
    sim = simulate("dashscope")
    frame = pl.DataFrame({"text": ["one"]})
    getattr(frame.qwen, verb)("text", *arguments, client=client(sim))
    assert sim.ledger.last().body["enable_thinking"] is False
    frame.qwen.ask("Say {{ text }}", client=client(sim))
    assert "enable_thinking" not in sim.ledger.last().body


def test_a_score_out_of_range_is_no_score(simulate, client):
    sim = simulate(script=lambda asked: Reply('{"score": 7}'))
    made = pl.DataFrame({"text": ["a"]}).qwen.score(
        "text", "how urgent, 0 to 1", client=client(sim), on_error="column"
    )
    assert made["score"].to_list() == [None] and "InvalidAnswer" in made["score_error"][0]


def test_filter_keeps_the_rows_of_which_it_is_true(simulate, client):
    sim = simulate(script=lambda asked: Reply("yes" if "fish" in asked.text else "no"))
    frame = pl.DataFrame({"text": ["fish", "meat", "raw fish", None]})
    qwen = client(sim)
    assert frame.qwen.filter("{{ text }} swims", client=qwen)["text"].to_list() == ["fish", "raw fish"]
    assert frame.lazy().qwen.filter("{{ text }} swims", client=qwen).collect()["text"].to_list() == [
        "fish",
        "raw fish",
    ]
    assert frame.filter(pl.col("text").qwen.filter("{{ it }} swims", client=qwen))["text"].to_list() == [
        "fish",
        "raw fish",
    ]
    assert sim.ledger.count("asked") == 3


def test_a_row_that_fails_does_not_vanish_in_a_filter(simulate, client):
    from qwennb.errors import RequestRefused

    sim = simulate(script=lambda asked: Reply("yes"))
    sim.fault("400", when=lambda asked: "meat" in asked.text)
    frame = pl.DataFrame({"text": ["fish", "meat"]})
    with pytest.raises(RequestRefused):
        frame.qwen.filter("{{ text }} swims", client=client(sim))
    reader = client(sim)  # a folder that no client uses is closed
    assert len(reader.session.memory.store) == 1


def test_a_subject_may_be_a_template_over_several_columns(simulate, client):
    sim = simulate()
    frame = pl.DataFrame({"title": ["T"], "odd name": ["B"]})
    frame.qwen.summarize("{{ title }}: {{ `odd name` }}", client=client(sim))
    assert sim.ledger.last().body["messages"][-1]["content"].endswith("Text:\nT: B")
