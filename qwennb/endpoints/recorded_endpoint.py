"""An endpoint out of a record: what answers were filed under, made into the endpoint that they came from.

In replay nothing is looked for: the abilities, windows and prices that count are those of the endpoint that answered
then. Such an endpoint has no key and may no longer exist, and nothing is ever sent to it.
"""

from __future__ import annotations

from qwennb.catalog import Catalog, plain_name
from qwennb.endpoints.dialects import DashScope, Dialect, LlamaCpp, OpenRouter, Vllm
from qwennb.endpoints.endpoint import Endpoint, without_path
from qwennb.endpoints.finding import HOSTED
from qwennb.endpoints.kinds import SELF_HOSTED


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
