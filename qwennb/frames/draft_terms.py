"""On which terms a draft is taken: who drafts, how often it must be right, and what becomes of rows that can't be proved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from qwennb.errors import BadInput, show_value
from qwennb.request import Check, number, one_of, text

Goal = Literal["agree", "precision", "recall"]
OnUncertified = Literal["ask", "stop"]

LOCAL = "local"
"""The draft that is learnt on the spot, and asks no model."""


TAUGHT = 20, 200  # one row in so many teaches the score where a draft errs, and no more than so many do
TAUGHT_LOCAL = 10, 500  # the same where the answers themselves are learnt
FEWEST_TAUGHT = 20  # fewer teach nothing


def _share(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
        raise BadInput(f"{name}={show_value(value)} must be above 0 and below 1: {name}=0.95.")
    return float(value)


TERM_CHECKS: dict[str, Check] = {
    "draft": text("the name of a model"),
    "agree": _share,
    "precision": _share,
    "recall": _share,
    "delta": _share,
    "tolerance": number(0),
    "on_uncertified": one_of(*get_args(OnUncertified)),
}


@dataclass(frozen=True, slots=True)
class DraftTerms:
    """Who drafts the answers, and what must be proved of them.

    Of `goal`, the share `target` must hold, and may fail to with a probability of `delta`. Numbers agree within `tolerance`.
    """

    draft: str
    goal: Goal
    target: float
    delta: float = 0.05
    tolerance: float = 0.0
    on_uncertified: OnUncertified = "ask"

    @property
    def is_local(self) -> bool:
        """Whether no model drafts."""
        return self.draft == LOCAL

    def count_taught(self, questions: int) -> int:
        """Count how many of so many questions the model is asked to learn from, before anything is proved."""
        one_in, most = TAUGHT_LOCAL if self.is_local else TAUGHT
        count = min(questions // one_in, most)
        return count if count >= FEWEST_TAUGHT else 0


def take_terms(own: dict[str, Any], verb: str, *, is_whole: bool) -> DraftTerms:
    """Take the terms out of a column's *own* options, which has some; *is_whole*: its numbers are whole ones, or it has none."""
    given = {name: own.pop(name) for name in TERM_CHECKS if name in own}
    named = next(iter(given))
    if verb not in ("classify", "filter", "score"):
        raise BadInput(
            f"{named}= is for classify(), filter() and score(), whose answers can be held against each other; {verb}() has a text."
        )
    draft = given.pop("draft", None)
    if draft is None:
        raise BadInput(
            f'{named}= says how far a draft may be trusted, and nobody drafts. Name who does: draft="flash".'
        )
    goals = [goal for goal in get_args(Goal) if goal in given]
    if len(goals) != 1:
        raise BadInput(_ask_for_goal(goals, verb))
    goal = goals[0]
    if goal != "agree" and verb != "filter":
        raise BadInput(
            f"{goal}= is for filter(), which returns some rows and not others; of {verb}() say how often the draft must be right: agree={given[goal]}."
        )
    if "tolerance" in given and verb != "score":
        raise BadInput(f"tolerance= is for score(), whose answers are numbers; {verb}() has labels.")
    if verb == "score" and "tolerance" not in given and not is_whole:
        raise BadInput(
            "How near two numbers must be to agree is not guessed. Say it: score(…, tolerance=0.5)."
        )
    _refuse_beside(own)
    if draft == LOCAL and verb == "score":
        raise BadInput('draft="local" learns labels; of numbers name a model that drafts: draft="flash".')
    if verb == "filter" and given.get("on_uncertified") == "stop":
        raise BadInput(
            'on_uncertified="stop" would leave rows undecided, and filter() must keep or drop each. Leave it out, or use classify().'
        )
    return DraftTerms(draft, goal, given.pop(goal), **given)


def _ask_for_goal(goals: list[str], verb: str) -> str:
    if goals:
        return f"{' and '.join(f'{goal}=' for goal in goals)} are given. Give one; with recall= every row that is kept was asked of the model itself."
    others = ", or recall= or precision=" if verb == "filter" else ""
    return f"A draft is taken as far as it is proved, and how far is not guessed. Say it: agree=0.95{others}."


def _refuse_beside(own: Mapping[str, Any]) -> None:
    """Refuse options with which a draft can't be held against the model."""
    if own.get("draws") is not None:
        raise BadInput("draws= and draft= are two ways to be surer of a row. Give one of them.")
    if own.get("lane") == "batch":
        raise BadInput(
            'A certificate is made in rounds, each of which looks at the last, and lane="batch" answers hours later. Leave lane= out.'
        )
