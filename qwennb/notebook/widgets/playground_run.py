"""Asks the cells of a grid, off the kernel's main thread, until all have an outcome or somebody stops it.

One thread with an event loop of its own; it only awaits the client, which shares engine, limits and cache with all else.
So the notebook stays free, and a stop reaches every question that is under way.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from qwennb.answer import Answer
from qwennb.client import Options, Qwen
from qwennb.request import Request

STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class VariantQuestion:
    """The question of one cell: of a row, asked as a variant."""

    row: int
    variant: int
    client: Qwen
    request: Request
    options: Options


@dataclass(frozen=True, slots=True)
class VariantOutcome:
    """What came of it: an answer, or why there is none. `seconds` is how long it took; None from the cache."""

    answer: Answer | None = None
    problem: str = ""
    seconds: float | None = None

    @property
    def text(self) -> str:
        """What stands in the cell."""
        return self.answer.text if self.answer is not None else f"[{self.problem}]"


class PlaygroundRun:
    """One run over some cells. *tell* hears of each outcome as it comes, *end* of the end; both on the run's thread."""

    def __init__(
        self,
        questions: Sequence[VariantQuestion],
        tell: Callable[[VariantQuestion, VariantOutcome], None],
        end: Callable[[], None],
    ) -> None:
        self._questions, self._tell, self._end = questions, tell, end
        self._loop = asyncio.new_event_loop()
        self._tasks: list[asyncio.Task[None]] = []
        self._is_stopped = False

    def start(self) -> None:
        """Begin; returns at once."""
        threading.Thread(target=self._run, name="qwennb-playground", daemon=True).start()

    def stop(self) -> None:
        """Have it end; what has answered stays."""
        self._is_stopped = True
        with suppress(RuntimeError):  # it has ended
            self._loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        for task in self._tasks:
            task.cancel()

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._ask_all())
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
        finally:
            self._loop.close()
            self._end()

    async def _ask_all(self) -> None:
        self._tasks = [self._loop.create_task(self._ask(question)) for question in self._questions]
        if self._is_stopped:
            self._cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for question, task in zip(self._questions, self._tasks, strict=True):
            if task.cancelled():
                self._tell(question, VariantOutcome(problem=STOPPED))

    async def _ask(self, question: VariantQuestion) -> None:
        began = time.monotonic()
        try:
            answer = await question.client.session.answer_async(question.request, question.options)
        except Exception as error:  # the other cells go on, and this one says what it was
            self._tell(question, VariantOutcome(problem=f"{type(error).__name__}: {error}"))
        else:
            seconds = None if answer.cached else time.monotonic() - began
            self._tell(question, VariantOutcome(answer, seconds=seconds))
