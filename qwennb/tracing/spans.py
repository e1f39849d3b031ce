"""Spans and metrics, for who has set up OpenTelemetry; its API alone is used, no SDK and no exporter.

    the user's own span                   current where the question is asked
    └── qwennb.column                     one for a column, with the numbers of its run; qwennb.ask_many likewise
        └── chat qwen3.5-plus             one for each request that was really sent: what is recalled makes none

A question alone has no span of its own: its requests are the user's span's children. Texts are told only where
OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT says "true".
"""

from __future__ import annotations

import os
import sys
from contextvars import Context
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import orjson

from qwennb.answer import Draft
from qwennb.request import Message, Request, Text
from qwennb.tracing import names
from qwennb.tracing.events import (
    Answered,
    BatchFetched,
    BatchSent,
    Event,
    Failed,
    Paused,
    RunEnded,
    RunStarted,
    Sent,
)

if TYPE_CHECKING:
    from opentelemetry.context import Context as SpanContext
    from opentelemetry.metrics import Histogram
    from opentelemetry.trace import Span, Tracer

RUN_SPANS = {"column": names.COLUMN, "ask_many": names.ASK_MANY}

Json = dict[str, Any]


class Spans:
    """Makes spans and metrics of events. *tracer* and the histograms are those of one provider."""

    def __init__(self, tracer: Tracer, duration: Histogram, tokens: Histogram) -> None:
        self._tracer = tracer
        self._duration, self._tokens = duration, tokens
        self._parents: dict[int, SpanContext] = {}  # by run
        self._runs: dict[int, Span] = {}
        self._requests: dict[tuple[int, str], tuple[Span, Json]] = {}  # those under way, by run and key

    def hear(self, event: Event, subject: Any) -> None:
        """Take *event* into account, which is about *subject*."""
        match event:
            case RunStarted():
                self._begin_run(event, subject)
            case Sent():
                self._begin_request(event, subject)
            case Answered():
                self._end_answered(event, subject)
            case Failed():
                self._end_failed(event)
            case Paused():
                figures = {names.SECONDS: event.seconds, names.REASON: event.reason}
                self._note(event, names.PAUSE, figures | {names.ENDPOINT: event.endpoint})
            case BatchSent():
                self._note(
                    event, names.BATCH_SENT, {names.BATCH: event.batch, names.QUESTIONS: event.questions}
                )
            case BatchFetched():
                self._note(event, names.BATCH_FETCHED, {names.BATCH: event.batch, names.STATE: event.state})
            case RunEnded():
                self._end_run(event)

    # ------------------------------------------------------------------ runs

    def _begin_run(self, event: RunStarted, origin: Context | None) -> None:
        from opentelemetry.context import get_current
        from opentelemetry.trace import get_current_span, set_span_in_context

        parent = get_current()
        if origin is not None and not get_current_span(parent).get_span_context().is_valid:
            parent = origin.run(get_current)
        if (name := RUN_SPANS.get(event.kind)) is not None:
            told = {names.RUN: event.run, names.VERB: event.verb or None, names.BUDGET: event.budget}
            span = self._tracer.start_span(
                name, context=parent, attributes=_without_none(told), start_time=_nanoseconds(event)
            )
            self._runs[event.run] = span
            parent = set_span_in_context(span, parent)
        self._parents[event.run] = parent

    def _end_run(self, event: RunEnded) -> None:
        self._parents.pop(event.run, None)
        if (span := self._runs.pop(event.run, None)) is None:
            return
        told = {
            names.MODEL: event.model,
            names.ROWS: event.rows,
            names.UNIQUE: event.unique,
            names.RECALLED: event.recalled,
            names.ASKED: event.done - event.recalled,
            names.FAILED: event.failed,
            names.SENT: event.sent,
            names.REFUSED: event.refused,
            names.MOST_AT_ONCE: event.most_at_once,
            names.RUN_INPUT_TOKENS: event.tokens[0],
            names.RUN_OUTPUT_TOKENS: event.tokens[1],
            names.SPENT: event.spent,
            names.RECORDED_COST: event.cost,
            names.ERROR: event.error or None,
        }
        span.set_attributes(_without_none(told))
        if event.error not in ("", "Stopped"):
            _mark_failed(span, event.error)
        span.end(end_time=_nanoseconds(event))

    def _note(self, event: Event, name: str, told: Json) -> None:
        if (span := self._runs.get(event.run)) is not None:
            span.add_event(name, told, timestamp=_nanoseconds(event))

    # ------------------------------------------------------------------ requests

    def _begin_request(self, event: Sent, request: Request) -> None:
        from opentelemetry.context import Context as Nowhere
        from opentelemetry.trace import SpanKind

        address, _, port = event.host.rpartition(":")
        is_numbered = port.isdigit() and bool(address)
        common = {
            names.OPERATION: names.CHAT,
            names.PROVIDER: event.provider,
            names.REQUEST_MODEL: event.model,
            names.SERVER_ADDRESS: address.strip("[]") if is_numbered else event.host or None,
            names.SERVER_PORT: int(port) if is_numbered else None,
        }
        told = common | {
            names.ENDPOINT: event.endpoint,
            names.RUN: event.run,
            names.KEY: event.key[:12],
            names.ATTEMPT: event.attempt,
        }
        told |= {name: getattr(request.settings, setting) for setting, name in names.SETTINGS.items()}
        if _captures():
            told |= _input(request)
        span = self._tracer.start_span(
            f"{names.CHAT} {event.model}",
            # A run that is over may have a request of its own under way still: somebody else waits for it.
            context=self._parents.get(event.run, Nowhere()),
            kind=SpanKind.CLIENT,
            attributes=_without_none(told),
            start_time=_nanoseconds(event),
        )
        self._requests[event.run, event.key] = span, _without_none(common)

    def _end_answered(self, event: Answered, draft: Draft) -> None:
        if (under_way := self._requests.pop((event.run, event.key), None)) is None:
            return
        span, common = under_way
        common |= {names.RESPONSE_MODEL: event.served_by} if event.served_by else {}
        told = common | {
            names.RESPONSE_ID: event.reply_id or None,
            names.FINISH_REASONS: [event.finish_reason] if event.finish_reason else None,
            names.FIRST_CHUNK: event.first_seconds,
            names.INPUT_TOKENS: event.input_tokens,
            names.OUTPUT_TOKENS: event.output_tokens,
            names.CACHED_TOKENS: event.cached_tokens or None,
            names.REASONING_TOKENS: event.reasoning_tokens or None,
            names.COST: event.cost,
        }
        if _captures():
            told |= _output(draft)
        span.set_attributes(_without_none(told))
        span.end(end_time=_nanoseconds(event))
        self._duration.record(event.seconds, common)
        self._tokens.record(event.input_tokens, common | {names.TOKEN_TYPE: "input"})
        self._tokens.record(event.output_tokens, common | {names.TOKEN_TYPE: "output"})

    def _end_failed(self, event: Failed) -> None:
        if (under_way := self._requests.pop((event.run, event.key), None)) is None:
            return
        span, common = under_way
        common |= {names.ERROR: event.error}
        span.set_attributes(_without_none(common | {names.STATUS: event.status}))
        _mark_failed(span, event.error)
        span.end(end_time=_nanoseconds(event))
        self._duration.record(event.seconds, common)


_made: dict[tuple[int, int], Spans] = {}


def find_spans() -> Spans | None:
    """Find what makes spans, where somebody has set up a provider of traces or of metrics; with the bare API there is none."""
    trace, metrics = sys.modules.get("opentelemetry.trace"), sys.modules.get("opentelemetry.metrics")
    tracers = trace and trace.get_tracer_provider()
    meters = metrics and metrics.get_meter_provider()
    if not any(map(_is_set_up, (tracers, meters))):
        return None
    name = (id(tracers), id(meters))
    if (spans := _made.get(name)) is None:
        from opentelemetry.metrics import get_meter
        from opentelemetry.trace import get_tracer

        meter = get_meter("qwennb", version("qwennb"))
        spans = _made[name] = Spans(
            get_tracer("qwennb", version("qwennb")),
            meter.create_histogram(names.DURATION, unit="s", description="GenAI operation duration."),
            meter.create_histogram(
                names.TOKEN_USAGE, unit="{token}", description="Number of input and output tokens used."
            ),
        )
    return spans


def _is_set_up(provider: object) -> bool:
    """Tell a provider from what the API has in its place, which does nothing."""
    return not type(provider).__module__.startswith(
        ("opentelemetry.trace", "opentelemetry.metrics", "builtins")
    )


def _mark_failed(span: Span, error: str) -> None:
    from opentelemetry.trace import Status, StatusCode

    span.set_status(Status(StatusCode.ERROR, error))


def _nanoseconds(event: Event) -> int:
    return int(event.time * 1e9)


def _without_none(told: Json) -> Json:
    return {name: value for name, value in told.items() if value is not None}


# ---------------------------------------------------------------------- texts, where they are asked for


def _captures() -> bool:
    return os.environ.get(names.CAPTURE, "").strip().lower() == "true"


def _input(request: Request) -> Json:
    system = [_part(part) for one in request.messages if one.role == "system" for part in one.parts]
    messages = [_message(one) for one in request.messages if one.role != "system"]
    told = {names.INPUT_MESSAGES: _json(messages)}
    return told | ({names.SYSTEM_INSTRUCTIONS: _json(system)} if system else {})


def _output(draft: Draft) -> Json:
    parts = [_thought(draft.reasoning)] if draft.reasoning else []
    if draft.text:
        parts.append({"type": "text", "content": draft.text})
    parts += [
        {"type": "tool_call", "id": call.id, "name": call.name, "arguments": call.arguments}
        for call in draft.tool_calls
    ]
    message = {"role": "assistant", "parts": parts, "finish_reason": draft.finish_reason}
    return {names.OUTPUT_MESSAGES: _json([message])}


def _message(message: Message) -> Json:
    parts = [_thought(message.reasoning)] if message.reasoning else []
    if message.role == "tool":
        told = {"type": "tool_call_response", "id": message.tool_call_id, "response": message.text}
        return {"role": "tool", "parts": [told]}
    parts += map(_part, message.parts)
    parts += [
        {"type": "tool_call", "id": call.id, "name": call.name, "arguments": call.arguments}
        for call in message.tool_calls
    ]
    return {"role": message.role, "parts": parts}


def _part(part: object) -> Json:
    """Write a part; a medium by its kind alone, for its bytes are no text and its name may be a path."""
    if isinstance(part, Text):
        return {"type": "text", "content": part.text}
    return {"type": "blob", "modality": type(part).__name__.lower()}


def _thought(text: str) -> Json:
    return {"type": "reasoning", "content": text}


def _json(value: object) -> str:
    return orjson.dumps(value).decode()
