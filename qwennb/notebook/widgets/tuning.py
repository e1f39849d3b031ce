"""Corrected answers as examples to learn from, in the forms that Unsloth and LLaMA-Factory read.

unsloth         a line is {"conversations": [{"role": "user", "content": "…"}, …]}: what its
                `standardize_data_formats` makes of every other form
llama-factory   a line is {"messages": [{"role": "user", "content": "…"}, …]}: its OpenAI format, which has to be
                described in a `dataset_info.json` beside the file; the description is written, and what else
                that file describes is left as it is
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import orjson

from qwennb.errors import BadInput
from qwennb.files import replace_file

Form = Literal["unsloth", "llama-factory"]
FORMS: tuple[Form, ...] = get_args(Form)

_COLUMN: dict[Form, str] = {"unsloth": "conversations", "llama-factory": "messages"}
_DESCRIPTION = {
    "formatting": "sharegpt",
    "columns": {"messages": "messages"},
    "tags": {
        "role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant",
        "system_tag": "system",
    },
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Example:
    """One question and the answer to learn."""

    question: str
    answer: str
    system: str | None = None

    def messages(self) -> list[dict[str, str]]:
        """The conversation."""
        said = [("system", self.system), ("user", self.question), ("assistant", self.answer)]
        return [{"role": role, "content": text} for role, text in said if text is not None]


def write(path: str | Path, examples: Sequence[Example], form: Form) -> list[Path]:
    """Write *examples* to *path* in *form*; the files that were written. A file is there whole or not at all."""
    if form not in FORMS:
        raise BadInput(f"{form!r} is not a form of examples. Use {' or '.join(map(repr, FORMS))}.")
    if not examples:
        raise BadInput("There is nothing to export: no row of that kind is labelled yet.")
    for number, example in enumerate(examples):
        if not example.question.strip() or not example.answer.strip():
            raise BadInput(
                f"Example {number + 1} has no question or no answer; nothing can be learnt from it."
            )
    path = Path(path)
    if not str(path).isprintable():
        raise BadInput("The name of a file holds no control characters. Choose another name.")
    _check_ours(path, _COLUMN[form])
    lines = [orjson.dumps({_COLUMN[form]: example.messages()}) + b"\n" for example in examples]
    described = path.with_name("dataset_info.json")
    if form == "unsloth":
        _replace(path, b"".join(lines))
        return [path]
    if path == described:
        raise BadInput(
            "dataset_info.json is where LLaMA-Factory looks for the description. Choose another name."
        )
    known = _read_description(described)
    known[path.stem] = {"file_name": path.name, **_DESCRIPTION}
    _replace(path, b"".join(lines))
    _replace(described, orjson.dumps(known, option=orjson.OPT_INDENT_2) + b"\n")
    return [path, described]


def _check_ours(path: Path, column: str) -> None:
    """What is not of this form is somebody's file, and is not written over."""
    try:
        with path.open("rb") as file:
            begins = file.readline(len(column) + 3)
    except FileNotFoundError:
        return
    except OSError as error:
        raise BadInput(f"{path} can't be written: {error.strerror}.") from None
    if begins and begins != f'{{"{column}"'.encode():
        raise BadInput(f"{path} is there and holds something else. Choose another name.")


def _read_description(file: Path) -> dict[str, Any]:
    try:
        known = orjson.loads(file.read_bytes())
    except FileNotFoundError:
        return {}
    except orjson.JSONDecodeError:
        known = None
    if not isinstance(known, dict):
        raise BadInput(
            f"{file} is no list of data sets, as LLaMA-Factory keeps it. Export to another folder."
        )
    return known


def _replace(path: Path, content: bytes) -> None:
    try:
        replace_file(path, content, durable=True)
    except OSError as error:
        raise BadInput(f"{path} can't be written: {error.strerror}.") from None
