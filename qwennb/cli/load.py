"""`qwennb load`: how an endpoint bears load, measured by streams of requests or at a rate."""

from __future__ import annotations

import concurrent.futures
import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from qwennb.answer import money
from qwennb.cache import PackMedia, read_record
from qwennb.catalog import estimate_tokens
from qwennb.cli.command import INTERRUPTED, Parser
from qwennb.cli.export import read_pack
from qwennb.cli.world import World
from qwennb.client import Bridge, Options, Session, runtime
from qwennb.endpoints import DirectTransport
from qwennb.engine import CallContext
from qwennb.errors import BadInput, nearest
from qwennb.load import (
    LIMITS,
    Load,
    Stage,
    StageRun,
    climb,
    compare_stages,
    default_prompt,
    describe_now,
    describe_stage,
    json_lines,
    read_prompts,
)
from qwennb.request import Message, Request, Settings, Text
from qwennb.text import wrap

STREAMS = "4"
REQUESTS = 50  # of a stage, where neither they nor seconds are given
EVERY = 0.5  # seconds between two live lines
MAX_TOKENS = 128
SPARE = 64  # files that the process may open beside its connections
MOST_FILES = (
    65_536  # where the system sets no limit; chosen: more than one machine has connections to one address
)


def load_options(parser: Parser) -> None:
    """Add the options of `qwennb load`."""
    parser.option("-e --endpoint", "what is measured (default: what is found)")
    parser.option("-m --model", "whom to ask (default: the endpoint's own default)")
    parser.option(
        "-c --concurrency N,…", f"streams at a time, each sending its next when it is free ({STREAMS})"
    )
    parser.option("--rate N,…", "requests a second instead, whether or not earlier ones are answered")
    parser.switch("--poisson", "with --rate: at random moments, as independent callers come")
    parser.switch("--sweep", "1, 2, 4, … streams, until that brings no more tokens a second")
    parser.option(
        "-n --requests N",
        f"the requests of each stage ({REQUESTS}, or four a stream; of a sweep at least two)",
        type=int,
    )
    parser.option("--seconds S", "begin no request of a stage after this time", type=float)
    parser.option(
        "--warmup N",
        "requests before each stage that are in no figure (one a stream, or a second's)",
        type=int,
    )
    parser.option(
        "--prompts FILE", "a .txt with one a line, a .jsonl, .csv or .parquet, or a pack (default: made up)"
    )
    parser.option("--column NAME", "the column of the file that holds them (prompt, else the first)")
    parser.option("--input-tokens N", "the length of a made-up prompt, by estimate (200)", 200)
    parser.option("--max-tokens N", f"the most tokens of an answer ({MAX_TOKENS}; a pack's own)", type=int)
    parser.option("--think LEVEL", "low, medium, high or a number of tokens (default: the model decides)")
    parser.switch("--no-think", "answer without thinking")
    parser.option(
        "--limit NAME=S", f"goodput: answers within seconds; {', '.join(LIMITS)}; may be repeated", []
    )
    parser.option("--timeout S", "the most seconds for one answer (the configured timeout)", type=float)
    parser.option("--seed N", "other made-up prompts and random moments", 0)
    parser.option("--budget USD", "the most that all of it may cost", type=float)
    parser.switch("--yes", "send it to a hosted endpoint, whose owner may not want it")
    parser.option("--json FILE", "write a line of JSON for each request; no text of any")
    parser.option("--png FILE", "write a picture")


def load(given: Any, world: World) -> int:
    """Send, measure and tell."""
    limits, stages = _read_limits(given.limit), _read_stages(given)
    _check_files(given, world)
    if given.png is not None:
        from qwennb.load.picture import check_picture

        check_picture()
    session = _open_session(given, world)
    context = session.call_context(
        Options(cache="off", timeout=given.timeout or session.config.timeout, budget=given.budget)
    )
    question, different = _choose_questions(given, context, world)
    first = question(0)
    for number in range(different):
        session.validate(question(number), context)
    _check_hosted(given, context, stages, first)
    context.endpoint.ready()
    _allow_connections(max(stage.streams for stage in stages))
    bridge = session.runtime().bridge
    # llama.cpp closes a connection after a stream without having said so, and who takes it again at once is cut off. To open
    # one for each request costs a round trip, which is nothing where no certificates are shown.
    keep = context.endpoint.base_url.startswith("https:")
    transport = DirectTransport(connections=0, keep=keep)
    under_load = Load(question, context, transport, world.seconds, seed=given.seed)
    shown = f"{first.model} at {context.endpoint}"
    try:
        bridge.run(under_load.try_once())
        world.say(*wrap(f"Load of {shown}, with {_describe_questions(given, first)}.", indent=""))
        stopped = _run(under_load, climb(under_load, stages[0]) if given.sweep else stages, bridge, world)
    finally:
        bridge.run(transport.close())
    _tell(under_load.runs, limits, world)
    _write_files(given, under_load.runs, shown, world)
    session.emit_warnings()
    return INTERRUPTED if stopped else 0


def _open_session(given: Any, world: World) -> Session:
    """Open a session that neither recalls nor keeps."""
    config = world.config()
    settings = {
        name: getattr(config, name) for name in ("api_key", "cache_dir", "timeout", "referer", "title")
    }
    chosen = {"endpoint": given.endpoint or config.endpoint, "model": given.model or config.model}
    return Session({**settings, **chosen, "cache": "off"}, runtime)


def _tell(runs: Sequence[StageRun], limits: Mapping[str, float], world: World) -> None:
    """Say what came of each stage, and of all beside each other."""
    measured = [run for run in runs if run.timings]
    for run in measured:
        world.say("", *describe_stage(run, limits))
    if len(measured) > 1:
        world.say("", *compare_stages(measured, limits))
    for run in runs[len(measured) :]:
        world.say(
            "",
            *wrap(
                f"{run.stage.name}: it ended before the first request that counts. {run.stopped}", indent=""
            ),
        )


def _write_files(given: Any, runs: Sequence[StageRun], title: str, world: World) -> None:
    """Write the lines and the picture, where they are wanted."""
    if given.json is not None:
        lines = "".join(f"{line}\n" for line in json_lines(runs))
        (world.folder / given.json).write_text(lines, encoding="utf-8")
        world.say("", f"Each request: {given.json}")
    if given.png is not None and (measured := [run for run in runs if run.timings]):
        from qwennb.load.picture import draw

        (world.folder / given.png).write_bytes(draw(measured, title))
        world.say(f"The picture: {given.png}")


def _run(under_load: Load, stages: Iterable[Stage], bridge: Bridge, world: World) -> bool:
    """Run it with a live line; True where it was interrupted, and what was done by then stands."""
    future, line = bridge.start(under_load.run(stages)), ""
    try:
        while True:
            try:
                future.result(EVERY)
                return False
            except concurrent.futures.TimeoutError:
                if future.done():
                    raise
                bridge.look()
                if under_load.runs and world.err.isatty():
                    before, line = line, describe_now(under_load.runs[-1])
                    world.redraw(line.ljust(len(before)))
    except KeyboardInterrupt:
        future.cancel()
        with contextlib.suppress(concurrent.futures.CancelledError, concurrent.futures.TimeoutError):
            future.result(EVERY)
        return True
    finally:
        if line:
            world.note("")


# ---------------------------------------------------------------------- what was typed


def _read_numbers(option: str, text: str, kind: Callable[[str], float]) -> list[float]:
    try:
        numbers = [kind(part) for part in text.split(",")]
    except ValueError:
        numbers = [0]
    if not all(0 < number < 1e6 for number in numbers):
        raise BadInput(f"{option} {text} is none. Give a number above 0, or several: {option} 1,4,16")
    return numbers


def _read_stages(given: Any) -> list[Stage]:
    """Read how requests are to arrive. Of a sweep there is one, of one stream, from which it climbs."""
    ways = [name for name in ("concurrency", "rate", "sweep") if getattr(given, name)]
    if len(ways) > 1:
        raise BadInput(f"--{ways[0]} and --{ways[1]} are two loads. Give one of them.")
    if given.poisson and given.rate is None:
        raise BadInput("--poisson says how requests of a rate arrive. Give --rate, in requests a second.")
    for name in ("requests", "seconds", "warmup", "input_tokens", "max_tokens", "timeout", "budget"):
        value = getattr(given, name)
        if value is not None and (value < 0 or (value == 0 and name != "warmup")):
            raise BadInput(f"--{name.replace('_', '-')} {value:g} is out of range.")
    bounds = {"seconds": given.seconds, "warmup": given.warmup}
    if given.rate is not None:
        most = given.requests or (None if given.seconds else REQUESTS)
        rates = _read_numbers("--rate", given.rate, float)
        return [Stage(rate=rate, poisson=given.poisson, requests=most, **bounds) for rate in rates]
    stages = []
    typed = "1" if given.sweep else given.concurrency or STREAMS
    for streams in map(int, _read_numbers("--concurrency", typed, int)):
        if given.requests and given.requests < streams:
            raise BadInput(
                f"--requests {given.requests} can't keep {streams} streams busy. Give at least one a stream."
            )
        most = given.requests or (None if given.seconds else max(REQUESTS, 4 * streams))
        stages.append(Stage(streams=streams, requests=most, **bounds))
    return stages


def _check_files(given: Any, world: World) -> None:
    """Refuse what could not be written at the end, or read."""
    for option in ("json", "png"):
        if (name := getattr(given, option)) is not None and not (world.folder / name).parent.is_dir():
            raise BadInput(f"--{option} {name}: there is no such folder.")
    if given.column is not None and given.prompts is None:
        raise BadInput("--column says where a file has its prompts. Give the file: --prompts FILE")


def _read_limits(typed: list[str] | None) -> dict[str, float]:
    """Read what goodput is to keep."""
    limits: dict[str, float] = {}
    for one in typed or []:
        name, _, number = one.partition("=")
        if name not in LIMITS:
            raise BadInput(
                f"--limit {one}: there is no {name!r}{nearest(name, LIMITS) or '.'} There are {', '.join(LIMITS)}."
            )
        limits[name] = _read_numbers(f"--limit {name}", number, float)[0]
    return limits


# ---------------------------------------------------------------------- what is asked


def _choose_questions(given: Any, context: CallContext, world: World) -> tuple[Callable[[int], Request], int]:
    """Choose what makes the request of each number, and tell how many there are that differ in more than words."""
    name = context.endpoint.model_name
    think = int(given.think) if (given.think or "").isdigit() else given.think
    typed = {"max_tokens": given.max_tokens, "thinking": False if given.no_think else think}
    settings = Settings.of(**{**typed, "max_tokens": given.max_tokens or MAX_TOKENS})
    if given.prompts is not None and given.prompts.endswith((".qwenpack", ".zst")):
        over = {setting: value for setting, value in typed.items() if value is not None}
        found = [
            replace(one, model=name(given.model or one.model), settings=replace(one.settings, **over))
            for one in _read_requests(given.prompts, world)
        ]
        return lambda number: found[number % len(found)], len(found)
    model = name(given.model or world.config().model)

    def make(prompt: str) -> Request:
        return Request(model, (Message("user", (Text(prompt),)),), settings)

    if given.prompts is None:
        return lambda number: make(default_prompt(number, given.input_tokens, given.seed)), 1
    prompts = read_prompts(world.folder / Path(given.prompts).expanduser(), given.column)
    return lambda number: make(prompts[number % len(prompts)]), len(prompts)


def _read_requests(file: str, world: World) -> list[Request]:
    """Read the requests of a pack, with the pictures beside it."""
    media = PackMedia.beside(world.folder / Path(file).expanduser())
    found = [read_record(value)[0] for value in read_pack(file, world).values()]
    return [media.fill(one) for one in {one.key: one for one in found}.values()]


def _describe_questions(given: Any, first: Request) -> str:
    """Say what is asked, with its length."""
    if given.prompts is not None:
        return f"what {Path(given.prompts).name} holds"
    tokens = estimate_tokens(first.messages[0].text).tokens
    return f"prompts of about {tokens:,} tokens that begin differently, and answers of at most {first.settings.max_tokens:,}"


# ---------------------------------------------------------------------- before anything is sent


def _check_hosted(given: Any, context: CallContext, stages: Sequence[Stage], first: Request) -> None:
    """Refuse to send a load to others' servers where nobody said so, or where the cost has no end."""
    endpoint = context.endpoint
    if not endpoint.hosted:
        return
    if given.budget is None:
        raise BadInput(
            f"{endpoint} is hosted, and a load there costs money: up to {money(endpoint.worst_cost(first))} a request. "
            "Give --budget USD, and --yes."
        )
    if not given.yes:
        raise BadInput(
            f"{endpoint} is a server of others, who may not want a load. Where it may be sent, type it again with --yes."
        )
    bound = endpoint.worst_cost(first) * max(stage.streams for stage in stages)
    if bound > given.budget:
        raise BadInput(
            f"{max(stage.streams for stage in stages)} streams may cost up to {money(bound)} at a time, more than the budget of "
            f"{money(given.budget)}. Give fewer streams, a smaller --max-tokens, or a higher --budget."
        )


def _allow_connections(streams: int) -> None:
    """Let this process open as many files as the system lets it: each request under way is a connection, and so a file."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    most = max(soft, most)
    if soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    if streams + SPARE > most:
        raise BadInput(
            f"{streams:,} streams are as many open files, and this process may open {most:,}. Give fewer, or raise it: ulimit -n"
        )
