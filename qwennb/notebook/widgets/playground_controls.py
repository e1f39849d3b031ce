"""A control for each parameter that a model takes at an endpoint, and for no other.

What may be set is read from the catalogue. An option that is left alone is not sent and is no part of the key, so each
number has a switch beside it, which is on as soon as the number is changed. A text that is empty is left alone.

Numbers are fields with steps, not sliders: a slider of ipywidgets has no name that a screen reader could tell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import ipywidgets as widgets

from qwennb.catalog import Abilities, Thinking
from qwennb.request import SETTINGS, NumberCheck

WIDE = "9em"  # of every description
ALONE = "as the model likes"
BUDGET = "a budget"
# What stands in the prompt, is asked about elsewhere, or is not shown in a grid of texts.
NO_CONTROL = frozenset(
    ["images", "videos", "files", "max_pixels", "tools", "tool_choice", "logit_bias", "logprobs"]
)


@dataclass(frozen=True, slots=True)
class Number:
    """A parameter that is a number: its bounds where the catalogue names none, its step, and where it begins."""

    low: float
    high: float
    step: float
    start: float
    whole: bool = False


# Where the range of an option is too wide to step through, or its steps are to be finer than a twentieth of it.
_NUMBERS: Mapping[str, Number] = {
    "temperature": Number(0, 2, 0.1, 0.7),
    "top_p": Number(0, 1, 0.05, 0.8),
    "top_k": Number(0, 1000, 1, 20, whole=True),
    "min_p": Number(0, 1, 0.05, 0),
    "max_tokens": Number(1, 1_000_000, 1, 500, whole=True),
    "seed": Number(0, 2**53, 1, 0, whole=True),
    "presence_penalty": Number(-2, 2, 0.1, 0),
    "frequency_penalty": Number(-2, 2, 0.1, 0),
    "repetition_penalty": Number(0, 2, 0.05, 1),
    "sample": Number(0, 10_000, 1, 0, whole=True),
}


def _as_checked(check: NumberCheck, start: float) -> Number:
    """Make the control of an option that needs no finer one, from its check."""
    low = check.low or 0
    high = low + 1000 if check.high is None else check.high
    return Number(low, high, 1 if check.whole else (high - low) / 20, start, check.whole)


NUMBERS: Mapping[str, Number] = {
    **{
        name: _as_checked(setting.check, setting.example)
        for name, setting in SETTINGS.items()
        if isinstance(setting.check, NumberCheck)
    },
    **_NUMBERS,
}
TEXTS: Mapping[str, str] = {
    "choices": "yes, no",
    "schema": "item, amount int",
    "stop": "the answer ends before this",
}
SWITCHES = ("search",)
WITH_CONTROL = frozenset(["thinking", *NUMBERS, *TEXTS, *SWITCHES])
_OWN = ("sample",)  # takes no server's leave


class PlaygroundControls:
    """The controls for what *abilities* names, in `box`; *changed* is called with every change."""

    def __init__(self, abilities: Abilities, given: Mapping[str, Any], changed: Callable[[], None]) -> None:
        self._fields: dict[str, _Field] = {}
        taken = [name for name in WITH_CONTROL if name in abilities.options] + list(_OWN)
        for name in sorted(taken, key=_order):
            self._fields[name] = _field(name, abilities, given.get(name), changed)
        self.box = widgets.VBox([field.box for field in self._fields.values()])

    @property
    def names(self) -> list[str]:
        """The parameters that have a control."""
        return list(self._fields)

    def options(self) -> dict[str, Any]:
        """The parameters that are set."""
        read = {name: field.read() for name, field in self._fields.items()}
        return {name: value for name, value in read.items() if value is not None}


@dataclass(frozen=True, slots=True)
class _Field:
    """One control, and what it says."""

    box: widgets.Widget
    read: Callable[[], Any]


def _order(name: str) -> int:
    return ["thinking", *NUMBERS, *TEXTS, *SWITCHES].index(name)


def _field(name: str, abilities: Abilities, given: Any, changed: Callable[[], None]) -> _Field:
    if name == "thinking":
        return _thinking(abilities.thinking, given, changed)
    if name in NUMBERS:
        return _number(name, abilities, given, changed)
    if name in SWITCHES:
        return _switch(name, given, changed)
    return _text(name, given, changed)


def _number(name: str, abilities: Abilities, given: Any, changed: Callable[[], None]) -> _Field:
    kind, allowed = NUMBERS[name], abilities.ranges.get(name)
    low, high = kind.low, kind.high
    if allowed is not None:
        if allowed.low is not None:
            low = max(low, allowed.low + (kind.step if allowed.low_open else 0))
        if allowed.high is not None:
            high = min(high, allowed.high - (kind.step if allowed.high_open else 0))
    made = widgets.BoundedIntText if kind.whole else widgets.BoundedFloatText
    start = kind.start if given is None else given
    number = made(
        value=min(max(start, low), high), min=low, max=high, step=kind.step, description=name,
        style={"description_width": WIDE}, layout=widgets.Layout(width="14.5em"),
    )  # fmt: skip
    sent = widgets.Checkbox(
        value=given is not None, description=f"send {name}", indent=False, layout=widgets.Layout(width="14em")
    )

    def was_set(change: Any) -> None:
        sent.value = True
        changed()

    number.observe(was_set, "value")
    sent.observe(lambda change: changed(), "value")
    return _Field(
        widgets.HBox([number, sent], layout=widgets.Layout(flex_flow="row wrap")),
        lambda: number.value if sent.value else None,
    )


def _thinking(thinking: Thinking, given: Any, changed: Callable[[], None]) -> _Field:
    choices: list[tuple[str, Any]] = [(ALONE, None)]
    choices += [
        (word, value)
        for mode, word, value in (("on", "yes", True), ("off", "no", False))
        if mode in thinking.modes
    ]
    if "levels" in thinking.modes:
        choices += [(level, level) for level in thinking.levels]
    if "budget" in thinking.modes:
        choices.append((BUDGET, BUDGET))
    budgeted = isinstance(given, int) and not isinstance(given, bool)
    wanted = BUDGET if budgeted else given
    chosen = next((value for _, value in choices if value is wanted or value == wanted), None)
    way = widgets.Dropdown(
        options=choices, value=chosen, description="thinking",
        style={"description_width": WIDE}, layout=widgets.Layout(width="20em"),
    )  # fmt: skip
    budget = widgets.BoundedIntText(
        value=given if budgeted else 1024, min=1, max=thinking.most or 1_000_000, description="tokens",
        layout=widgets.Layout(width="11em", display=None if chosen == BUDGET else "none"),
        style={"description_width": "4em"},
    )  # fmt: skip

    def chose(change: Any) -> None:
        budget.layout.display = None if way.value == BUDGET else "none"
        changed()

    way.observe(chose, "value")
    budget.observe(lambda change: changed(), "value")
    return _Field(
        widgets.HBox([way, budget], layout=widgets.Layout(flex_flow="row wrap")),
        lambda: budget.value if way.value == BUDGET else way.value,
    )


def _switch(name: str, given: Any, changed: Callable[[], None]) -> _Field:
    switch = widgets.Checkbox(value=bool(given), description=name, indent=False)
    switch.observe(lambda change: changed(), "value")
    return _Field(switch, lambda: True if switch.value else None)


def _text(name: str, given: Any, changed: Callable[[], None]) -> _Field:
    """A text; one that was given as something else (a class, a list) stays as long as the field is left empty."""
    listed = name == "choices" and given is not None and not any("," in choice for choice in given)
    shown = ", ".join(given) if listed else given if isinstance(given, str) else ""
    text = widgets.Text(
        value=shown, placeholder=TEXTS[name], description=name, continuous_update=False,
        style={"description_width": WIDE}, layout=widgets.Layout(width="28em"),
    )  # fmt: skip
    text.observe(lambda change: changed(), "value")

    def read() -> Any:
        written = text.value.strip() if name != "stop" else text.value
        if not written:
            return given if given is not None and not shown else None
        return (
            [piece.strip() for piece in written.split(",") if piece.strip()] if name == "choices" else written
        )

    return _Field(text, read)
