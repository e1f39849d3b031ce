"""Looking through a column of answers: right, wrong or fixed, and what that amounts to.

One row at a time, its source beside its answer. Labels are on the disk as they are given (`labels`); the record that
stays in the notebook tells how far one is and how good the answers are.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from qwennb.answer import markup
from qwennb.config import Secret
from qwennb.notebook.widgets import review_measures as measures
from qwennb.notebook.widgets import review_picture
from qwennb.notebook.widgets.review_panel import ReviewPanel
from qwennb.notebook.widgets.review_rows import ReviewRows, Row, truth_of
from qwennb.notebook.widgets.static import OutputSlot, PersistentWidget, somebody_looks
from qwennb.request import Message, Text, check_characters
from qwennb.secrets import SecretScanner
from qwennb.text import plural
from qwennb.truth import Kappa
from qwennb.tuning import (
    Example,
    Form,
    Label,
    Labels,
    Origin,
    Selection,
    add_judges,
    agreement,
    answer_message,
    check_form,
    check_labels_fit,
    judge,
    write_examples,
)


class Review:
    """Look over the answers of a column, one row at a time, and say which are right.

    What you say goes into a file of labels as you say it, so that nothing is lost and others can add to it.

    Parameters
    ----------
    frame : DataFrame
        Of polars or pandas, with the answers.
    answer : str
        The column of answers.
    source : str or list of str, optional
        What they are about: the columns to show beside them.
    labels : path
        The file of labels; it is made if it is not there.
    by : str, optional
        Who labels.
    other : str, optional
        A column of other answers to the same rows.
    confidence : str, optional
        A column of numbers, to look at the least sure rows first.
    prompt, system : str, optional
        What was asked (`"… {{ review }}"`), for the export.
    colleague : path, optional
        Somebody else's file of labels.

    Attributes
    ----------
    accuracy, confusion, agreement
        What the labels amount to: the share of right answers with its interval, what was answered where what is true, and
        how well the reviewers agree.

    Raises
    ------
    BadInput
        If a column is not there, or the file holds something else.

    Examples
    --------
    >>> from qwennb import widgets
    >>> df = pl.DataFrame({"review": ["The soup was cold."], "answer": ["complaint"]})
    >>> review = widgets.Review(df, source="review", labels="labels.jsonl", by="ann")
    >>> review.accuracy is None
    True
    """

    def __init__(
        self,
        frame: Any,
        *,
        answer: str = "answer",
        source: str | Sequence[str] | None = None,
        labels: str | Path,
        by: str = "",
        other: str | None = None,
        confidence: str | None = None,
        prompt: str | None = None,
        system: str | None = None,
        colleague: str | Path | None = None,
    ) -> None:
        self._rows = ReviewRows(frame, answer=answer, source=source, other=other, confidence=confidence)
        self._questions = self._rows.questions(prompt)
        self._system = system
        self._labels = Labels(labels, by)
        self._colleague = Labels(colleague) if colleague is not None else None
        self._panel: ReviewPanel | None = None
        self._exhibit: PersistentWidget | None = None

    def _ipython_display_(self) -> None:
        if not somebody_looks():
            OutputSlot("review").show(self._markdown(), self._plain())
            return
        if self._exhibit is None or self._exhibit.is_closed:
            self._panel = ReviewPanel(self, self._rows, self._labels, self._others)
            self._exhibit = PersistentWidget(self._panel.box, about="review", called="Review", below=True)
            self._panel.keep_record(self._keep)
        self._exhibit.show()

    def close(self) -> None:
        """Take the widget away; labels and record stay."""
        if self._exhibit is not None:
            self._exhibit.close()

    # ------------------------------------------------------------------ what the labels amount to

    @property
    def accuracy(self) -> measures.Accuracy | None:
        """The share of right answers among the labelled, with its interval; None before the first label."""
        labelled = self._labelled_rows()
        return measures.accuracy(sum(label.verdict == "right" for _, label in labelled), len(labelled))

    @property
    def confusion(self) -> measures.Confusion | None:
        """What was answered where what is true; None where the answers are no classes."""
        pairs = [(row.answer, truth_of(row, label)) for row, label in self._labelled_rows()]
        return measures.confusion(pairs, self._rows.classes)

    @property
    def agreement(self) -> dict[str, Kappa]:
        """How well this reviewer and each other one agree on what is right."""
        given = self._labels.labels_by()
        names = [row.name for row in self._rows.all]
        found = {name: agreement(names, given, their) for name, their in self._others().items()}
        return {name: kappa for name, kappa in found.items() if kappa is not None}

    def labelled(self) -> Any:
        """The frame with two columns more: the label of each row, and what is true where that is known."""
        given = self._labels.labels_by()
        verdicts: list[str | None] = [None] * len(self._rows.frame)
        truths: list[str | None] = [None] * len(self._rows.frame)
        for row in self._rows.all:
            label = given.get(row.name)
            verdicts[row.number] = label.verdict if label else None
            truths[row.number] = truth_of(row, label)
        made = {f"{self._rows.answer}_label": verdicts, f"{self._rows.answer}_true": truths}
        frame = self._rows.frame
        if isinstance(frame, pl.DataFrame):
            return frame.with_columns(
                pl.Series(name, values, dtype=pl.String) for name, values in made.items()
            )
        return frame.assign(**made)

    def export(
        self,
        path: str | Path,
        form: Form,
        *,
        right: bool = False,
        valid: float | None = None,
        seed: int = 0,
        environ: Mapping[str, str] | None = None,
    ) -> list[Path]:
        """Write the corrected rows as examples for fine-tuning: into one file, or into a folder with a card.

        Parameters
        ----------
        path : str or path
            The name of one file, such as `"corrected.jsonl"`, or a folder, which gets train.jsonl, valid.jsonl and README.md.
        form : str
            "unsloth", "llama-factory", "messages" or "trl"; "dpo", where a fixed row is a pair; "kto", where each label counts.
        right : bool, default False
            Those that were right too.
        valid : float, optional
            The share that is kept for validation in a folder; 0.1 without it. Twins never stand on both sides.
        seed : int, default 0
            Another one parts the examples otherwise.
        environ : Mapping, optional
            Where API keys are looked up, so that none is written; the process's own environment without it.

        Returns
        -------
        list of Path
            The files that were written.

        Raises
        ------
        BadInput
            If no row is labelled so, the form is none, or the file can't be written.
        """
        form = check_form(form, right=right)
        if self._system is not None:
            check_characters("system", self._system)
        selection = Selection()
        system = () if self._system is None else (Message("system", (Text(self._system),)),)
        for (row, label), question in zip(self._each(), self._questions, strict=True):
            if question:
                asked = (*system, Message("user", (Text(question),)))
                example = Example(asked, answer_message(row.answer), about=row.source)
                selection.add(judge(example, label, form, right=right))
            else:
                selection.left_out["without a question"] += 1
        if self._rows.missing:
            selection.left_out["without an answer"] += self._rows.missing
        rows = [row.name for row in self._rows.all]
        check_labels_fit(self._labels, rows, "Give the columns that were reviewed as source= and answer=.")
        origin = Origin(
            f"table of {plural(len(self._rows.frame), 'row')} that was reviewed", len(self._rows.frame)
        )
        origin = add_judges(origin, self._labels, rows, [self._colleague] if self._colleague else [])
        secrets = SecretScanner.from_environ(os.environ if environ is None else environ, Secret.in_use())
        return write_examples(path, selection, form, origin, secrets, valid=valid, seed=seed)

    def _each(self) -> list[tuple[Row, Label | None]]:
        given = self._labels.labels_by()
        return [(row, given.get(row.name)) for row in self._rows.all]

    def _labelled_rows(self) -> list[tuple[Row, Label]]:
        return [(row, label) for row, label in self._each() if label is not None]

    def _others(self) -> dict[str, Mapping[str, Label]]:
        """The labels of everybody else, by name."""
        others = {
            by or "nobody named": self._labels.labels_by(by)
            for by in self._labels.reviewers
            if by != self._labels.by
        }
        if self._colleague is not None:
            stem = self._colleague.path.stem
            others |= {by or stem: self._colleague.labels_by(by) for by in self._colleague.reviewers}
        return {name: given for name, given in others.items() if given}

    # ------------------------------------------------------------------ the record

    def summary(self) -> list[str]:
        """How far one is, and what came out, in sentences."""
        done = len(self._labelled_rows())
        lines = [f"{done:,} of {len(self._rows.all):,} rows labelled."]
        if self._rows.missing:
            lines.append(f"{self._rows.missing:,} rows without an answer are left out.")
        if (share := self.accuracy) is not None:
            lines.append(f"{share}.")
        lines += [f"With {name}: {found}." for name, found in self.agreement.items()]
        if self._labels.damaged:
            lines.append(
                f"{self._labels.damaged:,} lines of {self._labels.path.name} can't be read and are passed over."
            )
        return lines

    def _markdown(self, *, drawn: bool = False) -> str:
        parts = ["**Review**", *(markup.literal(line) for line in self.summary())]
        if (found := self.confusion) is not None:
            parts.append(review_picture.render(found) if drawn else review_picture.table(found))
        return "\n\n".join(parts)

    def _plain(self) -> str:
        found = self.confusion
        return markup.plain("\n".join(["Review", *self.summary(), *([found.describe()] if found else [])]))

    def _keep(self, *, drawn: bool = False) -> None:
        if self._exhibit is not None:
            self._exhibit.keep(self._markdown(drawn=drawn), self._plain())
