"""The options of a column: typed for checkers, shown to Tab and to `?`, checked here.

A column takes its own options and those of a call, but for the few that make sense for one question only. Tab and `?`
read a verb's signature and docstring, into which `shows_options` writes them. Checkers read `Unpack[ColumnOptions]`, which
has to be written out for them; a test holds the two lists together.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import wraps
from pathlib import Path
from typing import Any, Literal, TypedDict, TypeVar, cast, get_args

from qwennb.client import MEANINGS, Options, Qwen
from qwennb.config import CacheMode
from qwennb.errors import BadInput, nearest, show_value
from qwennb.frames.draft_terms import TERM_CHECKS, OnUncertified
from qwennb.frames.progress import Progress
from qwennb.request import Check, folder, number, one_of, text

V = TypeVar("V", bound=Callable[..., Any])
OnError = Literal["null", "raise", "column"]
Nulls = Literal["skip", "send"]
Lane = Literal["live", "batch"]


class ColumnOptions(TypedDict, total=False):
    """What every verb takes by keyword: a column's own options, whom it asks, and the options of a call."""

    into: str | None
    on_error: OnError | None
    meta: bool | Literal["run"] | None
    nulls: Nulls | None
    concurrency: int | None
    progress: bool | Callable[[Progress], None] | None
    image: str | None
    file: str | None
    root: str | Path | None
    values: Mapping[str, Any] | None
    lane: Lane | None
    prompt_version: int | None
    draws: int | None
    truth: str | None
    draft: str | None
    agree: float | None
    precision: float | None
    recall: float | None
    delta: float | None
    tolerance: float | None
    on_uncertified: OnUncertified | None

    client: Qwen | None
    endpoint: str | None
    api_key: str | None

    model: str | None
    system: str | None
    thinking: bool | str | int | None
    temperature: float | None
    top_p: float | None
    top_k: int | None
    min_p: float | None
    max_tokens: int | None
    seed: int | None
    stop: str | Sequence[str] | None
    presence_penalty: float | None
    frequency_penalty: float | None
    repetition_penalty: float | None
    logit_bias: Mapping[int, float] | None
    logprobs: bool | int | None
    search: bool | None
    sample: int | None
    extra: Mapping[str, Any] | str | None
    cache: CacheMode | None
    timeout: float | None
    budget: float | None
    max_pixels: int | None
    allow_urls: bool | None


class ExtractOptions(ColumnOptions, total=False):
    """What `extract` and `ask` take beside: of a label or a score there is nothing to quote."""

    cite: bool | None


class AskOptions(ExtractOptions, total=False):
    """What `ask` takes beside: the form of the answer, which the other verbs choose themselves."""

    schema: Any
    choices: Any


OWN_MEANINGS = {
    "into": "the name of the new column; by default the verb's noun (`answer`, `label`, `score` …), which replaces no column that exists",
    "on_error": 'a row that failed: `"null"` (the default), `"raise"` after all others, `"column"` with the errors',
    "meta": '`True`: a struct beside the value, with key, model, tokens, cost …, and what was asked for: reasoning, logprobs and confidence, sources; `"run"`: also what was recalled',
    "nulls": 'a row with a null: `"skip"` (the default) or `"send"`',
    "concurrency": "the most in flight, for this column",
    "progress": "`False`, or a function that is told",
    "image": "the column of pictures: bytes, or paths under `root`",
    "file": "the column of documents: bytes, or paths under `root`",
    "root": "the folder in which paths are looked for",
    "values": 'constants for the template, beside the columns: `{"lang": "French"}` is `{{ lang }}`',
    "lane": '`"live"` (the default), or `"batch"`: half the price, hours later',
    "draws": "so many draws of each row, at the model's own temperature: the majority, of scores the median; `agreement` is in `meta`",
    "truth": "the column of what is right: at the end of the run, how well the answers agree with it is printed",
    "draft": 'a cheaper model that answers first, or `"local"`, which is learnt on the spot; its answers are taken as far as they are proved to be the model\'s own',
    "agree": "the share of all rows that must have the answer that `model` gives: 0.95",
    "precision": "the share of the rows kept of which `model` says yes; those that the draft drops are not asked",
    "recall": "the share of all rows of which `model` says yes that must be kept; each that is kept was asked of it",
    "delta": "how likely the certificate may be wrong; 0.05 by default",
    "tolerance": "how far two numbers may differ and still agree",
    "on_uncertified": 'rows that can\'t be proved: `"ask"` the model (the default), or `"stop"`, and they fail',
    "prompt_version": "the words of an older version of the verb; by default the newest, and those before it where they are recorded",
    "client": "the `Qwen` that is asked; by default the notebook's, which `qwennb.use` sets",
    "endpoint": "in place of a client: an endpoint's name or address",
    "api_key": "in place of a client: that endpoint's key",
}
_DEFAULTS = {"on_error": "null", "meta": False, "nulls": "skip", "lane": "live", "on_uncertified": "ask"}
_NOT_HERE = {
    "images": 'A column\'s pictures are named by their column: image="photo".',
    "videos": "Videos don't travel by column. Ask for them one by one, with Qwen().ask(videos=…).",
    "files": 'A column\'s documents are named by their column: file="path", with root="folder".',
    "tools": "A column runs no tools. Ask row by row, with Qwen().ask(tools=…).",
    "tool_choice": "A column runs no tools. Ask row by row, with Qwen().ask(tools=…).",
    "max_steps": "A column runs no tools. Ask row by row, with Qwen().ask(tools=…).",
    "overflow": 'A column does not ask in pieces. Shorten the text, or ask with Qwen().ask(overflow="map").',
}


# `ask` alone leaves the form of its answer open; only claims and fields have quotes; only what can be counted is drawn several
# times, held against a truth, or drafted.
DRAFTED = ("draft", "agree", "delta", "on_uncertified")
_NOT_EVERYWHERE = (
    "schema",
    "choices",
    "cite",
    "draws",
    "truth",
    *DRAFTED,
    "precision",
    "recall",
    "tolerance",
)


def _progress(name: str, value: Any) -> Any:
    if not isinstance(value, bool) and not callable(value):
        raise BadInput(
            f"{name}={show_value(value)} must be True, False or a function that is told how far the run is."
        )
    return value


def _values(name: str, value: Any) -> Any:
    if not isinstance(value, Mapping) or not all(isinstance(one, str) and one for one in value):
        raise BadInput(
            f'{name}={show_value(value)} must be a dict that maps names to constants: {name}={{"lang": "French"}}.'
        )
    return value


_CHECKS: dict[str, Check] = {
    "into": text("the name of a column"),
    "on_error": one_of(*get_args(OnError)),
    "meta": one_of(False, True, "run"),
    "nulls": one_of(*get_args(Nulls)),
    "concurrency": number(whole=True, above=0),
    "progress": _progress,
    "image": text("the name of a column"),
    "file": text("the name of a column"),
    "root": folder,
    "values": _values,
    "lane": one_of(*get_args(Lane)),
    "prompt_version": number(whole=True, above=0),
    "draws": number(whole=True, above=0),
    "truth": text("the name of a column"),
    **TERM_CHECKS,
}


def split_options(given: Mapping[str, Any]) -> tuple[dict[str, Any], Options, Qwen | None]:
    """Tell a column's own options, those of a call and the client apart, each checked; None: the default client."""
    rest = dict(given)
    client = _take_client(rest)
    own: dict[str, Any] = {}
    for name, check in _CHECKS.items():
        if (value := rest.pop(name, None)) is not None:
            own[name] = check(name, value)
    for name, value in rest.items():
        if name in _NOT_HERE:
            if value is not None:
                raise BadInput(_NOT_HERE[name])
        elif name not in KINDS:
            raise BadInput(f"A column has no option `{name}`{nearest(name, list(KINDS)) or '.'}")
    return own, Options(**rest), client


def _take_client(rest: dict[str, Any]) -> Qwen | None:
    client = rest.pop("client", None)
    endpoint, api_key = rest.pop("endpoint", None), rest.pop("api_key", None)
    if client is None and endpoint is None and api_key is None:
        return None
    if client is not None:
        if endpoint is not None or api_key is not None:
            raise BadInput(
                "Both client= and endpoint= or api_key= are given. A client has its own; give one of them."
            )
        if not isinstance(client, Qwen):
            raise BadInput(f"client= takes a Qwen, not {type(client).__name__}.")
        return client
    if endpoint is not None:
        text("an endpoint's name or address")("endpoint", endpoint)
    return Qwen(model=rest.get("model"), endpoint=endpoint, api_key=api_key)


# ---------------------------------------------------------------------- what Tab and `?` see


def _kind(annotation: Any) -> str:
    """An annotation as it was written."""
    return str(getattr(annotation, "__forward_arg__", annotation))


KINDS = {
    **{name: _kind(ColumnOptions.__annotations__[name]) for name in OWN_MEANINGS},
    **{option.name: _kind(option.type) for option in fields(Options) if option.name not in _NOT_HERE},
}
"""Every option of a column, with its type."""


def shows_options(*also: str, without: Sequence[str] = ()) -> Callable[[V], V]:
    """Have a verb show what it takes as `**options`: all but those *without*, and what few verbs take where it is in *also*."""

    def show(verb: V) -> V:
        signature = inspect.signature(verb)
        named = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        names = [name for name in KINDS if name in also or name not in (*_NOT_EVERYWHERE, *without)]
        shown = [
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=_DEFAULTS.get(name), annotation=KINDS[name]
            )
            for name in names
        ]
        verb.__signature__ = signature.replace(parameters=[*named, *shown])  # type: ignore[attr-defined]
        _tell_options(verb, names)
        return verb

    return show


def _tell_options(verb: Callable[..., Any], names: list[str]) -> None:
    """Write what each option means, and what every verb raises, into the docstring of *verb*."""
    a_struct = 'pydantic class, JSON Schema, or `"name, age int"`; the column is a Struct'
    meanings = {**MEANINGS, "schema": a_struct, **OWN_MEANINGS}
    told = "".join(
        f"{name} : {KINDS[name]}\n    {meanings[name][:1].upper()}{meanings[name][1:]}.\n" for name in names
    )
    before, returns, after = inspect.cleandoc(verb.__doc__ or "").partition("Returns\n-------\n")
    given, examples, shown = after.partition("Examples\n--------\n")
    verb.__doc__ = (
        f"{before}Other Parameters\n----------------\n{told}\n{returns}{given}{_RAISES}{examples}{shown}"
    )


_RAISES = """Raises
------
BadInput
    Before anything is sent: an option, a label or a name that can't be what was meant.
TemplateError
    Before anything is sent: the template names what is no column.
QwenError
    What every row would meet (a wrong key, no credit); with `on_error="raise"`, the first row's error, once all others are kept.

"""


def door(verb: Callable[..., Any], *fixed: str, **sections: str) -> Callable[..., Any]:
    """A method that calls *verb* with the table that it stands at; *fixed*: what that settles too."""

    @as_in(verb, "table", *fixed, **sections)
    def method(self: Any, *arguments: Any, **options: Any) -> Any:
        return verb(self.table, *arguments, **options)

    method.__name__ = method.__qualname__ = verb.__name__
    return method


def as_in(verb: Callable[..., Any], *fixed: str, **sections: str) -> Callable[[V], V]:
    """Have a method show the options and the docstring of *verb*, but for the parameters *fixed*, which it gives itself.

    *sections* of the docstring (Returns, Examples) stand in place of the verb's own.
    """

    def show(method: V) -> V:
        @wraps(method)
        def checked(self: Any, *arguments: Any, **options: Any) -> Any:
            for name in fixed:
                if name in options:
                    raise BadInput(f"A column has no option `{name}`{nearest(name, list(KINDS)) or '.'}")
            return method(self, *arguments, **options)

        signature = inspect.signature(verb)
        myself = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        rest = [
            # `ask` without a table answers a prompt alone; here there is a table.
            parameter.replace(default=parameter.empty) if name == "prompt" else parameter
            for name, parameter in signature.parameters.items()
            if name not in fixed
        ]
        made = signature.replace(parameters=[myself, *rest])
        told = inspect.cleandoc(verb.__doc__ or "")
        for name in fixed:  # its entry: the line with its name, and what is indented below
            told = re.sub(rf"^{name} : [^\n]*\n(?:    [^\n]*\n)+", "", told, flags=re.M)
        for heading, words in sections.items():
            line = "-" * len(heading)
            # From its heading to the next one, or to the end.
            section = re.compile(rf"^{heading}\n{line}\n.*?(?=^[A-Z][\w ]*\n---|\Z)", re.M | re.S)
            told = section.sub(lambda _, new=f"{heading}\n{line}\n{words}\n\n": new, told)  # type: ignore[misc]
        if "Returns" in sections:
            made = made.replace(return_annotation=sections["Returns"].partition("\n")[0])
        checked.__signature__, checked.__doc__ = made, told  # type: ignore[attr-defined]
        return cast("V", checked)

    return show
