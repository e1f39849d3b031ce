"""A value that fits a JSON Schema, and the schema that a prompt spells out.

Everything is drawn from one `random.Random`, so the same question gets the same text. Depth is bounded: past
`DEEPEST` optional properties are left out and alternatives fall to their first.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random
from typing import Any

from .spell import WORDS, fit_regex

__all__ = ["find_schema", "fit_schema"]

DEEPEST = 8
FORMATS = {
    "date-time": "2026-02-16T08:00:00Z",
    "date": "2026-02-16",
    "time": "08:00:00Z",
    "duration": "P1D",
    "email": "reader@example.org",
    "uri": "https://example.org/",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "127.0.0.1",
    "ipv6": "::1",
    "hostname": "example.org",
}


def fit_schema(schema: Any, rng: Random) -> Any:
    """A value that fits the schema (best effort for `not`, `if` and conditions between properties)."""
    return _value(schema, rng, schema if isinstance(schema, dict) else {}, 0)


def _value(schema: Any, rng: Random, root: dict[str, Any], depth: int) -> Any:
    if not isinstance(schema, dict) or not schema:
        return rng.choice(WORDS)
    if "$ref" in schema:
        target = _resolve(schema["$ref"], root)
        return _value({**target, **{k: v for k, v in schema.items() if k != "$ref"}}, rng, root, depth + 1)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return rng.choice(schema["enum"])
    if "allOf" in schema:
        return _value(_merge(schema, root), rng, root, depth)
    for choice in ("anyOf", "oneOf"):
        if schema.get(choice):
            options = schema[choice]
            outer = {name: value for name, value in schema.items() if name != choice}
            picked = _shallowest(options) if depth > DEEPEST else rng.choice(options)
            inner = picked if isinstance(picked, dict) else {}
            return _value(_join_schemas(outer, inner), rng, root, depth + 1)
    kind = schema.get("type") or _guess(schema)
    if isinstance(kind, list):
        kind = "null" if depth > DEEPEST and "null" in kind else rng.choice(kind)
    return _of_type(kind, schema, rng, root, depth)


def _of_type(kind: str, schema: dict[str, Any], rng: Random, root: dict[str, Any], depth: int) -> Any:
    match kind:
        case "object":
            return _object(schema, rng, root, depth)
        case "array":
            return _array(schema, rng, root, depth)
        case "string":
            return _string(schema, rng)
        case "integer":
            return _integer(schema, rng)
        case "number":
            return _number(schema, rng)
        case "boolean":
            return rng.random() < 0.5
    return None


def _object(schema: dict[str, Any], rng: Random, root: dict[str, Any], depth: int) -> dict[str, Any]:
    properties = schema.get("properties", {})
    required = schema.get("required", [])
    wanted = [name for name in properties if depth <= DEEPEST or name in required]
    value = {name: _value(properties[name], rng, root, depth + 1) for name in wanted}
    extra = schema.get("additionalProperties")
    for name in required:
        value.setdefault(name, _value(extra, rng, root, depth + 1))
    while len(value) < schema.get("minProperties", 0) or (
        not properties and isinstance(extra, dict) and not value
    ):
        value[f"key{len(value)}"] = _value(extra, rng, root, depth + 1)
    return value


def _array(schema: dict[str, Any], rng: Random, root: dict[str, Any], depth: int) -> list[Any]:
    items: list[Any] = [_value(item, rng, root, depth + 1) for item in schema.get("prefixItems", [])]
    least = schema.get("minItems", 0)
    most = schema.get("maxItems", max(least, 2))
    if schema.get("items") is False:
        return items
    count = (
        least if depth > DEEPEST else rng.randint(max(least, min(1, most)), max(least, min(most, least + 2)))
    )
    tries = 0
    while len(items) < count and tries < 200:
        tries += 1
        item = _value(schema.get("items", {"type": "string"}), rng, root, depth + 1)
        if not schema.get("uniqueItems") or item not in items:
            items.append(item)
    return items


def _string(schema: dict[str, Any], rng: Random) -> str:
    if "pattern" in schema:
        return fit_regex(schema["pattern"], rng)
    text = FORMATS.get(schema.get("format", "")) or f"{rng.choice(WORDS)} {rng.randrange(1000)}"
    while len(text) < schema.get("minLength", 0):
        text += f" {rng.choice(WORDS)}"
    return text[: schema.get("maxLength", len(text))]


def _bounds(schema: dict[str, Any], step: float) -> tuple[float, float]:
    low = schema.get("minimum")
    if schema.get("exclusiveMinimum") is not None:
        low = schema["exclusiveMinimum"] + step
    high = schema.get("maximum")
    if schema.get("exclusiveMaximum") is not None:
        high = schema["exclusiveMaximum"] - step
    if low is None:
        low = 0 if high is None or high >= 0 else high - 100
    return low, low + 100 if high is None else high


def _integer(schema: dict[str, Any], rng: Random) -> int:
    low, high = _bounds(schema, 1)
    value = rng.randint(-int(-low // 1), int(high // 1))
    step = int(schema.get("multipleOf") or 1)
    return value if step <= 1 else max(-(-int(low) // step) * step, value // step * step)


def _number(schema: dict[str, Any], rng: Random) -> float:
    low, high = _bounds(schema, 0.01)
    if (step := schema.get("multipleOf")) is not None:
        return float(round(low / step + 0.4999) * step)
    return min(high, max(low, round(rng.uniform(low, high), 2)))


def _resolve(ref: str, root: dict[str, Any]) -> dict[str, Any]:
    at: Any = root
    for step in ref.removeprefix("#").strip("/").split("/"):
        if step:
            at = at.get(step.replace("~1", "/").replace("~0", "~"), {}) if isinstance(at, dict) else {}
    return at if isinstance(at, dict) else {}


def _merge(schema: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    merged = {name: value for name, value in schema.items() if name != "allOf"}
    for part in schema["allOf"]:
        merged = _join_schemas(merged, _resolve(part["$ref"], root) if "$ref" in part else part)
    return merged


def _join_schemas(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    joined = {**one, **other}
    if "properties" in one and "properties" in other:
        joined["properties"] = {**one["properties"], **other["properties"]}
    if "required" in one and "required" in other:
        joined["required"] = list(dict.fromkeys([*one["required"], *other["required"]]))
    return joined


def _shallowest(options: list[Any]) -> Any:
    return min(
        options, key=lambda option: 0 if isinstance(option, dict) and option.get("type") == "null" else 1
    )


def _guess(schema: dict[str, Any]) -> str:
    if "properties" in schema or "required" in schema or "additionalProperties" in schema:
        return "object"
    if "items" in schema or "prefixItems" in schema:
        return "array"
    if any(name in schema for name in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")):
        return "number"
    return "string"


def find_schema(texts: list[str]) -> dict[str, Any] | None:
    """The first JSON Schema written out in the texts: an object with `properties`, else one with a known `type`."""
    found: dict[str, Any] | None = None
    for candidate in _objects(texts):
        if isinstance(candidate.get("properties"), dict) or any(
            key in candidate for key in ("anyOf", "$ref", "$defs")
        ):
            return candidate
        if found is None and candidate.get("type") in ("object", "array"):
            found = candidate
    return found


def _objects(texts: list[str]) -> Iterator[dict[str, Any]]:
    decoder = json.JSONDecoder()
    for text in texts:
        at, tries = text.find("{"), 0
        while at >= 0 and tries < 200:
            tries += 1
            try:
                value, end = decoder.raw_decode(text, at)
            except (ValueError, RecursionError):
                end = at + 1
            else:
                yield value
            at = text.find("{", end)
