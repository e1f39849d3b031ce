"""A column over the rows of one table, or of one batch of it: prompts, unique questions, outcomes, columns.

    columns → prompts, rendered by polars → unique questions → outcomes → values, laid out as the rows were

An `Evaluator` is a column's call with what lasts between batches. `frame` is for a table that is there: it ends with
one warning, and a stop gives the rows that are done. `batch` is what polars calls, as often as it likes.
"""

from __future__ import annotations

import atexit
import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import polars as pl

from qwennb.answer import money, tell_of_cut, tell_of_cuts
from qwennb.collector import gc_paused
from qwennb.errors import Incomplete, MediaError, QwenError, Stopped, in_words, where_raised
from qwennb.frames.asking import ColumnAsker
from qwennb.frames.column import Column, warn_of_rows
from qwennb.frames.evaluation import Evaluation, EvaluationGroup, Evaluations
from qwennb.frames.image import image_of
from qwennb.frames.outcome import Outcome, error_text, meta_series
from qwennb.frames.progress import Tally
from qwennb.frames.prompt_batch import Prompt
from qwennb.frames.prompts import prompts
from qwennb.frames.sink import Sink

EVALUATIONS = Evaluations()
atexit.register(EVALUATIONS.settle, at_once=True)
_numbers = itertools.count()


class Evaluator:
    """One column's call. It may be used from several threads at once."""

    def __init__(self, column: Column) -> None:
        self.column = column
        self._number = next(_numbers)  # and not its id(), which Python gives to another when it has gone
        self._built = time.time()
        self._lock = threading.Lock()
        self._asker: ColumnAsker | None = None

    @property
    def asker(self) -> ColumnAsker:
        """Who asks; made with the first row, so that building a plan looks for no endpoint."""
        with self._lock:
            if self._asker is None:
                column = self.column
                self._asker = ColumnAsker(
                    column.client(),
                    column.options,
                    column.form,
                    concurrency=column.concurrency,
                    lane=column.lane,
                    beside=bool(column.beside),
                )
            return self._asker

    def frame(self, columns: Mapping[str, pl.Series]) -> dict[str, pl.Series]:
        """The columns made from those of a whole table."""
        with self._told_in_our_words():
            return self._frame(columns)

    def _frame(self, columns: Mapping[str, pl.Series]) -> dict[str, pl.Series]:
        rows = Rows.of(self.column, columns)
        if not rows.questions:
            return self._lay_out(rows, [])
        tally = Tally(
            rows.count, len(rows.questions), self.asker.request_template.model, progress=self.column.progress
        )
        try:
            outcomes = self._outcomes(rows, EvaluationGroup([Evaluation()]), tally, batches=False)
        except BaseException:
            tally.tell_end()
            raise
        if self.column.on_error == "null":
            self._warn(tally, so_far="", where=rows.where(outcomes, tally.first_error))
        return self._lay_out(rows, outcomes)

    def batch(self, series: Sequence[pl.Series], name: str) -> pl.Series:
        """The output called *name*, or all outputs as a struct when it is empty, for a batch that polars gives."""
        with self._told_in_our_words(), Sink(self._built):
            return self._batch(series, name)

    @contextmanager
    def _told_in_our_words(self) -> Iterator[None]:
        """polars builds the error that leaves us again, from its class and message: what it could not build has lost both."""
        try:
            yield
        except (QwenError, KeyboardInterrupt, Warning):
            raise
        except BaseException as unforeseen:
            raise QwenError(
                f"The column `{self.column.into}` failed with what qwennb did not foresee: {in_words(unforeseen)}"
                f"{where_raised(unforeseen.__traceback__)}. Every finished answer is kept. Please report it."
            ) from unforeseen

    def _batch(self, series: Sequence[pl.Series], name: str) -> pl.Series:
        rows = Rows.of(self.column, {one.name: one for one in series})
        outcomes = self._batch_outcomes(rows) if rows.questions else []
        made = self._lay_out(rows, outcomes)
        return made[name] if name else pl.DataFrame(made).to_struct(self.column.into)

    def _batch_outcomes(self, rows: Rows) -> list[Outcome | None]:
        under_way = EVALUATIONS.under_way()
        evaluation_group = EvaluationGroup([*under_way, self.asker.answers])
        # The model first: it may look for the endpoint, and not while others wait for their tally.
        make = partial(
            Tally, 0, 0, self.asker.request_template.model, progress=self.column.progress, batches=True
        )
        with EVALUATIONS.tally(under_way, self._number, make) as tally:
            tally.batch(rows.questions, rows.count)
            outcomes = self._outcomes(rows, evaluation_group, tally, batches=True)
            if tally.stopped:
                raise Stopped(
                    f"Stopped. Every finished answer is kept; the same plan, run again, asks for the rest. {_remaining_text(tally)}"
                )
            if self.column.on_error == "null":
                self._warn(
                    tally,
                    so_far=" so far",
                    is_new=lambda kind: evaluation_group.first_to_say((self._number, kind)),
                )
        return outcomes

    def _outcomes(
        self, rows: Rows, evaluation_group: EvaluationGroup, tally: Tally, *, batches: bool
    ) -> list[Outcome | None]:
        asked = [question for question in rows.questions if isinstance(question, Prompt)]
        try:
            outcomes = self.asker.outcomes(asked, evaluation_group, tally, batches=batches)
        except KeyboardInterrupt as interrupt:
            interrupt.add_note(_remaining_text(tally))
            raise
        if len(asked) < len(rows.questions):
            answered, outcomes = iter(outcomes), []
            for question in rows.questions:
                if isinstance(question, Prompt):
                    outcomes.append(next(answered))
                else:
                    outcomes.append(refused := Outcome.from_error("", question))
                    tally.add(refused)
        tally.show(now=True) if batches else tally.show(finished=True)
        if self.column.on_error == "raise" and tally.first_error is not None:
            error = tally.first_error.error
            assert error is not None
            where = "" if batches else rows.where(outcomes, tally.first_error)
            raise type(error)(
                f"{tally.failed:,} of {tally.progress().unique:,} failed; all others are kept. The first: {error}{where}"
            ) from None
        if self.column.on_error == "raise" and tally.cut:
            where = "" if batches else f" The first{rows.where(outcomes, tally.first_cut)}."
            raise Incomplete(
                f'{self._cut(tally)} All are kept; on_error="null" takes them as they are.{where}'
            )
        return outcomes

    def _lay_out(self, rows: Rows, outcomes: list[Outcome | None]) -> dict[str, pl.Series]:
        there = [outcome if outcome is not None else _NOT_ASKED for outcome in outcomes]
        values = self.column.form.series([outcome.value for outcome in there])
        made: dict[str, pl.Series] = {}
        for name, dtype in self.column.outputs.items():
            if name == self.column.into:
                unique = values
            elif isinstance(dtype, pl.Struct):
                unique = meta_series(there, dtype)
            else:
                unique = pl.Series([self._trouble(outcome) for outcome in there], dtype=pl.String)
            made[name] = unique.gather(rows.indices).alias(name)
        return made

    def _trouble(self, outcome: Outcome) -> str | None:
        """What the column beside says of a row: its error, or that its text was cut."""
        if outcome.is_cut:
            return tell_of_cut("The text was", [self.asker.request_template.sample])
        return error_text(outcome.error)

    def _warn(
        self, tally: Tally, *, so_far: str, where: str = "", is_new: Callable[[str], bool] = lambda kind: True
    ) -> None:
        """Warn once of rows that failed and of texts that were cut, each where *is_new* says that it was not told yet."""
        told: list[str] = []
        if tally.first_error is not None and is_new("failed"):
            told.append(
                f"{tally.failed:,} of {tally.progress().unique:,} questions of column `{self.column.into}` failed{so_far} "
                f"and are null. The first: {error_text(tally.first_error.error)}{where}{_cost_of_failures(tally)}"
            )
        if tally.cut and is_new("cut"):
            told.append(self._cut(tally, so_far))
        if told:
            warn_of_rows(" ".join(told))

    def _cut(self, tally: Tally, so_far: str = "") -> str:
        of = f" of column `{self.column.into}`{so_far}"
        return tell_of_cuts(tally.cut, tally.progress().unique, [self.asker.request_template.sample], of=of)


class Rows:
    """The unique questions of some rows, and for each row the place of its question; null for a row without one."""

    def __init__(self, questions: list[Prompt | QwenError], indices: pl.Series) -> None:
        self.questions = questions
        self.indices = indices
        self.count = len(indices)

    def where(self, outcomes: Sequence[Outcome | None], outcome: Outcome | None) -> str:
        """The first row whose question came to *outcome*, as an error tells it; rows are counted from 0, as polars does."""
        index = next(
            (index for index, one in enumerate(outcomes) if one is not None and one is outcome), None
        )
        row = None if index is None else self.indices.index_of(index)
        return "" if row is None else f" (row {row:,})"

    @classmethod
    def of(cls, column: Column, columns: Mapping[str, pl.Series]) -> Rows:
        """What *column* asks of the rows that *columns* hold."""
        nulls = column.nulls == "send"
        count = len(next(iter(columns.values())))
        if column.template.holes:
            texts = prompts(column.template, columns, nulls=nulls)
        else:
            texts = pl.Series([_literal(column)], dtype=pl.String).new_from_index(0, count)
        asked = pl.DataFrame({"text": texts})
        if column.system is not None:
            asked.insert_column(0, prompts(column.system, columns, nulls=nulls).alias("system"))
        if column.image is not None:
            asked = asked.with_columns(columns[column.image].alias("image"))
        asked = asked.with_row_index("row")
        whole = asked.drop_nulls()
        keys = [name for name in asked.columns if name != "row"]
        unique = whole.select(keys).unique(maintain_order=True).with_row_index("place")
        grouped = len(column.template.holes) > 1 or column.system is not None
        if grouped:
            # What begins alike goes one after the other, as a server's prefix cache likes it.
            unique = (
                unique.sort(*(name for name in keys if name != "image"), maintain_order=True)
                .drop("place")
                .with_row_index("place")
            )
        if len(unique) == count and not grouped:  # each row is a question of its own
            indices = unique["place"]
        else:
            indices = asked.join(unique, on=keys, how="left", maintain_order="left")["place"]
        if keys == ["text"]:
            with gc_paused:
                return cls([Prompt(text) for text in unique["text"].to_list()], indices)
        return cls([_question(column, **row) for row in unique.select(keys).iter_rows(named=True)], indices)


def _remaining_text(tally: Tally) -> str:
    """What is kept and what the same call would still ask, with its price where that is known."""
    so_far = tally.progress()
    rest = so_far.cost_of_the_rest
    price = f", for about {money(rest)}" if rest else ""
    return f"{so_far.done:,} of {so_far.unique:,} answers are kept; the same call asks only for the other {tally.remaining:,}{price}."


def _cost_of_failures(tally: Tally) -> str:
    """What the questions that failed have cost, as a sentence of its own; none where they cost nothing."""
    cost = tally.cost_of_failures
    if cost is None:
        return " What the failed ones cost is not known."
    return f" The failed ones cost {money(cost)}." if cost else ""


def _literal(column: Column) -> str:
    return "".join(piece for piece in column.template.pieces if isinstance(piece, str))


def _question(column: Column, text: str, image: Any = None, system: str | None = None) -> Prompt | QwenError:
    try:
        picture = None if image is None else image_of(image, root=column.root, options=column.options)
        return Prompt(text, picture, system)
    except MediaError as error:
        return error


_NOT_ASKED = Outcome("", error=Stopped("The run was stopped before this row was asked."))
