"""A plan says what it takes before anything is sent; a budget is never overshot."""

from __future__ import annotations

import polars as pl
import pytest

from qwennb.client import Options, QwenWarning
from qwennb.frames import QwenFrameWarning
from qwennb.simulator import Fault, Reply

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
    one = qwen.endpoint.worst_cost(qwen.session.build_request(ASK, {"n": 39}, Options(max_tokens=50)))
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


# ---------------------------------------------------------------------- what failed rows cost


FAILING = {
    "an answer that never fits": ({"schema": "age int"}, ["no", "no", "no"], None, 3, True),
    "empty answers": ({}, [""] * 3, None, 3, True),
    "a filter": ({}, None, Fault("content_filter"), 1, True),
    "a refused request": ({}, None, Fault("400"), 1, False),
    "a server that fails": ({}, None, Fault("501"), 1, False),
    "failures of several kinds": ({}, None, Fault("content_filter", when=range(2, 9)), 3, True),
}


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("kind", FAILING)
def test_a_failed_row_shows_its_real_attempts_and_cost(simulate, client, kind, lazy):
    options, script, fault, attempts, is_paid = FAILING[kind]
    faults = [fault] if fault else []
    if kind == "failures of several kinds":
        faults = [Fault("500", times=2), fault]
    sim = simulate(script=script, faults=faults)
    table = pl.DataFrame({"n": ["one"]})
    ask = (table.lazy() if lazy else table).qwen.ask(
        "Say {{ n }}", into="a", client=client(sim), meta=True, on_error="column", **options
    )
    made = ask.collect() if lazy else ask
    assert made["a_error"][0]
    meta = made["a_meta"][0]
    charged = sum(entry.usage["cost"] for entry in sim.ledger.entries() if entry.usage)
    assert meta["attempts"] == sim.ledger.count("asked") == attempts
    assert meta["cost"] == pytest.approx(charged) and (meta["cost"] > 0) is is_paid
    assert (meta["input_tokens"] > 0) is is_paid


@pytest.mark.slow
def test_what_may_have_been_billed_has_no_known_cost(simulate, client):
    sim = simulate(faults=[Fault("hang")])
    table = pl.DataFrame({"n": ["one"]})
    made = table.qwen.ask("Say {{ n }}", client=client(sim), timeout=1.5, meta=True, on_error="column")
    meta = made["answer_meta"][0]
    assert meta["attempts"] == 1 and meta["cost"] is None


def test_a_row_that_was_never_sent_cost_nothing_whatever_ended_the_run(simulate, client):
    qwen = client(simulate(), concurrency=1)
    one = qwen.endpoint.worst_cost(qwen.session.build_request(ASK, {"n": 0}, Options(max_tokens=50)))
    made = pl.DataFrame({"n": range(9)}).qwen.ask(
        ASK, client=qwen, max_tokens=50, budget=one, meta=True, on_error="column"
    )
    unsent = made.filter(pl.col("answer_error").str.starts_with("BudgetExceeded"))["answer_meta"]
    assert len(unsent) and unsent.struct.field("cost").to_list() == [0.0] * len(unsent)
    assert unsent.struct.field("attempts").to_list() == [0] * len(unsent)


def test_the_warning_says_what_the_failed_rows_cost(simulate, client):
    sim = simulate(script=["no", "no", "no"])
    table = pl.DataFrame({"n": ["one"]})
    with pytest.warns(QwenFrameWarning, match=r"cost \$0\.\d+"):
        table.qwen.ask("Say {{ n }}", into="a", client=client(sim), schema="age int")


def test_a_column_stays_in_its_budget_where_the_server_reports_more_than_any_price(simulate, client):
    """Twenty times the bound is reported: those in flight with the first report may go over, and nobody else."""
    sim = simulate(latency=0.02)
    qwen = client(sim)
    bound = qwen.endpoint.worst_cost(qwen.session.build_request(ASK, {"n": 0}, Options(max_tokens=50)))
    sim.script(lambda asked: Reply("much", usage={"cost": 20 * bound}))
    with pytest.warns(QwenWarning, match="20 times"):
        pl.DataFrame({"n": range(400)}).qwen.ask(
            ASK, client=qwen, max_tokens=50, budget=100 * bound, on_error="column"
        )
    assert sim.ledger.count("paid") <= 5 + sim.ledger.peak
