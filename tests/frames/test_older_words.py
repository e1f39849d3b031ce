"""What was asked in the words of an older version of a verb is known in the newest, whatever way it is asked for."""

from __future__ import annotations

import polars as pl

import qwennb

FRAME = pl.DataFrame({"text": ["soup", "tea", "cake"]})
LABELS = ["praise", "complaint"]


def test_a_lazy_plan_counts_what_older_words_have_recorded(simulate, client):
    sim = simulate("openrouter", script=lambda asked: "praise")
    qwen, told = client(sim), []
    given = {"client": qwen, "meta": True, "progress": told.append}
    FRAME.head(2).qwen.classify("text", LABELS, prompt_version=1, **given)
    FRAME.qwen.classify("text", LABELS, **given)
    eager = told[-1]
    FRAME.lazy().qwen.classify("text", LABELS, **given).collect()
    qwennb.frames.EVALUATIONS.settle(at_once=True)
    assert told[-1].batches and (told[-1].done, told[-1].cached) == (3, 3)
    assert told[-1].line == eager.line and sim.ledger.count("asked") == 3


def test_the_draws_of_a_row_are_all_of_one_wording(simulate, client):
    sim = simulate("openrouter", script=lambda asked: "praise")
    qwen = client(sim)
    given = {"client": qwen, "meta": True}
    old = FRAME.head(2).qwen.classify("text", LABELS, prompt_version=1, draws=3, **given)
    FRAME.tail(1).qwen.classify("text", LABELS, prompt_version=1, **given)
    plan = FRAME.qwen.plan.classify("text", LABELS, draws=3, client=qwen)
    assert (plan.unique, plan.known, plan.to_ask) == (9, 6, 3)
    made = FRAME.qwen.classify("text", LABELS, draws=3, **given)
    lazily = FRAME.lazy().qwen.classify("text", LABELS, draws=3, **given).collect()
    assert made.head(2).equals(old) and lazily.equals(made)
    roles = [ask.body["messages"][0]["role"] for ask in sim.ledger.asks()]
    assert roles == ["user"] * 7 + ["system"] * 3, (
        "one draw in older words does not vote with two in newer ones"
    )
    FRAME.qwen.classify("text", LABELS, draws=4, **given)
    assert sim.ledger.count("asked") == 10 + 4 + 4 + 1
