"""`qwennb export`: a recorded request as text that another tool sends."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from qwennb.cache import Name, Pack, PackMedia, read_record
from qwennb.catalog import Catalog
from qwennb.cli.cache import open_memory
from qwennb.cli.command import Parser
from qwennb.cli.world import World
from qwennb.config import Config
from qwennb.endpoints import (
    FORMS,
    HOSTED,
    PORTS,
    PROBE_SECONDS,
    SELF_HOSTED,
    Endpoint,
    Finder,
    check_endpoint,
    find_embedded,
    recorded_endpoint,
    write_export,
)
from qwennb.errors import BadInput
from qwennb.request import Request
from qwennb.text import shorten

SHORTEST = 4  # signs of a key: fewer are a word that was meant otherwise
MOST = 4  # keys that are listed where several begin alike
_KEY = re.compile(r"[0-9a-f]+")
_FORMS = ", ".join(FORMS)


def export_options(parser: Parser) -> None:
    """Add the options of `qwennb export`."""
    parser.add_argument(
        "what", metavar="KEY|FILE", help="the key of a kept answer or how it begins, or a pack"
    )
    parser.option("--as FORM", f"for which tool: {_FORMS}", dest="form")
    parser.option("--key", "of a pack, the one request whose key begins so (default: all of it)")
    parser.option("-e --endpoint", "where it is to be sent (default: where it was answered)")


def export(given: Any, world: World) -> int:
    """Print what sends the requests meant. No key of anybody's is in it."""
    if given.form not in FORMS:
        if given.form is None:
            raise BadInput(
                f"As what? Type qwennb export {given.what} --as curl, or --as another of {_FORMS}."
            )
        write_export([], given.form)
    is_file = not _KEY.fullmatch(given.what) or (world.folder / given.what).is_file()
    config = world.config()
    if is_file:
        records = read_pack(given.what, world)
        if given.key is not None:
            nothing = f"{given.what} holds no request whose key begins with {shorten(given.key, 64)}. answer.key shows one."
            chosen = _choose_names(given.key, records, given.endpoint, nothing)
            records = {name: records[name] for name in chosen}
    elif given.key is not None:
        raise BadInput(f"--key chooses from a pack, and {given.what} is a key already. Leave --key out.")
    else:
        records = _of_cache(given.what, config, given.endpoint)
    endpoints = _find_endpoints({name.endpoint for name in records}, given.endpoint, config, world)
    asked = {(name.key, endpoints[name.endpoint].base_url): (name, value) for name, value in records.items()}
    media = PackMedia.beside(world.folder / Path(given.what).expanduser()) if is_file else None
    pairs = [(_read_request(value, media), endpoints[name.endpoint]) for name, value in asked.values()]
    text = write_export(pairs, given.form)
    _check_encoding(text, given, world)
    world.say(*text.split("\n"))
    return 0


def read_pack(what: str, world: World) -> Mapping[Name, bytes]:
    """Read the requests of a pack."""
    path = world.folder / Path(what).expanduser()
    if not path.exists() and not what.endswith((".qwenpack", ".zst")):
        raise BadInput(
            f"{what} is neither a key (hexadecimal, as answer.key shows it, or how it begins) nor a pack that is here. "
            "Type: qwennb export KEY --as curl"
        )
    pack = Pack.read(path)
    if not pack.records:
        raise BadInput(f"{path.name} holds no request. Give a pack that does, or the key of a kept answer.")
    return pack.records


def _read_request(record: bytes, media: PackMedia | None) -> Request:
    """Read the request of a *record*, with the pictures, videos and PDFs that lie in the folder beside its pack."""
    request, _ = read_record(record)
    return request if media is None else media.fill(request)


def _of_cache(start: str, config: Config, endpoint: str | None) -> Mapping[Name, bytes]:
    """Read the one request whose key begins with *start* from what is kept here."""
    nothing = (
        f"No answer in {config.cache_dir} has the key {shorten(start, 64)}. answer.key shows one; those of a pack are given "
        f"by its file: qwennb export FILE.qwenpack --as curl"
    )
    with open_memory(config.cache_dir) as memory:
        kept = [] if memory is None else memory.store.names()
        names = _choose_names(start, kept, endpoint, nothing)
        return {} if memory is None else memory.store.get_many(names)


def _choose_names(start: str, names: Iterable[Name], endpoint: str | None, nothing: str) -> list[Name]:
    """Choose the one request whose key begins with *start*; BadInput says *nothing* where there is none."""
    if len(start) < SHORTEST:
        raise BadInput(
            f"{start} is too short for a key. Give at least {SHORTEST} signs of what answer.key shows."
        )
    found = [name for name in names if name.key.startswith(start)]
    keys = sorted({name.key for name in found})
    if not keys:
        raise BadInput(nothing)
    if len(keys) > 1:
        listed = ", ".join(key[: len(start) + 8] for key in keys[:MOST])
        more = f" and {len(keys) - MOST:,} more" if len(keys) > MOST else ""
        raise BadInput(f"{len(keys):,} keys begin with {start}: {listed}{more}. Type more of the one meant.")
    places = sorted(name.endpoint for name in found)
    if endpoint is None and len(places) > 1:
        raise BadInput(
            f"Request {keys[0][:12]} was answered by {' and by '.join(places)}. Say which: --endpoint {places[0]}"
        )
    return [name for name in found if name.endpoint == endpoint] or found[:1]


# ---------------------------------------------------------------------- where to


def _find_endpoints(
    answered: set[str], wanted: str | None, config: Config, world: World
) -> dict[str, Endpoint]:
    """Find where each request goes, by the identity of the endpoint that answered it."""
    if wanted is None:
        return {identity: _recorded(identity, config, world) for identity in sorted(answered)}
    if wanted in answered or wanted in HOSTED:
        return dict.fromkeys(answered, _recorded(wanted, config, world))
    if wanted == "simulator":
        raise BadInput(
            "The simulator needs an address. Type: qwennb simulate --dialect vllm, and give what it prints."
        )
    check_endpoint(wanted)
    return dict.fromkeys(answered, asyncio.run(_look_for(wanted, config, world)))


def _recorded(identity: str, config: Config, world: World) -> Endpoint:
    """Make the endpoint of *identity*; the address of one's own server is in no record, and so the usual one is told."""
    endpoint = recorded_endpoint(identity, Catalog.load_bundled())
    if endpoint.name in (*HOSTED, "local"):
        return endpoint
    if endpoint.name not in SELF_HOSTED and not endpoint.hosted:
        raise BadInput(
            f"No record says at which address {identity} was. Give it: --endpoint openai+http://host/v1"
        )
    kind = endpoint.name if endpoint.name in SELF_HOSTED else "openai"
    world.note(
        f"No record says at which address {identity} was; this is written for {endpoint.base_url}. Another: "
        f"--endpoint {kind}+http://host/v1"
    )
    return replace(endpoint, key=config.api_key)


async def _look_for(wanted: str, config: Config, world: World) -> Endpoint:
    finder = Finder(
        config,
        world.environ,
        catalog=Catalog.load_bundled(),
        embedded=lambda config: find_embedded(config, world.environ),
        simulated=lambda: "",
        ports=PORTS if world.ports is None else world.ports,
        patience=PROBE_SECONDS if world.patience is None else world.patience,
    )
    try:
        return await finder.by_name(wanted)
    finally:
        await finder.close()


def _check_encoding(text: str, given: Any, world: World) -> None:
    """Refuse to print what the terminal or the file would hold question marks of."""
    encoding = getattr(world.out, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        raise BadInput(
            f"What is printed here is {encoding}, which lacks letters of this request. Set PYTHONUTF8=1 and type it again."
        ) from None
