"""How each server wants to be spoken to."""

from __future__ import annotations

from qwennb.endpoints.dialects.dashscope import DashScope
from qwennb.endpoints.dialects.dialect import Dialect, Wire, choice_bound
from qwennb.endpoints.dialects.openrouter import OpenRouter
from qwennb.endpoints.dialects.selfhosted import LlamaCpp, LmStudio, MlxVlm, Ollama, Sglang, Vllm
