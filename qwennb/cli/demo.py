"""`qwennb demo`: a few questions on whatever endpoint is found, each asked twice so that the cache shows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from qwennb.answer import Answer
from qwennb.cli.command import Parser
from qwennb.cli.text import wrapped
from qwennb.cli.world import World
from qwennb.client import Qwen
from qwennb.errors import BadInput, UnknownEndpoint


@dataclass(frozen=True, slots=True)
class Show:
    """One question: what it shows, its prompt, and the options that show it."""

    title: str
    prompt: str
    options: dict[str, Any] = field(default_factory=dict)


SHOWS = (
    Show("A text", "In one sentence: why is the sky blue?", {"max_tokens": 300}),
    Show(
        "A choice",
        "Is this review praise or complaint? {{ review }}",
        {"review": "The soup was cold and nobody came.", "choices": ["praise", "complaint"]},
    ),
    Show(
        "A schema",
        "Read the order: {{ mail }}",
        {
            "mail": "Please send two boxes of green tea to Ulm.",
            "schema": "item, amount int, city",
            "max_tokens": 300,
        },
    ),
)


def demo_options(parser: Parser) -> None:
    """The options of `qwennb demo`."""
    parser.add_argument("-e", "--endpoint", help="where to ask (default: what is found)")
    parser.add_argument("-m", "--model", help="whom to ask (default: the endpoint's own default)")


def demo(given: Any, world: World) -> int:
    """Ask, and tell what it took."""
    qwen = _client(given, world)
    place = qwen.place
    model = place.model_name(qwen.config.model)
    world.say(f"Asking {model} at {place}. The answers are kept in {qwen.config.cache_dir}.")
    if place.name == "simulator":
        world.say("No endpoint was found, so a simulator answers. What it says is made up and no model's.")
    direct = {"thinking": False} if place.abilities(model).accepts("thinking") else {}
    for show in SHOWS:
        world.say("", show.title, *wrapped(show.prompt, first="  > ", indent="    "))
        for key, value in show.options.items():
            if isinstance(value, str) and f"{{{{ {key} }}}}" in show.prompt:
                world.say(*wrapped(f"{key}: {value}", indent="    "))
        for turn in ("first", "again"):
            started = world.seconds()
            answer = qwen.ask(show.prompt, **direct, **show.options)
            if turn == "first":
                world.say(*wrapped(_shown(answer), indent="    ", first="  = "))
            world.say(f"  {turn}: {_told(answer, world.seconds() - started)}")
    world.say(
        "",
        "In a notebook: %load_ext qwennb, then %qwen and a question. qwennb doctor tells what else is here.",
    )
    return 0


def _client(given: Any, world: World) -> Qwen:
    config = world.config()
    if config.cache == "replay":
        raise BadInput("The demo asks, and the cache is in replay. Type: QWENNB_CACHE=on qwennb demo")
    endpoint = given.endpoint or config.endpoint
    model = given.model or config.model
    settings: dict[str, Any] = {"model": model, "cache_dir": config.cache_dir, "cache": config.cache}
    qwen = Qwen(endpoint=endpoint, **settings)
    if endpoint is None:
        try:
            qwen.place  # noqa: B018  (looked for on first use)
        except UnknownEndpoint:
            return Qwen(endpoint="simulator", **settings)
    return qwen


def _shown(answer: Answer) -> str:
    return answer.text if answer.data is None or isinstance(answer.data, str) else repr(answer.data)


def _told(answer: Answer, seconds: float) -> str:
    if answer.cached:
        return f"from memory in {seconds * 1000:.1f} ms, nothing spent"
    cost = "price unknown" if answer.cost is None else str(answer.cost)
    return f"asked, {seconds:.2f} s, {answer.usage.input} tokens in, {answer.usage.output} out, {cost}"
