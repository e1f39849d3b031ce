"""Looking through a column of answers: right, wrong or fixed, and what that amounts to.

One row at a time, its source beside its answer; the state is here, `review.js` draws it and hears the keys. Labels are on
the disk as they are given (`tuning.Labels`), and only then is the next row sent. Letters that are typed ahead wait in the
page until then, and act on the rows that come. Of the table no more is ever sent than the row that is shown.

Where the answer is hidden (rows that `df.qwen.draw` drew) the reviewer says what is true without sight of what the model
said: before all rows are labelled neither the answer nor anything that would tell it is in the page or in the record.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl
import traitlets

from qwennb.answer import markup
from qwennb.errors import QwenWarning
from qwennb.notebook.widgets import review_measures as measures
from qwennb.notebook.widgets import review_picture
from qwennb.notebook.widgets.panel import Panel, intent
from qwennb.notebook.widgets.review_export import export_rows
from qwennb.notebook.widgets.review_rows import LOW, NO_ANSWER, ReviewRows, Row, choose_rows, truth_of
from qwennb.truth import Kappa
from qwennb.tuning import FORMS, Form, Label, Labels, Verdict, agreement

LONG = 100_000  # characters of a source that are shown


class Review(Panel):
    """Look over the answers of a column, one row at a time, and say which are right.

    What you say goes into a file of labels as you say it, so that nothing is lost and others can add to it.

    Parameters
    ----------
    frame : DataFrame
        Of polars or pandas, with the answers.
    answer : str
        The column of answers.
    source : str or list of str, optional
        What they are about: the columns to show beside them. A column of bytes is shown as pictures.
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
    hide_answer : bool, optional
        Say what is true without seeing what the model said; so it is for rows that `df.qwen.draw` drew.
    name : str, optional
        Who this panel is, where the same cell is run again; else its cell.

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

    kind, title = "review", "Review"
    setup = traitlets.Dict().tag(sync=True)
    chosen = traitlets.Dict().tag(sync=True)
    row = traitlets.Dict().tag(sync=True)
    tally = traitlets.Dict().tag(sync=True)
    turn = traitlets.Int().tag(sync=True)

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
        hide_answer: bool | None = None,
        name: str | None = None,
    ) -> None:
        self._rows = ReviewRows(
            frame, answer=answer, source=source, other=other, confidence=confidence, hide_answer=hide_answer
        )
        self._questions, self._system = self._rows.questions(prompt), system
        self._labels = Labels(labels, by)
        self._colleague = Labels(colleague) if colleague is not None else None
        self._drawn: tuple[measures.Confusion | None, bytes | None] = (None, None)
        self._which, self._low, self._turn = self._ways[0], LOW, 0
        self._shown = self._rows.all
        given = self._labels.labels_by()
        self._at = next((at for at, row in enumerate(self._shown) if row.name not in given), 0)
        self.file = self._labels.path.absolute()
        super().__init__(name=name)
        if self.former is not None and self.former.chosen and self.former.file == self.file:
            self.choose(self.former.chosen["which"], self.former.chosen["below"])
            seen = self.former.row.get("name")
            self._at = next((at for at, row in enumerate(self._shown) if row.name == seen), 0)

    # ------------------------------------------------------------------ what can be done

    @intent
    def press(self, letter: str, turn: int = 0) -> None:
        """Do what *letter* means. The page sends the next one when it gets *turn* back."""
        self._turn = turn
        if letter in ("r", "w"):
            self._judge("right" if letter == "r" else "wrong")
        elif letter == "u":
            self._undo()
        elif letter in ("n", "p"):
            self._at = min(max(self._at + (1 if letter == "n" else -1), 0), max(len(self._shown) - 1, 0))
        elif letter.isdecimal() and 0 < int(letter) <= len(self._rows.choices):
            self._tell(self._rows.choices[int(letter) - 1])

    @intent
    def fix(self, text: str, turn: int = 0) -> None:
        """Keep *text* as the answer as it should be."""
        self._turn = turn
        if not text.strip():
            self.say("The correction is empty. Write the right answer, or leave it as it is.")
        elif self._rows.is_hidden:
            self._tell(text.strip())
        elif (row := self._row) is not None and text == row.answer:
            self.say("That is the answer as it was. Label it right, or change it.")
        else:
            self._give("fixed", text)

    @intent
    def choose(self, which: str, below: float = LOW) -> None:
        """Show the rows that *which* means."""
        if which in self._ways:
            self._which, self._low = which, below
            given, others = self._labels.labels_by(), list(self._others().values())
            self._shown, self._at = choose_rows(self._rows.all, which, given, others, below), 0
            self.say("" if self._shown else "No such row.")

    @intent
    def picture(self) -> None:
        """Draw the confusion matrix into the record."""
        if self._is_blind or self.confusion is None:
            self.say(
                "There is no confusion matrix: nothing is labelled yet, or the answers are texts and no classes."
            )
            return
        self._drawn = (self.confusion, review_picture.picture(self.confusion))
        self.say("The picture is in the record, which a reader of the notebook sees in place of this panel.")

    @intent
    def write(self, path: str, form: str, right: bool = False) -> None:
        """Write the examples, and say what was left out."""
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            written = self.export(path, form, right=right)  # type: ignore[arg-type]
        left_out = [str(one.message) for one in told if issubclass(one.category, QwenWarning)]
        self.say(" ".join([f"Written: {', '.join(map(str, written))}.", *left_out]))

    # ------------------------------------------------------------------ what the labels amount to

    @property
    def accuracy(self) -> measures.Accuracy | None:
        """The share of right answers among the labelled, with its interval; None before the first label."""
        labelled = self._labelled_rows()
        return measures.accuracy(sum(label.verdict == "right" for _, label in labelled), len(labelled))

    @property
    def confusion(self) -> measures.Confusion | None:
        """What was answered where what is true; None where the answers are no classes."""
        if not self._rows.choices:
            return None
        pairs = [
            (row.answer if row.is_answered else NO_ANSWER, truth_of(row, label))
            for row, label in self._labelled_rows()
        ]
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
        colleagues = [self._colleague] if self._colleague else []
        return export_rows(
            path, form, self._rows, self._labels, colleagues, self._questions, self._system,
            right=right, valid=valid, seed=seed, environ=environ,
        )  # fmt: skip

    def summary(self) -> list[str]:
        """How far one is, and what came out, in sentences."""
        lines = [f"{len(self._labelled_rows()):,} of {len(self._rows.all):,} rows labelled."]
        if self._rows.missing:
            lines.append(f"{self._rows.missing:,} rows without an answer are left out.")
        if self._is_blind:
            lines.append("How good the answers are is told when all rows are labelled.")
        else:
            lines += [f"{share}." for share in [self.accuracy] if share is not None]
            lines += [f"With {name}: {found}." for name, found in self.agreement.items()]
        if self._labels.damaged:
            lines.append(
                f"{self._labels.damaged:,} lines of {self._labels.path.name} can't be read and are passed over."
            )
        return lines

    # ------------------------------------------------------------------ inside

    @property
    def _row(self) -> Row | None:
        return self._shown[self._at] if self._at < len(self._shown) else None

    @property
    def _is_blind(self) -> bool:
        """Whether nothing that the model said may be seen yet."""
        given = self._labels.labels_by()
        return self._rows.is_hidden and any(row.name not in given for row in self._rows.all)

    @property
    def _ways(self) -> list[str]:
        """Which rows can be asked for; where answers are hidden, none that would tell them."""
        ways = ["all rows", "not labelled"]
        if not self._rows.is_hidden:
            ways += ["right", "wrong", "fixed"]
            ways += ["answers differ"] if self._rows.other else []
        ways += ["low confidence"] if self._rows.confidence else []
        ways += ["reviewers differ"] if not self._rows.is_hidden and self._others() else []
        return ways

    def _judge(self, verdict: Verdict) -> None:
        if self._rows.is_hidden:
            self.say("The answer is hidden. Say what is true: press its number, or f to write it.")
        else:
            self._give(verdict)

    def _tell(self, truth: str) -> None:
        """Label the row by what is true: right where that was the answer, else fixed."""
        row = self._row
        is_right = row is not None and row.is_answered and row.answer.strip() == truth
        self._give("right") if is_right else self._give("fixed", truth)

    def _give(self, verdict: Verdict, fix: str | None = None) -> None:
        """Label the row that is shown, and go on to the next that has none."""
        row = self._row
        if row is None:
            self.say("There is no row to label here.")
            return
        self._labels.give(row.name, verdict, fix)
        how = f"{fix or row.answer}" if self._rows.is_hidden else verdict
        given = self._labels.labels_by()
        rest = range(self._at + 1, len(self._shown))
        later = next((at for at in rest if self._shown[at].name not in given), None)
        self._at = self._at if later is None else later
        end = " No row without a label follows here." if later is None else ""
        self.say(f"Row {row.number + 1} is labelled {how}.{end}")

    def _undo(self) -> None:
        """Take the last label back, and show its row."""
        name = self._labels.undo()
        at = next((at for at, row in enumerate(self._shown) if row.name == name), None)
        if name is None:
            self.say("There is nothing to undo.")
        elif at is None:
            self.say("The last label is taken back; its row is not among those shown.")
        else:
            self._at = at
            self.say(f"The label of row {self._shown[at].number + 1} is taken back.")

    def _labelled_rows(self) -> list[tuple[Row, Label]]:
        given = self._labels.labels_by()
        return [(row, label) for row in self._rows.all if (label := given.get(row.name)) is not None]

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

    # ------------------------------------------------------------------ what is seen

    def draw(self) -> None:
        """Write the row and what the labels amount to into the traits, and keep the record."""
        labels, is_blind = self._labels, self._is_blind
        self.setup = {
            "by": labels.by, "file": labels.path.name, "hidden": self._rows.is_hidden,
            "choices": self._rows.choices, "typed": bool(self._rows.classes), "forms": list(FORMS),
        }  # fmt: skip
        self.chosen = {"ways": self._ways, "which": self._which, "below": self._low}
        self.row = self._show_row(is_blind)
        share, found = (None, None) if is_blind else (self.accuracy, self.confusion)
        lines = self.summary()
        self.tally = {
            "done": len(self._labelled_rows()), "rows": len(self._rows.all), "said": lines[0], "lines": lines[1:],
            "share": None if share is None else [share.share, share.low, share.high],
            "confusion": None if found is None else asdict(found),
        }  # fmt: skip
        self.turn = self._turn
        self.keep(*self._record_of(lines, found))

    def _show_row(self, is_blind: bool) -> dict[str, Any]:
        row = self._row
        if row is None:
            return {}
        label, pictures = self._labels.labels_by().get(row.name), self._rows.pictures(row)
        shown: dict[str, Any] = {
            "name": row.name, "number": row.number + 1, "at": self._at + 1, "of": len(self._shown),
            "verdict": label.verdict if label else None, "fix": label.fix if label else None,
            "source": [[name, _cut(text), pictures.get(name)] for name, text in row.parts],
        }  # fmt: skip
        if is_blind:  # what was said to be true, and no word of what the model said
            return shown | {"verdict": label and "given", "fix": truth_of(row, label)}
        said = row.answer if row.is_answered else NO_ANSWER
        return shown | {"answer": said, "other": row.other, "confidence": row.confidence}

    def _record_of(self, lines: list[str], found: measures.Confusion | None) -> tuple[str, str]:
        """The record as Markdown and as plain text."""
        parts = ["**Review**", *(markup.literal(line) for line in lines)]
        if found is not None:
            picture = self._drawn[1] if self._drawn[0] == found else None
            parts.append(review_picture.describe(found, picture) if picture else review_picture.table(found))
        plain = ["Review", *lines, *([found.describe()] if found else [])]
        return "\n\n".join(parts), markup.plain("\n".join(plain))


def _cut(text: str) -> str:
    return text if len(text) <= LONG else f"{text[:LONG]}\n… {len(text) - LONG:,} more characters"
