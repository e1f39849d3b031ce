"""The inputs of a playground: the first rows of a frame, a few values, or lines typed into the widget.

All become columns, and prompts are made of columns as `df.qwen.ask` makes them: what is tried here and asked of a whole
frame later is the same question with the same key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import polars as pl

from qwennb.errors import BadInput, TemplateError, nearest
from qwennb.frames import as_polars, prompts
from qwennb.request import Template

ONE = "input"  # what the column of plain texts is called


class Inputs:
    """What the prompt is filled with."""

    def __init__(self, given: Any = None) -> None:
        self._frame: Any = None
        if given is not None:
            self._frame = given if _is_frame(given) else _as_frame(given)
        self.source = given

    @property
    def typed(self) -> bool:
        """Whether they are typed into the widget."""
        return self._frame is None

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._frame) if self._frame is not None else 0

    def questions(self, prompt: str, rows: int, typed: str = "") -> list[str | None]:
        """The prompt of each row, filled; None where a value is missing."""
        template = Template.of(prompt)
        if not template.holes:
            if not prompt.strip():
                raise BadInput("The prompt is empty. Type one; {{ name }} puts an input in.")
            return ["".join(piece for piece in template.pieces if isinstance(piece, str))]
        names = list(dict.fromkeys(hole.name for hole in template.holes))
        frame = self._frame if self._frame is not None else read_lines(typed, names)
        known = [str(name) for name in frame.columns]
        for name in names:
            if name not in known:
                raise TemplateError(
                    f"The prompt names `{name}`, and no input is called so{nearest(name, known) or '; there are ' + ', '.join(known) + '.'}"
                )
        cut = as_polars(frame.head(rows), names)
        if not len(cut):
            raise BadInput("There is no input. Type one a line, or give a frame: Playground(prompt, frame).")
        return prompts(template, {name: cut[name] for name in names}).to_list()

    def expression(self, prompt: str, typed: str, names: Mapping[str, Any]) -> tuple[str, bool]:
        """What a call names as its frame: the variable of *names* that holds it, else its values; and whether it is pandas'."""
        if self._frame is None:
            frame = read_lines(typed, list(dict.fromkeys(hole.name for hole in Template.of(prompt).holes)))
            return f"pl.DataFrame({frame.to_dict(as_series=False)!r})", False
        pandas = not isinstance(self._frame, pl.DataFrame)
        for name, value in names.items():
            if value is self.source and _is_frame(value) and not name.startswith("_"):
                return name, pandas
        if _is_frame(self.source):
            return "frame", pandas
        return f"pl.DataFrame({self._frame.to_dict(as_series=False)!r})", False


def read_lines(typed: str, names: Sequence[str]) -> pl.DataFrame:
    """Lines as rows: texts where the prompt has one name, JSON objects where it has several."""
    lines = [line for line in typed.split("\n") if line.strip()]
    if len(names) == 1 and not all(line.lstrip().startswith("{") for line in lines):
        return pl.DataFrame({names[0]: lines}, schema={names[0]: pl.String})
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError:
            row = None
        if not isinstance(row, dict):
            if len(names) == 1:
                return pl.DataFrame({names[0]: lines}, schema={names[0]: pl.String})
            raise BadInput(
                f"Input {number} has to name {' and '.join(f'`{name}`' for name in names)}: write it as a JSON object, "
                f"{orjson.dumps(dict.fromkeys(names, '…')).decode()}."
            )
        rows.append(row)
    return _as_frame(rows) if rows else pl.DataFrame({name: [] for name in names})


def _as_frame(given: Any) -> pl.DataFrame:
    rows = [given] if isinstance(given, Mapping) else list(given) if isinstance(given, list | tuple) else None
    if not rows:
        raise BadInput(
            f"The inputs are {type(given).__name__} and hold nothing to ask about. Give a frame, a list of texts, or a list of dicts."
        )
    if all(isinstance(row, Mapping) for row in rows):
        return pl.DataFrame([dict(row) for row in rows], infer_schema_length=None, strict=False)
    if all(isinstance(row, str) for row in rows):
        return pl.DataFrame({ONE: rows})
    raise BadInput(
        "The inputs are neither all texts nor all dicts. Give a frame, a list of texts, or a list of dicts."
    )


def _is_frame(value: Any) -> bool:
    return isinstance(value, pl.DataFrame) or (
        type(value).__module__.split(".")[0] == "pandas" and hasattr(value, "columns")
    )
