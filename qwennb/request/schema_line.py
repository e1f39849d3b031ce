"""A schema in one line: `"name, age int, tags list[str]?: what it is about"`, or `"name: str, age: int"`.

A field is a name, a type after a space or a colon, and words about it after a (further) colon. What stands after a
colon and is no type is words. Types are spelled as in Python: `list[str]`, `date`, `Literal["a", "b"]`, `int | None`,
`Optional[int]`, `dict[str, float]`, `tuple[int, str]`, `Decimal`, `timedelta`; a question mark makes one optional.
"""

from __future__ import annotations

import ast
import difflib
import re
from typing import Any

from qwennb.errors import SchemaError, nearest
from qwennb.request.wire_schema import DECIMAL

_FIELD = re.compile(r"([^\W\d]\w*)(?P<optional>\?)?(?P<rest>(?:\s|:|$).*)", re.DOTALL)
_BREAK = re.compile(r"([=;\n])")
_COMMA = re.compile(r",(?![^\[]*\])")
_TEXT: dict[str, Any] = {"type": "string"}
_SPELLINGS: dict[tuple[str, ...], dict[str, Any]] = {
    ("str", "string", "text"): _TEXT,
    ("int", "integer"): {"type": "integer"},
    ("float", "number"): {"type": "number"},
    ("bool", "boolean"): {"type": "boolean"},
    ("date",): {"type": "string", "format": "date"},
    ("datetime",): {"type": "string", "format": "date-time"},
    ("time",): {"type": "string", "format": "time"},
    ("timedelta", "duration"): {"type": "string", "format": "duration"},
    ("decimal",): {"anyOf": [{"type": "number"}, {"type": "string"}], DECIMAL: {}},
    ("list", "sequence", "set", "frozenset"): {"type": "array", "items": _TEXT},
    ("dict",): {"type": "object"},
}
_TYPES = {word: made for words, made in _SPELLINGS.items() for word in words}
_GENERIC = ("list", "sequence", "set", "frozenset", "dict", "tuple", "optional", "union", "literal")
_SHOWN = "str, int, float, bool, date, datetime, time, timedelta, Decimal, Literal[…], dict[str, …], tuple[…] or list[…]"


class _NoType(Exception):
    """What stands there is no type; the word that is to blame, where it is one word."""


def read_line(line: str) -> dict[str, Any]:
    """Read the JSON Schema of the object that *line* describes."""
    properties: dict[str, Any] = {}
    required: list[str] = []
    for piece in _split(line):
        field = _FIELD.fullmatch(piece.strip())
        if not field:
            raise _unreadable(piece, line)
        name = field[1]
        if name in properties:
            raise SchemaError(f"`{name}` stands twice in the schema line `{line}`.")
        made, words = _read_rest(field["rest"].strip(), piece, line)
        if field["optional"]:
            made = _or_null(made)
        properties[name] = {**made, "description": words} if words else made
        if not _takes_null(made):
            required.append(name)
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _split(line: str) -> list[str]:
    """Part the fields: commas in brackets, and in quotes within those, part nothing."""
    pieces, depth, quote = [""], 0, ""
    for character in line:
        if quote:
            quote = "" if character == quote else quote
        elif depth and character in "\"'":
            quote = character
        elif character in "[]":
            depth += 1 if character == "[" else -1
        elif character == "," and depth <= 0:
            pieces.append("")
            continue
        pieces[-1] += character
    return pieces if depth == 0 and not quote else _COMMA.split(line)


def _read_rest(rest: str, piece: str, line: str) -> tuple[dict[str, Any], str]:
    """Read the type and the words of a field, from what stands behind its name."""
    if not rest:
        return dict(_TEXT), ""
    after_colon = rest.startswith(":")
    said = rest.removeprefix(":").strip()
    head, colon, words = _part_at_colon(said)
    if (after_colon and not said) or (colon and not words):
        raise _unreadable(piece, line)
    try:
        return _read_type(head), words
    except _NoType as wrong:
        word = str(wrong)
        if after_colon and not (_is_near(word) or _holds_types(head)):
            if _reads_on(said):
                raise _unreadable(piece, line) from None
            return dict(_TEXT), said
        if not word:
            raise _unreadable(piece, line) from None
        raise SchemaError(
            f"`{word}` is not a type of a schema line (`{line}`){nearest(word, _TYPES) or f'; use {_SHOWN}.'}"
        ) from None


def _part_at_colon(said: str) -> tuple[str, str, str]:
    depth = 0
    for at, character in enumerate(said):
        depth += (character == "[") - (character == "]")
        if character == ":" and depth <= 0:
            return said[:at].strip(), ":", said[at + 1 :].strip()
    return said, "", ""


def _is_near(word: str) -> bool:
    """Tell whether a *word* is a type misspelled, rather than a description of one word."""
    return not word.endswith("s") and bool(
        difflib.get_close_matches(word.casefold(), [*_TYPES, *_GENERIC], cutoff=0.85)
    )


def _holds_types(text: str) -> bool:
    """Tell whether *text* is a type with types in brackets but for its name: `array[str]`."""
    outer, bracket, inside = text.partition("[")
    return bool(bracket) and outer.isidentifier() and _is_type(f"tuple[{inside}")


def _reads_on(said: str) -> bool:
    """Tell whether a type and then a default or another field stand in *said*, where words were looked for."""
    head, mark, rest = (*_BREAK.split(said, maxsplit=1), "", "")[:3]
    if not (mark and _is_type(head.strip())):
        return False
    field = _FIELD.fullmatch(rest.strip())
    if mark == "=" or not field:
        return mark == "="
    behind = field["rest"].strip()
    return not behind or behind.startswith(":") or _is_type(behind)


def _is_type(text: str) -> bool:
    try:
        _read_type(text)
    except _NoType:
        return False
    return True


def _read_type(text: str) -> dict[str, Any]:
    optional = text.endswith("?")
    try:
        node = ast.parse(text.removesuffix("?").strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise _NoType("") from None
    made = _type_of(node)
    return _or_null(made) if optional else made


def _type_of(node: ast.expr) -> dict[str, Any]:
    if isinstance(node, ast.Constant) and node.value is None:
        return {"type": "null"}
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _union([node.left, node.right])
    if isinstance(node, ast.Subscript):
        return _generic(_name_of(node.value), _items(node.slice))
    name = _name_of(node)
    if name.casefold() not in _TYPES:
        raise _NoType(name)
    return dict(_TYPES[name.casefold()])


def _generic(name: str, inside: list[ast.expr]) -> dict[str, Any]:
    """Read `name[inside]`."""
    match name.casefold(), inside:
        case (("list" | "sequence" | "set" | "frozenset"), [item]):
            return {"type": "array", "items": _type_of(item)}
        case "dict", [key, value]:
            if _type_of(key) != _TEXT:
                raise _NoType(f"{name}[{ast.unparse(key)}, …]")
            return {"type": "object", "additionalProperties": _type_of(value)}
        case "tuple", [item, ast.Constant(value=value)] if value is ...:
            return {"type": "array", "items": _type_of(item)}
        case "tuple", [_, *_]:
            count = len(inside)
            return {
                "type": "array",
                "prefixItems": list(map(_type_of, inside)),
                "minItems": count,
                "maxItems": count,
            }
        case "optional", [item]:
            return _or_null(_type_of(item))
        case "union", [_, *_]:
            return _union(inside)
        case "literal", [_, *_]:
            return _literal(inside)
    raise _NoType(name)


def _literal(inside: list[ast.expr]) -> dict[str, Any]:
    values = [item.value if isinstance(item, ast.Constant) else item for item in inside]
    plain = [value for value in values if value is not None]
    for kind, word in ((str, "string"), (bool, "boolean"), (int, "integer")):
        if plain and all(type(value) is kind for value in plain):
            made = {"type": word, "enum": plain}
            return made if len(plain) == len(values) else _or_null(made)
    raise _NoType(f"Literal[{', '.join(map(ast.unparse, inside))}]")


def _union(members: list[ast.expr]) -> dict[str, Any]:
    made = [_type_of(member) for member in members]
    others = [one for one in made if one != {"type": "null"}]
    if not others:
        return {"type": "null"}
    whole = others[0] if len(others) == 1 else {"anyOf": others}
    return whole if len(others) == len(made) else _or_null(whole)


def _or_null(made: dict[str, Any]) -> dict[str, Any]:
    if _takes_null(made):
        return made
    if isinstance(made.get("type"), str):
        listed = {"enum": [*made["enum"], None]} if "enum" in made else {}
        return {**made, "type": [made["type"], "null"], **listed}
    return {"anyOf": [made, {"type": "null"}]}


def _takes_null(made: dict[str, Any]) -> bool:
    kind = made.get("type")
    return "null" in (kind if isinstance(kind, list) else [kind]) or any(
        map(_takes_null, made.get("anyOf", ()))
    )


def _name_of(node: ast.expr) -> str:
    """Read `date`, or `date` of `datetime.date`."""
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.Name):
        return node.id
    raise _NoType("")


def _items(node: ast.expr) -> list[ast.expr]:
    return list(node.elts) if isinstance(node, ast.Tuple) else [node]


def _unreadable(piece: str, line: str) -> SchemaError:
    piece, line = " ".join(piece.split()), " ".join(line.split())
    return SchemaError(
        f'`{piece}` can\'t be read in the schema line `{line}`. Write names with types and commas between, like "name, age int, tags list[str]" or "name: str, age: int".'
    )
