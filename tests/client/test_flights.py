"""Who shares a flight: the same question to the same server with the same key, and nobody else."""

from __future__ import annotations

import threading
from collections.abc import Callable

import polars as pl
import pytest
from openai import AuthenticationError

from qwennb import Qwen
from qwennb.errors import KeyRefused
from qwennb.simulator import Simulator

QUESTION = "Say one"


def by_stream(qwen: Qwen, mode: str) -> str:
    return qwen.stream(QUESTION, cache=mode).answer.text


def by_ask_many(qwen: Qwen, mode: str) -> str:
    (answer,) = qwen.ask_many([QUESTION], cache=mode)
    if answer.error is not None:
        raise answer.error
    return answer.text


def by_column(qwen: Qwen, mode: str) -> str:
    table = pl.DataFrame({"n": ["one"]})
    return table.qwen.ask("Say {{ n }}", client=qwen, cache=mode, on_error="raise")["answer"][0]


def by_openai(qwen: Qwen, mode: str) -> str:
    del mode  # the client's own
    reply = qwen.openai.chat.completions.create(
        model="qwen3.5-flash", messages=[{"role": "user", "content": QUESTION}]
    )
    return reply.choices[0].message.content or ""


DOORS: dict[str, Callable[[Qwen, str], str]] = {
    "ask": lambda qwen, mode: qwen.ask(QUESTION, cache=mode).text,
    "stream": by_stream,
    "ask_many": by_ask_many,
    "column": by_column,
    "chat": lambda qwen, mode: qwen.chat(cache=mode).ask(QUESTION).text,
    "openai": by_openai,
}


def during(first: Callable[[], str], sim: Simulator, second: Callable[[], str]) -> list[str | BaseException]:
    """What comes of *second*, asked while *first* is under way at *sim*; and of *first*."""
    said: dict[int, str | BaseException] = {}

    def note(endpoint: int, ask: Callable[[], str]) -> None:
        try:
            said[endpoint] = ask()
        except Exception as error:
            said[endpoint] = error

    thread = threading.Thread(target=note, args=(0, first))
    thread.start()
    sim.ledger.wait_for(1, "asked", timeout=120)
    note(1, second)
    thread.join()
    return [said[0], said[1]]


@pytest.mark.parametrize("mode", ["on", "refresh", "off"])
@pytest.mark.parametrize("door", DOORS)
def test_two_servers_never_share_an_answer_under_way(simulate, client, door, mode):
    left, right = simulate(script=["left"], latency=0.4), simulate(script=["right"])
    one, other = client(left, cache=mode), client(right, cache=mode)
    ask = DOORS[door]
    assert during(lambda: ask(one, mode), left, lambda: ask(other, mode)) == ["left", "right"]
    assert (left.ledger.count("asked"), right.ledger.count("asked")) == (1, 1)


@pytest.mark.parametrize("door", DOORS)
def test_nobody_is_refused_for_another_clients_key(simulate, client, door):
    sim = simulate(latency=0.4)
    # A key is looked at at once, so the wrong one joins an answer that is still under way.
    right, wrong = client(sim, cache="off"), client(sim, cache="off", api_key="sk-wrong")
    ask = DOORS[door]
    answered, refused = during(lambda: ask(right, "off"), sim, lambda: ask(wrong, "off"))
    assert isinstance(answered, str) and isinstance(refused, KeyRefused | AuthenticationError)


def test_clients_of_one_server_and_key_still_share_a_flight(simulate, client):
    sim = simulate(latency=0.4)
    one, other = client(sim), client(sim)
    said = during(lambda: one.ask(QUESTION).text, sim, lambda: other.ask(QUESTION).text)
    assert said[0] == said[1] and sim.ledger.count("asked") == 1


@pytest.mark.parametrize("mode", ["refresh", "off"])
def test_two_clients_in_one_plan_are_each_answered_by_their_own_server(simulate, client, mode):
    left, right = simulate(script=["left"], latency=0.2), simulate(script=["right"], latency=0.2)
    table = pl.DataFrame({"n": ["one"]}).lazy()
    ask = {
        name: pl.col("n").qwen.ask("Say {{ n }}", client=client(sim, cache=mode)).alias(name)
        for name, sim in (("left", left), ("right", right))
    }
    assert table.select(**ask).collect().row(0) == ("left", "right")


def test_a_remembered_answer_serves_whatever_the_address_and_the_key(simulate, client):
    left, right = simulate(script=["left"]), simulate(script=["right"])
    assert client(left).ask(QUESTION).text == "left"
    assert client(right, api_key="sk-other").ask(QUESTION).text == "left"
    assert right.ledger.count("asked") == 0


def test_what_names_a_flight_shows_no_key(simulate, client):
    from qwennb.client import Options
    from qwennb.engine.flight import FlightName

    qwen = client(simulate(), api_key="sk-canary-8461")
    request, endpoint = qwen.session.build_request(QUESTION, {}, Options()), qwen.endpoint
    name = FlightName(request.key, "openrouter", endpoint.base_url, endpoint.key, "on", qwen.session.memory)
    assert name.api_key is not None and "canary" not in repr(name)
