"""The catalogue as rows, for people to read."""

from __future__ import annotations

from dataclasses import dataclass

from qwennb.catalog.abilities import Abilities
from qwennb.catalog.model import Model
from qwennb.catalog.price import Price, RateQuota


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
