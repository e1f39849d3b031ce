"""Refusals that have nothing to do with the pace: they slow nothing down, and a limit is still a limit beside them."""

from __future__ import annotations

import asyncio
import itertools
import math
import random
import statistics
from functools import cache

import pytest

from qwennb.engine import Limiter
from qwennb.engine.rate_estimate import RateEstimate
from qwennb.engine.refusal_noise import CREDIT, RefusalNoise
from tests.engine.clockwork import run
from tests.engine.test_limiter import Server, asked, work


def slowed(rows: int, share: float, latency: float, seed: int, after: float | None = None) -> float:
    """How many times as long a column takes as without the refusals, the asking again aside."""
    server = Server(
        noise=share, noise_after=after, service=lambda: latency, chance=random.Random(f"{seed}/{share}")
    )
    return asked(server, rows) * (1 - share) / undisturbed(rows, latency)


@cache
def undisturbed(rows: int, latency: float) -> float:
    return asked(Server(service=lambda: latency), rows)


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.01, 0.05, 0.1])
@pytest.mark.parametrize("latency", [0.05, 0.5])
def test_random_refusals_do_not_bring_the_pace_down(share, latency):
    runs = [slowed(1000, share, latency, seed) for seed in range(6)]
    assert statistics.median(runs) <= 2
    assert max(runs) <= 6


@pytest.mark.parametrize("after", [None, 1.0])
@pytest.mark.slow
def test_the_pace_comes_back_however_unlucky_the_beginning(after):
    """A fifth is refused: at first that is taken for a limit."""
    assert slowed(3000, 0.2, 1.0, 1, after) <= 4


def test_a_wait_that_goes_with_a_random_refusal_holds_only_the_request_it_struck():
    async def go() -> tuple[list[float], float]:
        limiter = Limiter(jitter=lambda: 0.0)
        server, alone = Server(noise=0.1, noise_after=1.0, service=lambda: 0.2), []
        refused = limiter.note_refusal
        limiter.note_refusal = lambda wait, ticket: alone.append(refused(wait, ticket)) or alone[-1]
        await work(server, 2000, limiter)
        return alone, limiter.pause

    alone, _ = run(go())
    assert len(alone) >= 150
    assert set(alone) == {0.0, 1.0}, "everybody, or alone as long as the server said"
    assert alone.count(1.0) >= 0.8 * len(alone)


@pytest.mark.parametrize("after", [None, 1.0])
@pytest.mark.parametrize("share", [0.05, 0.1])
def test_a_limit_is_held_beside_random_refusals(share, after):
    def once(seed: int) -> tuple[float, float]:
        server = Server(rate=100, burst=100, retry_after=after, noise=share, chance=random.Random(seed))
        return asked(server, 1500) / 14.2, server.refused / (1500 * share / (1 - share))

    seconds, refusals = zip(*(once(seed) for seed in range(3)), strict=True)
    assert statistics.median(seconds) <= 1.5
    assert statistics.median(refusals) <= 4


@pytest.mark.parametrize("after", [None, 1.0])
@pytest.mark.parametrize(("rate", "rows"), [(20, 600), (100, 1500)])
def test_a_limit_is_not_taken_for_noise(rate, rows, after):
    server = Server(rate=rate, burst=rate, retry_after=after)
    seconds = asked(server, rows)
    assert server.refused <= 20
    assert seconds <= 1.25 * (rows - rate) / rate


@pytest.mark.parametrize("after", [None, 1.0])
def test_a_limit_that_rises_all_the_time_is_followed(after):
    server = Server(slope=10, retry_after=after)
    assert asked(server, 1000) <= 1.35 * 13.3
    assert server.refused <= 20


def test_a_limit_that_comes_and_goes_is_followed():
    """Between 10 and 50 a second, every 20 s."""
    server = Server(rate=30, burst=30)

    async def go() -> float:
        loop = asyncio.get_running_loop()
        began = loop.time()

        def tide(_: int) -> None:
            server.rate = server.burst = 30 + 20 * math.sin((loop.time() - began) / 20 * 2 * math.pi)

        return await work(server, 1800, Limiter(jitter=random.Random(1).random), tide)

    assert run(go()) <= 1.35 * 60
    assert server.refused <= 60


def test_a_limit_without_a_burst_is_found_whatever_the_server_says():
    """After a pause of a second there is room for one: nothing could be measured, and it must slow down all the same."""
    server = Server(rate=20, burst=1)
    assert asked(server, 600) <= 2 * 30
    assert server.refused <= 30


# ---------------------------------------------------------------------- the share that is usual


NUMBERS = itertools.count()


def fed(noise: RefusalNoise, sent: int, every: int) -> list[bool]:
    """What becomes of the refusals when each *every*-th of *sent* requests is refused."""
    said = []
    for n in range(sent):
        noise.sent += 1
        number = next(NUMBERS)
        if n % every == every - 1:
            said.append(noise.note_refusal(number))
    return said


def known(every: int = 10) -> RefusalNoise:
    noise = RefusalNoise()
    noise.note_real_limit()
    fed(noise, 50, every)
    assert not noise.note_unexplained()
    assert noise.note_unexplained()
    return noise


def test_the_first_few_refusals_pass_and_a_storm_does_not():
    assert all(fed(RefusalNoise(), 500, 10))
    storm = fed(RefusalNoise(), 20, 1)
    assert 3 <= storm.index(False) <= 8
    assert not any(storm[8:])


def test_refusals_that_come_back_in_a_bunch_pass_like_any_others():
    """256 in flight on a busy machine: all are sent, then all refusals come."""
    noise = RefusalNoise()
    for _ in range(20):
        numbers = [next(NUMBERS) for _ in range(256)]
        for _ in numbers:
            noise.sent += 1
        assert all(noise.note_refusal(number) for number in numbers[::10])
    assert noise.usual > 0


def test_after_a_limit_nothing_passes_until_refusals_are_unexplained():
    noise = RefusalNoise()
    noise.note_real_limit()
    assert not any(fed(noise, 100, 10))
    assert not noise.note_unexplained()
    assert noise.note_unexplained()
    assert all(fed(noise, 500, 10))


def test_a_limit_beside_the_usual_share_is_met_within_a_few_refusals():
    noise = known()
    fed(noise, 500, 10)
    assert False in fed(noise, 40, 2)[: int(2 * CREDIT)]
    assert not all(fed(noise, 100, 2))


def test_the_usual_share_never_rises_by_counting():
    noise = known()
    before = noise.usual
    fed(noise, 2000, 5)
    assert noise.usual <= before


def test_noise_that_is_over_is_forgotten():
    noise = known()
    fed(noise, 400, 1000)
    assert not noise.note_refusal(next(NUMBERS))
    assert noise.usual == 0


def test_what_proved_a_limit_after_all_is_believed_later_the_next_time():
    noise = known()
    noise.note_trial(passed_more=False)
    assert noise.usual == 0
    fed(noise, 50, 10)
    assert [noise.note_unexplained() for _ in range(4)] == [False, False, False, True]


def test_more_refused_than_a_third_is_never_noise():
    noise = RefusalNoise()
    noise.note_real_limit()
    fed(noise, 30, 2)
    assert not any(noise.note_unexplained() for _ in range(30))


def test_a_server_that_refuses_everything_for_a_minute_is_not_stormed():
    async def go() -> int:
        limiter, clock, refused = Limiter(most=256, jitter=lambda: 0.5), asyncio.get_running_loop().time, 0

        async def one() -> None:
            nonlocal refused
            while True:
                ticket, alone = await limiter.enter(), 0.0
                try:
                    await asyncio.sleep(0.2)
                    if not 1 < clock() - began < 61:
                        return limiter.note_success(0.2, ticket)
                    refused, alone = refused + 1, limiter.note_refusal(None, ticket)
                finally:
                    limiter.leave()
                await asyncio.sleep(alone)

        began = clock()
        await asyncio.gather(*(one() for _ in range(4000)))
        return refused

    assert run(go()) <= 200


# ---------------------------------------------------------------------- the pace


def through(pace: RateEstimate, start: float, end: float, sent: int) -> str:
    """*sent* requests between *start* and *end*, the last of which is refused."""
    for n in range(sent):
        if pace.begun is None:
            pace.begun = start + n * (end - start) / sent
        pace.passed += 1
    return pace.note_refusal(end, going=1000.0)


def test_what_was_let_through_between_two_refusals_is_the_pace():
    pace = RateEstimate(None)
    assert through(pace, 0, 2, 300) == "limit"
    assert pace.rate is None
    assert through(pace, 2, 4, 240) == "limit"
    assert pace.rate == 120


def test_a_refusal_after_much_less_is_unexplained_and_the_same_thrice_is_a_limit():
    pace = RateEstimate(None)
    said = [through(pace, 2 * n, 2 * n + 2, sent) for n, sent in enumerate([300, 240, 90, 88, 90])]
    assert said == ["limit", "limit", "unexplained", "open", "limit"]


def test_a_limit_found_higher_than_before_is_rising():
    pace = RateEstimate(None)
    for n, sent in enumerate([20, 40, 60]):
        through(pace, 2 * n, 2 * n + 2, sent)
    assert pace.rate == pytest.approx(30 + 5 * 1), "30 a second on average, rising by 5 a second each second"


def test_a_pace_grows_faster_where_the_limit_is_new_than_where_it_was_found_often():
    def grown(times: int) -> float:
        pace = RateEstimate(None)
        for n in range(times):
            through(pace, 2 * n, 2 * n + 2, 200)
        for n in range(100):
            pace.note_answer(2 * times + n / 100, 0.0)
        return pace.rate or 0.0

    assert grown(2) > grown(4) > 100


def test_a_pace_goes_on_growing_gently_after_a_day_without_a_refusal():
    pace = RateEstimate(None)
    for n in range(2):
        through(pace, 2 * n, 2 * n + 2, 200)
    before = pace.rate
    pace.note_answer(86_400.0, 0.0)
    assert before < pace.rate <= before + 1, "after 68 minutes it was an OverflowError"


def test_a_pace_never_passes_its_quota():
    pace = RateEstimate(50.0)
    for n in range(3):
        through(pace, 2 * n, 2 * n + 2, 400)
    assert pace.rate == 50
    pace.set_free(6.0)
    assert pace.rate == 50
