"""A column that somebody cheaper drafts: the draft's answers are taken as far as they are proved to be the model's own.

    every row is drafted ─▶ some rows, drawn by hash, tell the score where to trust it ─▶ others, drawn by hash, prove how far
    ─▶ the rest is asked

It is made of the asks of two columns and nothing else, each with its key: a second run recalls the same rows, costs nothing
and proves the same. What is drawn follows from the rows' keys, never from what is in the cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from qwennb.certify import Certificate, Learner, TextFeatures, certify, marks_of, need
from qwennb.errors import BadInput, QwenFrameWarning, Uncertified
from qwennb.frames.asking import ColumnAsker
from qwennb.frames.columns import NO, YES, Column
from qwennb.frames.draft_terms import FEWEST_TAUGHT, LOCAL, TAUGHT_LOCAL, DraftTerms, Goal
from qwennb.frames.evidence import Evidence
from qwennb.frames.exactly_once import Evaluation, EvaluationGroup
from qwennb.frames.outcome import Outcome
from qwennb.frames.progress import Tally
from qwennb.frames.prompts import Prompt, Rows
from qwennb.warn import warn_user

SHORT = 0.1  # where the local draft is right so much less often than it must be, it is given up
SALT = 17  # of the order in which rows teach: another than the one in which they prove


class DraftRun:
    """One run of such a column over the unique prompts of a table."""

    def __init__(
        self,
        column: Column,
        terms: DraftTerms,
        asker: ColumnAsker,
        drafter: ColumnAsker,
        rows: Rows,
        prompts: Sequence[Prompt],
        group: EvaluationGroup | None,
        tally: Tally,
    ) -> None:
        self._column, self._terms, self._asker, self._drafter = column, terms, asker, drafter
        self._prompts, self._group, self._tally = prompts, group, tally
        self._rows = rows
        self._counts = count_rows(rows)
        self._asked: dict[int, Outcome] = {}  # what the model itself has said
        self._drafts: list[Outcome | None] = [None] * len(prompts)
        self._why_not = ""
        self._model = asker.template().model
        self.evidence: Evidence | None = None

    def outcomes(self) -> list[Outcome | None]:
        """Draft, prove, ask the rest; None for what was not asked because it was stopped."""
        terms, keys = self._terms, self._asker.keys(self._prompts)
        if not terms.is_local and self._drafter.template().model == self._model:
            raise BadInput(
                f'draft="{terms.draft}" is {self._model}, the model itself, so there is nothing to prove. Name a cheaper one, or leave draft= out.'
            )
        rows = int(self._counts.sum())
        if terms.goal == "agree" and (why_not := need(rows, terms.target, terms.delta).why_not):
            return self._ask_all(why_not)
        marks = marks_of(keys)
        if terms.is_local:
            self._learn(marks_of(keys, SALT))
        else:
            self._draft()
        if self._tally.stopped or self._why_not:
            return self._ask_all(self._why_not)
        made = self._prove(self._score(marks_of(keys, SALT)), marks)
        return self._ask_all(self._why_not) if made is None else self._finish(made)

    # ------------------------------------------------------------------ who is asked

    def _draft(self) -> None:
        """Have every row drafted, in a run that is shown as one."""
        model = self._drafter.template().model
        tally = Tally(self._rows.count, len(self._prompts), model, progress=self._column.progress)
        tally.trace = self._tally.trace
        tally.note(f"drafts for {self._model}")
        group = None if self._group is None else EvaluationGroup([Evaluation()])
        try:
            self._drafts = self._drafter.outcomes(self._prompts, group, tally, batches=False)
        finally:
            tally.show(finished=True)
        if tally.stopped:
            self._tally.progress().stop()

    def _ask(self, indices: Sequence[int]) -> None:
        """Ask the model of some rows."""
        fresh = [index for index in indices if index not in self._asked]
        if not fresh or self._tally.stopped:
            return
        prompts = [self._prompts[index] for index in fresh]
        came = self._asker.outcomes(prompts, self._group, self._tally, batches=False)
        self._asked.update({index: one for index, one in zip(fresh, came, strict=True) if one is not None})

    def _ask_all(self, why_not: str) -> list[Outcome | None]:
        """Ask the model of every row, where a draft can't be proved; said before that is paid for."""
        terms = self._terms
        if why_not and not self._tally.stopped:
            if terms.on_uncertified == "stop":
                raise BadInput(f"{terms.goal}={terms.target:g} can't be proved: {why_not}.")
            warn_user(
                f"No draft is taken for {self._column.title}: {why_not}. {self._model} is asked of all rows.",
                QwenFrameWarning,
            )
        self._why_not = why_not
        self._tally.note("no draft is taken")
        self._ask(range(len(self._prompts)))
        return self._finish(None)

    # ------------------------------------------------------------------ what is proved

    def _is_right(self, index: int) -> bool:
        """Whether a row's draft is what the model says; a row that failed is not: nothing is proved from what is not known."""
        draft, asked = self._drafts[index], self._asked.get(index)
        if draft is None or asked is None or draft.error is not None or asked.error is not None:
            return False
        if self._column.verb == "score":
            return abs(draft.value - asked.value) <= self._terms.tolerance + 1e-12  # type: ignore[no-any-return]
        return bool(draft.value == asked.value)

    def _tell(self, indices: Any) -> Any:
        """Tell a certificate of some rows what it asks for, having asked the model of them."""
        listed = indices.tolist()
        self._ask(listed)
        if self._terms.goal == "recall":
            # Of a row that failed nobody knows: below it may have been missed, above it is not counted as found.
            said = [(one := self._asked.get(index)) and one.value for index in listed]
            return [
                one == YES or (one is None and self._drops(index))
                for index, one in zip(listed, said, strict=True)
            ]
        return [self._is_right(index) for index in listed]

    def _prove(self, scores: Any, marks: Any) -> Certificate | None:
        """Make the certificate of the drafts in the order of their *scores*."""
        terms = self._terms
        self._tally.note(f"{terms.goal}={terms.target:g} is being proved")
        if terms.goal == "agree":
            # Where the rest is not asked, it can't make up for what is wrong: then it is of the rows taken that so many must be right.
            goal: Goal = "agree" if terms.on_uncertified == "ask" else "precision"
            return certify(
                scores, self._tell, terms.target, terms.delta, goal=goal, counts=self._counts, marks=marks
            )
        said = self._says(YES)
        if terms.goal == "precision":
            some = np.flatnonzero(said)
            made = certify(
                scores[some],
                lambda rows: self._tell(some[rows]),
                terms.target,
                terms.delta,
                goal="precision",
                counts=self._counts[some],
                marks=marks[some],
            )
            return made.spread(some, len(scores))
        wanted = need(
            int(self._counts.sum()),
            terms.target,
            terms.delta,
            goal="recall",
            positives=int(self._counts[said].sum()),
        )
        if wanted.why_not:
            self._why_not = wanted.why_not
            return None
        made = certify(
            np.where(self._says(NO), scores, -np.inf),
            self._tell,
            terms.target,
            terms.delta,
            goal="recall",
            counts=self._counts,
            marks=marks,
            likely=~self._says(NO) if wanted.by == "likely" else None,
        )
        return made.without(~self._says(NO))

    def _drops(self, index: int) -> bool:
        """Whether the draft would leave a row out."""
        draft = self._drafts[index]
        return draft is not None and draft.value == NO

    def _says(self, label: str) -> Any:
        """Which rows the draft has answered so."""
        return np.array(
            [one is not None and one.error is None and one.value == label for one in self._drafts]
        )

    # ------------------------------------------------------------------ how far a draft is trusted

    def _score(self, marks: Any) -> Any:
        """Say of each draft how likely it is right, learnt from some rows of which both answers are known."""
        failed = np.array([one is None or one.error is not None for one in self._drafts])
        if self._terms.is_local:
            return np.where(failed, -np.inf, self._sure)
        taught = self._teach(marks)
        right = np.array([self._is_right(index) for index in taught], dtype=np.bool_)
        if right.all() or not right.any():  # of none, too
            return np.where(failed, -np.inf, 0.0)
        texts = TextFeatures([one.text for one in self._prompts])
        learner = Learner(texts, self._beside(), taught)
        return np.where(failed, -np.inf, learner.score(right))

    def _teach(self, marks: Any) -> Any:
        """Ask the model of the rows that are to teach: the first of another order than the one in which they prove."""
        count = self._terms.count_taught(len(self._prompts))
        taught = np.sort(np.argsort(marks, kind="stable")[:count])
        self._tally.note("where the draft may be trusted is learnt")
        self._ask(taught.tolist())
        return taught

    def _beside(self) -> Any:
        """What is known of a draft beside its text: which answer it is, how long, how sure where that is told."""
        values = [str(one.value) if one is not None else "" for one in self._drafts]
        names = sorted(set(values)) if len(set(values)) <= 64 else []
        columns = [np.array([value == name for value in values], dtype=np.float64) for name in names]
        for numbers in (
            [len(one.text) for one in self._prompts],
            [one.output_tokens if one is not None else 0 for one in self._drafts],
            [_sureness(one) for one in self._drafts],
        ):
            logs = np.log1p(np.array(numbers, dtype=np.float64))
            columns.append((logs - logs.mean()) / (logs.std() or 1.0))
        return np.column_stack(columns)

    def _learn(self, marks: Any) -> None:
        """Learn the labels of some rows by their letters, and draft the others by what was learnt."""
        taught = self._teach(marks)
        known = [index for index in taught.tolist() if (one := self._asked.get(index)) and one.error is None]
        said = np.array([str(self._asked[index].value) for index in known])
        names = sorted(set(said.tolist()))
        if self._tally.stopped:
            return
        if len(known) < FEWEST_TAUGHT:
            self._why_not = f"{len(known)} rows are too few to learn from; it takes {FEWEST_TAUGHT} at least, one in {TAUGHT_LOCAL[0]} of the table"
            return
        values = {str(self._asked[index].value): self._asked[index].value for index in known}
        texts = TextFeatures([one.text for one in self._prompts])
        learner = Learner(texts, np.zeros((len(self._prompts), 1)), np.array(known))
        guesses = np.column_stack([learner.guess(said == name) for name in names])
        right = float((np.array(names)[guesses.argmax(axis=1)] == said).mean())
        if right < self._terms.target - SHORT:
            self._why_not = f"what is learnt from {len(known)} rows is right of {right:.0%} of them, and {self._terms.target:.0%} must be"
            return
        chances = np.column_stack([learner.score(said == name) for name in names])
        self._sure = chances.max(axis=1) / chances.sum(axis=1)
        self._drafts = [
            Outcome("", values[names[best]], model=LOCAL, cost=0.0, finish_reason="stop")
            for best in chances.argmax(axis=1).tolist()
        ]

    # ------------------------------------------------------------------ what becomes of each row

    def _finish(self, made: Certificate | None) -> list[Outcome | None]:
        """Ask what is left, and take of each row the model's own answer, else the draft that is proved."""
        terms = self._terms
        accepted = np.zeros(len(self._prompts), np.bool_) if made is None else made.accepted
        dropped = np.zeros_like(accepted)
        if made is not None and terms.goal == "precision":
            dropped = self._says(NO)  # of what the draft does not keep, precision says nothing
        labels = len(self._asked)
        left = [index for index in np.flatnonzero(~(accepted | dropped)).tolist() if index not in self._asked]
        unproved: Uncertified | None = None
        if left and terms.on_uncertified == "ask":
            self._tally.note("the rest is asked")
            self._ask(left)
        elif left:
            unproved = Uncertified(
                f"{len(left):,} of {len(self._prompts):,} answers of the draft are not proved to be {self._model}'s own at "
                f'{terms.goal}={terms.target:g}. on_uncertified="ask" asks for them.'
            )
        if self._tally.stopped:  # a proof is of the whole table, and the rest of it is missing
            accepted, dropped = np.zeros_like(accepted), np.zeros_like(dropped)
        outcomes: list[Outcome | None] = []
        routes = {"asked": 0, "draft": 0, "left": 0}
        for index, (draft, is_taken) in enumerate(zip(self._drafts, accepted | dropped, strict=True)):
            own = self._asked.get(index)
            if own is None and is_taken and draft is not None:
                own, route = draft, "draft"
                self._tally.add(draft.key, draft)
            elif own is None and unproved is not None:
                own, route = Outcome.from_error("", unproved, self._model), "left"
                self._tally.add("", own)
            else:
                route = "asked" if own is not None else "left"
            routes[route] += int(self._counts[index])
            outcomes.append(own)
        self._count_replaced(outcomes)
        if not self._tally.stopped:
            self.evidence = Evidence.of(
                self._column,
                terms,
                self._model,
                self._drafter_name(),
                made,
                routes,
                self._why_not,
                labels,
            )
        return outcomes

    def _drafter_name(self) -> str:
        return LOCAL if self._terms.is_local else self._drafter.template().model

    def _count_replaced(self, outcomes: Sequence[Outcome | None]) -> None:
        """Count what the drafts took that were not taken."""
        replaced = [
            draft
            for draft, one in zip(self._drafts, outcomes, strict=True)
            if draft is not None and one is not draft
        ]
        costs = [one.cost for one in replaced]
        self._tally.add_beside(
            "drafts",
            sum(one.input_tokens for one in replaced),
            sum(one.output_tokens for one in replaced),
            None if None in costs else sum(cost or 0.0 for cost in costs),
        )


def count_rows(rows: Rows) -> Any:
    """Count how many rows of the table stand behind each prompt that can be asked."""
    indices = pl.concat([one.drop_nulls() for one in rows.indices.values()])
    counts = np.bincount(indices.to_numpy(), minlength=len(rows.prompts))
    can_be = [isinstance(one, Prompt) for one in rows.prompts]
    return counts if all(can_be) else counts[can_be]


def _sureness(draft: Outcome | None) -> float:
    """How sure the model was, where it tells."""
    sure = None if draft is None or draft.details is None else draft.details.confidence
    return 0.0 if sure is None else sure
