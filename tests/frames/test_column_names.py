"""A name that nobody gave replaces no column; a name that was given is the column's, on an expression too."""

from __future__ import annotations

import polars as pl
import pytest

import qwennb
from qwennb.errors import BadInput

VERBS = {
    "answer": lambda q, **o: q.ask("Say {{ text }}", **o),
    "label": lambda q, **o: q.classify("text", ["yes", "no"], **o),
    "score": lambda q, **o: q.score("text", "how urgent", **o),
    "summary": lambda q, **o: q.summarize("text", **o),
    "translation": lambda q, **o: q.translate("text", to="French", **o),
}


@pytest.mark.parametrize("noun", VERBS)
def test_a_default_name_never_replaces_a_column_and_nothing_is_asked(simulate, client, noun):
    sim = simulate()
    qwen = client(sim)
    frame = pl.DataFrame({"text": ["a"], noun: ["gold"]})
    for table in (frame.qwen, frame.lazy().qwen):
        with pytest.raises(BadInput, match=rf'column `{noun}` already.*into="{noun}" to replace it'):
            VERBS[noun](table, client=qwen)
    assert sim.ledger.count("asked") == 0
    replaced = VERBS[noun](frame.qwen, client=qwen, into=noun)
    assert replaced.columns == ["text", noun] and replaced[noun][0] != "gold"
    assert VERBS[noun](frame.lazy().qwen, client=qwen, into=noun).collect().equals(replaced)
    assert VERBS[noun](frame.qwen, client=qwen, into="new")[noun][0] == "gold"


def test_a_default_name_of_what_stands_beside_replaces_nothing_either():
    for beside, options in (("answer_meta", {"meta": True}), ("answer_error", {"on_error": "column"})):
        frame = pl.DataFrame({"text": ["a"], beside: ["gold"]})
        with pytest.raises(BadInput, match=f"column `{beside}` already"):
            frame.qwen.ask("{{ text }}", **options)


def test_extract_and_its_plan_keep_what_is_there():
    frame = pl.DataFrame({"text": ["a"], "answer": ["gold"], "extracted": ["gold"]})
    with pytest.raises(BadInput, match="column `extracted` already"):
        frame.qwen.extract("text", "name, age int")
    with pytest.raises(BadInput, match="column `answer` already"):
        frame.qwen.plan.ask("{{ text }}")
    with pytest.raises(BadInput, match="column `answer` already"):
        frame.lazy().qwen.plan("{{ text }}")


def test_a_pandas_column_is_not_replaced_either(simulate, client):
    pandas = pytest.importorskip("pandas")
    qwen = client(simulate())
    table = pandas.DataFrame({"text": ["a"], "answer": ["gold"]})
    with pytest.raises(BadInput, match="column `answer` already"):
        qwennb.ask(table, "Say {{ text }}", client=qwen)
    assert qwennb.ask(table, "Say {{ text }}", client=qwen, into="answer")["answer"][0] != "gold"


def test_a_filter_makes_no_column_and_minds_none(simulate, client):
    qwen = client(simulate())
    frame = pl.DataFrame({"text": ["a"], "is it true": ["gold"], "answer": ["x"]})
    for kept in (
        frame.qwen.filter("{{ text }}", client=qwen),
        frame.lazy().qwen.filter("{{ text }}", client=qwen).collect(),
    ):
        assert kept.columns == frame.columns
    frame.qwen.plan.filter("{{ text }}", client=qwen)


def test_a_name_given_to_an_expression_is_its_name(simulate, client):
    qwen = client(simulate())
    frame = pl.DataFrame({"text": ["a"]})
    made = frame.with_columns(
        pl.col("text").qwen.ask("Say {{ it }}", into="said", client=qwen),
        pl.col("text").qwen.classify(["yes", "no"], into="label", client=qwen),
    )
    assert made.columns == ["text", "said", "label"] and made["text"][0] == "a"
    both = frame.select(pl.col("text").qwen.ask("Say {{ it }}", into="said", meta=True, client=qwen))
    assert both.columns == ["text"] and [f.name for f in both.schema["text"].fields] == ["said", "said_meta"]
