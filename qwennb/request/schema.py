"""The form that an answer must have: a JSON Schema, made from what the user wrote.

A pydantic class, any type pydantic understands (`list[Order]`, a dataclass, a TypedDict), a JSON Schema as a dict, or
a line such as `"name, age int, tags list[str]: what it is about"`. The schema is normalised once: references are
inlined where they are not recursive, and the titles that pydantic makes up are dropped, so that the key depends on
what was asked for and not on pydantic's version.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import orjson

from qwennb.errors import BadInput, SchemaError, nearest
from qwennb.request.canonical import canonical_json

_LINE = re.compile(
    r"^(?P<name>[^\W\d]\w*)(?:\s+(?P<type>[\w\[\]]+))?(?P<optional>\?)?(?:\s*:\s*(?P<about>.+))?$"
)
_TYPES: dict[str, dict[str, Any]] = {
    "str": {"type": "string"},
    "string": {"type": "string"},
    "text": {"type": "string"},
    "int": {"type": "integer"},
    "integer": {"type": "integer"},
    "float": {"type": "number"},
    "number": {"type": "number"},
    "bool": {"type": "boolean"},
    "boolean": {"type": "boolean"},
    "date": {"type": "string", "format": "date"},
    "datetime": {"type": "string", "format": "date-time"},
}


@dataclass(frozen=True, slots=True)
class Schema:
    """A JSON Schema, with the Python type that its answers become, when there is one."""

    text: str
    name: str = field(default="answer", compare=False)
    target: Any = field(default=None, compare=False, repr=False)

    @classmethod
    def of(cls, wanted: Any) -> Schema:
        """The schema of a pydantic class, a type, a dict or a line of names."""
        if isinstance(wanted, Schema):
            return wanted
        if isinstance(wanted, str):
            return cls._made(_from_line(wanted), "answer", None)
        if isinstance(wanted, Mapping):
            return cls._made(_checked(dict(wanted)), str(wanted.get("title") or "answer"), None)
        return cls._made(_from_type(wanted), getattr(wanted, "__name__", "answer"), wanted)

    @classmethod
    def _made(cls, schema: dict[str, Any], name: str, target: Any) -> Schema:
        normal = normalised(schema)
        canonical_json(normal)  # refuses what JSON can't carry
        return cls(orjson.dumps(normal).decode(), re.sub(r"\W+", "_", name)[:64] or "answer", target)

    @property
    def json(self) -> dict[str, Any]:
        """The schema itself, fresh each time, with its fields in the user's order."""
        schema: dict[str, Any] = orjson.loads(self.text)
        return schema

    def canonical(self) -> dict[str, Any]:
        """The schema for the key: like `json`, with `required` sorted."""
        made: dict[str, Any] = _required_sorted(self.json)
        return made

    def read(self, text: str) -> Any:
        """The value in an answer's *text*. ValueError says, in words for the model, what does not fit."""
        return self.check(parse_json(text))

    def check(self, value: Any) -> Any:
        """*value* as the target type (or as it is). ValueError says what does not fit."""
        problems = sorted(
            _validator(self.text).iter_errors(value), key=lambda e: [str(s) for s in e.absolute_path]
        )
        if problems:
            raise ValueError("; ".join(_told(problem) for problem in problems[:5]))
        if self.target is None:
            return value
        import pydantic

        try:
            return pydantic.TypeAdapter(self.target).validate_json(orjson.dumps(value))
        except pydantic.ValidationError as error:
            told = [f"{'.'.join(map(str, e['loc'])) or 'the answer'}: {e['msg']}" for e in error.errors()[:5]]
            raise ValueError("; ".join(told)) from None


@lru_cache(maxsize=256)
def _validator(text: str) -> Any:
    import jsonschema

    return jsonschema.Draft202012Validator(orjson.loads(text))


def parse_json(text: str) -> Any:
    """The one JSON value in *text*; a fence around it is allowed. ValueError for anything else."""
    import json

    body = text.strip()
    if fenced := re.fullmatch(r"```(?:json)?\s*\n(.*?)\n?\s*```", body, re.DOTALL):
        body = fenced[1]
    if not body:
        raise ValueError("the answer is empty where JSON was asked for")
    try:
        # The strict reader: names twice in an object and NaN would each hide what the model really said.
        return json.loads(body, object_pairs_hook=_no_twins, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"this is not JSON: {error}") from None


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, value in pairs:
        if name in made:
            raise ValueError(f"the name {name!r} stands twice in one object")
        made[name] = value
    return made


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


def _told(problem: Any) -> str:
    where = ".".join(str(step) for step in problem.absolute_path)
    message = problem.message if len(problem.message) <= 300 else problem.message[:297] + "..."
    return f"{where}: {message}" if where else message


def _from_line(line: str) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    required: list[str] = []
    for piece in re.split(r",(?![^\[]*\])", line):
        match = _LINE.match(piece.strip())
        if not match:
            raise SchemaError(
                f'`{piece.strip()}` can\'t be read in the schema line `{line}`. Write names with types, like "name, age int, tags list[str]".'
            )
        made = _type(match["type"] or "str", line)
        if match["about"]:
            made = {**made, "description": match["about"].strip()}
        if match["name"] in properties:
            raise SchemaError(f"`{match['name']}` stands twice in the schema line `{line}`.")
        properties[match["name"]] = made
        if not match["optional"]:
            required.append(match["name"])
        else:
            made["type"] = [made["type"], "null"]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _type(word: str, line: str) -> dict[str, Any]:
    if inner := re.fullmatch(r"list(?:\[(.+)\])?", word):
        return {"type": "array", "items": _type(inner[1] or "str", line)}
    if word not in _TYPES:
        raise SchemaError(
            f"`{word}` is not a type of a schema line (`{line}`){nearest(word, _TYPES) or '; use str, int, float, bool, date, datetime or list[…].'}"
        )
    return dict(_TYPES[word])


def _from_type(wanted: Any) -> dict[str, Any]:
    try:
        import pydantic

        return pydantic.TypeAdapter(wanted).json_schema(mode="validation")
    except Exception as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SchemaError(
            f"{getattr(wanted, '__name__', wanted)!r} can't be expressed as JSON Schema: {first}. "
            'Give a pydantic class, a dict with a JSON Schema, or a line like "name, age int".'
        ) from None


def _checked(schema: dict[str, Any]) -> dict[str, Any]:
    import jsonschema

    try:
        jsonschema.Draft202012Validator.check_schema(schema)
        canonical_json(schema)
    except jsonschema.SchemaError as error:
        raise SchemaError(f"The dict given as schema is not a JSON Schema: {error.message}.") from None
    except BadInput as error:
        raise SchemaError(str(error)) from None
    if not schema:
        raise SchemaError(
            "The dict given as schema is empty; it would accept anything. Name at least a type."
        )
    return schema


def normalised(schema: Mapping[str, Any]) -> dict[str, Any]:
    """*schema* with plain references inlined and the titles that pydantic makes up dropped."""
    definitions = {
        f"#/{group}/{name}": body
        for group in ("$defs", "definitions")
        for name, body in schema.get(group, {}).items()
    }
    recursive = {ref for ref in definitions if _reaches(ref, ref, definitions, set())}
    made = _walk(
        {k: v for k, v in schema.items() if k not in ("$defs", "definitions")}, definitions, recursive, None
    )
    if recursive:
        made["$defs"] = {
            ref.rsplit("/", 1)[1]: _walk(definitions[ref], definitions, recursive, ref.rsplit("/", 1)[1])
            for ref in sorted(recursive)
        }
    return made  # type: ignore[no-any-return]


def _reaches(start: str, goal: str, definitions: Mapping[str, Any], seen: set[str]) -> bool:
    for ref in _refs(definitions[start]):
        if ref == goal:
            return True
        if ref in definitions and ref not in seen:
            seen.add(ref)
            if _reaches(ref, goal, definitions, seen):
                return True
    return False


def _refs(node: Any) -> list[str]:
    if isinstance(node, Mapping):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [ref for value in node.values() for ref in _refs(value)]
    if isinstance(node, list):
        return [ref for item in node for ref in _refs(item)]
    return []


def _walk(node: Any, definitions: Mapping[str, Any], recursive: set[str], name: str | None) -> Any:
    """One schema node; *name* is the field or class it stands for, whose made-up title is dropped."""
    if not isinstance(node, Mapping):
        return node
    ref = node.get("$ref")
    if isinstance(ref, str) and ref not in definitions and ref.startswith("#/"):
        raise SchemaError(f"The schema points to {ref!r}, which is not in it.")
    if isinstance(ref, str) and ref in definitions and ref not in recursive:
        rest = {k: v for k, v in node.items() if k != "$ref"}
        return _walk({**definitions[ref], **rest}, definitions, recursive, name or ref.rsplit("/", 1)[1])
    made: dict[str, Any] = {}
    for word, value in node.items():
        if (
            word == "title"
            and isinstance(value, str)
            and (name is None or _made_up(value, name) or "properties" in node)
        ):
            continue
        if word == "$ref" and isinstance(ref, str):
            made[word] = "#/$defs/" + ref.rsplit("/", 1)[1] if ref in definitions else ref
        elif word in ("properties", "patternProperties", "dependentSchemas") and isinstance(value, Mapping):
            made[word] = {field: _walk(body, definitions, recursive, field) for field, body in value.items()}
        elif word in ("anyOf", "oneOf", "allOf", "prefixItems") and isinstance(value, list):
            made[word] = [_walk(body, definitions, recursive, name) for body in value]
        elif word in (
            "items",
            "additionalProperties",
            "not",
            "contains",
            "if",
            "then",
            "else",
            "propertyNames",
        ):
            made[word] = _walk(value, definitions, recursive, None)
        else:
            made[word] = value
    return made


def _made_up(title: str, name: str) -> bool:
    return re.sub(r"[\W_]+", "", title).lower() == re.sub(r"[\W_]+", "", name).lower()


def _required_sorted(node: Any) -> Any:
    if isinstance(node, dict):
        return {
            word: sorted(value) if word == "required" and isinstance(value, list) else _required_sorted(value)
            for word, value in node.items()
        }
    if isinstance(node, list):
        return [_required_sorted(item) for item in node]
    return node
