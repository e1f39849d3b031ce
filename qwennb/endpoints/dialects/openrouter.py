"""OpenRouter: reasoning as a map, its blocks given back unmodified, the cost in every reply."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from qwennb.catalog import Abilities
from qwennb.endpoints.dialects.dialect import Dialect, Wire
from qwennb.endpoints.media import MediaLimits
from qwennb.endpoints.reading import mapping
from qwennb.request import Message, Request


class OpenRouter(Dialect):
    """https://openrouter.ai/docs"""

    kind = "openrouter"
    reasoning_field = "reasoning"
    streams_usage_unasked = True

    def __init__(self, attribution: Mapping[str, str] | None = None) -> None:
        self._attribution = dict(attribution or {})

    def headers(self, request: Request) -> dict[str, str]:
        """The attribution headers, when the user set them."""
        return self._attribution

    def write(self, request: Request, model_id: str, abilities: Abilities, *, stream: bool) -> Wire:
        """Plugins of the user's own stand beside the one that searches, or in its place."""
        wire = super().write(request, model_id, abilities, stream=stream)
        own = wire.body.get("plugins")
        if (
            request.settings.search
            and isinstance(own, list)
            and not any(mapping(p).get("id") == "web" for p in own)
        ):
            wire.body["plugins"] = [*self.search(request)["plugins"], *own]
        return wire

    def thinking(self, request: Request, abilities: Abilities) -> dict[str, Any]:
        """One map: a switch, an effort, or a budget; the last two exclude each other."""
        thinking = request.settings.thinking
        if thinking is None:
            return {}
        if isinstance(thinking, bool):
            return {"reasoning": {"enabled": thinking}}
        return {"reasoning": {"effort": thinking} if isinstance(thinking, str) else {"max_tokens": thinking}}

    def message(self, message: Message, limits: MediaLimits | None, *, in_turn: bool) -> dict[str, Any]:
        """Reasoning blocks go back as they came; without blocks, the text of the thought."""
        made = super().message(message, limits, in_turn=in_turn)
        if message.role == "assistant" and in_turn and message.reasoning_blocks:
            made.pop("reasoning", None)
            made["reasoning_details"] = orjson.loads(message.reasoning_blocks)
        return made

    def search(self, request: Request) -> dict[str, Any]:
        """Search is a plugin here."""
        return {"plugins": [{"id": "web"}]} if request.settings.search else {}
