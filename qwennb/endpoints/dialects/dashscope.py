"""Alibaba DashScope (Model Studio) in its regions: a thinking switch and budget, JSON without a schema, search.

Replies are always streamed over the wire: some models refuse thinking otherwise, and a reply that is not streamed is
cut after five minutes and still comes as a 200.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from qwennb.answer import WebSource
from qwennb.catalog import Abilities
from qwennb.endpoints.call import Payload
from qwennb.endpoints.dialects.dialect import Dialect, Wire, sources_in, switch_and_budget
from qwennb.endpoints.reading import mapping, mappings
from qwennb.errors import EndpointError, KeyRefused
from qwennb.request import Request

_STREAMED: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}


class DashScope(Dialect):
    """The OpenAI-compatible mode of DashScope."""

    kind = "dashscope"

    def write(self, request: Request, model_id: str, abilities: Abilities, *, stream: bool) -> Wire:
        """Streamed unless the answer is sure to be short: thinking off and a bound on its length."""
        wire = super().write(request, model_id, abilities, stream=True)
        brief = wire.body.get("enable_thinking") is False and wire.body.get("max_tokens", 1 << 30) <= 4096
        if not stream and brief:
            wire.body.pop("stream", None)
            wire.body.pop("stream_options", None)
        return wire

    def stream_instead(self, wire: Wire) -> Wire:
        """As a stream: what is not streamed is cut after five minutes, and each time it is billed."""
        return replace(wire, body=wire.body | _STREAMED)

    def thinking(self, request: Request, abilities: Abilities) -> dict[str, Any]:
        """A switch, and a budget in tokens that stands for the levels too."""
        return switch_and_budget(request, abilities)

    def search(self, request: Request) -> dict[str, Any]:
        """Search is a switch here."""
        return {} if request.settings.search is None else {"enable_search": request.settings.search}

    def finish(self, reason: Any, payload: Payload) -> str | None:
        """An answer that the server cut off at its own time limit says so in a header only."""
        if payload.headers.get("x-dashscope-partialresponse", "").lower() == "true":
            return "aborted"
        return super().finish(reason, payload)

    def sources(self, data: Mapping[str, Any], said: Mapping[str, Any]) -> list[WebSource]:
        """Search results stand beside the choices."""
        if not data.get("search_info"):
            return []
        return sources_in(mappings(mapping(data.get("search_info")).get("search_results")))

    def refusal(self, endpoint: str, status: int, headers: Mapping[str, str], body: bytes) -> EndpointError:
        """A key of another region looks like a wrong key; the hint names the regions."""
        error = super().refusal(endpoint, status, headers, body)
        if isinstance(error, KeyRefused) and status == 401:
            others = [name for name in ("dashscope", "dashscope-intl", "dashscope-us") if name != endpoint]
            return KeyRefused(
                f'{error} Keys belong to one region: if yours is from another, give endpoint="{others[0]}" or endpoint="{others[1]}".',
                status=status,
                code=error.code,
            )
        return error
