"""What a simulated server takes and gives, as OpenAPI 3.1: `GET /openapi.json`.

Nothing is described by hand that a table or the server itself can tell: the fields are those that its dialect reads, their
types those that it checks, the errors the rows of `refusals` (each with the section of the facts it rests on), the pages
beside the chat what the dialect gives there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .batches import BATCH_REFUSALS
from .dialects import SimulatedDialect
from .fields import Tree
from .options import Options
from .problem import Problem
from .refusals import REFUSALS, Refusal
from .trial import ROLES, TYPES, field_types, is_malformed, no_messages, unknown_model

__all__ = ["describe_server"]

JSON = dict[str, Any]
NAMES = {str: "string", int: "integer", float: "number", bool: "boolean", list: "array", dict: "object"}
# Pages that one kind of server or another has beside the chat; each is described where it answers.
PAGES = (
    "/", "/health", "/v1/health", "/health_generate", "/version", "/models", "/v1/models", "/api/v1/models", "/api/v1/key",
    "/compatible-mode/v1/models", "/api/v1/credits", "/props", "/get_model_info", "/model_info", "/get_server_info",
    "/server_info", "/settings", "/v1/settings", "/v1/metrics", "/api/version", "/api/tags", "/api/v0/models",
)  # fmt: skip
DESK = (
    ("post", "/files", (200, 400)),
    ("get", "/files", (200,)),
    ("get", "/files/{id}", (200, 404)),
    ("delete", "/files/{id}", (200, 404)),
    ("post", "/batches", (200, 400, 404)),
    ("get", "/batches", (200,)),
    ("get", "/batches/{id}", (200, 404)),
    ("post", "/batches/{id}/cancel", (200, 404, 409)),
)
FORM = {"type": "object", "required": ["file", "purpose"], "properties": {"file": {"type": "string", "format": "binary"}, "purpose": {"const": "batch"}}}  # fmt: skip
ORDER = {"type": "object", "required": ["input_file_id", "endpoint", "completion_window"], "properties": {"input_file_id": {"type": "string"}, "endpoint": {"const": "/v1/chat/completions"}, "completion_window": {"type": "string", "examples": ["24h"]}}}  # fmt: skip


def describe_server(dialect: SimulatedDialect, api_key: str | None) -> JSON:
    """Describe the server that speaks *dialect*. Where it takes one key only, or its kind wants any, each route says so."""
    fresh = type(dialect)(dialect.models, Options(), dialect.clock)  # a page may count who looks at it
    rows = [row for row in REFUSALS if dialect.name in row.dialects and not row.options]
    wants_key = dialect.key == "required" or (dialect.key == "optional" and api_key is not None)
    paths: JSON = {f"{dialect.base}/chat/completions": {"post": _chat(dialect, rows, wants_key)}}
    for path in PAGES:
        if (found := fresh.side("GET", path, {}, None)) is not None:
            paths[path] = {"get": {"responses": {"200": _reply("What it says of itself.", found[1])}}}
    for method, path, statuses in DESK if dialect.has_batches else ():
        paths.setdefault(dialect.base + path, {})[method] = _desk(method, path, statuses, dialect, wants_key)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"A simulated {dialect.name}",
            "version": "1",
            "description": "Made from the tables by which the simulator of qwennb answers. What it says is no model's.",
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {"securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
    }


def _chat(dialect: SimulatedDialect, rows: list[Refusal], wants_key: bool) -> JSON:
    told: dict[int, list[Refusal]] = {}
    for row in rows:
        if row.status != 401 or wants_key:
            told.setdefault(row.status, []).append(row)
    responses = {"200": _ANSWER, "403": _reply("A web page asks, or another machine.", {"error": "why"})}
    for status, same in sorted(told.items()):
        words = "\n".join(f"- {row.name} ({row.section}): {row.message}".rstrip(": ") for row in same)
        shapes = {json.dumps(_shape(dialect.error(_example(row)))): None for row in same}
        schema = {"anyOf": [json.loads(shape) for shape in shapes]}
        responses[str(status)] = {"description": words, "content": {"application/json": {"schema": schema}}}
    over = Problem(429, "Too many requests.", "limit_requests", "limit_requests")
    responses.setdefault("429", _reply("The quota that it was started with is used up.", dialect.error(over)))
    return _secure(
        {
            "summary": "Ask.",
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": _body(dialect, rows)}},
            },
            "responses": responses,
        },
        wants_key,
    )


def _body(dialect: SimulatedDialect, rows: list[Refusal]) -> JSON:
    """Describe what may be sent: what is not read may be anything, and is ignored."""
    example: JSON = {"model": dialect.models[0].id, "messages": [{"role": "user", "content": "Hello"}]}
    tree = dialect.tree(example)
    # Null passes for left out, but for fields of which a row says otherwise.
    never_null = {name for row in rows if row.name == "null" for name in row.on}
    types = TYPES if any(row.when is is_malformed for row in rows) else {}
    properties = {
        name: _field(dialect, name, below, types, null=name not in never_null) for name, below in tree.items()
    }
    required = ["messages"]
    properties["messages"] = _messages(properties["messages"], any(row.when is no_messages for row in rows))
    if any(row.when is unknown_model for row in rows):
        properties["model"] = {"enum": [model.id for model in dialect.models]}
        required.append("model")
    return {"type": "object", "required": required, "properties": properties, "examples": [example]}


def _field(
    dialect: SimulatedDialect, name: str, below: Tree, types: Mapping[str, Any], *, null: bool = True
) -> JSON:
    """Describe a field by what is read below it, and what is checked of it and below it."""
    kinds = [NAMES[kind] for kind in (field_types(dialect.name, name) if types else ())]
    if "number" in kinds:
        kinds.remove("integer")
    made: JSON = (
        {"type": [*kinds, *(["null"] if null else [])]}
        if kinds
        else {}
        if null
        else {"not": {"type": "null"}}
    )
    checked = [one.removeprefix(f"{name}.") for one in types if one.startswith(f"{name}.")]
    inner = list(below) or [one for one in checked if "." not in one]  # what has no list is read whole
    if inner:
        fields = {one: _field(dialect, f"{name}.{one}", below.get(one, {}), types) for one in inner}
        made["properties"] = fields  # which an array does not mind
        if not kinds or "array" in kinds:
            made["items"] = {"properties": fields}
    return made


def _messages(known: JSON, wants_one: bool) -> JSON:
    """Describe the messages: beside their fields, which roles there are, and that each part tells its type."""
    fields = known["properties"]
    part = {**fields["content"]["properties"], "type": {"type": "string"}}
    parts = {"type": "array", "items": {"type": "object", "required": ["type"], "properties": part}}
    fields |= {"role": {"enum": list(ROLES)}, "content": {"anyOf": [{"type": ["string", "null"]}, parts]}}
    message = {"type": "object", "required": ["role"], "properties": fields}
    return {"type": "array", "items": message, **({"minItems": 1} if wants_one else {})}


def _desk(
    method: str, path: str, statuses: tuple[int, ...], dialect: SimulatedDialect, wants_key: bool
) -> JSON:
    """Describe a route of files and batches."""
    made: JSON = {"responses": {}}
    for status in statuses:
        words = "As wanted." if status == 200 else "There is none of that name."
        if status == 400:
            stage = "upload" if path == "/files" else "create"
            words = "\n".join(
                f"- {row.name} ({row.section}): {row.message}" for row in BATCH_REFUSALS if row.stage == stage
            )
        example = {} if status == 200 else dialect.error(Problem(status, "why", "code", "kind"))
        made["responses"][str(status)] = _reply(words, example)
    if "{id}" in path:
        made["parameters"] = [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}]
    elif method == "post":
        kind, schema = ("multipart/form-data", FORM) if path == "/files" else ("application/json", ORDER)
        made["requestBody"] = {"required": True, "content": {kind: {"schema": schema}}}
    return _secure(made, wants_key)


def _secure(operation: JSON, wants_key: bool) -> JSON:
    if not wants_key:
        return operation
    operation["responses"].setdefault("401", {"description": "No key, or another one."})
    return {**operation, "security": [{"key": []}]}


def _example(row: Refusal) -> Problem:
    extra = {name: 0 if callable(value) else value for name, value in row.extra.items()}
    return Problem(row.status, row.message or "why", row.code, row.kind, row.param, row.flat, extra)


def _reply(words: str, example: Any) -> JSON:
    """Describe a reply by one that was given."""
    kind = "text/plain" if isinstance(example, str) else "application/json"
    return {"description": words, "content": {kind: {"schema": _shape(example)}}}


def _shape(example: Any) -> JSON:
    """Describe what has the shape of *example*: the same fields, each of the same kind; null may be anything."""
    if isinstance(example, Mapping):
        fields = {name: _shape(value) for name, value in example.items()}
        return {"type": "object", "required": list(fields), "properties": fields}
    if isinstance(example, list):
        shapes = {json.dumps(_shape(one)): None for one in example}
        return {
            "type": "array",
            "items": {"anyOf": [json.loads(shape) for shape in shapes]} if shapes else {},
        }
    return {} if example is None else {"type": NAMES[type(example)]}


_ANSWER = {
    "description": "The answer, whole or as a stream of events.",
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["id", "object", "created", "model", "choices"],
                "properties": {
                    "id": {"type": "string"},
                    "object": {"const": "chat.completion"},
                    "created": {"type": "integer"},
                    "model": {"type": "string"},
                    "choices": {
                        "type": "array",
                        "minItems": 1,
                        "items": {
                            "type": "object",
                            "required": ["index", "message", "finish_reason"],
                            "properties": {
                                "message": {
                                    "type": "object",
                                    "required": ["role", "content"],
                                    "properties": {
                                        "role": {"const": "assistant"},
                                        "content": {"type": ["string", "null"]},
                                    },
                                },
                                "finish_reason": {"type": ["string", "null"]},
                            },
                        },
                    },
                    "usage": {
                        "type": "object",
                        "required": ["prompt_tokens", "completion_tokens", "total_tokens"],
                        "properties": {
                            name: {"type": "integer", "minimum": 0}
                            for name in ("prompt_tokens", "completion_tokens", "total_tokens")
                        },
                    },
                },
            }
        },
        "text/event-stream": {},
    },
}
