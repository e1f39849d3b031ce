r"""The options of `%qwen` and `%%qwen`: one table, from which they are read, explained and completed.

Options stand at the front of the line. From the first word that is none, or after `--`, the rest is prompt, as it was
typed: quotes, apostrophes and question marks in it are its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from qwennb import request
from qwennb.errors import BadInput, nearest
from qwennb.text import table

LEVELS = ("low", "medium", "high")
# What --param may name: the options of a call that have no flag of their own, and those that have.
SETTINGS = request.SETTINGS.keys() - {"extra"} | {"timeout", "max_pixels", "max_steps", "overflow"}


@dataclass(frozen=True, slots=True)
class Option:
    """One option. Without `value` it is a switch; `maybe` takes its value only when one of `values` or a number follows."""

    flags: tuple[str, ...]
    about: str
    value: str = ""
    values: tuple[str, ...] = ()
    many: bool = False
    maybe: bool = False

    @property
    def name(self) -> str:
        """The name by which its value is found: the long flag, as an identifier."""
        return self.flags[-1].lstrip("-").replace("-", "_")

    def __str__(self) -> str:
        shown = f" [{self.value}]" if self.maybe else f" {self.value}" if self.value else ""
        return ", ".join(self.flags) + shown


OPTIONS: tuple[Option, ...] = (
    Option(("-m", "--model"), "the model to ask: plus, flash, 27b, qwen3.5-9b …", "MODEL"),
    Option(("-e", "--endpoint"), "where to ask: a name (qwennb doctor lists them) or a base URL", "NAME"),
    Option(("--system",), "the system text", "TEXT"),
    Option(("--image",), "a picture: a variable, a path or an expression; may be repeated", "X", many=True),
    Option(("--video",), "a video: a variable or a path; may be repeated", "X", many=True),
    Option(("--file",), "a document, picture or video: a variable, a path, a folder or a pattern (docs/*.md); may be repeated", "X", many=True),
    Option(("--schema",), 'the form of the answer: a class or dict, or a line like "name, age int"', "X"),
    Option(("--choices",), 'the answers to choose from: a list, or "yes, no"', "X"),
    Option(("--tools",), "functions that the model may ask to have called: f,g", "F,G"),
    Option(("--yes",), "allow the tool calls of this cell without asking"),
    Option(("--resume",), "with --chat: go on from the turns stored by an earlier kernel"),
    Option(("--think",), "let the model think: low, medium, high or a number of tokens", "LEVEL", LEVELS, maybe=True),
    Option(("--no-think",), "answer without thinking"),
    Option(("--search",), "let the endpoint search the web, where it can"),
    Option(("--chat",), "ask within the conversation of this name", "NAME"),
    Option(("--into",), "bind the Answer to this variable", "NAME"),
    Option(("--code",), "put the code of the answer into the next cell, where the front end can"),
    Option(("--temperature",), "how freely to draw, 0 to 2", "T"),
    Option(("--top-p",), "draw from this share of the likeliest tokens", "P"),
    Option(("--max-tokens",), "the most tokens of the answer", "N"),
    Option(("--seed",), "the seed of the draw", "N"),
    Option(("--param",), "any other option as name=value, such as top_k=20; extra.name=value is passed on as it is", "K=V", many=True),
    Option(("--refresh",), "ask again and keep the new answer"),
    Option(("--replay",), "only recall; what was never answered is an error"),
    Option(("--no-cache",), "neither recall nor keep"),
    Option(("--raw",), "send the prompt as it is typed: no {{ }} is filled in"),
    Option(("--plan",), "say what asking would take; nothing is sent"),
    Option(("--budget",), "the most US dollars that this cell may cost", "USD"),
    Option(("--quiet",), "show nothing; for use with --into"),
)  # fmt: skip

BY_FLAG = {flag: option for option in OPTIONS for flag in option.flags}

_FLAG = re.compile(r"(--[A-Za-z][\w-]*|-[A-Za-z])(?:=|(?=\s|$))")
_VALUE = re.compile(r"""(?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[^\s"'])+""")
_QUOTED = re.compile(r"""([\w.-]+=)?(?:"((?:\\.|[^"\\])*)"|'((?:\\.|[^'\\])*)')""")


@dataclass(frozen=True, slots=True)
class ParsedLine:
    """What stood on a line: the options that were given, and the prompt behind them."""

    given: dict[str, Any]
    prompt: str


def read_line(line: str) -> ParsedLine:
    """Read the options at the front of *line*, and the rest."""
    given: dict[str, Any] = {}
    at = _space(line, 0)
    while (found := _FLAG.match(line, at)) or line.startswith("-", at):
        if found is None:
            if line.startswith("--", at) and _space(line, at + 2) > at + 2:
                at = _space(line, at + 2)
            break
        option = BY_FLAG.get(found[1])
        if option is None:
            raise BadInput(
                f"There is no option `{found[1]}`{nearest(found[1], BY_FLAG) or '; %%qwen? lists them.'}"
                " A prompt that begins so stands behind `--`."
            )
        value, at = _value(option, line, found)
        at = _space(line, at)
        if option.many:
            given.setdefault(option.name, []).append(value)
        elif option.name in given:
            raise BadInput(f"`{found[1]}` is given twice.")
        else:
            given[option.name] = value
    _check(given)
    return ParsedLine(given, line[at:])


def help_text() -> str:
    """Write the options as help shows them."""
    return "\n".join(table([(str(option), option.about) for option in OPTIONS], indent="    "))


def _space(line: str, at: int) -> int:
    while at < len(line) and line[at].isspace():
        at += 1
    return at


def _value(option: Option, line: str, flag: re.Match[str]) -> tuple[Any, int]:
    joined = flag[0].endswith("=")
    if not option.value:
        if joined:
            raise BadInput(f"`{flag[1]}` takes no value.")
        return True, flag.end()
    start = flag.end() if joined else _space(line, flag.end())
    found = _VALUE.match(line, start)
    if option.maybe and not joined and not (found and (found[0] in option.values or found[0].isdigit())):
        return True, flag.end()
    if found is None:
        raise BadInput(f"`{flag[1]}` needs a value: {flag[1]} {option.value}.")
    return _strip_quotes(found[0]), found.end()


def _strip_quotes(value: str) -> str:
    """Strip the quotes around *value*, or around what follows `name=`. Any other stay: `df["a"]`, `stop=["."]`."""
    quoted = _QUOTED.fullmatch(value)
    if quoted is None:
        return value
    inner = quoted[2] if quoted[2] is not None else quoted[3]
    return (quoted[1] or "") + re.sub(r"\\([\"'\\])", r"\1", inner)


def _check(given: dict[str, Any]) -> None:
    for several in (("think", "no_think"), ("refresh", "replay", "no_cache"), ("schema", "choices")):
        both = [f"--{name.replace('_', '-')}" for name in several if name in given]
        if len(both) > 1:
            raise BadInput(f"{' and '.join(both)} contradict each other. Give one of them.")
    if "resume" in given and "chat" not in given:
        raise BadInput("--resume goes on with a conversation: --chat NAME --resume.")
    for name in ("into", "chat"):
        if name in given and not (given[name].isidentifier() if name == "into" else given[name].strip()):
            raise BadInput(f"--{name} {given[name]!r} is not a name.")


def flags() -> Iterator[str]:
    """Yield every flag, in the order of the table."""
    for option in OPTIONS:
        yield from reversed(option.flags)
