"""Several questions in one pass: `ask({"mood": "…", "dish": "…"})`."""

from __future__ import annotations

import pandas as pd
import polars as pl
import pytest

import qwennb
from qwennb.errors import BadInput, QwenError, QwenFrameWarning, TemplateError
from qwennb.simulator import Fault, Reply

FRAME = pl.DataFrame({"review": ["Cold soup.", "Warm tea.", "Cold soup."], "place": ["Ulm", None, "Ulm"]})
TWO = {"mood": "Mood of {{ review }}", "dish": "Dish of {{ review }} at {{ place }}"}


def asked_texts(sim) -> list[str]:
    return sorted(asked.body["messages"][-1]["content"] for asked in sim.ledger.asks())


def test_each_question_makes_its_own_column_by_its_own_requests(simulate, client):
    sim = simulate()
    qwen = client(sim)
    made = FRAME.qwen.ask(TWO, client=qwen)
    assert made.columns == ["review", "place", "mood", "dish"]
    assert asked_texts(sim) == ["Dish of Cold soup. at Ulm", "Mood of Cold soup.", "Mood of Warm tea."]
    assert made["dish"].null_count() == 1 and made["mood"].null_count() == 0
    one_by_one = FRAME.qwen.ask(TWO["mood"], into="mood", client=qwen).qwen.ask(
        TWO["dish"], into="dish", client=qwen
    )
    assert made.equals(one_by_one) and sim.ledger.count("asked") == 3


def test_several_questions_stand_at_every_door(simulate, client):
    sim = simulate()
    qwen = client(sim)
    made = FRAME.qwen.ask(TWO, client=qwen)
    assert qwennb.ask(FRAME, TWO, client=qwen).equals(made)
    assert FRAME.lazy().qwen.ask(TWO, client=qwen).collect().equals(made)
    value = FRAME.select(answers=pl.struct("review", "place").qwen.ask(TWO, client=qwen)).unnest("answers")
    assert value.equals(made.select("mood", "dish"))
    pandas = qwennb.ask(pd.DataFrame({"review": ["Cold soup."], "place": ["Ulm"]}), TWO, client=qwen)
    assert pandas.to_dict("records") == made.head(1).to_dicts()
    plan = FRAME.qwen.plan(TWO, client=qwen)
    assert (plan.rows, plan.skipped, plan.unique, plan.known) == (3, 0, 3, 3)
    assert str(qwennb.plan(FRAME, TWO, client=qwen)) == str(plan)
    assert sim.ledger.count("asked") == 3


def test_answers_to_several_questions_over_texts_keep_the_name_of_the_texts(simulate, client):
    qwen = client(simulate())
    two = {"mood": "Mood of {{ it }}", "dish": "Dish of {{ it }}"}
    assert FRAME.select(pl.col("review").qwen.ask(two, client=qwen)).columns == ["review"]
    assert FRAME["review"].qwen.ask(two, client=qwen).name == "review"
    assert pd.Series(["Cold soup."], name=7).qwen.ask(two, client=qwen).name == 7
    assert pd.Series(["Cold soup."]).qwen.ask(two, client=qwen).name is None


def test_several_questions_are_one_run_with_one_last_line(simulate, client):
    told = []
    FRAME.qwen.ask(TWO, client=client(simulate()), progress=told.append)
    [last] = [one for one in told if one.finished]
    assert len({one.run for one in told}) == 1 and (last.rows, last.unique, last.done) == (3, 3, 3)


def test_lazily_they_are_one_run_too_and_each_row_counts_once(simulate, client):
    told = []
    plan = FRAME.lazy().qwen.ask(TWO, client=client(simulate()), progress=told.append)
    plan.collect()
    qwennb.frames.EVALUATIONS.settle()
    [last] = [one for one in told if one.finished]
    assert (last.rows, last.unique, last.done) == (3, 3, 3)


def test_in_a_plan_a_question_that_nobody_selects_is_not_asked(simulate, client):
    sim = simulate()
    made = FRAME.lazy().qwen.ask(TWO, client=client(sim)).select("mood").collect()
    assert made.columns == ["mood"] and asked_texts(sim) == ["Mood of Cold soup.", "Mood of Warm tea."]


def test_the_answers_of_one_question_are_not_lost_because_the_other_fails(simulate, client):
    sim = simulate(script=lambda asked: Reply(fault=Fault("inspected")) if "Dish" in asked.text else None)
    qwen = client(sim)
    with pytest.warns(
        QwenFrameWarning, match=r"1 of 3 questions of columns `mood`, `dish` failed .*\(row 0 of `dish`\)"
    ):
        made = FRAME.qwen.ask(TWO, client=qwen)
    assert made["mood"].null_count() == 0 and made["dish"].null_count() == 3
    with pytest.raises(QwenError, match="all others are kept"):
        FRAME.qwen.ask(TWO, client=qwen, on_error="raise")
    assert qwen.ask("Mood of Warm tea.").cached


def test_options_hold_for_all_of_them(simulate, client):
    made = FRAME.qwen.ask(
        TWO,
        client=client(simulate()),
        choices=["good", "bad"],
        meta=True,
        on_error="column",
        system="Be brief.",
    )
    assert made.columns[2:] == ["mood", "mood_meta", "mood_error", "dish", "dish_meta", "dish_error"]
    assert made.schema["mood"] == made.schema["dish"] == pl.Enum(["good", "bad"])
    assert made["dish_meta"].struct.field("key").null_count() == 1


def test_what_two_questions_ask_alike_is_asked_once(simulate, client):
    sim = simulate()
    frame = pl.DataFrame({"a": ["x", "y"], "b": ["y", "z"]})
    made = frame.qwen.ask({"one": "Say {{ a }}", "two": "Say {{ b }}"}, client=client(sim))
    assert asked_texts(sim) == ["Say x", "Say y", "Say z"] and made["one"][1] == made["two"][0]


def test_a_budget_holds_for_all_of_them_together(simulate, client):
    sim = simulate()
    frame = pl.DataFrame({"n": range(40)})
    with pytest.warns(QwenFrameWarning, match="budget"):
        frame.qwen.ask(
            {"a": "Say {{ n }}", "b": "Repeat {{ n }}"},
            client=client(sim),
            model="plus",
            budget=0.0004,
            thinking=False,
            max_tokens=50,
        )
    assert 0 < sum(one.usage["cost"] for one in sim.ledger.asks() if one.usage) <= 0.0004


@pytest.mark.parametrize(
    ("prompt", "options", "error", "words"),
    [
        (TWO, {"into": "both"}, BadInput, "there is no into='both'"),
        ({}, {}, BadInput, "dict from the names"),
        ({1: "{{ review }}"}, {}, BadInput, "dict from the names"),
        ({"a": 1}, {}, BadInput, "The prompt is int, not text"),
        ({"a": "{{ review }}", "b": "Say"}, {}, TemplateError, "The prompt of `b` names no column"),
        ({"a": "{{ review }}", "b": "{{ revue }}"}, {}, TemplateError, "no column `revue`; did you mean `review`"),
        ({"a": "{{ review }}", "a_meta": "{{ review }}"}, {"meta": True}, BadInput, "would be called `a_meta`"),
    ],
)  # fmt: skip
def test_what_can_not_be_meant_is_refused_before_anything_is_sent(
    simulate, client, prompt, options, error, words
):
    sim = simulate()
    with pytest.raises(error, match=words):
        FRAME.qwen.ask(prompt, client=client(sim), **options)
    assert sim.ledger.count("arrived") == 0


def test_a_question_may_replace_a_column_that_the_others_read(simulate, client):
    made = FRAME.qwen.ask(
        {"review": "Shorten {{ review }}", "dish": "Dish of {{ review }}"}, client=client(simulate())
    )
    assert made.columns == ["review", "place", "dish"] and made["dish"][1].endswith("Dish of Warm tea.")
