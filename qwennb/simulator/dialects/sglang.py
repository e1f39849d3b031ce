# ruff: noqa: D102  # what each method gives is told in dialect.py
"""SGLang 0.5: flat errors, drops unknown names; without its reasoning parser the thought stands in the content."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..delivery import DONE, Event
from ..models import SimModel
from ..parsed_request import Asked, Constraint
from ..problem import Problem
from ..replies import Reply
from ..tokens import Counts
from .dialect import JSON, MESSAGES, Page, SimulatedDialect, inline_thought
from .vllm import tokenize

__all__ = ["SimulatedSglang"]


class SimulatedSglang(SimulatedDialect):
    """http://localhost:30000/v1"""

    name = "sglang"
    fields = f"""
        {MESSAGES} messages.reasoning_content messages.content.image_url.detail messages.content.image_url.max_dynamic_patch
        messages.content.image_url.min_dynamic_patch messages.content.video_url.url messages.content.video_url.fps
        messages.content.video_url.max_frames model frequency_penalty logit_bias logprobs top_logprobs max_tokens
        max_completion_tokens n presence_penalty response_format seed stop stream stream_options.include_usage
        stream_options.continuous_usage_stats temperature top_p tools tool_choice parallel_tool_calls reasoning_effort
        reasoning top_k min_p min_tokens regex ebnf repetition_penalty stop_token_ids stop_regex no_stop_trim ignore_eos
        continue_final_message skip_special_tokens lora_path session_params separate_reasoning stream_reasoning
        chat_template_kwargs max_dynamic_patch min_dynamic_patch mm_processor_kwargs custom_logit_processor custom_params
        input_ids rid extra_key cache_salt priority
    """
    accepts_any_model = True

    def thinks(self, body: JSON, model: SimModel) -> bool:
        said = (body.get("chat_template_kwargs") or {}).get("enable_thinking")
        if isinstance(said, bool):
            return said
        reasoning = body.get("reasoning") if isinstance(body.get("reasoning"), dict) else {}
        effort = body.get("reasoning_effort") or (reasoning or {}).get("effort")
        if effort is not None:
            return bool(effort != "none")
        return (reasoning or {}).get("enabled") is True or self.thinking_default(model)

    def constraint(self, body: JSON) -> Constraint | None:
        if body.get("regex") is not None:
            return Constraint("regex", body["regex"])
        if body.get("ebnf") is not None:
            return Constraint("grammar", body["ebnf"])
        return super().constraint(body)

    def error(self, problem: Problem) -> JSON:
        if problem.status == 401:
            return {"error": "Unauthorized"}
        return {
            "object": "error",
            "message": problem.message,
            "type": kind_of(problem),
            "param": problem.param,
            "code": problem.status,
        }

    def error_events(self, problem: Problem, template: JSON) -> list[Event]:
        return [Event({"error": self.error(problem)}), Event(DONE)]

    def adapt_reply(self, reply: Reply, asked: Asked) -> Reply:
        if not self.options.tool_parser and reply.tool_calls:
            calls = [
                {"name": call.name, "arguments": json.loads(call.text or "{}")} for call in reply.tool_calls
            ]
            text = "\n".join(
                f"<tool_call>\n{json.dumps(call, ensure_ascii=False)}\n</tool_call>" for call in calls
            )
            reply = replace(reply, text=text, tool_calls=(), chunks=None)
        separate = self.options.reasoning_parser and asked.body.get("separate_reasoning", True)
        return reply if separate else inline_thought(reply)

    def message(self, reply: Reply) -> JSON:
        return {"role": "assistant", "content": None, "reasoning_content": None} | super().message(reply)

    def first_delta(self) -> JSON:
        return {"role": "assistant", "content": "", "reasoning_content": None, "tool_calls": None}

    def text_delta(self, text: str) -> JSON:
        return {"role": None, "content": text, "reasoning_content": None, "tool_calls": None}

    def delta_of_thought(self, text: str) -> JSON:
        return {"role": None, "content": None, "reasoning_content": text, "tool_calls": None}

    def last_delta(self) -> JSON:
        return {"role": None, "content": None, "reasoning_content": None, "tool_calls": None}

    def finish(self, reason: str | None) -> JSON:
        return {"finish_reason": reason, "matched_stop": 248_046 if reason == "stop" else None}

    def last_reason(self, reply: Reply) -> str | None:
        return None if self.options.null_finish else reply.ending

    def usage(self, counts: Counts) -> JSON:
        details = {"cached_tokens": counts.cached, "image_tokens": counts.image, "video_tokens": counts.video}
        usage = super().usage(counts) | {"reasoning_tokens": counts.reasoning}
        usage["prompt_tokens_details"] = details if counts.cached or counts.image or counts.video else None
        if counts.reasoning:
            usage["completion_tokens_details"] = {"reasoning_tokens": counts.reasoning}
        return usage

    def extras(self, asked: Asked, counts: Counts) -> JSON:
        return {} if asked.stream else {"metadata": {"weight_version": "default"}}

    def chunk_extras(self, asked: Asked) -> JSON:
        return {"usage": None}

    def side(self, method: str, path: str, query: Mapping[str, str], body: Any) -> Page | None:
        model = self.models[0]
        match method, path:
            case "GET", "/health" | "/health_generate":
                return 200, ""
            case "GET", "/get_model_info" | "/model_info":
                known = {"model_path": model.id, "served_model_name": model.id, "tokenizer_path": model.id}
                return 200, {
                    **known,
                    "is_generation": True,
                    "weight_version": "default",
                    "has_image_understanding": True,
                }
            case "GET", "/get_server_info" | "/server_info":
                return 200, {
                    "model_path": model.id,
                    "served_model_name": model.id,
                    "version": "0.5.23",
                    "context_length": model.window,
                }
            case "GET", "/v1/models":
                return 200, self.model_list()
            case "POST", "/tokenize" | "/v1/tokenize":
                return 200, tokenize(body, model)
        return None

    def model_list(self) -> JSON:
        data = [
            {
                "id": model.id,
                "object": "model",
                "created": int(self.clock()),
                "owned_by": "sglang",
                "root": model.id,
                "parent": None,
                "max_model_len": model.window,
            }
            for model in self.models
        ]
        return {"object": "list", "data": data}


def kind_of(problem: Problem) -> str:
    """SGLang's name for a status."""
    named = {400: "BadRequestError", 404: "NotFoundError", 503: "ServiceUnavailableError"}
    return named.get(problem.status, "InternalServerError" if problem.status >= 500 else "BadRequestError")
