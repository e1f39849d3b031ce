"""How fast one may ask, by a clock that the test holds, and then over sockets."""

import asyncio
import threading
import time
from collections import Counter

import pytest

from qwennb.simulator import Quota
from qwennb.simulator.quota import Meter

from .wire import ask


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def meter(**quota):
    clock = Clock()
    return Meter(Quota(**quota), clock), clock


def test_a_rate_grants_a_burst_and_then_its_pace():
    gate, clock = meter(rate=10, burst=3)
    assert [gate.admit(1) is None for _ in range(4)] == [True, True, True, False]
    assert gate.admit(1).wait == pytest.approx(0.1)
    clock.now += 0.1
    assert gate.admit(1) is None
    clock.now += 1000
    assert sum(gate.admit(1) is None for _ in range(10)) == 3


def test_tokens_count_in_and_out():
    gate, clock = meter(tokens_per_minute=600)
    assert gate.admit(100) is None
    gate.spend(500)
    refused = gate.admit(10)
    assert (refused.limit, refused.wait) == ("tokens", pytest.approx(1.0))
    clock.now += 1.0
    assert gate.admit(10) is None


def test_a_slope_lets_the_rate_grow_slowly():
    gate, clock = meter(slope=10)
    granted = []
    for _ in range(3):
        granted.append(sum(gate.admit(1) is None for _ in range(100)))
        clock.now += 1
    assert granted == [5, 15, 25]
    assert gate.admit(1) is None


def test_places_are_given_in_order_and_come_back_when_somebody_leaves_the_queue():
    async def scene():
        gate, _ = meter(slots=1)
        seen = []

        async def visit(name):
            await gate.enter()
            seen.append(name)

        await gate.enter()
        one, two, three = (asyncio.create_task(visit(name)) for name in "abc")
        await asyncio.sleep(0)
        two.cancel()
        gate.leave()
        await one
        gate.leave()
        await three
        assert seen == ["a", "c"]
        gate.leave()
        await asyncio.wait_for(gate.enter(), 1)

    asyncio.run(scene())


def test_in_flight_is_refused_beyond_its_bound():
    async def scene():
        gate, _ = meter(in_flight=2)
        await gate.enter()
        await gate.enter()
        assert gate.admit(1).limit == "in_flight"
        gate.leave()
        assert gate.admit(1) is None

    asyncio.run(scene())


def crowd(sim, n):
    """n callers at once: their statuses."""
    heard = []
    callers = [threading.Thread(target=lambda: heard.append(ask(sim))) for _ in range(n)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    return heard


def test_a_hosted_server_refuses_and_says_when_to_come_back_in_its_own_way(start):
    quota = Quota(
        rate=1 / 1000, burst=2
    )  # a third would be granted after a thousand seconds, however slow we are
    openrouter = crowd(start("openrouter", quota=quota), 6)
    assert Counter(one.status for one in openrouter) == {200: 2, 429: 4}
    assert all(0 < float(one.headers["retry-after"]) <= 1000 for one in openrouter if one.status == 429)
    dashscope = crowd(start("dashscope", quota=quota), 6)
    refused = [one for one in dashscope if one.status == 429]
    assert len(refused) == 4
    assert all("retry-after" not in one.headers for one in refused)
    assert refused[0].json["error"]["code"] == "limit_requests"


def test_the_quota_says_what_it_is_told_to_say(start):
    told = Quota(in_flight=0, retry_after=1.5, retry_form="ms")
    assert ask(start("dashscope", quota=told)).headers["retry-after-ms"] == "1500"


def test_tokens_a_minute_look_like_billing_on_dashscope(start):
    sim = start("dashscope", quota=Quota(tokens_per_minute=40))
    assert ask(sim).status == 200
    error = ask(sim).json["error"]
    assert error["code"] == "insufficient_quota"
    assert error["message"].startswith("Allocated quota exceeded")
    assert sim.ledger.last().refusal == "quota: tokens"


def test_a_self_hosted_server_queues_and_never_refuses(start):
    sim = start("vllm", quota=Quota(slots=0))
    heard = []
    everybody = threading.Thread(target=lambda: heard.extend(crowd(sim, 8)))
    everybody.start()
    sim.ledger.wait_for(8, "asked")
    assert (sim.ledger.in_flight, sim.ledger.count("finished")) == (8, 0)
    sim.pace(0.05)
    began = time.monotonic()
    sim.quota(Quota(slots=2))
    everybody.join()
    assert time.monotonic() - began >= 4 * 0.05
    assert {one.status for one in heard} == {200}


def test_the_quota_changes_while_it_runs(start):
    sim = start("vllm", quota=Quota(in_flight=0))
    assert ask(sim).status == 429
    sim.quota(Quota())
    assert ask(sim).status == 200


def test_latency_counts_for_the_request_and_for_each_token(start):
    sim = start("vllm", script=lambda _: "abcd" * 10, latency=0.05, token_latency=0.01)
    for stream in (False, True):
        began = time.monotonic()
        ask(sim, stream=stream)
        assert time.monotonic() - began >= 0.05 + 10 * 0.01 - 0.02
    sim.pace(600.0)
    sim.pace()
    assert ask(sim).status == 200  # whoever asks waits for a minute
