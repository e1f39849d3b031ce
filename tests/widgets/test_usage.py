"""What was spent, added up as it is asked for."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from ipywidgets.widgets.widget import _instances

from qwennb.cache import Spending
from qwennb.notebook.widgets import Usage
from qwennb.notebook.widgets.usage import Subtotal, tables

ROWS = [
    Spending("2026-11-14", "old.ipynb", "qwen3.5-plus", "openrouter", 2, 10, 20, 3_000_000_000),
    Spending("2026-11-20", "a.ipynb", "qwen3.5-flash", "openrouter", 5, 1_000, 50, 500_000_000),
    Spending("2026-11-21", "a.ipynb", "<img src=x onerror=alert(1)>", "openrouter", 1, 1, 1, 0, 1, 2),
]


@pytest.fixture
def qwen(simulate, client):
    made = client(simulate(), budget=2.0)
    made.session.memory.spendings.add(ROWS)
    return made


@pytest.fixture
def usage(qwen):
    made = Usage(qwen, now=lambda: datetime(2026, 11, 21, 12, tzinfo=UTC))
    yield made
    made.close()


def kept(usage) -> tuple[str, str]:
    return usage._exhibit._kept


def test_it_is_by_model_first_the_dearest_on_top_with_a_sum(usage):
    markdown, plain = kept(usage)
    lines = markdown.splitlines()
    assert lines[2].startswith("| qwen3.5-plus | 2 | 10 | 20 | &#36;3.00 | ████████████████████ |")
    assert lines[3].startswith("| qwen3.5-flash | 5 | 1,000 | 50 | &#36;0.50 | ███ |")
    assert "price unknown, 2 maybe billed" in lines[4] and "<img" not in lines[4]
    assert "**all**" in lines[5] and "3.50, 1 of unknown price, 2 maybe billed" in lines[5]
    assert (
        "$3.50, 1 of unknown price, 2 maybe billed" in plain and "of this client's budget of $2.00" in plain
    )


def test_the_switches_change_what_is_counted(usage):
    usage._by.value = "day"
    assert [line.split("|")[1].strip() for line in kept(usage)[0].splitlines()[2:5]] == [
        "2026-11-14", "2026-11-20", "2026-11-21",
    ]  # fmt: skip
    usage._since.value = "the last 7 days"
    assert "2026-11-14" not in kept(usage)[0]
    usage._since.value = "today"
    assert "2026-11-20" not in kept(usage)[0] and "2026-11-21" in kept(usage)[0]
    usage._since.value, usage._notebook.value, usage._by.value = "always", "old.ipynb", "notebook"
    assert "old.ipynb" in kept(usage)[0] and "a.ipynb" not in kept(usage)[0]


def test_what_is_spent_now_is_there_after_a_refresh(usage, qwen):
    qwen.ask("hello")
    usage.refresh()
    assert "| qwen3.5-flash | 6 |" in kept(usage)[0]
    assert 0 < usage._bar.value < 1 and "of this client" in usage._budget.value


def test_nothing_spent_is_said_and_no_budget_too(simulate, client):
    usage = Usage(client(simulate()))
    assert kept(usage)[0] == "*Nothing was asked in this time.*"
    assert "no budget" in usage._budget.value and usage._bar.layout.display == "none"
    before = len(_instances)
    usage.close()
    assert len(_instances) < before


def test_a_sum_of_nothing_known_is_no_zero():
    assert Subtotal("a", requests=2, unknown_cost=2).cost_text == "price unknown"
    assert Subtotal("a", requests=2, cost=0.0).cost_text == "$0.00"
    assert tables([Subtotal("a")], "day")[1].startswith("day")


def test_two_dollars_never_stand_in_one_paragraph(usage):
    for line in kept(usage)[0].splitlines():
        for cell in line.split("|"):
            assert cell.count("$") + cell.count("&#36;") <= 1
