"""One run as a value: when it waits for those who listen, and what it comes to."""

from __future__ import annotations

import asyncio

import pytest

from qwennb.tracing import RunEnded, Totals, Trace


@pytest.fixture
def waits() -> list[str]:
    return []


@pytest.fixture
def trace(waits):
    heard = []
    made = Trace(
        [lambda event, _: heard.append(event)], "ask", "qwen3.5-flash", settle=lambda: waits.append("waited")
    )
    made.heard = heard
    return made


def test_a_run_waits_until_its_end_was_heard(trace, waits):
    with trace:
        assert waits == []
    assert waits == ["waited"] and isinstance(trace.heard[-1], RunEnded)


def test_a_run_that_fails_waits_too_and_names_its_error(trace, waits):
    with pytest.raises(ValueError), trace:
        raise ValueError
    assert (waits, trace.heard[-1].error, trace.heard[-1].failed) == (["waited"], "ValueError", 1)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, GeneratorExit, asyncio.CancelledError])
def test_who_stops_a_run_waits_for_nobody_who_listens(trace, waits, stop):
    with pytest.raises(stop), trace:
        raise stop
    assert (waits, trace.heard[-1].error) == ([], "Stopped")


def test_a_column_that_was_stopped_waits_for_nobody_either(trace, waits):
    trace.read_totals = lambda: Totals(rows=9, unique=9, done=4, error="Stopped")
    with trace:
        pass
    assert (waits, trace.heard[-1].error, trace.heard[-1].done) == ([], "Stopped", 4)


def test_awaited_it_waits_on_another_thread_than_the_users_loop(trace, waits):
    async def ask():
        async with trace:
            pass

    asyncio.run(ask())
    assert waits == ["waited"] and trace.heard[-1].error == ""
