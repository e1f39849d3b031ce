"""`df.qwen.plan(…)`, and `df.qwen.plan.classify(…)` for each verb: what the same call would take. Nothing is sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qwennb.frames import verbs
from qwennb.frames.column import Column
from qwennb.frames.plan import ColumnPlan


class Plans:
    """Plans of the calls that a frame takes, with their own arguments."""

    def __init__(self, planned: Callable[[Column], ColumnPlan]) -> None:
        self._planned = planned

    def __call__(self, prompt: str, **options: Any) -> ColumnPlan:
        """What `ask` would take."""
        return self._planned(verbs.ask_column(prompt, options))

    def ask(self, prompt: str, **options: Any) -> ColumnPlan:
        """What `ask` would take."""
        return self(prompt, **options)

    def classify(self, column: str, labels: Any, **options: Any) -> ColumnPlan:
        """What `classify` would take."""
        return self._planned(verbs.classify_column(column, labels, options))

    def extract(self, column: str, schema: Any, **options: Any) -> ColumnPlan:
        """What `extract` would take."""
        return self._planned(verbs.extract_column(column, schema, options))

    def summarize(self, column: str, **options: Any) -> ColumnPlan:
        """What `summarize` would take."""
        return self._planned(verbs.summarize_column(column, options))

    def translate(self, column: str, to: str, **options: Any) -> ColumnPlan:
        """What `translate` would take."""
        return self._planned(verbs.translate_column(column, to, options))

    def score(
        self,
        column: str,
        criterion: str,
        *,
        low: float | None = None,
        high: float | None = None,
        integer: bool = False,
        **options: Any,
    ) -> ColumnPlan:
        """What `score` would take."""
        return self._planned(
            verbs.score_column(column, criterion, options, low=low, high=high, integer=integer)
        )

    def filter(self, statement: str, **options: Any) -> ColumnPlan:
        """What `filter` would take."""
        return self._planned(verbs.filtering(statement, options))
