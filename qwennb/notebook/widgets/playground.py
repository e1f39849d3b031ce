"""The playground: one prompt, a few inputs, several models or settings side by side.

    prompt, inputs, settings → the questions of a grid → answers, tokens, cost and time in each cell

What is asked is what a column would ask of the same rows: the same texts, the same keys, the same cache. A run goes on
beside the notebook and can be stopped.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from functools import lru_cache
from typing import Any

import traitlets

from qwennb.answer import Answer
from qwennb.client import Options, Qwen
from qwennb.endpoints import write_export
from qwennb.errors import BadInput
from qwennb.frames import default_client
from qwennb.notebook.in_marimo import is_watched
from qwennb.notebook.widgets import playground_record as record
from qwennb.notebook.widgets.panel import Panel, intent
from qwennb.notebook.widgets.playground_copies import as_cell, as_column
from qwennb.notebook.widgets.playground_inputs import Inputs
from qwennb.notebook.widgets.playground_run import STOPPED, PlaygroundRun, VariantOutcome, VariantQuestion
from qwennb.notebook.widgets.playground_variants import Variant, check_options
from qwennb.request import Request, Template

MOST_ROWS = 20
MOST_PIECES = 4_000  # words and gaps of a text that is compared word by word: a tenth of a second
ALIKE = 0.3  # of the words; where fewer are the same, marks would stand on nearly all of them
_ESCAPED = '{{ "{{" }}'
_NOT_ASKED = VariantOutcome(problem="not asked: a value is missing")


class Playground(Panel):
    """Try a prompt on a few inputs, with several models or settings side by side.

    Parameters
    ----------
    prompt : str
        A template over the inputs.
    inputs : DataFrame or list, optional
        A frame of polars or pandas, texts (`{{ input }}`), or dicts; without it they are typed.
    client : Qwen, optional
        Who asks; the notebook's default without it.
    variants : sequence of dict
        The options of each, with a `client` where one asks elsewhere than the others.
    rows : int
        How many inputs are shown.
    name : str, optional
        Who it is: made again under its name in this kernel it is as it was left. The cell's own without it.

    Attributes
    ----------
    answers : dict of str to Answer
        The answers so far, by cell: "A1" is what the first settings gave for the first input.

    Raises
    ------
    BadInput
        If there are too many variants or rows, or an option is none.

    Examples
    --------
    >>> from qwennb import widgets
    >>> df = pl.DataFrame({"review": ["The soup was cold."]})
    >>> playground = widgets.Playground(
    ...     "Praise or complaint? {{ review }}", df, variants=[{}, {"temperature": 0}]
    ... )
    """

    kind, title = "playground", "Playground"
    prompt = traitlets.Unicode().tag(sync=True)
    typed = traitlets.Unicode(None, allow_none=True).tag(sync=True)  # None where inputs were given
    rows = traitlets.Int(3).tag(sync=True)
    most = traitlets.Int(MOST_ROWS).tag(sync=True)
    variants: Any = traitlets.List().tag(sync=True)
    grid = traitlets.Dict().tag(sync=True)
    status = traitlets.Unicode("Nothing is asked before you press Run.").tag(sync=True)
    running = traitlets.Bool(default_value=False).tag(sync=True)
    copied = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        prompt: str = "",
        inputs: Any = None,
        *,
        client: Qwen | None = None,
        variants: Sequence[Mapping[str, Any]] = ({},),
        rows: int = 3,
        name: str | None = None,
    ) -> None:
        if not 1 <= len(variants) <= len(record.LETTERS):
            raise BadInput(
                f"variants= takes 1 to {len(record.LETTERS)} dicts of options, not {len(variants)}."
            )
        if not 1 <= rows <= MOST_ROWS:
            raise BadInput(f"rows={rows} must be from 1 to {MOST_ROWS}. For more, copy as column call.")
        self._inputs = Inputs(inputs)
        self._client, self._is_watched = client, is_watched()
        self._given = [_given(variant, client) for variant in variants]
        self._code = (prompt, rows, [repr(options) for _, options in self._given])
        self._made: list[Variant] = []
        self._asking: PlaygroundRun | None = None
        self._asked: tuple[str, list[str], list[dict[str, Any]]] = ("", [], [])
        self._outcomes: dict[tuple[int, int], VariantOutcome] = {}
        super().__init__(name=name)
        self.most = MOST_ROWS if self._inputs.typed else max(1, min(MOST_ROWS, self._inputs.count))
        self.prompt, self.rows = prompt, min(rows, self.most)
        self.typed = "" if self._inputs.typed else None
        if self.former is not None and self.former._code == self._code:
            self._take_over(self.former)

    def _take_over(self, former: Playground) -> None:
        """Be as the playground was that the same code had made."""
        self.prompt, self.typed, self.rows = former.prompt, former.typed, min(former.rows, self.most)
        self._asked, self._outcomes = former._asked, former._outcomes
        renewed = dict(zip(map(id, former._clients()), self._clients(), strict=True))
        self._made = [Variant(renewed[id(one.client)], one.options()) for one in former._variants()]
        self.status = former.status

    @property
    def answers(self) -> dict[str, Answer]:
        """The answers so far, by cell: "A1" is what the first settings gave for the first input."""
        return {
            _name(row, variant): outcome.answer
            for (row, variant), outcome in sorted(self._outcomes.items())
            if outcome.answer is not None
        }

    # ------------------------------------------------------------------ what the browser may ask for

    @intent
    def run(self, prompt: str, typed: str | None, rows: int) -> None:
        """Ask every cell."""
        self.write(prompt, typed, rows)
        if self._asking is not None:
            return
        self.say("")
        questions = self._questions()
        if questions:
            self._asking = PlaygroundRun(questions, self._on_outcome, self._on_end)
            self.running = True
            self.status = f"Asking: 0 of {len(questions)} done."
            self._asking.start()
        else:
            self._tell_end()

    @intent
    def stop(self) -> None:
        """End the run, if there is one; what has answered stays."""
        if self._asking is not None:
            self._asking.stop()

    @intent
    def write(self, prompt: str, typed: str | None, rows: int) -> None:
        """Take what stands in the fields."""
        self.prompt, self.rows = prompt, min(max(rows, 1), self.most)
        if self._inputs.typed:
            self.typed = typed or ""
        self.copied = {}

    @intent
    def change(self, variant: int, name: str, value: str | int | float | bool | None) -> None:
        """Set an option of a variant."""
        self._variants()[variant].change(name, value)
        self.copied = {}

    @intent
    def add(self) -> None:
        """Compare with one more, which begins as the last one is."""
        last = self._variants()[-1]
        if len(self._made) < len(record.LETTERS):
            self._made.append(Variant(last.client, last.options()))

    @intent
    def remove(self, variant: int) -> None:
        """Compare without this one. The last can't be removed."""
        if len(self._variants()) > 1 and 0 <= variant < len(self._made):
            del self._made[variant]

    @intent
    def copy(self, cell: str, form: str) -> None:
        """Write what a cell asks as a `%%qwen` cell, as a call over the whole frame, or as a command of curl."""
        variant, question = self._cell(cell)
        options = _with_endpoint(variant.client, variant.options())
        if form == "column":
            names = _names()
            frame, pandas = self._inputs.expression(self.prompt, self.typed or "", names)
            text = as_column(self.prompt, options, frame, pandas=pandas)
        elif form == "curl":
            request = _request(variant.client, question, variant.options())
            text = write_export([(request, variant.client.endpoint)], "curl")
        else:
            text = as_cell(question, options)
        self.copied = {"cell": cell, "form": form, "text": text}

    # ------------------------------------------------------------------ asking

    def _questions(self) -> list[VariantQuestion]:
        """List what is to be asked, and begin an empty grid for it."""
        texts = self._inputs.questions(self.prompt, self.rows, self.typed or "")
        variants = self._variants()
        settings = [variant.options() for variant in variants]
        places = [(row, at) for row in range(len(texts)) for at in range(len(variants))]
        questions = [
            VariantQuestion(
                row, at, one.client, _request(one.client, text, settings[at]), Options(**settings[at])
            )
            for row, at in places
            if (text := texts[row]) is not None and (one := variants[at])
        ]
        self._asked = (self.prompt, [text or "" for text in texts], settings)
        self._outcomes = {(row, at): _NOT_ASKED for row, at in places if texts[row] is None}
        return questions

    def _on_outcome(self, question: VariantQuestion, outcome: VariantOutcome) -> None:
        with self.lock:
            self._outcomes[question.row, question.variant] = outcome
            self.status = f"Asking: {len(self._outcomes)} of {self._cells} done."
        self.refresh()

    def _on_end(self) -> None:
        with self.lock:
            self._asking = None
            self._tell_end()
        self.refresh()

    def _tell_end(self) -> None:
        stopped = any(outcome.problem == STOPPED for outcome in self._outcomes.values())
        same = record.agreement(self._outcomes, len(self._asked[1]), len(self._asked[2]))
        said = "Stopped" if stopped else "Done"
        self.status = f"{said}: {len(self.answers)} of {self._cells} answered. {same}".strip()

    @property
    def _cells(self) -> int:
        return len(self._asked[1]) * len(self._asked[2])

    def _cell(self, name: str) -> tuple[Variant, str]:
        """Find the variant of the cell called *name*, and what it asks."""
        variant, row = record.LETTERS.find(name[:1]), name[1:]
        texts = self._inputs.questions(self.prompt, self.rows, self.typed or "")
        is_there = 0 <= variant < len(self._variants()) and row.isdecimal() and 1 <= int(row) <= len(texts)
        text = texts[int(row) - 1] if is_there else None
        if text is None:
            raise BadInput(f"Cell {name} asks nothing: there is no such input, or a value of it is missing.")
        return self._made[variant], text

    def _variants(self) -> list[Variant]:
        if not self._made:  # a run where nobody looks needs no client
            self._made = [
                Variant(client, {**_defaults(client), **options})
                for client, (_, options) in zip(self._clients(), self._given, strict=True)
            ]
        return self._made

    def _clients(self) -> list[Qwen]:
        return [own or self._client or default_client() for own, _ in self._given]

    # ------------------------------------------------------------------ drawing

    def draw(self) -> None:
        """Draw the settings and the grid, and keep both."""
        settings = [options for _, options in self._given]
        if self._made or self._is_watched:
            settings = [variant.options() for variant in self._variants()]
            self.variants = [_head(*one) for one in zip(record.LETTERS, self._made, settings, strict=False)]
        self.running = self._asking is not None
        prompt, questions, asked = self._asked
        self.grid = self._draw_grid(questions, len(asked)) if questions else {}
        shown = (prompt, questions, asked) if questions else (self.prompt, [], settings)
        if not self.running:
            self.keep(record.markdown(*shown, self._outcomes), record.plain(*shown, self._outcomes))

    def _draw_grid(self, questions: Sequence[str], variants: int) -> dict[str, Any]:
        rows = []
        for row, question in enumerate(questions):
            outcomes = [self._outcomes.get((row, variant)) for variant in range(variants)]
            rows.append(
                {
                    "input": _input(self._asked[0], question),
                    "cells": [_draw_cell(one, outcomes[0]) for one in outcomes],
                }
            )
        totals = [
            record.total(
                [one for (_, at), one in self._outcomes.items() if at == variant], len(questions), timed=True
            )
            for variant in range(variants)
        ]
        return {"rows": rows, "totals": totals}

    def close(self) -> None:
        """Take the panel away; what it found stays in the notebook."""
        if self.comm is not None:
            self.stop()
            super().close()


def _draw_cell(outcome: VariantOutcome | None, first: VariantOutcome | None) -> dict[str, Any]:
    if outcome is None:
        return {"pieces": [], "figures": "", "state": "waiting"}
    if outcome.answer is None:
        return {"pieces": [[outcome.text, False]], "figures": "no answer", "state": "problem"}
    pieces, state = [(outcome.text, False)], ""
    if first is not None and first.answer is not None and first is not outcome:
        pieces = mark_differences(first.text, outcome.text)
        state = "other" if any(marked for _, marked in pieces) else "same"
        if pieces == [
            (outcome.text, True)
        ]:  # where all of it is another text, marks would only be in the way
            pieces = [(outcome.text, False)]
    return {"pieces": pieces, "figures": record.figures(outcome), "state": state}


@lru_cache(maxsize=512)
def mark_differences(first: str, other: str) -> list[tuple[str, bool]]:
    """Cut *other* into pieces, each with whether it differs from *first*: word by word, or all of it where little is alike."""
    if first.strip() == other.strip():
        return [(other, False)]
    before, after = (re.findall(r"\S+|\s+", text) for text in (first, other))
    if max(len(before), len(after)) > MOST_PIECES:
        return [(other, True)]
    matcher = SequenceMatcher(a=before, b=after, autojunk=False)
    pieces = [
        ("".join(after[start:end]), kind != "equal")
        for kind, _, _, start, end in matcher.get_opcodes()
        if end > start
    ]
    alike = sum(len(piece.split()) for piece, differs in pieces if not differs)
    return pieces if alike > ALIKE * len(other.split()) else [(other, True)]


def _input(prompt: str, question: str) -> str:
    """Cut out of *question* what the prompt's one hole was filled with; of a prompt with several it is all to be seen."""
    pieces = Template.of(prompt).pieces
    if sum(not isinstance(piece, str) for piece in pieces) != 1:
        return question
    at = next(number for number, piece in enumerate(pieces) if not isinstance(piece, str))
    before, after = (sum(len(str(piece)) for piece in part) for part in (pieces[:at], pieces[at + 1 :]))
    return question[before : len(question) - after]


def _head(letter: str, variant: Variant, options: Mapping[str, Any]) -> dict[str, Any]:
    """Describe a variant for the page."""
    shown = {name: value for name, value in options.items() if name not in ("model", "system")}
    return {
        "letter": letter, "place": str(variant.client.endpoint), "model": variant.model, "models": variant.models,
        "summary": record.settings_text(shown), "problem": variant.problem, "system": options.get("system", ""),
        "controls": variant.controls(),
    }  # fmt: skip


def _given(variant: Mapping[str, Any], client: Qwen | None) -> tuple[Qwen | None, dict[str, Any]]:
    """Part a variant as it was given into who asks and its options."""
    options = dict(variant)
    own = options.pop("client", client)
    if own is not None and not isinstance(own, Qwen):
        raise BadInput(f"client= takes a Qwen, not {type(own).__name__}.")
    return own, check_options(options)


def _request(client: Qwen, question: str, options: Mapping[str, Any]) -> Request:
    return client.session.build_request(question.replace("{{", _ESCAPED), {}, Options(**options))


def _name(row: int, variant: int) -> str:
    return f"{record.LETTERS[variant]}{row + 1}"


def _defaults(client: Qwen) -> dict[str, Any]:
    """List what the client sends with every question; here it is seen, and can be changed."""
    defaults = client.session.defaults
    return check_options({name: getattr(defaults, name) for name in Options.__dataclass_fields__})


def _names() -> dict[str, Any]:
    from IPython import get_ipython

    return dict(getattr(get_ipython(), "user_ns", {}))


def _with_endpoint(client: Qwen, options: Mapping[str, Any]) -> dict[str, Any]:
    endpoint = client.session.config.endpoint
    return {"model": options["model"], **({} if endpoint is None else {"endpoint": endpoint}), **options}
