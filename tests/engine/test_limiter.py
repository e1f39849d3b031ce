"""The limiter against servers of every temper, in simulated time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from qwennb.engine import Limiter
from tests.engine.clockwork import run


@dataclass
class Server:
    """Grants `rate` requests a second (a burst of `burst`), at most `slots` at once; beyond them it refuses.

    `slope` is a rate that grows by so much each second; `noise` the share that is refused for no reason, with
    `noise_after` as the time to wait.
    """

    rate: float = float("inf")
    burst: float = 1.0
    slots: int = 10**9
    service: Callable[[], float] = lambda: 0.2
    retry_after: float | None = 1.0
    slope: float | None = None
    noise: float = 0.0
    noise_after: float | None = None
    chance: random.Random = field(default_factory=lambda: random.Random(5))
    says: float | None = None
    in_flight: int = 0
    peak: int = 0
    served: int = 0
    refused: int = 0
    _left: float = field(default=-1.0)
    _seen: float = 0.0
    _began: float | None = None
    _granted: int = 0

    async def ask(self) -> bool:
        now = asyncio.get_running_loop().time()
        await asyncio.sleep(0.001)
        self.says = self.retry_after
        if self.noise and self.chance.random() < self.noise:
            self.says = self.noise_after
            self.refused += 1
            return False
        if self.slope is not None:
            self._began = now if self._began is None else self._began
            if (2 * (self._granted + 1) / self.slope) ** 0.5 - 1 > now - self._began:
                self.refused += 1
                return False
            self._granted += 1
        if self.rate != float("inf"):
            self._left = (
                self.burst if self._left < 0 else min(self.burst, self._left + (now - self._seen) * self.rate)
            )
            self._seen = now
            if self._left < 1:
                self.refused += 1
                return False
            self._left -= 1
        if self.in_flight >= self.slots:
            self.refused += 1
            return False
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        await asyncio.sleep(self.service())
        self.in_flight -= 1
        self.served += 1
        return True


async def work(
    server: Server, rows: int, limiter: Limiter, during: Callable[[int], None] = lambda _: None
) -> float:
    """Ask *rows* times, each until it is served, through *limiter*; the seconds that it took."""
    loop = asyncio.get_running_loop()
    started = loop.time()

    async def row() -> None:
        while True:
            ticket = await limiter.enter()
            began = loop.time()
            served = await server.ask()
            alone = 0.0
            if served:
                limiter.note_success(loop.time() - began)
            else:
                alone = limiter.note_refusal(server.says, ticket)
            limiter.leave()
            during(server.served)
            if served:
                return
            await asyncio.sleep(alone)

    await asyncio.gather(*(row() for _ in range(rows)))
    return loop.time() - started


def asked(server: Server, rows: int, **settings: object) -> float:
    async def go() -> float:
        return await work(server, rows, Limiter(jitter=random.Random(1).random, **settings))

    return run(go())


def test_a_quota_of_100_a_second_is_met_with_few_refusals_and_little_waiting():
    server = Server(rate=100, burst=100)
    seconds = asked(server, 1500)
    assert server.served == 1500
    assert server.refused <= 20
    assert seconds <= 1.25 * 14.2


def test_a_quota_is_met_with_few_refusals_even_where_answers_take_no_time():
    server = Server(rate=50, burst=50, service=lambda: 0.003, retry_after=0.02)
    seconds = asked(server, 200)
    assert server.refused <= 25
    assert seconds <= 1.35 * 3.0


@pytest.mark.parametrize("retry_after", [1.0, 0.3, None])
def test_a_quota_of_20_a_second_with_slow_answers_loses_nothing(retry_after):
    draw = random.Random(2)
    server = Server(rate=20, burst=20, service=lambda: draw.uniform(1, 3), retry_after=retry_after)
    seconds = asked(server, 1000)
    assert server.served == 1000
    assert server.refused <= 20
    assert seconds <= 1.35 * 50


def test_a_server_that_refuses_beyond_32_at_once_is_kept_busy():
    draw = random.Random(3)
    server = Server(slots=32, service=lambda: draw.uniform(1, 3))
    seconds = asked(server, 1000)
    assert server.served == 1000
    assert server.refused <= 30
    assert seconds <= 1.5 * 62.5


def test_a_limit_raised_in_mid_run_is_found():
    server = Server(rate=20, burst=20)

    async def go() -> float:
        def raised(served: int) -> None:
            if served == 500:
                server.rate = 40

        return await work(server, 2000, Limiter(jitter=random.Random(1).random), raised)

    seconds = run(go())
    assert server.served == 2000
    assert seconds <= 1.35 * (25 + 1500 / 40)


def test_a_limit_lowered_in_mid_run_to_single_requests_is_found():
    """40 a second, then 20 without a burst: after a pause there is room for one, which tells nothing of the rate."""
    server = Server(rate=40, burst=40)

    async def go() -> float:
        def lowered(served: int) -> None:
            if served == 500:
                server.rate, server.burst = 20, 1

        return await work(server, 1000, Limiter(jitter=random.Random(1).random), lowered)

    seconds = run(go())
    assert server.served == 1000
    assert server.refused <= 20
    assert seconds <= 1.35 * (500 / 40 + 500 / 20)


@pytest.mark.slow
def test_without_refusals_the_window_grows_geometrically_to_its_bound():
    server = Server(service=lambda: 0.05)
    seconds = asked(server, 20_000, most=256)
    assert server.peak == 256
    assert seconds <= 20_000 / 256 * 0.05 * 1.25 + 0.6


@dataclass
class Queue:
    """Works on `slots` requests at once and lets the others wait, refusing none."""

    slots: int
    service: Callable[[], float]
    waiting: int = 0
    served: int = 0

    def __post_init__(self) -> None:
        self._busy = 0
        self._line: list[asyncio.Future[None]] = []

    async def ask(self) -> None:
        if self._busy >= self.slots:
            turn = asyncio.get_running_loop().create_future()
            self._line.append(turn)
            await turn
        else:
            self._busy += 1
        await asyncio.sleep(self.service())
        self.served += 1
        self._busy -= 1
        self.widen()

    def widen(self) -> None:
        while self._line and self._busy < self.slots:
            self._busy += 1
            self._line.pop(0).set_result(None)


async def steer(
    queue: Queue, seconds: float, at: dict[float, Callable[[], None]]
) -> list[tuple[float, int, int]]:
    """Keep *queue* busy through a limiter; twice a second: the time, what was served so far and what is in flight."""
    loop, limiter = asyncio.get_running_loop(), Limiter(queues=True)
    started, over, seen = loop.time(), loop.time() + seconds, []

    async def row() -> None:
        while loop.time() < over:
            await limiter.enter()
            began = loop.time()
            await queue.ask()
            limiter.note_success(loop.time() - began)
            limiter.leave()

    async def watch() -> None:
        while loop.time() < over:
            await asyncio.sleep(0.5)
            seen.append((loop.time() - started, queue.served, limiter.in_flight))
            for when in [w for w in at if w <= loop.time() - started]:
                at.pop(when)()

    await asyncio.gather(watch(), *(row() for _ in range(256)))
    return seen


def rate(seen: list[tuple[float, int, int]], start: float, end: float) -> float:
    inside = [(t, n) for t, n, _ in seen if start <= t <= end]
    return (inside[-1][1] - inside[0][1]) / (inside[-1][0] - inside[0][0])


@pytest.mark.parametrize(("spread", "share"), [(0.0, 0.97), (0.4, 0.9), (0.8, 0.8)])
def test_a_server_that_queues_is_kept_busy_with_a_short_queue(spread, share):
    draw = random.Random(6)
    queue = Queue(32, lambda: 0.2 * draw.uniform(1 - spread, 1 + spread))
    seen = run(steer(queue, 30, {}))
    assert rate(seen, 10, 30) >= share * 32 / 0.2
    assert max(n for t, _, n in seen if t > 10) <= 2 * 32


@pytest.mark.slow
def test_slots_that_are_doubled_are_found():
    queue = Queue(32, lambda: 0.2)

    def double() -> None:
        queue.slots = 64
        queue.widen()

    seen = run(steer(queue, 45, {20.0: double}))
    assert rate(seen, 30, 45) >= 0.9 * 64 / 0.2
    assert max(n for t, _, n in seen if t > 30) <= 2 * 64


def test_answers_that_grow_longer_are_not_taken_for_a_queue():
    length = [0.2]
    queue = Queue(32, lambda: length[0])
    seen = run(steer(queue, 60, {20.0: lambda: length.__setitem__(0, 0.6)}))
    assert rate(seen, 40, 60) >= 0.85 * 32 / 0.6


def test_a_server_that_was_asked_little_is_not_flooded_afterwards():
    """Three at a time tell nothing of what many would wait: the window stays, and grows when it is used."""

    async def go() -> tuple[int, float]:
        loop, limiter, queue, peaks = (
            asyncio.get_running_loop(),
            Limiter(queues=True),
            Queue(32, lambda: 0.2),
            [],
        )

        async def row() -> None:
            await limiter.enter()
            began = loop.time()
            peaks.append(limiter.in_flight)
            await queue.ask()
            limiter.note_success(loop.time() - began)
            limiter.leave()

        for _ in range(300):
            await asyncio.gather(*(row() for _ in range(3)))
        peaks.clear()
        began = loop.time()
        await asyncio.gather(*(row() for _ in range(1500)))
        return max(peaks), loop.time() - began

    peak, seconds = run(go())
    assert peak <= 2 * 32, "it was 256"
    assert seconds <= 1.25 * 1500 / 32 * 0.2


def test_a_server_without_a_limit_gets_the_whole_window():
    draw = random.Random(7)
    queue = Queue(10_000, lambda: draw.expovariate(1 / 0.2))
    seen = run(steer(queue, 30, {}))
    assert rate(seen, 20, 30) >= 0.8 * 256 / 0.2


def test_a_known_quota_is_kept_from_the_start():
    server = Server(rate=10, burst=1.2)
    seconds = asked(server, 100, pace=8.0)
    assert server.refused == 0
    assert seconds == pytest.approx(100 / 8, rel=0.05)


def test_a_quota_of_tokens_is_kept_and_settled():
    async def go() -> tuple[float, float]:
        loop = asyncio.get_running_loop()
        limiter = Limiter(tokens_a_minute=6000)
        started = loop.time()

        async def row() -> None:
            await limiter.enter(100)
            await asyncio.sleep(0.1)
            limiter.leave(reserved=100, used=200)

        await asyncio.gather(*(row() for _ in range(100)))
        return loop.time() - started, 100 * 200 / 6000 * 60

    seconds, by_quota = run(go())
    assert by_quota - 25 <= seconds <= by_quota + 5


def test_a_pause_that_the_server_asks_for_holds_everybody():
    async def go() -> list[float]:
        loop = asyncio.get_running_loop()
        limiter = Limiter(jitter=lambda: 0.0)
        ticket = await limiter.enter()
        limiter.note_refusal(7.0, ticket)
        limiter.leave()
        started, went = loop.time(), []

        async def row() -> None:
            await limiter.enter()
            went.append(loop.time() - started)
            limiter.leave()

        await asyncio.gather(*(row() for _ in range(5)))
        return went

    assert min(run(go())) >= 7.0


def test_an_outage_costs_few_requests():
    """Everything fails for a minute: the gate shuts after a dozen failures and lets ever fewer through."""

    async def go() -> tuple[int, int]:
        loop = asyncio.get_running_loop()
        limiter, tried, done = Limiter(jitter=random.Random(4).random), [0], [0]
        over = loop.time() + 60

        async def row() -> None:
            while True:
                await limiter.enter()
                began = loop.time()
                await asyncio.sleep(0.05)
                broken = loop.time() < over
                tried[0] += broken
                if broken:
                    limiter.note_failure()
                else:
                    limiter.note_success(loop.time() - began)
                limiter.leave()
                if not broken:
                    done[0] += 1
                    return
                await asyncio.sleep(0.5)

        await asyncio.gather(*(row() for _ in range(300)))
        return tried[0], done[0]

    tried, done = run(go())
    assert done == 300
    assert tried <= 250


def test_an_outage_of_a_day_shuts_the_gate_for_less_than_a_minute_each_time():
    now, pauses = [0.0], []
    limiter = Limiter(clock=lambda: now[0], jitter=lambda: 1.0)
    while now[0] < 86_400:
        limiter.note_failure()
        pauses.append(limiter.pause)
        now[0] += limiter.pause
    assert max(pauses) == pauses[-1] == 48, "after 1,024 pauses it was an OverflowError"


def test_a_request_that_is_cancelled_at_its_turn_gives_its_tokens_back():
    async def go() -> float:
        loop = asyncio.get_running_loop()
        limiter = Limiter(most=1, tokens_a_minute=60_000)
        await limiter.enter(10)
        second = asyncio.ensure_future(limiter.enter(9_990))
        await asyncio.sleep(0)
        limiter.leave(reserved=10)
        second.cancel()  # its turn has come, and it has not woken yet
        await asyncio.wait([second])
        began = loop.time()
        await limiter.enter(10_000)
        return loop.time() - began

    assert run(go()) < 1


def test_who_is_cancelled_while_waiting_leaves_no_slot_behind():
    async def go() -> int:
        limiter = Limiter(most=1)
        await limiter.enter()
        waiting = [asyncio.ensure_future(limiter.enter()) for _ in range(5)]
        await asyncio.sleep(0)
        for task in waiting[:4]:
            task.cancel()
        await asyncio.sleep(0)
        limiter.leave()
        await waiting[4]
        limiter.leave()
        return limiter.in_flight

    assert run(go()) == 0
