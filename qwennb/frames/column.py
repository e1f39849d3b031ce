"""One column's call as a value: what is asked of each row, in which form, and what becomes of a row that fails."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import polars as pl

from qwennb.client import Options, Qwen
from qwennb.errors import BadInput, QwenFrameWarning, TemplateError, nearest, show_value
from qwennb.frames.default import default_client
from qwennb.frames.forked import refuse_after_fork
from qwennb.frames.form import ColumnForm
from qwennb.frames.outcome import meta_type
from qwennb.frames.progress import Progress
from qwennb.frames.prompts import names_in
from qwennb.request import (
    Check,
    Request,
    Schema,
    Template,
    check_characters,
    check_options,
    folder,
    number,
    one_of,
    text,
)
from qwennb.warn import warn_user

OnError = Literal["null", "raise", "column"]
Nulls = Literal["skip", "send"]
Lane = Literal["live", "batch"]

_OPTIONS = frozenset(Options.__dataclass_fields__)
_NOT_HERE = {
    "images": 'A column\'s pictures are named by their column: image="photo".',
    "videos": "Videos don't travel by column. Ask for them one by one, with Qwen().ask(videos=…).",
    "files": "Files don't travel by column. Ask for them one by one, with Qwen().ask(files=…).",
    "tools": "A column runs no tools. Ask row by row, with Qwen().ask(tools=…).",
    "tool_choice": "A column runs no tools. Ask row by row, with Qwen().ask(tools=…).",
    "max_steps": "A column runs no tools. Ask row by row, with Qwen().ask(tools=…).",
    "overflow": 'A column does not ask in pieces. Shorten the text, or ask with Qwen().ask(overflow="map").',
}


class Noun(str):
    """The name of a column that nobody named: its verb's noun. It replaces no column."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Column:
    """What is asked of each row. `into` names the column; `it` is what an expression's own value is called."""

    template: Template
    options: Options
    form: ColumnForm
    into: str
    on_error: OnError = "null"
    meta: bool | Literal["run"] = False
    nulls: Nulls = "skip"
    concurrency: int | None = None
    progress: bool | Callable[[Progress], None] | None = None
    image: str | None = None
    root: Path | None = None
    lane: Lane = "live"
    system: Template | None = None  # where the system text differs from row to row; else it is an option
    client: Callable[[], Qwen] = default_client

    @classmethod
    def of(
        cls,
        prompt: str,
        given: Mapping[str, Any],
        *,
        noun: str,
        defaults: Options | None = None,
        take: str | None = None,
    ) -> Column:
        """The column that a call with the arguments *given* stands for."""
        refuse_after_fork()
        rest = dict(given)
        if not isinstance(prompt, str):
            raise BadInput(
                f'The prompt is {type(prompt).__name__}, not text. Columns are named in it: "… {{{{ review }}}}".'
            )
        check_characters("The prompt", prompt)
        client = _client(rest)
        own = check_options({name: rest.pop(name, None) for name in OWN_CHECKS}, OWN_CHECKS)
        for name in rest:
            if name not in _OPTIONS:
                raise BadInput(
                    f"A column has no option `{name}`{nearest(name, [*_OPTIONS - _NOT_HERE.keys(), *OWN_CHECKS]) or '.'}"
                )
            if name in _NOT_HERE and rest[name] is not None:
                raise BadInput(_NOT_HERE[name])
        options = Options(**rest).over(defaults or Options())
        schema = None if options.schema is None else Schema.of(options.schema)
        choices = options.choices
        Request(
            "", (), settings=options.settings, schema=schema, choices=choices
        )  # what can't be asked is said now
        template = Template.of(prompt)
        system = Template.of(options.system) if options.system else None
        if system is not None and not system.holes:
            options, system = replace(options, system="".join(map(str, system.pieces))), None
        image = own.get("image")
        if not template.holes and system is None and image is None:
            raise TemplateError(
                'The prompt names no column, so every row would ask the same. Put one in: "… {{ review }}".'
            )
        return cls(
            template=template,
            options=options,
            form=ColumnForm.of(schema, choices, take=take),
            into=own.get("into", Noun(noun)),
            on_error=own.get("on_error", "null"),
            meta=own.get("meta", False),
            nulls=own.get("nulls", "skip"),
            concurrency=own.get("concurrency"),
            progress=own.get("progress"),
            image=image,
            root=own.get("root"),
            lane=own.get("lane", "live"),
            system=system,
            client=client,
        )

    @property
    def is_named(self) -> bool:
        """Whether the user has named it."""
        return not isinstance(self.into, Noun)

    @property
    def columns(self) -> list[str]:
        """The columns of the frame that it reads."""
        named = [name for template in self.templates for name in names_in(template)]
        return list(dict.fromkeys([*named, *([self.image] if self.image else [])]))

    @property
    def templates(self) -> tuple[Template, ...]:
        """What is filled from the columns: the prompt, and the system text where it names any."""
        return (self.template,) if self.system is None else (self.template, self.system)

    @property
    def beside(self) -> tuple[str, ...]:
        """What meta has beside the usual, because it was asked for and is paid."""
        if not self.meta:
            return ()
        # The default client may be another one by the time it is first needed; a type is known now.
        asked = (
            self.options
            if self.client is default_client
            else self.client().session.with_defaults(self.options)
        )
        made = ["reasoning"] if asked.thinking else []
        if asked.logprobs is not None and asked.logprobs is not False:
            made += ["logprobs", "confidence"]
        return (*made, *(["sources"] if asked.search else []))

    @property
    def outputs(self) -> dict[str, pl.DataType]:
        """The columns that it makes, with their types."""
        made: dict[str, pl.DataType] = {self.into: self.form.dtype}
        if self.meta:
            made[f"{self.into}_meta"] = meta_type(self.beside, of_the_run=self.meta == "run")
        if self.on_error == "column":
            made[f"{self.into}_error"] = pl.String()
        return made

    def check_free(self, existing: Collection[str]) -> None:
        """Refuse to replace a column that exists, unless the user has named it."""
        taken = next((name for name in self.outputs if name in existing), None)
        if taken is not None and not self.is_named:
            raise BadInput(
                f"There is a column `{taken}` already, and a name that nobody gave replaces none. "
                f'Give into="…" for another name, or into="{self.into}" to replace it.'
            )


def _progress(name: str, value: Any) -> Any:
    if not isinstance(value, bool) and not callable(value):
        raise BadInput(
            f"{name}={show_value(value)} must be True, False or a function that is told how far the run is."
        )
    return value


OWN_CHECKS: dict[str, Check] = {
    "into": text("the name of a column"),
    "on_error": one_of(*get_args(OnError)),
    "meta": one_of(False, True, "run"),
    "nulls": one_of(*get_args(Nulls)),
    "concurrency": number(whole=True, above=0),
    "progress": _progress,
    "image": text("the name of a column"),
    "root": folder,
    "lane": one_of(*get_args(Lane)),
}


def _client(rest: dict[str, Any]) -> Callable[[], Qwen]:
    """What gives the client: the one given, one made of what was given, or the default when it is first needed."""
    client = rest.pop("client", None)
    endpoint, api_key = rest.pop("endpoint", None), rest.pop("api_key", None)
    if client is not None:
        if endpoint is not None or api_key is not None:
            raise BadInput(
                "Both client= and endpoint= or api_key= are given. A client has its own; give one of them."
            )
        if not isinstance(client, Qwen):
            raise BadInput(f"client= takes a Qwen, not {type(client).__name__}.")
        return lambda: client
    if endpoint is not None or api_key is not None:
        if endpoint is not None:
            text("an endpoint's name or address")("endpoint", endpoint)
        made = Qwen(model=rest.get("model"), endpoint=endpoint, api_key=api_key)
        return lambda: made
    return default_client


def warn_of_rows(words: str) -> None:
    """The one warning about a column's rows; a plan that polars runs in batches is warned of with the first of them."""
    warn_user(words, QwenFrameWarning)
