"""The common tongue, and where the servers differ from it.

A `Dialect` writes a request as one server wants it (`write`) and reads what that server answers (`read`). This class
speaks plain OpenAI chat; each server's file overrides the few words that it says differently. A dialect holds no
state: it is a description, and one instance serves every call.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from qwennb.answer import Chunk, Draft, WebSource
from qwennb.catalog import Abilities
from qwennb.endpoints.call import Payload
from qwennb.endpoints.error_reply import classify_error, parse_error, parse_error_body
from qwennb.endpoints.media import MediaLimits, is_read, join_texts, label_pdfs, order_parts, prepare
from qwennb.endpoints.reading import (
    call_pieces,
    content_of,
    logprobs_of,
    mapping,
    mappings,
    number,
    text,
    usage_of,
)
from qwennb.errors import EndpointError, Incomplete, UnsupportedOption
from qwennb.request import SETTINGS, Message, Request, Settings, Text, ToolCall

_FINISH = {
    "stop": "stop",
    "eos": "stop",
    "length": "length",
    "max_tokens": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "error": "error",
}


@dataclass(frozen=True, slots=True)
class Wire:
    """A request as one server takes it. `defaults` are values sent though the user left them alone."""

    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)
    defaults: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fixed:
    """The part of a wire that is the same for all requests *of* one dialect, settings, form and tools.

    `body` has None where the messages go; `words` are said at the end of the last question. It holds on to what it is
    made of, and is known by identity: `thinking=1` and `thinking=True` are equal, and are not sent alike.
    """

    of: tuple[object, ...]
    body: dict[str, Any]
    words: tuple[str, ...]
    headers: dict[str, str]
    defaults: dict[str, Any]


MOST_LOGPROBS = 20  # the most that these servers tell of a token
MOST_FIXED = 64  # a column has one of these, and a notebook few columns; chosen
_fixed: dict[
    tuple[object, ...], Fixed
] = {}  # by the identity of what each holds on to, and the model's names


class Dialect:
    """Plain OpenAI chat, for any server that nobody recognised."""

    kind = "openai"
    reasoning_field = "reasoning_content"
    blocks_field: str | None = None
    """Where a thought goes back as the very blocks that it came in, unmodified."""
    streams_usage_unasked = False
    null_finish_is_stop = False
    tells_likelihoods = False
    """Whether the likeliest tokens are asked for with a choice, where the model's abilities have them: they are free here."""
    holds_to_choices = False
    """Whether the server lets the model write nothing but one of the choices, so that its beginning tells which it is."""

    # ------------------------------------------------------------------ writing

    def write(self, request: Request, model_id: str, abilities: Abilities, *, stream: bool) -> Wire:
        """*request* as this server takes it."""
        fixed = self._find_fixed(request, model_id, abilities, stream)
        limits = MediaLimits.of(abilities, self.kind) if request.media else None
        messages: list[dict[str, Any]] = []
        last = len(request.messages) - 1
        while last > 0 and request.messages[last].role != "user":
            last -= 1
        for i, message in enumerate(request.messages):
            messages.append(self.message(message, limits, in_turn=i > last))
        for words in fixed.words:
            say(messages, words)
        body = dict(fixed.body)
        if body["messages"] is None:
            body["messages"] = messages
        return Wire(body, fixed.headers, fixed.defaults)

    def _find_fixed(self, request: Request, model_id: str, abilities: Abilities, stream: bool) -> Fixed:
        """Find what *request* shares with all others of its settings, form and tools, as the rows of a column do."""
        of = (self, request.settings, request.schema, request.choices, request.tools, abilities)
        is_one_token = not stream and self.holds_to_choices and tells_by_first_token(request)
        name = (*map(id, of), request.model, model_id, stream, names_choices(request), is_one_token)
        if (known := _fixed.get(name)) is None:
            while len(_fixed) >= MOST_FIXED:
                _fixed.pop(next(iter(_fixed)), None)
            defaults = self.defaults(request, abilities) | ({"max_tokens": 1} if is_one_token else {})
            known = _fixed[name] = self._write_fixed(request, model_id, abilities, stream, defaults, of)
        return known

    def _write_fixed(
        self,
        request: Request,
        model_id: str,
        abilities: Abilities,
        stream: bool,
        defaults: dict[str, Any],
        of: tuple[object, ...],
    ) -> Fixed:
        settings = request.settings
        asked = replace(
            request,
            settings=replace(
                settings, **{n: v for n, v in defaults.items() if getattr(settings, n, 0) is None}
            ),
        )
        body: dict[str, Any] = {
            "model": model_id,
            "messages": None,
            **self.sampling(asked),
            **self.thinking(asked, abilities),
            **self.tools(asked),
            **self.search(asked),
        }
        said: list[dict[str, Any]] = []
        body |= self.form(asked, abilities, said)
        if stream:
            body["stream"] = True
            if not self.streams_usage_unasked:
                body["stream_options"] = {"include_usage": True}
        body = self.add_extra(body, settings)
        words = tuple(message["content"] for message in said)
        return Fixed(of, body, words, self.headers(request), defaults)

    def add_extra(self, body: dict[str, Any], settings: Settings) -> dict[str, Any]:
        """Add the user's own fields to *body*."""
        return merge_fields(body, settings.extra_fields)

    def defaults(self, request: Request, abilities: Abilities) -> dict[str, Any]:
        """Settings that are sent though the user left them alone: where the server's own are poor, or a form needs them."""
        settings, made = request.settings, dict[str, Any]()
        thinking = self.effective_thinking(request, abilities)
        if thinking != settings.thinking:
            made["thinking"] = thinking
        made |= {
            name: value
            for name, value in abilities.preset(thinking).items()
            if getattr(settings, name) is None
        }
        if request.choices is not None and settings.max_tokens is None and thinking is False:
            made["max_tokens"] = choice_bound(request.choices)
        if (
            self.tells_likelihoods
            and request.choices is not None
            and settings.logprobs is None
            and thinking is False
            and abilities.accepts("logprobs")
        ):
            made["logprobs"] = abilities.most("logprobs", MOST_LOGPROBS)
        return made

    def effective_thinking(self, request: Request, abilities: Abilities) -> bool | str | int | None:
        """The thinking switch as it will be sent: a form may need it off where the user left it alone."""
        thinking = request.settings.thinking
        if not abilities.schema_without_thinking or (request.schema is None and request.choices is None):
            return thinking
        if thinking not in (None, False):
            raise UnsupportedOption(
                f"{request.model} at {abilities.endpoint} gives JSON only without thinking. Leave out thinking=, or ask "
                "without schema= and choices=."
            )
        return False

    def headers(self, request: Request) -> dict[str, str]:
        """Headers of this server's own, for *request*."""
        return {}

    def message(self, message: Message, limits: MediaLimits | None, *, in_turn: bool) -> dict[str, Any]:
        """One message; *in_turn*: it stands after the last question, where reasoning goes back."""
        made: dict[str, Any] = {"role": message.role}
        if limits is not None and message.media:
            parts: list[dict[str, Any]] = []
            ordered = order_parts(message.parts)
            labels = label_pdfs(ordered)
            for place, part in enumerate(ordered):
                if isinstance(part, Text):
                    parts.append({"type": "text", "text": part.text})
                else:
                    parts.extend(prepare(part, limits, labels.get(place, "")))
            made["content"] = join_texts(parts) if any(map(is_read, message.media)) else parts
        else:
            made["content"] = message.text
        if message.tool_calls:
            made["tool_calls"] = [_call(call) for call in message.tool_calls]
            made["content"] = made["content"] or None
        if message.tool_call_id is not None:
            made["tool_call_id"] = message.tool_call_id
        if message.role == "assistant" and in_turn:
            if self.blocks_field is not None and message.reasoning_blocks:
                made[self.blocks_field] = orjson.loads(message.reasoning_blocks)
            elif message.reasoning:
                made[self.reasoning_field] = message.reasoning
        return made

    def sampling(self, request: Request) -> dict[str, Any]:
        """The sampling options by this server's names."""
        given = request.settings.given()
        made = {name: value for name, value in given.items() if SETTINGS[name].plain}
        if request.settings.logprobs is not None:
            made["logprobs"] = True
            if request.settings.logprobs:
                made["top_logprobs"] = request.settings.logprobs
        return made

    def thinking(self, request: Request, abilities: Abilities) -> dict[str, Any]:
        """The thinking switch."""
        thinking = request.settings.thinking
        if thinking is None:
            return {}
        effort = "none" if thinking is False else "medium" if thinking is True else thinking
        return {"reasoning_effort": effort}

    def form(self, request: Request, abilities: Abilities, messages: list[dict[str, Any]]) -> dict[str, Any]:
        """The form that the answer must have. Where it must be said in words, they go into *messages*."""
        schema = _schema(request, in_words=abilities.schema != "json_schema")
        if schema is None:
            return {}
        if abilities.schema == "json_schema":
            name = request.schema.name if request.schema else "choice"
            return {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": name, "schema": schema, "strict": True},
                }
            }
        say(
            messages,
            f"Answer with one JSON object, and nothing else, that fits this JSON Schema:\n{orjson.dumps(schema).decode()}",
        )
        return {"response_format": {"type": "json_object"}} if abilities.schema == "json_object" else {}

    def tools(self, request: Request) -> dict[str, Any]:
        """The tools and which of them may or must be called."""
        if not request.tools:
            return {}
        made: dict[str, Any] = {"tools": [tool.definition() for tool in request.tools]}
        choice = request.settings.tool_choice
        if choice is not None:
            named = {"type": "function", "function": {"name": choice}}
            made["tool_choice"] = choice if choice in ("auto", "none", "required") else named
        return made

    def search(self, request: Request) -> dict[str, Any]:
        """The search switch; the abilities refuse it where there is none."""
        return {}

    # ------------------------------------------------------------------ reading

    def read(self, payload: Payload, endpoint: str) -> Chunk:
        """The chunk in *payload*, or the error that it stands for."""
        data = payload.data
        if data is None and payload.last:
            return Chunk(ended=True)
        whole = mapping(data)
        if (
            not whole
            or whole.get("error")
            or ("choices" not in whole and ("message" in whole or "detail" in whole))
        ):
            raise classify_error(parse_error_body(data), endpoint, mid_answer=True)
        choices = whole.get("choices")
        choice = mapping(choices[0] if isinstance(choices, list) and choices else None)
        if isinstance(choice.get("error"), Mapping):
            raise classify_error(parse_error_body(choice), endpoint, mid_answer=True)
        said = mapping(choice.get("delta")) or mapping(choice.get("message"))
        usage = mapping(whole.get("usage"))
        return Chunk(
            text=content_of(said.get("content")),
            # From whichever field carries it; never from two at once.
            reasoning=text(said.get("reasoning")) or text(said.get("reasoning_content")),
            reasoning_blocks=tuple(map(dict, mappings(blocks)))
            if (blocks := said.get("reasoning_details"))
            else (),
            tool_calls=tuple(call_pieces(calls)) if (calls := said.get("tool_calls")) else (),
            logprobs=tuple(logprobs_of(given)) if (given := choice.get("logprobs")) else (),
            sources=tuple(self.sources(whole, said)),
            finish_reason=self.finish(choice.get("finish_reason"), payload),
            usage=usage_of(usage) if usage else None,
            cost=number(usage.get("cost")),
            served_by=text(whole.get("model")) or None,
            id=text(whole.get("id")) or None,
            ended=payload.last,
        )

    def normalise(self, draft: Draft, request: Request) -> Draft:
        """*draft*, whole, as this server means it: a choice that was cut, once its beginning tells it; a call's arguments."""
        if self.holds_to_choices and draft.finish_reason == "length" and draft.text:
            meant = [one for one in request.choices or () if _begins(one, draft.text)]
            # With a thought before it, a choice may be free text.
            if len(meant) == 1 and request.settings.thinking in (None, False):
                return replace(draft, text=meant[0], finish_reason="stop")
            if not meant and tells_by_first_token(
                request
            ):  # it does not hold to them: asked again, with room
                return replace(draft, finish_reason="stop")
        if not draft.tool_calls:
            return draft
        # One without any arguments has an empty object of them.
        calls = (replace(call, arguments=call.arguments.strip() or "{}") for call in draft.tool_calls)
        return replace(draft, tool_calls=tuple(calls))

    def finish(self, reason: Any, payload: Payload) -> str | None:
        """Why the answer ended, in our words; None while it has not."""
        if not isinstance(reason, str) or reason in ("", "null"):
            return None
        return _FINISH.get(reason, "aborted")

    def sources(self, data: Mapping[str, Any], said: Mapping[str, Any]) -> list[WebSource]:
        """Pages that a searching model names."""
        if not said.get("annotations"):
            return []
        return sources_in([mapping(note.get("url_citation")) for note in mappings(said.get("annotations"))])

    def refusal(self, endpoint: str, status: int, headers: Mapping[str, str], body: bytes) -> EndpointError:
        """The error that a reply with a status other than 200 stands for."""
        return classify_error(parse_error(status, headers, body), endpoint)

    def cut(self, endpoint: str, *, told: bool = False) -> EndpointError:
        """The error for an answer that ended without saying that it was at its end; *told*: it said that it was not."""
        how = (
            "the server ended it before its end" if told else "it ended without saying that it was at its end"
        )
        return Incomplete(f"The answer of {endpoint} broke off: {how}.", maybe_billed=True)

    def stream_instead(self, wire: Wire) -> Wire:
        """*wire* as it is asked again after an answer broke off."""
        return wire


def budget_of(thinking: str | int, abilities: Abilities) -> int:
    """The budget in tokens that a level of thinking stands for, or the budget itself."""
    return abilities.thinking_budget(thinking) if isinstance(thinking, str) else thinking


def switch_and_budget(request: Request, abilities: Abilities) -> dict[str, Any]:
    """Thinking as two fields of the body: a switch, and the budget that a level or a number means."""
    thinking = request.settings.thinking
    if thinking is None:
        return {}
    if isinstance(thinking, bool):
        return {"enable_thinking": thinking}
    return {"enable_thinking": True, "thinking_budget": budget_of(thinking, abilities)}


def merge_fields(body: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """*body* with the user's own fields; an object in both is merged, so that neither loses what it holds."""
    made = {**body, **extra}
    for name in body.keys() & extra.keys():
        if isinstance(body[name], Mapping) and isinstance(extra[name], Mapping):
            made[name] = merge_fields(body[name], extra[name])
    return made


def sources_in(pages: list[Mapping[str, Any]]) -> list[WebSource]:
    """The pages that have an address."""
    return [
        WebSource(text(page.get("title")) or page["url"], page["url"])
        for page in pages
        if text(page.get("url"))
    ]


def say(messages: list[dict[str, Any]], words: str) -> None:
    """Add *words* at the end of the last question; where there is none, as one."""
    last = next((m for m in reversed(messages) if m["role"] == "user"), None)
    if last is None:
        messages.append({"role": "user", "content": words})
    elif isinstance(last["content"], str):
        last["content"] = f"{last['content']}\n\n{words}"
    else:
        last["content"] = [*last["content"], {"type": "text", "text": words}]


def names_choices(request: Request) -> bool:
    """Tell whether the system text names every choice, as the verbs' own does: then they need not be said once more."""
    first = request.messages[0] if request.messages else None
    return (
        request.choices is not None
        and first is not None
        and first.role == "system"
        and all(re.search(rf"(?<!\w){re.escape(choice)}(?!\w)", first.text) for choice in request.choices)
    )


def _begins(choice: str, said: str) -> bool:
    return choice.casefold().startswith(said.casefold())


def tells_by_first_token(request: Request) -> bool:
    """Tell whether the first token of a choice tells which it is: all begin unlike, and with a letter that no token parts.

    Where something was said already (an answer that did not fit is asked for again), there is room for all of it.
    """
    firsts = {choice[:1].casefold() for choice in request.choices or ()}
    return (
        0 < len(firsts) == len(request.choices or ())
        and all(map(str.isascii, firsts))
        and request.settings.thinking is False
        and request.settings.max_tokens is None
        and all(message.role != "assistant" for message in request.messages)
    )


def choice_bound(choices: tuple[str, ...]) -> int:
    """Tokens that are enough for any of *choices*, bare or in a JSON object: a token is at least a byte."""
    return max(len(choice.encode()) for choice in choices) + 24


def _schema(request: Request, *, in_words: bool) -> dict[str, Any] | None:
    if request.schema is not None:
        return request.schema.wire_form(in_words=in_words)
    if request.choices is not None:
        answer = {"type": "string", "enum": list(request.choices)}
        return {
            "type": "object",
            "properties": {"answer": answer},
            "required": ["answer"],
            "additionalProperties": False,
        }
    return None


def _call(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": _sound_arguments(call.arguments)}
    return {"id": call.id, "type": "function", "function": function}


def _sound_arguments(text: str) -> str:
    """Mend the arguments of an earlier call as they go back: servers parse them, and fail on what is no JSON object.

    What the model wrote instead of one was answered with what is wrong with it, so nothing is lost by leaving it out.
    """
    try:
        return text if isinstance(orjson.loads(text), dict) else "{}"
    except orjson.JSONDecodeError:
        return "{}"
