"""What is kept in memory, and for how long."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from qwennb.remembered import Remembered


def test_no_more_is_remembered_than_allowed_and_the_least_used_goes_first():
    remembered, made = Remembered(most=100, size=len), []

    def get(key, size=40):
        return remembered.get(key, lambda: made.append(key) or bytes(size))

    for key in ("a", "b", "a", "c", "a", "b"):
        get(key)
    assert made == ["a", "b", "c", "b"]
    get("huge", 101)
    get("huge", 101)
    assert made[-2:] == ["huge", "huge"]
    get("b")
    assert made.count("b") == 2


def test_many_threads_share_what_is_remembered():
    remembered, start = Remembered(most=1000, size=len), threading.Barrier(8)

    def work(number):
        start.wait()
        return [
            len(remembered.get(i % 17, lambda i=i: bytes(i % 17 * 10))) for i in range(number, number + 500)
        ]

    with ThreadPoolExecutor(8) as pool:
        for number, sizes in enumerate(pool.map(work, range(8))):
            assert sizes == [i % 17 * 10 for i in range(number, number + 500)]
    assert remembered._held == sum(map(len, remembered._made.values())) <= 1000
