"""A plan says what it takes before anything is sent; a budget is never overshot."""

from __future__ import annotations

import polars as pl
import pytest

from qwennb.client import Options
from qwennb.frames import QwenFrameWarning

TABLE = pl.DataFrame({"n": [*range(40), None, 0, 1]})
ASK = "Say {{ n }}"


def test_a_plan_counts_and_sends_nothing(simulate, client):
    sim = simulate()
    qwen = client(sim)
    TABLE.head(10).qwen.ask(ASK, client=qwen, max_tokens=50)
    asked = sim.ledger.count("asked")
    for plan in (
        TABLE.qwen.plan(ASK, client=qwen, max_tokens=50),
        TABLE.lazy().qwen.plan(ASK, client=qwen, max_tokens=50),
    ):
        assert (plan.rows, plan.skipped, plan.unique, plan.known, plan.to_ask) == (43, 1, 40, 10, 30)
        assert 0 < plan.cost < plan.at_most and plan.tokens > 30
        assert "43 rows (1 skipped), 40 unique questions, 10 already known, 30 to ask" in str(plan)
    assert sim.ledger.count("asked") == asked == 10


def test_a_plan_is_an_upper_bound_of_what_is_charged(simulate, client):
    sim = simulate()
    qwen = client(sim)
    plan = TABLE.qwen.plan(ASK, client=qwen, max_tokens=50)
    made = TABLE.qwen.ask(ASK, client=qwen, max_tokens=50, meta=True)
    cost = made.unique("n")["answer_meta"].struct.field("cost").sum()
    assert 0 < cost <= plan.at_most
    assert TABLE.qwen.plan(ASK, client=qwen, max_tokens=50).cost == 0


def test_long_texts_stand_in_their_own_tier(simulate, client):
    table = pl.DataFrame({"text": ["short", "long " * 300_000]})
    plan = table.qwen.plan("{{ text }}", client=client(simulate("dashscope"), model="plus"))
    assert len(plan.tiers) == 2 and sum(tier.questions for tier in plan.tiers) == 2


@pytest.mark.parametrize("lazy", [False, True])
def test_a_budget_is_never_overshot_and_more_goes_on_where_it_stopped(simulate, client, tmp_path, lazy):
    sim = simulate(latency=0.01)
    elsewhere = client(sim, cache_dir=tmp_path / "elsewhere")
    TABLE.qwen.ask(ASK, client=elsewhere, max_tokens=50)
    all_of_it = sum(entry.usage["cost"] for entry in sim.ledger.paid())
    sim.reset()
    qwen = client(sim)
    one = qwen.place.bound(qwen.request(ASK, {"n": 39}, Options(max_tokens=50)))
    budget = one + all_of_it / 2  # so that about half of them fit

    def run(**options: object) -> pl.DataFrame:
        if lazy:
            return (
                TABLE.lazy().qwen.ask(ASK, client=qwen, max_tokens=50, on_error="column", **options).collect()
            )
        return TABLE.qwen.ask(ASK, client=qwen, max_tokens=50, on_error="column", **options)

    made = run(budget=budget)
    spent = sum(entry.usage["cost"] for entry in sim.ledger.paid())
    some = sim.ledger.count("asked")
    assert 0 < some < 40 and spent <= budget
    without = made.filter(pl.col("answer").is_null() & pl.col("n").is_not_null())
    assert without.height and without["answer_error"].str.starts_with("BudgetExceeded: ").all()
    assert run(budget=10.0)["answer"].null_count() == 1
    assert sim.ledger.count("asked") == 40


def test_the_rows_beyond_a_budget_are_warned_of_once(simulate, client):
    with pytest.warns(QwenFrameWarning, match=r"40 of 40 questions .* BudgetExceeded"):
        TABLE.qwen.ask(ASK, client=client(simulate()), max_tokens=50, budget=1e-9)


def test_every_verb_has_a_plan_with_its_own_arguments(simulate, client):
    sim = simulate()
    table = pl.DataFrame({"text": ["one", "two", "two"]})
    for frame in (table, table.lazy()):
        plan, mine = frame.qwen.plan, {"client": client(sim)}
        for made in (
            plan("Say {{ text }}", **mine),
            plan.classify("text", ["good", "bad"], **mine),
            plan.extract("text", "name, age int", **mine),
            plan.summarize("text", **mine),
            plan.translate("text", to="French", **mine),
            plan.score("text", "how urgent, 0 to 1", **mine),
            plan.filter("{{ text }} is a number", **mine),
        ):
            assert (made.rows, made.unique, made.to_ask) == (3, 2, 2)
    assert sim.ledger.count("asked") == 0


def test_a_plan_states_both_costs_where_thinking_is_left_to_the_model(simulate, client):
    qwen = client(simulate("dashscope"), model="plus")
    table = pl.DataFrame({"text": ["one", "two"]})
    left = table.qwen.plan("Say {{ text }}", client=qwen)
    assert left.cost_thinking > left.cost and "if the model thinks" in str(left)
    settled = table.qwen.plan("Say {{ text }}", client=qwen, thinking=False)
    assert settled.cost_thinking is None and settled.cost == left.cost
    assert table.qwen.plan.classify("text", ["good", "bad"], client=qwen).cost_thinking is None
