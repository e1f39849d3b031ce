"""What the helper magics tell."""

from __future__ import annotations

from qwennb.notebook import reports


def test_usage_counts_the_question_that_was_asked_just_before(simulate, client):
    qwen = client(simulate())
    assert reports.usage(qwen) == "Nothing was asked yet."
    qwen.ask("Why?")
    assert "qwen3.5-flash" in reports.usage(qwen)
