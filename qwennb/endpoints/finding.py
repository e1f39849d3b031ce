"""Which endpoint to ask, from what the user said and what there is.

    argument or QWENNB_ENDPOINT or [tool.qwennb]     a name, a base URL, or both: vllm+http://gpu-box:8000/v1;
                                                     openai+http://… is plain OpenAI chat, and nothing is probed
    a provider's key in the environment              DASHSCOPE_API_KEY, OPENROUTER_API_KEY
    a server that answers on this machine            told apart by what it answers, never by its port
    the embedded local model, if installed
    an error that lists the choices and what to type

A provider's key goes to that provider's hosts and nowhere else. Probes run side by side and take 300 ms at the most.

In replay nothing is looked for: the abilities, windows and prices that count are those of the endpoint that answered then,
and what answers were filed under is made into it again (`recorded_endpoint`). Such an endpoint has no key and may no longer
exist, and nothing is ever sent to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import SplitResult, urlsplit

import orjson

from qwennb.catalog import Catalog, plain_name
from qwennb.config import Config, Secret
from qwennb.endpoints.call import Call
from qwennb.endpoints.dialects import DashScope, Dialect, LlamaCpp, OpenRouter, Vllm
from qwennb.endpoints.endpoint import Endpoint, without_path
from qwennb.endpoints.kinds import NO_PAGE, PROBES, SELF_HOSTED, ProbedPage, SelfHosted, recognise_server
from qwennb.endpoints.transports import SdkTransport
from qwennb.errors import EndpointError, MissingKey, ServerFailed, UnknownEndpoint, nearest
from qwennb.machine import is_loopback

PROBE_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class Hosted:
    """A provider: its address, the hosts that may see its key, and the variable that holds it."""

    name: str
    base_url: str
    hosts: tuple[str, ...]
    variable: str


# The hosts that serve models, and no others of Alibaba's: anyone can have a bucket or a function at *.aliyuncs.com.
_ALIBABA = (
    "dashscope.aliyuncs.com",
    "dashscope-intl.aliyuncs.com",
    "dashscope-us.aliyuncs.com",
    ".maas.aliyuncs.com",
)
_REGIONAL = (  # one provider in three regions: the first part of the host is the name
    Hosted(name, f"https://{name}.aliyuncs.com/compatible-mode/v1", _ALIBABA, "DASHSCOPE_API_KEY")
    for name in ("dashscope", "dashscope-intl", "dashscope-us")
)
_OPENROUTER = Hosted("openrouter", "https://openrouter.ai/api/v1", ("openrouter.ai",), "OPENROUTER_API_KEY")
HOSTED: Mapping[str, Hosted] = {provider.name: provider for provider in (_OPENROUTER, *_REGIONAL)}
PLAIN = "openai"  # the kind of a server that is not recognised, or is to be spoken to as if it were not
PORTS = (8000, 30000, 8080, 11434, 1234)
# Which region of Alibaba a workspace's own host belongs to.
_REGIONS = {"cn-beijing": "dashscope", "ap-southeast-1": "dashscope-intl", "us-east-1": "dashscope-us"}
NAMES = (*HOSTED, *SELF_HOSTED, "local", "simulator")


def check_endpoint(endpoint: str) -> None:
    """Refuse what can mean no endpoint, whoever answers. Nothing is asked for that."""
    name, url = split_endpoint(endpoint)
    if url is not None:
        _check_address(name, url)
    elif name.lower() == PLAIN:
        raise UnknownEndpoint(
            f"`{name}` alone is no endpoint: give the address of a server that speaks plain OpenAI chat, as "
            'endpoint="openai+https://host/v1".'
        )
    elif name not in NAMES:
        raise UnknownEndpoint(
            f"There is no endpoint `{endpoint}`{nearest(endpoint, NAMES) or '.'} Names: {', '.join(NAMES)}; or give "
            "a base URL, or openai+https://… for a server that is to be spoken to in plain OpenAI chat."
        )


def _check_address(name: str, url: str) -> None:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme not in ("http", "https") or not host or not _port_is_sound(parts):
        raise UnknownEndpoint(f"{url!r} is not a base URL: it must be like https://host/v1.")
    if parts.username or parts.password:
        raise UnknownEndpoint(
            "The base URL holds a password. Take it out, and give it as api_key= or in QWENNB_API_KEY."
        )
    kinds = (*HOSTED, *SELF_HOSTED, PLAIN)
    if name and name not in kinds and name.lower() != PLAIN and _provider_of(host) is None:
        raise UnknownEndpoint(
            f"There is no kind of server `{name}`{nearest(name, kinds) or '.'} Kinds: {', '.join(kinds)}."
        )


@dataclass(frozen=True, slots=True, repr=False)  # what stands in `environ` must not show
class Finder:
    """Finds endpoints. `environ` is where providers' keys are looked for."""

    config: Config
    environ: Mapping[str, str]
    catalog: Catalog
    embedded: Callable[[Config], Endpoint | None]
    simulated: Callable[[], str]
    ports: Sequence[int] = PORTS
    transport: SdkTransport = field(default_factory=SdkTransport)
    patience: float = PROBE_SECONDS

    async def find(self) -> Endpoint:
        """Find the endpoint to ask."""
        if self.config.endpoint is not None:
            return await self.by_name(self.config.endpoint)
        for name in ("dashscope-intl", "openrouter"):
            if self.environ.get(HOSTED[name].variable):
                return replace(await self._with_own_ids(self.provider(name)), chosen_by_user=False)
        if running := await self.running():
            return running[0]
        if (embedded := self.embedded(self.config)) is not None:
            return embedded
        raise UnknownEndpoint(
            "No endpoint was found: no key in DASHSCOPE_API_KEY or OPENROUTER_API_KEY, no server answering on this "
            "machine, no embedded model. Set one of the keys, start a server (vLLM, SGLang, llama.cpp, MLX-VLM, Ollama, "
            'LM Studio), or type: pip install "qwennb[local]" && qwennb local pull'
        )

    async def by_name(self, endpoint: str) -> Endpoint:
        """Find the endpoint of that name or base URL."""
        check_endpoint(endpoint)
        name, url = split_endpoint(endpoint)
        if url is not None:
            return await self._at(name, url)
        if name in HOSTED:
            return await self._with_own_ids(self.provider(name))
        if name in SELF_HOSTED:
            server = SELF_HOSTED[name]
            usual = self._self_hosted(server, f"http://127.0.0.1:{server.port}/v1")
            there = next((server for server in await self._answering() if server.name == name), usual)
            return await self._ask_models(replace(there, key=usual.key))
        if name == "simulator":
            return await self._ask_models(
                replace(self._self_hosted(SELF_HOSTED["vllm"], self.simulated()), name="simulator")
            )
        if (embedded := self.embedded(self.config)) is not None:
            return embedded
        raise UnknownEndpoint(
            'The embedded model is not installed. Type: pip install "qwennb[local]" && qwennb local pull'
        )

    def provider(self, name: str) -> Endpoint:
        """Make a provider's endpoint, with its key."""
        provider = HOSTED[name]
        return self._with_key(
            Endpoint(name, provider.base_url, self._speaks(name), hosted=True, catalog=self.catalog),
            provider,
        )

    async def running(self) -> list[Endpoint]:
        """The servers answering on this machine. Nobody named them, so no key is shown to them."""
        endpoints = await asyncio.gather(*map(self._ask_models, await self._answering()))
        return [replace(endpoint, chosen_by_user=False) for endpoint in endpoints]

    async def close(self) -> None:
        """Close the connections that probing opened."""
        await self.transport.close()

    # ------------------------------------------------------------------ one address

    async def _at(self, name: str, url: str) -> Endpoint:
        host = urlsplit(url).hostname or ""
        if name.lower() == PLAIN:
            return self._plain(url, host)
        provider = HOSTED.get(name) or _provider_of(host)
        if provider is not None:
            endpoint = Endpoint(
                provider.name, url, self._speaks(provider.name), hosted=True, catalog=self.catalog
            )
            keyed = self._with_key(endpoint, provider if _is_host_of(host, provider) else None)
            return await self._with_own_ids(keyed)
        if name:
            return await self._ask_models(self._self_hosted(SELF_HOSTED[name], url))
        probed = await self._probe(url.rstrip("/").removesuffix("/v1"), 10 * self.patience)
        if probed is not None:
            return await self._ask_models(replace(probed, base_url=url, key=self._own_key(url)))
        return await self._ask_models(self._plain(url, host))

    def _plain(self, url: str, host: str) -> Endpoint:
        """Make the endpoint at *url* that is spoken to in plain OpenAI chat."""
        loopback, key = is_loopback(url), self._own_key(url)
        name = PLAIN if loopback else host
        return Endpoint(name, url, Dialect(), hosted=not loopback, key=key, catalog=self.catalog)

    def _speaks(self, name: str) -> Dialect:
        if name != "openrouter":
            return DashScope()
        given = {"HTTP-Referer": self.config.referer, "X-OpenRouter-Title": self.config.title}
        return OpenRouter({header: value for header, value in given.items() if value})

    def _self_hosted(self, server: SelfHosted, url: str) -> Endpoint:
        return Endpoint(
            server.name, url, server.dialect(), hosted=False, key=self._own_key(url), catalog=self.catalog
        )

    def _with_key(self, endpoint: Endpoint, provider: Hosted | None) -> Endpoint:
        found = self.environ.get(provider.variable) if provider else None
        key = self.config.api_key
        if found and (key is None or key.reveal() == self.environ.get("QWENNB_API_KEY", "").strip()):
            key = Secret(found)  # QWENNB_API_KEY is for a base URL; a provider's own variable knows better
        if key is None and provider is not None:
            raise MissingKey(
                f"{endpoint} wants a key and none was given: set {provider.variable} in the environment (never in a cell that "
                "is saved), or give api_key=. `qwennb doctor` shows what is set."
            )
        if key is None:
            raise MissingKey(
                f"{endpoint.name} at {urlsplit(endpoint.base_url).netloc} wants a key of its own: give api_key= or set QWENNB_API_KEY."
            )
        if _is_overheard(endpoint.base_url):
            raise MissingKey(f"{endpoint.base_url} is not https: a key is not sent over it.")
        return replace(endpoint, key=key)

    def _own_key(self, url: str) -> Secret | None:
        if self.config.api_key is not None and _is_overheard(url):
            raise MissingKey(
                f"{url} is not https: a key is not sent over it. Use https, or leave api_key= out."
            )
        return self.config.api_key

    # ------------------------------------------------------------------ asking what is there

    async def _answering(self) -> list[Endpoint]:
        found = await asyncio.gather(
            *(self._probe(f"http://127.0.0.1:{port}", self.patience) for port in self.ports)
        )
        return [endpoint for endpoint in found if endpoint is not None]

    async def _probe(self, root: str, seconds: float) -> Endpoint | None:
        """Look for a server at *root*; None where it is of no kind that can be believed."""
        pages = await asyncio.gather(*(self._get(root, path, within=seconds) for path in PROBES))
        server = recognise_server(dict(zip(PROBES, pages, strict=True)))
        if server is None:
            return None
        return Endpoint(server.name, f"{root}/v1", server.dialect(), hosted=False, catalog=self.catalog)

    async def _ask_models(self, endpoint: Endpoint) -> Endpoint:
        """Ask *endpoint* which models it serves; unchanged when it is silent."""
        page = await self._get(endpoint.base_url, "/models", endpoint.key, within=10 * self.patience)
        data = page.data.get("data") if page.status == 200 and isinstance(page.data, Mapping) else None
        ids = [m["id"] for m in data or () if isinstance(m, Mapping) and isinstance(m.get("id"), str)]
        return replace(endpoint, served=tuple(ids))

    async def _with_own_ids(self, endpoint: Endpoint) -> Endpoint:
        """Ask a provider for its list, only where the chosen model is none that the catalogue has there."""
        wanted = self.config.model
        known = self.catalog.find(wanted) if wanted is not None else None
        is_ours = wanted is None or known in self.catalog.models_at(endpoint.name)
        return endpoint if is_ours else await self._ask_models(endpoint)

    async def _get(self, base: str, path: str, key: Secret | None = None, *, within: float) -> ProbedPage:
        """Get what stands there; `NO_PAGE` where there is nobody, or not in time."""
        try:
            async with asyncio.timeout(within):
                status, body = await self.transport.get(Call(base, {}, _unread, base, path=path, key=key))
        except (TimeoutError, EndpointError):
            return NO_PAGE
        try:
            return ProbedPage(status, orjson.loads(body))
        except orjson.JSONDecodeError:
            return ProbedPage(status, body.decode(errors="replace"))


def split_endpoint(endpoint: str) -> tuple[str, str | None]:
    """The name and the URL in `name`, `https://…` or `name+https://…`."""
    if "://" not in endpoint:
        return endpoint.strip(), None
    scheme, rest = endpoint.strip().split("://", 1)
    name, _, scheme = scheme.rpartition("+")
    return name, f"{scheme}://{rest}".rstrip("/")


def _is_overheard(url: str) -> bool:
    """Tell whether what is sent to *url* can be read on the way."""
    return urlsplit(url).scheme != "https" and not is_loopback(url)


def _port_is_sound(parts: SplitResult) -> bool:
    try:
        return parts.port != 0
    except ValueError:
        return False


def _provider_of(host: str) -> Hosted | None:
    if host == "openrouter.ai":
        return HOSTED["openrouter"]
    for provider in HOSTED.values():
        if urlsplit(provider.base_url).hostname == host:
            return provider
    if host.endswith(".maas.aliyuncs.com"):
        return next(
            (HOSTED[name] for region, name in _REGIONS.items() if f".{region}." in host),
            HOSTED["dashscope-intl"],
        )
    return None


def _is_host_of(host: str, provider: Hosted) -> bool:
    return any(host == own or (own.startswith(".") and host.endswith(own)) for own in provider.hosts)


def _unread(status: int, headers: Mapping[str, str], body: bytes) -> EndpointError:
    return ServerFailed(f"status {status}")


# ---------------------------------------------------------------------- what was recorded


def recorded_endpoint(identity: str, catalog: Catalog) -> Endpoint:
    """Make the endpoint of *identity*: "openrouter", "vllm:Qwen/Qwen3.5-9B", "local:<sha256>"; its kind alone will do."""
    name, _, model = identity.partition(":")
    if name in HOSTED:
        hosted = HOSTED[name]
        speaks: Dialect = OpenRouter() if name == "openrouter" else DashScope()
        return Endpoint(name, hosted.base_url, speaks, hosted=True, catalog=catalog)
    if name == "local":
        return Endpoint(name, "", LlamaCpp(), hosted=False, catalog=catalog)
    served = (model,) if model else ()
    if name in SELF_HOSTED:
        server = SELF_HOSTED[name]
        url = f"http://127.0.0.1:{server.port}/v1"
        return Endpoint(name, url, server.dialect(), hosted=False, served=served, catalog=catalog)
    if name == "simulator":
        return Endpoint(name, "http://127.0.0.1/v1", Vllm(), hosted=False, served=served, catalog=catalog)
    return Endpoint(name, f"https://{name}/v1", Dialect(), hosted=not model, served=served, catalog=catalog)


def recorded_model(wanted: str, default: str, catalog: Catalog) -> str:
    """The name that *wanted* has in records, of which *default* is the usual one: a file may be meant by several names."""
    known, usual = catalog.find(wanted), catalog.find(default)
    same = known is not None and usual is not None and known.name == usual.name
    if same or plain_name(wanted) == plain_name(default):
        return default
    return known.name if known is not None else without_path(wanted)
