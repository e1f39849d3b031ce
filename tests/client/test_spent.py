"""What a client has spent, and what a failed question has cost."""

from __future__ import annotations

import polars as pl
import pytest

from qwennb.client import QwenWarning
from qwennb.errors import BadInput, InvalidAnswer, KeyRefused, QwenError
from qwennb.simulator import Fault, Reply

DOORS = {
    "ask": lambda qwen: qwen.ask("Why?"),
    "stream": lambda qwen: qwen.stream("Why?").answer,
    "ask_many": lambda qwen: qwen.ask_many(["Why?", "How?"]),
    "chat": lambda qwen: qwen.chat().ask("Why?"),
    "column": lambda qwen: pl.DataFrame({"n": [1, 2]}).qwen.ask("Say {{ n }}", client=qwen),
    "openai": lambda qwen: qwen.openai.chat.completions.create(
        model="qwen3.5-flash", messages=[{"role": "user", "content": "Why?"}]
    ),
}


def charged(sim) -> float:
    return sum(entry.usage["cost"] for entry in sim.ledger.entries() if entry.usage)


@pytest.mark.parametrize("door", DOORS)
def test_a_client_without_a_budget_knows_what_it_has_spent(simulate, client, door):
    sim = simulate()
    qwen = client(sim)
    assert qwen.spent == 0
    DOORS[door](qwen)
    assert qwen.spent == pytest.approx(charged(sim)) and qwen.spent > 0
    before = qwen.spent
    DOORS[door](qwen)
    assert qwen.spent == before, "what is remembered costs nothing"


def test_what_was_spent_on_a_call_with_a_budget_of_its_own_counts_too(simulate, client):
    sim = simulate()
    qwen = client(sim)
    qwen.ask("Why?", budget=1.0, max_tokens=20, thinking=False)
    assert qwen.spent == pytest.approx(charged(sim))


def test_a_client_without_a_budget_needs_no_price(simulate, client):
    qwen = client(simulate("dashscope"))
    assert qwen.ask("Why?", model="27b", max_tokens=10, thinking=False).cost is None
    assert qwen.spent == 0.0


def test_an_error_knows_what_its_attempts_cost(simulate, client):
    sim = simulate(script=["no", "no", "no"])
    qwen = client(sim)
    with pytest.raises(InvalidAnswer) as caught:
        qwen.ask("How old?", schema="age int")
    error = caught.value
    assert error.attempts == 3 and error.cost == pytest.approx(charged(sim)) == pytest.approx(qwen.spent)
    assert error.tokens[0] > 0 and error.tokens[1] > 0


def test_of_many_each_failed_one_shows_its_own_attempts_and_cost(simulate, client):
    sim = simulate(faults=[Fault("content_filter", when=lambda asked: "bad" in asked.text)])
    # Three tokens each: more than any window holds, and quickly counted.
    good, bad, long = client(sim).ask_many(["good", "bad", "🧿" * 400_000])
    assert good.error is None
    assert (bad.attempts, bad.cost > 0, bad.usage.input > 0) == (1, True, True)
    assert isinstance(long.error, BadInput) and (long.attempts, long.cost) == (0, 0.0)


def test_what_was_not_asked_after_a_wrong_key_has_cost_nothing(simulate, client):
    qwen = client(simulate(), api_key="sk-wrong", concurrency=1)
    first, *others = qwen.ask_many([f"number {n}" for n in range(5)])
    assert isinstance(first.error, KeyRefused) and first.attempts == 1
    assert all(isinstance(o.error, QwenError) and (o.attempts, o.cost) == (0, 0.0) for o in others)


@pytest.mark.slow
def test_a_budget_holds_where_a_server_reports_more_than_any_price(simulate, client):
    sim = simulate(latency=0.02, script=lambda asked: Reply("much", usage={"cost": 0.02}))
    qwen = client(sim, budget=0.1)
    with pytest.warns(QwenWarning, match="times the bound") as told:
        answers = qwen.ask_many([f"number {n}" for n in range(300)], max_tokens=100, thinking=False)
    assert sum(answer.error is None for answer in answers) <= 5 + sim.ledger.peak
    assert sum("times the bound" in str(one.message) for one in told) == 1
    asked = sim.ledger.count("asked")
    (more,) = qwen.ask_many(["one more"], max_tokens=100, thinking=False)
    assert more.error is not None and sim.ledger.count("asked") == asked
