"""What was spent, added up as it is asked for."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from ipywidgets.widgets.widget import _instances

from qwennb.cache import Spending
from qwennb.notebook.widgets import Usage
from qwennb.notebook.widgets.usage import Subtotal, write_tables
from tests.conftest import until

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
    made.draw()
    yield made
    made.close()


def choose(usage, **chosen):
    usage.draw()
    for switch, value in chosen.items():
        usage.act("choose", switch=switch, value=value)
    usage.draw()
    return [row[0] for row in usage.table["rows"]]


def test_it_is_by_model_first_the_dearest_on_top_with_a_sum(usage):
    markdown, plain = usage.record
    lines = markdown.splitlines()
    assert lines[2].startswith("| qwen3.5-plus | 2 | 10 | 20 | &#36;3.00 | ████████████████████ |")
    assert lines[3].startswith("| qwen3.5-flash | 5 | 1,000 | 50 | &#36;0.50 | ███ |")
    assert "price unknown, 2 maybe billed" in lines[4] and "<img" not in lines[4]
    assert "**all**" in lines[5] and "3.50, 1 of unknown price, 2 maybe billed" in lines[5]
    assert (
        "$3.50, 1 of unknown price, 2 maybe billed" in plain and "of this client's budget of $2.00" in plain
    )
    assert usage.table["rows"][0] == ["qwen3.5-plus", "2", "10", "20", "$3.00"]
    assert usage.table["rows"][-1] == ["all", "8", "1,011", "71", "$3.50, 1 of unknown price, 2 maybe billed"]
    assert usage.table["shares"] == [1.0, 0.5 / 3, 0.0, 0.0]


def test_the_switches_change_what_is_counted(usage):
    assert choose(usage, by="day") == ["2026-11-14", "2026-11-20", "2026-11-21", "all"]
    assert choose(usage, since="the last 7 days") == ["2026-11-20", "2026-11-21", "all"]
    assert choose(usage, since="today") == ["2026-11-21", "all"]
    assert choose(usage, since="always", notebook="old.ipynb", by="notebook") == ["old.ipynb", "all"]
    assert "old.ipynb" in usage.record[0] and "a.ipynb" not in usage.record[0]
    assert choose(usage, by="nonsense", since="never") == ["old.ipynb", "all"]


def test_what_is_spent_now_is_there_once_it_is_drawn(usage, qwen):
    qwen.ask("hello")
    usage.refresh()
    until(lambda: usage.table["rows"][1][:2] == ["qwen3.5-flash", "6"], "the question in the table")
    assert 0 < usage.budget["share"] < 1 and "of this client" in usage.budget["told"]


def test_it_sees_that_something_was_spent_without_reading_it(usage, qwen):
    before = usage.stamp()
    assert usage.stamp() == before
    qwen.ask("and this")
    until(lambda: usage.stamp() != before, "another stamp")


def test_nothing_spent_is_said_and_no_budget_too(simulate, client):
    usage = Usage(client(simulate()))
    usage.draw()
    assert usage.record[0] == "*Nothing was asked in this time.*" and usage.table["rows"] == []
    assert usage.budget == {"limited": False, "share": 0.0, "told": "This client has no budget."}
    before = len(_instances)
    usage.close()
    assert len(_instances) < before


def test_a_sum_of_nothing_known_is_no_zero():
    assert Subtotal("a", requests=2, unknown_cost=2).cells[-1] == "price unknown"
    assert Subtotal("a", requests=2, cost=0.0).cells[-1] == "$0.00"
    assert write_tables([Subtotal("a"), Subtotal("all")], "day")[1].startswith("day")


def test_two_dollars_never_stand_in_one_paragraph(usage):
    for line in usage.record[0].splitlines():
        for cell in line.split("|"):
            assert cell.count("$") + cell.count("&#36;") <= 1


def test_made_again_it_counts_as_it_did(qwen):
    first = Usage(qwen, name="same")
    choose(first, by="day")
    who = first.model_id
    again = Usage(qwen, name="same")
    assert choose(again)[:1] == ["2026-11-14"] and again.model_id == who
    again.close()
