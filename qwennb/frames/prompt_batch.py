"""Questions that are asked together: those of one table, or of one batch that polars gives, and what came of each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any, NamedTuple

from qwennb.frames.evaluation import CacheSlot, EvaluationGroup
from qwennb.frames.outcome import Outcome
from qwennb.frames.progress import Tally
from qwennb.request import Image


class Prompt(NamedTuple):
    """What differs from row to row: the text, a picture where the column has one, the system text where it is a template."""

    text: str
    image: Image | None = None
    system: str | None = None


class PromptBatch:
    """Questions with their keys, in order, and their outcomes as they come."""

    def __init__(
        self,
        questions: Sequence[Prompt],
        keys: Sequence[str],
        slot: CacheSlot,
        evaluation_group: EvaluationGroup,
        tally: Tally,
    ) -> None:
        self.questions = questions
        self.keys = keys
        self.tally = tally
        self.outcomes: list[Outcome | None] = evaluation_group.recall_many(slot, keys)
        self._slot = slot
        self._evaluation_group = evaluation_group

    @property
    def open(self) -> list[int]:
        """The places of the questions without an outcome."""
        return [index for index, outcome in enumerate(self.outcomes) if outcome is None]

    def remember(self, outcomes: Iterable[Outcome]) -> None:
        """These were found in the cache; other batches of the evaluation may want them."""
        self._evaluation_group.note(self._slot, outcomes)

    def end_recall(self) -> None:
        """Nothing more is known; the rest is to be asked."""
        self.tally.note_known(outcome for outcome in self.outcomes if outcome is not None)

    def came(self, index: int, outcome: Outcome) -> None:
        """The question at *place* has come to *outcome*."""
        self.outcomes[index] = outcome
        self.tally.add(outcome)

    async def once(
        self, index: int, ask: Callable[[], Awaitable[Outcome]], is_durable: Callable[[Outcome], bool]
    ) -> Outcome:
        """The outcome of *ask* for the question at *place*; nobody asks where it is known or under way."""
        outcome = await self._evaluation_group.once(self._slot, self.keys[index], ask, is_durable)
        self.came(index, outcome)
        return outcome


async def work_together(workers: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Await all of *workers* at once. What one raises ends the others, and is raised itself, not in a group."""
    try:
        async with asyncio.TaskGroup() as group:
            for worker in workers:
                group.create_task(worker)
    except BaseExceptionGroup as several:
        raise several.exceptions[0] from None
