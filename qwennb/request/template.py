"""The `{{ name }}` template: the only interpolation there is.

A template is cut once into literal text and holes. What fills a hole is never looked at again, so nothing
that is inserted can be expanded. Single braces, LaTeX and JSON stay as they are typed:

    {{ name }}   {{ order.city }}   {{ `odd name` }}      holes
    {"a": {"b": 1}}   \\frac{1}{2}   }}                   text
    {{ "{{" }}                                            two braces as text

In a cell the same cut is made with `Template.of_expressions`, where a hole may hold any Python expression; the
notebook evaluates what its user typed. Everywhere else a hole is a name. Two opening braces that begin no hole
(`{{ price * 2 }}`, `{{ two words }}`, `{{ }}`) are an error that says what to type: sent as text, they would ask
something that nobody meant.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from qwennb.errors import TemplateError, nearest

_IDENTIFIER = r"[^\W\d]\w*"
_HOLE = re.compile(
    rf"\{{\{{\s*(?:(?P<name>{_IDENTIFIER}(?:\.{_IDENTIFIER})*)|`(?P<odd>[^`\n]+)`(?P<rest>(?:\.{_IDENTIFIER})*)"
    r"|(?P<quoted>\"[^\"\n]*\"|'[^'\n]*'))\s*\}\}"
)
_TRIES = 12  # of closing pairs for one hole: more are found in text that never was one
_DOUBLED = re.compile(r"\{\{([^{}\n]*)\}\}")
_SHOWN = 40  # characters of a wrong hole that its error repeats
AS_TEXT = 'To send two braces as text, write {{ "{{" }}.'


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
    """Literal text and holes, in order, repeats included. Neighbouring texts are one."""

    pieces: tuple[str | Hole, ...]
    holes: tuple[Hole, ...] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        merged, holes = list[str | Hole](), list[Hole]()
        for piece in self.pieces:
            if isinstance(piece, Hole):
                merged.append(piece)
                holes.append(piece)
            elif merged and isinstance(merged[-1], str):
                merged[-1] += piece
            elif piece:
                merged.append(piece)
        object.__setattr__(self, "pieces", tuple(merged))
        object.__setattr__(self, "holes", tuple(holes))

    @classmethod
    def of(cls, text: str, known: Iterable[str] = ()) -> Template:
        """Cut *text* at its `{{ name }}` holes. *known* names tell an expression from a name that is spelled wrong."""
        pieces: list[str | Hole] = []
        known = frozenset(known)
        end = 0
        for match in _HOLE.finditer(text):
            pieces.append(_without_doubled(text[end : match.start()], text[match.start() :], known))
            pieces.append(_hole(match))
            end = match.end()
        pieces.append(_without_doubled(text[end:], "", known))
        return cls(tuple(pieces))

    @classmethod
    def of_expressions(cls, text: str) -> Template:
        """Cut a cell's *text*: what stands between double braces is a Python expression, or an error."""
        pieces: list[str | Hole] = []
        end = 0
        while (start := text.find("{{", end)) >= 0:
            while text.startswith("{{{", start) and _expression(text, start + 1) is not None:
                start += 1
            found = _expression(text, start)
            if found is None or "{{" in text[end:start]:
                raise _no_expression(text[text.find("{{", end) :])
            source, after = found
            pieces.append(text[end:start])
            pieces.append(quoted if (quoted := _quoted_text(source)) is not None else Hole((source,), source))
            end = after
        pieces.append(text[end:])
        return cls(tuple(pieces))

    def fill(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        """Replace each hole by its value. An unknown name is an error naming the nearest."""
        return tuple(piece if isinstance(piece, str) else look_up(piece, values) for piece in self.pieces)

    def evaluate(self, evaluator: Callable[[str], Any]) -> tuple[Any, ...]:
        """Replace each hole by what *evaluator* (a notebook's own `ev`) makes of its source."""
        return tuple(piece if isinstance(piece, str) else evaluator(piece.source) for piece in self.pieces)


def look_up(hole: Hole, values: Mapping[str, Any]) -> Any:
    """Find the value that *hole* names: a keyword, then fields or attributes along the path."""
    if hole.name not in values:
        given = ", ".join(f"`{name}`" for name in values) or "nothing"
        raise TemplateError(
            f"The template names `{hole.source}`, and there is no `{hole.name}`"
            f"{nearest(hole.name, values) or f'; given: {given}.'} {AS_TEXT}"
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


def _without_doubled(text: str, after: str, known: frozenset[str]) -> str:
    """Give *text*, which stands between holes and before *after*: two opening braces in it are a hole that is none."""
    start = text.find("{{")
    if start < 0:
        return text
    found = _DOUBLED.match(text, start)
    inside = found[1].strip() if found else ""
    if found and not inside:
        raise TemplateError(f"`{found[0]}` names nothing. Put a name between the braces. {AS_TEXT}")
    if found and inside.isidentifier():  # it is known: it stands within more braces
        raise TemplateError(f"`{_show(text[start:] + after)}` has more than two braces. {AS_TEXT}")
    if found:
        odd = "" if "`" in inside else f"; an odd name is written {{{{ `{_show(inside)}` }}}}"
        if inside not in known and _is_expression(inside, known):
            raise TemplateError(
                f"`{_show(found[0])}` is an expression; outside a cell only names are filled in. Compute it first and "
                f"pass it by name{odd}. {AS_TEXT}"
            )
        raise TemplateError(f"`{_show(found[0])}` is no name{odd}. {AS_TEXT}")
    raise TemplateError(
        f"`{_show(text[start:] + after)}` begins with two braces, and no name follows that two braces close. {AS_TEXT}"
    )


def _is_expression(inside: str, known: frozenset[str]) -> bool:
    mentions = known.intersection(re.findall(_IDENTIFIER, inside))
    return bool(mentions) or (_compiles(inside) and not inside.isdecimal())


def _no_expression(text: str) -> TemplateError:
    """Make the error about a cell's *text* that begins with two braces, and with no expression after them."""
    found = _DOUBLED.match(text)
    inside = found[1].strip() if found else ""
    if found and not inside:
        what = "names nothing"
    elif found and inside[0].isdigit():
        what = "begins with a number, not with a name"
    else:
        what = (
            "is no Python expression"
            if found
            else "begins with two braces, and no expression follows that two braces close"
        )
    return TemplateError(
        f'`{_show(found[0] if found else text)}` {what}. Two braces as text: --raw, or {{{{ "{{{{" }}}}.'
    )


def _show(text: str) -> str:
    """Show the beginning of *text*, in one line."""
    line = " ".join(text[: 4 * _SHOWN].split())
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…"


def _expression(text: str, start: int) -> tuple[str, int] | None:
    """Find the shortest Python expression between `{{` at *start* and a `}}`, with the position after it."""
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


def _quoted_text(source: str) -> str | None:
    if len(source) >= 2 and source[0] in "\"'" and source[-1] == source[0]:
        value = ast.literal_eval(source) if _compiles(source) else None
        return value if isinstance(value, str) else None
    return None
