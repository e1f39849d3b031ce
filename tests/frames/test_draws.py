"""`draws=`: several draws of each row, of which the majority counts; of scores the median."""

from __future__ import annotations

import json

import pandas as pd
import polars as pl
import pytest

import qwennb
from qwennb.errors import BadInput, QwenError, QwenFrameWarning
from qwennb.frames.outcome import Outcome, count_votes
from qwennb.simulator import Fault, Options, Reply

FRAME = pl.DataFrame({"text": ["soup", "tea", "soup", None]})
LABELS = ["praise", "complaint"]


def says(*answers):
    """A script whose draws answer so, one after the other, to whatever is asked."""

    def reply(asked):
        answer = answers[asked.sample]
        return (
            answer
            if isinstance(answer, Reply)
            else json.dumps(answer)
            if isinstance(answer, dict)
            else answer
        )

    return reply


def labels(*answers: str):
    """The same for labels, as this server gives them."""
    return says(*({"answer": answer} for answer in answers))


def meta(made: pl.DataFrame, name: str) -> dict[str, object]:
    return made[f"{name}_meta"].struct.unnest().row(0, named=True)


def test_the_majority_of_the_draws_counts_and_meta_says_how_large_it_was(simulate, client):
    sim = simulate("openrouter", script=labels("praise", "complaint", "complaint", "praise", "complaint"))
    made = FRAME.qwen.classify("text", LABELS, client=client(sim), draws=5, meta=True)
    assert made["label"].to_list() == ["complaint", "complaint", "complaint", None]
    told = meta(made, "label")
    assert (told["agreement"], told["draws"], told["tie"]) == (0.6, 5, False)
    assert sim.ledger.count("asked") == 10, "five of each of two texts"
    assert told["attempts"] == 5 and told["input_tokens"] == sum(
        one.usage["prompt_tokens"] for one in sim.ledger.asks() if "soup" in str(one.body)
    )


def test_a_tie_goes_to_the_first_label_and_meta_says_so(simulate, client):
    sim = simulate("openrouter", script=labels("complaint", "praise"))
    made = FRAME.head(1).qwen.classify("text", LABELS, client=client(sim), draws=2, meta=True)
    assert made["label"].to_list() == ["praise"] and meta(made, "label")["tie"] is True


def test_of_scores_the_median_counts(simulate, client):
    sim = simulate("openrouter", script=says({"score": 1}, {"score": 5}, {"score": 2}))
    made = FRAME.head(1).qwen.score(
        "text", "how urgent", low=1, high=5, integer=True, client=client(sim), draws=3, meta=True
    )
    assert made["score"].to_list() == [2]
    assert meta(made, "score")["agreement"] == pytest.approx(1 - (1 + 3 + 0) / 3 / 4)


def test_filter_keeps_the_rows_that_most_draws_keep(simulate, client):
    sim = simulate("openrouter", script=labels("yes", "no", "yes"))
    assert FRAME.qwen.filter("{{ text }} is food", client=client(sim), draws=3).height == 3


def test_more_draws_later_ask_only_for_those(simulate, client):
    sim = simulate()
    qwen = client(sim)
    FRAME.qwen.classify("text", LABELS, client=qwen, draws=5)
    before = sim.ledger.count("asked")
    FRAME.qwen.classify("text", LABELS, client=qwen, draws=7)
    assert (before, sim.ledger.count("asked")) == (10, 14)


def test_the_first_draw_is_the_plain_question_at_the_models_temperature(simulate, client):
    sim = simulate()
    qwen = client(sim)
    FRAME.head(1).qwen.classify("text", LABELS, client=qwen, draws=2)
    assert all(one.body.get("temperature") != 0 for one in sim.ledger.asks())
    FRAME.head(1).qwen.classify("text", LABELS, client=qwen, draws=1, temperature=0.7)
    FRAME.head(1).qwen.classify("text", LABELS, client=qwen, temperature=0.7)
    assert sim.ledger.count("asked") == 3, "one draw is the question itself"


def test_the_plan_counts_every_draw(simulate, client):
    sim = simulate()
    qwen = client(sim, model="plus")
    one = FRAME.qwen.plan.classify("text", LABELS, client=qwen, temperature=0.7)
    five = FRAME.qwen.plan.classify("text", LABELS, client=qwen, draws=5)
    assert (five.unique, five.to_ask, five.draws) == (10, 10, 5)
    assert five.cost == pytest.approx(5 * one.cost) and "10 unique questions (5 draws each)" in str(five)
    FRAME.qwen.classify("text", LABELS, client=qwen, draws=3)
    assert FRAME.qwen.plan.classify("text", LABELS, client=qwen, draws=5).known == 6


def test_a_draw_that_fails_is_told_and_the_others_decide(simulate, client):
    lost = Reply(fault=Fault("inspected"))
    praise = labels("praise", "praise", "praise")
    sim = simulate(
        "openrouter",
        script=lambda asked: lost if asked.sample == 1 and "tea" in asked.text else praise(asked),
    )
    qwen = client(sim)
    with pytest.warns(
        QwenFrameWarning, match=r"1 of 6 draws of column `label` failed; the others .*\(row 1\)"
    ):
        made = FRAME.qwen.classify("text", LABELS, client=qwen, draws=3, meta=True)
    assert made["label"].to_list() == ["praise", "praise", "praise", None]
    assert made["label_meta"].struct.field("draws").to_list() == [3, 2, 3, None]
    made = FRAME.qwen.classify("text", LABELS, client=qwen, draws=3, on_error="column")
    assert made["label_error"][1].startswith("1 of 3 draws failed. The first: ContentFiltered")
    with pytest.warns(
        QwenFrameWarning, match="1 of 6 draws"
    ):  # though a filter raises where a whole row fails
        assert FRAME.qwen.classify("text", LABELS, client=qwen, draws=3, on_error="raise").equals(
            made.drop("label_error")
        )


def test_a_row_without_any_draw_is_an_error_like_any_other(simulate, client):
    sim = simulate(script=lambda asked: Reply(fault=Fault("inspected")) if "tea" in asked.text else None)
    qwen = client(sim)
    with pytest.warns(QwenFrameWarning, match="3 of 6 draws"):
        made = FRAME.qwen.classify("text", LABELS, client=qwen, draws=3, meta=True)
    assert made["label"].is_null().to_list() == [False, True, False, True]
    assert "ContentFiltered" in made["label_meta"].struct.field("error")[1]
    with pytest.raises(QwenError, match=r"3 of 6 failed.*\(row 1\)"):
        FRAME.qwen.classify("text", LABELS, client=qwen, draws=3, on_error="raise")


def test_draws_stand_at_every_door_and_are_asked_once(simulate, client):
    sim = simulate()
    given = {"client": client(sim), "draws": 3}
    made = FRAME.qwen.classify("text", LABELS, **given)
    assert FRAME.lazy().qwen.classify("text", LABELS, **given).collect().equals(made)
    value = FRAME.select(pl.col("text").qwen.classify(LABELS, **given)).to_series()
    assert value.to_list() == made["label"].to_list()
    pandas = qwennb.classify(pd.DataFrame({"text": ["soup", "tea"]}), "text", LABELS, **given)
    assert pandas["label"].to_list() == made["label"].to_list()[:2]
    assert sim.ledger.count("asked") == 6


def test_without_the_cache_a_lazy_plan_asks_each_draw_once(simulate, client):
    sim = simulate()
    qwen = client(sim, cache="off")
    plan = FRAME.lazy().qwen.classify("text", LABELS, client=qwen, draws=3, meta=True)
    plan.unnest("label_meta").collect()
    assert sim.ledger.count("asked") == 6


def test_draws_go_by_batch_too_and_the_live_lane_finds_each(simulate, client):
    sim = simulate("dashscope", options=Options(batch_polls=1))
    qwen = client(sim)
    made = FRAME.qwen.classify("text", LABELS, client=qwen, draws=3, lane="batch")
    assert sim.ledger.count("paid") == 6
    assert (
        FRAME.qwen.classify("text", LABELS, client=qwen, draws=3).equals(made)
        and sim.ledger.count("paid") == 6
    )


def test_draws_replay_with_no_server(simulate, client, tmp_path):
    sim = simulate()
    live = FRAME.qwen.classify("text", LABELS, client=client(sim), draws=3, meta=True)
    sim.stop()
    qwen = qwennb.Qwen(cache="replay", cache_dir=tmp_path / "cache", model="qwen3.5-flash")
    assert FRAME.qwen.classify("text", LABELS, client=qwen, draws=3, meta=True).equals(live)
    with pytest.warns(QwenFrameWarning, match=r"2 of 8 draws of column `label` failed.*NotRecorded"):
        FRAME.qwen.classify("text", LABELS, client=qwen, draws=4)


def test_a_stopped_run_gives_a_row_whose_draws_are_not_all_there_as_not_asked(simulate, client):
    table = pl.DataFrame({"text": [f"dish {n}" for n in range(60)]})
    qwen = client(simulate(latency=0.05), concurrency=4)

    def stop(progress):
        if progress.done >= 20:
            progress.stop()

    made = table.qwen.classify("text", LABELS, client=qwen, draws=3, meta=True, progress=stop)
    draws = made["label_meta"].struct.field("draws")
    assert 0 < made["label"].count() < 60 and set(draws.drop_nulls()) == {3}


def test_the_last_line_says_how_often_each_was_drawn(simulate, client):
    told = []
    FRAME.qwen.classify("text", LABELS, client=client(simulate()), draws=3, progress=told.append)
    assert told[-1].line.startswith("qwen3.5-flash · 4 rows, 6 unique (3 draws each) · ")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"draws": 0}, "draws=0"),
        ({"draws": 3, "sample": 1}, "there is no sample="),
        ({"draws": 3, "temperature": 0}, "temperature=0 makes every one of 3 draws the same"),
        ({"draws": 3, "seed": 7}, "seed=7 makes every one of 3 draws the same"),
    ],
)
def test_draws_that_would_all_be_the_same_are_refused(simulate, client, options, words):
    sim = simulate()
    with pytest.raises(BadInput, match=words):
        FRAME.qwen.classify("text", LABELS, client=client(sim), **options)
    assert sim.ledger.count("arrived") == 0


def test_a_clients_own_temperature_of_nought_is_refused_too(simulate, client):
    with pytest.raises(BadInput, match="temperature=0"):
        FRAME.qwen.classify("text", LABELS, client=client(simulate(), temperature=0), draws=3)


def test_what_can_not_be_counted_takes_no_draws(simulate, client):
    for call in (
        lambda: FRAME.qwen.ask("Say {{ text }}", draws=3),
        lambda: FRAME.qwen.summarize("text", draws=3),
        lambda: FRAME.qwen.extract("text", "name", draws=3),
    ):
        with pytest.raises(BadInput, match="draws= is for classify"):
            call()


def test_of_several_labels_those_count_that_most_draws_have(simulate, client):
    sim = simulate(
        "openrouter",
        script=says(
            {"labels": ["praise"]},
            {"labels": ["praise", "complaint"]},
            {"labels": []},
            {"labels": ["praise"]},
        ),
    )
    for draws, counted, tie in ((2, ["praise"], True), (4, ["praise"], False)):
        made = FRAME.head(1).qwen.classify(
            "text", LABELS, several=True, client=client(sim), draws=draws, meta=True
        )
        assert made["label"].to_list() == [counted] and meta(made, "label")["tie"] is tie


def test_what_draws_cost_is_unknown_where_one_draws_is():
    paid, unknown = Outcome("k", "praise", cost=0.25), Outcome("k", "praise", cost=None)
    dtype = pl.Enum(LABELS)
    assert count_votes([paid, paid], dtype, None).cost == 0.5
    assert count_votes([paid, unknown], dtype, None).cost is None
