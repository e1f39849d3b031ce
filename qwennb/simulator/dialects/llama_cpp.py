# ruff: noqa: D102  # what each method gives is told in dialect.py
"""llama.cpp's llama-server: one model under any name, grammars, timings in every answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..connection import Header
from ..models import SimModel
from ..parsed_request import Asked, Constraint
from ..problem import Problem
from ..replies import Reply
from ..tokens import Counts, count_prompt, count_text
from .dialect import JSON, MESSAGES, Page, SimulatedDialect, inline_thought

__all__ = ["SimulatedLlamaCpp"]

KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    501: "not_supported_error",
    503: "unavailable_error",
}
BUILD = "b6962-sim"


class SimulatedLlamaCpp(SimulatedDialect):
    """http://localhost:8080/v1"""

    name = "llama.cpp"
    fields = f"""
        {MESSAGES} messages.name messages.reasoning_content messages.content.input_video messages.content.input_audio
        messages.content.video_url.url
        model temperature top_p top_k min_p typical_p repeat_penalty repeat_last_n presence_penalty frequency_penalty
        dry_multiplier mirostat max_tokens max_completion_tokens n_predict n seed stop logit_bias logprobs top_logprobs
        stream stream_options.include_usage tools tool_choice parallel_tool_calls response_format grammar json_schema
        chat_template_kwargs reasoning_effort reasoning_format reasoning_control cache_prompt id_slot samplers
        timings_per_token ignore_eos n_keep
    """
    accepts_any_model = True

    def __init__(self, models: tuple[SimModel, ...], *args: Any) -> None:
        super().__init__(models, *args)
        self._loading = self.options.loading

    def still_loading(self) -> bool:
        """One request less until the model is there."""
        self._loading -= 1
        return self._loading >= 0

    def thinks(self, body: JSON, model: SimModel) -> bool:
        said = (body.get("chat_template_kwargs") or {}).get("enable_thinking")
        if isinstance(said, bool):
            return said
        return False if body.get("reasoning_effort") == "none" else self.thinking_default(model)

    def constraint(self, body: JSON) -> Constraint | None:
        if body.get("grammar"):
            return Constraint("grammar", body["grammar"])
        if body.get("json_schema") is not None:
            return Constraint("schema", body["json_schema"])
        wanted = body.get("response_format")
        if (
            isinstance(wanted, dict)
            and wanted.get("type") == "json_object"
            and wanted.get("schema") is not None
        ):
            return Constraint("schema", wanted["schema"])
        return super().constraint(body)

    def error(self, problem: Problem) -> JSON:
        kind = (
            problem.kind
            if problem.kind == "exceed_context_size_error"
            else KINDS.get(problem.status, "server_error")
        )
        return {"error": {"code": problem.status, "message": problem.message, "type": kind, **problem.extra}}

    def nothing_here(self, method: str, path: str) -> Page:
        return 404, self.error(Problem(404, "File Not Found"))

    def adapt_reply(self, reply: Reply, asked: Asked) -> Reply:
        if not self.options.tool_parser and reply.tool_calls:
            calls = [
                {"name": call.name, "arguments": json.loads(call.text or "{}")} for call in reply.tool_calls
            ]
            text = "\n".join(json.dumps(call, ensure_ascii=False) for call in calls)
            reply = replace(reply, text=text, tool_calls=(), chunks=None)
        inline = asked.body.get("reasoning_format") == "none"
        if inline and reply.reasoning is not None:
            return replace(
                reply,
                text=f"<think>\n{reply.reasoning}\n</think>\n\n{reply.text or ''}",
                reasoning=None,
                chunks=None,
            )
        return reply if self.options.reasoning_parser else inline_thought(reply)

    def first_delta(self) -> JSON:
        return {"role": "assistant", "content": None}

    def usage(self, counts: Counts) -> JSON:
        return super().usage(counts) | {"prompt_tokens_details": {"cached_tokens": counts.cached}}

    def odds(self, text: str, asked: Asked, likely: Mapping[str, float] | None = None) -> JSON:
        odds = super().odds(text, asked, likely)
        return odds if odds["logprobs"] else {}

    def headers(self, asked: Asked, identity: str) -> list[Header]:
        return [("server", "llama.cpp")]

    def extras(self, asked: Asked, counts: Counts) -> JSON:
        return {"system_fingerprint": BUILD, "timings": timings(counts)}

    def closing(self, counts: Counts) -> JSON:
        return {"timings": timings(counts)}

    def chunk_extras(self, asked: Asked) -> JSON:
        return {"system_fingerprint": BUILD}

    def model_name(self, asked: Asked) -> str:
        return asked.model.id

    def side(self, method: str, path: str, query: Mapping[str, str], body: Any) -> Page | None:
        model = self.models[0]
        sent = body if isinstance(body, dict) else {}
        match method, path:
            case "GET", "/health" | "/v1/health":
                problem = Problem(503, "Loading model")
                return (503, self.error(problem)) if self.still_loading() else (200, {"status": "ok"})
            case "GET", "/props":
                return 200, self._props(model)
            case "GET", "/v1/models" | "/models":
                return 200, self.model_list()
            case "POST", "/tokenize":
                return 200, {"tokens": list(range(count_text(str(sent.get("content", "")))))}
            case "POST", "/apply-template":
                lines = [
                    f"<|im_start|>{m.get('role')}\n{m.get('content')}<|im_end|>\n"
                    for m in sent.get("messages", [])
                ]
                return 200, {"prompt": "".join(lines) + "<|im_start|>assistant\n"}
            case "POST", "/v1/chat/completions/input_tokens":
                return 200, {"input_tokens": count_prompt(sent, self.thinks(sent, model)).prompt}
        return None

    def _props(self, model: SimModel) -> JSON:
        return {
            "default_generation_settings": {
                "n_ctx": model.window,
                "params": {"temperature": 0.8, "top_k": 40},
            },
            "total_slots": 4,
            "model_alias": model.id,
            "model_path": f"/models/{model.id}",
            "modalities": {"vision": "image" in model.inputs, "audio": False},
            "chat_template": "{%- for message in messages %}…{%- endfor %}",
            "build_info": BUILD,
        }

    def model_list(self) -> JSON:
        data = [
            {
                "id": model.id,
                "object": "model",
                "created": int(self.clock()),
                "owned_by": "llamacpp",
                "meta": {"vocab_type": 2, "n_vocab": 248_320, "n_ctx": model.window, "n_ctx_train": 262_144},
            }
            for model in self.models
        ]
        return {
            "models": [{"name": m.id, "model": m.id, "type": "model"} for m in self.models],
            "object": "list",
            "data": data,
        }


def timings(counts: Counts) -> JSON:
    """How fast it was: a fixed 500 tokens a second in and 50 out."""
    return {
        "cache_n": counts.cached,
        "prompt_n": counts.prompt,
        "prompt_ms": counts.prompt * 2.0,
        "prompt_per_token_ms": 2.0,
        "prompt_per_second": 500.0,
        "predicted_n": counts.completion,
        "predicted_ms": counts.completion * 20.0,
        "predicted_per_token_ms": 20.0,
        "predicted_per_second": 50.0,
    }
