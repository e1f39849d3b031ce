"""`qwennb doctor`: what is here, what answers, and the one next thing to type.

Nothing is asked of a model and nothing can be billed: a provider is sent a question without messages, which it refuses
after it has looked at the key. This is the only place where a key is tried at several hosts of its provider, for a
DashScope key belongs to one region and elsewhere looks like a wrong one. Of a key only whether it is set is told.
"""

from __future__ import annotations

import asyncio
import platform
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import orjson

from qwennb.catalog import Catalog
from qwennb.cli.autoload import autoload
from qwennb.cli.cache import holds_answers, open_memory
from qwennb.cli.command import Parser
from qwennb.cli.local import models_here
from qwennb.cli.world import World
from qwennb.config import Config, Secret
from qwennb.endpoints import (
    HOSTED,
    PORTS,
    PROBE_SECONDS,
    Call,
    Endpoint,
    Finder,
    SdkTransport,
    Wire,
    find_embedded,
)
from qwennb.endpoints.local import is_installed
from qwennb.errors import (
    CreditExhausted,
    EndpointError,
    KeyRefused,
    QwenError,
    RateLimited,
    RequestRefused,
    ServerFailed,
)
from qwennb.text import amount, join_some, plural, table, wrap

PATIENCE = 10.0
_REGIONS = {"dashscope-intl": "Singapore", "dashscope": "Beijing", "dashscope-us": "Virginia"}
_LIBRARIES = ("openai", "httptools", "polars", "ipython", "diskcache", "xllamacpp")


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found out of one endpoint: whether it can answer, and in words. `endpoint` is what to type for it."""

    name: str
    answers: bool
    words: str
    endpoint: str = ""


def doctor_options(parser: Parser) -> None:
    """Add the options of `qwennb doctor`."""
    parser.switch("--autoload", "have IPython load the magics with their first use, and do no more")


def doctor(given: Any, world: World) -> int:
    """Tell what is here; 0 when something can answer."""
    if given.autoload:
        return autoload(world)
    world.say(*_versions(), "")
    config = world.config()
    hosted, running, chosen = asyncio.run(_look_around(config, world))
    embedded = _check_embedded(config, world)
    world.say("Keys", *_keys(config, hosted, world), "")
    if chosen is not None:
        world.say("Chosen endpoint", *wrap(f"{chosen.name}: {chosen.words}"), "")
    world.say("Servers on this machine")
    world.say(
        *(wrapped_line for endpoint in running for wrapped_line in wrap(f"{endpoint.name} {endpoint.words}"))
    )
    if not running:
        ports = ", ".join(map(str, PORTS if world.ports is None else world.ports))
        world.say(f"  none answers at port {ports}")
    world.say("", "Embedded model", *wrap(embedded.words), "")
    world.say("Answers", *_cache(config), "")
    candidates = [*hosted, *running, embedded]
    ready, step = _next(config, world, chosen, candidates)
    world.say("Next", *wrap(step))
    return 0 if ready else 1


def _versions() -> list[str]:
    from qwennb import __version__

    found = [f"qwennb {__version__}", f"Python {platform.python_version()}", sys.platform]
    for name in _LIBRARIES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"no {name}")
    return wrap(", ".join(found), indent="")


# ---------------------------------------------------------------------- asking around


async def _look_around(config: Config, world: World) -> tuple[list[Finding], list[Finding], Finding | None]:
    """Collect the hosted endpoints whose key is set, the servers of this machine, and the endpoint that was chosen."""
    catalog, transport = Catalog.load_bundled(), SdkTransport()
    finder = Finder(
        config,
        world.environ,
        catalog=catalog,
        embedded=lambda config: find_embedded(config, world.environ),
        simulated=lambda: "",
        ports=PORTS if world.ports is None else world.ports,
        transport=transport,
        patience=PROBE_SECONDS if world.patience is None else world.patience,
    )
    try:
        with_key = [name for name in HOSTED if world.environ.get(HOSTED[name].variable)]
        hosted, endpoints, chosen = await asyncio.gather(
            asyncio.gather(*(_check_hosted(name, finder, transport, world) for name in with_key)),
            finder.running(),
            _check_chosen(config, finder, transport, world),
        )
    finally:
        await transport.close()
    running = [
        Finding(
            endpoint.name,
            True,
            f"at {_port(endpoint)} serves {_models_text(endpoint)}",
            f"{endpoint.name}+{endpoint.base_url}",
        )
        for endpoint in endpoints
    ]
    return list(hosted), running, chosen


async def _check_hosted(name: str, finder: Finder, transport: SdkTransport, world: World) -> Finding:
    try:
        # The variable's own key, even where QWENNB_API_KEY overrules it for the endpoint that was chosen.
        key = Secret(world.environ[HOSTED[name].variable])
        endpoint = replace(
            finder.provider(name), key=key, base_url=world.hosts.get(name, HOSTED[name].base_url)
        )
        return Finding(name, *await _verdict(endpoint, transport))
    except QwenError as error:
        return Finding(name, False, str(error))


async def _check_chosen(
    config: Config, finder: Finder, transport: SdkTransport, world: World
) -> Finding | None:
    if config.endpoint is None:
        return None
    shown = re.sub(r"//[^/]*@", "//…@", config.endpoint)  # a password that stands in a URL is shown to nobody
    if config.endpoint == "simulator":
        return Finding("simulator", True, "answers, and its answers are no model's.")
    try:
        endpoint = await finder.by_name(config.endpoint)
        if endpoint.name in world.hosts and endpoint.base_url == HOSTED[endpoint.name].base_url:
            endpoint = replace(endpoint, base_url=world.hosts[endpoint.name])
        if endpoint.server is not None:
            return Finding(shown, True, f"{endpoint}")
        return Finding(shown, *await _verdict(endpoint, transport))
    except QwenError as error:
        return Finding(shown, False, str(error))


async def _verdict(endpoint: Endpoint, transport: SdkTransport) -> tuple[bool, str]:
    """Tell whether *endpoint* would answer, and say it in words."""
    try:
        async with asyncio.timeout(PATIENCE):
            if endpoint.dialect.kind == "openrouter":
                return await _openrouter(endpoint, transport)
            if endpoint.hosted and endpoint.dialect.kind != "openai":
                return await _probe_key(endpoint, transport)
            return await _probe_models(endpoint, transport)
    except TimeoutError:
        return False, f"gave no answer within {PATIENCE:.0f} s"
    except KeyRefused as error:
        return False, f"refuses the key ({error.status})"
    except CreditExhausted as error:
        return False, f"takes the key, and wants money: {error}"
    except EndpointError as error:
        return False, str(error)


async def _openrouter(endpoint: Endpoint, transport: SdkTransport) -> tuple[bool, str]:
    call = replace(endpoint.call(Wire({})), path="/key")
    status, body = await transport.get(call)
    if status != 200:
        raise call.read_error(status, {}, body)
    left = _field(body, "data", "limit_remaining")
    if isinstance(left, int | float) and not isinstance(left, bool):
        if left <= 0:
            return False, "takes the key, and its limit is used up. Raise it at openrouter.ai/settings/keys"
        return True, f"takes the key (${left:,.2f} left of its limit)"
    return True, "takes the key"


async def _probe_key(endpoint: Endpoint, transport: SdkTransport) -> tuple[bool, str]:
    """Ask a question without messages: the key is looked at first, and what it is refused for then proves the key."""
    model = endpoint.catalog.default_model(endpoint.name)
    body = {"model": endpoint.model_id(model) if model else "", "messages": []}
    try:
        async for _ in transport.send(endpoint.call(Wire(body))):
            pass
    except (RequestRefused, RateLimited):
        pass
    return True, "takes the key"


async def _probe_models(endpoint: Endpoint, transport: SdkTransport) -> tuple[bool, str]:
    if endpoint.served:
        return True, f"answers at {_port(endpoint)} and serves {_models_text(endpoint)}"
    call: Call = replace(endpoint.call(Wire({})), path="/models")
    status, body = await transport.get(call)
    if status in (401, 403):
        raise call.read_error(status, {}, body)
    if status >= 500:
        raise ServerFailed(f"{endpoint} answers {status}.")
    return True, f"answers at {_port(endpoint)}"


def _field(body: bytes, *names: str) -> Any:
    try:
        found: Any = orjson.loads(body)
        for name in names:
            found = found[name]
        return found
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None


def _port(endpoint: Endpoint) -> str:
    return endpoint.base_url.partition("://")[2].partition("/")[0]


def _models_text(endpoint: Endpoint) -> str:
    return join_some(endpoint.served, 4, last=" and ") or "no model that it names"


# ---------------------------------------------------------------------- telling


def _keys(config: Config, hosted: Sequence[Finding], world: World) -> list[str]:
    rows = []
    for variable in dict.fromkeys(provider.variable for provider in HOSTED.values()):
        told = [finding for finding in hosted if HOSTED[finding.name].variable == variable]
        rows.append((variable, "set" if world.environ.get(variable) else "not set", ""))
        rows += [("", "", f"{_where(finding.name)} {finding.words}") for finding in told]
    rows.append(("QWENNB_API_KEY", "set" if config.api_key is not None else "not set", ""))
    lines: list[str] = []
    for line in table(rows):
        lines += wrap(line.strip(), first=line[: len(line) - len(line.lstrip())], indent=" " * 6)
    return lines


def _where(name: str) -> str:
    return f"{name} ({_REGIONS[name]})" if name in _REGIONS else name


def _check_embedded(config: Config, world: World) -> Finding:
    here = models_here(config, world)
    files = ", ".join(f"{name} ({amount(size)})" for name, size in here) or "no model is here"
    if not is_installed():
        return Finding("local", False, f"llama.cpp is not installed; {files}")
    try:
        usable = find_embedded(config, world.environ) is not None
    except QwenError as error:
        return Finding("local", False, str(error))
    return Finding("local", usable, f"llama.cpp is installed; {files}")


def _cache(config: Config) -> list[str]:
    folder = config.cache_dir
    if not holds_answers(folder):
        return [f"  none yet; they will be kept in {folder} (mode {config.cache!r})"]
    try:
        with open_memory(folder) as memory:
            assert memory is not None
            count, size, damaged = len(memory.store), memory.store.size(), memory.store.quarantine_count
    except QwenError as error:
        return wrap(str(error))
    lines = [f"  {plural(count, 'answer')} in {folder}, {amount(size)} on the disk (mode {config.cache!r})"]
    return [*lines, f"  {plural(damaged, 'damaged answer')} set aside"] if damaged else lines


def _next(
    config: Config, world: World, chosen: Finding | None, candidates: Sequence[Finding]
) -> tuple[bool, str]:
    """Tell whether something can answer, and what to type."""
    able = [finding for finding in candidates if finding.answers]
    default = chosen
    if default is None:
        # The order in which a client looks, up to the first that it would take, whether that answers or not.
        found = {finding.name: finding for finding in candidates}
        keyed = [n for n in ("dashscope-intl", "openrouter") if world.environ.get(HOSTED[n].variable)]
        default = found.get(keyed[0]) if keyed else (able[0] if able else None)
    ready = default is not None and default.answers
    if config.cache == "replay":
        step = "The cache is in replay: nothing is asked. To ask, type: export QWENNB_CACHE=on"
    elif default is not None and ready:
        step = f"Ready: {default.name} will be asked. Type: qwennb demo"
    elif able:
        why = f"{default.name} would be asked and can't answer; " if default is not None else ""
        step = f"{why}{able[0].name} can. Type: export QWENNB_ENDPOINT={able[0].endpoint or able[0].name}"
    elif default is not None:
        step = f"{default.name} can't answer: {default.words.rstrip('.')}. Mend that, or start a server of your own."
    else:
        command = (
            "qwennb local pull" if is_installed() else 'pip install "qwennb[local]" && qwennb local pull'
        )
        step = f"Nothing can answer. Set DASHSCOPE_API_KEY or OPENROUTER_API_KEY, start a server, or type: {command}"
    return ready or bool(able), step
