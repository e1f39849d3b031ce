"""What was asked in the words of an older version of a verb is known in the newest, whatever way it is asked for."""

from __future__ import annotations

import polars as pl
import pytest

import qwennb
from qwennb.simulator import Options

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


def stop_at_once(progress):
    if progress.note.startswith("batch "):
        progress.stop()


ASKS = {
    "classify": lambda door, **given: door.classify("text", LABELS, **given),
    "extract": lambda door, **given: door.extract("text", "name, age int", **given),
    "draws": lambda door, **given: door.classify("text", LABELS, draws=3, **given),
    "refresh": lambda door, **given: door.classify("text", LABELS, cache="refresh", **given),
}


@pytest.mark.filterwarnings("ignore::qwennb.errors.QwenWarning")
@pytest.mark.parametrize("is_lazy", [False, True])
@pytest.mark.parametrize("verb", ASKS)
@pytest.mark.slow
def test_a_batch_that_was_left_in_older_words_is_taken_up(simulate, client, verb, is_lazy):
    sim, ask = simulate("dashscope", options=Options(batch_polls=3)), ASKS[verb]
    qwen, draws = client(sim), 3 if verb == "draws" else 1
    given = {"client": qwen, "lane": "batch"}
    ask(FRAME.head(2).qwen, prompt_version=1, progress=stop_at_once, **given)
    [left] = qwennb.batches(qwen)
    plan = ask(FRAME.qwen.plan, **given)
    assert (left.questions, plan.under_way, plan.to_ask) == (2 * draws, 2 * draws, draws)
    table = FRAME.lazy() if is_lazy else FRAME
    made = ask(table.qwen, meta=True, **given).lazy().collect()
    assert made[:, 1].null_count() == 0 and sim.ledger.count("paid") == 3 * draws
    assert qwennb.batches(qwen) == [], "and the one that was left is fetched"
    roles = [asked.body["messages"][0]["role"] for asked in sim.ledger.asks()]
    assert roles == ["user"] * 2 * draws + ["system"] * draws, "each in the words that it was asked in"


@pytest.mark.filterwarnings("ignore::qwennb.errors.QwenWarning")
def test_what_a_batch_in_older_words_did_not_answer_is_asked_in_the_newest(simulate, client):
    sim = simulate("dashscope", options=Options(batch_polls=100, batch_answers=1))
    given = {"client": client(sim), "lane": "batch"}
    FRAME.qwen.classify("text", LABELS, prompt_version=1, progress=stop_at_once, **given)
    qwennb.batches(given["client"])[0].cancel()
    FRAME.qwen.classify("text", LABELS, progress=stop_at_once, **given)
    [second] = qwennb.batches(given["client"])
    assert second.questions == 2 and FRAME.qwen.plan.classify("text", LABELS, **given).known == 1
