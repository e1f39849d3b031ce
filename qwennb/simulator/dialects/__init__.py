"""The servers that can be simulated, by name."""

from .dashscope import DashScope
from .dialect import Dialect
from .llama_cpp import LlamaCpp
from .lmstudio import LmStudio
from .mlx_vlm import MlxVlm
from .ollama import Ollama
from .openrouter import OpenRouter
from .sglang import SgLang
from .vllm import Vllm

__all__ = ["DIALECTS", "Dialect"]

DIALECTS: dict[str, type[Dialect]] = {
    kind.name: kind for kind in (OpenRouter, DashScope, Vllm, SgLang, MlxVlm, LlamaCpp, Ollama, LmStudio)
}
