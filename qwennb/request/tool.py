"""Tools: plain Python functions that a model may ask to have called.

The definition is read from the function: its name, its type hints (by pydantic) and its docstring, whose first
paragraph tells the model what it does and whose `Args:` (Google), `Parameters` (NumPy) or `:param x:` (Sphinx) lines
tell about each argument. The function itself takes no part in the key. Arguments are checked before the call.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import orjson

from qwennb.errors import ToolError
from qwennb.request.schema import normalised, parse_json


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that the model asks for: arguments as the JSON text it wrote."""

    id: str
    name: str
    arguments: str

    def to_json(self) -> dict[str, Any]:
        """The call as the key and the store spell it."""
        return {"id": self.id, "name": self.name, "arguments": self.arguments}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ToolCall:
        """The call that `to_json` wrote."""
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
        """A tool from a function, an OpenAI-style definition, or a tool."""
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
        return cls(body["name"], body.get("description") or "", orjson.dumps(parameters).decode())

    @classmethod
    def _of_function(cls, function: Callable[..., Any]) -> Tool:
        name = getattr(function, "__name__", type(function).__name__)
        if name == "<lambda>":
            raise ToolError(
                "A lambda can't be a tool: the model knows a tool by its name. Write it as a def."
            )
        summary, about = _docstring(inspect.getdoc(function) or "")
        schema = normalised(_arguments(function).model_json_schema())
        for argument, body in schema.get("properties", {}).items():
            if argument in about and "description" not in body:
                body["description"] = about[argument]
        schema.pop("description", None)
        return cls(name, summary, orjson.dumps(schema).decode(), function)

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of the arguments."""
        schema: dict[str, Any] = orjson.loads(self.parameters)
        return schema

    def definition(self) -> dict[str, Any]:
        """The definition as every OpenAI-style endpoint takes it."""
        body = {"name": self.name, "description": self.description, "parameters": self.schema}
        return {"type": "function", "function": {k: v for k, v in body.items() if v != ""}}

    def canonical(self) -> dict[str, Any]:
        """The tool as the key spells it."""
        return {"name": self.name, "description": self.description, "parameters": self.schema}

    def arguments(self, text: str) -> dict[str, Any]:
        """The arguments in *text*, checked and converted. ValueError says, for the model, what does not fit."""
        given = parse_json(text or "{}")
        if not isinstance(given, dict):
            raise ValueError("the arguments are not a JSON object")
        if self.function is None:
            return given
        import pydantic

        model = _arguments(self.function)
        if unknown := set(given) - set(model.model_fields):
            raise ValueError(
                f"no such argument: {', '.join(sorted(unknown))}; there are {', '.join(model.model_fields) or 'none'}"
            )
        try:
            made = model.model_validate_json(orjson.dumps(given))
        except pydantic.ValidationError as error:
            told = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:5]]
            raise ValueError("; ".join(told)) from None
        return {name: getattr(made, name) for name in model.model_fields if name in made.model_fields_set}


@lru_cache(maxsize=256)
def _arguments(function: Callable[..., Any]) -> Any:
    import pydantic

    fields: dict[str, Any] = {}
    try:
        signature = inspect.signature(function, eval_str=True)
    except (NameError, ValueError, TypeError) as error:
        raise ToolError(f"The type hints of tool `{function!r}` can't be read: {error}.") from None
    for parameter in signature.parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise ToolError(
                f"Tool `{signature_name(function)}` takes `{parameter}`; a model can only give named arguments. Name each one."
            )
        hint = Any if parameter.annotation is parameter.empty else parameter.annotation
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[parameter.name] = (hint, default)
    try:
        made = pydantic.create_model(
            signature_name(function), __config__={"arbitrary_types_allowed": False}, **fields
        )
        made.model_json_schema()
    except Exception as error:
        first = str(error).splitlines()[0]
        raise ToolError(
            f"An argument of tool `{signature_name(function)}` can't be expressed as JSON: {first}."
        ) from None
    return made


def signature_name(function: Callable[..., Any]) -> str:
    """The name that the model knows *function* by."""
    return getattr(function, "__name__", type(function).__name__)


def _docstring(text: str) -> tuple[str, dict[str, str]]:
    """The first paragraph, and what is said of each argument."""
    about: dict[str, str] = {}
    for match in re.finditer(r"^:param (?:[\w\[\], .|]+ )?(\w+):\s*(.+(?:\n[ \t]+.+)*)", text, re.MULTILINE):
        about[match[1]] = _one_line(match[2])
    if section := re.search(
        r"^(?:Args|Arguments|Parameters):\s*\n((?:[ \t]+.*\n?|\s*\n)+)", text, re.MULTILINE
    ):
        for match in re.finditer(
            r"^[ \t]+(\w+)(?:\s*\([^)]*\))?:\s*(.+(?:\n[ \t]{6,}.+)*)", section[1], re.MULTILINE
        ):
            about[match[1]] = _one_line(match[2])
    if section := re.search(r"^Parameters\n-+\n(.*?)(?=^\w[^\n]*\n-+\n|\Z)", text, re.MULTILINE | re.DOTALL):
        for match in re.finditer(r"^(\w+)(?:\s*:[^\n]*)?\n((?:[ \t]+.+\n?)+)", section[1], re.MULTILINE):
            about[match[1]] = _one_line(match[2])
    summary = re.split(
        r"\n\s*\n|^:param |^(?:Args|Arguments|Parameters|Returns):?\s*$", text, maxsplit=1, flags=re.MULTILINE
    )[0]
    return _one_line(summary), about


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()
