"""Python's collector of cycles is calmed for a while, and left as it was."""

from __future__ import annotations

import subprocess
import sys

import pytest


def alone(code):
    """Run *code* in a process of its own: there is one collector, and in this process other threads have wishes."""
    begin = "import gc\nfrom qwennb.collector import gc_paused, gc_relaxed\ngc.set_threshold(500, 11, 12)\n"
    done = subprocess.run([sys.executable, "-c", begin + code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_calmest_wish_counts_and_the_habit_comes_back():
    alone("""
with gc_relaxed:
    assert gc.get_threshold() == (50_000, 11, 12)
    with gc_paused:
        assert gc.get_threshold() == (0, 11, 12)
        with gc_relaxed, gc_paused:
            pass
        assert gc.get_threshold() == (0, 11, 12)
    assert gc.get_threshold() == (50_000, 11, 12)
assert gc.get_threshold() == (500, 11, 12)
""")


def test_wishes_of_two_threads_may_end_in_any_order():
    alone("""
gc_relaxed.__enter__()
gc_paused.__enter__()
gc_relaxed.__exit__()
assert gc.get_threshold() == (0, 11, 12)
gc_paused.__exit__()
assert gc.get_threshold() == (500, 11, 12)
""")


@pytest.mark.parametrize("own", [0, 200_000])
def test_who_has_calmed_it_further_is_left_alone(own):
    alone(f"""
gc.set_threshold({own}, 11, 12)
with gc_relaxed:
    assert gc.get_threshold() == ({own}, 11, 12)
assert gc.get_threshold() == ({own}, 11, 12)
""")


def test_what_somebody_else_sets_while_a_wish_lasts_is_the_habit_from_then_on():
    alone("""
with gc_relaxed:
    gc.set_threshold(900, 5, 6)
    with gc_paused:
        assert gc.get_threshold() == (0, 5, 6)
assert gc.get_threshold() == (900, 5, 6)
with gc_relaxed:
    gc.set_threshold(700, 10, 10)
assert gc.get_threshold() == (700, 10, 10)
""")


# Another thread stands deep in a stack. While the stack is read, the collector's n-th chance comes, and what it collects
# has that thread leave its frames and enter others.
READ = """
import asyncio, gc, sys, threading
import polars as pl
from qwennb.client.bridge import Pulse
from qwennb.frames.exactly_once import Evaluations
from qwennb.frames.polars_calls import Sink

LOOP = asyncio.new_event_loop()

class Knot:
    def __init__(self, end):
        self.me, self.end = self, end
    def __del__(self):
        self.end()

def go_down(levels, then):
    a = b = c = d = e = levels
    return go_down(levels - 1, then) if levels else then()

def look(thread):
    match sys.argv[1]:
        case "evaluations":
            assert len(Evaluations().under_way()) == 1
        case "sink":
            with Sink(0.0):
                pass
        case "pulse":
            assert Pulse(LOOP, thread).place()

def read_with_a_chance_after(objects):
    down, leave, left, end = (threading.Event() for _ in range(4))

    def work(series):
        go_down(25, lambda: (down.set(), leave.wait(30)))
        go_down(60, lambda: (left.set(), end.wait(30)))
        return series

    plan = pl.LazyFrame({"a": [1]}).with_columns(pl.col("a").map_batches(work, return_dtype=pl.Int64))
    thread = threading.Thread(target=plan.collect)
    gc.disable()
    thread.start()
    assert down.wait(30)
    Knot(lambda: (leave.set(), left.wait(30)))
    gc.set_threshold(gc.get_count()[0] + objects, 1000, 1000)
    gc.enable()
    try:
        look(thread)
    finally:
        gc.disable()
        leave.set(), end.set(), thread.join()
        gc.set_threshold(700, 10, 10)
        gc.collect()

gc.collect()
gc.freeze()
for objects in range(1, 60):
    read_with_a_chance_after(objects)
print("read")
"""


@pytest.mark.slow
@pytest.mark.parametrize("reader", ["evaluations", "sink", "pulse"])
def test_a_stack_is_read_whole_whatever_the_collector_and_its_thread_do_meanwhile(reader):
    done = subprocess.run([sys.executable, "-c", READ, reader], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "read\n"), done.stderr[-2000:]
