# ruff: noqa: D102  # what each method gives is told in dialect.py
"""Ollama's /v1: three usage totals, data URIs only, and a prompt beyond the window is cut in silence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..models import SimModel
from ..parsed_request import Asked, Constraint
from ..problem import Problem
from ..replies import Reply
from ..tokens import Counts
from .dialect import JSON, MESSAGES, Page, SimulatedDialect

__all__ = ["SimulatedOllama"]


class SimulatedOllama(SimulatedDialect):
    """http://localhost:11434/v1"""

    name = "ollama"
    key = "ignored"
    fields = f"""
        {MESSAGES} messages.name messages.reasoning messages.content.video_url messages.content.file
        model stream stream_options.include_usage max_tokens seed stop temperature frequency_penalty presence_penalty top_p
        response_format tools reasoning.effort reasoning_effort logprobs top_logprobs
    """
    reasoning_fields = ("reasoning",)
    role_in_every_delta = True

    def thinks(self, body: JSON, model: SimModel) -> bool:
        effort = body.get("reasoning_effort") or (body.get("reasoning") or {}).get("effort")
        return self.thinking_default(model) if effort is None else effort != "none"

    def model(self, name: Any) -> SimModel | None:
        return super().model(name.removesuffix(":latest") if isinstance(name, str) else name)

    def constraint(self, body: JSON) -> Constraint | None:
        return super().constraint(body)

    def prompt(self, counts: Counts, model: SimModel) -> Counts:
        return replace(counts, prompt=min(counts.prompt, model.window))

    def error(self, problem: Problem) -> JSON:
        kind = {400: "invalid_request_error", 404: "not_found_error"}.get(problem.status, "api_error")
        return {"error": {"message": problem.message, "type": kind, "param": None, "code": None}}

    def nothing_here(self, method: str, path: str) -> Page:
        return 404, "404 page not found"

    def finish(self, reason: str | None) -> JSON:
        return {"finish_reason": reason}

    def content(self, reply: Reply) -> str | None:
        return reply.text if reply.text is not None or not reply.tool_calls else ""

    def delta_of_thought(self, text: str) -> JSON:
        return {"content": ""} | self.fields_of_thought(text)

    def last_delta(self) -> JSON:
        return {"content": ""}

    def last_reason(self, reply: Reply) -> str | None:
        return None if self.options.null_finish else reply.ending

    def extras(self, asked: Asked, counts: Counts) -> JSON:
        return {"system_fingerprint": "fp_ollama"}

    def chunk_extras(self, asked: Asked) -> JSON:
        return {"system_fingerprint": "fp_ollama"}

    def side(self, method: str, path: str, query: Mapping[str, str], body: Any) -> Page | None:
        match method, path:
            case "GET" | "HEAD", "/":
                return 200, "Ollama is running"
            case "GET", "/api/version":
                return 200, {"version": "0.30.0"}
            case "GET", "/api/tags":
                return 200, {"models": [self._tag(model) for model in self.models]}
            case "POST", "/api/show":
                family = {"family": "qwen3_5", "parameter_size": "9B", "quantization_level": "Q4_K_M"}
                return 200, {"details": family, "capabilities": ["completion", "vision", "tools", "thinking"]}
            case "GET", "/v1/models":
                return 200, self.model_list()
        return None

    def _tag(self, model: SimModel) -> JSON:
        return {
            "name": model.id,
            "model": model.id,
            "modified_at": "2026-03-10T08:00:00Z",
            "size": 6_600_000_000,
            "digest": "0" * 64,
            "details": {"family": "qwen3_5", "parameter_size": "9B", "quantization_level": "Q4_K_M"},
        }
