"""Rows whose text was cut at the column's own `max_tokens`: values like any other, told once, named, or an error."""

from __future__ import annotations

import warnings
from functools import partial

import pandas as pd
import polars as pl
import pytest

import qwennb
from qwennb.client import QwenWarning
from qwennb.errors import Incomplete, QwenFrameWarning
from qwennb.simulator import Fault, Reply
from tests.conftest import NAMES

CUT = Reply("Once upon a time there was a rive", finish_reason="length", usage={"completion_tokens": 8})
ASK = {"max_tokens": 8, "thinking": False}
FRAME = pl.DataFrame({"text": ["a", "b", "c", None, "a"]})
PROMPT = "Tell: {{ text }}"


def answer(asked):
    """The model's text: all but that about `c` is cut."""
    return "Short." if asked.text.endswith("c") else CUT


def told(do):
    """What *do* gives back, and the words of our warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        made = do()
    ours = (QwenWarning, QwenFrameWarning)
    return made, [str(one.message) for one in caught if issubclass(one.category, ours)]


def is_told_once(words, count="2 of 3"):
    (said,) = words
    return count in said and "cut at max_tokens=8" in said and "larger max_tokens=" in said


RUNS = {
    "frame": lambda qwen: FRAME.qwen.ask(PROMPT, client=qwen, **ASK)["answer"].to_list(),
    "lazy": lambda qwen: FRAME.lazy().qwen.ask(PROMPT, client=qwen, **ASK).collect()["answer"].to_list(),
    "expression": lambda qwen: FRAME.select(pl.col("text").qwen.ask("Tell: {{ it }}", client=qwen, **ASK))[
        "text"
    ].to_list(),
    "pandas": lambda qwen: [
        None if pd.isna(value) else value
        for value in qwennb.ask(pd.DataFrame(FRAME.to_dict(as_series=False)), PROMPT, client=qwen, **ASK)[
            "answer"
        ]
    ],
}


@pytest.mark.parametrize("run", RUNS)
def test_cut_rows_are_values_told_once_live_and_from_memory(simulate, client, run):
    sim = simulate(script=answer)
    for _ in range(2):
        values, words = told(lambda: RUNS[run](client(sim)))
        assert values == [CUT.text, CUT.text, "Short.", None, CUT.text]
        assert is_told_once(words, "of 3" if run == "frame" else "cut"), words
    values, words = told(lambda: RUNS[run](client(sim, cache="replay")))
    assert values[0] == CUT.text and is_told_once(words, "cut")
    assert sim.ledger.count("asked") == 3


@pytest.mark.parametrize("dialect", NAMES)
def test_a_cut_row_is_paid_for_once_at_every_endpoint(simulate, client, dialect):
    sim = simulate(dialect, script=answer)
    for _ in range(2):
        _, words = told(lambda: FRAME.qwen.ask(PROMPT, client=client(sim), **ASK))
        assert is_told_once(words)
    assert sim.ledger.count("asked") == 3


def test_a_cut_row_is_marked_in_meta_and_is_no_error(simulate, client):
    sim = simulate(script=answer)
    for _ in range(2):
        made, _ = told(lambda: FRAME.qwen.ask(PROMPT, client=client(sim), meta=True, **ASK))
        meta = made["answer_meta"].struct
        assert meta.field("finish_reason").to_list() == ["length", "length", "stop", None, "length"]
        assert meta.field("error").null_count() == 5


def test_a_cut_row_is_named_beside_its_value(simulate, client):
    sim = simulate(script=answer)
    for _ in range(2):
        made, words = told(lambda: FRAME.qwen.ask(PROMPT, client=client(sim), on_error="column", **ASK))
        named = made["answer_error"].to_list()
        assert made["answer"][0] == CUT.text
        assert "max_tokens=8" in named[0] and "larger max_tokens=" in named[0]
        assert named[2] is None and named[3] is None
        assert not words


@pytest.mark.parametrize("run", ["frame", "lazy"])
def test_a_cut_row_is_an_error_where_errors_are_raised_and_is_kept_all_the_same(simulate, client, run):
    sim = simulate(script=answer)
    frame = FRAME if run == "frame" else FRAME.lazy()
    for _ in range(2):
        with pytest.raises(Exception, match=r"cut at max_tokens=8") as caught:
            made = frame.qwen.ask(PROMPT, client=client(sim), on_error="raise", **ASK)
            made.collect()
        if run == "frame":
            assert isinstance(caught.value, Incomplete) and "row 0" in str(caught.value)
    assert sim.ledger.count("asked") == 3


def test_rows_that_failed_and_rows_that_were_cut_share_one_warning(simulate, client):
    sim = simulate(script=lambda asked: Fault("400") if asked.text.endswith("b") else answer(asked))
    _, words = told(lambda: FRAME.qwen.ask(PROMPT, client=client(sim), **ASK))
    assert is_told_once(words, "1 of 3") and "failed" in words[0]


def test_a_row_cut_by_the_server_is_a_failed_row_and_asked_again(simulate, client):
    sim = simulate(script=lambda asked: Reply("Once upon", finish_reason="length"))
    for count in (3, 6):
        made, words = told(lambda: FRAME.qwen.ask(PROMPT, client=client(sim), max_tokens=90, thinking=False))
        assert made["answer"].null_count() == 5
        assert "3 of 3" in words[0] and "failed" in words[0]
        assert sim.ledger.count("asked") == count


@pytest.mark.parametrize(
    ("verb", "given", "text"),
    [
        ("classify", {"labels": ["yes", "no"]}, "yes"),
        ("score", {"criterion": "how urgent"}, '{"score": 0.5}'),
        ("extract", {"schema": "name"}, '{"name": "Ada"}'),
    ],
)
def test_a_form_that_was_cut_is_a_failed_row(simulate, client, verb, given, text):
    sim = simulate(script=lambda asked: Reply(text, finish_reason="length", usage={"completion_tokens": 8}))
    ask = getattr(FRAME.qwen, verb)
    made, _ = told(lambda: ask("text", *given.values(), client=client(sim), on_error="column", max_tokens=8))
    assert made.to_series(1).null_count() == 5
    assert made.to_series(2).drop_nulls().str.contains("larger max_tokens=").all()
    reader = client(sim)  # a folder that no client uses is closed
    assert len(reader.session.memory.store) == 0


def test_a_summary_that_was_cut_is_a_summary(simulate, client):
    sim = simulate(script=lambda asked: CUT)
    for _ in range(2):
        made, words = told(lambda: FRAME.qwen.summarize("text", client=client(sim), max_tokens=8))
        assert made["summary"].null_count() == 1 and is_told_once(words, "3 of 3")
    assert sim.ledger.count("asked") == 3


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.slow
def test_a_batch_brings_cut_texts_as_the_live_lane_does(simulate, client, own):
    reply = CUT if own else Reply("Once upon", finish_reason="length")
    sim = simulate("dashscope", script=lambda asked: reply)
    for lane in ("batch", "batch", "live"):
        ask = partial(FRAME.qwen.ask, PROMPT, client=client(sim), lane=lane, **ASK)
        made, words = told(ask)
        assert made["answer"].null_count() == (1 if own else 5)
        assert is_told_once(words, "3 of 3") if own else "failed" in words[0]
    assert sim.ledger.count("paid") == (3 if own else 9)


def test_the_clients_own_max_tokens_is_the_columns(simulate, client):
    sim = simulate(script=answer)
    for _ in range(2):
        made, words = told(lambda: FRAME.qwen.ask(PROMPT, client=client(sim, max_tokens=8), thinking=False))
        assert is_told_once(words)
        assert made["answer"].null_count() == 1
    assert sim.ledger.count("asked") == 3


def test_a_plan_counts_cut_rows_as_known(simulate, client):
    sim = simulate(script=answer)
    told(lambda: FRAME.qwen.ask(PROMPT, client=client(sim), **ASK))
    assert FRAME.qwen.plan(PROMPT, client=client(sim), **ASK).to_ask == 0
