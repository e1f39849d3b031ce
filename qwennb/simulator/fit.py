"""Text that fits what was asked for: a JSON Schema, a regular expression, a GBNF grammar.

Everything is drawn from one `random.Random`, so the same question gets the same text. Depth is bounded: past
`DEEPEST` optional properties are left out and alternatives fall to their first.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from random import Random
from re import _constants as sre  # type: ignore[attr-defined]
from re import _parser as sre_parser  # type: ignore[attr-defined]
from typing import Any

__all__ = ["find_schema", "fit_grammar", "fit_regex", "fit_schema"]

DEEPEST = 8
WORDS = "amber birch cedar delta ember fjord grove harbour iris juniper".split()
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
            return _value(_joined(outer, inner), rng, root, depth + 1)
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
    while len(value) < schema.get("minProperties", 0) or (not properties and isinstance(extra, dict) and not value):
        value[f"key{len(value)}"] = _value(extra, rng, root, depth + 1)
    return value


def _array(schema: dict[str, Any], rng: Random, root: dict[str, Any], depth: int) -> list[Any]:
    items: list[Any] = [_value(item, rng, root, depth + 1) for item in schema.get("prefixItems", [])]
    least = schema.get("minItems", 0)
    most = schema.get("maxItems", max(least, 2))
    if schema.get("items") is False:
        return items
    count = least if depth > DEEPEST else rng.randint(max(least, min(1, most)), max(least, min(most, least + 2)))
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
        merged = _joined(merged, _resolve(part["$ref"], root) if "$ref" in part else part)
    return merged


def _joined(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    joined = {**one, **other}
    if "properties" in one and "properties" in other:
        joined["properties"] = {**one["properties"], **other["properties"]}
    if "required" in one and "required" in other:
        joined["required"] = list(dict.fromkeys([*one["required"], *other["required"]]))
    return joined


def _shallowest(options: list[Any]) -> Any:
    return min(options, key=lambda option: 0 if isinstance(option, dict) and option.get("type") == "null" else 1)


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
        if isinstance(candidate.get("properties"), dict) or any(key in candidate for key in ("anyOf", "$ref", "$defs")):
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


def fit_regex(pattern: str, rng: Random) -> str:
    """A string that the pattern matches (anchors and look-arounds are taken on trust)."""
    try:
        parsed = sre_parser.parse(pattern)
    except (re.error, OverflowError):
        return rng.choice(WORDS)
    return _spell(parsed, rng, {})


def _spell(parsed: Any, rng: Random, groups: dict[int, str]) -> str:
    return "".join(_spell_one(op, value, rng, groups) for op, value in parsed)


def _spell_one(op: Any, value: Any, rng: Random, groups: dict[int, str]) -> str:
    if op is sre.LITERAL:
        return chr(value)
    if op is sre.ANY:
        return rng.choice("abcxyz")
    if op is sre.NOT_LITERAL:
        return "a" if value != ord("a") else "b"
    if op is sre.IN:
        return _one_of(value, rng)
    if op in (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT):
        least, most, inner = value
        times = rng.randint(int(least), int(min(most, least + 3)))
        return "".join(_spell(inner, rng, groups) for _ in range(times))
    if op is sre.SUBPATTERN:
        text = _spell(value[3], rng, groups)
        if value[0] is not None:
            groups[value[0]] = text
        return text
    if op is sre.BRANCH:
        return _spell(rng.choice(value[1]), rng, groups)
    if op is sre.GROUPREF:
        return groups.get(value, "")
    return ""


CATEGORIES = {
    sre.CATEGORY_DIGIT: "0123456789",
    sre.CATEGORY_NOT_DIGIT: "abc",
    sre.CATEGORY_WORD: "abcxyz012",
    sre.CATEGORY_NOT_WORD: " -",
    sre.CATEGORY_SPACE: " ",
    sre.CATEGORY_NOT_SPACE: "abc",
}


def _one_of(items: Any, rng: Random) -> str:
    letters: list[str] = []
    negated = False
    for op, value in items:
        if op is sre.NEGATE:
            negated = True
        elif op is sre.LITERAL:
            letters.append(chr(value))
        elif op is sre.RANGE:
            letters += [chr(code) for code in range(value[0], min(value[1], value[0] + 200) + 1)]
        elif op is sre.CATEGORY:
            letters += CATEGORIES.get(value, "a")
    if negated:
        letters = [letter for letter in "abcdefghijklmnopqrstuvwxyz0123456789 " if letter not in letters] or ["~"]
    return rng.choice(letters)


class _Grammar:
    """A GBNF grammar, read as it is walked: rules, alternatives, groups, classes, literals and repetition."""

    def __init__(self, text: str) -> None:
        text = "\n".join(_uncommented(line) for line in text.splitlines())
        heads = list(re.finditer(r"(?m)^\s*([A-Za-z][\w-]*)\s*::=", text))
        if not heads:
            raise ValueError("a grammar needs at least one rule: name ::= …")
        self.rules: dict[str, str] = {}
        for here, following in zip(heads, [*heads[1:], None], strict=True):
            end = len(text) if following is None else following.start()
            self.rules[here[1]] = text[here.end() : end].strip()
        if "root" not in self.rules:
            raise ValueError("a grammar needs a rule named root")
        self.parsed = {name: _Rule(body).parse() for name, body in self.rules.items()}
        for used in {name for tree in self.parsed.values() for name in _names(tree)}:
            if used not in self.rules:
                raise ValueError(f"undefined rule identifier '{used}'")

    def spell(self, node: Any, rng: Random, depth: int) -> str:
        kind, *rest = node
        match kind:
            case "text":
                return str(rest[0])
            case "class":
                return _spell_one(*rest[0], rng, {})
            case "rule":
                return self.spell(self.parsed[rest[0]], rng, depth + 1)
            case "all":
                return "".join(self.spell(item, rng, depth) for item in rest[0])
            case "any":
                return self.spell(rest[0][0] if depth > 4 * DEEPEST else rng.choice(rest[0]), rng, depth)
            case _:
                inner, least, most = rest
                top = least if depth > 2 * DEEPEST else min(most, least + 2)
                return "".join(self.spell(inner, rng, depth + 1) for _ in range(rng.randint(least, top)))


def _names(node: Any) -> Iterator[str]:
    if node[0] == "rule":
        yield node[1]
    elif node[0] in ("all", "any"):
        for item in node[1]:
            yield from _names(item)
    elif node[0] == "repeat":
        yield from _names(node[1])


def _uncommented(line: str) -> str:
    return re.sub(r'^((?:[^"#\[]|"(?:\\.|[^"\\])*"|\[(?:\\.|[^\]\\])*\])*)#.*$', r"\1", line)


class _Rule:
    """The right-hand side of one rule."""

    TOKEN = re.compile(r'\s*("(?:\\.|[^"\\])*"|\[(?:\\.|[^\]\\])*\]|[A-Za-z][\w-]*|\{\d+(?:,\d*)?\}|[()|*+?.])')
    ENDLESS = 64

    def __init__(self, text: str) -> None:
        self.tokens: list[str] = []
        at = 0
        while at < len(text.rstrip()):
            found = self.TOKEN.match(text, at)
            if found is None:
                raise ValueError(f"can't read the grammar at: {text[at:][:20].strip()!r}")
            self.tokens.append(found[1])
            at = found.end()
        self.at = 0

    def parse(self) -> Any:
        tree = self.alternatives()
        if self.at < len(self.tokens):
            raise ValueError(f"unexpected {self.tokens[self.at]!r} in the grammar")
        return tree

    def alternatives(self) -> Any:
        options = [self.sequence()]
        while self.peek() == "|":
            self.at += 1
            options.append(self.sequence())
        return options[0] if len(options) == 1 else ("any", options)

    def sequence(self) -> Any:
        items: list[Any] = []
        while (token := self.peek()) is not None and token not in ("|", ")"):
            self.at += 1
            if token in "*+?" or token.startswith("{"):
                if not items:
                    raise ValueError("a repetition of nothing in the grammar")
                items.append(("repeat", items.pop(), *self.times(token)))
            else:
                items.append(self.atom(token))
        return items[0] if len(items) == 1 else ("all", items)

    def times(self, token: str) -> tuple[int, int]:
        if not token.startswith("{"):
            return {"*": (0, self.ENDLESS), "+": (1, self.ENDLESS), "?": (0, 1)}[token]
        least, comma, most = token[1:-1].partition(",")
        return int(least), int(most) if most else int(least) + (self.ENDLESS if comma else 0)

    def atom(self, token: str) -> Any:
        if token == "(":
            inner = self.alternatives()
            if self.peek() != ")":
                raise ValueError("a ( without its ) in the grammar")
            self.at += 1
            return inner
        if token.startswith('"'):
            return ("text", json.loads(re.sub(r"\\x([0-9A-Fa-f]{2})", r"\\u00\1", token), strict=False))
        if token.startswith("["):
            return ("class", sre_parser.parse(token)[0])
        if token == ".":
            return ("class", (sre.ANY, None))
        return ("rule", token)

    def peek(self) -> str | None:
        return self.tokens[self.at] if self.at < len(self.tokens) else None


def fit_grammar(text: str, rng: Random) -> str:
    """A string of the grammar; ValueError when the grammar can't be read."""
    grammar = _Grammar(text)
    return grammar.spell(grammar.parsed["root"], rng, 0)
