"""The limiter under a column, on real sockets: it finds a limit, holds it, and follows it when it moves.

Ideal is the time that the server's own limit allows. A column has to find out that limit by itself: nothing is
configured and no quota is known. Under a busy machine times stretch, so the small twins count refusals and lost rows,
and leave the ratio to the nightly ones.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

import polars as pl
import pytest

from qwennb.simulator import Fault, Quota


@dataclass(frozen=True)
class Held:
    """How it went: seconds against the ideal, refusals for a thousand rows, most in flight."""

    ratio: float
    refusals: float
    peak: int

    def __str__(self) -> str:
        return (
            f"{self.ratio:.2f} x the ideal, {self.refusals:.1f} refusals in 1,000 rows, {self.peak} in flight"
        )


def held(sim, qwen, *, rows, ideal):
    began = time.monotonic()
    made = pl.DataFrame({"n": range(rows)}).qwen.ask(
        "Say {{ n }}", client=qwen, max_tokens=20, thinking=False
    )
    seconds = time.monotonic() - began
    assert made["answer"].null_count() == 0, "no row is lost"
    assert sim.ledger.count("paid") == rows
    return Held(seconds / ideal, 1000 * sim.ledger.count("status 429") / rows, sim.ledger.peak)


def at_twenty_a_second(simulate, client, rows):
    sim = simulate(quota=Quota(rate=20), latency=0.2)
    return held(sim, client(sim), rows=rows, ideal=(rows - 20) / 20 + 0.2)


def at_thirty_two_slots(simulate, client, rows):
    """A server of one's own: it queues and never refuses."""
    sim = simulate("vllm", quota=Quota(slots=32), latency=0.5)
    return held(sim, client(sim), rows=rows, ideal=rows / 32 * 0.5)


def on_a_slope(simulate, client, rows):
    """A limit that grows: as many requests a second more in each second as it says."""
    sim = simulate(quota=Quota(slope=10), latency=0.2)
    # By time t it lets 10·(t+1)²/2 through.
    return held(sim, client(sim), rows=rows, ideal=(2 * rows / 10) ** 0.5 - 1 + 0.2)


def through_a_step(simulate, client, rows):
    """40 a second, then 20: half of the rows under each."""
    sim = simulate(quota=Quota(rate=40), latency=0.2)
    done = threading.Event()

    def step():
        sim.ledger.wait_for(rows // 2, "paid", timeout=250)
        sim.quota(Quota(rate=20))
        done.set()

    thread = threading.Thread(target=step)
    thread.start()
    result = held(sim, client(sim), rows=rows, ideal=(rows / 2 - 40) / 40 + rows / 2 / 20 + 0.2)
    thread.join()
    assert done.is_set()
    return result


KINDS = {
    "20 a second": at_twenty_a_second,
    "32 slots": at_thirty_two_slots,
    "a slope": on_a_slope,
    "a step down": through_a_step,
}
SMALL = {"20 a second": 80, "32 slots": 200}
LARGE = {"20 a second": 600, "32 slots": 1500, "a slope": 1000, "a step down": 1000}


@pytest.mark.slow
@pytest.mark.parametrize("kind", SMALL)
def test_a_column_finds_the_limit_and_loses_no_row(simulate, client, kind):
    result = KINDS[kind](simulate, client, SMALL[kind])
    assert result.refusals <= 150, result
    if kind == "32 slots":
        assert result.refusals == 0 and result.peak <= 128, result


@pytest.mark.nightly
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", KINDS)
def test_a_column_holds_the_limit_in_little_more_than_the_ideal_time(simulate, client, kind, record_property):
    result = KINDS[kind](simulate, client, LARGE[kind])
    record_property(kind, str(result))
    print(kind, result)
    assert result.refusals <= 20, result
    # How fast a rising limit is followed depends on the latency (1.22 x the ideal at 0.2 s, 1.82 x at a second), and a busy
    # machine stretches that: `test_a_limit_that_rises_all_the_time_is_followed` measures it on a clock of its own.
    assert result.ratio <= 1.35 or kind == "a slope", result


def slowed_at_random(simulate, client, folder, rows, share):
    """How many times as long a column takes where *share* is refused at random, the asking again aside."""

    def seconds(name, *faults):
        sim = simulate(faults=faults, latency=0.1)
        began = time.monotonic()
        made = pl.DataFrame({"n": range(rows)}).qwen.ask(
            "Say {{ n }}", client=client(sim, cache_dir=folder / name), max_tokens=20, thinking=False
        )
        assert made["answer"].null_count() == 0, "no row is lost"
        assert sim.ledger.count("paid") == rows
        return time.monotonic() - began

    return seconds("refused", Fault("429", probability=share)) * (1 - share) / seconds("plain")


@pytest.mark.slow
def test_refusals_at_random_do_not_bring_a_column_to_a_stop(simulate, client, tmp_path):
    assert (
        slowed_at_random(simulate, client, tmp_path, 600, 0.1) <= 8
    )  # it was a hundred, on a machine as busy as this


@pytest.mark.nightly
@pytest.mark.timeout(300)
@pytest.mark.parametrize("share", [0.05, 0.1])
def test_refusals_at_random_cost_a_column_little_pace(simulate, client, tmp_path, share, record_property):
    slower = slowed_at_random(simulate, client, tmp_path, 2000, share)
    record_property("times as long", slower)
    print(f"{share:.0%} refused at random: {slower:.2f} times as long, the asking again aside")
    assert slower <= 2


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_three_of_ten_refused_at_random_cost_no_row_and_little_time(simulate, client, seed):
    sim = simulate(faults=[Fault("429", probability=0.3)], latency=0.1, seed=seed)
    began = time.monotonic()
    made = pl.DataFrame({"n": range(400)}).qwen.ask(
        "Say {{ n }}", client=client(sim, timeout=20), max_tokens=20, thinking=False
    )
    assert made["answer"].null_count() == 0 and sim.ledger.count("paid") == 400
    assert time.monotonic() - began <= 100, "it was between 5 s and never"


@pytest.mark.slow
def test_no_row_is_given_up_for_want_of_a_turn_while_others_are_answered(simulate, client):
    """Eight seconds' work for a server with a limit, and five seconds for each question."""
    sim = simulate(quota=Quota(rate=5, burst=5), latency=0.1)
    made = pl.DataFrame({"n": range(40)}).qwen.ask(
        "Say {{ n }}", client=client(sim, timeout=5.0), max_tokens=20, thinking=False
    )
    assert made["answer"].null_count() == 0


@pytest.mark.slow
def test_a_row_that_waited_for_its_turn_has_its_whole_time_for_its_answer(simulate, client):
    """An answer takes half of a question's time: what waited for longer than the other half must not be cut off."""
    sim = simulate(quota=Quota(rate=5, burst=5), latency=2.0)
    made = pl.DataFrame({"n": range(40)}).qwen.ask(
        "Say {{ n }}", client=client(sim, timeout=4.0), max_tokens=20, thinking=False
    )
    assert made["answer"].null_count() == 0


@pytest.mark.nightly
def test_a_word_of_years_does_not_shut_a_healthy_endpoint(simulate, client):
    word = "Fri, 31 Dec 9999 23:59:59 GMT"
    sim = simulate(faults=[Fault("429", times=1, retry_after=word)])
    qwen = client(sim)
    began = time.monotonic()
    made = pl.DataFrame({"n": range(20)}).qwen.ask("Say {{ n }}", client=qwen, max_tokens=20)
    assert made["answer"].null_count() == 0 and time.monotonic() - began <= 100
    assert qwen.ask("Why?", timeout=5).text
