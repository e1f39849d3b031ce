"""The form that an answer must have: a JSON Schema, made from what the user wrote.

A pydantic class, any type pydantic understands (`list[Order]`, a dataclass, a TypedDict), a JSON Schema as a dict, or
a line such as `"name, age int, tags list[str]: what it is about"` (`schema_line`). The schema is normalised once (`normal_schema`),
so that the key depends on what was asked for and not on how classes are called or ordered.

An answer is held against the schema first, and then made into the Python type: pydantic alone would take "5" for 5
and a missing table for an empty one.
"""

from __future__ import annotations

import datetime
import enum
import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from types import FunctionType
from typing import Any

import orjson

from qwennb.errors import BadInput, SchemaError, ValidatorFailed, show_value, user_code
from qwennb.request.canonical import canonical_json, plain
from qwennb.request.labels import read_labels
from qwennb.request.normal_schema import canonical_schema, normalise_schema
from qwennb.request.schema_line import read_line
from qwennb.request.strict_json import parse_json
from qwennb.request.wire_schema import DECIMAL, find_unenforceable, read_duration, wire_schema

_FORMATS: dict[str, Callable[[str], Any]] = {
    "date": datetime.date.fromisoformat,
    "date-time": datetime.datetime.fromisoformat,
    "time": datetime.time.fromisoformat,
    "duration": read_duration,
}
_WAYS = 'Give a pydantic class, a dict with a JSON Schema, or a line like "name, age int".'


@dataclass(frozen=True, slots=True)
class Schema:
    """A JSON Schema, with the Python type that its answers become, when there is one."""

    text: str
    name: str = field(default="answer", compare=False)
    target: Any = field(default=None, compare=False, repr=False)
    typed: str = field(
        default="", compare=False, repr=False
    )  # where it says more of the types than the key does

    @classmethod
    def of(cls, wanted: Any) -> Schema:
        """Read the schema of a pydantic class, a type, a dict or a line of names."""
        if isinstance(wanted, Schema):
            return wanted
        if isinstance(wanted, str):
            return _make(read_line(wanted), "answer", None)
        if isinstance(wanted, Mapping):
            return _make(_check(wanted), str(wanted.get("title") or "answer"), None)
        return _of_class(wanted) if isinstance(wanted, type) else _of_type(wanted)

    @property
    def json(self) -> dict[str, Any]:
        """The schema itself, fresh each time, with its fields in the user's order."""
        schema: dict[str, Any] = orjson.loads(self.text)
        return schema

    @property
    def types(self) -> dict[str, Any]:
        """The schema with what Python's types say and JSON Schema has no word for: the digits of a Decimal."""
        types: dict[str, Any] = orjson.loads(self.typed or self.text)
        return types

    def wire_form(self, *, in_words: bool = False) -> dict[str, Any]:
        """Write the schema as it is sent: as a server can hold an answer to it, or in words that a model reads."""
        return wire_schema(self.types, in_words=in_words)

    @property
    def unenforceable(self) -> list[str]:
        """What of it no server can hold an answer to, in words."""
        return find_unenforceable(self.types)

    def canonical(self) -> dict[str, Any]:
        """Write the schema for the key: like `json`, but for what changes nothing."""
        return _canonical(self.text)

    def read(self, text: str) -> Any:
        """Read the value in an answer's *text*. ValueError says, in words for the model, what does not fit."""
        if self.typed:
            with suppress(ValueError):  # a float beside a Decimal may well have too many digits
                return self.check(parse_json(text, exact=True))
        return self.check(parse_json(text))

    def check(self, value: Any) -> Any:
        """Make *value* the target type (or leave it as it is). ValueError says what does not fit."""
        try:
            problems = sorted(
                islice(_validator(self.text).iter_errors(value), 100),
                key=lambda problem: [str(step) for step in problem.absolute_path],
            )
        except BaseException as stop:
            # Where the stack ends within rpds its Rust panics: a BaseException of a class that can't be imported.
            if not isinstance(stop, RecursionError) and type(stop).__name__ != "PanicException":
                raise
            raise ValueError("the answer is nested too deeply") from None
        if problems:
            raise ValueError("; ".join(_complaint_text(problem) for problem in problems[:5]))
        if self.target is None:
            return value
        import pydantic

        name = f"The class `{getattr(self.target, '__name__', 'of the schema')}`"
        step = "Mend it; or raise ValueError there, to have the model asked again."
        with user_code(name, ValidatorFailed, step, passing=(ValueError,)):
            try:
                return _adapter(self.target).validate_json(json.dumps(value))
            except pydantic.ValidationError as error:
                told = [
                    f"{'.'.join(map(str, e['loc'])) or 'the answer'}: {e['msg']}" for e in error.errors()[:5]
                ]
                raise ValueError("; ".join(told)) from None


@lru_cache(maxsize=256)
def _canonical(text: str) -> dict[str, Any]:
    return canonical_schema(orjson.loads(text))


def _make(
    schema: Mapping[str, Any], name: str, target: Any, typed: Mapping[str, Any] | None = None
) -> Schema:
    if typed is None and DECIMAL in str(schema):
        schema, typed = _without_types(schema), schema
    normal = normalise_schema(schema)
    canonical_json(normal)  # refuses what JSON can't carry
    plain = re.sub(r"\W+", "_", name, flags=re.ASCII)[:64].strip("_")
    return Schema(
        orjson.dumps(normal).decode(),
        plain or "answer",
        target,
        "" if typed is None else orjson.dumps(normalise_schema(typed)).decode(),
    )


def _without_types(schema: Any) -> Any:
    """Take out of *schema* what its key does not know."""
    if isinstance(schema, Mapping):
        return {word: _without_types(value) for word, value in schema.items() if word != DECIMAL}
    return [_without_types(value) for value in schema] if isinstance(schema, list) else schema


@lru_cache(maxsize=128)
def _of_class(wanted: type) -> Schema:
    # Classes only: `int | str` equals `str | int`, and a key must not depend on which of them came first.
    return _of_type(wanted)


def _of_type(wanted: Any) -> Schema:
    name = getattr(wanted, "__name__", None) or "answer"
    if isinstance(wanted, FunctionType):
        raise SchemaError(f"`{name}` is a function, and a schema is a type. {_WAYS}")
    try:
        import pydantic

        adapter = pydantic.TypeAdapter(wanted)
        schema = adapter.json_schema(mode="validation", schema_generator=steady_generator())
        typed = adapter.json_schema(mode="validation", schema_generator=_typing_generator())
    except Exception as error:
        raise SchemaError(
            f"`{_show(wanted)}` can't be expressed as JSON Schema: {reason(error)}. {_WAYS}"
        ) from None
    return _make(schema, name, wanted, typed if DECIMAL in str(typed) else None)


@lru_cache(maxsize=1)
def steady_generator() -> Any:
    """Make pydantic's generator of schemas write the same whichever pydantic it is, for a schema is part of a key."""
    from pydantic.json_schema import GenerateJsonSchema

    class Steady(GenerateJsonSchema):
        def decimal_schema(self, schema: Any) -> Any:
            made = super().decimal_schema(schema)
            for form in (made, *made.get("anyOf", ())):
                form.pop("pattern", None)  # 2.12 and 2.13 write one, those before and after do not
            return made

    return Steady


@lru_cache(maxsize=1)
def _typing_generator() -> Any:
    """Make pydantic's generator of schemas, which loses the digits of a Decimal, tell them."""

    class Typing(steady_generator()):  # type: ignore[misc]
        def decimal_schema(self, schema: Any) -> Any:
            digits = {word: schema[word] for word in ("max_digits", "decimal_places") if word in schema}
            return {**super().decimal_schema(schema), DECIMAL: digits}

    return Typing


def _show(wanted: Any) -> str:
    if isinstance(wanted, type):
        return wanted.__name__
    shown = show_value(wanted)
    return type(wanted).__name__ if " at 0x" in shown else shown


def reason(error: Exception) -> str:
    """Why pydantic can't express a type, in a sentence without its advice for the authors of types."""
    text = str(error).split("\n", 1)[0] or type(error).__name__
    if "CallableSchema" in text:
        return "it holds a function"
    if found := re.search(r"core schema for <class '(?:\w+\.)*(?:<locals>\.)?([^']+)'>", text):
        return f"pydantic can't describe the class `{found[1].rsplit('.', 1)[-1]}`"
    if "core schema for" in text:
        return "it is not a type"
    return text.rstrip(".")


def _adapter(target: Any) -> Any:
    return _class_adapter(target) if isinstance(target, type) else _type_adapter(target)


def _type_adapter(target: Any) -> Any:
    import pydantic

    return pydantic.TypeAdapter(target)


_class_adapter = lru_cache(maxsize=128)(_type_adapter)


@lru_cache(maxsize=128)
def _validator(text: str) -> Any:
    import jsonschema

    # Our own few formats: which of jsonschema's are checked depends on what else is installed.
    formats = jsonschema.FormatChecker(formats=())
    for name, read in _FORMATS.items():
        formats.checks(name, raises=ValueError)(_reads(read))
    return jsonschema.Draft202012Validator(orjson.loads(text), format_checker=formats)


def _reads(read: Callable[[str], Any]) -> Callable[[object], bool]:
    def check(value: object) -> bool:
        if isinstance(value, str):
            read(value)
        return True

    return check


def _complaint_text(problem: Any) -> str:
    where = ".".join(str(step) for step in problem.absolute_path)
    message = problem.message if len(problem.message) <= 300 else problem.message[:297] + "..."
    return f"{where}: {message}" if where else message


def _spell_labels(schema: Any) -> Any:
    """Write out what stands for labels in *schema*: a `pl.Enum` or an Enum class, as a field or as its `enum`."""
    if isinstance(schema, Mapping):
        return {
            word: list(read_labels("enum", value))
            if word == "enum" and _are_labels(value)
            else _spell_labels(value)
            for word, value in schema.items()
        }
    if _are_labels(schema):
        return {"type": "string", "enum": list(read_labels("A field", schema))}
    return list(map(_spell_labels, schema)) if isinstance(schema, list | tuple) else schema


def _are_labels(value: Any) -> bool:
    return isinstance(value, enum.EnumType) or hasattr(value, "categories")


def _check(schema: Mapping[str, Any]) -> dict[str, Any]:
    import jsonschema

    if not schema:
        raise SchemaError(
            "The dict given as schema is empty; it would accept anything. Name at least a type."
        )
    try:
        schema = _spell_labels(schema)
        canonical_json(schema)
        made: dict[str, Any] = plain(schema)
        jsonschema.Draft202012Validator.check_schema(made)
    except jsonschema.SchemaError as error:
        raise SchemaError(f"The dict given as schema is not a JSON Schema: {error.message}.") from None
    except BadInput as error:
        raise SchemaError(f"The dict given as schema can't be sent. {error}") from None
    except RecursionError:
        raise SchemaError("The schema is nested too deeply to be sent. Make it flatter.") from None
    return made
