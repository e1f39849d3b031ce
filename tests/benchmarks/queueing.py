"""A server that queues and never refuses, in simulated time: what the limiter alone makes of it, whatever this machine does."""

from __future__ import annotations

import asyncio
import random
import statistics
from collections import deque

from qwennb.engine import Limiter
from tests.engine.clockwork import run

SLOTS, LATENCY, DOUBLED, END = 32, 0.1, 30.0, 70.0


def simulated() -> str:
    """32 slots, 64 after half a minute; then the same where this machine stands still three times a second."""
    said = []
    for stalls in (0.0, 3.0):
        runs = [run(_column(stalls, seed)) for seed in range(4)]
        shares = [f"{statistics.mean(r[i][0] for r in runs):.0%} of its rate, mean {statistics.mean(r[i][1] for r in runs):.2f} x, at most {max(r[i][2] for r in runs):.2f} x the slots" for i in (0, 1)]  # fmt: skip
        said.append(
            f"queueing server, simulated, {stalls:g} stalls a second: {shares[0]}; doubled: {shares[1]}"
        )
    return "\n".join(said)


async def _column(stalls: float, seed: int) -> list[tuple[float, float, float]]:
    chance, loop = random.Random(seed), asyncio.get_running_loop()
    began, slots, working, served, in_flight = loop.time(), SLOTS, 0, 0, 0
    limiter = Limiter(queues=True, most=256, jitter=chance.random)
    still = _stalls(chance, began, stalls)
    waiting: deque[asyncio.Future[None]] = deque()
    seen: list[tuple[float, int, int]] = []

    def pump() -> None:
        nonlocal working
        while waiting and working < slots:
            working += 1
            when = loop.time() + LATENCY
            loop.call_at(next((b for a, b in still if a <= when < b), when), done, waiting.popleft())

    def done(answer: asyncio.Future[None]) -> None:
        nonlocal working, served
        working, served = working - 1, served + 1
        answer.set_result(None)
        pump()

    async def worker() -> None:
        nonlocal in_flight
        while loop.time() < began + END:
            await limiter.enter()
            sent, answer = loop.time(), loop.create_future()
            waiting.append(answer)
            in_flight += 1
            pump()
            await answer
            in_flight -= 1
            limiter.note_success(loop.time() - sent)
            limiter.leave()

    async def watch() -> None:
        nonlocal slots
        while (now := loop.time() - began) < END:
            slots = SLOTS if now < DOUBLED else 2 * SLOTS
            pump()
            seen.append((now, served, in_flight))
            await asyncio.sleep(0.1)

    async with asyncio.TaskGroup() as group:
        group.create_task(watch())
        for _ in range(256):
            group.create_task(worker())
    return [_share(seen, 10, DOUBLED, SLOTS), _share(seen, DOUBLED + 20, END, 2 * SLOTS)]


def _stalls(chance: random.Random, began: float, a_second: float) -> list[tuple[float, float]]:
    made, now = [], began
    while a_second and now < began + END + 10:
        now += chance.expovariate(a_second)
        made.append((now, now + chance.uniform(0.02, 0.15)))
    return made


def _share(
    seen: list[tuple[float, int, int]], start: float, end: float, slots: int
) -> tuple[float, float, float]:
    some = [one for one in seen if start <= one[0] < end]
    rate = (some[-1][1] - some[0][1]) / (some[-1][0] - some[0][0])
    flying = [one[2] / slots for one in some]
    return rate * LATENCY / slots, statistics.mean(flying), max(flying)
