"""The log of what was used: each name once, and no more than a pack may hold."""

from __future__ import annotations

from pathlib import Path

from qwennb.cache.record import Name
from qwennb.cache.usage_log import UsageLog

HERE = Path("here")


def key(number):
    return f"{number:064x}"


def test_a_name_counts_once_and_comes_back():
    used = UsageLog()
    used.record([(key(2), "vllm"), (key(1), "vllm"), (key(2), "vllm"), (key(1), "openrouter")], HERE)
    used.record([(key(1), "vllm")], HERE)
    assert used.count == 3
    assert sorted(used.by_folder()[HERE]) == [
        Name(key(1), "openrouter"),
        Name(key(1), "vllm"),
        Name(key(2), "vllm"),
    ]
    assert used.by_folder([Name(key(2), "vllm"), Name(key(3), "vllm")]) == {HERE: [Name(key(2), "vllm")]}


def test_of_two_folders_that_counts_which_was_used_last():
    used, there = UsageLog(), Path("there")
    for folder in (HERE, there, HERE, there):
        used.record([(key(1), "vllm")], folder)
    assert used.count == 1 and used.by_folder() == {there: [Name(key(1), "vllm")]}


def test_no_more_names_than_there_may_be():
    used = UsageLog(most=3)
    used.record([(key(1), "vllm"), (key(2), "vllm")], HERE)
    used.record([(key(1), "vllm"), (key(3), "vllm"), (key(4), "vllm"), (key(3), "openrouter")], HERE)
    names = used.by_folder()[HERE]
    assert used.count == 3 == len(names)
    assert {Name(key(1), "vllm"), Name(key(2), "vllm")} < set(names)
