"""Many requests at a time: what is known is looked up together, the rest is asked as the limiter lets through."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from qwennb.answer import Answer, Cost, Usage, tell_of_cuts
from qwennb.client.options import Options
from qwennb.client.session import Session
from qwennb.engine import CallContext
from qwennb.errors import EndpointError, NotRecorded, QwenError, ValidatorFailed
from qwennb.request import Request


def answer_many(session: Session, items: Sequence[Request | Answer], options: Options) -> list[Answer]:
    """Answer *items*, in their order; what is an answer already (it failed to be a request) stays.

    One that failed is an `Answer` with its error.
    """
    found = _recall_many(session, items, options)
    if any(isinstance(item, Request) for item in found):
        context = session.call_context(options, direct=True)
        found = [_refuse(session, item, context) if isinstance(item, Request) else item for item in found]
    if any(isinstance(item, Request) for item in found):
        answers = session.runtime().bridge.run(_send_many(session, found, context))
    else:
        answers = [item for item in found if isinstance(item, Answer)]
    if cut := [answer.request for answer in answers if answer.is_cut]:
        session.warn(tell_of_cuts(len(cut), len(answers), cut))
    return answers


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


def _recall_many(
    session: Session, items: Sequence[Request | Answer], options: Options
) -> list[Request | Answer]:
    """Put the answer in the place of each request that is remembered."""
    mode = session.mode(options)
    requests = [item for item in items if isinstance(item, Request)]
    if mode == "replay":
        known = iter([_replay(session, request, options) for request in requests])
        return [next(known) if isinstance(item, Request) else item for item in items]
    keys = [request.key for request in requests]
    identity = session.identity(requests[0].model, keys, mode, requests[0]) if requests else None
    recalled = iter(session.memory.recall_many(requests, identity, mode))
    return [_recall_or_ask(item, next(recalled)) if isinstance(item, Request) else item for item in items]


def _recall_or_ask(request: Request, known: Answer | ValidatorFailed | None) -> Request | Answer:
    return failed_answer(request, known) if isinstance(known, ValidatorFailed) else known or request


def _replay(session: Session, request: Request, options: Options) -> Answer:
    try:
        identity = session.identity(request.model, [request.key], "replay")
        return session.memory.recall(request, identity, "replay") or failed_answer(request, NotRecorded())
    except QwenError as error:
        return failed_answer(request, session.explain(error, request, options))


def _refuse(session: Session, request: Request, context: CallContext) -> Request | Answer:
    """Give *request* back; where asking would refuse it before anything is sent, the answer that failed."""
    try:
        session.validate(request, context)
    except QwenError as error:
        return failed_answer(request, error)
    return request


async def _send_many(
    session: Session, items: Sequence[Answer | Request], context: CallContext
) -> list[Answer]:
    """Ask what is still a request. An error that every other would meet too ends the asking."""
    made: list[Answer] = list(items)  # type: ignore[arg-type]
    waiting = iter([(i, item) for i, item in enumerate(items) if isinstance(item, Request)])
    fatal: list[QwenError] = []

    async def work() -> None:
        for index, request in waiting:
            if fatal:
                made[index] = failed_answer(request, fatal[0], asked=False)
                continue
            try:
                made[index] = await session.ask_engine(request, context)
            except QwenError as error:
                made[index] = failed_answer(request, error)
                if isinstance(error, EndpointError) and error.fatal:
                    fatal.append(error)

    count = sum(isinstance(item, Request) for item in items)
    async with asyncio.TaskGroup() as group:
        for _ in range(min(count, context.concurrency)):
            group.create_task(work())
    return made
