"""The playground: one prompt, a few inputs, several models or settings side by side.

    prompt, inputs, settings → the questions of a grid → answers, tokens, cost and time in each cell

What is asked is what a column would ask of the same rows: the same texts, the same keys, the same cache. A run goes on
beside the notebook and can be stopped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from qwennb.answer import Answer
from qwennb.client import Qwen
from qwennb.errors import BadInput
from qwennb.frames import default_client
from qwennb.notebook.widgets import playground_record as record
from qwennb.notebook.widgets.playground_inputs import Inputs
from qwennb.notebook.widgets.playground_panel import MOST_ROWS, PlaygroundPanel
from qwennb.notebook.widgets.playground_variant import check_options
from qwennb.notebook.widgets.static import OutputSlot, PersistentWidget, somebody_looks


class Playground:
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

    def __init__(
        self,
        prompt: str = "",
        inputs: Any = None,
        *,
        client: Qwen | None = None,
        variants: Sequence[Mapping[str, Any]] = ({},),
        rows: int = 3,
    ) -> None:
        if not 1 <= len(variants) <= len(record.LETTERS):
            raise BadInput(
                f"variants= takes 1 to {len(record.LETTERS)} dicts of options, not {len(variants)}."
            )
        if not 1 <= rows <= MOST_ROWS:
            raise BadInput(f"rows={rows} must be from 1 to {MOST_ROWS}. For more, copy as column call.")
        self._first_prompt, self._rows = prompt, rows
        self._inputs = Inputs(inputs)
        self._client = client
        self._given: list[tuple[Qwen | None, dict[str, Any]]] = []
        for variant in variants:
            options = dict(variant)
            own = options.pop("client", client)
            if own is not None and not isinstance(own, Qwen):
                raise BadInput(f"client= takes a Qwen, not {type(own).__name__}.")
            self._given.append((own, check_options(options)))
        self._panel: PlaygroundPanel | None = None
        self._exhibit: PersistentWidget | None = None

    def _ipython_display_(self) -> None:
        if not somebody_looks():
            options = [options for _, options in self._given]
            prompt = self._first_prompt
            OutputSlot("playground").show(
                record.markdown(prompt, (), options, {}), record.plain(prompt, (), options, {})
            )
            return
        if self._exhibit is None or self._exhibit.is_closed:
            self._panel = PlaygroundPanel(
                self._first_prompt, self._inputs, self._rows, self._given, self._client or default_client()
            )
            self._exhibit = PersistentWidget(
                self._panel.box, about="playground", called="Playground", below=True
            )
            self._panel.keep_record(self._exhibit.keep)
        self._exhibit.show()

    @property
    def answers(self) -> dict[str, Answer]:
        """The answers so far, by cell: "A1" is what the first settings gave for the first input."""
        panel = self._panel
        return {} if panel is None else panel.answers()

    def close(self) -> None:
        """Take the widget away; what it found stays in the notebook."""
        if self._panel is not None:
            self._panel.stop()
        if self._exhibit is not None:
            self._exhibit.close()
