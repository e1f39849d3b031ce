"""A column that is killed with -9 at random moments, again and again, until every row of its table was given out.

The child asks a column over a table; the parent holds the simulator, whose ledger knows what was asked and paid. What
the child says of an answer makes it acknowledged: the row came back ("=" and its numbers), or the progress counted it
("+" and how many of the part under way). After a kill, no row that came back may be asked for again; of the part that
was under way at most as many as were not counted; and in all at most what was in flight.
"""

from __future__ import annotations

import random
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from qwennb.simulator import Simulator
from tests.client import killing
from tests.client.killing import IN_FLIGHT, Reasked

PART = 100  # rows of an eager call
GROUP = 20  # rows of a row group, which a sink gives out together

CHILD = """
import os, sys
import polars as pl
from qwennb import Qwen

url, folder, rows, in_flight, part, how = sys.argv[1:]
rows, in_flight, part = int(rows), int(in_flight), int(part)
qwen = Qwen(endpoint="openrouter+" + url, api_key="sk-sim", cache_dir=folder, concurrency=in_flight)
options = dict(client=qwen, max_tokens=20, thinking=False)
table = pl.DataFrame({"n": range(rows)})

def say(sign, numbers):
    os.write(1, f"{sign}{' '.join(map(str, numbers))}\\n".encode())

def given(series):
    say("=", series.struct.field("n"))
    return series

def counted(start):
    return lambda progress: say("+", [start, progress.done])

if how == "eager":
    for start in range(0, rows, part):
        made = table.slice(start, part).qwen.ask("Say {{ n }}", progress=counted(start), **options)
        given(made.to_struct())
else:
    path = os.path.join(folder, "in.parquet")
    if not os.path.exists(path):
        table.write_parquet(path, row_group_size=part)
    lf = pl.scan_parquet(path).qwen.ask("Say {{ n }}", **options)
    row = pl.struct("n", "answer").map_batches(given, return_dtype=pl.Struct({"n": pl.Int64, "answer": pl.String}), is_elementwise=True)
    lf = lf.select(row.alias("row"))
    lf.sink_parquet(os.path.join(folder, "out.parquet")) if how == "sink" else lf.collect(engine="streaming")
"""


@dataclass
class Toll(killing.Toll):
    """What the kills cost; for a column also what its progress had counted, and was asked for again."""

    counted_and_asked_again: int = 0

    @property
    def kept(self) -> bool:
        return super().kept and self.counted_and_asked_again == 0

    def __add__(self, other: Toll) -> Toll:
        return Toll(
            self.kills + other.kills,
            self.acknowledged + other.acknowledged,
            self.acknowledged_and_asked_again + other.acknowledged_and_asked_again,
            self.asked_again + other.asked_again,
            max(self.most_asked_again_after_a_kill, other.most_asked_again_after_a_kill),
            self.counted_and_asked_again + other.counted_and_asked_again,
        )


@dataclass
class Heard:
    """What a child has said: the rows it gave out, and how many were counted of the part under way."""

    given: set[int]
    start: int = 0
    counted: int = 0

    def take(self, line: bytes) -> int:
        """How many answers more this line acknowledges."""
        before, numbers = (
            (len(self.given), self.start, self.counted),
            [int(word) for word in line[1:].split()],
        )
        if line[:1] == b"=":
            self.given.update(numbers)
            return len(self.given) - before[0]
        self.start, self.counted = numbers
        return max(self.counted - (before[2] if self.start == before[1] else 0), 0)


def kill_again_and_again(folder: Path, *, kills: int, rows: int, seed: int, how: str = "eager") -> Toll:
    """Run a column of *rows* to the end, with *kills* kills on the way."""
    draw, toll, reasked, heard = random.Random(seed), Toll(), Reasked(), Heard(set())
    folder.mkdir(mode=0o700, exist_ok=True)
    with Simulator("openrouter", api_key="sk-sim", latency=0.03) as sim:
        while len(heard.given) < rows:
            known, start, counted = frozenset(heard.given), heard.start, heard.counted
            before = len(sim.ledger.asks())
            heard = Heard(set(known))
            _one_child(sim, folder, rows, how, heard, _until(draw, rows - len(known), kills - toll.kills))
            toll.kills += toll.kills < kills
            asked = [_number(entry.body) for entry in sim.ledger.asks()[before:]]
            reasked.add(asked)
            part = {number for number in asked if start <= number < start + PART}
            toll.acknowledged_and_asked_again += len(set(asked) & known)
            toll.counted_and_asked_again += max(len(part) - (PART - counted), 0) if how == "eager" else 0
    toll.acknowledged = len(heard.given)
    toll.asked_again, toll.most_asked_again_after_a_kill = reasked.all, reasked.most
    return toll


def _until(draw: random.Random, left: int, kills: int) -> int | None:
    """After how many acknowledged answers to kill; None: not at all."""
    return draw.randint(1, max(2 * left // (kills + 1), 2)) if kills > 0 else None


def _one_child(sim: Simulator, folder: Path, rows: int, how: str, heard: Heard, until: int | None) -> None:
    part = PART if how == "eager" else GROUP
    numbers = map(str, (rows, IN_FLIGHT, part))
    command = [sys.executable, "-c", CHILD, sim.base_url, str(folder), *numbers, how]
    child = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert child.stdout is not None
    if until is not None:
        skip = len(heard.given)  # the child first gives out again what the ones before it did
        while until > 0 and (line := child.stdout.readline()):
            new = heard.take(line)
            until -= 0 if heard.start + PART <= skip and line[:1] == b"+" else new
        child.send_signal(signal.SIGKILL)
    whole, _, _ = child.stdout.read().rpartition(b"\n")
    for line in whole.splitlines():  # what it had said before it died counts too
        heard.take(line)
    child.stdout.close()
    if child.wait() not in (0, -signal.SIGKILL):
        raise RuntimeError("the run failed by itself")


def _number(body: object) -> int:
    found = re.search(r"Say (\d+)", str(body))
    assert found is not None
    return int(found[1])
