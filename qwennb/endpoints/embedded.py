"""What needs no server of anybody's: the embedded local model, and the simulator."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache

from qwennb.config import Config, default_cache_dir
from qwennb.endpoints.dialects import LlamaCpp
from qwennb.endpoints.endpoint import Endpoint
from qwennb.endpoints.local import LocalServer, find, is_installed, means_small
from qwennb.errors import UnknownModel
from qwennb.project import names_file
from qwennb.simulator import Simulator


def find_embedded(config: Config, environ: Mapping[str, str] | None = None) -> Endpoint | None:
    """The embedded local model, where it is installed and pulled. Its server starts with the first question to ask.

    It is looked for in its own place, and then where the answers are: there 0.1 put it.
    """
    if not is_installed():
        return None
    # Another catalogue's name in the settings is meant for other endpoints; a file, a hub's name and our own choose here.
    name = config.model or ""
    chosen = names_file(name) or name.startswith("hub:")
    homes = default_cache_dir(os.environ if environ is None else environ), config.cache_dir
    for wanted in [name] if chosen else [*([name] if means_small(name) else []), None]:
        try:
            model = find(wanted, cache_dir=homes[0], also=homes[1:])
            break
        except UnknownModel:
            if chosen:
                raise
    else:
        return None
    server = LocalServer.server_for(model)
    return Endpoint(
        "local", "", LlamaCpp(), hosted=False, key=server.key, served=(model.file.name,), server=server
    )


@lru_cache(maxsize=1)
def simulator_url() -> str:
    """The address of this process's own simulator, started with the first call. Its answers are no model's."""
    return Simulator("vllm").start().base_url
