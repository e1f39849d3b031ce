"""The `{{ name }}` template: the only interpolation there is.

A template is cut once into literal text and holes. What fills a hole is never looked at again, so nothing
that is inserted can be expanded. Single braces, LaTeX and JSON stay as they are typed:

    {{ name }}   {{ order.city }}   {{ `odd name` }}      holes
    {"a": {"b": 1}}   \\frac{1}{2}   {{1}}                text
    {{ "{{" }}                                            two braces, when a hole would be read otherwise

In a cell the same cut is made with `Template.of_expressions`, where a hole may hold any Python expression; the
notebook evaluates what its user typed. Everywhere else a hole is a name, and an expression that mentions a known
name is refused, so that `{{ price * 2 }}` is never sent as text by mistake.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from qwennb.errors import TemplateError, nearest

_IDENTIFIER = r"[^\W\d]\w*"
_HOLE = re.compile(
    rf"\{{\{{\s*(?:(?P<name>{_IDENTIFIER}(?:\.{_IDENTIFIER})*)|`(?P<odd>[^`\n]+)`(?P<rest>(?:\.{_IDENTIFIER})*)"
    r"|(?P<quoted>\"[^\"\n]*\"|'[^'\n]*'))\s*\}\}"
)
_TRIES = 12  # of closing pairs for one hole: more are found in text that never was one
_DOUBLED = re.compile(r"\{\{([^{}\n]*)\}\}")


@dataclass(frozen=True, slots=True)
class Hole:
    """A place to fill: the path of names, or in a cell the expression as typed."""

    path: tuple[str, ...]
    source: str

    @property
    def name(self) -> str:
        """The first name of the path: a keyword of `ask`, or a column."""
        return self.path[0]


@dataclass(frozen=True, slots=True)
class Template:
    """Literal text and holes, in order."""

    pieces: tuple[str | Hole, ...]

    @classmethod
    def of(cls, text: str, known: Iterable[str] = ()) -> Template:
        """Cut *text* at its `{{ name }}` holes; *known* names guard against expressions sent as text."""
        pieces: list[str | Hole] = []
        known = frozenset(known)
        end = 0
        for match in _HOLE.finditer(text):
            pieces.append(_guarded(text[end : match.start()], known))
            pieces.append(_hole(match))
            end = match.end()
        pieces.append(_guarded(text[end:], known))
        return cls(_merged(pieces))

    @classmethod
    def of_expressions(cls, text: str) -> Template:
        """Cut a cell's *text*: what stands between double braces and compiles as Python is a hole."""
        pieces: list[str | Hole] = []
        position = literal = 0
        while (start := text.find("{{", position)) >= 0:
            while text.startswith("{{{", start) and _expression(text, start + 1) is not None:
                start += 1
            found = _expression(text, start)
            if found is None:
                position = start + 2
                continue
            source, end = found
            pieces.append(text[literal:start])
            pieces.append(_quoted(source) or Hole((source,), source))
            position = literal = end
        pieces.append(text[literal:])
        return cls(_merged(pieces))

    @property
    def holes(self) -> tuple[Hole, ...]:
        """The holes in the order they are written, repeats included."""
        return tuple(piece for piece in self.pieces if isinstance(piece, Hole))

    def fill(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        """The pieces with each hole replaced by its value. An unknown name is an error naming the nearest."""
        return tuple(piece if isinstance(piece, str) else look_up(piece, values) for piece in self.pieces)

    def evaluate(self, evaluator: Callable[[str], Any]) -> tuple[Any, ...]:
        """The pieces with each hole's source given to *evaluator* (a notebook's own `ev`)."""
        return tuple(piece if isinstance(piece, str) else evaluator(piece.source) for piece in self.pieces)


def look_up(hole: Hole, values: Mapping[str, Any]) -> Any:
    """The value that *hole* names: a keyword, then fields or attributes along the path."""
    if hole.name not in values:
        given = ", ".join(f"`{name}`" for name in values) or "nothing"
        raise TemplateError(
            f"The template names `{hole.source}`, and there is no `{hole.name}`"
            f"{nearest(hole.name, values) or f'; given: {given}.'}"
            ' To send two braces as text, write {{ "{{" }}.'
        )
    value = values[hole.name]
    for step, name in enumerate(hole.path[1:], start=1):
        try:
            value = _field(value, name)
        except (KeyError, AttributeError):
            inside, fields = ".".join(hole.path[:step]), _fields(value)
            raise TemplateError(
                f"The template names `{hole.source}`, and `{inside}` has no `{name}`{nearest(name, fields) or '.'}"
            ) from None
    return value


def _field(value: Any, name: str) -> Any:
    if isinstance(value, Mapping):
        return value[name]
    if name.startswith("_"):  # from a text's `__class__` the way leads to every global there is
        raise AttributeError(name)
    return getattr(value, name)


def _fields(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        return [name for name in value if isinstance(name, str)]
    return [name for name in dir(value) if not name.startswith("_")]


def _hole(match: re.Match[str]) -> str | Hole:
    if (quoted := match["quoted"]) is not None:
        return str(quoted[1:-1])
    if (odd := match["odd"]) is not None:
        return Hole((odd, *match["rest"].split(".")[1:]), odd + match["rest"])
    return Hole(tuple(match["name"].split(".")), match["name"])


def _guarded(text: str, known: frozenset[str]) -> str:
    for match in _DOUBLED.finditer(text):
        for word in re.findall(_IDENTIFIER, match[1]):
            if word in known:
                raise TemplateError(
                    f"`{match[0]}` is an expression; outside a cell only names are filled in. Compute it first and "
                    f'pass it by name, or write {{{{ "{{{{" }}}} for two braces as text.'
                )
    return text


def _expression(text: str, start: int) -> tuple[str, int] | None:
    """The shortest Python expression between `{{` at *start* and a `}}`, with the position after it."""
    end = start + 2
    for _ in range(_TRIES):
        if (close := text.find("}}", end)) < 0:
            return None
        # `{{ {"a": {1: 2}}["a"] }}`: a closing pair may be part of the expression, so try each in turn.
        source = text[start + 2 : close].strip()
        if "\n\n" in source or len(source) > 10_000:
            return None
        if source and not source[0].isdigit() and _compiles(source):
            return source, close + 2
        end = close + 1
    return None


def _compiles(source: str) -> bool:
    try:
        with warnings.catch_warnings(action="ignore"):  # `"\frac"` in what is only text is nobody's mistake
            ast.parse(source, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _quoted(source: str) -> str | None:
    if len(source) >= 2 and source[0] in "\"'" and source[-1] == source[0]:
        value = ast.literal_eval(source) if _compiles(source) else None
        return value if isinstance(value, str) else None
    return None


def _merged(pieces: Iterable[str | Hole]) -> tuple[str | Hole, ...]:
    merged: list[str | Hole] = []
    for piece in pieces:
        if isinstance(piece, str) and merged and isinstance(merged[-1], str):
            merged[-1] += piece
        elif piece != "":
            merged.append(piece)
    return tuple(merged)
