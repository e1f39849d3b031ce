"""What each server refuses: one row of data a refusal, with the section of `endpoints.md` it rests on.

A row's `when` looks at a `Case` and gives None (not this one), or what to say; `True` says `message`. `on` names the fields
that it is about: without any of them in the body it is not tried ("parts" stands for a message made of parts). `patch`
is laid over a valid body to make one that the row refuses: the tests send both. Rows are tried in order; the first one wins.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from . import trial
from .problem import Problem
from .tokens import url_of
from .trial import DASHSCOPE, EVERYBODY, LLAMA, LMSTUDIO, MLX, OLLAMA, OPENROUTER, SGLANG, VLLM, Case, Verdict

__all__ = ["LEFT_OUT", "REFUSALS", "Refusal", "first_refusal"]

LEFT_OUT = object()
"""In a patch: the field is taken out."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """One row. `early` rows are tried before the body is known to be a question."""

    name: str
    dialects: tuple[str, ...]
    section: str
    status: int
    when: Callable[[Case], Verdict]
    message: str = ""
    code: str = "invalid_parameter_error"
    kind: str = "invalid_request_error"
    param: str | None = None
    patch: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str | None] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    flat: bool = False
    early: bool = False
    on: frozenset[str] = frozenset()

    def problem(self, case: Case) -> Problem | None:
        """What is said, or None when the row does not apply."""
        verdict = self.when(case)
        if verdict is None or verdict is False:
            return None
        said = self.message if verdict is True else str(verdict)
        extra = {name: value(case) if callable(value) else value for name, value in self.extra.items()}
        return Problem(self.status, said, self.code, self.kind, self.param, self.flat, extra)


def first_refusal(case: Case, *, early: bool) -> tuple[Refusal, Problem] | None:
    """The first row that refuses this case."""
    present = set(case.sent) if isinstance(case.sent, dict) else set()
    if not early and case.sure.parts:
        present.add("parts")
    for row in _BY_DIALECT[case.dialect.name, early]:
        if row.on and row.on.isdisjoint(present):
            continue
        problem = row.problem(case)
        if problem is not None:
            return row, problem
    return None


# Examples.

DOT = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
GIF = "data:image/gif;base64,R0lGODlhQABAAIAAAP///wAAACwAAAAAQABAAAAC"
WEBP = "data:image/webp;base64,UklGRiIAAABXRUJQVlA4IBYAAAAwAQCdASpAAEAADsD+JaQAA3AAAAAA"


def _user(*parts: dict[str, Any], text: str = "Look.") -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"type": "text", "text": text}, *parts]}]}


def _image(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def _tool(name: str = "look_up", **more: Any) -> dict[str, Any]:
    function = {
        "name": name,
        "description": "Looks a word up.",
        "parameters": {"type": "object", "properties": {}},
    }
    return {"type": "function", "function": {**function, **more}}


def _call_messages(identity: str, answered: bool = True, arguments: str = "{}") -> list[dict[str, Any]]:
    call = {"id": identity, "type": "function", "function": {"name": "look_up", "arguments": arguments}}
    asked = {"role": "assistant", "content": "", "tool_calls": [call]}
    return [asked, {"role": "tool", "tool_call_id": identity, "content": "found"}] if answered else [asked]


def _png(width: int, height: int) -> str:
    head = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + width.to_bytes(4, "big") + height.to_bytes(4, "big")
    return "data:image/png;base64," + base64.b64encode(head + b"\x08\x02\x00\x00\x00\x00").decode()


def _fields(names: str) -> frozenset[str]:
    return frozenset(names.split())


USER = {"role": "user", "content": "Hello"}
LONG = {"messages": [{"role": "user", "content": "word " * 3_400_000}]}
"""4.25 million tokens by the rule of four characters: more than any window."""
NESTED_KEY = {"type": "function", "function": {"name": "look_up"}}

_ROWS: tuple[Refusal, ...] = (
    # The key.
    Refusal("no key", (OPENROUTER,), "§10.2", 401, trial.no_key, "No auth credentials found", "authentication", headers={"authorization": None}, early=True),
    Refusal("no key", (DASHSCOPE,), "§10.1", 401, trial.no_key, "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth.", "invalid_api_key", headers={"authorization": None}, early=True),
    Refusal("no key", (VLLM, SGLANG, LLAMA), "§15", 401, trial.no_key, "Invalid API Key", "invalid_api_key", "authentication_error", headers={"authorization": None}, early=True),
    Refusal("no key", (MLX,), "§10.1", 401, trial.no_key, "Invalid API key", headers={"authorization": None}, early=True),
    Refusal("wrong key", (OPENROUTER,), "§10.2", 401, trial.wrong_key, "User not found.", "authentication", headers={"authorization": "Bearer sk-other"}, early=True),
    Refusal("wrong key or region", (DASHSCOPE,), "§1", 401, trial.wrong_key, "Incorrect API key provided. For details, see: https://help.aliyun.com/zh/model-studio/error-code#apikey-error", "invalid_api_key", headers={"authorization": "Bearer sk-of-another-region"}, early=True),
    Refusal("wrong key", (VLLM, SGLANG, LLAMA), "§10.1", 401, trial.wrong_key, "Invalid API Key", "invalid_api_key", "authentication_error", headers={"authorization": "Bearer sk-other"}, early=True),
    Refusal("wrong key", (MLX,), "§10.1", 401, trial.wrong_key, "Invalid API key", headers={"authorization": "Bearer sk-other"}, early=True),
    Refusal("no credit", (OPENROUTER,), "§10.2", 402, lambda c: c.options.credits is not None and c.options.credits <= 0, "Insufficient credits. Add more using https://openrouter.ai/settings/credits", "payment_required", options={"credits": 0.0}, early=True),
    # The form.
    Refusal("body is no object", (OPENROUTER, DASHSCOPE, VLLM, SGLANG, LLAMA, OLLAMA, LMSTUDIO), "§10.1", 400, lambda c: not isinstance(c.sent, dict), "The body is not a JSON object.", patch={"": "[]"}, early=True),
    Refusal("body is no object", (MLX,), "§10.1", 422, lambda c: not isinstance(c.sent, dict), "JSON decode error", "json_invalid", patch={"": "[]"}, early=True),
    Refusal("null", (MLX,), "§15", 422, trial.null("max_tokens", "temperature", "seed"), code="int_type", param="max_tokens", patch={"max_tokens": None}, early=True, on=_fields("max_tokens temperature seed")),
    Refusal("null", (OPENROUTER,), "§15", 400, trial.null("tools", "tool_choice"), code="invalid_request", patch={"tools": None}, early=True, on=_fields("tools tool_choice")),
    Refusal("no messages", (LLAMA,), "§10.1", 400, lambda c: c.body.get("messages") is None, "'messages' is required", patch={"messages": LEFT_OUT}, early=True),
    Refusal("no messages", (OPENROUTER, DASHSCOPE, VLLM, SGLANG, OLLAMA, LMSTUDIO), "§10.1", 400, trial.no_messages, "'messages' is a required property", param="messages", patch={"messages": []}, early=True),
    Refusal("no messages", (MLX,), "§10.1", 422, trial.no_messages, "Field required", "missing", param="messages", patch={"messages": LEFT_OUT}, early=True),
    Refusal("wrong type", (OPENROUTER, DASHSCOPE, VLLM, SGLANG, LLAMA, OLLAMA, LMSTUDIO), "§10.1", 400, trial.is_malformed, patch={"temperature": "warm"}, early=True),
    Refusal("wrong type", (MLX,), "§10.1", 422, trial.is_malformed, code="float_parsing", param="temperature", patch={"temperature": "warm"}, early=True),
    # The model.
    Refusal("id of another place", (DASHSCOPE,), "§2.1", 400, trial.foreign_id, "Model not exist.", param="model", patch={"model": "Qwen/Qwen3.5-27B"}, early=True),
    Refusal("unknown model", (DASHSCOPE,), "§10.2", 404, trial.unknown_model, code="model_not_found", param="model", patch={"model": "qwen3.5-9b"}, early=True),
    Refusal("unknown model", (OPENROUTER,), "§10.2", 404, trial.unknown_model, code="not_found", extra={"availability": "no_endpoints"}, patch={"model": "qwen/qwen3.5-plus"}, early=True),
    Refusal("unknown model", (VLLM,), "§12", 404, trial.unknown_model, param="model", patch={"model": "qwen3.5-plus"}, early=True),
    Refusal("unknown model", (OLLAMA,), "§10.1", 404, trial.unknown_model, param="model", patch={"model": "qwen3.5:nope"}, early=True),
    # The window.
    Refusal("overflow", (OPENROUTER,), "§10.2", 400, trial.overflow(lambda n, most: f"This endpoint's maximum context length is {most} tokens. However, you requested about {n} tokens."), code="context_length_exceeded", patch=LONG),
    Refusal("overflow", (DASHSCOPE,), "§10.2", 400, trial.overflow(lambda n, most: f"Range of input length should be [1, {most}]"), patch=LONG),
    Refusal("overflow", (VLLM,), "§10.2", 400, trial.overflow(lambda n, most: f"This model's maximum context length is {most} tokens. However, your prompt contains {n} input tokens, which exceeds this limit. Please reduce the length of the input."), param="input_tokens", patch=LONG),
    Refusal("overflow", (SGLANG,), "§10.2", 400, trial.overflow(lambda n, most: f"The input ({n} tokens) is longer than the model's context length ({most} tokens)."), patch=LONG),
    Refusal("overflow", (LLAMA,), "§10.1", 400, trial.overflow(lambda n, most: f"request ({n} tokens) exceeds the available context size ({most} tokens), try increasing it"), kind="exceed_context_size_error", extra={"n_prompt_tokens": lambda c: c.sure.counts.prompt, "n_ctx": lambda c: c.sure.model.window}, patch=LONG),
    Refusal("output overflow", (VLLM, SGLANG), "§10.2", 400, trial.long_output, param="max_tokens", patch={"max_tokens": 262_144}, on=_fields("max_tokens max_completion_tokens")),
    Refusal("max_tokens range", (DASHSCOPE,), "§2.1", 400, lambda c: trial.is_number(c.body.get("max_tokens")) and not 1 <= c.body["max_tokens"] <= c.sure.model.max_output, "Range of max_tokens should be [1, 65536]", patch={"max_tokens": 100_000}, on=_fields("max_tokens")),
    # Sampling.
    Refusal("temperature range", (DASHSCOPE,), "§5.3", 400, trial.outside("temperature", lambda v: 0 <= v < 2), "'temperature' must be Float, in [0.0, 2.0)", patch={"temperature": 2.0}, on=_fields("temperature")),
    Refusal("top_p range", (DASHSCOPE,), "§5.3", 400, trial.outside("top_p", lambda v: 0 < v <= 1), "Range of top_p should be (0.0, 1.0]", patch={"top_p": 0.0}, on=_fields("top_p")),
    Refusal("top_k range", (DASHSCOPE,), "§5.3", 400, trial.outside("top_k", lambda v: v >= 0), "Parameter top_k be greater than or equal to 0", patch={"top_k": -1}, on=_fields("top_k")),
    Refusal("top_k range", (SGLANG,), "§15", 400, trial.outside("top_k", lambda v: v == -1 or v >= 1), "top_k must be -1 (disable) or at least 1, got 0.", patch={"top_k": 0}, on=_fields("top_k")),
    Refusal("presence_penalty range", (DASHSCOPE,), "§5.3", 400, trial.outside("presence_penalty", lambda v: -2 <= v <= 2), "'presence_penalty' should be in [-2.0, 2.0]", patch={"presence_penalty": 2.5}, on=_fields("presence_penalty")),
    Refusal("repetition_penalty range", (DASHSCOPE,), "§5.3", 400, trial.outside("repetition_penalty", lambda v: v > 0), "Repetition_penalty should be greater than 0.0", patch={"repetition_penalty": 0}, on=_fields("repetition_penalty")),
    Refusal("n", (DASHSCOPE,), "§5.3", 400, trial.outside("n", lambda v: v == 1), "The value of n should be 1 for this model.", patch={"n": 2}, on=_fields("n")),
    Refusal("top_logprobs range", (DASHSCOPE,), "§5.3", 400, lambda c: trial.is_number(c.sent.get("top_logprobs")) and not 0 <= c.sent["top_logprobs"] <= 5, "Range of top_logprobs should be [0, 5]", patch={"logprobs": True, "top_logprobs": 6}, on=_fields("top_logprobs")),
    Refusal("top_logprobs range", (OPENROUTER,), "§5.2", 400, lambda c: trial.is_number(c.sent.get("top_logprobs")) and not 0 <= c.sent["top_logprobs"] <= 20, "top_logprobs: Number must be between 0 and 20", "invalid_request", patch={"logprobs": True, "top_logprobs": 21}, on=_fields("top_logprobs")),
    Refusal("stop strings", (VLLM,), "§15", 400, lambda c: isinstance(c.body.get("stop"), list) and len(c.body["stop"]) > 4, "stop: List should have at most 4 items", param="stop", patch={"stop": ["a", "b", "c", "d", "e"]}, on=_fields("stop")),
    Refusal("stop strings", (OPENROUTER,), "§9", 400, lambda c: isinstance(c.sent.get("stop"), list) and len(c.sent["stop"]) > 4, "stop: Array must contain at most 4 element(s)", "invalid_request", param="stop", patch={"stop": ["a", "b", "c", "d", "e"]}, on=_fields("stop")),
    Refusal("max_tokens zero", (VLLM,), "§15", 400, lambda c: c.body.get("max_tokens") == 0 or c.body.get("max_completion_tokens") == 0, "max_tokens must be at least 1, got 0.", param="max_tokens", patch={"max_tokens": 0}, on=_fields("max_tokens max_completion_tokens")),
    Refusal("stream_options without stream", (VLLM,), "§15", 400, lambda c: bool(c.body.get("stream_options")) and not c.body.get("stream"), "Stream options can only be defined when `stream=True`.", param="stream_options", patch={"stream": LEFT_OUT, "stream_options": {"include_usage": True}}, on=_fields("stream_options")),
    Refusal("untrusted field", (VLLM,), "§15", 400, lambda c: None if c.options.trust_request else trial.is_sent("mm_processor_kwargs", "media_io_kwargs", "chat_template")(c), patch={"chat_template": "{{ messages }}"}, on=_fields("mm_processor_kwargs media_io_kwargs chat_template")),
    Refusal("several constraints", (VLLM,), "§8", 400, trial.several_constraints, "You can only use one kind of structured outputs constraint ('json', 'regex', 'choice', 'grammar', …).", patch={"structured_outputs": {"choice": ["a", "b"], "regex": "a"}}, on=_fields("structured_outputs")),
    Refusal("unreadable constraint", (VLLM,), "§8", 400, trial.unreadable_constraint, patch={"structured_outputs": {"grammar": "this is no grammar"}}, on=_fields("structured_outputs")),
    Refusal("unreadable constraint", (SGLANG,), "§8", 400, trial.unreadable_constraint, patch={"ebnf": "this is no grammar"}, on=_fields("ebnf")),
    # Thinking.
    Refusal("thinking_budget range", (DASHSCOPE,), "§4", 400, trial.outside("thinking_budget", lambda v: 1 <= v <= 81_920), "The thinking_budget parameter must be a positive integer and not greater than 81920", patch={"enable_thinking": True, "thinking_budget": 81_921}, on=_fields("thinking_budget")),
    Refusal("thinking without stream", (DASHSCOPE,), "§4", 400, lambda c: c.options.refuse_plain_thinking and c.sure.thinking and not c.sure.stream and not c.sure.model.commercial, "parameter.enable_thinking must be set to false for non-streaming calls", patch={"model": "qwen3.5-27b", "enable_thinking": True, "stream": LEFT_OUT}, options={"refuse_plain_thinking": True}),
    Refusal("effort and budget", (OPENROUTER,), "§4", 400, trial.effort_and_budget, 'Only one of "reasoning.effort" and "reasoning.max_tokens" can be specified', "invalid_request", patch={"reasoning": {"effort": "high", "max_tokens": 100}}, on=_fields("reasoning")),
    Refusal("effort", (OPENROUTER,), "§4", 400, lambda c: (c.body.get("reasoning") or {}).get("effort") not in trial.EFFORTS | {None}, "reasoning.effort: Invalid option", "invalid_request", patch={"reasoning": {"effort": "enormous"}}, on=_fields("reasoning")),
    Refusal("effort", (OLLAMA,), "§4", 400, lambda c: (c.body.get("reasoning_effort") or (c.body.get("reasoning") or {}).get("effort")) not in {None, "none", "low", "medium", "high", "xhigh", "ultra", "max"}, 'invalid reasoning value (must be "high", "medium", "low", "max", or "none")', patch={"reasoning_effort": "enormous"}, on=_fields("reasoning reasoning_effort")),
    Refusal("thinking_token_budget range", (VLLM,), "§4", 400, trial.outside("thinking_token_budget", lambda v: v >= -1), "thinking_token_budget must be -1 or at least 0", patch={"thinking_token_budget": -2}, on=_fields("thinking_token_budget")),
    # Structure and tools.
    Refusal("json_schema", (DASHSCOPE,), "§8", 400, lambda c: (c.body.get("response_format") or {}).get("type") == "json_schema", "'response_format.type' 'json_schema' is not supported by this model; use 'json_object'.", patch={"enable_thinking": False, "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}}, on=_fields("response_format")),
    Refusal("json while thinking", (DASHSCOPE,), "§8", 400, lambda c: c.sure.thinking and (c.body.get("response_format") or {}).get("type") == "json_object", "Json mode response is not supported when enable_thinking is true", patch={"enable_thinking": True, "response_format": {"type": "json_object"}, "messages": [{"role": "user", "content": "As json."}]}, on=_fields("response_format")),
    Refusal("no word json", (DASHSCOPE,), "§8", 400, trial.prompt_lacks_json, "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.", patch={"enable_thinking": False, "response_format": {"type": "json_object"}}, on=_fields("response_format")),
    Refusal("tool_choice required", (DASHSCOPE,), "§8", 400, lambda c: c.body.get("tool_choice") == "required", "The tool_choice parameter does not support being set to required.", patch={"enable_thinking": False, "tools": [_tool()], "tool_choice": "required"}, on=_fields("tool_choice")),
    Refusal("named tool while thinking", (DASHSCOPE,), "§8", 400, lambda c: isinstance(c.body.get("tool_choice"), dict) and c.sure.thinking, "The tool_choice parameter does not support being set to required or object in thinking mode", patch={"enable_thinking": True, "tools": [_tool()], "tool_choice": NESTED_KEY}, on=_fields("tool_choice")),
    Refusal("tool name", (DASHSCOPE,), "§8", 400, trial.bad_tool_name, patch={"tools": [_tool("look up")]}, on=_fields("tools")),
    Refusal("tool named search", (DASHSCOPE,), "§8", 400, lambda c: any(tool.get("name") == "search" for tool in c.functions), "Tool names are not allowed to be [search]", patch={"tools": [_tool("search")]}, on=_fields("tools")),
    Refusal("tool without description", (DASHSCOPE,), "§8", 400, lambda c: any(not tool.get("description") for tool in c.functions), "tools.function.description is required", patch={"tools": [_tool(description="")]}, on=_fields("tools")),
    Refusal("tool content", (DASHSCOPE,), "§8", 400, trial.tool_content, "The content of a tool message should be a string", patch={"messages": [USER, *_call_messages("a")[:1], {"role": "tool", "tool_call_id": "a", "content": [{"type": "text", "text": "x"}]}]}),
    Refusal("unanswered call", (DASHSCOPE,), "§8", 400, trial.has_unanswered_call, 'An assistant message with "tool_calls" must be followed by tool messages responding to each "tool_call_id".', patch={"messages": [USER, *_call_messages("a", answered=False), USER]}),
    Refusal("repeated calls", (DASHSCOPE,), "§8", 400, trial.repeats_call, "Repetitive tool calls detected", patch={"messages": [USER, *_call_messages("a"), *_call_messages("b"), *_call_messages("c")]}),
    Refusal("code interpreter", (DASHSCOPE,), "§8", 400, lambda c: bool(c.body.get("enable_code_interpreter")) and not (c.sure.stream and c.sure.thinking), "enable_code_interpreter needs stream and enable_thinking", patch={"enable_code_interpreter": True, "enable_thinking": False}, on=_fields("enable_code_interpreter")),
    Refusal("search strategy", (DASHSCOPE,), "§8", 400, lambda c: (c.body.get("search_options") or {}).get("search_strategy") not in (None, "turbo", "max", "agent"), "search_options.search_strategy should be one of turbo, max, agent", patch={"enable_search": True, "search_options": {"search_strategy": "deep"}}, on=_fields("search_options")),
    Refusal("no tools", (VLLM,), "§15", 400, lambda c: c.body.get("tools") == [], "tools must not be an empty array. Either provide at least one tool or omit the field.", param="tools", patch={"tools": []}, on=_fields("tools")),
    Refusal("auto without parser", (VLLM,), "§8", 400, trial.auto_without_parser, '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set', patch={"tools": [_tool()]}, options={"tool_parser": False}, on=_fields("tools")),
    Refusal("grammar", (LLAMA,), "§8", 400, trial.bad_grammar, patch={"grammar": "this is no grammar"}, on=_fields("grammar")),
    Refusal("arguments of an earlier call", (LLAMA,), "§8", 500, trial.broken_arguments, kind="server_error", patch={"messages": [USER, *_call_messages("a", arguments="")]}),
    Refusal("system message later", (VLLM, SGLANG, LLAMA), "§4", 400, trial.system_later, "System message must be at the beginning.", patch={"messages": [USER, {"role": "system", "content": "Late."}]}),
    # Routing.
    Refusal("provider field", (OPENROUTER,), "§15", 400, trial.unknown_provider_field, code="invalid_request", patch={"provider": {"colour": "red"}}, on=_fields("provider")),
    Refusal("plugin", (OPENROUTER,), "§9", 400, trial.unknown_plugin, code="invalid_request", patch={"plugins": [{"id": "telepathy"}]}, on=_fields("plugins")),
    Refusal("unlisted parameter required", (OPENROUTER,), "§5.2", 404, trial.has_unlisted_parameter, "No endpoints found that can handle the requested parameters.", "not_found", extra={"availability": "constraint_filtered"}, patch={"stop": ["x"], "provider": {"require_parameters": True}}, on=_fields("provider")),
    # Pictures, films, files.
    Refusal("unreadable picture", (OPENROUTER, DASHSCOPE, VLLM, SGLANG, LLAMA, OLLAMA), "§10.2", 400, lambda c: False if c.dialect.name == OLLAMA and trial.remote_picture(c) else trial.unreadable_picture(c), "The image can't be read: invalid or unsupported data.", "image_parse_error", patch=_user(_image("data:image/png;base64,AAAA")), on=_fields("parts")),
    Refusal("picture format", (OPENROUTER,), "§7", 400, trial.format_not_in("png", "jpeg", "webp", "gif"), code="image_format", patch=_user(_image("data:image/bmp;base64,Qk02AAAAAAAAADYAAAAoAAAAQAAAAEAAAAABABgA")), on=_fields("parts")),
    Refusal("picture format", (DASHSCOPE,), "§7", 400, trial.format_not_in("bmp", "jpeg", "png", "tiff", "webp"), patch=_user(_image(GIF)), on=_fields("parts")),
    Refusal("picture format", (LLAMA,), "§7", 400, trial.format_not_in("png", "jpeg", "bmp", "gif"), patch=_user(_image(WEBP)), on=_fields("parts")),
    Refusal("picture format", (OLLAMA,), "§7", 400, trial.format_not_in("png", "jpeg", "webp"), patch=_user(_image(GIF)), on=_fields("parts")),
    Refusal("picture too small", (DASHSCOPE,), "§7", 400, trial.picture(lambda p: p.width <= 10 or p.height <= 10), "The image length and width do not meet the model restrictions. [height:1 or width:1 must be larger than 10]", patch=_user(_image(DOT)), on=_fields("parts")),
    Refusal("picture too narrow", (DASHSCOPE,), "§7", 400, trial.picture(lambda p: max(p.width, p.height) > 200 * min(p.width, p.height)), "absolute aspect ratio must be smaller than 200", patch=_user(_image(_png(11, 4000))), on=_fields("parts")),
    Refusal("picture too heavy", (DASHSCOPE,), "§7", 400, trial.picture(lambda p: p.encoded > 10 * 1024 * 1024), "Exceeded limit on max bytes per data-uri item : 10485760", patch=_user(_image(_png(64, 64) + "A" * (10 * 1024 * 1024))), on=_fields("parts")),
    Refusal("too many pictures", (DASHSCOPE,), "§7", 400, trial.too_many_pictures, "The number of images exceeds the limit", patch=_user(*[_image(_png(64, 64))] * 251), on=_fields("parts")),
    Refusal("frame list", (DASHSCOPE,), "§7", 400, trial.frames, "Range of sequence images shoule be (4, 8000)", patch=_user({"type": "video", "video": [_png(64, 64)] * 3}), on=_fields("parts")),
    Refusal("fps", (DASHSCOPE,), "§7", 400, trial.fps, "fps should be in [0.1, 10]", patch=_user({"type": "video_url", "video_url": {"url": "https://example.org/a.mp4"}, "fps": 30}), on=_fields("parts")),
    Refusal("too many films", (DASHSCOPE,), "§7", 400, lambda c: len(trial.videos(c)) > 64, "The number of videos exceeds the limit", patch=_user(*[{"type": "video_url", "video_url": {"url": "https://example.org/a.mp4"}}] * 65), on=_fields("parts")),
    Refusal("film too heavy", (DASHSCOPE,), "§7", 400, lambda c: any(url_of(p).startswith("data:") and len(url_of(p)) > 10 * 1024 * 1024 for p in trial.videos(c)), "Exceeded limit on max bytes per data-uri item : 10485760", patch=_user({"type": "video_url", "video_url": {"url": "data:video/mp4;base64," + "A" * (10 * 1024 * 1024 + 1)}}), on=_fields("parts")),
    Refusal("file part", (DASHSCOPE,), "§7", 400, trial.part_of("file", "input_file", "input_video"), patch=_user({"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"}}), on=_fields("parts")),
    Refusal("part type", (VLLM,), "§15", 400, trial.part_of("video", "file", "input_video"), patch=_user({"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"}}), on=_fields("parts")),
    Refusal("part type", (LLAMA,), "§7", 400, trial.part_of("video", "file"), "unsupported content[].type", patch=_user({"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"}}), on=_fields("parts")),
    Refusal("no eyes", (LLAMA,), "§7", 500, lambda c: not c.options.vision and bool(c.kinds & {"image_url", "input_video", "video_url"}), "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj", patch=_user(_image(_png(64, 64))), options={"vision": False}, on=_fields("parts")),
    Refusal("response_format", (LLAMA,), "§8", 400, lambda c: (c.body.get("response_format") or {}).get("type") not in (None, "text", "json_object", "json_schema"), 'response_format type must be one of "text" or "json_object", but got: other', patch={"response_format": {"type": "other"}}, on=_fields("response_format")),
    Refusal("n", (LLAMA,), "§5.3", 400, trial.outside("n", lambda v: 1 <= v <= 4), "Field 'n': Value must be between 1 <= value <= 4, but got 5", patch={"n": 5}, on=_fields("n")),
    Refusal("remote picture", (OLLAMA,), "§7", 400, trial.remote_picture, "image URLs are not currently supported, please use base64 encoded data instead", patch=_user(_image("https://example.org/a.png")), on=_fields("parts")),
    Refusal("part type", (OLLAMA,), "§7", 400, lambda c: bool(c.kinds - {"text", "image_url", None}), "invalid message format", patch=_user({"type": "video_url", "video_url": {"url": "https://example.org/a.mp4"}}), on=_fields("parts")),
)  # fmt: skip

REFUSALS: tuple[Refusal, ...] = _ROWS
_BY_DIALECT = {
    (name, early): tuple(row for row in _ROWS if name in row.dialects and row.early is early)
    for name in EVERYBODY
    for early in (True, False)
}
