"""What a column's call shows of itself, to `?` and to checkers (Tab: tests/notebook/test_keywords.py); and the functions that are the same calls, typed."""

from __future__ import annotations

import inspect
from dataclasses import fields

import pandas as pd
import polars as pl
import pytest

import qwennb
from qwennb.client import Options
from qwennb.errors import BadInput
from qwennb.frames.draft_terms import TERM_CHECKS
from qwennb.frames.options import KINDS, OWN_MEANINGS, AskOptions, ColumnOptions, ExtractOptions

VERBS = {
    "ask": ("Say {{ text }}",),
    "classify": ("text", ["yes", "no"]),
    "extract": ("text", "name, age int"),
    "summarize": ("text",),
    "translate": ("text", "French"),
    "score": ("text", "how urgent"),
    "filter": ("{{ text }} swims",),
}
FRAME = pl.DataFrame({"text": ["a", "b"]})


def doors(verb: str) -> dict[str, object]:
    """Every way to *verb* but the plan's."""
    return {
        "function": getattr(qwennb, verb),
        "df": getattr(FRAME.qwen, verb),
        "lf": getattr(FRAME.lazy().qwen, verb),
        "expression": getattr(pl.col("text").qwen, verb),
        "plan": getattr(FRAME.qwen.plan, verb),
    }


def test_checkers_see_the_options_that_a_column_takes_with_their_types():
    written = {
        name: getattr(kind, "__forward_arg__", kind) for name, kind in AskOptions.__annotations__.items()
    }
    assert written == KINDS
    assert set(AskOptions.__annotations__) - set(ColumnOptions.__annotations__) == {
        "schema",
        "choices",
        "cite",
    }
    assert set(ExtractOptions.__annotations__) - set(ColumnOptions.__annotations__) == {"cite"}


def test_a_column_takes_every_option_of_a_call_but_those_for_one_question():
    for_one_question = {"images", "videos", "files", "tools", "tool_choice", "max_steps", "overflow"}
    of_a_call = {field.name for field in fields(Options)}
    assert set(KINDS) - set(OWN_MEANINGS) == of_a_call - for_one_question


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_shows_and_explains_each_option_at_every_door(verb):
    for where, call in doors(verb).items():
        shown = [
            name for name, one in inspect.signature(call).parameters.items() if one.kind is one.KEYWORD_ONLY
        ]
        wanted = {"ask": AskOptions, "extract": ExtractOptions}.get(verb, ColumnOptions)
        assert ("cite" in shown) == (verb in ("ask", "extract")), where
        kept_out = {"into", "meta"} if verb == "filter" else set()
        if verb not in ("classify", "score", "filter"):  # what can't be counted
            kept_out |= {"draws", "truth", *TERM_CHECKS}
            assert not {"draws", "truth", *TERM_CHECKS} & set(shown)
        for name, verbs in {"precision": "filter", "recall": "filter", "tolerance": "score"}.items():
            assert (name in shown) == (verb == verbs)
            kept_out |= set() if verb == verbs else {name}
        assert set(wanted.__annotations__) - kept_out <= set(shown), where
        for name in inspect.signature(call).parameters:
            assert f"\n{name}" in inspect.getdoc(call), (where, name)


def test_a_door_shows_no_parameter_that_it_gives_itself():
    for verb in VERBS:
        for where, call in doors(verb).items():
            shown = inspect.signature(call).parameters
            assert ("table" in shown) == ("\ntable : " in inspect.getdoc(call)) == (where == "function")
    assert "column" not in inspect.signature(pl.col("a").qwen.classify).parameters
    assert inspect.signature(FRAME.qwen.ask).parameters["prompt"].default is inspect.Parameter.empty


def test_an_option_that_only_one_question_has_is_refused_with_what_to_type():
    with pytest.raises(BadInput, match=r"image=\"photo\""):
        FRAME.qwen.ask("Say {{ text }}", images=["a.png"])
    with pytest.raises(BadInput, match="did you mean `on_error`"):
        qwennb.classify(FRAME, "text", ["a", "b"], on_eror="raise")


@pytest.mark.parametrize("verb", VERBS)
def test_a_function_gives_back_the_kind_of_table_that_it_was_given(simulate, client, verb):
    qwen = client(simulate())
    made = getattr(FRAME.qwen, verb)(*VERBS[verb], client=qwen)
    eager = getattr(qwennb, verb)(FRAME, *VERBS[verb], client=qwen)
    lazy = getattr(qwennb, verb)(FRAME.lazy(), *VERBS[verb], client=qwen)
    pandas = getattr(qwennb, verb)(
        pd.DataFrame({"text": ["a", "b"]}, index=[7, 9]), *VERBS[verb], client=qwen
    )
    assert eager.equals(made) and lazy.collect().equals(made)
    assert isinstance(pandas, pd.DataFrame) and list(pandas.columns) == made.columns
    assert set(pandas.index) <= {7, 9} and len(pandas) == len(made)


def test_col_has_the_verbs_of_an_expression(simulate, client):
    qwen = client(simulate())
    said = FRAME.select(qwennb.col("text").classify(["yes", "no"], client=qwen))
    assert said.equals(FRAME.select(pl.col("text").qwen.classify(["yes", "no"], client=qwen)))


def test_plan_as_a_function_is_the_plan_of_the_frame(simulate, client):
    sim = simulate()
    qwen = client(sim)
    for table in (FRAME, FRAME.lazy(), pd.DataFrame({"text": ["a", "b"]})):
        planned = qwennb.plan(table, "Say {{ text }}", client=qwen)
        assert (planned.rows, planned.unique) == (2, 2)
    assert str(planned) == str(FRAME.qwen.plan("Say {{ text }}", client=qwen))
    assert sim.ledger.count("asked") == 0


def test_what_is_no_table_is_refused_in_a_sentence():
    with pytest.raises(BadInput, match="item 0 is int"):
        qwennb.classify([1], "text", ["a", "b"])


def test_what_the_table_or_the_expression_gives_itself_is_no_option():
    with pytest.raises(BadInput, match="A column has no option `table`"):
        FRAME.qwen.ask("Say {{ text }}", table=FRAME)
    with pytest.raises(BadInput, match="A column has no option `column`"):
        pl.col("text").qwen.classify(["yes", "no"], column="text")
