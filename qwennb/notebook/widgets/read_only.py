"""What both of the larger panels need: texts of others that are only seen, and messages that keep their order.

Labels and descriptions are typeset as mathematics by JupyterLab, links and all; what a model, a frame or a server wrote
stands in a text area, which takes it as it is. A text area of ipywidgets can't be made read-only without taking it out of
the keyboard's reach, so it is put back as it was.

A field is read before the button that was pressed after it only if one thread takes the messages of both. ipykernel 7.4
gives those of a widget to the thread that wrote to it last; so each is told to leave them where the front end wants them.
"""

from __future__ import annotations

from typing import Any

import ipywidgets as widgets

from qwennb.answer import markup
from qwennb.notebook.widgets.beside import answers_beside_the_cell


class ReadOnlyText(widgets.Textarea):  # type: ignore[misc]
    """A text to read: reached by Tab, scrolled and copied from, and unchanged by typing."""

    def __init__(self, description: str, *, rows: int = 4, text: str = "", **layout: str) -> None:
        self._text = text
        super().__init__(
            value=text, description=description, rows=rows, continuous_update=False,
            style={"description_width": "initial"}, layout=widgets.Layout(**{"width": "98%", **layout}),
        )  # fmt: skip
        self.observe(self._put_back, "value")

    def show(self, text: str) -> None:
        """Show *text*."""
        self._text = text
        self.value = text

    def _put_back(self, change: Any) -> None:
        if change["new"] != self._text:
            self.value = self._text


class StatusLabel(widgets.Label):  # type: ignore[misc]
    """A line of ours. Where names of others stand in it, nothing in it is mathematics."""

    def __init__(self, text: str = "") -> None:
        super().__init__(value=markup.spell_label(text), layout=widgets.Layout(width="auto", flex="1 1 auto"))

    def say(self, text: str) -> None:
        """Say *text* from now on."""
        self.value = markup.spell_label(text)


def receive_in_order(widget: widgets.Widget) -> None:
    """Have the messages of *widget* and all in it taken by one thread, in the order in which they were sent."""
    answers_beside_the_cell(widget)
    for part in getattr(widget, "children", ()):
        receive_in_order(part)
