"""The options that take part in the key: one table, from which every door, the wire and the pages are made.

To add an option is to add a line to `SettingFields` (docs/contributing.md has what else there is to it). `Settings` and the options of a call inherit its fields; the checks of
a call, what `--param` and a column take, the controls of the playground, the body of the openai client and the body that
goes over the wire are read from `SETTINGS`. What a server takes is said in `catalog/models.toml`, and where one
has a name of its own for an option, in its dialect.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import orjson

from qwennb.errors import BadInput, nearest, show_value
from qwennb.request.canonical import canonical_json
from qwennb.request.option_types import Check, check_options, flag, number


@dataclass(frozen=True, slots=True)
class Setting:
    """What is true of one option: how it is checked, what it means, how it is written.

    `plain`: a server reads it under this very name, so that no dialect need mention it. `sent` is False for what is no
    server's business. `example` is a value that may be given.
    """

    check: Check
    about: str
    example: Any
    plain: bool = True
    sent: bool = True
    to_json: Callable[[Any], Any] | None = None


def _check_thinking(name: str, value: Any) -> Any:
    levels = ("low", "medium", "high")
    if isinstance(value, bool) or (isinstance(value, str) and value in levels):
        return value
    if isinstance(value, int) and value > 0:
        return value
    raise BadInput(
        f"{name}={show_value(value)} is not known: use None, True, False, {', '.join(map(repr, levels))} or a budget in tokens."
    )


def _check_stop(name: str, value: Any) -> tuple[str, ...]:
    stops = (value,) if isinstance(value, str) else value
    if (
        not isinstance(stops, list | tuple)
        or not stops
        or not all(isinstance(stop, str) and stop for stop in stops)
    ):
        raise BadInput(f"{name}={show_value(value)} must be text or a list of texts, none of them empty.")
    return tuple(sorted(set(stops)))  # whichever comes first in the answer ends it: their order says nothing


def _check_logit_bias(name: str, value: Any) -> tuple[tuple[int, float], ...] | None:
    try:
        biases = {int(str(token)): number(-100, 100)(name, bias) for token, bias in dict(value).items()}
        return tuple(sorted(biases.items())) or None
    except BadInput:
        raise
    except (TypeError, ValueError):
        raise BadInput(f"{name}= must map token ids to numbers from -100 to 100.") from None


def _check_logprobs(name: str, value: Any) -> int | None:
    if isinstance(value, bool):
        return 0 if value else None
    return int(number(0, 20, whole=True)(name, value))


def _check_sample(name: str, value: Any) -> int | None:
    # The first draw is the plain question.
    return int(number(0, None, whole=True)(name, value)) or None


def _check_tool_choice(name: str, value: Any) -> str:
    if isinstance(value, Mapping):
        inner = value.get("function", value)
        value = inner.get("name") if isinstance(inner, Mapping) else None
    if not isinstance(value, str) or not value:
        raise BadInput(f'{name}= must be "auto", "none", "required" or a tool\'s name.')
    return value


def _check_extra(name: str, value: Any) -> str | None:
    if isinstance(value, str):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            value = None
    if not isinstance(value, Mapping):
        raise BadInput(f"{name}= must be a dict of fields to pass through.")
    if "n" in value:
        raise BadInput(
            "n is not passed through: no hosted endpoint draws several answers at once. Use sample=0, 1, 2 …"
        )
    return canonical_json(value).decode() if value else None


def _bias_to_json(pairs: Any) -> dict[str, float]:
    return {str(token): bias for token, bias in pairs}


def _row(check: Check, about: str, example: Any, **more: Any) -> Any:
    """Make a field, left alone unless it is given, that carries its `Setting`."""
    return field(default=None, metadata={"setting": Setting(check, about, example, **more)})


# fmt: off
@dataclass(frozen=True, slots=True)
class SettingFields:
    """The table. `None` means that the user left it alone."""

    thinking: bool | str | int | None = _row(_check_thinking, '`None`, `True`, `False`, `"low"`, `"medium"`, `"high"`, or a number of tokens', False, plain=False)
    temperature: float | None = _row(number(0, 2), "how much chance there is in the choice of a token", 0.5)
    top_p: float | None = _row(number(0, 1), "only the likeliest tokens that make up this share", 0.75)
    top_k: int | None = _row(number(0, None, whole=True), "only so many of the likeliest tokens", 30)
    min_p: float | None = _row(number(0, 1), "only tokens at least so likely, against the likeliest", 0.05)
    max_tokens: int | None = _row(number(1, None, whole=True), "the most tokens of the answer", 500)
    seed: int | None = _row(number(0, 2**63 - 1, whole=True), "the same draw again, where the server can", 7)
    stop: str | Sequence[str] | None = _row(_check_stop, "text, or texts, at which to stop", ["END"], to_json=list)
    presence_penalty: float | None = _row(number(-2, 2), "against what was already said", 0.5)
    frequency_penalty: float | None = _row(number(-2, 2), "against what was often said", 0.5)
    repetition_penalty: float | None = _row(number(0, 10), "against repetition, as a factor", 1.25)
    logit_bias: Mapping[int, float] | None = _row(_check_logit_bias, "token id → bias", {"15": -50.0}, to_json=_bias_to_json)
    logprobs: bool | int | None = _row(_check_logprobs, "`True`, or how many of the likeliest others", 2, plain=False)
    tool_choice: str | None = _row(_check_tool_choice, '`"auto"`, `"none"`, or for the first step only `"required"` or a tool\'s name', "auto", plain=False)
    search: bool | None = _row(flag, "search the web, where the endpoint does", True, plain=False)
    sample: int | None = _row(_check_sample, "a number for repeated draws: each has a key of its own (`n=` exists nowhere for these models)", 1, plain=False, sent=False)
    extra: Mapping[str, Any] | str | None = _row(_check_extra, "a dict that is passed on as it is", {"own_field": 1}, plain=False, sent=False, to_json=orjson.loads)
# fmt: on


SETTINGS: Mapping[str, Setting] = {f.name: f.metadata["setting"] for f in fields(SettingFields)}
SETTING_CHECKS: Mapping[str, Check] = {name: setting.check for name, setting in SETTINGS.items()}


@dataclass(frozen=True, slots=True)
class Settings(SettingFields):
    """The options of one question, as their checks give them back."""

    @classmethod
    def of(cls, **given: Any) -> Settings:
        """Settings from what a user typed, checked for type and range that hold everywhere."""
        for name in given.keys() - SETTINGS.keys():
            raise BadInput(f"There is no option `{name}`{nearest(name, SETTINGS) or '.'}")
        return cls.among(given.get)

    @classmethod
    def among(cls, given: Callable[[str], Any]) -> Settings:
        """Settings from what is *given* for each name, None where it is nothing, checked likewise."""
        kept = check_options(given, SETTING_CHECKS)
        return cls(**kept) if kept else LEFT_ALONE

    def given(self) -> dict[str, Any]:
        """Collect the options that were set, as plain JSON values."""
        made: dict[str, Any] = {}
        for name, setting in SETTINGS.items():
            value = getattr(self, name)
            if value is not None:
                made[name] = value if setting.to_json is None else setting.to_json(value)
        return made

    @property
    def extra_fields(self) -> dict[str, Any]:
        """The fields that are passed through as they are."""
        made: dict[str, Any] = orjson.loads(self.extra) if isinstance(self.extra, str) else {}
        return made


# One for all who set nothing: what is made of settings (the body of a request) is known again by their identity.
LEFT_ALONE = Settings()
