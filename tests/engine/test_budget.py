"""A budget: what is set aside, and what becomes of it where a server reports more than any price allows."""

from __future__ import annotations

import asyncio

import pytest

from qwennb.engine import Budget
from qwennb.errors import BudgetExceeded
from tests.engine.clockwork import run


def spend(budget: Budget, costs: list[tuple[float, float]], at_once: int = 1) -> float:
    """Ask with these (bound, cost), *at_once* in flight, until the budget ends it; what was reported."""
    waiting, reported = iter(costs), [0.0]

    async def worker() -> None:
        for bound, cost in waiting:
            await budget.reserve(bound)
            await asyncio.sleep(1)
            budget.settle(bound, cost)
            reported[0] += cost

    async def all_of_them() -> None:
        for ended in await asyncio.gather(*(worker() for _ in range(at_once)), return_exceptions=True):
            assert ended is None or isinstance(ended, BudgetExceeded)

    run(all_of_them())
    return reported[0]


@pytest.mark.parametrize("at_once", [1, 8, 64])
def test_more_than_the_bound_is_believed_from_the_first_report_on(at_once):
    """Twenty times the bound: only those in flight with the first one that said so can go over."""
    budget = Budget(1.0)
    reported = spend(budget, [(0.01, 0.2)] * 500, at_once)
    assert reported <= max(1.0, at_once * 0.2) + 1e-9
    assert budget.spent == pytest.approx(reported)


def test_a_server_that_is_said_to_be_free_is_believed_when_it_reports_a_cost():
    assert spend(Budget(1.0), [(0.0, 0.3)] * 100, 4) <= 4 * 0.3


def test_a_budget_warns_once_of_a_server_that_reports_more_than_its_price():
    words: list[str] = []
    spend(Budget(100.0, warn=words.append), [(0.01, 0.2)] * 20 + [(0.01, 0.3)] * 20, 4)
    (said,) = words
    assert "$0.20" in said and "$0.01" in said and "20 times" in said


def test_what_stops_it_says_why_so_much_is_set_aside():
    budget = Budget(1.0)
    spend(budget, [(0.01, 0.2)] * 100)
    with pytest.raises(BudgetExceeded, match=r"up to \$0\.20, 20 times"):
        run(budget.reserve(0.01))


def test_a_cost_as_it_was_bound_changes_nothing():
    words: list[str] = []
    budget = Budget(1.0, warn=words.append)
    assert spend(budget, [(0.01, 0.01)] * 50, 8) == pytest.approx(0.5)
    assert not words and budget.reserved == 0
