"""What all servers have in common, as methods that a dialect changes where its server differs.

A dialect is data (base path, the fields it reads, how usage is sent) and a few functions that give things their shape.
It never looks at a field that is not in `fields`: the body it is given has no others.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from hashlib import blake2b
from typing import Any, ClassVar, Literal

from ..connection import Header
from ..delivery import DONE, Delivery, Event, comment
from ..fields import Tree, field_tree
from ..models import SimModel
from ..options import Options
from ..parsed_request import Asked, Constraint
from ..problem import Problem
from ..quota import RetryForm
from ..replies import Reply
from ..tokens import Counts, count_text

__all__ = ["JSON", "MESSAGES", "Page", "SimulatedDialect"]

JSON = dict[str, Any]
Page = tuple[int, Any]
"""Status and body of a side route; a str body is sent as text."""

MESSAGES = """
    messages.role messages.tool_calls messages.tool_call_id
    messages.content.type messages.content.text messages.content.image_url.url
"""
PIECES = re.compile(r"\s*\S{1,24}|\s+")
MOST_PIECES = 400


class SimulatedDialect:
    """One kind of server."""

    name: ClassVar[str]
    base: ClassVar[str] = "/v1"
    key: ClassVar[Literal["required", "optional", "ignored"]] = "optional"
    fields: ClassVar[str] = ""
    id_prefix: ClassVar[str] = "chatcmpl-"
    usage_in_stream: ClassVar[Literal["always", "asked"]] = "asked"
    role_in_every_delta: ClassVar[bool] = False
    reasoning_fields: ClassVar[tuple[str, ...]] = ("reasoning_content",)
    done_after_error: ClassVar[bool] = False
    retry_form: ClassVar[RetryForm] = "none"
    accepts_any_model: ClassVar[bool] = False
    has_batches: ClassVar[bool] = False

    def __init__(self, models: tuple[SimModel, ...], options: Options, clock: Callable[[], float]) -> None:
        self.models = models
        self.options = options
        self.clock = clock
        self._tree = field_tree(self.fields.split())

    # What is read.

    def tree(self, body: JSON) -> Tree:
        """The fields that are read from this body."""
        return self._tree

    def model(self, name: Any) -> SimModel | None:
        """The model of that name, or None."""
        found = next((model for model in self.models if model.id == name), None)
        if found is None and self.accepts_any_model:
            return self.models[0]
        return found

    def thinks(self, body: JSON, model: SimModel) -> bool:
        """Whether the model thinks before it answers."""
        return self.thinking_default(model)

    def thinking_default(self, model: SimModel) -> bool:
        """What happens when the request leaves it open."""
        return model.thinks if self.options.thinking is None else self.options.thinking

    def budget(self, body: JSON) -> int | None:
        """The most tokens of thought."""
        return None

    def constraint(self, body: JSON) -> Constraint | None:
        """What the text must fit."""
        return format_constraint(body)

    def prompt(self, counts: Counts, model: SimModel) -> Counts:
        """The prompt as the model gets to see it."""
        return counts

    # What a refusal looks like.

    def error(self, problem: Problem) -> Any:
        """The body of an error."""
        return {
            "error": {
                "message": problem.message,
                "type": problem.kind or "invalid_request_error",
                "param": problem.param,
                "code": problem.code or None,
            }
        }

    def error_headers(self, problem: Problem) -> list[Header]:
        """Headers that go with an error."""
        return []

    def error_events(self, problem: Problem, template: JSON) -> list[Event]:
        """An error in the middle of a stream. *template* is a chunk of this stream without choices."""
        return [Event(self.error(problem))]

    def note_delivery(self, asked: Asked, counts: Counts, ending: str) -> None:
        """An answer is about to leave; a server that can be asked about it later keeps what it must."""

    def nothing_here(self, method: str, path: str) -> Page:
        """A path that does not exist."""
        return 404, {"detail": "Not Found"}

    # What an answer looks like.

    def adapt_reply(self, reply: Reply, asked: Asked) -> Reply:
        """The reply as this server was started to give it."""
        return reply

    def usage(self, counts: Counts) -> JSON:
        """The usage object."""
        return {
            "prompt_tokens": counts.prompt,
            "completion_tokens": counts.completion,
            "total_tokens": counts.total,
        }

    def message(self, reply: Reply) -> JSON:
        """The message of a whole answer."""
        message: JSON = {"role": "assistant", "content": self.content(reply)}
        if reply.reasoning:
            message |= self.fields_of_thought(reply.reasoning)
        if reply.tool_calls:
            message["tool_calls"] = tool_calls(reply)
        return message

    def content(self, reply: Reply) -> str | None:
        """The text of a whole answer."""
        return None if reply.tool_calls and not reply.text else reply.text

    def fields_of_thought(self, text: str) -> JSON:
        """The fields that carry a thought, or a piece of one."""
        return dict.fromkeys(self.reasoning_fields, text)

    def first_delta(self) -> JSON:
        """The delta that opens a stream."""
        return {"role": "assistant", "content": ""}

    def text_delta(self, text: str) -> JSON:
        """A piece of the answer."""
        return {"content": text}

    def delta_of_thought(self, text: str) -> JSON:
        """A piece of the thought."""
        return self.fields_of_thought(text)

    def last_delta(self) -> JSON:
        """The delta that comes with the finish reason."""
        return {}

    def finish(self, reason: str | None) -> JSON:
        """The fields that tell how it ended."""
        return {"finish_reason": reason}

    def extras(self, asked: Asked, counts: Counts) -> JSON:
        """What else stands in a whole answer."""
        return {}

    def chunk_extras(self, asked: Asked) -> JSON:
        """What else stands in every chunk."""
        return {}

    def closing(self, counts: Counts) -> JSON:
        """What else stands in the chunk with the finish reason, where no usage follows."""
        return {}

    def headers(self, asked: Asked, identity: str) -> list[Header]:
        """Headers of an answer."""
        return []

    def openers(self, asked: Asked) -> list[Event]:
        """What comes before the first chunk."""
        return []

    # Putting it together.

    def identity(self, asked: Asked, number: int) -> str:
        """The id of an answer."""
        digest = blake2b(f"{asked.seed}/{asked.key}/{number}".encode(), digest_size=16).hexdigest()
        return self.id_prefix + digest

    def model_name(self, asked: Asked) -> str:
        """The model's name in the answer."""
        return str(asked.body.get("model") or asked.model.id)

    def deliver(
        self, asked: Asked, replies: list[Reply], counts: Counts, show_usage: bool, number: int
    ) -> Delivery:
        """The whole answer, ready to be sent."""
        identity = self.identity(asked, number)
        template: JSON = {
            "id": identity,
            "object": "chat.completion.chunk" if asked.stream else "chat.completion",
            "created": int(self.clock()),
            "model": self.model_name(asked),
        }
        if asked.stream:
            events = list(self._events(asked, replies, counts, show_usage, template))
            return Delivery(self.headers(asked, identity), events=events)
        body = template | {
            "choices": [self.choice(place, reply, asked) for place, reply in enumerate(replies)]
        }
        if show_usage:
            body["usage"] = self.usage(counts)
        return Delivery(self.headers(asked, identity), body=body | self.extras(asked, counts))

    def choice(self, place: int, reply: Reply, asked: Asked) -> JSON:
        """One choice of a whole answer."""
        odds = self.odds(reply.text or "", asked, reply.likely)
        return {"index": place, "message": self.message(reply), **odds, **self.finish(reply.ending)}

    def odds(self, text: str, asked: Asked, likely: Mapping[str, float] | None = None) -> JSON:
        """The log probabilities of a text, null where none were asked for."""
        return {"logprobs": logprobs(text, asked, likely)}

    def _events(
        self, asked: Asked, replies: list[Reply], counts: Counts, show_usage: bool, template: JSON
    ) -> Iterator[Event]:
        yield from self.openers(asked)
        quiet = self.chunk_extras(asked)
        tells = show_usage and self.wants_usage(asked)
        for place, reply in enumerate(replies):
            for delta, ending, tokens in self._deltas(reply):
                if isinstance(delta, bytes):
                    yield Event(delta, reply.chunk_delay)
                    continue
                if self.role_in_every_delta:
                    delta = {"role": "assistant"} | delta
                choice = {
                    "index": place,
                    "delta": delta,
                    **self.odds(delta.get("content") or "", asked, reply.likely),
                    **self.finish(ending),
                }
                closing = self.closing(counts) if ending and not tells else {}
                yield Event(template | quiet | {"choices": [choice]} | closing, reply.chunk_delay, tokens)
        if tells:
            yield Event(
                template | quiet | {"choices": [], "usage": self.usage(counts)} | self.extras(asked, counts)
            )
        yield Event(DONE)

    def wants_usage(self, asked: Asked) -> bool:
        """Whether a stream ends with its usage."""
        options = asked.body.get("stream_options")
        return self.usage_in_stream == "always" or (
            isinstance(options, dict) and options.get("include_usage") is True
        )

    def _deltas(self, reply: Reply) -> Iterator[tuple[Any, str | None, int]]:
        """(delta, finish reason, tokens) in order."""
        if not self.role_in_every_delta:
            yield self.first_delta(), None, 0
        for piece in pieces(reply.reasoning or ""):
            yield self.delta_of_thought(piece), None, count_text(piece)
        for chunk in pieces(reply.text or "") if reply.chunks is None else reply.chunks:
            if isinstance(chunk, str):
                yield self.text_delta(chunk), None, count_text(chunk)
            else:
                yield chunk if isinstance(chunk, bytes) else dict(chunk), None, 0
        for place, call in enumerate(reply.tool_calls):
            opening = {"name": call.name, "arguments": ""}
            opened = {
                "index": place,
                "id": call.id or f"call_{place}",
                "type": "function",
                "function": opening,
            }
            yield {"tool_calls": [opened]}, None, count_text(call.name)
            for piece in cut(call.text, 12):
                yield (
                    {"tool_calls": [{"index": place, "function": {"arguments": piece}}]},
                    None,
                    count_text(piece),
                )
        yield self.last_delta(), self.last_reason(reply), 0

    def last_reason(self, reply: Reply) -> str | None:
        """The finish reason at the end of a stream."""
        return reply.ending

    # What stands beside the chat.

    def side(self, method: str, path: str, query: Mapping[str, str], body: Any) -> Page | None:
        """A route that is not a chat; None when there is none."""
        if method == "GET" and path == f"{self.base}/models":
            return 200, self.model_list()
        return None

    def model_list(self) -> JSON:
        """What `/models` says."""
        owner = {"object": "model", "created": int(self.clock()), "owned_by": self.name}
        return {"object": "list", "data": [{"id": model.id, **owner} for model in self.models]}


def format_constraint(body: JSON) -> Constraint | None:
    """What `response_format` asks for."""
    wanted = body.get("response_format")
    if not isinstance(wanted, dict):
        return None
    if wanted.get("type") == "json_schema":
        described = wanted.get("json_schema")
        return Constraint("schema", described.get("schema") if isinstance(described, dict) else None)
    return Constraint("json") if wanted.get("type") == "json_object" else None


def tool_calls(reply: Reply) -> list[JSON]:
    """The calls of a whole answer."""
    return [
        {
            "id": call.id or f"call_{place}",
            "type": "function",
            "index": place,
            "function": {"name": call.name, "arguments": call.text},
        }
        for place, call in enumerate(reply.tool_calls)
    ]


def pieces(text: str) -> list[str]:
    """Text as it is streamed: word by word, long ones in larger steps."""
    found: list[str] = PIECES.findall(text)
    if len(found) <= MOST_PIECES:
        return found
    step = -(-len(found) // MOST_PIECES)
    return ["".join(found[at : at + step]) for at in range(0, len(found), step)]


def cut(text: str, size: int) -> list[str]:
    """Text in equal pieces."""
    return [text[at : at + size] for at in range(0, len(text), size)]


def logprobs(text: str, asked: Asked, likely: Mapping[str, float] | None = None) -> JSON | None:
    """Log probabilities, where the server reads the field and was asked for them: as *likely* says of a token, or made up."""
    if not text or asked.body.get("logprobs") is not True:
        return None
    tokens, rng = pieces(text), asked.random(f"logprobs {text}")
    others = asked.body.get("top_logprobs") or 0
    content = []
    for token in tokens:
        first = -rng.random()
        best = [token, *(f"{token[:1]}{place}" for place in range(1, others))][:others]
        odds = {other: first - place for place, other in enumerate(best)}
        if likely and token.strip(' "}') in likely:
            first = math.log(likely[token.strip(' "}')])
            odds = {other: math.log(share) for other, share in list(likely.items())[:others]}
        content.append(
            {
                "token": token,
                "logprob": first,
                "bytes": list(token.encode()),
                "top_logprobs": [
                    {"token": other, "logprob": logprob, "bytes": list(other.encode())}
                    for other, logprob in odds.items()
                ],
            }
        )
    return {"content": content}


def inline_thought(reply: Reply) -> Reply:
    """The thought in the content, with the opening tag left in the prompt."""
    if reply.reasoning is None:
        return reply
    text = f"{reply.reasoning}\n</think>\n\n{reply.text or ''}"
    chunks = None if reply.chunks is None else [*pieces(f"{reply.reasoning}\n</think>\n\n"), *reply.chunks]
    return replace(reply, text=text, reasoning=None, chunks=chunks)


def comments(text: str, options: Options) -> list[Event]:
    """Comments before a stream begins."""
    return [Event(comment(text), options.comment_delay) for _ in range(options.comments)]
