"""What the helper magics tell."""

from __future__ import annotations

from qwennb.cache import Spending
from qwennb.notebook.reports import lay_out, models, usage


def test_usage_counts_the_question_that_was_asked_just_before(simulate, client):
    qwen = client(simulate())
    assert usage(qwen) == ["Nothing was asked yet."]
    qwen.ask("Why?")
    assert "qwen3.5-flash" in lay_out(usage(qwen))[0]


def test_usage_adds_up_what_several_notebooks_spent_unless_it_is_asked_by_notebook(simulate, client):
    qwen = client(simulate())
    accounts = [
        Spending("2026-11-01", name, "m", "e", 600, 1_000, 20, 500_000_000) for name in ("a.ipynb", "b.ipynb")
    ]
    qwen.session.memory.spendings.add(accounts)
    table, chart = usage(qwen)
    assert table[1:] == [["2026-11-01", "m", "e", "1,200", "2,000", "40", "$1.00"]]
    assert chart[1:] == [["2026-11-01", "█" * 30, "$1.00"]]
    assert [row[1] for row in usage(qwen, by_notebook=True)[0]] == ["notebook", "a.ipynb", "b.ipynb"]
    plain, shown = lay_out([table])
    assert shown.splitlines()[1] == "|:---|:---|:---|---:|---:|---:|---:|" and plain.splitlines()[1].endswith(
        "$1.00"
    )


def test_the_models_are_those_that_can_be_asked_here_with_window_and_price(simulate, client):
    [table, told] = models(client(simulate()), None)
    assert table[0] == ["model", "also", "window", "in", "out", "default"] and told.startswith(
        "At openrouter, "
    )
    [flash] = [row for row in table if row[0] == "qwen3.5-flash"]
    assert flash[1:3] == ["flash", "1M"] and flash[3].startswith("$") and flash[5] == "yes"
    [own, said] = models(client(simulate("vllm")), None)
    assert own[0] == ["model", "window", "price"] and own[1][2] == "free" and "vllm" in said
