"""A column over the rows of one table, or of one batch of it: prompts, unique questions, outcomes, columns.

    columns → prompts, rendered by polars → unique questions → outcomes → values, laid out as the rows were

An `Evaluator` is a column's call with what lasts between batches. `frame` is for a table that is there: it ends with
one warning, and a stop gives the rows that are done. `batch` is what polars calls, as often as it likes.
"""

from __future__ import annotations

import atexit
import itertools
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextvars import copy_context
from functools import partial
from operator import call
from typing import TYPE_CHECKING, Any, cast

import polars as pl

from qwennb.answer import money, tell_of_cut, tell_of_cuts
from qwennb.client import OTEL, UNHEARD
from qwennb.errors import (
    Incomplete,
    QwenError,
    QwenFrameWarning,
    Stopped,
    in_words,
    show_in_one_line,
    where_raised,
)
from qwennb.frames.asking import ColumnAsker
from qwennb.frames.columns import Column
from qwennb.frames.default import default_client
from qwennb.frames.exactly_once import Answers, Evaluation, EvaluationGroup, Evaluations
from qwennb.frames.outcome import Outcome, count_votes, error_text, meta_series, quotes_series
from qwennb.frames.polars_calls import Sink
from qwennb.frames.progress import Tally
from qwennb.frames.prompts import Prompt, Rows, draw_each, read_rows
from qwennb.frames.truth_column import as_compared, print_comparison, read_truth
from qwennb.warn import warn_user

if TYPE_CHECKING:
    from qwennb.frames.draft_terms import DraftTerms
    from qwennb.frames.evidence import Evidence
    from qwennb.tracing import Totals, Trace

EVALUATIONS = Evaluations()
atexit.register(EVALUATIONS.settle, at_once=True)
_numbers = itertools.count()


class Evaluator:
    """One column's call. It may be used from several threads at once."""

    def __init__(self, column: Column) -> None:
        self.column = column
        self._draws = column.draws or 1
        # A row of which one draw failed has its answer, so that nothing is raised; it is told all the same.
        self._warns = column.on_error == "null" or (column.on_error == "raise" and column.draws is not None)
        self._number = next(_numbers)  # and not its id(), which Python gives to another when it has gone
        self._built = time.time()
        # polars calls a plan's columns on threads of its own, where no span is current.
        self._written_in = copy_context() if OTEL in sys.modules else None
        self._lock = threading.Lock()
        self._trace_lock = threading.Lock()
        self._asker: ColumnAsker | None = None
        self._answers = Answers()
        self._certificate: Evidence | None = None

    def find_asker(self) -> ColumnAsker:
        """Who asks; made with the first row, so that building a plan looks for no endpoint."""
        with self._lock:
            if self._asker is None:
                self._asker = ColumnAsker(self.column.client or default_client(), self.column)
            return self._asker

    def frame(self, columns: Mapping[str, pl.Series]) -> dict[str, pl.Series]:
        """Make the columns out of those of a whole table."""
        column = self.column
        try:
            rows = read_rows(column, columns)
            truth = None if column.truth is None else read_truth(column, columns[column.truth])
            outcomes = self._frame_outcomes(rows) if rows.prompts else []
            if truth:
                print_comparison(column, self._pair(rows, outcomes, truth))
            made = self._lay_out(rows, outcomes)
            if self._certificate is not None:
                self._certificate.remember(columns, made)
            return made
        except BaseException as error:
            raise self._in_our_words(error)  # noqa: B904 - it carries its cause

    def batch(
        self, series: Sequence[pl.Series], names: Sequence[str], name: str, *, may_repeat: bool = False
    ) -> pl.Series:
        """Make the output called *name*, or all outputs as a struct when it is empty, for a batch that polars gives.

        *names*: which columns the *series* are. What *may_repeat* is brought once more for each struct field that is taken
        of it: then equal batches pass for one, as nothing tells them apart.
        """
        try:
            with Sink(self._built):
                columns = dict(zip(names, series, strict=True))
                questions = [self.column.question_of(name)] if name else []
                rows, truth = read_rows(self.column, columns, questions), None
                if self.column.truth is not None:
                    truth = read_truth(self.column, columns[self.column.truth])
                outcomes = self._batch_outcomes(rows, truth, name, may_repeat=may_repeat)
                made = self._lay_out(rows, outcomes)
                return made[name] if name else pl.DataFrame(made).to_struct(self.column.into)
        except BaseException as error:
            raise self._in_our_words(error)  # noqa: B904

    def _in_our_words(self, error: BaseException) -> BaseException:
        """polars builds the error that leaves us again, from its class and message: what it could not build has lost both."""
        if isinstance(error, KeyboardInterrupt):
            return show_in_one_line(
                error, "stopped; what is finished is kept, and the same call asks only for the rest."
            )
        if isinstance(error, QwenError | Warning):
            return error
        ours = QwenError(
            f"The {self.column.title} failed with what qwennb did not foresee: {in_words(error)}"
            f"{where_raised(error.__traceback__)}. Every finished answer is kept. Please report it."
        )
        ours.__cause__ = error
        return ours

    def _frame_outcomes(self, rows: Rows) -> list[Outcome | None]:
        model = self.find_asker().template().model
        questions = len(rows.prompts) if self._draws == 1 else rows.count_questions(self._draws)
        tally = Tally(rows.count, questions, model, progress=self.column.progress, draws=self._draws)
        # Unique prompts are unique requests, but for pictures and documents: two paths may hold the same one.
        has_media = self.column.image or self.column.file
        group = EvaluationGroup([Evaluation()]) if has_media else None
        if any(map(call, self.find_asker().session.ears)):
            tally.trace = self._open_trace(tally, model, rows.count, questions)
        with tally.trace or UNHEARD:
            try:
                outcomes = self._outcomes(rows, group, tally, batches=False)
            except BaseException:
                tally.tell_end()
                raise
        if self._warns and (tally.first_error or tally.cut):
            self._warn(tally, so_far="", where=_find(rows, outcomes, tally.first_error))
        return outcomes

    def _batch_outcomes(
        self, rows: Rows, truth: list[Any] | None, name: str, *, may_repeat: bool
    ) -> list[Outcome | None]:
        under_way = EVALUATIONS.under_way()
        group = EvaluationGroup([*under_way, self._answers])
        if rows.prompts:  # it may look for the endpoint, and not while others wait for their tally
            self.find_asker().template()
        make = partial(
            Tally,
            0,
            0,
            "",
            progress=self.column.progress,
            batches=True,
            draws=self._draws,
            compare=None if truth is None else partial(print_comparison, self.column),
        )
        with EVALUATIONS.tally(under_way, self._number, make) as tally:
            if is_new := not may_repeat or tally.is_new_batch(rows.prompts, rows.count):
                tally.add_rows(rows.count, name)
            if rows.prompts and any(map(call, self.find_asker().session.ears)):
                self._open_batches_trace(tally)
            try:
                outcomes = self._outcomes(rows, group, tally, batches=True) if rows.prompts else []
            except BaseException as error:
                if tally.trace is not None:
                    tally.trace.note_error(error)
                raise
            if truth and is_new:
                tally.add_pairs(self._pair(rows, outcomes, truth), name)
            if tally.stopped:
                raise Stopped(
                    f"Stopped. Every finished answer is kept; the same plan, run again, asks for the rest. {_remaining_text(tally)}"
                )
            if self._warns:
                self._warn(
                    tally, so_far=" so far", is_new=lambda kind: group.first_to_say((self._number, kind))
                )
        return outcomes

    def _open_trace(self, tally: Tally, model: str, rows: int, questions: int) -> Trace | None:
        """Have those who listen hear of this run."""
        session = self.find_asker().session
        trace = session.open_trace(
            "column", model, verb=self.column.verb, rows=rows, unique=questions, origin=self._written_in
        )
        if trace is not None:
            trace.read_totals = partial(_total, tally)
        return trace

    def _open_batches_trace(self, tally: Tally) -> None:
        """Open the one trace of all batches, with the first that has something to ask."""
        with self._trace_lock:
            if tally.trace is not None:
                return
            tally.trace = trace = self._open_trace(tally, "", 0, 0)
            if trace is not None:
                trace.begin()

    def _outcomes(
        self, rows: Rows, group: EvaluationGroup | None, tally: Tally, *, batches: bool
    ) -> list[Outcome | None]:
        """Ask the prompts of *rows*; one that could not be made has failed already."""
        if not (
            self.column.image or self.column.file
        ):  # only of a picture or a document no prompt can be made
            asked = cast("Sequence[Prompt]", rows.prompts)
        else:
            asked = [prompt for prompt in rows.prompts if isinstance(prompt, Prompt)]
        if self.column.draws is not None:
            asked = draw_each(asked, self.column.draws)
        try:
            if (terms := self.column.terms) is None:
                outcomes = self.find_asker().outcomes(asked, group, tally, batches=batches)
            else:
                outcomes = self._ask_drafted(terms, rows, asked, group, tally)
        except KeyboardInterrupt as interrupt:
            interrupt.add_note(_remaining_text(tally))
            raise
        if (draws := self.column.draws) is not None:
            dtype, span = self.column.form.dtype, self.column.span
            outcomes = [
                count_votes(outcomes[start : start + draws], dtype, span)
                for start in range(0, len(outcomes), draws)
            ]
        if len(outcomes) < len(rows.prompts):
            answered, outcomes = iter(outcomes), []
            for prompt in rows.prompts:
                if isinstance(prompt, Prompt):
                    outcomes.append(next(answered))
                else:
                    outcomes.append(refused := Outcome.from_error("", prompt))
                    tally.add("", refused)
        tally.show(now=True) if batches else tally.show(finished=True)
        if self.column.on_error == "raise":
            self._raise_failure(rows, outcomes, tally, batches=batches)
        return outcomes

    def _ask_drafted(
        self,
        terms: DraftTerms,
        rows: Rows,
        asked: Sequence[Prompt],
        group: EvaluationGroup | None,
        tally: Tally,
    ) -> list[Outcome | None]:
        from qwennb.certify import need  # noqa: F401 - first: it says in a sentence that numpy is missing
        from qwennb.frames.drafted import DraftRun

        client = self.column.client or default_client()
        drafter = ColumnAsker(client, self.column.as_draft(terms), payer=self.find_asker())
        run = DraftRun(self.column, terms, self.find_asker(), drafter, rows, asked, group, tally)
        outcomes = run.outcomes()
        self._certificate = run.evidence
        return outcomes

    def _raise_failure(
        self, rows: Rows, outcomes: Sequence[Outcome | None], tally: Tally, *, batches: bool
    ) -> None:
        """Raise the first error, else that a text was cut. In *batches* rows are not counted from the table's first."""
        failed = tally.first_error
        if failed is not None and self.column.draws is not None:
            failed = next((one for one in outcomes if one is not None and one.error is not None), None)
        if failed is not None:
            error = failed.error
            where = "" if batches else _find(rows, outcomes, failed)
            raise type(error)(  # type: ignore[misc]
                f"{tally.failed:,} of {tally.progress().unique:,} failed; all others are kept. The first: {error}{where}"
            ) from None
        if tally.cut:
            where = "" if batches else f" The first{_find(rows, outcomes, tally.first_cut)}."
            raise Incomplete(
                f'{self._cut(tally)} All are kept; on_error="null" takes them as they are.{where}'
            )

    def _lay_out(self, rows: Rows, outcomes: list[Outcome | None]) -> dict[str, pl.Series]:
        """Make the columns, in the order of the rows."""
        come = cast("list[Outcome]", outcomes)
        if not all(outcomes):
            come = [outcome or _NOT_ASKED for outcome in outcomes]
        made: dict[str, pl.Series] = {}
        for name, dtype in self.column.outputs.items():
            if (indices := rows.indices.get(self.column.question_of(name))) is None:
                continue
            if name in self.column.questions:
                unique = self.column.form.series([outcome.value for outcome in come])
            elif name.endswith("_quotes"):
                unique = quotes_series(come, dtype)
            elif isinstance(dtype, pl.Struct):
                unique = meta_series(come, dtype)
            else:
                unique = pl.Series([self._error_beside(outcome) for outcome in come], dtype=pl.String)
            made[name] = unique.gather(indices).alias(name)
        return made

    def _pair(
        self, rows: Rows, outcomes: Sequence[Outcome | None], truth: list[Any]
    ) -> Counter[tuple[Any, Any]]:
        """Count which answer came to which truth."""
        unique = self.column.form.series([outcome and outcome.value for outcome in outcomes])
        answers = as_compared(unique).gather(rows.indices[self.column.into])
        return Counter(zip(answers.to_list(), truth, strict=True))

    def _error_beside(self, outcome: Outcome) -> str | None:
        """What the column beside says of a row: its error, or that its text was cut."""
        if outcome.is_cut:
            return tell_of_cut("The text was", [self.find_asker().template().sample])
        if outcome.error is None and outcome.votes is not None and (lost := outcome.votes.lost):
            return f"{len(lost)} of {self._draws} draws failed. The first: {error_text(lost[0].error)}"
        return error_text(outcome.error)

    def _warn(
        self, tally: Tally, *, so_far: str, where: str = "", is_new: Callable[[str], bool] = lambda kind: True
    ) -> None:
        """Warn once of rows that failed and of texts that were cut, each where *is_new* says that it was not told yet."""
        told: list[str] = []
        if tally.first_error is not None and is_new("failed"):
            of_draws = self.column.draws is not None
            become = (
                "; the others of their rows decide, and a row without any is null"
                if of_draws
                else " and are null"
            )
            told.append(
                f"{tally.failed:,} of {tally.progress().unique:,} {'draws' if of_draws else 'questions'} of {self.column.title} failed{so_far}"
                f"{become}. The first: {error_text(tally.first_error.error)}{where}{_cost_of_failures(tally)}"
            )
        if tally.cut and is_new("cut"):
            told.append(self._cut(tally, so_far))
        if told:
            warn_user(" ".join(told), QwenFrameWarning)

    def _cut(self, tally: Tally, so_far: str = "") -> str:
        of = f" of {self.column.title}{so_far}"
        return tell_of_cuts(tally.cut, tally.progress().unique, [self.find_asker().template().sample], of=of)


def _total(tally: Tally) -> Totals:
    """Sum up a run for its trace: with the numbers of its last line."""
    from qwennb.tracing import Totals

    now, ended = tally.progress(), "Stopped" if tally.stopped else ""
    return Totals(
        now.rows, now.unique, now.done, now.cached, now.failed, now.tokens, now.cost, now.model, ended
    )


def _find(rows: Rows, outcomes: Sequence[Outcome | None], outcome: Outcome | None) -> str:
    """The first row that came to *outcome*, as an error tells it."""
    for index, one in enumerate(outcomes):
        if one is not None and (
            one is outcome or (one.votes is not None and any(outcome is lost for lost in one.votes.lost))
        ):
            return rows.find(index)
    return ""


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


_NOT_ASKED = Outcome("", error=Stopped("The run was stopped before this row was asked."))
