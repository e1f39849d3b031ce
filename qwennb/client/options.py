"""The options of an asking call, and how they are told apart from the values of the template."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property, lru_cache, partial
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar

from qwennb.config import CACHE_MODES, CacheMode
from qwennb.errors import BadInput, nearest, show_value
from qwennb.request import (
    SETTING_CHECKS,
    SETTINGS,
    Check,
    Request,
    SettingFields,
    Settings,
    Template,
    check_options,
    flag,
    number,
    one_of,
    read_choices,
    several,
    text,
)

P = ParamSpec("P")
R = TypeVar("R")
Owner = TypeVar("Owner")
Prompts = TypeVar("Prompts")


@dataclass(frozen=True)
class _Subject:
    """What is asked, of whom, in which form."""

    model: str | None = None
    system: str | None = None
    images: Any = None
    videos: Any = None
    files: Any = None
    schema: Any = None
    choices: Any = None
    cite: bool | None = None
    tools: Any = None


@dataclass(frozen=True)
class Options(SettingFields, _Subject):
    """Everything that a call may set. `None` means: left alone."""

    cache: CacheMode | None = None
    timeout: float | None = None
    budget: float | None = None
    overflow: Literal["error", "map"] | None = None
    max_pixels: int | None = None
    max_steps: int | None = None
    allow_urls: bool | None = None

    def __post_init__(self) -> None:
        check_options(partial(getattr, self), CALL_CHECKS)
        if self.choices is not None:
            object.__setattr__(self, "choices", read_choices("choices", self.choices))

    @cached_property
    def settings(self) -> Settings:
        """The options that take part in the key."""
        return Settings.among(partial(getattr, self))

    def over(self, defaults: Options) -> Options:
        """Fill up what was left alone from *defaults*."""
        if defaults is NOTHING:
            return self
        return replace(
            defaults, **{f.name: v for f in fields(self) if (v := getattr(self, f.name)) is not None}
        )


def _mode(name: str, value: Any) -> Any:
    if not isinstance(value, str) or value not in CACHE_MODES:
        raise BadInput(f"{name}={show_value(value)} is not a mode. Use {', '.join(CACHE_MODES)}.")
    return value


CALL_CHECKS: dict[str, Check] = {
    **SETTING_CHECKS,
    "model": text("a model's name"),
    "system": text(empty=True),
    "cite": flag,
    "cache": _mode,
    "timeout": number(above=0),
    "budget": number(above=0),
    "overflow": one_of("error", "map"),
    "max_pixels": number(whole=True, above=0),
    "max_steps": number(whole=True, above=0),
    "allow_urls": flag,
    "tools": several("tools"),
}
NAMES = tuple(f.name for f in fields(Options))
NOTHING = Options()


def split(prompt: Any, given: Mapping[str, Any]) -> tuple[Options, dict[str, Any]]:
    """Part *given* into options and the values for the names in *prompt*."""
    options = {name: value for name, value in given.items() if name in NAMES}
    values = {name: value for name, value in given.items() if name not in NAMES}
    holes = _holes(prompt, *values) if values and isinstance(prompt, str) else frozenset()
    for name in values:
        if name not in holes:
            raise BadInput(
                f"There is no option `{name}`, and the prompt has no {{{{ {name} }}}}{nearest(name, [*NAMES, *holes]) or '.'}"
            )
    return Options(**options) if options else NOTHING, values


@lru_cache(maxsize=64)
def _holes(prompt: str, *known: str) -> frozenset[str]:
    return frozenset(hole.name for hole in Template.of(prompt, known).holes)


# ---------------------------------------------------------------------- what checkers, Tab and `?` see


def ask_with_options(
    self: Any,
    prompt: str | Request,
    *,
    model: str | None = None,
    system: str | None = None,
    images: Any = None,
    videos: Any = None,
    files: Any = None,
    schema: Any = None,
    choices: Any = None,
    cite: bool | None = None,
    tools: Any = None,
    thinking: bool | str | int | None = None,
    temperature: float | None = None,
    top_p: float | None = None,
    top_k: int | None = None,
    min_p: float | None = None,
    max_tokens: int | None = None,
    seed: int | None = None,
    stop: str | Sequence[str] | None = None,
    presence_penalty: float | None = None,
    frequency_penalty: float | None = None,
    repetition_penalty: float | None = None,
    logit_bias: Mapping[int, float] | None = None,
    logprobs: bool | int | None = None,
    tool_choice: str | None = None,
    search: bool | None = None,
    sample: int | None = None,
    extra: Mapping[str, Any] | str | None = None,
    cache: CacheMode | None = None,
    timeout: float | None = None,
    budget: float | None = None,
    overflow: Literal["error", "map"] | None = None,
    max_pixels: int | None = None,
    max_steps: int | None = None,
    allow_urls: bool | None = None,
    **values: Any,
) -> None:
    """Stand for every asking call before a type checker, which can't read the table of options; a test compares.

    A TypedDict can't be used: beside the options a call takes a value for each name in its prompt.
    """


def _show_options(call: Callable[..., R]) -> Callable[..., R]:
    """Show every option in the signature of *call*, for Tab and for help; it takes them as `**given`."""
    signature = inspect.signature(call)
    named = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    options = [
        inspect.Parameter(f.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=f.type)
        for f in fields(Options)
        if f.name not in signature.parameters
    ]
    values = inspect.Parameter("values", inspect.Parameter.VAR_KEYWORD, annotation="Any")
    call.__signature__ = signature.replace(parameters=[*named, *options, values])  # type: ignore[attr-defined]
    told = [f"{one.name} : {one.annotation}\n    {_sentence(MEANINGS[one.name])}\n" for one in options]
    before, returns, after = inspect.cleandoc(call.__doc__ or "").partition("Returns\n-------\n")
    call.__doc__ = f"{before}Other Parameters\n----------------\n{''.join(told)}\n{returns}{after}"
    return call


def _sentence(meaning: str) -> str:
    return f"{meaning[:1].upper()}{meaning[1:]}."


def _typed_as(model: Callable[P, Any]) -> Callable[[Callable[..., R]], Callable[P, R]]:
    """Make a decorator whose calls checkers read as *model*."""
    del model
    return _show_options


def _typed_behind_prompts_as(
    model: Callable[Concatenate[Any, Any, P], Any],
) -> Callable[[Callable[Concatenate[Owner, Prompts, ...], R]], Callable[Concatenate[Owner, Prompts, P], R]]:
    """Make a decorator whose calls checkers read as *model*, but for their own first parameter."""
    del model
    return _show_options


takes_options = _typed_as(ask_with_options)
"""For a call with one prompt: shows every option, to checkers, to Tab and to help."""
takes_options_of_many = _typed_behind_prompts_as(ask_with_options)  # type: ignore[arg-type]
"""The same for a call with many prompts, to which `prompt=` is their template."""


MEANINGS = {
    "model": "another model for this call",
    "system": "the system text",
    "images": "one or a list: path, bytes, PIL image, figure, array, URL, `Image(…)`",
    "videos": "path, bytes, frames, URL, `Video(…)`",
    "files": "PDF, text, code, office file …: path, folder, pattern, bytes, `Document(…)`, `Pdf(…)`; pictures and videos too",
    "schema": 'pydantic class, JSON Schema, or `"name, age int"`; the value is `answer.data`',
    "choices": "exactly one of these texts",
    "cite": "`True`: each claim, or field of the schema, comes with the words that it rests on; they are looked for in what was sent: `quotes`",
    "tools": "Python functions, or definitions as dicts",
    **{name: setting.about for name, setting in SETTINGS.items()},
    "cache": "the mode, for this call",
    "timeout": "seconds, for this request",
    "budget": "US dollars, for this call",
    "overflow": '`"error"` (the default) or `"map"`: what is too long for the window is asked in pieces',
    "max_pixels": "the most pixels of a picture that is sent",
    "max_steps": "the most rounds of tools (8)",
    "allow_urls": "let a column's values be addresses of pictures",
}
"""What each option means, as `?` and the reference (docs/client.md) say it; a test compares."""
