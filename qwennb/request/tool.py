"""Tools: plain Python functions that a model may ask to have called.

The definition is read from the function: its name, its type hints (by pydantic) and its docstring, whose first
paragraph tells the model what it does. What `functools.partial` fixed by keyword is not the model's to give. The
function itself takes no part in the key. Arguments are checked and converted before the call.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

import orjson

from qwennb.errors import BadInput, ToolError
from qwennb.request.canonical import canonical_json, plain
from qwennb.request.normal_schema import canonical_schema, normalise_schema
from qwennb.request.schema import reason, steady_generator
from qwennb.request.strict_json import parse_json


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that the model asks for: arguments as the JSON text it wrote."""

    id: str
    name: str
    arguments: str

    def to_json(self) -> dict[str, Any]:
        """Spell the call as the key and the store do."""
        return {"id": self.id, "name": self.name, "arguments": self.arguments}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ToolCall:
        """Read the call that `to_json` wrote."""
        return cls(data["id"], data["name"], data["arguments"])


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool's definition, with the function to call where there is one."""

    name: str
    description: str
    parameters: str
    function: Callable[..., Any] | None = field(default=None, compare=False, repr=False)

    @classmethod
    def of(cls, given: Any) -> Tool:
        """Make a tool of a function, an OpenAI-style definition, or a tool."""
        if isinstance(given, Tool):
            return given
        if isinstance(given, Mapping):
            return cls._of_definition(given)
        if not callable(given):
            raise ToolError(
                f"{given!r} is not a tool. Give a function, or a dict with name, description and parameters."
            )
        return cls._of_function(given)

    @classmethod
    def _of_definition(cls, given: Mapping[str, Any]) -> Tool:
        body = given.get("function", given)
        if not isinstance(body, Mapping) or not isinstance(body.get("name"), str):
            raise ToolError(
                "A tool given as a dict needs a name: {'name': …, 'description': …, 'parameters': {…}}."
            )
        parameters = body.get("parameters") or {"type": "object", "properties": {}}
        if not isinstance(parameters, Mapping):
            raise ToolError(f"The parameters of tool `{body['name']}` must be a JSON Schema, as a dict.")
        try:
            canonical_json(parameters)
            text = orjson.dumps(plain(parameters)).decode()
        except BadInput as error:
            raise ToolError(f"The parameters of tool `{body['name']}` can't be sent. {error}") from None
        return cls(body["name"], str(body.get("description") or ""), text)

    @classmethod
    def _of_function(cls, function: Callable[..., Any]) -> Tool:
        name = tool_name(function)
        if name == "<lambda>":
            raise ToolError(
                "A lambda can't be a tool: the model knows a tool by its name. Write it as a def."
            )
        from qwennb.request.docstring import read_docstring

        summary, about = read_docstring(inspect.getdoc(_unbound(function)) or "")
        schema: dict[str, Any] = orjson.loads(_expected_arguments(function).schema)
        for argument, body in schema.get("properties", {}).items():
            if argument in about and "description" not in body:
                body["description"] = about[argument]
        return cls(name, summary, orjson.dumps(schema).decode(), function)

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of the arguments."""
        schema: dict[str, Any] = orjson.loads(self.parameters)
        return schema

    def definition(self) -> dict[str, Any]:
        """Write the definition as every OpenAI-style endpoint takes it."""
        body = {"name": self.name, "description": self.description, "parameters": self.schema}
        return {"type": "function", "function": {k: v for k, v in body.items() if v != ""}}

    def canonical(self) -> dict[str, Any]:
        """Spell the tool as the key does."""
        return {
            "name": self.name,
            "description": self.description,
            "parameters": canonical_schema(self.schema),
        }

    def arguments(self, text: str) -> dict[str, Any]:
        """Read the arguments in *text*, checked and converted. ValueError says, for the model, what does not fit."""
        given = parse_json(text or "{}")
        if not isinstance(given, dict):
            raise ValueError("the arguments are not a JSON object")
        if self.function is None:
            return given
        import pydantic

        model = _expected_arguments(self.function).model
        names = {name: f.alias for name, f in model.model_fields.items()}
        if unknown := set(given) - set(names.values()):
            raise ValueError(
                f"no such argument: {', '.join(sorted(unknown))}; there are {', '.join(names.values()) or 'none'}"
            )
        try:
            made = model.model_validate_json(json.dumps(given))
        except pydantic.ValidationError as error:
            told = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:5]]
            raise ValueError("; ".join(told)) from None
        # Only what the model gave: the function's own defaults stay its own.
        return {alias: getattr(made, name) for name, alias in names.items() if name in made.model_fields_set}


def tool_name(function: Callable[..., Any]) -> str:
    """Find the name that the model knows *function* by."""
    bare = _unbound(function)
    return str(getattr(bare, "__name__", type(bare).__name__))


def _unbound(function: Callable[..., Any]) -> Callable[..., Any]:
    """Find the function inside `functools.partial`s."""
    while isinstance(function, partial):
        function = function.func
    return function


@dataclass(frozen=True, slots=True)
class _Expected:
    """The arguments of a function, as a pydantic model and as JSON Schema."""

    model: Any
    schema: bytes


def _expected_arguments(function: Callable[..., Any]) -> _Expected:
    try:
        return _remembered(function)
    except TypeError as error:
        if "unhashable" not in str(error):
            raise
        return _read(function)  # an object with __call__ and __eq__ has no hash to remember it by


def _read(function: Callable[..., Any]) -> _Expected:
    import pydantic

    name, fields = tool_name(function), dict[str, Any]()
    for number, parameter in enumerate(_parameters(function)):
        hint = Any if parameter.annotation is parameter.empty else parameter.annotation
        default = ... if parameter.default is parameter.empty else parameter.default
        # By alias, for an argument may be called `schema` or `model_config`, which pydantic keeps for itself.
        fields[f"argument_{number}"] = (hint, pydantic.Field(default, alias=parameter.name))
    try:
        model = pydantic.create_model(name, **fields)
        schema = model.model_json_schema(schema_generator=_quiet_schema())
    except Exception as error:
        raise ToolError(
            f"An argument of tool `{name}` can't be expressed as JSON: {reason(error)}."
        ) from None
    return _Expected(model, orjson.dumps(normalise_schema(schema)))


_remembered = lru_cache(maxsize=256)(_read)


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    name = tool_name(function)
    try:
        signature = inspect.signature(function, eval_str=True)
    except Exception as error:  # a hint as text may hold anything
        raise ToolError(f"The type hints of tool `{name}` can't be read: {error}.") from None
    fixed = function.keywords if isinstance(function, partial) else {}
    parameters = [p for p in signature.parameters.values() if p.name not in fixed]
    if parameters and parameters[0].name == "self" and "." in getattr(function, "__qualname__", ""):
        raise ToolError(f"Tool `{name}` is a method without its object. Give `the_object.{name}`.")
    for parameter in parameters:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise ToolError(
                f"Tool `{name}` takes `{parameter}`; a model can only give named arguments. Name each one."
            )
    return parameters


@lru_cache(maxsize=1)
def _quiet_schema() -> Any:
    class Quiet(steady_generator()):  # type: ignore[misc]
        """A default that JSON can't carry is left out of the schema, which needs no warning."""

        ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012

    return Quiet
