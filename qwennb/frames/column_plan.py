"""What a column would take, before anything is sent or paid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from qwennb.answer import money
from qwennb.catalog import Abilities, Price
from qwennb.client import input_tokens
from qwennb.endpoints import batch_terms
from qwennb.errors import MediaError
from qwennb.frames.batch_lane import list_handed_in
from qwennb.frames.evaluator import Evaluator
from qwennb.frames.prompts import Prompt, draw_each, read_rows
from qwennb.request import Request
from qwennb.terminal import drop_controls

GUESSED_ANSWER = 300  # tokens, where nothing bounds an answer: what a paragraph or two takes
SAMPLE = 200  # questions whose tokens are counted; the others are taken to be alike, by their length


@dataclass(frozen=True, slots=True)
class Tier:
    """The questions of one price: how many, their tokens, and what they would cost; None where nobody knows."""

    up_to: int | None
    questions: int
    tokens: int
    cost: float | None


@dataclass(frozen=True, slots=True)
class ColumnPlan:
    """What a column would take, before anything is sent or paid.

    Attributes
    ----------
    rows : int
        All rows.
    skipped : int
        Rows without a prompt: a column that it names is null.
    unique : int
        Prompts that differ, and each of their draws; rows that ask the same are one.
    known : int
        Prompts whose answers are recorded.
    refused : int
        Prompts that can't be asked as they stand.
    to_ask : int
        Prompts that would be sent.
    tokens : int
        About the tokens that would be sent.
    tiers : tuple of Tier
        The prompts by price, where the price depends on their length.
    cost : float or None
        US dollars, with an answer of a paragraph or two, and no thought where `thinking=` is left to a model that may or may
        not think; None where the price is unknown. By batch it is the batch's price.
    cost_thinking : float or None
        The same with a thought of medium length, where the model may think unasked.
    at_most : float or None
        US dollars that a budget would set aside.
    seconds : float or None
        What the endpoint's quota allows at best; None where none is known.
    model : str
        The model that would be asked.
    endpoint : str
        The endpoint that would be asked.
    under_way : int
        Prompts in a batch that was handed in already; they are not counted again.
    share : float or None
        A batch's share of the price.
    draws : int
        How often each prompt is asked.
    leaning : int
        Questions beside, which find out which way the model leans when it chooses a label.
    draft : ColumnPlan or None
        What the drafts would take, where a cheaper model answers first; the rest is then what asking the model of all rows would.
    certificate : str
        What must be proved of them, and what that takes at least, or why it can't be.
    why_refused : str
        Why the first of those can't be asked that can't: it is longer than the model takes, or its picture can't be read.

    Examples
    --------
    >>> reviews = pl.DataFrame({"review": ["Cold, and late.", "Cold, and late.", None]})
    >>> planned = reviews.qwen.plan("Is this about food? {{ review }}")
    >>> planned.rows, planned.skipped, planned.unique, planned.to_ask
    (3, 1, 1, 1)
    """

    rows: int
    skipped: int
    unique: int
    known: int
    refused: int
    tokens: int
    tiers: tuple[Tier, ...]
    cost: float | None
    at_most: float | None
    seconds: float | None
    model: str
    endpoint: str
    under_way: int = 0
    share: float | None = None
    cost_thinking: float | None = None
    draws: int = 1
    leaning: int = 0
    why_refused: str = ""
    draft: ColumnPlan | None = None
    certificate: str = ""

    @property
    def to_ask(self) -> int:
        """How many would be sent."""
        return self.unique - self.known - self.refused - self.under_way

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[Any, Any]:
        # What it says depends on what this machine remembers: whoever compares notebooks leaves it out.
        return {"text/plain": str(self)}, {"qwennb": {"state": "plan"}}

    def __str__(self) -> str:
        skipped = f" ({self.skipped:,} skipped)" if self.skipped else ""
        under_way = f"{self.under_way:,} under way in a batch, " if self.under_way else ""
        each = f" ({self.draws:,} draws each)" if self.draws > 1 else ""
        beside = f", and {self.leaning} to find out which way it leans" if self.leaning else ""
        lines = [
            f"{self.rows:,} rows{skipped}, {self.unique:,} unique questions{each}, {self.known:,} already known, {under_way}{self.to_ask:,} to ask of {self.model} at {self.endpoint}{beside}",
            f"about {self.tokens:,} tokens in",
        ]
        if self.to_ask and self.cost is None:
            lines.append("price unknown")
        else:
            most = f", at most {money(self.at_most)}" if self.at_most else ""
            by_batch = f", by batch ({self.share:.0%} of the price)" if self.share else ""
            lines.append(f"cost {money(self.cost, estimated=bool(self.cost))}{most}{by_batch}")
            if self.cost_thinking:
                lines.append(
                    f"cost {money(self.cost_thinking, estimated=True)} if the model thinks, which is left to it; thinking=False or True settles it"
                )
        if len(self.tiers) > 1:
            lines += [
                f"  {tier.questions:,} questions of {'any length' if tier.up_to is None else f'up to {tier.up_to:,} tokens'}: {money(tier.cost, estimated=bool(tier.cost))}"
                for tier in self.tiers
            ]
        if self.seconds:
            lines.append(f"at least {self.seconds:,.0f} s at the endpoint's limits")
        if self.refused:
            lines.append(f"{self.refused:,} can't be asked as they stand. The first: {self.why_refused}")
        if self.draft is not None:
            lines = [f"draft: {self.draft}", self.certificate, f"were all asked: {lines[0]}", *lines[1:]]
        elif self.certificate:
            lines.append(self.certificate)
        return drop_controls("\n".join(lines))


def plan_column(evaluator: Evaluator, columns: Mapping[str, pl.Series]) -> ColumnPlan:
    """The plan for a column over *columns*."""
    terms = evaluator.column.terms
    if terms is None:
        return _plan(evaluator, columns)
    from qwennb.certify import need  # with numpy, which only this needs

    whole = _plan(evaluator, columns)
    rows, model = whole.rows - whole.skipped, whole.model
    aim = f"{terms.goal}={terms.target:g}"
    wanted = need(rows, terms.target, terms.delta, goal=terms.goal)
    if wanted.why_not:
        said = f"{aim} can't be proved: {wanted.why_not}; {model} would be asked of all rows"
        return replace(whole, certificate=said)
    taught = terms.count_taught(whole.unique)
    among = {"agree": "rows", "precision": "of the rows kept", "recall": "rows of which it says yes"}[
        terms.goal
    ]
    said = f"{aim} is proved by {wanted.labels:,} {among} at least, asked of {model}"
    if terms.goal == "recall":
        said += f": by about {10 * wanted.labels:,} answers were one row in ten such, by {100 * wanted.labels:,} were one in a hundred"
    said += f"; {taught:,} more teach where the draft errs" if taught else ""
    if terms.is_local:
        return replace(whole, certificate=f"{said}; the draft is learnt here and costs nothing")
    draft = _plan(Evaluator(evaluator.column.as_draft(terms)), columns)
    if whole.cost is not None and draft.cost is not None and whole.to_ask:
        least = draft.cost + whole.cost / whole.to_ask * min(wanted.labels + taught, whole.to_ask)
        said += f"\nwith the draft {money(least, estimated=True)} to {money(draft.cost + whole.cost, estimated=True)}"
    return replace(whole, draft=draft, certificate=said)


def _plan(evaluator: Evaluator, columns: Mapping[str, pl.Series]) -> ColumnPlan:
    rows = read_rows(evaluator.column, columns)
    asker = evaluator.find_asker()
    questions = [prompt for prompt in rows.prompts if isinstance(prompt, Prompt)]
    refused = len(rows.prompts) - len(questions)
    if (draws := evaluator.column.draws) is not None:
        questions = draw_each(questions, draws)
    keys = asker.keys(questions)
    context = asker.context()
    endpoint, request_template = context.endpoint, asker.template()
    share, handed_in = 1.0, frozenset[str]()
    if asker.lane == "batch":
        # Where the share is unknown, so is the price.
        share = batch_terms(endpoint).share or 1.0
        handed_in = list_handed_in(asker)
    recorded, under_way = asker.recall(questions, keys, handed_in)
    known = {key for key, outcome in recorded.items() if outcome.error is None}
    to_ask = [q for key, q in zip(keys, questions, strict=True) if key not in known and key not in under_way]
    unique = rows.count_questions(draws or 1) - sum(map(asker.asks_nothing, to_ask))
    to_ask = [question for question in to_ask if not asker.asks_nothing(question)]
    too_long = asker.find_too_long(to_ask)
    first_refused = next((one for one in rows.prompts if not isinstance(one, Prompt)), None)
    first_refused = first_refused or next(iter(too_long.values()), None)
    refused += len(too_long)
    to_ask = [question for index, question in enumerate(to_ask) if index not in too_long]
    blanks = asker.leans.list_unknown() if to_ask and asker.leans is not None and asker.lane == "live" else []
    settings = request_template.sample.settings
    bound = endpoint.abilities(request_template.model).output_bound(settings.max_tokens, settings.thinking)
    output = min(settings.max_tokens or GUESSED_ANSWER, bound or GUESSED_ANSWER)
    free = endpoint.catalog.endpoint(endpoint.catalogue_name).free
    by_price: dict[Price | None, list[int]] = {}
    at_most: float | None = 0.0
    for tokens in _tokens(evaluator, [*to_ask, *blanks]):
        by_price.setdefault(
            endpoint.catalog.price(request_template.model, endpoint.catalogue_name, tokens), []
        ).append(tokens)
        if at_most is not None and not free:
            worst = (
                endpoint.catalog.worst_cost(request_template.model, endpoint.catalogue_name, tokens, bound)
                if bound
                else None
            )
            at_most = None if worst is None else at_most + worst * share
    tiers = [
        Tier(
            None if price is None else price.up_to,
            len(tokens),
            sum(tokens),
            0.0
            if free
            else None
            if price is None
            else sum(price.worst_dollars(n, output) for n in tokens) * share,
        )
        for price, tokens in by_price.items()
    ]
    thought = _unasked_thought(endpoint.abilities(request_template.model), settings.thinking)
    thinking = [
        None if price is None else sum(price.worst_dollars(n, output + thought) for n in tokens) * share
        for price, tokens in by_price.items()
    ]
    tiers.sort(key=lambda tier: tier.up_to or 2**63)
    total = sum(tier.tokens for tier in tiers)
    costs = [tier.cost for tier in tiers]
    quota = (
        endpoint.catalog.quota(request_template.model, endpoint.catalogue_name) if endpoint.hosted else None
    )
    seconds = None
    if quota is not None and to_ask and asker.lane == "live":
        by_tokens = (total + output * len(to_ask)) / quota.tpm
        seconds = 60 * max(len(to_ask) / quota.rpm, by_tokens) / context.pace
    return ColumnPlan(
        rows=rows.count,
        skipped=rows.skipped,
        unique=unique,
        known=len(known),
        refused=refused,
        tokens=total,
        tiers=tuple(tiers),
        cost=None if any(cost is None for cost in costs) else sum(cost or 0.0 for cost in costs),
        at_most=at_most,
        seconds=seconds,
        model=request_template.model,
        endpoint=str(endpoint),
        under_way=len(under_way),
        share=share if share < 1 else None,
        cost_thinking=None
        if free or not thought or None in thinking
        else sum(cost for cost in thinking if cost is not None),
        draws=draws or 1,
        leaning=len(blanks),
        why_refused=str(first_refused or ""),
    )


def _unasked_thought(abilities: Abilities, asked: bool | str | int | None) -> int:
    """The tokens of a thought that may come unasked; 0 where the user, or the model, has settled it."""
    thinking = abilities.thinking
    may_be_either = asked is None and thinking.default is not False and "off" in thinking.modes
    return thinking.levels.get("medium", 0) if may_be_either else 0


def _tokens(evaluator: Evaluator, questions: list[Prompt]) -> list[int]:
    """The tokens of each question: a sample is counted, the rest follows by its length in characters."""
    if not questions:
        return []
    asker = evaluator.find_asker()
    step = max(len(questions) // SAMPLE, 1)
    sample = questions[::step]
    counted = [_count(asker.build_request(question)) for question in sample]
    empty = min(counted) and input_tokens(asker.template().request("")).tokens
    letters = sum(_length(q) for q in sample)
    a_letter = max(sum(counted) - empty * len(sample), 0) / max(letters, 1)
    exact = dict(zip(map(id, sample), counted, strict=True))
    return [exact.get(id(q)) or empty + round(_length(q) * a_letter) for q in questions]


def _count(request: Request) -> int:
    try:
        return input_tokens(request).tokens
    except MediaError:  # a document that can't be read fails before it is sent
        return 1


def _length(question: Prompt) -> int:
    return len(question.text) + len(question.system or "")
