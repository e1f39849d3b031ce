"""The fields of a schema in words: held to a grammar, a model sees none of them otherwise.

- name (string): who ordered
- amount (decimal or null)
- due (YYYY-MM-DD or null)
- lines (list of item (string), count (integer))
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from qwennb.request import DECIMAL, Schema

_Node = Mapping[str, Any]
_FORMATS = {"date": "YYYY-MM-DD", "date-time": "YYYY-MM-DDThh:mm:ss", "time": "hh:mm:ss", "duration": "ISO 8601 duration"}  # fmt: skip
DEEPEST = 4  # what lies deeper, or holds itself, is called by its kind alone


def tell_fields(schema: Schema) -> str:
    """Tell what *schema* asks for, a line for each of its fields; empty where it has none."""
    known = schema.types.get("$defs", {})
    node: _Node = schema.types
    if "$ref" in node:
        node = _find(node, known)
    fields: _Node = node.get("properties", {})
    return "\n".join(f"- {_tell_field(name, inner, known, 0)}" for name, inner in fields.items())


def _tell_field(name: str, node: Any, known: _Node, depth: int) -> str:
    """Name a field, with its kind and what its description says."""
    if not isinstance(node, Mapping):
        return name
    kinds = _list_kinds(node, known, depth)
    told = [kind for kind in kinds if kind != "null"]
    kind = " or ".join(told if told != ["string"] else ())
    brackets = ", ".join(filter(None, (kind, "may be null" if "null" in kinds else "")))
    about = " ".join(str(node.get("description", "")).split())
    return f"{name}{f' ({brackets})' if brackets else ''}{f': {about}' if about else ''}"


def _list_kinds(node: Any, known: _Node, depth: int) -> list[str]:
    """List what one value may be."""
    if not isinstance(node, Mapping):
        return []
    if "$ref" in node:
        return _list_kinds(_find(node, known), known, depth + 1) if depth < DEEPEST else ["object"]
    if DECIMAL in node:
        return ["decimal"]
    for word in ("anyOf", "oneOf", "allOf"):
        if word in node:
            return _once(kind for one in node[word] for kind in _list_kinds(one, known, depth))
    listed = node.get("enum", [node["const"]] if "const" in node else None)
    if listed is not None:
        return _once(value if isinstance(value, str) else orjson.dumps(value).decode() for value in listed)
    kinds = node["type"] if isinstance(node.get("type"), list) else [node.get("type")]
    return _once(_tell_one(kind, node, known, depth) for kind in kinds)


def _tell_one(kind: Any, node: _Node, known: _Node, depth: int) -> str:
    if kind == "array":
        items = node.get("prefixItems") or [node.get("items")]
        inside = " and ".join(
            filter(None, (" or ".join(_list_kinds(one, known, depth + 1)) for one in items))
        )
        return f"list of {inside}" if inside else "list"
    if kind == "object":
        if (fields := node.get("properties")) and depth < DEEPEST:
            return ", ".join(_tell_field(name, inner, known, depth + 1) for name, inner in fields.items())
        inside = " or ".join(_list_kinds(node.get("additionalProperties"), known, depth + 1))
        return f"object of {inside}" if inside else "object"
    return str(_FORMATS.get(node.get("format", ""), kind) if kind == "string" else kind or "")


def _once(kinds: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(filter(None, kinds)))


def _find(node: _Node, known: _Node) -> _Node:
    """Find the definition that a reference names; a schema that is understood has no others."""
    found: _Node = known.get(node["$ref"].removeprefix("#/$defs/").replace("~1", "/").replace("~0", "~"), {})
    return found
