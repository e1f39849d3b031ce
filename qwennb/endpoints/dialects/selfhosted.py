"""The servers that people run themselves. Each differs from the common tongue in a few words."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import orjson

from qwennb.answer import Draft
from qwennb.catalog import Abilities
from qwennb.endpoints.dialects.bare_call import bare_calls
from qwennb.endpoints.dialects.dialect import Dialect, budget_of, names_choices, say, switch_and_budget
from qwennb.request import Request


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
            return {"structured_outputs": {"choice": list(request.choices)}}
        return super().form(request, abilities, messages)


class Sglang(_Templated):
    """SGLang: choices as a regular expression."""

    kind = "sglang"
    tells_likelihoods = True

    def form(self, request: Request, abilities: Abilities, messages: list[dict[str, Any]]) -> dict[str, Any]:
        """A choice is enforced token by token."""
        if request.choices is not None:
            _say_choices(request, messages)
            return {"regex": "(" + "|".join(re.escape(choice) for choice in request.choices) + ")"}
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
            "grammar": "root ::= " + " | ".join(orjson.dumps(choice).decode() for choice in request.choices)
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


def _say_choices(request: Request, messages: list[dict[str, Any]]) -> None:
    """Say what there is to choose from, unless the system text does."""
    if request.choices is not None and not names_choices(request):
        choices = "; ".join(request.choices)
        say(messages, f"Answer with exactly one of these, and nothing else: {choices}")
