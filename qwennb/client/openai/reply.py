"""An `Answer` as the openai package reads one: a whole `chat.completion`, or the chunks of a stream.

A hit and a live answer have the same form, and a hit's is the same at every replay. What has no place in that form stands
under `qwennb`: the key, the endpoint that answered, the cost.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from qwennb.answer import Answer, Chunk, Logprob, Usage
from qwennb.request import Request

Json = dict[str, Any]


def whole_reply(answer: Answer) -> Json:
    """Write *answer* as a `chat.completion`."""
    message: Json = {"role": "assistant", "content": answer.text or None, "refusal": None}
    if answer.tool_calls:
        message["tool_calls"] = _calls(answer)
    if answer.reasoning:
        message["reasoning_content"] = answer.reasoning
    message |= _marks(answer)
    return {
        "id": _id(answer.request),
        "object": "chat.completion",
        "created": int(answer.created.timestamp()),
        "model": answer.served_by or answer.model,
        "choices": [
            {
                "index": 0,
                "message": message,
                "logprobs": _logprobs(answer.logprobs or ()),
                "finish_reason": answer.finish_reason,
            }
        ],
        "usage": _usage(answer.usage),
        "qwennb": _provenance(answer),
    }


class StreamedReply:
    """The chunks of one answer, as its pieces come; the answer itself, at the end, brings what they did not."""

    def __init__(self, request: Request, *, usage_at_end: bool, began: int) -> None:
        self._head: Json = {
            "id": _id(request),
            "object": "chat.completion.chunk",
            "created": began,
            "model": request.model,
        }
        if usage_at_end:
            self._head["usage"] = None
        self._usage_at_end = usage_at_end
        self._opened = False
        self._text = self._reasoning = ""
        self._logprobs = 0

    def chunks(self, piece: Chunk | Answer) -> Iterator[Json]:
        """Give what *piece* adds to the stream."""
        if isinstance(piece, Answer):
            yield from self._end(piece)
            return
        yield from self._begin(piece.served_by)
        # Calls are held back to the end: only then has each the id and name by which its result will be sent.
        yield from self._text_chunks(piece.text, piece.reasoning, piece.logprobs)

    def _begin(self, served_by: str | None) -> Iterator[Json]:
        if not self._opened:
            self._opened = True
            self._head["model"] = served_by or self._head["model"]
            yield self._chunk({"role": "assistant", "content": ""})

    def _text_chunks(self, text: str, reasoning: str, logprobs: Sequence[Logprob]) -> Iterator[Json]:
        self._text += text
        self._reasoning += reasoning
        self._logprobs += len(logprobs)
        delta = {name: said for name, said in (("content", text), ("reasoning_content", reasoning)) if said}
        if delta or logprobs:
            yield self._chunk(delta, logprobs=_logprobs(logprobs))

    def _end(self, answer: Answer) -> Iterator[Json]:
        if not self._opened:
            self._head["created"] = int(answer.created.timestamp())
        yield from self._begin(answer.served_by)
        rest = (answer.logprobs or ())[self._logprobs :]
        yield from self._text_chunks(
            _after(self._text, answer.text), _after(self._reasoning, answer.reasoning), rest
        )
        delta = _marks(answer)
        if answer.tool_calls:
            delta["tool_calls"] = [{"index": index, **call} for index, call in enumerate(_calls(answer))]
        if delta:
            yield self._chunk(delta)
        yield self._chunk({}, finish_reason=answer.finish_reason) | {"qwennb": _provenance(answer)}
        if self._usage_at_end:
            yield {**self._head, "choices": [], "usage": _usage(answer.usage)}

    def _chunk(self, delta: Json, *, finish_reason: str | None = None, logprobs: Json | None = None) -> Json:
        choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}
        return {**self._head, "choices": [choice]}


def _after(said: str, whole: str) -> str:
    return whole[len(said) :] if whole.startswith(said) else ""


def _id(request: Request) -> str:
    return f"chatcmpl-{request.key[:24]}"


def _calls(answer: Answer) -> list[Json]:
    return [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments or "{}"},
        }
        for call in answer.tool_calls
    ]


def _marks(answer: Answer) -> Json:
    """Write what goes with a message beside its text: the blocks of a thought, and the pages that a search named."""
    made: Json = {}
    if answer.reasoning_blocks:
        made["reasoning_details"] = orjson.loads(answer.reasoning_blocks)
    if answer.sources:
        made["annotations"] = [
            {
                "type": "url_citation",
                "url_citation": {"title": source.title, "url": source.url, "start_index": 0, "end_index": 0},
            }
            for source in answer.sources
        ]
    return made


def _logprobs(logprobs: Sequence[Logprob]) -> Json | None:
    if not logprobs:
        return None
    return {
        "content": [
            _token(item.token, item.logprob)
            | {"top_logprobs": [_token(token, logprob) for token, logprob in item.top]}
            for item in logprobs
        ],
        "refusal": None,
    }


def _token(token: str, logprob: float) -> Json:
    return {"token": token, "logprob": logprob, "bytes": list(token.encode("utf-8", "surrogatepass"))}


def _usage(usage: Usage) -> Json:
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.total,
        "prompt_tokens_details": {"cached_tokens": usage.cached},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }


def _provenance(answer: Answer) -> Json:
    return {
        "key": answer.key,
        "endpoint": answer.endpoint,
        "cost": None if answer.cost is None else float(answer.cost),
    }
