"""Many requests at a time: what is known is looked up together, the rest is asked as the limiter lets through."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from operator import call
from typing import TYPE_CHECKING

from qwennb.answer import Answer, Cost, Usage, sum_costs, tell_of_cuts
from qwennb.client.options import Options
from qwennb.client.session import UNHEARD, Session
from qwennb.engine import CallContext
from qwennb.errors import EndpointError, NotRecorded, QwenError
from qwennb.request import Request

if TYPE_CHECKING:
    from qwennb.tracing import Totals


def answer_many(session: Session, items: Sequence[Request | Answer], options: Options) -> list[Answer]:
    """Answer *items*, in their order; what is an answer already (it failed to be a request) stays.

    One that failed is an `Answer` with its error.
    """
    made: list[Request | Answer] = list(items)
    trace = None
    if any(map(call, session.ears)) and (asked := _requests(made)):
        unique = len({request.key for _, request in asked})
        trace = session.open_trace("ask_many", asked[0][1].model, rows=len(made), unique=unique)
    if trace is not None:
        trace.read_totals = partial(_total, made)
    with trace or UNHEARD:
        _recall_many(session, made, options)
        if trace is not None and (known := sum(isinstance(one, Answer) and one.cached for one in made)):
            trace.recall_many(known)
        if any(isinstance(item, Request) for item in made):
            context = session.call_context(options, direct=True)
            for index, request in _requests(made):
                try:
                    session.validate(request, context)
                except QwenError as error:
                    made[index] = failed_answer(request, error)
            if trace is not None:
                context = replace(context, trace=trace)
            session.runtime().bridge.run(_send_many(session, made, context))
    answers = [item for item in made if isinstance(item, Answer)]
    if cut := [answer.request for answer in answers if answer.is_cut]:
        session.warn(tell_of_cuts(len(cut), len(answers), cut))
    return answers


def _total(made: Sequence[Request | Answer]) -> Totals:
    """Sum up what the questions came to, each once."""
    from qwennb.tracing import Totals

    by_key = {item.key: item for item in made}
    answers = [item for item in by_key.values() if isinstance(item, Answer)]
    whole = [answer for answer in answers if answer.error is None]
    return Totals(
        len(made),
        len(by_key),
        len(answers),
        sum(answer.cached for answer in answers),
        len(answers) - len(whole),
        (sum(one.usage.input for one in whole), sum(one.usage.output for one in whole)),
        sum_costs(one.cost for one in whole),
    )


def failed_answer(request: Request, error: QwenError, *, asked: bool = True) -> Answer:
    """Make the answer that failed with *error*; with *asked*, at the cost that the error tells."""
    tokens, cost = (error.tokens, error.cost) if asked else ((0, 0), 0.0)
    return Answer(
        request,
        error=error,
        finish_reason="error",
        attempts=error.attempts if asked else 0,
        usage=Usage(*tokens),
        cost=cost if cost is None or isinstance(cost, Cost) else Cost(cost, "server"),
    )


def _requests(items: Sequence[Request | Answer]) -> list[tuple[int, Request]]:
    """List what is still a request, each with its place."""
    return [(index, item) for index, item in enumerate(items) if isinstance(item, Request)]


def _recall_many(session: Session, made: list[Request | Answer], options: Options) -> None:
    """Put the answer in the place of each request that is remembered; in replay, an error where none is."""
    mode, waiting = session.mode(options), _requests(made)
    if mode == "replay":
        for index, request in waiting:
            try:
                identity = session.identity(request.model, [request.key], mode)
                known = session.memory.recall(request, identity, mode)
                made[index] = known or failed_answer(request, NotRecorded())
            except QwenError as error:
                made[index] = failed_answer(request, session.explain(error, request, options))
    elif waiting:
        requests = [request for _, request in waiting]
        keys = [request.key for request in requests]
        identity = session.identity(requests[0].model, keys, mode, requests[0])
        recalled = session.memory.recall_many(requests, identity, mode)
        for (index, request), found in zip(waiting, recalled, strict=True):
            if found is not None:
                made[index] = failed_answer(request, found) if isinstance(found, QwenError) else found


async def _send_many(session: Session, made: list[Request | Answer], context: CallContext) -> None:
    """Ask what is still a request. An error that every other would meet too ends the asking."""
    waiting = _requests(made)
    rest, fatal = iter(waiting), list[QwenError]()

    async def work() -> None:
        for index, request in rest:
            if fatal:
                made[index] = failed_answer(request, fatal[0], asked=False)
                continue
            try:
                made[index] = await session.ask_engine(request, context)
            except QwenError as error:
                made[index] = failed_answer(request, error)
                if isinstance(error, EndpointError) and error.fatal:
                    fatal.append(error)

    async with asyncio.TaskGroup() as group:
        for _ in range(min(len(waiting), context.concurrency)):
            group.create_task(work())
