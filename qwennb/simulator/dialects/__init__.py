"""The servers that can be simulated, by name."""

from .dashscope import SimulatedDashScope
from .dialect import SimulatedDialect
from .llama_cpp import SimulatedLlamaCpp
from .lmstudio import SimulatedLmStudio
from .mlx_vlm import SimulatedMlxVlm
from .ollama import SimulatedOllama
from .openrouter import SimulatedOpenRouter
from .sglang import SimulatedSglang
from .vllm import SimulatedVllm

__all__ = ["DIALECTS", "SimulatedDialect"]

DIALECTS: dict[str, type[SimulatedDialect]] = {
    kind.name: kind
    for kind in (
        SimulatedOpenRouter,
        SimulatedDashScope,
        SimulatedVllm,
        SimulatedSglang,
        SimulatedMlxVlm,
        SimulatedLlamaCpp,
        SimulatedOllama,
        SimulatedLmStudio,
    )
}
