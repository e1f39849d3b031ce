"""A server's word to wait: kept, and no mistake of its clock shuts a healthy endpoint for good."""

from __future__ import annotations

import asyncio
import random
import statistics

import pytest

from qwennb.engine import Limiter
from qwennb.engine.limiter import LONGEST_NAMED
from tests.engine.clockwork import run
from tests.engine.test_limiter import Server, asked

YEARS = 1.8e9


class Wordy(Server):
    """Says the same word *times* times, to whoever comes, and then answers."""

    def __init__(self, word: float, times: int = 1) -> None:
        super().__init__(retry_after=word)
        self.word, self.times, self.came = word, times, []

    async def ask(self) -> bool:
        self.came.append(asyncio.get_running_loop().time())
        if self.times > 0:
            self.times -= 1
            await asyncio.sleep(0.001)
            self.says = self.word
            self.refused += 1
            return False
        return await super().ask()


@pytest.mark.parametrize("word", [31.0, 3_600.0, YEARS, 2.5e11])
def test_an_endpoint_that_names_years_once_is_asked_again_after_half_a_minute(word):
    server = Wordy(word, times=8)
    assert asked(server, 300) <= LONGEST_NAMED * 1.1 + 10
    assert server.served == 300


def test_what_is_within_half_a_minute_is_kept_by_everybody():
    server = Wordy(20.0)
    assert 20 <= asked(server, 50) <= 20 * 1.1 + 5
    assert not [t for t in server.came if server.came[0] + 1 < t < server.came[0] + 20]


def test_while_it_goes_on_saying_so_one_request_goes_each_half_minute():
    server = Wordy(YEARS, times=8 + 10)
    asked(server, 100)
    began = server.came[0]
    probes = [t for t in server.came if began + 1 < t < began + 10 * LONGEST_NAMED]
    assert 8 <= len(probes) <= 10, "one at a time"


def test_the_same_word_again_is_believed_and_an_answer_ends_it():
    async def go() -> list[float]:
        limiter, said = Limiter(jitter=lambda: 0.0), []
        for _ in range(2):
            tickets = [await limiter.enter() for _ in range(limiter.window)]
            for ticket in tickets:
                limiter.note_refusal(3_600.0, ticket)
                limiter.leave()
            said.append(limiter.believed_wait)
            await asyncio.sleep(limiter.pause)
        limiter.note_success(0.1, await limiter.enter())
        limiter.leave()
        return [*said, limiter.believed_wait, limiter.named_wait]

    assert run(go()) == [0.0, pytest.approx(3_600.0, abs=1), 0.0, 0.0]


# ---------------------------------------------------------------------- refused at random, with no usable header


def times_as_long(rows: int, share: float, latency: float, seed: int) -> float:
    server = Server(noise=share, service=lambda: latency, chance=random.Random(f"{seed}/{share}"))
    return asked(server, rows) * (1 - share) / asked(Server(service=lambda: latency), rows)


@pytest.mark.parametrize("latency", [0.1, 1.0])
@pytest.mark.slow
def test_three_of_ten_refused_at_random_is_no_matter_of_luck(latency):
    """It took from 4 to 2,205 s, where 1 s is the time without refusals."""
    runs = [times_as_long(600, 0.3, latency, seed) for seed in range(12)]
    assert statistics.median(runs) <= 4 and max(runs) <= 8


@pytest.mark.parametrize("share", [0.4, 0.5])
@pytest.mark.slow
def test_half_refused_at_random_is_mostly_no_matter_of_luck_either(share):
    runs = [times_as_long(600, share, 0.1, seed) for seed in range(12)]
    assert statistics.median(runs) <= 12
