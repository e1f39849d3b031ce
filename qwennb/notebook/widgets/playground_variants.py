"""One of the settings that are compared: a model, and a control for each parameter that it takes at its endpoint.

What may be set is read from the catalogue. An option that is left alone is not sent and is no part of the key: an empty
field is one that is left alone. What a model does not take is told, and no longer sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields
from typing import Any

from qwennb.catalog import Abilities
from qwennb.client import Options, Qwen
from qwennb.errors import BadInput, QwenError, nearest
from qwennb.request import SETTINGS, NumberCheck

BUDGET = "a budget"
_EXACT = 2**53  # a browser counts no further
_WAYS = {"yes": True, "no": False}  # of thinking, as they are chosen
# What stands in the prompt, is asked about elsewhere, or is not shown in a grid of texts.
NO_CONTROL = frozenset(
    ["images", "videos", "files", "max_pixels", "tools", "tool_choice", "logit_bias", "logprobs"]
)
NUMBERS: Mapping[str, NumberCheck] = {
    **{name: one.check for name, one in SETTINGS.items() if isinstance(one.check, NumberCheck)},
    "sample": NumberCheck(0, None, True, None),
}
TEXTS = {"choices": "yes, no", "schema": "item, amount int", "stop": "the answer ends before this"}
_ORDER = ("thinking", *NUMBERS, *TEXTS, "search")
WITH_CONTROL = frozenset(_ORDER)
_NOT_HERE = frozenset(["images", "videos", "files", "tools", "tool_choice", "max_steps", "overflow"])


def check_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Give back the options of a variant, or raise what is wrong with them."""
    options = {name: value for name, value in given.items() if value is not None}
    known = {f.name for f in fields(Options)}
    for name in options:
        if name not in known:
            raise BadInput(f"A variant has no option `{name}`{nearest(name, known) or '.'}")
        if name in _NOT_HERE:
            raise BadInput(f"The playground asks texts, one question each; it has no `{name}`.")
        if name == "budget":
            raise BadInput(
                "A budget is for all cells together: give it to the client, client=Qwen(budget=…)."
            )
    Options(**options)
    return options


class Variant:
    """A model and what is set for it. *options* may hold what no control can show: a class as `schema`, `extra`."""

    def __init__(self, client: Qwen, options: Mapping[str, Any]) -> None:
        self.client = client
        self.model = client.endpoint.model_name(options.get("model") or client.session.config.model)
        self._given = {name: value for name, value in options.items() if name != "model"}
        self._set = dict(self._given)

    @property
    def models(self) -> list[str]:
        """The models that its client can ask, the chosen one first."""
        place = self.client.endpoint
        if place.server is not None:
            return [self.model]
        listed = [] if place.hosted else [place.model_name(served) for served in place.served]
        if not listed:
            listed = [model.name for model in place.catalog.models_at(place.catalogue_name)]
        return sorted({self.model, *listed}, key=[self.model, *listed].index)

    def options(self) -> dict[str, Any]:
        """All that is sent: what is set and taken by the model here, and what has no control."""
        taken = {one["name"] for one in self.controls()} | {"system"}
        kept = {n: v for n, v in self._set.items() if n in taken or n not in WITH_CONTROL}
        return {"model": self.model, **kept}

    def change(self, name: str, written: Any) -> None:
        """Set what was *written* into the control called *name*; None or nothing leaves it alone."""
        if name == "model":
            self.model = written if written in self.models else self.model
            return
        if name != "system" and name not in {one["name"] for one in self.controls()}:
            return
        value = self._read(name, written)
        if value is None:
            self._set.pop(name, None)
        else:
            self._set[name] = value

    def controls(self) -> list[dict[str, Any]]:
        """Describe each control, in JSON: of what the model takes at its endpoint, and of nothing else."""
        try:
            abilities = self.client.endpoint.abilities(self.model)
        except QwenError:
            return []
        return [self._control(n, abilities) for n in _ORDER if n in abilities.options or n == "sample"]

    @property
    def problem(self) -> str:
        """What is set and can't be sent, in a sentence."""
        try:
            self.client.endpoint.abilities(self.model)
        except QwenError as error:
            return str(error)
        dropped = [name for name in self._set if name not in self.options()]
        return f"{self.model} does not take {', '.join(dropped)} here." if dropped else ""

    def _control(self, name: str, abilities: Abilities) -> dict[str, Any]:
        value = self._set.get(name)
        made = {"name": name, "value": value}
        if name == "thinking":
            return {**made, "kind": "thinking", **_ways(abilities, value)}
        if name in NUMBERS:
            low, high = _bounds(name, abilities)
            return {**made, "kind": "number", "low": low, "high": high, "step": _step(name)}
        if name in TEXTS:
            shown = _shown(name, value)
            hint = TEXTS[name] if shown or value is None else f"{getattr(value, '__name__', value)}"
            return {**made, "kind": "text", "value": shown, "hint": hint}
        return {**made, "kind": "switch", "value": bool(value)}

    def _read(self, name: str, written: Any) -> Any:
        if name in NUMBERS:
            return self._number(name, written)
        if name == "thinking":
            budget = 1024 if written == BUDGET else written
            return _WAYS.get(budget, budget or None) if isinstance(budget, str) else _tokens(budget)
        if name == "search":
            return True if written else None
        text = str(written or "")
        text = text if name in ("stop", "system") else text.strip()
        if not text:  # what was given as a class or a list with commas stands while its field is empty
            given = self._given.get(name)
            return given if given is not None and not _shown(name, given) else None
        return [one.strip() for one in text.split(",") if one.strip()] if name == "choices" else text

    def _number(self, name: str, written: Any) -> float | None:
        number = None
        with suppress(TypeError, ValueError):
            number = float(written)
        if number is None or number != number:
            return None
        low, high = _bounds(name, self.client.endpoint.abilities(self.model))
        number = max(number, low) if low is not None else number
        number = min(number, high) if high is not None else number
        return int(number) if NUMBERS[name].whole else number


def _bounds(name: str, abilities: Abilities) -> tuple[float | None, float | None]:
    """Find the least and the largest number that is taken: those of the option, and of the model here."""
    check, allowed, step = NUMBERS[name], abilities.ranges.get(name), _step(name)
    lows, highs = [check.low], [check.high and min(check.high, _EXACT)]
    if allowed is not None:
        lows.append(None if allowed.low is None else allowed.low + step * allowed.low_open)
        highs.append(None if allowed.high is None else allowed.high - step * allowed.high_open)
    return (
        max((low for low in lows if low is not None), default=None),
        min((high for high in highs if high is not None), default=None),
    )


def _tokens(written: Any) -> int | None:
    """Read a budget of thinking."""
    return max(1, int(written)) if isinstance(written, int | float) and written == written else None


def _step(name: str) -> float:
    return 1 if NUMBERS[name].whole else 0.05


def _ways(abilities: Abilities, value: Any) -> dict[str, Any]:
    """List how thinking can be asked for, and which way is chosen."""
    thinking = abilities.thinking
    words = [word for mode, word in (("on", "yes"), ("off", "no")) if mode in thinking.modes]
    words += [*(thinking.levels if "levels" in thinking.modes else ())]
    words += [BUDGET] if "budget" in thinking.modes else []
    if isinstance(value, int) and not isinstance(value, bool):
        return {"ways": words, "value": BUDGET, "tokens": value, "high": thinking.most}
    chosen = {True: "yes", False: "no"}.get(value, value) if value is not None else ""
    return {"ways": words, "value": chosen, "tokens": None, "high": thinking.most}


def _shown(name: str, value: Any) -> str:
    """Write *value* as it would be typed; empty where it can't be."""
    if name == "choices" and isinstance(value, list | tuple):
        return "" if any("," in str(one) for one in value) else ", ".join(map(str, value))
    return value if isinstance(value, str) else ""
