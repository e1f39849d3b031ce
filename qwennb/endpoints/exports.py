"""A request as text that another tool sends: curl, Python, a `.http` file, a Postman collection.

Each sends the very body that the endpoint's dialect writes. A key is a variable of the tool, by name, and never its value.
Whatever the request says arrives as it is: bash expands nothing in a quoted document, and the pairs of braces that the other
tools would fill in are spelled as JSON may spell them. What a terminal would obey is spelled so too.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pprint import pformat
from typing import Any
from urllib.parse import urlsplit

import orjson

from qwennb.endpoints.endpoint import Endpoint
from qwennb.endpoints.finding import HOSTED
from qwennb.errors import BadInput, MediaError, nearest
from qwennb.request import Request

POSTMAN = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
# Parameters of `create` that are no fields of a body.
_CLIENTS_OWN = {"extra_headers", "extra_query", "extra_body", "timeout"}
# Whether it can be shown is asked of each: most letters of the world can.
_UNPRINTED = re.compile(r"[^\n -~]")
_SECOND_BRACE = re.compile(r"(?<=\{)\{")  # JSON itself never has two: these stand in a text


@dataclass(frozen=True, slots=True)
class PlainCall:
    """A call as any tool can send it. `variable` is where the key is looked for; empty where none is wanted."""

    name: str
    base_url: str
    path: str
    headers: Mapping[str, str]
    variable: str
    body: Mapping[str, Any]

    @property
    def url(self) -> str:
        """The whole address."""
        return self.base_url + self.path

    def headers_with_key(self, key: str) -> dict[str, str]:
        """All headers, *key* being how the tool spells that of the variable."""
        keyed = {"Authorization": f"Bearer {key}"} if self.variable else {}
        return {"Content-Type": "application/json", **self.headers, **keyed}


def write_export(asked: Iterable[tuple[Request, Endpoint]], form: str) -> str:
    """Write requests, each with where it is to be sent, in one of `FORMS`."""
    if form not in FORMS:
        raise BadInput(f"--as {form} is not known{nearest(form, FORMS) or '.'} Forms: {', '.join(FORMS)}.")
    return FORMS[form]([_plain_call(request, endpoint) for request, endpoint in asked])


def _plain_call(request: Request, endpoint: Endpoint) -> PlainCall:
    if endpoint.server is not None or not endpoint.base_url:
        raise BadInput(
            "The embedded model has no address of its own. `qwennb local serve` gives it one; then name that as the endpoint."
        )
    for medium in request.media:
        if medium.kind == "record":
            raise MediaError(
                f"Request {request.key[:12]} asks about {medium.name} (sha256 {medium.digest[:12]}…), whose bytes the record has not. "
                "Put the folder of media beside the pack (qwennb pack --media), or ask in a notebook and type %qwen_sent --as curl there."
            )
    call = endpoint.call(endpoint.write(request, stream=False))
    for text in (call.url, *call.headers.values()):
        if "{{" in text or not text.isprintable():
            raise BadInput(
                f"The address or a header of {endpoint} holds {{{{ or a line end: no tool would send it."
            )
    return PlainCall(
        name=f"qwennb {request.key[:12]}",
        base_url=call.base_url.rstrip("/"),
        path=call.path,
        headers=call.headers,
        variable=_variable(endpoint) if endpoint.key is not None or endpoint.name in HOSTED else "",
        body=orjson.loads(orjson.dumps(call.body)),
    )


def _variable(endpoint: Endpoint) -> str:
    """Name the environment variable that holds the key of *endpoint*: its provider's, or the one for any base URL."""
    hosted, host = HOSTED.get(endpoint.name), urlsplit(endpoint.base_url).hostname or ""
    known = hosted is not None and any(
        host == one or (one[0] == "." and host.endswith(one)) for one in hosted.hosts
    )
    return hosted.variable if hosted is not None and known else "QWENNB_API_KEY"


def _json(value: object) -> str:
    """Spell *value* as JSON for people, with nothing in it that a terminal obeys."""
    return _UNPRINTED.sub(
        lambda sign: sign[0] if sign[0].isprintable() else json.dumps(sign[0])[1:-1],
        json.dumps(value, ensure_ascii=False, indent=2).replace("\x7f", "\\u007f"),
    )


def _json_without_variables(value: object) -> str:
    """Spell *value* as JSON in which no tool finds the two braces of a variable."""
    return _SECOND_BRACE.sub(r"\\u007b", _json(value))


# ---------------------------------------------------------------------- the forms


def _write_curl(calls: Sequence[PlainCall]) -> str:
    """Write commands for bash."""
    made = []
    for call in calls:
        # In double quotes stands our own text alone, and bash fills in the variable there.
        headers = call.headers_with_key(f"${call.variable}")
        lines = [f"curl -sS {_shell_quote(call.url)}"]
        for name, value in headers.items():
            header = f"{name}: {value}"
            lines.append(f'  -H "{header}"' if name == "Authorization" else f"  -H {_shell_quote(header)}")
        # No line of the body is the word that ends the document: each begins with a brace, a bracket or a space.
        lines.append("  --data-binary @- <<'JSON'")
        made.append(" \\\n".join(lines) + f"\n{_json(call.body)}\nJSON")
    return "\n\n".join(made)


def _shell_quote(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _write_python(calls: Sequence[PlainCall]) -> str:
    """Write a script for the openai package."""
    from openai.resources.chat.completions import Completions

    fields = inspect.signature(Completions.create).parameters.keys() - _CLIENTS_OWN
    lines = ["import os", ""] if any(call.variable for call in calls) else []
    lines.append("from openai import OpenAI")
    for call in calls:
        given = {name: value for name, value in call.body.items() if name in fields}
        own = {name: value for name, value in call.body.items() if name not in fields}
        given |= {"extra_headers": dict(call.headers)} if call.headers else {}
        given |= {"extra_body": own} if own else {}
        key = f'os.environ["{call.variable}"]' if call.variable else '"none"'
        lines += ["", f"# {call.name}", f"client = OpenAI(base_url={call.base_url!r}, api_key={key})"]
        lines.append("answer = client.chat.completions.create(")
        for name, value in given.items():
            written = pformat(value, width=100, sort_dicts=False).replace("\n", "\n    ")
            lines.append(f"    {name}={written},")
        lines.append(")")
        if call.body.get("stream"):
            lines += ["for chunk in answer:", "    for choice in chunk.choices:"]
            lines += ['        print(choice.delta.content or "", end="")', "print()"]
        else:
            lines += ["message = answer.choices[0].message", "print(message.content or message.tool_calls)"]
    return "\n".join(lines)


def _write_http(calls: Sequence[PlainCall]) -> str:
    """Write a file for VS Code's REST Client, JetBrains and httpYac."""
    made = []
    for call in calls:
        lines = [f"### {call.name}"]
        if call.variable:
            lines.append(f"# {call.variable} is a variable of the environment that you choose in your tool.")
        lines.append(f"POST {call.url}")
        headers = call.headers_with_key(f"{{{{{call.variable}}}}}")
        lines += [f"{name}: {value}" for name, value in headers.items()]
        made.append("\n".join([*lines, "", _json_without_variables(call.body), ""]))
    return "\n".join(made)


def _write_postman(calls: Sequence[PlainCall]) -> str:
    """Write a collection of Postman's form 2.1."""
    items = []
    for call in calls:
        headers = call.headers_with_key(f"{{{{{call.variable}}}}}")
        body = {
            "mode": "raw",
            "raw": _json_without_variables(call.body),
            "options": {"raw": {"language": "json"}},
        }
        request = {
            "method": "POST",
            "header": [{"key": name, "value": value} for name, value in headers.items()],
            "url": call.url,
            "body": body,
        }
        items.append({"name": call.name, "request": request})
    name = calls[0].name if len(calls) == 1 else f"qwennb, {len(calls)} requests"
    return _json({"info": {"name": name, "schema": POSTMAN}, "item": items})


FORMS: Mapping[str, Callable[[Sequence[PlainCall]], str]] = {
    "curl": _write_curl,
    "python": _write_python,
    "http": _write_http,
    "postman": _write_postman,
}
