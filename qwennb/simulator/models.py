"""The models each simulated server has: ids, windows, limits, prices. Kept apart from the client's catalogue on purpose."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

__all__ = ["MODELS", "SimModel", "models_of"]

K256 = 262_144
MILLION = 1_000_000
COMMON = frozenset(
    [
        "reasoning",
        "max_tokens",
        "temperature",
        "top_p",
        "seed",
        "presence_penalty",
        "response_format",
        "tools",
        "tool_choice",
    ]
)
OPEN = COMMON | frozenset(["stop", "frequency_penalty", "repetition_penalty", "top_k", "min_p", "logit_bias"])
SEES = frozenset({"text", "image", "video"})


@dataclass(frozen=True, slots=True)
class SimModel:
    """One model of one server. Prices are US dollars per million tokens; `above` is the tier beyond 256K of input."""

    id: str
    window: int = K256
    max_input: int | None = None
    max_input_thinking: int | None = None
    max_output: int = 65_536
    thinks: bool = True
    price: tuple[float, float] | None = None
    above: tuple[float, float] | None = None
    parameters: frozenset[str] = OPEN
    inputs: frozenset[str] = SEES
    commercial: bool = False

    def cost(self, prompt: int, completion: int, tier: int = 256_000) -> float | None:
        """Dollars for one request: the whole of it at the tier its input falls in."""
        if self.price is None:
            return None
        into, out = self.above if self.above is not None and prompt > tier else self.price
        return (prompt * into + completion * out) / 1_000_000

    def input_limit(self, thinking: bool) -> int:
        """The longest input."""
        limit = self.max_input_thinking if thinking else self.max_input
        return self.window if limit is None else limit


_PLUS = COMMON | {"include_reasoning", "structured_outputs"}
_OPENROUTER = (
    SimModel(
        "qwen/qwen3.5-plus-20260420",
        MILLION,
        price=(0.30, 1.80),
        above=(0.375, 2.25),
        parameters=_PLUS,
        commercial=True,
    ),
    SimModel(
        "qwen/qwen3.5-plus-02-15",
        MILLION,
        price=(0.26, 1.56),
        above=(0.325, 1.95),
        parameters=_PLUS,
        commercial=True,
    ),
    SimModel("qwen/qwen3.5-flash-02-23", MILLION, price=(0.065, 0.26), parameters=COMMON, commercial=True),
    SimModel("qwen/qwen3.5-9b", price=(0.10, 0.15), parameters=OPEN, inputs=frozenset({"text", "image"})),
    SimModel("qwen/qwen3.5-27b", price=(0.195, 1.56), parameters=COMMON | {"logprobs", "top_logprobs"}),
    SimModel("qwen/qwen3.5-35b-a3b", price=(0.1625, 1.30)),
    SimModel("qwen/qwen3.5-122b-a10b", price=(0.26, 2.08)),
    SimModel("qwen/qwen3.5-397b-a17b", price=(0.39, 2.34)),
)
OPENROUTER_ALIASES = {
    "qwen/qwen3.5-plus-20260216": "qwen/qwen3.5-plus-02-15",
    "qwen/qwen3.5-flash-20260224": "qwen/qwen3.5-flash-02-23",
    "qwen/qwen3.5-9b-20260310": "qwen/qwen3.5-9b",
    "qwen/qwen3.5-27b-20260224": "qwen/qwen3.5-27b",
}
_HOSTED = SimModel("", MILLION, max_input=991_808, max_input_thinking=983_616, commercial=True)
_PLUS_PRICE = {"price": (0.40, 2.40), "above": (0.50, 3.00)}
_DASHSCOPE = (
    replace(_HOSTED, id="qwen3.5-plus", price=(0.40, 2.40), above=(0.50, 3.00)),
    replace(_HOSTED, id="qwen3.5-plus-2026-02-15", price=(0.40, 2.40), above=(0.50, 3.00)),
    replace(_HOSTED, id="qwen3.5-plus-2026-04-20", price=(0.40, 2.40), above=(0.50, 3.00)),
    replace(_HOSTED, id="qwen3.5-flash", price=(0.10, 0.40)),
    replace(_HOSTED, id="qwen3.5-flash-2026-02-23", price=(0.10, 0.40)),
    SimModel("qwen3.5-397b-a17b"),
    SimModel("qwen3.5-122b-a10b"),
    SimModel("qwen3.5-35b-a3b"),
    SimModel("qwen3.5-27b"),
)

MODELS: dict[str, tuple[SimModel, ...]] = {
    "openrouter": _OPENROUTER,
    "dashscope": _DASHSCOPE,
    "vllm": (SimModel("Qwen/Qwen3.5-9B"),),
    "sglang": (SimModel("Qwen/Qwen3.5-9B"),),
    "mlx-vlm": (SimModel("mlx-community/Qwen3.5-9B-4bit"),),
    "llama.cpp": (SimModel("Qwen3.5-9B-Q4_K_M.gguf"),),
    "ollama": (SimModel("qwen3.5:9b", window=32_768), SimModel("qwen3.5", window=32_768)),
    "lmstudio": (SimModel("qwen/qwen3.5-9b"),),
}


def models_of(dialect: str, wanted: Iterable[str | SimModel] | None) -> tuple[SimModel, ...]:
    """The dialect's own models, or *wanted*: a plain id takes what is known of it, else an open model's figures."""
    if wanted is None:
        return MODELS[dialect]
    known = {model.id: model for model in MODELS[dialect]}
    return tuple(
        known.get(model) or SimModel(model, thinks=not _small(model)) if isinstance(model, str) else model
        for model in wanted
    )


def _small(name: str) -> bool:
    """0.8B and 2B don't think unless told to."""
    return any(size in name.lower() for size in ("0.8b", "-2b", ":2b"))
