# ruff: noqa: D102  # what each method gives is told in dialect.py
"""vLLM 0.33: accepts and ignores unknown names, refuses what it was not started to trust."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..delivery import DONE, Event
from ..models import SimModel
from ..parsed_request import Asked, Constraint
from ..problem import Problem
from ..replies import Reply
from ..tokens import Counts, count_text
from .dialect import JSON, MESSAGES, Page, SimulatedDialect, comments, format_constraint, inline_thought

__all__ = ["SimulatedVllm"]


class SimulatedVllm(SimulatedDialect):
    """http://localhost:8000/v1"""

    name = "vllm"
    fields = f"""
        {MESSAGES} messages.name messages.reasoning messages.reasoning_content messages.content.image_url.detail
        messages.content.video_url.url messages.content.video messages.content.file messages.content.input_video
        messages.content.uuid model frequency_penalty logit_bias logprobs top_logprobs max_tokens max_completion_tokens n
        presence_penalty response_format seed stop stream stream_options.include_usage stream_options.continuous_usage_stats
        temperature top_p tools tool_choice parallel_tool_calls reasoning_effort thinking_token_budget include_reasoning
        top_k min_p repetition_penalty length_penalty stop_token_ids include_stop_str_in_output ignore_eos min_tokens
        skip_special_tokens spaces_between_special_tokens prompt_logprobs echo add_generation_prompt continue_final_message
        add_special_tokens documents chat_template chat_template_kwargs mm_processor_kwargs media_io_kwargs
        structured_outputs priority request_id return_token_ids cache_salt bad_words allowed_token_ids
    """
    reasoning_fields = ("reasoning",)
    done_after_error = True

    def thinks(self, body: JSON, model: SimModel) -> bool:
        effort = body.get("reasoning_effort")
        said = (body.get("chat_template_kwargs") or {}).get("enable_thinking")
        if isinstance(said, bool):
            return said
        return self.thinking_default(model) if effort is None else effort != "none"

    def budget(self, body: JSON) -> int | None:
        budget = body.get("thinking_token_budget")
        return None if budget == -1 else budget

    def constraint(self, body: JSON) -> Constraint | None:
        wanted = body.get("structured_outputs") or {}
        for kind in ("choice", "regex", "grammar"):
            if wanted.get(kind) is not None:
                return Constraint(kind, wanted[kind])
        if wanted.get("json") is not None:
            return Constraint("schema", wanted["json"])
        return Constraint("json") if wanted.get("json_object") else format_constraint(body)

    def error(self, problem: Problem) -> JSON:
        if problem.status == 401:
            return {"error": "Unauthorized"}
        kind = {400: "BadRequestError", 404: "NotFoundError", 503: "ServiceUnavailableError"}.get(
            problem.status
        )
        kind = kind or ("InternalServerError" if problem.status >= 500 else "BadRequestError")
        return {
            "error": {
                "message": problem.message,
                "type": kind,
                "param": problem.param,
                "code": problem.status,
            }
        }

    def error_events(self, problem: Problem, template: JSON) -> list[Event]:
        return [Event(self.error(problem)), Event(DONE)]

    def adapt_reply(self, reply: Reply, asked: Asked) -> Reply:
        if self.options.reasoning_stray and not asked.thinking:
            return replace(reply, text=None, reasoning=reply.text, chunks=None)
        return reply if self.options.reasoning_parser else inline_thought(reply)

    def message(self, reply: Reply) -> JSON:
        empty: JSON = {
            "refusal": None,
            "annotations": None,
            "audio": None,
            "function_call": None,
            "tool_calls": [],
            "reasoning": None,
        }
        return empty | super().message(reply)

    def finish(self, reason: str | None) -> JSON:
        return {"finish_reason": reason, "stop_reason": None, "token_ids": None}

    def usage(self, counts: Counts) -> JSON:
        details: JSON | None = None
        if counts.cached or counts.image or counts.video:
            seen = {"image": counts.image, "video": counts.video}
            details = {
                "cached_tokens": counts.cached,
                "multimodal_tokens": {k: v for k, v in seen.items() if v},
            }
        return super().usage(counts) | {"prompt_tokens_details": details}

    def extras(self, asked: Asked, counts: Counts) -> JSON:
        if asked.stream:
            return {}
        quiet = (
            "service_tier",
            "system_fingerprint",
            "prompt_logprobs",
            "prompt_token_ids",
            "kv_transfer_params",
        )
        return dict.fromkeys(quiet)

    def openers(self, asked: Asked) -> list[Event]:
        return comments("keep-alive", self.options) if self.options.comment_delay else []

    def side(self, method: str, path: str, query: Mapping[str, str], body: Any) -> Page | None:
        match method, path:
            case "GET", "/version":
                return 200, {"version": "0.33.0"}
            case "GET", "/health":
                return 200, ""
            case "GET", "/v1/models":
                return 200, self.model_list()
            case "POST", "/tokenize":
                return 200, tokenize(body, self.models[0])
        return None

    def model_list(self) -> JSON:
        data: list[JSON] = [
            {
                "id": model.id,
                "object": "model",
                "created": int(self.clock()),
                "owned_by": "vllm",
                "root": model.id,
                "parent": None,
                "max_model_len": model.window,
                "permission": [],
            }
            for model in self.models
        ]
        return {"object": "list", "data": data}


def tokenize(body: Any, model: SimModel) -> JSON:
    """Token numbers for a text, by the rule of four characters."""
    text = (
        body.get("prompt") or "\n".join(str(m.get("content")) for m in body.get("messages", []))
        if isinstance(body, dict)
        else ""
    )
    count = count_text(str(text))
    return {"count": count, "max_model_len": model.window, "tokens": list(range(count)), "token_strs": None}
