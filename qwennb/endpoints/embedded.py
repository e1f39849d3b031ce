"""What needs no server of anybody's: the embedded local model, and the simulator."""

from __future__ import annotations

from functools import lru_cache

from qwennb.config import Config
from qwennb.endpoints.dialects import LlamaCpp
from qwennb.endpoints.local import LocalServer, find, installed
from qwennb.endpoints.place import Place
from qwennb.errors import UnknownModel
from qwennb.simulator import Simulator


def embedded_place(config: Config) -> Place | None:
    """The embedded local model, where it is installed and pulled. Its server starts with the first question to ask."""
    if not installed():
        return None
    # A catalogue's name in the settings is meant for other endpoints; only a file or a hub name chooses a file here.
    wanted = (
        config.model if config.model and ("/" in config.model or config.model.endswith(".gguf")) else None
    )
    try:
        model = find(wanted, cache_dir=config.cache_dir)
    except UnknownModel:
        if wanted is not None:
            raise
        return None
    server = LocalServer.shared(model)
    return Place(
        "local", "", LlamaCpp(), hosted=False, key=server.key, served=(model.file.name,), server=server
    )


@lru_cache(maxsize=1)
def simulated_url() -> str:
    """The address of this process's own simulator, started with the first call. Its answers are no model's."""
    return Simulator("vllm").start().base_url
