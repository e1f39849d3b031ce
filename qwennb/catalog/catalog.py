"""The catalogue: one table of data (`models.toml`), read once, and the questions that can be asked of it.

A name is found in three steps. Every canonical name, alias, hub id and endpoint's own id is a key of one
index, whatever its case. What a server reports for packed weights (`Qwen3.5-9B-Q4_K_M.gguf`) is stripped to
the bare name and looked up again. And where an endpoint has no undated id, the snapshot that stands for it
takes its place, so that prices and options have one row and not two.

Endpoints are of two sorts. A hosted one serves what its rows say. A server of one's own serves whatever
was loaded: a model that is not in the catalogue is taken there, and what is typed as the server's own id
goes out as typed.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import date
from functools import cache, partial
from pathlib import Path
from typing import Any, Self, TypeVar

import msgspec

from qwennb.answer import Cost, Usage
from qwennb.catalog.abilities import Abilities, Range, Thinking
from qwennb.catalog.media import Images, Videos
from qwennb.catalog.model import EndpointSpec, Model, Price, RateQuota, plain_name
from qwennb.errors import BadInput, UnknownEndpoint, UnknownModel, nearest
from qwennb.request import SETTINGS


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One model at one endpoint. `prices` has one entry a tier, the cheapest first; empty means unknown."""

    model: Model
    endpoint: str
    id: str
    default: bool
    free: bool
    abilities: Abilities
    prices: tuple[Price, ...]
    quota: RateQuota | None


class Catalog:
    """Who can answer, for how much."""

    def __init__(self, table: Mapping[str, Any]) -> None:
        self._table = table
        self.checked: date = table["checked"]
        settings = frozenset(name for name, setting in SETTINGS.items() if setting.sent)
        self.sent = settings | frozenset(table["options"]["sent"])
        self._own = frozenset(table["options"]["own"]) | (SETTINGS.keys() - settings)
        self._models = {row["name"]: _read(row, Model) for row in table["model"]}
        self._endpoints = {row["name"]: _read(row, EndpointSpec) for row in table["endpoint"]}
        self._index = {name.lower(): model for model in self._models.values() for name in model.names}
        self._prices = _by_place(table["price"])
        self._quotas = _by_place(table["quota"])
        self._rates = {"USD": 1.0} | {row["currency"]: row["usd"] for row in table["rate"]}
        self._abilities = cache(self._find_abilities)
        self._tiers = cache(self._find_tiers)

    def __reduce__(self) -> tuple[type[Self], tuple[Mapping[str, Any]]]:
        # What was found out stays behind: functools' memory can't be pickled.
        return type(self), (self._table,)

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """A catalogue from a file of the form of `models.toml`."""
        return cls(tomllib.loads(Path(path).read_text(encoding="utf-8")))

    @classmethod
    @cache
    def load_bundled(cls) -> Self:
        """The catalogue that ships with qwennb."""
        return cls.read(Path(__file__).with_name("models.toml"))

    # Models and names

    def models(self) -> tuple[Model, ...]:
        """Every model, as listed."""
        return tuple(self._models.values())

    def find(self, name: str) -> Model | None:
        """The model that a name, an alias, an endpoint's id or a packed file's name means; `None` if none."""
        found = self._index.get(name.strip().lower())
        return found if found is not None else self._index.get(plain_name(name))

    def model(self, name: str) -> Model:
        """As `find`, but a name that means nothing is an error naming the nearest."""
        if (found := self.find(name)) is None:
            known = [n for model in self._models.values() for n in (model.name, *model.aliases)]
            hint = nearest(name.lower(), known) or f"; known are {', '.join(self._models)}."
            raise UnknownModel(f"There is no model `{name}` in the catalogue{hint}")
        return found

    def endpoint(self, name: str) -> EndpointSpec:
        """The endpoint of that name; any base URL is one of kind `openai`."""
        if (found := self._endpoints.get(name)) is not None:
            return found
        if name.startswith(("http://", "https://")):
            return EndpointSpec(name, "openai")
        hint = nearest(name, self._endpoints) or f"; known are {', '.join(self._endpoints)}, or any base URL."
        raise UnknownEndpoint(f"There is no endpoint `{name}`{hint}")

    def endpoints(self) -> tuple[EndpointSpec, ...]:
        """Every named endpoint, as listed."""
        return tuple(self._endpoints.values())

    def default_model(self, endpoint: str) -> str | None:
        """The model to ask where the user names none; `None` means whatever the server reports."""
        return self.endpoint(endpoint).default_model

    def models_at(self, endpoint: str) -> tuple[Model, ...]:
        """The models of the catalogue that can be asked there."""
        server = self.endpoint(endpoint)
        return tuple(model for model in self._models.values() if self._serves(server, model))

    def id_at(self, model: str, endpoint: str) -> str:
        """The id under which the endpoint knows the model."""
        server = self.endpoint(endpoint)
        known = self.find(model)
        if not server.hosted and (known is None or not _is_our_name(known, model)):
            return model  # a server's own id, as typed
        known = known or self.model(model)
        if not self._serves(server, known):
            raise UnknownModel(self._not_served(known, endpoint))
        naming = self._kind(server)["ids"]
        if naming == "any":
            return known.name
        if naming == "hub" and known.hub is not None:
            return known.hub
        if ids := self._snapshot(server, known).ids.get(server.name):
            return ids[0]
        raise UnknownModel(
            f"No id of {known.name} is known at {endpoint}, which names models by what was downloaded; "
            f"give the id that the server lists under /v1/models."
        )

    # What can be asked of them

    def abilities(self, model: str, endpoint: str, *, by_id: bool = False) -> Abilities:
        """What the model takes at the endpoint. *by_id*: a provider lists it under this id, which nobody here knows."""
        return self._abilities(model, endpoint, by_id)

    # What it costs

    def price(self, model: str, endpoint: str, input_tokens: int, on: date | None = None) -> Price | None:
        """The price of a request with that much input, today or on a day; `None` if unknown."""
        return next(
            (p for p in self._tiers(model, endpoint, on) if p.up_to is None or input_tokens <= p.up_to), None
        )

    def cost(
        self, model: str, endpoint: str, usage: Usage, *, batch: bool = False, on: date | None = None
    ) -> Cost | None:
        """What an answer cost by the table; `None` if the price is unknown."""
        price = self.price(model, endpoint, usage.input, on)
        server = self.endpoint(endpoint)
        if server.free:
            return Cost(0.0, "local")
        share = (server.batch_share if batch else 1.0) or None
        return None if price is None or share is None else Cost(price.dollars(usage) * share, "table")

    def worst_cost(self, model: str, endpoint: str, input_tokens: int, output_bound: int) -> float | None:
        """The most that a request can cost in US dollars, to set aside before it is sent; `None` if unknown."""
        price = self.price(model, endpoint, input_tokens)
        return None if price is None else price.worst_dollars(input_tokens, output_bound)

    def quota(self, model: str, endpoint: str) -> RateQuota | None:
        """The account's rate limit there; `None` if there is none or it is unknown."""
        server = self.endpoint(endpoint)
        known = self.find(model)
        rows = self._quotas.get((endpoint, self._snapshot(server, known).name)) if known else None
        return _read(rows[0], RateQuota) if rows else None

    def rows(self, endpoint: str | None = None) -> tuple[ModelRow, ...]:
        """Every model at every endpoint that has an id for it, or at one endpoint, as a table."""
        endpoints = [self.endpoint(endpoint)] if endpoint else self._endpoints.values()
        return tuple(row for server in endpoints for row in self._rows_of(server))

    # Inside

    def _kind(self, endpoint: EndpointSpec) -> Mapping[str, Any]:
        kind: Mapping[str, Any] = self._table["kind"][endpoint.kind]
        return kind

    def _snapshot(self, endpoint: EndpointSpec, model: Model) -> Model:
        return self._models[model.stands_for.get(endpoint.name, model.name)]

    def _serves(self, endpoint: EndpointSpec, model: Model) -> bool:
        if endpoint.hosted:
            return endpoint.name in model.ids or endpoint.name in model.stands_for
        return model.open_weights or endpoint.kind in {"openai", "simulator"}

    def _not_served(self, model: Model, endpoint: str) -> str:
        endpoints = [
            p.name for p in self._endpoints.values() if p.kind != "simulator" and self._serves(p, model)
        ]
        served = ", ".join(m.name for m in self.models_at(endpoint))
        return f"{model.name} is not served at {endpoint}; it is at {', '.join(endpoints)}. {endpoint} serves {served}."

    def _find_abilities(self, name: str, where: str, by_id: bool) -> Abilities:
        endpoint = self.endpoint(where)
        model = None if by_id else self.find(name)
        if model is None and endpoint.hosted and not by_id:
            model = self.model(name)
        if model is not None and not self._serves(endpoint, model):
            if endpoint.hosted:
                raise UnknownModel(self._not_served(model, endpoint.name))
            model = None  # a server of one's own may call anything by any name; what it has loaded is another model
        row = dict(self._kind(endpoint))
        if model is not None:
            row |= self._override(endpoint, self._snapshot(endpoint, model))
        modalities = frozenset(row.get("modalities") or (model.modalities if model else _SEEN))
        sees, watches = "image" in modalities and "images" in row, "video" in modalities and "videos" in row
        options = frozenset(row["accepts"]) | frozenset(row.get("adds", ()))
        options -= frozenset({"images", "max_pixels"} if not sees else ())
        options -= frozenset({"videos"} if not watches else ())
        return Abilities(
            model=model.name if model else name,
            endpoint=endpoint.name,
            known=model is not None,
            options=options,
            ignored=frozenset(row.get("ignores", ())) - options,
            own=self._own,
            thinking=self._thinking(row, model),
            tool_choice=frozenset(row["tool_choice"]),
            tool_choice_thinking=frozenset(row.get("tool_choice_thinking", row["tool_choice"])),
            ranges=_ranges(row, model),
            modalities=frozenset(
                {"text"} | ({"image"} if sees else set()) | ({"video"} if watches else set())
            ),
            images=_read(row["images"], Images) if sees else None,
            videos=_read(row["videos"], Videos) if watches else None,
            pdf=row.get("pdf") if sees or row.get("pdf") == "part" else None,
            search_strategies=tuple(row.get("search_strategies", ())),
            context=model.context if model else None,
            max_input_thinking=model.max_input(thinking=True) if model else None,
            max_input_direct=model.max_input(thinking=False) if model else None,
            max_output=_max_output(row, model),
            presets=self._presets(row, model, options),
            instead=self._table["instead"],
            **{name: row[name] for name in _AS_WRITTEN if name in row},
            elsewhere=partial(self._elsewhere, model.name if model else name, endpoint),
        )

    def _thinking(self, row: Mapping[str, Any], model: Model | None) -> Thinking:
        return Thinking(
            modes=frozenset(row["thinking"]),
            default=row.get("thinks", model.thinks if model else None),
            levels=self._table["levels"],
            most=model.max_thinking if model else None,
        )

    def _override(self, endpoint: EndpointSpec, model: Model) -> Mapping[str, Any]:
        rows = (row for row in self._table["override"] if row["kind"] == endpoint.kind)
        found: Mapping[str, Any] = next((row for row in rows if model.name in row["models"]), {})
        return {key: value for key, value in found.items() if key not in {"kind", "models"}}

    def _presets(
        self, row: Mapping[str, Any], model: Model | None, options: frozenset[str]
    ) -> dict[bool, Mapping[str, float]]:
        if not row.get("presets"):
            return {}
        always = {"max_tokens": row["preset_max_tokens"]} if "preset_max_tokens" in row else {}
        presets: dict[bool, Mapping[str, float]] = {True: always, False: always}
        for preset in self._table["preset"]:
            if model is not None and model.name in preset["models"] and preset["task"] == "general":
                values = {name: value for name, value in preset["values"].items() if name in options}
                presets[preset["thinking"]] = values | always
        return presets

    def _elsewhere(self, model: str, server: EndpointSpec, option: str) -> str | None:
        """Say which models and which endpoints take an option; `None` if there is no such option."""
        if option not in self.sent:
            return None

        def takes(name: str, endpoint: EndpointSpec) -> bool:
            return self.abilities(name, endpoint.name).accepts(option)

        siblings = (
            [m.name for m in self.models_at(server.name) if takes(m.name, server)] if server.hosted else []
        )
        known = self.find(model)
        others = [p for p in self._endpoints.values() if p != server and p.kind != "simulator"]
        endpoints = [p.name for p in others if known and self._serves(p, known) and takes(model, p)]
        taken = [f"{', '.join(siblings)} at {server.name}"] if siblings else []
        taken += [f"{model} at {', '.join(endpoints)}"] if endpoints else []
        return f"It is taken by {'; '.join(taken)}. " if taken else ""

    def _find_tiers(self, name: str, endpoint: str, on: date | None) -> tuple[Price, ...]:
        server = self.endpoint(endpoint)
        if server.free:
            return (Price(0.0, 0.0, "USD", self.checked, "local"),)
        model = self.find(name)
        rows = self._prices.get((endpoint, self._snapshot(server, model).name), []) if model else []
        begun = [row for row in rows if on is None or row.get("since", date.min) <= on]
        if not begun:
            return ()
        row = max(begun, key=lambda row: row.get("since", date.min))
        rate = self._rates[row["currency"]]
        common = {key: row[key] for key in ("currency", "checked", "source")}
        return tuple(Price(**common, **tier, since=row.get("since"), usd=rate) for tier in row["tiers"])

    def _rows_of(self, endpoint: EndpointSpec) -> Iterator[ModelRow]:
        for model in self.models_at(endpoint.name):
            try:
                id_ = self.id_at(model.name, endpoint.name)
            except UnknownModel:
                continue
            yield ModelRow(
                model=model,
                endpoint=endpoint.name,
                id=id_,
                default=endpoint.default_model == model.name,
                free=endpoint.free,
                abilities=self.abilities(model.name, endpoint.name),
                prices=self._tiers(model.name, endpoint.name, None),
                quota=self.quota(model.name, endpoint.name),
            )


# What of a kind of server is what a model takes there, as it is written.
_AS_WRITTEN = ("schema", "schema_without_thinking", "schema_says_json", "max_tokens", "stop_most")
# An unknown model on a server of one's own: only the server can tell what it sees.
_SEEN = ("text", "image", "video")


T = TypeVar("T", Model, EndpointSpec, RateQuota, Images, Videos)


def _read(row: Mapping[str, Any], kind: type[T]) -> T:
    """Make a value of *kind* of a row of the table; the names of its fields are those of the row."""
    known = [field.name for field in fields(kind)]
    for name in row:
        if name not in known:  # msgspec would pass over it
            raise BadInput(
                f"`{name}` is no field of {kind.__name__} in the catalogue{nearest(name, known) or '.'}"
            )
    return msgspec.convert(row, kind, builtin_types=(date,))


def _by_place(rows: list[Mapping[str, Any]]) -> dict[tuple[str, str], list[Mapping[str, Any]]]:
    places: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        told = {name: value for name, value in row.items() if name not in ("endpoint", "models")}
        for model in row["models"]:
            places.setdefault((row["endpoint"], model), []).append(told)
    return places


def _is_our_name(model: Model, typed: str) -> bool:
    return typed.strip().lower() in {model.name, *model.aliases}


def _ranges(row: Mapping[str, Any], model: Model | None) -> dict[str, Range]:
    ranges = {name: Range(**bounds) for name, bounds in row.get("ranges", {}).items()}
    # Nobody takes `max_tokens=0`, and only a documented limit is held against the user.
    return ranges | {"max_tokens": Range(low=1, high=_max_output(row, model))}


def _max_output(row: Mapping[str, Any], model: Model | None) -> int | None:
    if row.get("max_output") is not None:
        return int(row["max_output"])
    return model.max_output if model is not None and row.get("bounds_output", False) else None
