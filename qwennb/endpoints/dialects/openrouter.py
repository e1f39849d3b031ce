"""OpenRouter: reasoning as a map, its blocks given back unmodified, the cost in every reply."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qwennb.catalog import Abilities
from qwennb.endpoints.dialects.dialect import Dialect
from qwennb.endpoints.reading import mapping
from qwennb.request import Request, Settings


class OpenRouter(Dialect):
    """https://openrouter.ai/docs"""

    kind = "openrouter"
    tells_likelihoods = True
    reasoning_field = "reasoning"
    blocks_field = "reasoning_details"
    streams_usage_unasked = True

    def __init__(self, attribution: Mapping[str, str] | None = None) -> None:
        self._attribution = dict(attribution or {})

    def headers(self, request: Request) -> dict[str, str]:
        """The attribution headers, when the user set them."""
        return self._attribution

    def add_extra(self, body: dict[str, Any], settings: Settings) -> dict[str, Any]:
        """Plugins of the user's own stand beside the one that searches, or in its place."""
        made = super().add_extra(body, settings)
        own = made.get("plugins")
        if settings.search and isinstance(own, list) and not any(mapping(p).get("id") == "web" for p in own):
            made["plugins"] = [*body["plugins"], *own]
        return made

    def thinking(self, request: Request, abilities: Abilities) -> dict[str, Any]:
        """One map: a switch, an effort, or a budget; the last two exclude each other."""
        thinking = request.settings.thinking
        if thinking is None:
            return {}
        if isinstance(thinking, bool):
            return {"reasoning": {"enabled": thinking}}
        return {"reasoning": {"effort": thinking} if isinstance(thinking, str) else {"max_tokens": thinking}}

    def search(self, request: Request) -> dict[str, Any]:
        """Search is a plugin here."""
        return {"plugins": [{"id": "web"}]} if request.settings.search else {}
