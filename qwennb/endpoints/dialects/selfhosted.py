"""The servers that people run themselves. Each differs from the common tongue in a few words.

Where a server's parser does not know the model's way of calling, the call arrives as the answer's text: bare JSON,
JSON in `<tool_call>` tags, or in a Markdown fence. It counts as a call only when there is nothing else in the text,
and each object names a tool that was given and nothing but its arguments (`bare_calls`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import replace
from typing import Any

import orjson

from qwennb.answer import Draft
from qwennb.catalog import Abilities
from qwennb.endpoints.dialects.dialect import Dialect, budget_of, names_choices, say, switch_and_budget
from qwennb.request import Request, ToolCall

_TAG = re.compile(r"\s*<tool_call>(.*?)(?:</tool_call>|\Z)", re.DOTALL)
_FENCE = re.compile(r"\A```(?:json)?\s*\n(.*?)\n?```\Z", re.DOTALL)
_JSON = json.JSONDecoder()


class _Templated(Dialect):
    """Servers that hand the thinking switch to the model's chat template."""

    def thinking(self, request: Request, abilities: Abilities) -> dict[str, Any]:
        """The switch goes into the template's arguments."""
        thinking = request.settings.thinking
        if thinking is None:
            return {}
        return {"chat_template_kwargs": {"enable_thinking": thinking is not False}}

    def normalise(self, draft: Draft, request: Request) -> Draft:
        """A server started without the right parser leaves tool calls in the text."""
        draft = super().normalise(draft, request)
        if not request.tools or draft.tool_calls or request.settings.tool_choice == "none":
            return draft
        calls = bare_calls(draft.text, {tool.name for tool in request.tools})
        return replace(draft, text="", tool_calls=calls, finish_reason="tool_calls") if calls else draft


class Vllm(_Templated):
    """vLLM: its own names for structured output and the thinking budget."""

    kind = "vllm"
    tells_likelihoods = True
    holds_to_choices = True
    reasoning_field = "reasoning"

    def thinking(self, request: Request, abilities: Abilities) -> dict[str, Any]:
        """The template's switch, and a budget that stands for the levels too."""
        made, thinking = super().thinking(request, abilities), request.settings.thinking
        if thinking is not None and not isinstance(thinking, bool):
            made["thinking_token_budget"] = budget_of(thinking, abilities)
        return made

    def form(self, request: Request, abilities: Abilities, messages: list[dict[str, Any]]) -> dict[str, Any]:
        """A choice is enforced token by token."""
        if request.choices is not None:
            _say_choices(request, messages)
            return {"structured_outputs": {"choice": _spellings(request.choices)}}
        return super().form(request, abilities, messages)


class Sglang(_Templated):
    """SGLang: choices as a regular expression."""

    kind = "sglang"
    tells_likelihoods = True
    holds_to_choices = True

    def form(self, request: Request, abilities: Abilities, messages: list[dict[str, Any]]) -> dict[str, Any]:
        """A choice is enforced token by token."""
        if request.choices is not None:
            _say_choices(request, messages)
            return {"regex": "(" + "|".join(map(re.escape, _spellings(request.choices))) + ")"}
        return super().form(request, abilities, messages)


class _Ggml(Dialect):
    """Servers that carry llama.cpp inside, with its own name for the repetition penalty."""

    def sampling(self, request: Request) -> dict[str, Any]:
        """They call the repetition penalty `repeat_penalty`, and ignore the other name."""
        made = super().sampling(request)
        if "repetition_penalty" in made:
            made["repeat_penalty"] = made.pop("repetition_penalty")
        return made


class LlamaCpp(_Ggml, _Templated):
    """llama.cpp's server: choices as a grammar."""

    kind = "llama.cpp"
    tells_likelihoods = True
    holds_to_choices = True

    def sampling(self, request: Request) -> dict[str, Any]:
        """A seed repeats itself only without the prompt cache: what is reused was computed in other batches."""
        made = super().sampling(request)
        return made | {"cache_prompt": False} if "seed" in made else made

    def effective_thinking(self, request: Request, abilities: Abilities) -> bool | str | int | None:
        """A grammar holds from the first token, so a choice goes without thinking unless the user asks for it."""
        if request.choices is not None and request.settings.thinking is None:
            return False
        return super().effective_thinking(request, abilities)

    def form(self, request: Request, abilities: Abilities, messages: list[dict[str, Any]]) -> dict[str, Any]:
        """A choice is enforced by a grammar, unless the model thinks first."""
        if request.choices is None:
            return super().form(request, abilities, messages)
        _say_choices(request, messages)
        if request.settings.thinking not in (None, False):
            return {}
        return {
            "grammar": "root ::= "
            + " | ".join(orjson.dumps(one).decode() for one in _spellings(request.choices))
        }


class MlxVlm(Dialect):
    """MLX-VLM: thinking is off unless switched on, at the top level of the body."""

    kind = "mlx-vlm"
    reasoning_field = "reasoning"

    def thinking(self, request: Request, abilities: Abilities) -> dict[str, Any]:
        """A switch, and a budget that stands for the levels too."""
        return switch_and_budget(request, abilities)


class Ollama(Dialect):
    """Ollama's OpenAI route. It may end a whole answer without a reason."""

    kind = "ollama"
    reasoning_field = "reasoning"
    null_finish_is_stop = True


class LmStudio(_Ggml):
    """LM Studio."""

    kind = "lmstudio"


def _spellings(choices: tuple[str, ...]) -> list[str]:
    """Give *choices* with a small and a great first letter: held to "yes", a small model that would say "Yes" says "no"."""
    return list(dict.fromkeys(one for choice in choices for one in (choice, choice[:1].upper() + choice[1:])))


def _say_choices(request: Request, messages: list[dict[str, Any]]) -> None:
    """Say what there is to choose from, unless the system text does."""
    if request.choices is not None and not names_choices(request):
        choices = "; ".join(request.choices)
        say(messages, f"Answer with exactly one of these, and nothing else: {choices}")


# ---------------------------------------------------------------------- calls that were left in the text


def bare_calls(text: str, names: Collection[str]) -> tuple[ToolCall, ...]:
    """The calls of tools called *names* that *text* is; none when it is anything else."""
    calls = [_named_call(value, names) for value in _json_values(text.strip())]
    whole = [call for call in calls if call is not None]
    if len(whole) != len(calls):
        return ()
    return tuple(
        ToolCall(f"call_{number}", name, arguments) for number, (name, arguments) in enumerate(whole)
    )


def _json_values(text: str) -> list[Any]:
    if fenced := _FENCE.match(text):
        text = fenced[1].strip()
    if text.startswith("<tool_call>"):
        if _TAG.sub("", text).strip():
            return []
        text = "\n".join(_TAG.findall(text))
    values: list[Any] = []
    at = 0
    try:
        while at < len(text):
            if text[at].isspace():
                at += 1
                continue
            value, at = _JSON.raw_decode(text, at)
            values.append(value)
    except (ValueError, RecursionError):
        return []
    return values


def _named_call(value: Any, names: Collection[str]) -> tuple[str, str] | None:
    if (
        not isinstance(value, dict)
        or set(value) != {"name", "arguments"}
        or not isinstance(value["name"], str)
    ):
        return None
    if value["name"] not in names:
        return None
    arguments = value["arguments"]
    if isinstance(arguments, str):
        try:
            arguments = orjson.loads(arguments)
        except orjson.JSONDecodeError:
            return None
    return (value["name"], orjson.dumps(arguments).decode()) if isinstance(arguments, dict) else None
