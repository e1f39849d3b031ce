# ruff: noqa: D102  # what each method gives is told in dialect.py
"""LM Studio: answers every unknown path with 200 and an error, thinks inline unless its setting says otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..models import SimModel
from ..parsed_request import Asked
from ..problem import Problem
from ..replies import Reply
from ..tokens import Counts
from .dialect import JSON, MESSAGES, Page, SimulatedDialect

__all__ = ["SimulatedLmStudio"]


class SimulatedLmStudio(SimulatedDialect):
    """http://localhost:1234/v1"""

    name = "lmstudio"
    key = "ignored"
    fields = f"""
        {MESSAGES} messages.reasoning_content
        model temperature top_p top_k min_p repeat_penalty presence_penalty frequency_penalty logit_bias max_tokens seed stop
        stream stream_options.include_usage tools tool_choice response_format reasoning_effort
    """
    accepts_any_model = True

    def thinks(self, body: JSON, model: SimModel) -> bool:
        effort = body.get("reasoning_effort")
        return self.thinking_default(model) if effort is None else effort != "none"

    def error(self, problem: Problem) -> JSON:
        kind = problem.kind or "invalid_request_error"
        return {
            "error": {
                "message": problem.message,
                "type": kind,
                "param": problem.param,
                "code": problem.code or None,
            }
        }

    def nothing_here(self, method: str, path: str) -> Page:
        return 200, {"error": f"Unexpected endpoint or method. ({method} {path})"}

    def adapt_reply(self, reply: Reply, asked: Asked) -> Reply:
        if self.options.reasoning_parser or reply.reasoning is None:
            return reply
        text = f"<think>\n{reply.reasoning}\n</think>\n\n{reply.text or ''}"
        return replace(reply, text=text, reasoning=None, chunks=None)

    def message(self, reply: Reply) -> JSON:
        return super().message(reply) | ({} if reply.tool_calls else {"tool_calls": []})

    def first_delta(self) -> JSON:
        return {"role": "assistant"}

    def usage(self, counts: Counts) -> JSON:
        return super().usage(counts) | {"completion_tokens_details": {"reasoning_tokens": counts.reasoning}}

    def extras(self, asked: Asked, counts: Counts) -> JSON:
        return {"system_fingerprint": asked.model.id} | ({} if asked.stream else {"stats": {}})

    def chunk_extras(self, asked: Asked) -> JSON:
        return {"system_fingerprint": asked.model.id}

    def side(self, method: str, path: str, query: Mapping[str, str], body: Any) -> Page | None:
        if method == "GET" and path == "/v1/models":
            return 200, {
                "data": [
                    {"id": m.id, "object": "model", "owned_by": "organization_owner"} for m in self.models
                ],
                "object": "list",
            }
        if method == "GET" and path == "/api/v0/models":
            return 200, {"object": "list", "data": [self._describe(model) for model in self.models]}
        return None

    def _describe(self, model: SimModel) -> JSON:
        return {
            "id": model.id,
            "object": "model",
            "type": "vlm" if "image" in model.inputs else "llm",
            "publisher": "qwen",
            "arch": "qwen3_5",
            "compatibility_type": "gguf",
            "quantization": "Q4_K_M",
            "state": "loaded",
            "max_context_length": model.window,
            "loaded_context_length": model.window,
        }
