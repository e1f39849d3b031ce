"""What a server wrote, a `Draft`, becomes an `Answer`, or the error that says why it is none.

A live reply and a line of a batch are read by the same functions: `estimate_usage` where the server counted nothing,
`check_whole` for what was broken off, cut or empty, `build_answer` for the rest, and `add_complaint` to ask again for
what does not fit its form.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from qwennb.answer import (
    Answer,
    Draft,
    Fold,
    Usage,
    choice_logprobs,
    ends_at_own_limit,
    own_limit,
    with_quotes,
)
from qwennb.catalog import estimate_tokens
from qwennb.endpoints import Endpoint
from qwennb.engine.budget import Spent
from qwennb.errors import ContentFiltered, Incomplete
from qwennb.request import Message, Request, Text


def estimate_usage(draft: Draft, request: Request) -> Usage:
    """Estimate the tokens of *request* and *draft*.

    By estimate even where the exact vocabulary is installed: a recorded figure must not depend on an extra.
    """
    said = draft.text + draft.reasoning + "".join(call.arguments for call in draft.tool_calls)
    asked = "\n".join(message.text for message in request.messages)
    return Usage(input=estimate_tokens(asked).tokens, output=estimate_tokens(said).tokens, estimated=True)


def check_whole(draft: Draft, fold: Fold, request: Request, endpoint: Endpoint) -> Draft:
    """Give back *draft* with its reason to end, or raise what is wrong with it."""
    reason, says_something = draft.finish_reason, bool(draft.text or draft.tool_calls)
    if reason is None:
        # Some servers give no reason at the end of a whole answer; only its usage tells it from half of one.
        whole = fold.ended and draft.usage is not None and says_something
        if not (whole and endpoint.dialect.null_finish_is_stop):
            raise endpoint.dialect.cut(str(endpoint))
        return replace(draft, finish_reason="tool_calls" if draft.tool_calls else "stop")
    if reason == "content_filter":
        raise ContentFiltered(
            f"{endpoint} stopped the answer to {request.key[:12]} by its content filter. Rephrase the question."
        )
    if reason in ("error", "aborted"):
        raise endpoint.dialect.cut(str(endpoint), told=True)
    if reason == "length":
        if draft.text.strip() or draft.tool_calls:
            _refuse_half(draft, request, endpoint)
            return draft
        raise Incomplete(
            f"{endpoint} used up max_tokens before it began its answer to {request.key[:12]}. Give a larger max_tokens=, or thinking=False.",
            transient=False,
        )
    if says_something:
        return replace(draft, finish_reason="tool_calls") if draft.tool_calls and reason == "stop" else draft
    if draft.reasoning and request.settings.thinking is False and reason == "stop":
        # Some servers put every word into the thought when thinking is off.
        return replace(draft, text=draft.reasoning, reasoning="")
    raise Incomplete(f"{endpoint} gave an empty answer to {request.key[:12]}.")


def _refuse_half(draft: Draft, request: Request, endpoint: Endpoint) -> None:
    """Raise Incomplete for a call, or a text, that the server cut and not the request's own limit.

    What was to have a form is left to whoever reads it.
    """
    short, most = request.key[:12], own_limit(request)
    if draft.tool_calls:
        raise Incomplete(
            f"{endpoint} cut the answer to {short} in the middle of calling a tool; nothing was run. Give a larger max_tokens=.",
            transient=False,
        )
    if not request.is_text or ends_at_own_limit(request, draft.text, draft.usage):
        return
    advice = (
        "at a limit of its own. Give max_tokens= (or ask for less), so that it ends where you say."
        if most is None
        else f"before max_tokens={most} was reached, at a limit of its own or the end of its window. Give a smaller "
        "max_tokens=, or a shorter question."
    )
    raise Incomplete(f"{endpoint} cut the answer to {short} {advice}", transient=False)


def adds_likelihoods(request: Request, defaults: Mapping[str, Any]) -> bool:
    """Tell whether likelihoods are asked for with *request* only by the endpoint's *defaults*, and not by the user."""
    return "logprobs" in defaults and "logprobs" not in request.settings.extra_fields


def build_answer(
    request: Request,
    draft: Draft,
    data: Any,
    spent: Spent,
    identity: str,
    created: datetime,
    defaults: Mapping[str, Any],
) -> Answer:
    """Build the answer to *request* out of a whole *draft*, and *data*, what it says in the form that was asked for."""
    made = Answer(
        request=request,
        # A choice, out of whatever it was wrapped in.
        text=data if request.choices is not None and isinstance(data, str) else draft.text,
        data=data,
        reasoning=draft.reasoning,
        reasoning_blocks=draft.reasoning_blocks,
        tool_calls=draft.tool_calls,
        logprobs=None if adds_likelihoods(request, defaults) else draft.logprobs,
        choice_logprobs=None
        if request.choices is None or not isinstance(data, str)
        else choice_logprobs(draft.logprobs or (), request.choices, data),
        sources=draft.sources,
        usage=spent.usage,
        cost=spent.cost,
        endpoint=identity,
        served_by=draft.served_by or "",
        finish_reason=draft.finish_reason or "stop",
        attempts=spent.attempts,
        created=created,
        defaults=defaults,
    )
    return with_quotes(made) if request.schema is not None and request.is_cited else made


def add_complaint(request: Request, draft: Draft, complaint: ValueError) -> Request:
    """Add to *request* the answer that did not fit and what is wrong with it; it has no name of its own in the cache."""
    said = Message("assistant", (Text(draft.text or "(empty)"),))
    told = Message(
        "user",
        (
            Text(
                f"That does not fit: {complaint}. Answer again, in the form that was asked for, and nothing else."
            ),
        ),
    )
    return replace(request, messages=(*request.messages, said, told))
