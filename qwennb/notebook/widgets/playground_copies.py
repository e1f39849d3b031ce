"""What was tried, as text to go on with: a `%%qwen` cell, a call over a column, a curl command.

Each asks the very same: the cell and the call have the same key, curl sends the same body. A cell carries its prompt
filled in; what the cell magic, or IPython before it, would read as its own or drop at an end is written as an expression.
No key of anybody's is in any of them: curl takes it out of an environment variable, by name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import orjson

from qwennb.endpoints import HOSTED, Endpoint
from qwennb.errors import BadInput
from qwennb.request import Request

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


def as_curl(request: Request, endpoint: Endpoint) -> str:
    """A command that sends what *place* is sent for *request*, and gets the answer in one piece."""
    if endpoint.server is not None:
        raise BadInput(
            "The embedded model has no address of its own. `qwennb local serve` gives it one; then copy as curl there."
        )
    wire = endpoint.write(request, stream=False)
    call = endpoint.call(wire)
    headers = {"Content-Type": "application/json", **call.headers}
    lines = [f"curl -sS {_shell_quote(call.url)}"]
    lines += [f"  -H {_shell_quote(f'{name}: {value}')}" for name, value in headers.items()]
    if endpoint.key is not None:
        lines.append(f'  -H "Authorization: Bearer ${_variable(endpoint)}"')
    # The body has no line end of its own, so that no line in it can end the document.
    lines.append("  --data-binary @- <<'JSON'")
    return " \\\n".join(lines) + f"\n{orjson.dumps(call.body).decode()}\nJSON"


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


def _shell_quote(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _variable(endpoint: Endpoint) -> str:
    """The environment variable that holds the key of *place*: its own, or the one for any base URL."""
    hosted, host = HOSTED.get(endpoint.name), urlsplit(endpoint.base_url).hostname or ""
    known = hosted is not None and any(
        host == one or (one[0] == "." and host.endswith(one)) for one in hosted.hosts
    )
    return hosted.variable if hosted is not None and known else "QWENNB_API_KEY"
