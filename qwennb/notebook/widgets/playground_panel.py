"""The widget of a playground: prompt, inputs and settings above, the grid of answers below, and what can be copied."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ipywidgets as widgets

from qwennb.answer import Answer
from qwennb.client import Options, Qwen
from qwennb.endpoints import write_export
from qwennb.errors import BadInput, QwenError
from qwennb.notebook.widgets import playground_record as record
from qwennb.notebook.widgets.playground_copies import as_cell, as_column
from qwennb.notebook.widgets.playground_inputs import Inputs
from qwennb.notebook.widgets.playground_run import STOPPED, PlaygroundRun, VariantOutcome, VariantQuestion
from qwennb.notebook.widgets.playground_variant import VariantPanel, check_options
from qwennb.notebook.widgets.read_only import ReadOnlyText, StatusLabel, receive_in_order
from qwennb.notebook.widgets.static import close
from qwennb.request import Request

MOST_ROWS = 20
_ESCAPED = '{{ "{{" }}'


class PlaygroundPanel:
    """The widget."""

    def __init__(
        self,
        prompt: str,
        inputs: Inputs,
        rows: int,
        given: Sequence[tuple[Qwen | None, dict[str, Any]]],
        client: Qwen,
    ) -> None:
        self._inputs = inputs
        self._keep: Callable[[str, str], None] = lambda markdown, plain: None
        self._lock = threading.Lock()
        self._run: PlaygroundRun | None = None
        self._asked: tuple[str, list[str], list[dict[str, Any]]] = ("", [], [])
        self._outcomes: dict[tuple[int, int], VariantOutcome] = {}
        self._cells: dict[tuple[int, int], tuple[ReadOnlyText, StatusLabel]] = {}
        self._totals: list[StatusLabel] = []

        self._prompt = widgets.Textarea(
            value=prompt, description="prompt", rows=4, continuous_update=False,
            placeholder="{{ name }} puts an input in", layout=widgets.Layout(width="98%"),
        )  # fmt: skip
        self._typed = widgets.Textarea(
            description="inputs", rows=3, continuous_update=False, layout=widgets.Layout(width="98%"),
            placeholder='one a line; for a prompt with several names, JSON objects: {"name": "…"}',
        )  # fmt: skip
        most = min(MOST_ROWS, inputs.count) if not inputs.typed else MOST_ROWS
        self._rows = widgets.BoundedIntText(
            value=min(rows, most),
            min=1,
            max=max(most, 1),
            description="rows",
            layout=widgets.Layout(width="11em"),
        )
        self._start = widgets.Button(
            description="Run", tooltip="Ask every cell of the grid", button_style="primary"
        )
        self._stop = widgets.Button(
            description="Stop", tooltip="Stop; what has answered stays", disabled=True
        )
        self._add = widgets.Button(
            description="Add settings", tooltip="Compare with another model or other settings"
        )
        self._status = StatusLabel("Nothing is asked before you press Run.")
        self._variants = widgets.HBox([], layout=widgets.Layout(flex_flow="row wrap"))
        self._grid = widgets.VBox([])
        self._copied = ReadOnlyText("copy", rows=6)
        self._copied.layout.display = "none"
        self._which = widgets.Dropdown(
            description="cell", options=["A1"], layout=widgets.Layout(width="11em")
        )
        copies = [
            self._copier("Copy as %%qwen", "A cell that asks this", self._cell),
            self._copier("Copy as column call", "A call that asks this of the whole frame", self._column),
            self._copier(
                "Copy as curl", "A command that asks this; your key is named, not shown", self._curl
            ),
        ]
        self.panels = [
            VariantPanel(
                record.LETTERS[place], own or client, {**_defaults(own or client), **options},
                changed=self._on_change, remove=self._without,
            )
            for place, (own, options) in enumerate(given)
        ]  # fmt: skip
        wrapped = widgets.Layout(flex_flow="row wrap", align_items="center")
        self.box = widgets.VBox(
            [
                self._prompt,
                *([self._typed] if inputs.typed else []),
                self._variants,
                widgets.HBox([self._start, self._stop, self._rows, self._add], layout=wrapped),
                self._status,
                self._grid,
                widgets.HBox([self._which, *copies], layout=wrapped),
                self._copied,
            ]
        )
        self._arrange()
        self._start.on_click(lambda button: self.start())
        self._stop.on_click(lambda button: self.stop())
        self._add.on_click(self._with_one_more)
        for field in (self._prompt, self._typed, self._rows):
            field.observe(lambda change: self._on_change(), "value")

    # ------------------------------------------------------------------ asking

    def start(self) -> None:
        """Ask every cell."""
        with self._lock:
            if self._run is not None:
                return
            try:
                errands = self._errands()
            except QwenError as error:
                self._status.say(str(error))
                return
            self._lay_out()
            for place in self._unaskable(errands):
                self._show_outcome(place, VariantOutcome(problem="not asked: a value is missing"))
            self._run = PlaygroundRun(errands, self._on_outcome, self._on_end)
        self._start.disabled, self._stop.disabled = True, False
        self._status.say(f"Asking: 0 of {len(errands)} done.")
        self._run.start()

    def stop(self) -> None:
        """End the run, if there is one; what has answered stays."""
        with self._lock:
            run = self._run
        if run is not None:
            run.stop()

    def answers(self) -> dict[str, Answer]:
        """The answers so far, by cell."""
        return {
            _name(row, variant): outcome.answer
            for (row, variant), outcome in sorted(self._outcomes.items())
            if outcome.answer is not None
        }

    def keep_record(self, keep: Callable[[str, str], None]) -> None:
        """Give the record to *keep*, now and whenever it changes."""
        self._keep = keep
        self._record()

    def _errands(self) -> list[VariantQuestion]:
        prompt = self._prompt.value
        questions = self._inputs.questions(prompt, self._rows.value, self._typed.value)
        settings = [panel.options() for panel in self.panels]
        errands = [
            VariantQuestion(
                row, variant, panel.client, self._request(panel, question, options), Options(**options)
            )
            for row, question in enumerate(questions)
            if question is not None
            for variant, (panel, options) in enumerate(zip(self.panels, settings, strict=True))
        ]
        self._asked = (prompt, [question or "" for question in questions], settings)
        self._outcomes = {}
        return errands

    def _request(self, panel: VariantPanel, question: str, options: Mapping[str, Any]) -> Request:
        return panel.client.session.build_request(question.replace("{{", _ESCAPED), {}, Options(**options))

    def _unaskable(self, errands: Sequence[VariantQuestion]) -> list[tuple[int, int]]:
        asked = {(errand.row, errand.variant) for errand in errands}
        return [place for place in self._cells if place not in asked]

    def _on_outcome(self, errand: VariantQuestion, outcome: VariantOutcome) -> None:
        self._show_outcome((errand.row, errand.variant), outcome)

    def _show_outcome(self, place: tuple[int, int], outcome: VariantOutcome) -> None:
        self._outcomes[place] = outcome
        shown, figures = self._cells[place]
        shown.show(outcome.text)
        figures.say(record.figures(outcome))
        rows = len(self._asked[1])
        of_this = [found for (_, variant), found in self._outcomes.items() if variant == place[1]]
        letter = record.LETTERS[place[1]]
        self._totals[place[1]].say(f"{letter} together: {record.total(of_this, rows, timed=True)}")
        self._status.say(f"Asking: {len(self._outcomes)} of {len(self._cells)} done.")

    def _on_end(self) -> None:
        with self._lock:
            self._run = None
        answered = sum(outcome.answer is not None for outcome in self._outcomes.values())
        stopped = any(outcome.problem == STOPPED for outcome in self._outcomes.values())
        same = record.agreement(self._outcomes, len(self._asked[1]), len(self._asked[2]))
        said = "Stopped" if stopped else "Done"
        self._status.say(f"{said}: {answered} of {len(self._cells)} answered. {same}")
        self._start.disabled, self._stop.disabled = False, True
        self._record()

    def _record(self) -> None:
        prompt, questions, settings = self._asked
        if not self._outcomes:
            prompt, questions, settings = self._prompt.value, [], [panel.options() for panel in self.panels]
        self._keep(
            record.markdown(prompt, questions, settings, self._outcomes),
            record.plain(prompt, questions, settings, self._outcomes),
        )

    # ------------------------------------------------------------------ the grid

    def _lay_out(self) -> None:
        """An empty grid for what is about to be asked."""
        for old in self._grid.children:
            close(old)
        _, questions, settings = self._asked
        self._cells = {}
        lines: list[widgets.Widget] = []
        for row, question in enumerate(questions):
            lines.append(ReadOnlyText(f"input {row + 1}", rows=2, text=question))
            columns = []
            for variant in range(len(settings)):
                cell = (ReadOnlyText(_name(row, variant), rows=4, text="…"), StatusLabel())
                self._cells[row, variant] = cell
                columns.append(widgets.VBox(cell, layout=widgets.Layout(flex="1 1 20em", min_width="16em")))
            lines.append(widgets.HBox(columns, layout=widgets.Layout(flex_flow="row wrap")))
        self._totals = [StatusLabel() for _ in settings]
        self._grid.children = (*lines, *self._totals)

    def _arrange(self) -> None:
        """Have letters and boxes fit the variants there are."""
        for place, panel in enumerate(self.panels):
            panel.set_letter(record.LETTERS[place], alone=len(self.panels) == 1)
        self._variants.children = tuple(panel.box for panel in self.panels)
        receive_in_order(self.box)
        self._add.disabled = len(self.panels) == len(record.LETTERS)
        self._on_change()

    def _with_one_more(self, button: widgets.Button) -> None:
        last = self.panels[-1]
        self.panels.append(
            VariantPanel(
                record.LETTERS[len(self.panels)], last.client, last.options(),
                changed=self._on_change, remove=self._without,
            )
        )  # fmt: skip
        self._arrange()

    def _without(self, panel: VariantPanel) -> None:
        if len(self.panels) > 1:
            self.panels.remove(panel)
            self._arrange()
            close(panel.box)

    def _on_change(self) -> None:
        """What may be copied has changed."""
        cells = [
            _name(row, variant) for row in range(self._rows.value) for variant in range(len(self.panels))
        ]
        if list(self._which.options) != cells:
            chosen = self._which.value
            self._which.options = cells
            self._which.value = chosen if chosen in cells else cells[0]
        self._copied.layout.display = "none"
        if not self._outcomes:
            self._record()

    # ------------------------------------------------------------------ copying

    def _copier(self, description: str, tooltip: str, made: Callable[[], str]) -> widgets.Button:
        button = widgets.Button(description=description, tooltip=tooltip, layout=widgets.Layout(width="auto"))

        def copy(_: widgets.Button) -> None:
            try:
                text = made()
            except QwenError as error:
                self._status.say(str(error))
                return
            self._copied.show(text)
            self._copied.layout.display = None
            self._copied.focus()
            self._status.say("Ctrl+A and Ctrl+C copy it.")

        button.on_click(copy)
        return button

    def _chosen_variant(self) -> tuple[VariantPanel, str, dict[str, Any]]:
        name = self._which.value
        panel = self.panels[record.LETTERS.index(name[0])]
        questions = self._inputs.questions(self._prompt.value, self._rows.value, self._typed.value)
        row = int(name[1:]) - 1
        question = questions[row] if row < len(questions) else None
        if question is None:
            raise BadInput(f"Cell {name} asks nothing: there is no such input, or a value of it is missing.")
        return panel, question, panel.options()

    def _cell(self) -> str:
        panel, question, options = self._chosen_variant()
        return as_cell(question, _with_endpoint(panel.client, options))

    def _column(self) -> str:
        panel, _, options = self._chosen_variant()
        prompt, typed = self._prompt.value, self._typed.value
        frame, pandas = self._inputs.expression(prompt, typed, _names())
        return as_column(prompt, _with_endpoint(panel.client, options), frame, pandas=pandas)

    def _curl(self) -> str:
        panel, question, options = self._chosen_variant()
        request = self._request(panel, question, options)
        return write_export([(request, panel.client.endpoint)], "curl")


def _name(row: int, variant: int) -> str:
    return f"{record.LETTERS[variant]}{row + 1}"


def _defaults(client: Qwen) -> dict[str, Any]:
    """What the client sends with every question; here it is seen, and can be changed."""
    defaults = client.session.defaults
    return check_options({name: getattr(defaults, name) for name in Options.__dataclass_fields__})


def _with_endpoint(client: Qwen, options: Mapping[str, Any]) -> dict[str, Any]:
    endpoint = (
        {"endpoint": client.session.config.endpoint} if client.session.config.endpoint is not None else {}
    )
    return {"model": options["model"], **endpoint, **options}


def _names() -> dict[str, Any]:
    from IPython import get_ipython

    shell: Any = get_ipython()
    return {} if shell is None else dict(shell.user_ns)
