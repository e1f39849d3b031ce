"""Asks the cells of a grid, off the kernel's main thread, until all have answered or somebody stops it.

One thread with an event loop of its own; it only awaits the client, which shares engine, limits and cache with all else.
So the notebook stays free, and a stop reaches every question that is under way.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from qwennb.answer import Answer
from qwennb.client import Options, Qwen
from qwennb.errors import QwenError
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
    """One run over some cells. *told* hears of each as it is done, *ended* of the end; both on the run's thread."""

    def __init__(
        self,
        errands: Sequence[VariantQuestion],
        told: Callable[[VariantQuestion, VariantOutcome], None],
        ended: Callable[[], None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._errands, self._told, self._ended, self._clock = errands, told, ended, clock
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._work: asyncio.Task[None] | None = None
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="qwennb-playground", daemon=True)

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def stop(self) -> None:
        """Have it end; what has answered stays."""
        with self._lock:
            self._stopped = True
            if self._loop is not None and self._work is not None:
                self._loop.call_soon_threadsafe(self._work.cancel)

    def wait(self, timeout: float | None = None) -> bool:
        """Until it has ended; False where it has not by then."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            with contextlib.suppress(asyncio.CancelledError):
                asyncio.run(self._all())
        finally:
            with self._lock:
                self._loop = self._work = None
            self._ended()

    async def _all(self) -> None:
        self._work = asyncio.current_task()
        with self._lock:
            self._loop = asyncio.get_running_loop()
            stopped = self._stopped
        if stopped:
            for errand in self._errands:
                self._told(errand, VariantOutcome(problem=STOPPED))
            return
        async with asyncio.TaskGroup() as group:
            for errand in self._errands:
                group.create_task(self._one(errand))

    async def _one(self, errand: VariantQuestion) -> None:
        began = self._clock()
        try:
            answer = await errand.client.session.answer_async(errand.request, errand.options)
        except QwenError as error:
            self._told(errand, VariantOutcome(problem=f"{type(error).__name__}: {error}"))
        except asyncio.CancelledError:
            self._told(errand, VariantOutcome(problem=STOPPED))
            raise
        else:
            self._told(
                errand, VariantOutcome(answer, seconds=None if answer.cached else self._clock() - began)
            )
