"""`qwennb simulate`: the simulator as a server, for trying what a real endpoint would do."""

from __future__ import annotations

from typing import Any

from qwennb.cli.command import Parser
from qwennb.cli.world import World
from qwennb.errors import BadInput
from qwennb.simulator import DIALECTS, Quota, serve_forever

# As which of our endpoints a dialect is asked.
_ASKED_AS = {"dashscope": "dashscope-intl"}


def simulate_options(parser: Parser) -> None:
    """Add the options of `qwennb simulate`."""
    parser.option("--dialect", f"whose wire format: {', '.join(DIALECTS)}", required=True)
    parser.option("--port", "where to listen on 127.0.0.1 (default: any free port)", 0)
    parser.option("--seed", "other answers for another seed (default: 0)", 0)
    parser.option("--latency S", "seconds before an answer begins", 0.0)
    parser.option("--token-latency S", "seconds for each token of a stream", 0.0)
    parser.option("--rps N", "requests a second; what is faster is refused with 429", type=float)
    parser.option("--in-flight N", "requests at a time; more are refused with 429", type=int)
    parser.option("--slots N", "requests at a time; more wait for their turn", type=int)
    parser.option("--api-key KEY", "the only key that is taken (default: any)")


def simulate(given: Any, world: World) -> int:
    """Serve until interrupted."""
    for name in ("latency", "token_latency", "rps", "in_flight", "slots"):
        if (value := getattr(given, name)) is not None and (
            value < 0 or (value == 0 and "latency" not in name)
        ):
            raise BadInput(f"--{name.replace('_', '-')} {value:g} is out of range.")
    if not 0 <= given.port < 65536:
        raise BadInput(f"--port {given.port} is no port.")
    endpoint = _ASKED_AS.get(given.dialect, given.dialect)

    def announce(url: str) -> None:
        world.say(
            f"A simulated {given.dialect} listens at {url}",
            f"  QWENNB_ENDPOINT={endpoint}+{url} QWENNB_API_KEY={given.api_key or 'sk-any'}",
            "Its answers are no model's. Ctrl-C stops it.",
        )

    serve_forever(
        given.dialect,
        announce=announce,
        port=given.port,
        seed=given.seed,
        latency=given.latency,
        token_latency=given.token_latency,
        api_key=given.api_key,
        quota=Quota(rate=given.rps, in_flight=given.in_flight, slots=given.slots),
    )
    return 0
