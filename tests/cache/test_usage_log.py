"""The log of what was used: each name once, and no more than a pack may hold."""

from __future__ import annotations

from qwennb.cache.record import Name
from qwennb.cache.usage_log import UsageLog


def key(number):
    return f"{number:064x}"


def test_a_name_counts_once_and_comes_back_sorted():
    used = UsageLog()
    used.note([(key(2), "vllm"), (key(1), "vllm"), (key(2), "vllm"), (key(1), "openrouter")])
    used.note([(key(1), "vllm")])
    assert used.count == 3
    assert used.names() == [Name(key(1), "openrouter"), Name(key(1), "vllm"), Name(key(2), "vllm")]


def test_no_more_names_than_there_may_be():
    used = UsageLog(most=3)
    used.note([(key(1), "vllm"), (key(2), "vllm")])
    used.note([(key(1), "vllm"), (key(3), "vllm"), (key(4), "vllm"), (key(3), "openrouter")])
    assert used.count == 3 == len(used.names())
    assert {Name(key(1), "vllm"), Name(key(2), "vllm")} < set(used.names())
