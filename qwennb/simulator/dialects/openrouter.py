# ruff: noqa: D102  # what each method gives is told in dialect.py
"""OpenRouter: a gateway. Drops the parameters that a model does not list, always says what an answer cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..connection import Header
from ..delivery import Event
from ..fields import Tree, field_tree
from ..models import OPENROUTER_ALIASES, SimModel
from ..parsed_request import Asked
from ..problem import Problem
from ..replies import Reply
from ..tokens import Counts
from .dialect import JSON, MESSAGES, Page, SimulatedDialect, comments

__all__ = ["SimulatedOpenRouter"]

ALWAYS = f"""
    {MESSAGES} messages.name messages.content.image_url.detail messages.content.video_url.url
    messages.content.file.filename messages.content.file.file_data messages.content.cache_control
    messages.content.input_audio messages.reasoning messages.reasoning_content messages.reasoning_details messages.annotations
    model models route provider plugins stream session_id prompt_cache_key cache_control service_tier user trace debug
    metadata max_completion_tokens parallel_tool_calls modalities
"""
"""Fields of the gateway itself; the others only where the model lists them."""
NESTED = {"reasoning": "reasoning.enabled reasoning.effort reasoning.max_tokens reasoning.exclude"}


class SimulatedOpenRouter(SimulatedDialect):
    """https://openrouter.ai/api/v1"""

    name = "openrouter"
    base = "/api/v1"
    key = "required"
    fields = ALWAYS
    id_prefix = "gen-"
    usage_in_stream = "always"
    role_in_every_delta = True
    reasoning_fields = ("reasoning",)
    retry_form = "seconds"

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._trees: dict[str, Tree] = {}
        self._generations: dict[str, JSON] = {}

    def tree(self, body: JSON) -> Tree:
        model = self.model(body.get("model"))
        if model is None:
            return self._tree
        if model.id not in self._trees:
            listed = " ".join(NESTED.get(name, name) for name in model.parameters)
            self._trees[model.id] = field_tree([*ALWAYS.split(), *listed.split()])
        return self._trees[model.id]

    def model(self, name: Any) -> SimModel | None:
        return super().model(OPENROUTER_ALIASES.get(name, name) if isinstance(name, str) else name)

    def thinks(self, body: JSON, model: SimModel) -> bool:
        asked = body.get("reasoning") or {}
        if asked.get("enabled") is False or asked.get("effort") == "none":
            return False
        return bool(
            asked.get("enabled") or asked.get("effort") or asked.get("max_tokens")
        ) or self.thinking_default(model)

    def budget(self, body: JSON) -> int | None:
        return (body.get("reasoning") or {}).get("max_tokens")

    def error(self, problem: Problem) -> JSON:
        if availability := problem.extra.get("availability"):
            code = {"code": availability, "retryable": problem.status >= 429, "requested_models": []}
            kind = {"error_type": problem.code, "http_status": problem.status}
            return {
                "error": {
                    "message": problem.message,
                    **kind,
                    "availability": code,
                    "metadata": {"previous_errors": []},
                }
            }
        metadata: JSON = {"error_type": problem.code or problem.kind}
        if problem.status == 403:
            metadata |= {
                "reasons": ["flagged"],
                "flagged_input": "…",
                "provider_name": "Alibaba",
                "model_slug": "qwen",
            }
        return {"error": {"code": problem.status, "message": problem.message, "metadata": metadata}}

    def error_headers(self, problem: Problem) -> list[Header]:
        if problem.status != 429:
            return []
        reset = str(int((self.clock() + 1) * 1000))
        return [("x-ratelimit-limit", "100"), ("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", reset)]

    def error_events(self, problem: Problem, template: JSON) -> list[Event]:
        error = {"code": problem.status, "message": problem.message, "metadata": {"error_type": problem.code}}
        choice = {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": "error"}
        return [Event(template | {"provider": "Alibaba", "error": error, "choices": [choice]})]

    def nothing_here(self, method: str, path: str) -> Page:
        return 404, {"error": {"message": "Not Found", "code": 404}}

    def adapt_reply(self, reply: Reply, asked: Asked) -> Reply:
        return reply

    def fields_of_thought(self, text: str) -> JSON:
        detail = {"type": "reasoning.text", "text": text, "format": "unknown", "index": 0}
        return {"reasoning": text, "reasoning_details": [detail]}

    def message(self, reply: Reply) -> JSON:
        return {"refusal": None, "reasoning": None} | super().message(reply)

    def delta_of_thought(self, text: str) -> JSON:
        return {"content": ""} | self.fields_of_thought(text)

    def last_delta(self) -> JSON:
        return {"content": ""}

    def finish(self, reason: str | None) -> JSON:
        return {"finish_reason": reason, "native_finish_reason": reason}

    def usage(self, counts: Counts) -> JSON:
        return super().usage(counts) | {
            "cost": counts.cost or 0,
            "is_byok": False,
            "prompt_tokens_details": {
                "cached_tokens": counts.cached,
                "cache_write_tokens": 0,
                "video_tokens": counts.video,
            },
            "cost_details": {"upstream_inference_cost": None},
            "completion_tokens_details": {"reasoning_tokens": counts.reasoning},
        }

    def extras(self, asked: Asked, counts: Counts) -> JSON:
        return {"provider": "Alibaba"}

    def chunk_extras(self, asked: Asked) -> JSON:
        return {"provider": "Alibaba"}

    def headers(self, asked: Asked, identity: str) -> list[Header]:
        return [("x-generation-id", identity)]

    def openers(self, asked: Asked) -> list[Event]:
        return comments("OPENROUTER PROCESSING", self.options)

    def note_delivery(self, asked: Asked, counts: Counts, ending: str) -> None:
        identity = self.identity(asked, asked.index)
        self._generations[identity] = {
            "id": identity,
            "total_cost": counts.cost,
            "native_tokens_prompt": counts.prompt,
            "native_tokens_completion": counts.completion,
            "native_tokens_reasoning": counts.reasoning,
            "native_tokens_cached": counts.cached,
            "provider_name": "Alibaba",
            "finish_reason": ending,
            "cancelled": False,
        }

    def side(self, method: str, path: str, query: Mapping[str, str], body: Any) -> Page | None:
        inner = path.removeprefix(self.base)
        if method != "GET":
            return None
        if inner == "/models":
            return 200, self.model_list()
        if inner == "/key":
            return 200, {"data": self._key()}
        if inner == "/credits":
            return 200, {"data": {"total_credits": 100.0, "total_usage": 100.0 - self._credit()}}
        if inner == "/generation" and (known := self._generations.get(query.get("id", ""))):
            return 200, {"data": known}
        author_slug = inner.removeprefix("/model/") if inner.startswith("/model/") else ""
        model = self.model(author_slug)
        return None if model is None else (200, {"data": self._describe(model)})

    def _credit(self) -> float:
        return 100.0 if self.options.credits is None else self.options.credits

    def _key(self) -> JSON:
        used = 100.0 - self._credit()
        return {
            "label": "sk-or-v1-sim...key",
            "limit": 100.0,
            "limit_remaining": self._credit(),
            "limit_reset": None,
            "usage": used,
            "usage_daily": used,
            "usage_weekly": used,
            "usage_monthly": used,
            "byok_usage": 0,
            "is_free_tier": False,
        }

    def model_list(self) -> JSON:
        data = [self._describe(model) for model in self.models]
        return {"data": data, "total_count": len(data), "links": {"next": None}}

    def _describe(self, model: SimModel) -> JSON:
        into, out = model.price or (0.0, 0.0)
        pricing: JSON = {
            "prompt": _per_token(into),
            "completion": _per_token(out),
            "request": "0",
            "image": "0",
        }
        if model.above is not None:
            above = {"prompt": _per_token(model.above[0]), "completion": _per_token(model.above[1])}
            pricing["overrides"] = [{"min_prompt_tokens": 256_000, **above}]
        return {
            "id": model.id,
            "canonical_slug": model.id,
            "name": f"Qwen: {model.id.split('/')[-1]}",
            "created": 1_771_200_000,
            "description": "Simulated.",
            "context_length": model.window,
            "architecture": {
                "input_modalities": sorted(model.inputs),
                "output_modalities": ["text"],
                "tokenizer": "Qwen3",
                "instruct_type": None,
            },
            "pricing": pricing,
            "top_provider": {
                "context_length": model.window,
                "max_completion_tokens": model.max_output,
                "is_moderated": False,
            },
            "per_request_limits": None,
            "supported_parameters": sorted(model.parameters),
            "default_parameters": {},
            "expiration_date": None,
            "reasoning": {"default_enabled": model.thinks, "supports_max_tokens": True, "mandatory": False},
        }


def _per_token(per_million: float) -> str:
    return f"{per_million / 1_000_000:.12f}".rstrip("0").rstrip(".") or "0"
