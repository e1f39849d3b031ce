"""One spelling for one JSON Schema.

`normalised` is what is sent: references written out where they are not recursive, the titles that pydantic makes up
and its OpenAPI `discriminator` dropped, the fields in the user's order. `canonical_schema` is what the key sees: the
same with `required` sorted and recursive definitions numbered, so that neither the order of classes nor their names
take part. A reference to anything but the schema itself is refused: nothing is ever fetched to read a schema.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from qwennb.errors import SchemaError

# Written-out references can double at every level; what a model could still follow is far below.
MOST_NODES = 20_000

_NAMED = ("properties", "patternProperties", "dependentSchemas")
_LISTED = ("anyOf", "oneOf", "allOf", "prefixItems")
_SINGLE = (
    "items", "additionalProperties", "not", "contains", "if", "then", "else", "propertyNames", "unevaluatedItems",
    "unevaluatedProperties", "contentSchema",
)  # fmt: skip
_REMARKS = ("title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly")

_Walk = Callable[[Any, str | None], Any]


def normalise_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Write the plain references of *schema* out and drop the titles that pydantic makes up."""
    try:
        return _Normaliser(schema).normalise()
    except RecursionError:
        raise SchemaError("The schema is nested too deeply to be sent. Make it flatter.") from None


def canonical_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Spell a normalised *schema* as the key does."""
    definitions: Mapping[str, Any] = schema.get("$defs") or {}
    numbers: dict[str, str] = {}
    numbered: dict[str, Any] = {}

    def walk(node: Any, _: str | None) -> Any:
        if not isinstance(node, Mapping):
            return node
        made = {
            word: dict(sorted(value.items())) if word in _NAMED and isinstance(value, Mapping) else value
            for word, value in sorted(node.items())
        }
        if isinstance(made.get("required"), list):
            made["required"] = sorted(made["required"])
        if (name := _target_name(made.get("$ref"))) in definitions:
            if name not in numbers:
                numbers[name] = str(len(numbers) + 1)
                numbered[numbers[name]] = walk(definitions[name], None)
            made["$ref"] = f"#/$defs/{numbers[name]}"
        return map_schemas(made, walk, None)

    made: dict[str, Any] = walk({word: value for word, value in schema.items() if word != "$defs"}, None)
    return {**made, "$defs": numbered} if numbered else made


def map_schemas(node: Mapping[str, Any], walk: _Walk, name: str | None) -> dict[str, Any]:
    """Walk every schema in *node*; what is not a schema (a default, an enum) stays as it is."""
    made: dict[str, Any] = {}
    for word, value in node.items():
        if word in _NAMED and isinstance(value, Mapping):
            made[word] = {field: walk(body, field) for field, body in value.items()}
        elif word in _LISTED and isinstance(value, list):
            made[word] = [walk(body, name) for body in value]
        elif word in _SINGLE:
            made[word] = walk(value, None)
        else:
            made[word] = value
    return made


class _Normaliser:
    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._schema = schema
        self._definitions = {
            name: body
            for group in ("definitions", "$defs")
            if isinstance(schema.get(group), Mapping)
            for name, body in schema[group].items()
        }
        self._recursive = {name for name in self._definitions if name in self._reachable(name)}
        self._left = MOST_NODES

    def normalise(self) -> dict[str, Any]:
        top = {word: value for word, value in self._schema.items() if word not in ("$defs", "definitions")}
        made: dict[str, Any] = self._walk({w: v for w, v in top.items() if w != "title"}, None)
        if self._recursive:
            made["$defs"] = {
                name: self._walk(_without_title(self._definitions[name], name), name)
                for name in sorted(self._recursive)
            }
        return made

    def _reachable(self, start: str) -> set[str]:
        reached: set[str] = set()
        to_do = [start]
        while to_do:
            for name in _names_in(self._definitions.get(to_do.pop())):
                if name not in reached:
                    reached.add(name)
                    to_do.append(name)
        return reached

    def _walk(self, node: Any, name: str | None) -> Any:
        """One schema node; *name* is the field or class it stands for, whose made-up title is dropped."""
        if not isinstance(node, Mapping):
            return node
        self._left -= 1
        if self._left < 0:
            raise SchemaError(
                f"The schema has over {MOST_NODES:,} parts once its references are written out. Give a smaller one."
            )
        made = {word: value for word, value in _without_title(node, name).items() if word != "discriminator"}
        if (ref := made.get("$ref", "#")) != "#":
            target = _target_name(ref)
            if target not in self._definitions:
                raise SchemaError(
                    f"The schema points to {ref!r}, which is not in it. Put it under $defs and point to #/$defs/…"
                )
            if target not in self._recursive:
                return self._walk(_inline(_without_title(self._definitions[target], target), made), name)
            made["$ref"] = "#/$defs/" + target.replace("~", "~0").replace("/", "~1")
        for word in ("$dynamicRef", "$recursiveRef"):
            if word in made:
                raise SchemaError(f"The schema uses {word}, which is not followed. Use $ref to #/$defs/…")
        return map_schemas(made, self._walk, name)


def _inline(definition: Any, node: Mapping[str, Any]) -> Any:
    """Put *definition* in the place of the reference in *node*, with what else stands beside it."""
    beside = {word: value for word, value in node.items() if word != "$ref"}
    if not beside:
        return definition
    if not isinstance(definition, Mapping) or any(
        word in definition and word not in _REMARKS and definition[word] != value
        for word, value in beside.items()
    ):
        return {"allOf": [definition], **beside}  # both hold; neither may hide the other
    return {**definition, **beside}


def _names_in(node: Any) -> Iterator[str]:
    found: list[str] = []

    def walk(inner: Any, _: str | None) -> None:
        if isinstance(inner, Mapping):
            if name := _target_name(inner.get("$ref")):
                found.append(name)
            map_schemas(inner, walk, None)

    walk(node, None)
    return iter(found)


def _target_name(ref: Any) -> str:
    """Find the name of the definition that *ref* points to; empty when it points elsewhere."""
    match = re.fullmatch(r"#/(?:\$defs|definitions)/([^/]+)", ref) if isinstance(ref, str) else None
    return unquote(match[1]).replace("~1", "/").replace("~0", "~") if match else ""


def _without_title(node: Any, name: str | None) -> Any:
    """Drop a title of *node* that says no more than its *name* does, or that names a class."""
    if not isinstance(node, Mapping) or not isinstance(title := node.get("title"), str):
        return node
    if "properties" in node or (name is not None and _letters(name).endswith(_letters(title))):
        return {word: value for word, value in node.items() if word != "title"}
    return node


def _letters(text: str) -> str:
    return re.sub(r"[\W_]+", "", text).lower()
