"""What needs no server of anybody's: the embedded local model, and the simulator."""

from __future__ import annotations

from functools import lru_cache

from qwennb.config import Config
from qwennb.endpoints.place import Place
from qwennb.simulator import Simulator


def embedded_place(config: Config) -> Place | None:
    """The embedded local model, where it is installed and pulled."""
    return None


@lru_cache(maxsize=1)
def simulated_url() -> str:
    """The address of this process's own simulator, started with the first call. Its answers are no model's."""
    return Simulator("vllm").start().base_url
