"""A run of questions that is killed with -9 at a random moment, again and again, until it is through.

The child asks and says of each answer that it has been given it ("acknowledged"); the parent holds the simulator, whose
ledger knows what was asked and what was paid. After a kill, no acknowledged answer may be asked for again, and of the
others at most what was in flight.
"""

from __future__ import annotations

import random
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from qwennb.simulator import Simulator

CHILD = """
import asyncio, os, sys
from qwennb import Qwen

url, folder, rows, in_flight, lane = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
qwen = Qwen(endpoint="openrouter+" + url, api_key="sk-sim", cache_dir=folder, concurrency=in_flight)

def acknowledge(number):
    os.write(1, b"%d\\n" % number)

async def one(number):
    await qwen.ask_async(f"question number {number}", max_tokens=20, thinking=False)
    acknowledge(number)

async def all_of_them():
    await asyncio.gather(*(one(number) for number in range(rows)))

if lane == "async":
    asyncio.run(all_of_them())
else:
    for start in range(0, rows, 50):
        numbers = range(start, min(start + 50, rows))
        answers = qwen.ask_many([f"question number {n}" for n in numbers], max_tokens=20, thinking=False)
        for number, answer in zip(numbers, answers):
            if answer.error is None:
                acknowledge(number)
"""


IN_FLIGHT = 64


class Reasked:
    """Of what each run had asked, how much a later one asked again: that was in flight when the run was killed."""

    def __init__(self) -> None:
        self.all = 0
        self._last_asked_in: dict[int, int] = {}
        self._after = Counter[int]()
        self._runs = 0

    def add(self, asked: Iterable[int]) -> set[int]:
        """One run more, with what it *asked*: those that were asked before."""
        self._runs += 1
        again = set(asked) & self._last_asked_in.keys()
        self.all += len(again)
        self._after.update(self._last_asked_in[number] for number in again)
        self._last_asked_in |= dict.fromkeys(asked, self._runs)
        return again

    @property
    def most(self) -> int:
        """The most after one kill."""
        return max(self._after.values(), default=0)


@dataclass
class Toll:
    """What the kills cost."""

    kills: int = 0
    acknowledged: int = 0
    acknowledged_and_asked_again: int = 0
    asked_again: int = 0
    most_asked_again_after_a_kill: int = 0

    @property
    def kept(self) -> bool:
        return self.acknowledged_and_asked_again == 0 and self.most_asked_again_after_a_kill <= IN_FLIGHT


def kill_again_and_again(folder: Path, *, kills: int, rows: int, seed: int, lane: str = "async") -> Toll:
    """Run *rows* questions to the end, with *kills* kills on the way."""
    draw, toll, reasked, acknowledged = random.Random(seed), Toll(), Reasked(), set[int]()
    with Simulator("openrouter", api_key="sk-sim", latency=0.05) as sim:
        while len(acknowledged) < rows:
            known = frozenset(acknowledged)
            asked_before = len(sim.ledger.asks())
            child = subprocess.Popen(
                [sys.executable, "-c", CHILD, sim.base_url, str(folder), str(rows), str(IN_FLIGHT), lane],
                stdout=subprocess.PIPE,
            )
            assert child.stdout is not None
            if toll.kills < kills:
                # After a random number of new answers, counted on the child's own word.
                left = draw.randint(1, max(2 * (rows - len(known)) // (kills - toll.kills + 1), 2))
                while left and (line := child.stdout.readline()):
                    left -= int(line) not in known
                    acknowledged.add(int(line))
                child.send_signal(signal.SIGKILL)
                toll.kills += 1
            # What it had said before it died counts too.
            acknowledged |= {int(line) for line in child.stdout.read().split(b"\n")[:-1]}
            child.stdout.close()
            if child.wait() not in (0, -signal.SIGKILL):
                raise RuntimeError("the run failed by itself")
            again = reasked.add([_number(entry.body) for entry in sim.ledger.asks()[asked_before:]])
            toll.acknowledged_and_asked_again += len(again & known)
    toll.asked_again, toll.most_asked_again_after_a_kill = reasked.all, reasked.most
    toll.acknowledged = len(acknowledged)
    return toll


def _number(body: object) -> int:
    found = re.search(r"question number (\d+)", str(body))
    assert found is not None
    return int(found[1])
