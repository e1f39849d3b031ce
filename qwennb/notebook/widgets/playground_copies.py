"""What was tried, as text to go on with: a `%%qwen` cell, a call over a column.

Each asks the very same, with the same key. A cell carries its prompt
filled in; what the cell magic, or IPython before it, would read as its own or drop at an end is written as an expression.
No key of anybody's is in either of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson

from qwennb.errors import BadInput

FLAGS = {
    "model": "-m", "endpoint": "-e", "system": "--system", "temperature": "--temperature", "top_p": "--top-p",
    "max_tokens": "--max-tokens", "seed": "--seed", "schema": "--schema", "choices": "--choices",
}  # fmt: skip
_MODES = {"refresh": "--refresh", "replay": "--replay", "off": "--no-cache"}
_PLAIN = re.compile(r"[\w.:/+@%-]+")
_SCHEMA_OF_NAMES = re.compile(r"\w+(?:\s*,\s*\w+)*")
# What no cell holds as it is: line ends that a front end or Python would make its own, and controls.
_ODD = re.compile("[\x00-\x08\x0b-\x1f\x7f\x85\u2028\u2029]")
# What IPython takes for the prompts of a pasted session, and strips.
_PROMPT = re.compile(r"^(?=\s*(?:\[(?:nav|ins)\])?\s*(?:>>>|\.{3}|In ?\[))", re.MULTILINE)


def as_cell(text: str, options: Mapping[str, Any]) -> str:
    """A `%%qwen` cell that asks *text* with *options*."""
    words = ["%%qwen"]
    for name, value in options.items():
        words += _words(name, value)
    return " ".join(words) + "\n" + _body(text)


def as_column(prompt: str, options: Mapping[str, Any], frame: str, *, pandas: bool = False) -> str:
    """A call that asks *prompt* of every row of what *frame* says: a variable, or an expression."""
    given = [_python(prompt), *(f"{name}={_python(value)}" for name, value in options.items())]
    imports = "" if re.fullmatch(r"[^\W\d]\w*", frame) else "import polars as pl\n"
    imports += "import qwennb\n\n"
    if pandas:
        return f"{imports}qwennb.ask({frame}, {', '.join(given)})"
    return f"{imports}{frame}.qwen.ask({', '.join(given)})"


def _words(name: str, value: Any) -> list[str]:
    """The words of the magic's line for one option."""
    if name == "thinking":
        return ["--no-think"] if value is False else ["--think"] if value is True else [f"--think={value}"]
    if name == "search":
        return ["--search"] if value else []
    if name == "cache":
        return [_MODES[value]] if value in _MODES else []
    if name == "choices":
        if any("," in choice for choice in value):
            raise BadInput("A choice with a comma in it can't stand on a %%qwen line. Copy as column call.")
        return ["--choices", _word(", ".join(value))]
    if name == "schema":
        return ["--schema", _word(_schema(value))]
    if name in FLAGS:
        return [FLAGS[name], _word(str(value))]
    if name == "extra":
        return [
            word for field, one in value.items() for word in ("--param", _word(f"extra.{field}={_json(one)}"))
        ]
    return ["--param", _word(f"{name}={_json(value)}")]


def _schema(value: Any) -> str:
    if isinstance(value, type):
        return value.__name__
    if not isinstance(value, str):
        raise BadInput(
            "A schema that is no class and no line can't stand on a %%qwen line. Copy as column call."
        )
    # A bare name would be looked up in the notebook.
    return (
        ", ".join(f"{name.strip()} str" for name in value.split(","))
        if _SCHEMA_OF_NAMES.fullmatch(value)
        else value
    )


def _word(text: str) -> str:
    if _ODD.search(text) or "\n" in text:
        raise BadInput(
            "The line of %%qwen can't carry a text of several lines (the system text, or an option). Copy as column call."
        )
    if _PLAIN.fullmatch(text) and not text.startswith("-"):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


def _body(text: str) -> str:
    """*text* as the body of a cell, so that what is asked is exactly it."""
    kept = text.rstrip("\n")
    made = kept.replace("{{", '{{ "{{" }}')
    made = _ODD.sub(lambda odd: f'{{{{ "\\u{ord(odd[0]):04x}" }}}}', made)
    made = _PROMPT.sub('{{ "" }}', made)
    ends = text[len(kept) :]
    return made + (f'{{{{ "{ends}" }}}}'.replace("\n", "\\n") if ends else "")


def _python(value: Any) -> str:
    if isinstance(value, type):
        return value.__name__
    return repr(value)
