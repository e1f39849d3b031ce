"""What a request leaves open, its model or its endpoint, taken from what was recorded: in replay, and beside a pack.

A reader's own settings must not turn a pack's requests into others: once a pack is loaded, only what the notebook itself
names counts, and not the environment of whoever runs it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from qwennb.cache import Memory
from qwennb.catalog import Catalog
from qwennb.client.household import Household
from qwennb.config import Config
from qwennb.endpoints import (
    HOSTED,
    PLAIN,
    SELF_HOSTED,
    Place,
    recorded_model,
    recorded_place,
    split_endpoint,
)
from qwennb.errors import NotRecorded
from qwennb.machine import is_loopback

__all__ = ["Lookback"]


@dataclass(frozen=True, slots=True)
class Lookback:
    """What one client's requests mean by what was recorded. `names_model`: the notebook itself gave the client's model."""

    config: Config
    catalog: Catalog
    notebook: str
    names_model: bool
    names_endpoint: bool
    household: Callable[[], Household]

    @property
    def memory(self) -> Memory:
        """The answers of the client's folder, and the packs that are loaded."""
        return self.household().memory(self.config.cache_dir)

    def counts(self, mode: str) -> bool:
        """Whether what is recorded decides: in replay, and once a pack is loaded."""
        return mode == "replay" or bool(self.memory.packs)

    @property
    def endpoint(self) -> str | None:
        """The endpoint that the user named, by its kind; None where none was named, or only an address."""
        named = self.config.endpoint if self.names_endpoint or not self.memory.packs else None
        kind, url = split_endpoint(named or "")
        if url is not None and kind == PLAIN:
            return PLAIN if is_loopback(url) else urlsplit(url).hostname
        return kind or None

    @property
    def place(self) -> Place:
        """The endpoint that answered what is recorded: its abilities and prices count, and nothing is sent to it."""
        return recorded_place(self.endpoint or self._default()[1], self.catalog)

    def named(self, wanted: str | None) -> str | None:
        """The model that was named, by a request that asks for *wanted* or by its client; None where none was."""
        if wanted or self.names_model or self._recorded is None:
            return wanted or self.config.model
        return None

    def model(self, wanted: str | None) -> str:
        """The model that a request means that asks for *wanted*, or names none."""
        recorded, named = self._recorded, self.named(wanted)
        if named is None:
            return (recorded or self._default())[0]
        usual = recorded or (self.memory.default(self.notebook) if self.endpoint == "local" else None)
        name = recorded_model(named, usual[0] if usual else "", self.catalog)
        if name == named:
            return name
        self.household().settle(self.config.cache_dir)
        # A server's own id, which it does not list or lists beside another of the same model, is recorded as it was typed.
        return named if named in self.memory.models() else name

    @property
    def _recorded(self) -> tuple[str, str] | None:
        """The default of the packs that are loaded: of the endpoint that the notebook names, if they know it."""
        packs = self.memory.packs
        return packs.default_at(self._kinds()) or packs.default

    def is_elsewhere(self, key: str) -> bool:
        """Whether the request of this *key*, which names no model, is for an endpoint that no pack knows.

        What a pack answers it answers first: then nothing is looked for.
        """
        packs, kinds = self.memory.packs, self._kinds()
        return bool(packs and kinds) and packs.default_at(kinds) is None and not packs.hold([key])

    def _kinds(self) -> list[str]:
        """Which kinds of endpoint the notebook itself may mean by the one that it names; none where it names none."""
        if not self.names_endpoint or self.config.endpoint is None:
            return []
        if (named := self.endpoint) is not None:
            return [named]
        host = urlsplit(self.config.endpoint).hostname or ""
        hosted = [name for name, provider in HOSTED.items() if urlsplit(provider.base_url).hostname == host]
        return hosted or [host, *SELF_HOSTED]

    def _default(self) -> tuple[str, str]:
        """The model and the endpoint that were asked here before: nothing is probed in replay."""
        self.household().settle(self.config.cache_dir)
        if (recorded := self.memory.default(self.notebook)) is not None:
            return recorded
        raise NotRecorded(
            'Replay: no model is named and nothing was ever recorded here. Give model=, or record first with cache="on".'
        )
