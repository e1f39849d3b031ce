"""What each server refuses: one row of data a refusal, with the section of `endpoints.md` it rests on.

A row's `when` looks at a `Case` and gives None (not this one), or what to say; `True` says `message`. `patch` is laid
over a valid body to make one that the row refuses: the tests send both. Rows are tried in order; the first one wins.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .asked import Asked, text_of
from .dialects import Dialect
from .fit import fit_grammar
from .options import Options
from .pictures import Picture, look
from .problem import Problem
from .tokens import url_of

__all__ = ["LEFT_OUT", "REFUSALS", "Case", "Refusal", "first_refusal"]

LEFT_OUT = object()
"""In a patch: the field is taken out."""

OPENROUTER, DASHSCOPE, VLLM, SGLANG = "openrouter", "dashscope", "vllm", "sglang"
MLX, LLAMA, OLLAMA, LMSTUDIO = "mlx-vlm", "llama.cpp", "ollama", "lmstudio"
ALL = (OPENROUTER, DASHSCOPE, VLLM, SGLANG, MLX, LLAMA, OLLAMA, LMSTUDIO)


@dataclass(frozen=True, slots=True)
class Case:
    """A request on trial. `body` is what the server reads of it; `asked` is None until the body can be a question."""

    dialect: Dialect
    options: Options
    api_key: str | None
    headers: Mapping[str, str]
    sent: Any
    body: dict[str, Any]
    asked: Asked | None = None

    @property
    def sure(self) -> Asked:
        """The question, in rows that come after the rows about form."""
        assert self.asked is not None
        return self.asked

    @property
    def pictures(self) -> list[tuple[dict[str, Any], Picture | None]]:
        """Every image part with what can be seen of it."""
        parts = self.sure.parts
        return [(part, look(url_of(part))) for part in parts if part.get("type") in ("image_url", "input_image")]

    @property
    def kinds(self) -> set[Any]:
        """The types of all parts."""
        return {part.get("type") for part in self.sure.parts}

    @property
    def functions(self) -> list[dict[str, Any]]:
        """The tools offered."""
        return self.sure.tools


Verdict = str | bool | None


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
    for row in _BY_DIALECT[case.dialect.name, early]:
        problem = row.problem(case)
        if problem is not None:
            return row, problem
    return None


# What rows ask.


def _token(case: Case) -> str | None:
    scheme, _, token = case.headers.get("authorization", "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def _no_key(case: Case) -> bool:
    required = case.dialect.key == "required" or (case.dialect.key == "optional" and case.api_key is not None)
    return required and _token(case) is None


def _wrong_key(case: Case) -> bool:
    return case.dialect.key != "ignored" and case.api_key is not None and _token(case) != case.api_key


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _outside(name: str, holds: Callable[[float], bool]) -> Callable[[Case], bool]:
    """The field is a number, and *holds* is not true of it."""

    def when(case: Case) -> bool:
        value = case.body.get(name)
        return _number(value) and not holds(value)

    return when


TYPES: dict[str, tuple[type, ...]] = {
    "messages": (list,),
    "stream": (bool,),
    "temperature": (int, float),
    "top_p": (int, float),
    "max_tokens": (int,),
    "seed": (int,),
    "presence_penalty": (int, float),
    "frequency_penalty": (int, float),
    "stop": (str, list),
    "tools": (list,),
    "response_format": (dict,),
    "reasoning": (dict,),
    "chat_template_kwargs": (dict,),
    "structured_outputs": (dict,),
    "stream_options": (dict,),
    "provider": (dict,),
    "plugins": (list,),
    "enable_thinking": (bool,),
    "thinking_budget": (int,),
}
ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})


def _malformed(case: Case) -> str | None:
    """A field of the wrong type; null passes for left out."""
    for name, types in TYPES.items():
        value = case.body.get(name)
        if value is None or (case.dialect.name == MLX and name == "reasoning"):
            continue
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            return f"{name}: Input should be a valid {types[-1].__name__}"
    for place, message in enumerate(case.body.get("messages") or []):
        if not isinstance(message, dict) or message.get("role") not in ROLES:
            return f"messages[{place}]: Input should be a message with a known role"
        content = message.get("content")
        if not isinstance(content, str | list | None):
            return f"messages[{place}].content: Input should be a string or a list of parts"
        if isinstance(content, list) and not all(isinstance(part, dict) and "type" in part for part in content):
            return f"messages[{place}].content: each part needs a type"
    return None


def _no_messages(case: Case) -> bool:
    return not case.body.get("messages")


def _unknown_model(case: Case) -> str | None:
    name = case.sent.get("model")
    if case.dialect.model(name) is not None:
        return None
    return {
        OPENROUTER: f"No endpoints found for {name}.",
        DASHSCOPE: f"The model `{name}` does not exist or you do not have access to it.",
        VLLM: f"The model `{name}` does not exist.",
        OLLAMA: f'model "{name}" not found, try pulling it first',
    }.get(case.dialect.name, f"{name} not found")


def _foreign_id(case: Case) -> bool:
    """The id of the same model somewhere else: another case, a maker before a slash."""
    name = case.sent.get("model")
    return isinstance(name, str) and case.dialect.model(name) is None and ("/" in name or name != name.lower())


def _overflow(says: Callable[[int, int], str]) -> Callable[[Case], Verdict]:
    """More input than the model takes: *says* is given (tokens, limit)."""

    def when(case: Case) -> Verdict:
        asked = case.sure
        limit = asked.model.input_limit(asked.thinking)
        return says(asked.counts.prompt, limit) if asked.counts.prompt > limit else None

    return when


def _long_output(case: Case) -> Verdict:
    asked = case.sure
    wanted = asked.body.get("max_completion_tokens") or asked.body.get("max_tokens") or 0
    if not _number(wanted) or asked.counts.prompt + wanted <= asked.model.window or wanted <= 1:
        return None
    window = asked.model.window
    if case.dialect.name == SGLANG:
        return (
            f"Requested token count exceeds the model's maximum context length of {window} tokens. You requested a total of "
            f"{asked.counts.prompt + wanted} tokens: {asked.counts.prompt} tokens from the input messages and {wanted} tokens for the completion."
        )
    return (
        f"'max_tokens' or 'max_completion_tokens' is too large: {wanted}. This model's maximum context length is {window} "
        f"tokens and your request has {asked.counts.prompt} input tokens."
    )


def _system_later(case: Case) -> bool:
    return any(message.get("role") == "system" for message in case.sure.messages[1:])


def _prompt_lacks_json(case: Case) -> bool:
    format_ = case.body.get("response_format") or {}
    texts = " ".join(text_of(message) for message in case.sure.messages)
    return format_.get("type") == "json_object" and "json" not in texts.lower()


TOOL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def _bad_tool_name(case: Case) -> Verdict:
    bad = next((tool.get("name") for tool in case.functions if not TOOL_NAME.fullmatch(str(tool.get("name")))), None)
    return None if bad is None else f"tools.function.name {bad!r} should match ^[a-zA-Z0-9_-]{{1,64}}$"


def _unanswered_call(case: Case) -> bool:
    waiting: set[Any] = set()
    for message in case.sure.messages:
        if message.get("role") == "tool":
            waiting.discard(message.get("tool_call_id"))
        elif waiting:
            return True
        else:
            waiting = {call.get("id") for call in message.get("tool_calls") or [] if isinstance(call, dict)}
    return bool(waiting)


def _repeated_calls(case: Case) -> bool:
    """The same call three times in a row."""
    made = [
        json.dumps([call.get("function") for call in message["tool_calls"] if isinstance(call, dict)], sort_keys=True)
        for message in case.sure.messages
        if message.get("tool_calls")
    ]
    return any(one == two == three for one, two, three in zip(made, made[1:], made[2:], strict=False))


def _tool_content(case: Case) -> bool:
    return any(m.get("role") == "tool" and not isinstance(m.get("content"), str) for m in case.sure.messages)


def _picture(wrong: Callable[[Picture], bool]) -> Callable[[Case], bool]:
    return lambda case: any(picture is not None and wrong(picture) for _, picture in case.pictures)


def _unreadable_picture(case: Case) -> bool:
    return any(picture is None for _, picture in case.pictures)


def _format_not_in(*formats: str) -> Callable[[Case], Verdict]:
    def when(case: Case) -> Verdict:
        found = [p.format for _, p in case.pictures if p is not None and not p.by_url and p.format not in formats]
        return f"image: the format {found[0]} is not supported" if found else None

    return when


def _too_many_pictures(case: Case) -> bool:
    seen = [picture for _, picture in case.pictures if picture is not None]
    return sum(p.by_url for p in seen) > 256 or sum(not p.by_url for p in seen) > 250


def _frames(case: Case) -> bool:
    lists = [part["video"] for part in case.sure.parts if isinstance(part.get("video"), list)]
    return any(not 4 <= len(frames) <= 8000 for frames in lists)


def _fps(case: Case) -> bool:
    return any(_number(part.get("fps")) and not 0.1 <= part["fps"] <= 10 for part in case.sure.parts)


def _videos(case: Case) -> list[dict[str, Any]]:
    return [part for part in case.sure.parts if part.get("type") in ("video", "video_url", "input_video")]


def _part_of(*kinds: str) -> Callable[[Case], Verdict]:
    def when(case: Case) -> Verdict:
        found = sorted(case.kinds & set(kinds))
        return f"Unknown part type: {found[0]}" if found else None

    return when


def _sent(*names: str) -> Callable[[Case], Verdict]:
    """A field is there and not null."""

    def when(case: Case) -> Verdict:
        found = next((name for name in names if case.body.get(name) is not None), None)
        return None if found is None else f"{found} is not allowed: the server was not started to trust it."

    return when


def _null(*names: str) -> Callable[[Case], Verdict]:
    """A field is there and null."""

    def when(case: Case) -> Verdict:
        found = next((name for name in names if name in case.body and case.body[name] is None), None)
        return None if found is None else f"{found}: Input should not be null"

    return when


def _bad_grammar(case: Case) -> Verdict:
    grammar = case.body.get("grammar")
    if not grammar:
        return None
    try:
        fit_grammar(str(grammar), case.sure.random("grammar"))
    except ValueError:
        return "Failed to parse grammar"
    return None


PROVIDER_FIELDS = frozenset(
    """order only ignore allow_fallbacks require_parameters data_collection zdr quantizations sort max_price
    preferred_min_throughput preferred_max_latency enforce_distillable_text""".split()
)
PLUGINS = frozenset(
    "web web-fetch file-parser response-healing context-compression auto-router moderation fusion".split()
)
EFFORTS = frozenset({"max", "xhigh", "high", "medium", "low", "minimal", "none"})


def _unknown_provider_field(case: Case) -> Verdict:
    extra = sorted(set(case.body.get("provider") or {}) - PROVIDER_FIELDS)
    return f"provider: Unrecognized key(s) in object: {', '.join(extra)}" if extra else None


def _unknown_plugin(case: Case) -> Verdict:
    found = [plugin.get("id") for plugin in case.body.get("plugins") or [] if isinstance(plugin, dict)]
    bad = [name for name in found if name not in PLUGINS]
    return f"plugins: Invalid plugin id: {bad[0]}" if bad else None


def _unlisted_parameters(case: Case) -> bool:
    if not (case.body.get("provider") or {}).get("require_parameters"):
        return False
    known = case.sure.model.parameters | case.dialect.tree(case.body).keys() | {"stream_options", "usage"}
    return bool(set(case.sent) - known)


def _effort_and_budget(case: Case) -> bool:
    reasoning = case.body.get("reasoning") or {}
    return reasoning.get("effort") is not None and reasoning.get("max_tokens") is not None


def _several_constraints(case: Case) -> bool:
    wanted = case.body.get("structured_outputs") or {}
    return sum(wanted.get(kind) is not None for kind in ("json", "regex", "choice", "grammar", "json_object")) > 1


def _auto_without_parser(case: Case) -> bool:
    return bool(case.body.get("tools")) and case.body.get("tool_choice", "auto") == "auto" and not case.options.tool_parser


def _remote_picture(case: Case) -> bool:
    return any(not url_of(part).startswith("data:") for part, _ in case.pictures)


# Examples.

DOT = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
GIF = "data:image/gif;base64,R0lGODlhQABAAIAAAP///wAAACwAAAAAQABAAAAC"
WEBP = "data:image/webp;base64,UklGRiIAAABXRUJQVlA4IBYAAAAwAQCdASpAAEAADsD+JaQAA3AAAAAA"


def _user(*parts: dict[str, Any], text: str = "Look.") -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"type": "text", "text": text}, *parts]}]}


def _image(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def _tool(name: str = "look_up", **more: Any) -> dict[str, Any]:
    function = {"name": name, "description": "Looks a word up.", "parameters": {"type": "object", "properties": {}}}
    return {"type": "function", "function": {**function, **more}}


def _called(identity: str, answered: bool = True) -> list[dict[str, Any]]:
    call = {"id": identity, "type": "function", "function": {"name": "look_up", "arguments": "{}"}}
    asked = {"role": "assistant", "content": "", "tool_calls": [call]}
    return [asked, {"role": "tool", "tool_call_id": identity, "content": "found"}] if answered else [asked]


def _png(width: int, height: int) -> str:
    import base64

    head = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + width.to_bytes(4, "big") + height.to_bytes(4, "big")
    return "data:image/png;base64," + base64.b64encode(head + b"\x08\x02\x00\x00\x00").decode()


USER = {"role": "user", "content": "Hello"}
LONG = {"messages": [{"role": "user", "content": "word " * 3_400_000}]}
"""4.25 million tokens by the rule of four characters: more than any window."""
NESTED_KEY = {"type": "function", "function": {"name": "look_up"}}

_ROWS: tuple[Refusal, ...] = (
    # The key.
    Refusal("no key", (OPENROUTER,), "§10.2", 401, _no_key, "No auth credentials found", "authentication", headers={"authorization": None}, early=True),
    Refusal("no key", (DASHSCOPE,), "§10.1", 401, _no_key, "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth.", "invalid_api_key", headers={"authorization": None}, early=True),
    Refusal("no key", (VLLM, SGLANG, LLAMA), "§15", 401, _no_key, "Invalid API Key", "invalid_api_key", "authentication_error", headers={"authorization": None}, early=True),
    Refusal("no key", (MLX,), "§10.1", 401, _no_key, "Invalid API key", headers={"authorization": None}, early=True),
    Refusal("wrong key", (OPENROUTER,), "§10.2", 401, _wrong_key, "User not found.", "authentication", headers={"authorization": "Bearer sk-other"}, early=True),
    Refusal("wrong key or region", (DASHSCOPE,), "§1", 401, _wrong_key, "Incorrect API key provided. For details, see: https://help.aliyun.com/zh/model-studio/error-code#apikey-error", "invalid_api_key", headers={"authorization": "Bearer sk-of-another-region"}, early=True),
    Refusal("wrong key", (VLLM, SGLANG, LLAMA), "§10.1", 401, _wrong_key, "Invalid API Key", "invalid_api_key", "authentication_error", headers={"authorization": "Bearer sk-other"}, early=True),
    Refusal("wrong key", (MLX,), "§10.1", 401, _wrong_key, "Invalid API key", headers={"authorization": "Bearer sk-other"}, early=True),
    Refusal("no credit", (OPENROUTER,), "§10.2", 402, lambda c: c.options.credits is not None and c.options.credits <= 0, "Insufficient credits. Add more using https://openrouter.ai/settings/credits", "payment_required", options={"credits": 0.0}, early=True),
    # The form.
    Refusal("body is no object", (OPENROUTER, DASHSCOPE, VLLM, SGLANG, LLAMA, OLLAMA, LMSTUDIO), "§10.1", 400, lambda c: not isinstance(c.sent, dict), "The body is not a JSON object.", patch={"": "[]"}, early=True),
    Refusal("body is no object", (MLX,), "§10.1", 422, lambda c: not isinstance(c.sent, dict), "JSON decode error", "json_invalid", patch={"": "[]"}, early=True),
    Refusal("null", (MLX,), "§15", 422, _null("max_tokens", "temperature", "seed"), code="int_type", param="max_tokens", patch={"max_tokens": None}, early=True),
    Refusal("null", (OPENROUTER,), "§15", 400, _null("tools", "tool_choice"), code="invalid_request", patch={"tools": None}, early=True),
    Refusal("no messages", (OPENROUTER, DASHSCOPE, VLLM, SGLANG, LLAMA, OLLAMA, LMSTUDIO), "§10.1", 400, _no_messages, "'messages' is a required property", param="messages", patch={"messages": []}, early=True),
    Refusal("no messages", (MLX,), "§10.1", 422, _no_messages, "Field required", "missing", param="messages", patch={"messages": LEFT_OUT}, early=True),
    Refusal("wrong type", (OPENROUTER, DASHSCOPE, VLLM, SGLANG, LLAMA, OLLAMA, LMSTUDIO), "§10.1", 400, _malformed, patch={"temperature": "warm"}, early=True),
    Refusal("wrong type", (MLX,), "§10.1", 422, _malformed, code="float_parsing", param="temperature", patch={"temperature": "warm"}, early=True),
    # The model.
    Refusal("id of another place", (DASHSCOPE,), "§2.1", 400, _foreign_id, "Model not exist.", param="model", patch={"model": "Qwen/Qwen3.5-27B"}, early=True),
    Refusal("unknown model", (DASHSCOPE,), "§10.2", 404, _unknown_model, code="model_not_found", param="model", patch={"model": "qwen3.5-9b"}, early=True),
    Refusal("unknown model", (OPENROUTER,), "§10.2", 404, _unknown_model, code="not_found", extra={"availability": "no_endpoints"}, patch={"model": "qwen/qwen3.5-plus"}, early=True),
    Refusal("unknown model", (VLLM,), "§12", 404, _unknown_model, param="model", patch={"model": "qwen3.5-plus"}, early=True),
    Refusal("unknown model", (OLLAMA,), "§10.1", 404, _unknown_model, param="model", patch={"model": "qwen3.5:nope"}, early=True),
    # The window.
    Refusal("overflow", (OPENROUTER,), "§10.2", 400, _overflow(lambda n, most: f"This endpoint's maximum context length is {most} tokens. However, you requested about {n} tokens."), code="context_length_exceeded", patch=LONG),
    Refusal("overflow", (DASHSCOPE,), "§10.2", 400, _overflow(lambda n, most: f"Range of input length should be [1, {most}]"), patch=LONG),
    Refusal("overflow", (VLLM,), "§10.2", 400, _overflow(lambda n, most: f"This model's maximum context length is {most} tokens. However, your prompt contains {n} input tokens, which exceeds this limit. Please reduce the length of the input."), param="input_tokens", patch=LONG),
    Refusal("overflow", (SGLANG,), "§10.2", 400, _overflow(lambda n, most: f"The input ({n} tokens) is longer than the model's context length ({most} tokens)."), patch=LONG),
    Refusal("overflow", (LLAMA,), "§10.1", 400, _overflow(lambda n, most: f"the request exceeds the available context size ({most} tokens), try increasing it"), kind="exceed_context_size_error", extra={"n_prompt_tokens": lambda c: c.sure.counts.prompt, "n_ctx": lambda c: c.sure.model.window}, patch=LONG),
    Refusal("output overflow", (VLLM, SGLANG), "§10.2", 400, _long_output, param="max_tokens", patch={"max_tokens": 262_144}),
    Refusal("max_tokens range", (DASHSCOPE,), "§2.1", 400, lambda c: _number(c.body.get("max_tokens")) and not 1 <= c.body["max_tokens"] <= c.sure.model.max_output, "Range of max_tokens should be [1, 65536]", patch={"max_tokens": 100_000}),
    # Sampling.
    Refusal("temperature range", (DASHSCOPE,), "§5.3", 400, _outside("temperature", lambda v: 0 <= v < 2), "'temperature' must be Float, in [0.0, 2.0)", patch={"temperature": 2.0}),
    Refusal("top_p range", (DASHSCOPE,), "§5.3", 400, _outside("top_p", lambda v: 0 < v <= 1), "Range of top_p should be (0.0, 1.0]", patch={"top_p": 0.0}),
    Refusal("top_k range", (DASHSCOPE,), "§5.3", 400, _outside("top_k", lambda v: v >= 0), "Parameter top_k be greater than or equal to 0", patch={"top_k": -1}),
    Refusal("presence_penalty range", (DASHSCOPE,), "§5.3", 400, _outside("presence_penalty", lambda v: -2 <= v <= 2), "'presence_penalty' should be in [-2.0, 2.0]", patch={"presence_penalty": 2.5}),
    Refusal("repetition_penalty range", (DASHSCOPE,), "§5.3", 400, _outside("repetition_penalty", lambda v: v > 0), "Repetition_penalty should be greater than 0.0", patch={"repetition_penalty": 0}),
    Refusal("n", (DASHSCOPE,), "§5.3", 400, _outside("n", lambda v: v == 1), "The value of n should be 1 for this model.", patch={"n": 2}),
    Refusal("top_logprobs range", (DASHSCOPE,), "§5.3", 400, lambda c: _number(c.sent.get("top_logprobs")) and not 0 <= c.sent["top_logprobs"] <= 5, "Range of top_logprobs should be [0, 5]", patch={"logprobs": True, "top_logprobs": 6}),
    Refusal("top_logprobs range", (OPENROUTER,), "§5.2", 400, lambda c: _number(c.sent.get("top_logprobs")) and not 0 <= c.sent["top_logprobs"] <= 20, "top_logprobs: Number must be between 0 and 20", "invalid_request", patch={"logprobs": True, "top_logprobs": 21}),
    Refusal("stop strings", (VLLM,), "§15", 400, lambda c: isinstance(c.body.get("stop"), list) and len(c.body["stop"]) > 4, "stop: List should have at most 4 items", param="stop", patch={"stop": ["a", "b", "c", "d", "e"]}),
    Refusal("max_tokens zero", (VLLM,), "§15", 400, lambda c: c.body.get("max_tokens") == 0 or c.body.get("max_completion_tokens") == 0, "max_tokens must be at least 1, got 0.", param="max_tokens", patch={"max_tokens": 0}),
    Refusal("stream_options without stream", (VLLM,), "§15", 400, lambda c: bool(c.body.get("stream_options")) and not c.body.get("stream"), "Stream options can only be defined when `stream=True`.", param="stream_options", patch={"stream": LEFT_OUT, "stream_options": {"include_usage": True}}),
    Refusal("untrusted field", (VLLM,), "§15", 400, lambda c: None if c.options.trust_request else _sent("mm_processor_kwargs", "media_io_kwargs", "chat_template")(c), patch={"chat_template": "{{ messages }}"}),
    Refusal("untrusted processor", (VLLM,), "§15", 400, lambda c: None if c.options.trust_request else _sent("mm_processor_kwargs")(c), patch={"mm_processor_kwargs": {"fps": 2}}),
    Refusal("several constraints", (VLLM,), "§8", 400, _several_constraints, "You can only use one kind of structured outputs constraint ('json', 'regex', 'choice', 'grammar', …).", patch={"structured_outputs": {"choice": ["a", "b"], "regex": "a"}}),
    # Thinking.
    Refusal("thinking_budget range", (DASHSCOPE,), "§4", 400, _outside("thinking_budget", lambda v: 1 <= v <= 81_920), "The thinking_budget parameter must be a positive integer and not greater than 81920", patch={"enable_thinking": True, "thinking_budget": 81_921}),
    Refusal("thinking without stream", (DASHSCOPE,), "§4", 400, lambda c: c.options.refuse_plain_thinking and c.sure.thinking and not c.sure.stream and not c.sure.model.commercial, "parameter.enable_thinking must be set to false for non-streaming calls", patch={"model": "qwen3.5-27b", "enable_thinking": True, "stream": LEFT_OUT}, options={"refuse_plain_thinking": True}),
    Refusal("effort and budget", (OPENROUTER,), "§4", 400, _effort_and_budget, 'Only one of "reasoning.effort" and "reasoning.max_tokens" can be specified', "invalid_request", patch={"reasoning": {"effort": "high", "max_tokens": 100}}),
    Refusal("effort", (OPENROUTER,), "§4", 400, lambda c: (c.body.get("reasoning") or {}).get("effort") not in EFFORTS | {None}, "reasoning.effort: Invalid option", "invalid_request", patch={"reasoning": {"effort": "enormous"}}),
    Refusal("effort", (OLLAMA,), "§4", 400, lambda c: (c.body.get("reasoning_effort") or (c.body.get("reasoning") or {}).get("effort")) not in {None, "none", "low", "medium", "high", "xhigh", "ultra", "max"}, 'invalid reasoning value (must be "high", "medium", "low", "max", or "none")', patch={"reasoning_effort": "enormous"}),
    Refusal("thinking_token_budget range", (VLLM,), "§4", 400, _outside("thinking_token_budget", lambda v: v >= -1), "thinking_token_budget must be -1 or at least 0", patch={"thinking_token_budget": -2}),
    # Structure and tools.
    Refusal("json_schema", (DASHSCOPE,), "§8", 400, lambda c: (c.body.get("response_format") or {}).get("type") == "json_schema", "'response_format.type' 'json_schema' is not supported by this model; use 'json_object'.", patch={"enable_thinking": False, "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}}),
    Refusal("json while thinking", (DASHSCOPE,), "§8", 400, lambda c: c.sure.thinking and (c.body.get("response_format") or {}).get("type") == "json_object", "Json mode response is not supported when enable_thinking is true", patch={"enable_thinking": True, "response_format": {"type": "json_object"}, "messages": [{"role": "user", "content": "As json."}]}),
    Refusal("no word json", (DASHSCOPE,), "§8", 400, _prompt_lacks_json, "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.", patch={"enable_thinking": False, "response_format": {"type": "json_object"}}),
    Refusal("tool_choice required", (DASHSCOPE,), "§8", 400, lambda c: c.body.get("tool_choice") == "required", "The tool_choice parameter does not support being set to required.", patch={"enable_thinking": False, "tools": [_tool()], "tool_choice": "required"}),
    Refusal("named tool while thinking", (DASHSCOPE,), "§8", 400, lambda c: isinstance(c.body.get("tool_choice"), dict) and c.sure.thinking, "The tool_choice parameter does not support being set to required or object in thinking mode", patch={"enable_thinking": True, "tools": [_tool()], "tool_choice": NESTED_KEY}),
    Refusal("tool name", (DASHSCOPE,), "§8", 400, _bad_tool_name, patch={"tools": [_tool("look up")]}),
    Refusal("tool named search", (DASHSCOPE,), "§8", 400, lambda c: any(tool.get("name") == "search" for tool in c.functions), "Tool names are not allowed to be [search]", patch={"tools": [_tool("search")]}),
    Refusal("tool without description", (DASHSCOPE,), "§8", 400, lambda c: any(not tool.get("description") for tool in c.functions), "tools.function.description is required", patch={"tools": [_tool(description="")]}),
    Refusal("tool content", (DASHSCOPE,), "§8", 400, _tool_content, "The content of a tool message should be a string", patch={"messages": [USER, *_called("a")[:1], {"role": "tool", "tool_call_id": "a", "content": [{"type": "text", "text": "x"}]}]}),
    Refusal("unanswered call", (DASHSCOPE,), "§8", 400, _unanswered_call, 'An assistant message with "tool_calls" must be followed by tool messages responding to each "tool_call_id".', patch={"messages": [USER, *_called("a", answered=False), USER]}),
    Refusal("repeated calls", (DASHSCOPE,), "§8", 400, _repeated_calls, "Repetitive tool calls detected", patch={"messages": [USER, *_called("a"), *_called("b"), *_called("c")]}),
    Refusal("code interpreter", (DASHSCOPE,), "§8", 400, lambda c: bool(c.body.get("enable_code_interpreter")) and not (c.sure.stream and c.sure.thinking), "enable_code_interpreter needs stream and enable_thinking", patch={"enable_code_interpreter": True, "enable_thinking": False}),
    Refusal("search strategy", (DASHSCOPE,), "§8", 400, lambda c: (c.body.get("search_options") or {}).get("search_strategy") not in (None, "turbo", "max", "agent"), "search_options.search_strategy should be one of turbo, max, agent", patch={"enable_search": True, "search_options": {"search_strategy": "deep"}}),
    Refusal("no tools", (VLLM,), "§15", 400, lambda c: c.body.get("tools") == [], "tools must not be an empty array. Either provide at least one tool or omit the field.", param="tools", patch={"tools": []}),
    Refusal("auto without parser", (VLLM,), "§8", 400, _auto_without_parser, '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set', patch={"tools": [_tool()]}, options={"tool_parser": False}),
    Refusal("grammar", (LLAMA,), "§8", 400, _bad_grammar, patch={"grammar": "this is no grammar"}),
    Refusal("system message later", (VLLM, SGLANG, LLAMA), "§4", 400, _system_later, "System message must be at the beginning.", patch={"messages": [USER, {"role": "system", "content": "Late."}]}),
    # Routing.
    Refusal("provider field", (OPENROUTER,), "§15", 400, _unknown_provider_field, code="invalid_request", patch={"provider": {"colour": "red"}}),
    Refusal("plugin", (OPENROUTER,), "§9", 400, _unknown_plugin, code="invalid_request", patch={"plugins": [{"id": "telepathy"}]}),
    Refusal("unlisted parameter required", (OPENROUTER,), "§5.2", 404, _unlisted_parameters, "No endpoints found that can handle the requested parameters.", "not_found", extra={"availability": "constraint_filtered"}, patch={"stop": ["x"], "provider": {"require_parameters": True}}),
    # Pictures, films, files.
    Refusal("unreadable picture", (OPENROUTER, DASHSCOPE, VLLM, SGLANG, LLAMA, OLLAMA), "§10.2", 400, lambda c: False if c.dialect.name == OLLAMA and _remote_picture(c) else _unreadable_picture(c), "The image can't be read: invalid or unsupported data.", "image_parse_error", patch=_user(_image("data:image/png;base64,AAAA"))),
    Refusal("picture format", (OPENROUTER,), "§7", 400, _format_not_in("png", "jpeg", "webp", "gif"), code="image_format", patch=_user(_image("data:image/bmp;base64,Qk02AAAAAAAAADYAAAAoAAAAQAAAAEAAAAABABgA"))),
    Refusal("picture format", (DASHSCOPE,), "§7", 400, _format_not_in("bmp", "jpeg", "png", "tiff", "webp"), patch=_user(_image(GIF))),
    Refusal("picture format", (LLAMA,), "§7", 400, _format_not_in("png", "jpeg", "bmp", "gif"), patch=_user(_image(WEBP))),
    Refusal("picture format", (OLLAMA,), "§7", 400, _format_not_in("png", "jpeg", "webp"), patch=_user(_image(GIF))),
    Refusal("picture too small", (DASHSCOPE,), "§7", 400, _picture(lambda p: p.width <= 10 or p.height <= 10), "The image length and width do not meet the model restrictions. [height:1 or width:1 must be larger than 10]", patch=_user(_image(DOT))),
    Refusal("picture too narrow", (DASHSCOPE,), "§7", 400, _picture(lambda p: max(p.width, p.height) > 200 * min(p.width, p.height)), "absolute aspect ratio must be smaller than 200", patch=_user(_image(_png(11, 4000)))),
    Refusal("picture too heavy", (DASHSCOPE,), "§7", 400, _picture(lambda p: p.encoded > 10 * 1024 * 1024), "Exceeded limit on max bytes per data-uri item : 10485760", patch=_user(_image(_png(64, 64) + "A" * (10 * 1024 * 1024)))),
    Refusal("too many pictures", (DASHSCOPE,), "§7", 400, _too_many_pictures, "The number of images exceeds the limit", patch=_user(*[_image(_png(64, 64))] * 251)),
    Refusal("frame list", (DASHSCOPE,), "§7", 400, _frames, "Range of sequence images shoule be (4, 8000)", patch=_user({"type": "video", "video": [_png(64, 64)] * 3})),
    Refusal("fps", (DASHSCOPE,), "§7", 400, _fps, "fps should be in [0.1, 10]", patch=_user({"type": "video_url", "video_url": {"url": "https://example.org/a.mp4"}, "fps": 30})),
    Refusal("too many films", (DASHSCOPE,), "§7", 400, lambda c: len(_videos(c)) > 64, "The number of videos exceeds the limit", patch=_user(*[{"type": "video_url", "video_url": {"url": "https://example.org/a.mp4"}}] * 65)),
    Refusal("film too heavy", (DASHSCOPE,), "§7", 400, lambda c: any(url_of(p).startswith("data:") and len(url_of(p)) > 10 * 1024 * 1024 for p in _videos(c)), "Exceeded limit on max bytes per data-uri item : 10485760", patch=_user({"type": "video_url", "video_url": {"url": "data:video/mp4;base64," + "A" * (10 * 1024 * 1024 + 1)}})),
    Refusal("file part", (DASHSCOPE,), "§7", 400, _part_of("file", "input_file", "input_video"), patch=_user({"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"}})),
    Refusal("part type", (VLLM,), "§15", 400, _part_of("video", "file", "input_video"), patch=_user({"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"}})),
    Refusal("part type", (LLAMA,), "§7", 400, _part_of("video_url", "video", "file"), patch=_user({"type": "video_url", "video_url": {"url": "https://example.org/a.mp4"}})),
    Refusal("remote picture", (OLLAMA,), "§7", 400, _remote_picture, "image URLs are not currently supported, please use base64 encoded data instead", patch=_user(_image("https://example.org/a.png"))),
    Refusal("part type", (OLLAMA,), "§7", 400, lambda c: bool(c.kinds - {"text", "image_url", None}), "invalid message format", patch=_user({"type": "video_url", "video_url": {"url": "https://example.org/a.mp4"}})),
)  # fmt: skip

REFUSALS: tuple[Refusal, ...] = _ROWS
_BY_DIALECT = {
    (name, early): tuple(row for row in _ROWS if name in row.dialects and row.early is early)
    for name in ALL
    for early in (True, False)
}
