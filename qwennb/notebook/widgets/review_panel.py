"""The widget of a review: one row at a time, by mouse or by keyboard.

The field "label" takes a letter at a time and acts at once, so r r w u needs no other key. Core ipywidgets have no
shortcuts; a text field that is read with every key is what comes closest. `f` goes to the correction, and its button
back to the letters.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from qwennb.errors import QwenError, QwenWarning
from qwennb.notebook.widgets.read_only import ReadOnlyText, StatusLabel, receive_in_order
from qwennb.notebook.widgets.review_rows import LOW, ReviewRows, Row, choose_rows
from qwennb.tuning import FORMS, Label, Labels, Verdict

if TYPE_CHECKING:
    from qwennb.notebook.widgets.review import Review

HELP = "r right, w wrong, f fix, u undo, n next, p previous"
ALL = "all rows"


class ReviewPanel:
    """The widget."""

    def __init__(
        self,
        review: Review,
        rows: ReviewRows,
        labels: Labels,
        others: Callable[[], Mapping[str, Mapping[str, Label]]],
    ) -> None:
        self._review, self._rows, self._labels, self._others = review, rows, labels, others
        self._keep: Callable[..., None] = lambda **how: None
        self._read = ""
        self._fixing = False
        ways = [ALL, "not labelled", "right", "wrong", "fixed"]
        ways += ["answers differ"] if rows.other else []
        ways += ["low confidence"] if rows.confidence else []
        ways += ["reviewers differ"] if others() else []
        wide = widgets.Layout(width="auto")
        self._which = widgets.Dropdown(
            options=ways,
            value=ALL,
            description="show",
            style={"description_width": "3.5em"},
            layout=widgets.Layout(width="18em"),
        )
        self._low = widgets.FloatText(
            value=LOW, step=0.05, description="below", layout=widgets.Layout(width="11em", display="none")
        )
        self._where, self._status = StatusLabel(), StatusLabel()
        self._source = ReadOnlyText("source", rows=7)
        self._answer = ReadOnlyText("answer", rows=7)
        self._other = ReadOnlyText("other answer", rows=3)
        self._letters = widgets.Text(
            description="label",
            placeholder="r w f u n p",
            continuous_update=True,
            style={"description_width": "3.5em"},
            layout=widgets.Layout(width="14em"),
        )
        buttons = [
            self._button("Right (r)", "This answer is right", lambda: self.label("right")),
            self._button("Wrong (w)", "This answer is wrong", lambda: self.label("wrong")),
            self._button("Fix (f)", "Write the answer as it should be", self.fix),
            self._button("Undo (u)", "Take the last label back", self.undo),
            self._button("Previous (p)", "The row before", lambda: self.go(-1)),
            self._button("Next (n)", "The next row", lambda: self.go(1)),
        ]
        # Read when it is left: were it read with every key, Enter on the button could come before the last letters.
        if rows.classes:
            self._fix: Any = widgets.Combobox(
                options=rows.classes,
                description="correction",
                ensure_option=False,
                continuous_update=False,
                layout=widgets.Layout(width="30em"),
            )
        else:
            self._fix = widgets.Textarea(
                description="correction", rows=5, continuous_update=False, layout=widgets.Layout(width="98%")
            )
        self._save = self._button("Save correction", "Keep this as the right answer", self.save_fix)
        self._leave = self._button("Leave as it is", "Go on without a correction", self.leave_fix)
        self._fixes = widgets.VBox(
            [self._fix, widgets.HBox([self._save, self._leave])], layout=widgets.Layout(display="none")
        )
        self._form = widgets.Dropdown(
            options=list(FORMS),
            description="for",
            style={"description_width": "2em"},
            layout=widgets.Layout(width="13em"),
        )
        self._path = widgets.Text(
            value="corrected.jsonl",
            description="file",
            continuous_update=False,
            style={"description_width": "2.5em"},
            layout=widgets.Layout(width="18em"),
        )
        self._too = widgets.Checkbox(description="right rows too", indent=False, layout=wide)
        self._reached = StatusLabel()
        wrapped = widgets.Layout(flex_flow="row wrap", align_items="center")
        half = widgets.Layout(flex="1 1 24em", min_width="20em")
        texts = [self._answer, *([self._other] if rows.other else [])]
        self.box = widgets.VBox(
            [
                widgets.HBox([self._which, self._low, self._where], layout=wrapped),
                widgets.HBox([widgets.VBox([self._source], layout=half), widgets.VBox(texts, layout=half)], layout=wrapped),
                widgets.HBox([self._letters, *buttons], layout=wrapped),
                self._fixes,
                self._status,
                self._reached,
                widgets.HBox(
                    [
                        self._button("Draw confusion matrix", "As a picture, below", self.draw),
                        self._form, self._path, self._too,
                        self._button("Export", "Write the corrected rows for fine-tuning", self.export),
                    ],
                    layout=wrapped,
                ),
            ]
        )  # fmt: skip
        receive_in_order(self.box)
        self._shown = self._filter_rows()
        self._at = next((at for at, row in enumerate(self._shown) if row.name not in labels.labels_by()), 0)
        self._show()
        self._status.say(f"By mouse, or letter by letter in the field: {HELP}.")
        self._letters.observe(self._on_typing, "value")
        self._which.observe(lambda change: self._choose(), "value")
        self._low.observe(lambda change: self._choose(), "value")

    def keep_record(self, keep: Callable[..., None]) -> None:
        """Have *keep* write the record, now and after every label."""
        self._keep = keep
        keep()

    # ------------------------------------------------------------------ what can be done

    def label(self, verdict: Verdict, fix: str | None = None) -> None:
        """Label the row that is shown, and go on to the next that has none."""
        row = self._row
        if row is None:
            self._status.say("There is no row to label here.")
            return
        try:
            self._labels.give(row.name, verdict, fix)
        except QwenError as error:
            self._status.say(str(error))
            return
        self._end_fix()
        self._status.say(f"Row {row.number + 1} is labelled {verdict}.")
        given = self._labels.labels_by()
        later = [at for at in range(self._at + 1, len(self._shown)) if self._shown[at].name not in given]
        if later:
            self._at = later[0]
        else:
            self._status.say(
                f"Row {row.number + 1} is labelled {verdict}. No row without a label follows here."
            )
        self._show()
        self._keep()

    def fix(self) -> None:
        """Begin a correction of the row that is shown."""
        row = self._row
        if row is None:
            return
        self._fixing = True
        known = self._labels.labels_by().get(row.name)
        self._fix.value = "" if self._rows.classes else (known.fix if known and known.fix else row.answer)
        self._fixes.layout.display = None
        self._status.say("Write the answer as it should be; Tab and Enter save it.")
        self._fix.focus()

    def save_fix(self) -> None:
        """Keep the correction."""
        row, written = self._row, self._fix.value
        if row is None or not self._fixing:
            return
        if not written.strip():
            self._status.say("The correction is empty. Write the right answer, or leave it as it is.")
        elif written == row.answer:
            self._status.say("That is the answer as it was. Label it right, or change it.")
        else:
            self.label("fixed", written)
            self._letters.focus()

    def leave_fix(self) -> None:
        """Give the correction up."""
        self._end_fix()
        self._status.say("Nothing is changed.")
        self._letters.focus()

    def undo(self) -> None:
        """Take the last label back, and show its row."""
        self._end_fix()
        try:
            name = self._labels.undo()
        except QwenError as error:
            self._status.say(str(error))
            return
        if name is None:
            self._status.say("There is nothing to undo.")
            return
        at = next((at for at, row in enumerate(self._shown) if row.name == name), None)
        if at is None:
            self._status.say("The last label is taken back; its row is not among those shown.")
        else:
            self._at = at
            self._status.say(f"The label of row {self._shown[at].number + 1} is taken back.")
        self._show()
        self._keep()

    def go(self, step: int) -> None:
        """Show the row that is *step* further on."""
        self._end_fix()
        self._at = min(max(self._at + step, 0), max(len(self._shown) - 1, 0))
        self._show()

    def draw(self) -> None:
        """Draw the confusion matrix into the record."""
        if self._review.confusion is None:
            self._status.say(
                "There is no confusion matrix: nothing is labelled yet, or the answers are texts and no classes."
            )
            return
        self._keep(drawn=True)
        self._status.say("The confusion matrix is drawn below.")

    def export(self) -> None:
        """Write the examples, and say what was left out."""
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            try:
                written = self._review.export(self._path.value, self._form.value, right=self._too.value)
            except QwenError as error:
                self._status.say(str(error))
                return
        left_out = [str(one.message) for one in told if issubclass(one.category, QwenWarning)]
        self._status.say(" ".join([f"Written: {', '.join(map(str, written))}.", *left_out]))

    # ------------------------------------------------------------------ inside

    @property
    def _row(self) -> Row | None:
        return self._shown[self._at] if self._at < len(self._shown) else None

    def _on_typing(self, change: Any) -> None:
        """Act on each new letter. The field is left as it is: emptying it would race with who goes on typing."""
        old, new = self._read, change["new"]
        self._read = new
        if self._fixing or len(new) <= len(old):
            return
        same = next((at for at, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), len(old))
        for letter in new[same:]:
            if not self._act(letter.lower()):
                return

    def _act(self, letter: str) -> bool:
        """Do what *letter* means; False where the letters after it are for the correction."""
        acts: dict[str, Callable[[], None]] = {
            "r": lambda: self.label("right"),
            "w": lambda: self.label("wrong"),
            "f": self.fix,
            "u": self.undo,
            "n": lambda: self.go(1),
            "p": lambda: self.go(-1),
        }
        if (act := acts.get(letter)) is not None:
            act()
        elif letter.strip():
            self._status.say(f"That letter means nothing here: {HELP}.")
        return not self._fixing

    def _button(self, description: str, tooltip: str, act: Callable[[], None]) -> widgets.Button:
        button = widgets.Button(description=description, tooltip=tooltip, layout=widgets.Layout(width="auto"))
        button.on_click(lambda _: act())
        return button

    def _end_fix(self) -> None:
        self._fixing = False
        self._fixes.layout.display = "none"

    def _filter_rows(self) -> list[Row]:
        others = list(self._others().values())
        return choose_rows(
            self._rows.all, self._which.value, self._labels.labels_by(), others, self._low.value
        )

    def _choose(self) -> None:
        self._end_fix()
        self._low.layout.display = None if self._which.value == "low confidence" else "none"
        self._shown, self._at = self._filter_rows(), 0
        self._show()

    def _show(self) -> None:
        row = self._row
        self._reached.say(" ".join(self._review.summary()))
        if row is None:
            self._where.say("No such row.")
            for shown in (self._source, self._answer, self._other):
                shown.show("")
            return
        label = self._labels.labels_by().get(row.name)
        state = "not labelled" if label is None else f"labelled {label.verdict}"
        sure = "" if row.confidence is None else f", confidence {row.confidence:.2f}"
        self._where.say(f"{self._at + 1} of {len(self._shown)}: row {row.number + 1}, {state}{sure}")
        self._source.show(row.source)
        self._answer.show(
            row.answer if label is None or label.fix is None else f"{row.answer}\n\n[corrected]\n{label.fix}"
        )
        self._other.show(row.other or "")
