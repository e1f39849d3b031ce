# ruff: noqa: D102  # what each method gives is told in dialect.py
"""DashScope's OpenAI-compatible mode: thinks unless told not to, ignores much in silence, has two shapes of error."""

from __future__ import annotations

from ..connection import Header
from ..delivery import Event
from ..models import SimModel
from ..parsed_request import Asked
from ..problem import Problem
from ..replies import Reply
from ..tokens import Counts
from .dialect import JSON, MESSAGES, Page, SimulatedDialect

__all__ = ["SimulatedDashScope"]


class SimulatedDashScope(SimulatedDialect):
    """https://dashscope-intl.aliyuncs.com/compatible-mode/v1 and its regions."""

    name = "dashscope"
    base = "/compatible-mode/v1"
    key = "required"
    has_batches = True
    fields = f"""
        {MESSAGES} messages.partial messages.reasoning_content messages.content.image_url.detail
        messages.content.min_pixels messages.content.max_pixels messages.content.total_pixels
        messages.content.video_url.url messages.content.video messages.content.fps messages.content.cache_control
        model temperature top_p top_k presence_penalty repetition_penalty max_tokens n seed stop
        stream stream_options.include_usage tools tool_choice parallel_tool_calls response_format
        enable_thinking thinking_budget enable_search search_options enable_code_interpreter vl_high_resolution_images
    """

    def thinks(self, body: JSON, model: SimModel) -> bool:
        said = body.get("enable_thinking")
        return said if isinstance(said, bool) else self.thinking_default(model)

    def budget(self, body: JSON) -> int | None:
        return body.get("thinking_budget")

    def error(self, problem: Problem) -> JSON:
        request = {"request_id": "sim-00000000-0000-4000-8000-000000000000"}
        if problem.flat:
            return {"code": pascal(problem.code), "message": problem.message, **request}
        kind = problem.kind or "invalid_request_error"
        error = {"message": problem.message, "type": kind, "param": problem.param, "code": problem.code}
        return {"error": error, **request}

    def error_events(self, problem: Problem, template: JSON) -> list[Event]:
        flat = {"code": pascal(problem.code), "message": problem.message}
        return [Event({**flat, "request_id": "sim-00000000-0000-4000-8000-000000000000"})]

    def nothing_here(self, method: str, path: str) -> Page:
        return 404, {
            "error": {
                "message": "Not Found",
                "type": "invalid_request_error",
                "param": None,
                "code": "not_found",
            }
        }

    def content(self, reply: Reply) -> str | None:
        return "" if reply.tool_calls and not reply.text else reply.text

    def first_delta(self) -> JSON:
        return {"content": "", "role": "assistant"}

    def delta_of_thought(self, text: str) -> JSON:
        return {"content": None, "reasoning_content": text}

    def last_delta(self) -> JSON:
        return {"content": ""}

    def usage(self, counts: Counts) -> JSON:
        prompt: JSON = {
            "cached_tokens": counts.cached,
            "text_tokens": counts.prompt - counts.image - counts.video,
        }
        if counts.image:
            prompt["image_tokens"] = counts.image
        if counts.video:
            prompt["video_tokens"] = counts.video
        written = {"reasoning_tokens": counts.reasoning, "text_tokens": counts.completion - counts.reasoning}
        return super().usage(counts) | {"completion_tokens_details": written, "prompt_tokens_details": prompt}

    def extras(self, asked: Asked, counts: Counts) -> JSON:
        return {"system_fingerprint": None}

    def chunk_extras(self, asked: Asked) -> JSON:
        return {"usage": None, "system_fingerprint": None}

    def headers(self, asked: Asked, identity: str) -> list[Header]:
        return [("x-request-id", identity.removeprefix(self.id_prefix))]


def pascal(code: str) -> str:
    """`invalid_api_key` as `InvalidApiKey`; a code that is so already stays."""
    return code if code[:1].isupper() else "".join(word.capitalize() for word in code.split("_"))
