# ruff: noqa: D102  # what each method gives is told in dialect.py
"""MLX-VLM 0.7: FastAPI's own errors, thinking off unless asked for, every thought said twice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..delivery import Event
from ..models import SimModel
from ..parsed_request import Asked
from ..problem import Problem
from ..tokens import Counts
from .dialect import JSON, MESSAGES, Page, SimulatedDialect

__all__ = ["SimulatedMlxVlm"]

OFF = frozenset({"none", "off", "disabled", "false", "0"})


class SimulatedMlxVlm(SimulatedDialect):
    """http://localhost:8080/v1"""

    name = "mlx-vlm"
    fields = f"""
        {MESSAGES} messages.name messages.reasoning messages.reasoning_content messages.content.input_image
        messages.content.video_url.url messages.content.input_video messages.content.video messages.content.fps
        model adapter_path max_tokens temperature top_p top_k min_p top_n_sigma p_less typical_p seed
        repetition_penalty repetition_context_size presence_penalty presence_context_size frequency_penalty
        frequency_context_size logit_bias enable_thinking reasoning reasoning_effort thinking_budget
        thinking_start_token thinking_end_token logprobs top_logprobs response_format stream
        stream_options.include_usage tools tool_choice tool_parser resize_shape context_management
    """
    reasoning_fields = ("reasoning", "reasoning_content")
    role_in_every_delta = True
    accepts_any_model = True

    def thinks(self, body: JSON, model: SimModel) -> bool:
        if isinstance(body.get("enable_thinking"), bool):
            return bool(body["enable_thinking"])
        reasoning, effort = body.get("reasoning"), body.get("reasoning_effort")
        if isinstance(reasoning, dict):
            if isinstance(reasoning.get("enabled"), bool):
                return bool(reasoning["enabled"])
            effort = reasoning.get("effort", effort)
        elif isinstance(reasoning, bool):
            return reasoning
        return self.thinking_default(model) if effort is None else str(effort).lower() not in OFF

    def thinking_default(self, model: SimModel) -> bool:
        return bool(self.options.thinking)

    def budget(self, body: JSON) -> int | None:
        return body.get("thinking_budget")

    def error(self, problem: Problem) -> JSON:
        if problem.status == 422:
            where = ["body", *(problem.param or "").split(".")]
            return {
                "detail": [
                    {
                        "type": problem.code or "value_error",
                        "loc": where,
                        "msg": problem.message,
                        "input": None,
                    }
                ]
            }
        return {"detail": problem.message}

    def error_events(self, problem: Problem, template: JSON) -> list[Event]:
        return [Event({"error": problem.message})]

    def finish(self, reason: str | None) -> JSON:
        return {"finish_reason": reason}

    def message(self, reply: Any) -> JSON:
        empty = dict.fromkeys(("reasoning_content", "reasoning", "tool_calls", "tool_call_id", "name"))
        return empty | super().message(reply)

    def text_delta(self, text: str) -> JSON:
        return {"content": text, "reasoning_content": None, "reasoning": None, "tool_calls": None}

    def delta_of_thought(self, text: str) -> JSON:
        return {"content": None, "tool_calls": None} | self.fields_of_thought(text)

    def last_delta(self) -> JSON:
        return {"content": ""}

    def usage(self, counts: Counts) -> JSON:
        return super().usage(counts) | {"prompt_tokens_details": {"cached_tokens": counts.cached}}

    def extras(self, asked: Asked, counts: Counts) -> JSON:
        speed = {"prompt_n": counts.prompt, "predicted_n": counts.completion, "cache_n": counts.cached}
        return {
            "timings": {**speed, "prompt_per_second": 500.0, "predicted_per_second": 50.0, "peak_memory": 6.5}
        }

    def chunk_extras(self, asked: Asked) -> JSON:
        return {"usage": None, "timings": {"predicted_per_second": 50.0}}

    def side(self, method: str, path: str, query: Mapping[str, str], body: Any) -> Page | None:
        model = self.models[0]
        match method, path:
            case "GET", "/health":
                return 200, {"status": "healthy", "loaded_model": model.id, "loaded_adapter": None}
            case "GET", "/v1/settings" | "/settings":
                return 200, {
                    "schema": {},
                    "current": {"enable_thinking": False, "max_tokens": 2048},
                    "fingerprint": "sim",
                }
            case "GET", "/v1/metrics":
                return 200, {"server": {"loaded_model": model.id}, "requests": 0}
            case "POST", "/unload":
                return 200, {"status": "success", "message": "Model unloaded successfully"}
            case "GET", "/v1/models" | "/models":
                return 200, self.model_list()
        return None

    def model_list(self) -> JSON:
        created = int(self.clock())
        return {
            "object": "list",
            "data": [{"id": m.id, "object": "model", "created": created} for m in self.models],
        }
