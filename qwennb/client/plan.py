"""What asking would take, before anything is sent or paid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from qwennb.answer import Answer, money
from qwennb.catalog import Count
from qwennb.client.options import Options
from qwennb.client.session import Session
from qwennb.client.validation import input_tokens
from qwennb.endpoints import is_read
from qwennb.engine import CallContext
from qwennb.errors import BadInput
from qwennb.request import Document, Medium, Pdf, Request
from qwennb.terminal import drop_controls
from qwennb.text import plural

GUESSED_ANSWER = 300  # tokens, where nothing bounds an answer: what a paragraph or two takes


@dataclass(frozen=True, slots=True)
class Plan:
    """What asking would take, before anything is sent or paid.

    Attributes
    ----------
    requests, unique, known, to_ask : int
        All requests, the different ones, those whose answer is remembered, and those that would be sent.
    documents, pages : int
        The documents that they are about, and the pages of those, each counted once.
    pieces : int
        In how many pieces questions are asked that are too long for the window (`overflow="map"`); 0 where all are whole.
    refused : int
        Those that can't be asked as they stand.
    input : Count
        Tokens that would be sent.
    cost : float or None
        US dollars, a guess that takes an answer for a paragraph or two; None where the price is unknown.
    at_most : float or None
        The bound that a budget would set aside; None where the price is unknown.
    seconds : float or None
        What the endpoint's quota allows at best; None where none is known.
    model, endpoint : str
        Who would be asked.

    Examples
    --------
    >>> print(qwen.plan("What is the capital of France?", max_tokens=10))
    1 request, 1 unique, 0 already known, 1 to ask of qwen3.5-flash at openrouter
    input ... tokens
    cost ≈ $0.0000..., at most $0.0...
    """

    requests: int
    unique: int
    known: int
    refused: int
    input: Count
    cost: float | None
    at_most: float | None
    seconds: float | None
    model: str
    endpoint: str
    documents: int = 0
    pages: int = 0
    pieces: int = 0

    @property
    def to_ask(self) -> int:
        """How many would be sent."""
        return self.unique - self.known

    def _tell_documents(self) -> str:
        pages = f", {plural(self.pages, 'page')}" if self.pages > self.documents else ""
        whole = f", asked in {plural(self.pieces, 'piece')} and combined" if self.pieces else ""
        return f"{plural(self.documents, 'document')}{pages}: {self.input} tokens with the question{whole}"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[Any, Any]:
        # What it says depends on what this machine remembers: whoever compares notebooks leaves it out.
        return {"text/plain": str(self)}, {"qwennb": {"state": "plan"}}

    def __str__(self) -> str:
        lines = [self._tell_documents()] if self.documents else []
        lines += [
            f"{self.requests} {'request' if self.requests == 1 else 'requests'}, {self.unique} unique, {self.known} already known, {self.to_ask} to ask of {self.model} at {self.endpoint}",
            f"input {self.input} tokens",
        ]
        if self.to_ask and self.cost is None:
            lines.append("price unknown")
        else:
            most = f", at most {money(self.at_most)}" if self.at_most else ""
            lines.append(f"cost {money(self.cost, estimated=bool(self.cost))}{most}")
        if self.seconds:
            lines.append(f"at least {self.seconds:.0f} s at the endpoint's limits")
        if self.refused:
            lines.append(f"{self.refused} can't be asked as they stand")
        return drop_controls("\n".join(lines))


def make_plan(
    items: Sequence[Request | Answer], session: Session, options: Options, *, pieces: int = 0
) -> Plan:
    """Count what *items* would take: requests, and those that could not even be made; of them *pieces* are of questions too long for the window."""
    context = session.call_context(options)
    requests = [item for item in items if isinstance(item, Request) and _is_askable(item, session, context)]
    refused = len(items) - len(requests)
    endpoint = context.endpoint
    unique = {request.key: request for request in requests}
    known = {
        key
        for key, request in unique.items()
        if context.memory.look_up([request.key], endpoint.identity(request.model), context.mode)
    }
    to_ask = [request for key, request in unique.items() if key not in known]
    total, cost, at_most = Count(0, exact=True), 0.0, 0.0
    priced = True
    for request in to_ask:
        count = input_tokens(request)
        total += count
        abilities = endpoint.abilities(request.model)
        bound = abilities.output_bound(request.settings.max_tokens, request.settings.thinking)
        output = min(request.settings.max_tokens or GUESSED_ANSWER, bound or GUESSED_ANSWER)
        if endpoint.catalog.endpoint(endpoint.catalogue_name).free:
            continue
        price = partial(endpoint.catalog.worst_cost, request.model, endpoint.catalogue_name, count.tokens)
        guess, worst = price(output), price(bound) if bound else None
        priced = priced and guess is not None
        cost += guess or 0.0
        at_most += worst or 0.0
    model = requests[0].model if requests else ""
    quota = endpoint.catalog.quota(model, endpoint.catalogue_name) if endpoint.hosted and model else None
    seconds = None
    if quota is not None and to_ask:
        by_requests = len(to_ask) / quota.rpm
        by_tokens = (total.tokens + GUESSED_ANSWER * len(to_ask)) / quota.tpm
        seconds = 60 * max(by_requests, by_tokens) / context.pace
    read = [one for request in unique.values() for one in request.media if is_read(one)]
    documents = {(one.digest, one.name if isinstance(one, Document) else "") for one in read}
    return Plan(
        requests=len(requests) + refused,
        unique=len(unique),
        known=len(known),
        refused=refused,
        input=total,
        cost=cost if priced else None,
        at_most=at_most if priced else None,
        seconds=seconds,
        model=model,
        endpoint=str(endpoint),
        documents=len(documents),
        pages=len({(one.digest, page) for one in read for page in _pages_of(one)}),
        pieces=pieces,
    )


def _pages_of(medium: Medium) -> list[int | None]:
    assert isinstance(medium, Pdf | Document)
    return [page.number for page in medium.read().pages]


def _is_askable(request: Request, session: Session, context: CallContext) -> bool:
    """Whether asking would not refuse *request* before it sends anything."""
    try:
        session.validate(request, context)
    except BadInput:
        return False
    return True
