"""A request on trial, and the questions that the rows of `refusals` ask about it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .dialects import SimulatedDialect
from .options import Options
from .parsed_request import Asked, text_of
from .pictures import Picture, look
from .spell import fit_grammar
from .tokens import url_of

OPENROUTER, DASHSCOPE, VLLM, SGLANG = "openrouter", "dashscope", "vllm", "sglang"
MLX, LLAMA, OLLAMA, LMSTUDIO = "mlx-vlm", "llama.cpp", "ollama", "lmstudio"
EVERYBODY = (OPENROUTER, DASHSCOPE, VLLM, SGLANG, MLX, LLAMA, OLLAMA, LMSTUDIO)


@dataclass(frozen=True, slots=True)
class Case:
    """A request on trial. `body` is what the server reads of it; `asked` is None until the body can be a question."""

    dialect: SimulatedDialect
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
        return [
            (part, look(url_of(part))) for part in parts if part.get("type") in ("image_url", "input_image")
        ]

    @property
    def kinds(self) -> set[Any]:
        """The types of all parts."""
        return {part.get("type") for part in self.sure.parts}

    @property
    def functions(self) -> list[dict[str, Any]]:
        """The tools offered."""
        return self.sure.tools


Verdict = str | bool | None


def token(case: Case) -> str | None:
    """The bearer token, if one came."""
    scheme, _, token = case.headers.get("authorization", "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def no_key(case: Case) -> bool:
    """A key is wanted and none came."""
    required = case.dialect.key == "required" or (case.dialect.key == "optional" and case.api_key is not None)
    return required and token(case) is None


def wrong_key(case: Case) -> bool:
    """A key came, and it is another one."""
    return case.dialect.key != "ignored" and case.api_key is not None and token(case) != case.api_key


def is_number(value: Any) -> bool:
    """A JSON number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def outside(name: str, holds: Callable[[float], bool]) -> Callable[[Case], bool]:
    """The field is a number, and *holds* is not true of it."""

    def when(case: Case) -> bool:
        value = case.body.get(name)
        return value is not None and is_number(value) and not holds(value)

    return when


NUMBER, FLAG, TEXT, COUNT, TABLE, LIST = (int, float), (bool,), (str,), (int,), (dict,), (list,)
TYPES: dict[str, tuple[type, ...]] = {
    "messages": LIST,
    "messages.tool_calls": LIST,
    "messages.tool_calls.function": TABLE,
    "messages.tool_call_id": TEXT,
    "messages.content.text": TEXT,
    "messages.content.image_url": (str, dict),
    "messages.content.image_url.url": TEXT,
    "messages.content.video_url": (str, dict),
    "messages.content.video_url.url": TEXT,
    "stream": FLAG,
    "stream_options": TABLE,
    "temperature": NUMBER,
    "top_p": NUMBER,
    "top_k": COUNT,
    "min_p": NUMBER,
    "max_tokens": COUNT,
    "max_completion_tokens": COUNT,
    "n_predict": COUNT,
    "n": COUNT,
    "seed": COUNT,
    "presence_penalty": NUMBER,
    "frequency_penalty": NUMBER,
    "repetition_penalty": NUMBER,
    "stop": (str, list),
    "logprobs": FLAG,
    "top_logprobs": COUNT,
    "tools": LIST,
    "tool_choice": (str, dict),
    "response_format": TABLE,
    "response_format.type": TEXT,
    "response_format.json_schema": TABLE,
    "response_format.json_schema.schema": TABLE,
    "structured_outputs": TABLE,
    "structured_outputs.regex": TEXT,
    "structured_outputs.grammar": TEXT,
    "structured_outputs.choice": LIST,
    "structured_outputs.json": TABLE,
    "json_schema": TABLE,
    "regex": TEXT,
    "ebnf": TEXT,
    "grammar": TEXT,
    "reasoning": TABLE,
    "reasoning.effort": TEXT,
    "reasoning.max_tokens": COUNT,
    "reasoning.enabled": FLAG,
    "reasoning_effort": TEXT,
    "thinking_token_budget": COUNT,
    "enable_thinking": FLAG,
    "thinking_budget": COUNT,
    "chat_template_kwargs": TABLE,
    "provider": TABLE,
    "plugins": LIST,
    "search_options": TABLE,
    "search_options.search_strategy": TEXT,
}
"""The types that a server checks, by dotted names as in `fields`; of what is not here, any will do."""
_ABOVE = frozenset(name.rpartition(".")[0] for name in TYPES) - {""}
ROLES = ("system", "developer", "user", "assistant", "tool")


def field_types(dialect: str, name: str) -> tuple[type, ...]:
    """The types of which a field may be; none where any will do."""
    return () if dialect == MLX and name.startswith("reasoning") else TYPES.get(name, ())


def _misfit(dialect: str, value: Mapping[str, Any], above: str = "") -> str | None:
    """A field of the wrong type, here or below; null passes for left out."""
    for name, inner in value.items():
        dotted = above + name
        types = field_types(dialect, dotted)
        if (
            types
            and inner is not None
            and (not isinstance(inner, types) or (isinstance(inner, bool) and bool not in types))
        ):
            return f"{dotted}: Input should be a valid {types[-1].__name__}"
        if dotted in _ABOVE:
            for deeper in inner if isinstance(inner, list) else [inner]:
                if isinstance(deeper, dict) and (found := _misfit(dialect, deeper, f"{dotted}.")):
                    return found
    return None


def is_malformed(case: Case) -> str | None:
    """A field of the wrong type."""
    if (found := _misfit(case.dialect.name, case.body)) is not None:
        return found
    for place, message in enumerate(case.body.get("messages") or []):
        if not isinstance(message, dict) or message.get("role") not in ROLES:
            return f"messages[{place}]: Input should be a message with a known role"
        content = message.get("content")
        if not isinstance(content, str | list | None):
            return f"messages[{place}].content: Input should be a string or a list of parts"
        if isinstance(content, list) and not all(
            isinstance(part, dict) and isinstance(part.get("type"), str) for part in content
        ):
            return f"messages[{place}].content: each part needs a type"
    return None


def no_messages(case: Case) -> bool:
    """Nothing is asked."""
    return not case.body.get("messages")


def unknown_model(case: Case) -> str | None:
    """The server has no such model."""
    name = case.sent.get("model")
    if case.dialect.model(name) is not None:
        return None
    return {
        OPENROUTER: f"No endpoints found for {name}.",
        DASHSCOPE: f"The model `{name}` does not exist or you do not have access to it.",
        VLLM: f"The model `{name}` does not exist.",
        OLLAMA: f'model "{name}" not found, try pulling it first',
    }.get(case.dialect.name, f"{name} not found")


def foreign_id(case: Case) -> bool:
    """The id of the same model somewhere else: another case, a maker before a slash."""
    name = case.sent.get("model")
    return (
        isinstance(name, str) and case.dialect.model(name) is None and ("/" in name or name != name.lower())
    )


def overflow(says: Callable[[int, int], str]) -> Callable[[Case], Verdict]:
    """More input than the model takes: *says* is given (tokens, limit)."""

    def when(case: Case) -> Verdict:
        asked = case.sure
        limit = asked.model.input_limit(asked.thinking)
        return says(asked.counts.prompt, limit) if asked.counts.prompt > limit else None

    return when


def long_output(case: Case) -> Verdict:
    """Prompt and output together are longer than the window."""
    asked = case.sure
    wanted = asked.body.get("max_completion_tokens") or asked.body.get("max_tokens") or 0
    if not is_number(wanted) or asked.counts.prompt + wanted <= asked.model.window or wanted <= 1:
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


def system_later(case: Case) -> bool:
    """A system message that is not the first."""
    return any(message.get("role") == "system" for message in case.sure.messages[1:])


def prompt_lacks_json(case: Case) -> bool:
    """JSON is wanted, and the prompt does not say so."""
    format_ = case.body.get("response_format") or {}
    texts = " ".join(text_of(message) for message in case.sure.messages)
    return format_.get("type") == "json_object" and "json" not in texts.lower()


TOOL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def bad_tool_name(case: Case) -> Verdict:
    """A tool with a name that breaks the rule."""
    bad = next(
        (tool.get("name") for tool in case.functions if not TOOL_NAME.fullmatch(str(tool.get("name")))), None
    )
    return None if bad is None else f"tools.function.name {bad!r} should match ^[a-zA-Z0-9_-]{{1,64}}$"


def has_unanswered_call(case: Case) -> bool:
    """A call of a tool that no tool message answers."""
    waiting: set[Any] = set()
    for message in case.sure.messages:
        if message.get("role") == "tool":
            waiting.discard(message.get("tool_call_id"))
        elif waiting:
            return True
        else:
            waiting = {call.get("id") for call in message.get("tool_calls") or [] if isinstance(call, dict)}
    return bool(waiting)


def broken_arguments(case: Case) -> str | None:
    """An earlier call whose arguments the server can't parse, as its chat template needs them."""
    for message in case.sure.messages:
        for call in message.get("tool_calls") or []:
            function = call.get("function") if isinstance(call, dict) else None
            text = function.get("arguments") if isinstance(function, dict) else None
            if not isinstance(text, str):
                continue
            try:
                json.loads(text)
            except ValueError as error:
                return f"Failed to parse tool call arguments as JSON: {error}"
    return None


def repeats_call(case: Case) -> bool:
    """The same call three times in a row."""
    made = [
        json.dumps(
            [call.get("function") for call in message["tool_calls"] if isinstance(call, dict)], sort_keys=True
        )
        for message in case.sure.messages
        if message.get("tool_calls")
    ]
    return any(one == two == three for one, two, three in zip(made, made[1:], made[2:], strict=False))


def tool_content(case: Case) -> bool:
    """A tool message whose content is no string."""
    return any(m.get("role") == "tool" and not isinstance(m.get("content"), str) for m in case.sure.messages)


def picture(wrong: Callable[[Picture], bool]) -> Callable[[Case], bool]:
    """*wrong* is true of one of the pictures."""
    return lambda case: any(picture is not None and wrong(picture) for _, picture in case.pictures)


def unreadable_picture(case: Case) -> bool:
    """An image part without a readable picture."""
    return any(picture is None for _, picture in case.pictures)


def format_not_in(*formats: str) -> Callable[[Case], Verdict]:
    """A picture in another format."""

    def when(case: Case) -> Verdict:
        found = [
            p.format for _, p in case.pictures if p is not None and not p.by_url and p.format not in formats
        ]
        return f"image: the format {found[0]} is not supported" if found else None

    return when


def too_many_pictures(case: Case) -> bool:
    """More pictures than one request may carry."""
    seen = [picture for _, picture in case.pictures if picture is not None]
    return sum(p.by_url for p in seen) > 256 or sum(not p.by_url for p in seen) > 250


def frames(case: Case) -> bool:
    """A list of frames too short or too long."""
    lists = [part["video"] for part in case.sure.parts if isinstance(part.get("video"), list)]
    return any(not 4 <= len(frames) <= 8000 for frames in lists)


def fps(case: Case) -> bool:
    """A frame rate out of range."""
    return any(is_number(part.get("fps")) and not 0.1 <= part["fps"] <= 10 for part in case.sure.parts)


def videos(case: Case) -> list[dict[str, Any]]:
    """All film parts."""
    return [part for part in case.sure.parts if part.get("type") in ("video", "video_url", "input_video")]


def part_of(*kinds: str) -> Callable[[Case], Verdict]:
    """A part of one of these types."""

    def when(case: Case) -> Verdict:
        found = sorted(case.kinds & set(kinds))
        return (case.dialect.name == LLAMA or f"Unknown part type: {found[0]}") if found else None

    return when


def is_sent(*names: str) -> Callable[[Case], Verdict]:
    """A field is there and not null."""

    def when(case: Case) -> Verdict:
        found = next((name for name in names if case.body.get(name) is not None), None)
        return None if found is None else f"{found} is not allowed: the server was not started to trust it."

    return when


def null(*names: str) -> Callable[[Case], Verdict]:
    """A field is there and null."""

    def when(case: Case) -> Verdict:
        found = next((name for name in names if name in case.body and case.body[name] is None), None)
        return None if found is None else f"{found}: Input should not be null"

    return when


def unreadable_constraint(case: Case) -> Verdict:
    """A grammar or a list of choices that can't be read. A pattern that Python can't read is taken on trust."""
    constraint = case.sure.constraint
    if constraint is None or (constraint.kind == "choice" and constraint.value):
        return None
    if constraint.kind == "choice":
        return "Choice must not be an empty list."
    try:
        if constraint.kind == "grammar":
            fit_grammar(constraint.value, case.sure.random("grammar"))
    except ValueError as error:
        return f"Invalid grammar: {error}"
    return None


def bad_grammar(case: Case) -> Verdict:
    """A grammar that can't be read."""
    grammar = case.body.get("grammar")
    if not grammar:
        return None
    try:
        fit_grammar(str(grammar), case.sure.random("grammar"))
    except ValueError:
        return "Failed to initialize samplers: failed to parse grammar"
    return None


PROVIDER_FIELDS = frozenset(
    [
        "order",
        "only",
        "ignore",
        "allow_fallbacks",
        "require_parameters",
        "data_collection",
        "zdr",
        "quantizations",
        "sort",
        "max_price",
        "preferred_min_throughput",
        "preferred_max_latency",
        "enforce_distillable_text",
    ]
)
PLUGINS = frozenset(
    [
        "web",
        "web-fetch",
        "file-parser",
        "response-healing",
        "context-compression",
        "auto-router",
        "moderation",
        "fusion",
    ]
)
EFFORTS = frozenset({"max", "xhigh", "high", "medium", "low", "minimal", "none"})


def unknown_provider_field(case: Case) -> Verdict:
    """A routing preference of an unknown name."""
    extra = sorted(set(case.body.get("provider") or {}) - PROVIDER_FIELDS)
    return f"provider: Unrecognized key(s) in object: {', '.join(extra)}" if extra else None


def unknown_plugin(case: Case) -> Verdict:
    """A plugin of an unknown name."""
    found = [plugin.get("id") for plugin in case.body.get("plugins") or [] if isinstance(plugin, dict)]
    bad = [name for name in found if name not in PLUGINS]
    return f"plugins: Invalid plugin id: {bad[0]}" if bad else None


def has_unlisted_parameter(case: Case) -> bool:
    """Every parameter must be supported, and one is not listed."""
    if not (case.body.get("provider") or {}).get("require_parameters"):
        return False
    known = case.sure.model.parameters | case.dialect.tree(case.body).keys() | {"stream_options", "usage"}
    return bool(set(case.sent) - known)


def effort_and_budget(case: Case) -> bool:
    """Both ways to bound a thought at once."""
    reasoning = case.body.get("reasoning") or {}
    return reasoning.get("effort") is not None and reasoning.get("max_tokens") is not None


def several_constraints(case: Case) -> bool:
    """More than one kind of constraint."""
    wanted = case.body.get("structured_outputs") or {}
    return (
        sum(wanted.get(kind) is not None for kind in ("json", "regex", "choice", "grammar", "json_object"))
        > 1
    )


def auto_without_parser(case: Case) -> bool:
    """A free choice of tools on a server without a parser for them."""
    return (
        bool(case.body.get("tools"))
        and case.body.get("tool_choice", "auto") == "auto"
        and not case.options.tool_parser
    )


def remote_picture(case: Case) -> bool:
    """A picture that is only an address."""
    return any(not url_of(part).startswith("data:") for part, _ in case.pictures)
