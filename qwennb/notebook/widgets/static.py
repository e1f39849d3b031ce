"""What stays of a widget: text beside it, kept by the notebook whatever becomes of the kernel.

A saved notebook keeps of a widget no more than the number of its model. Whoever opens it without that very kernel is
told "Error displaying widget". So no widget here is the only record of anything. It is one of two outputs:

    the record   inert Markdown and plain text, replaced whenever there is something new to keep
    the panel    the widget; in the same output a line of Markdown for readers who can't have it

GitHub, nbviewer, nbconvert and a JupyterLab that got the file from somebody else show the record and that line. The
JupyterLab where it ran shows the record, and says of the panel that its model is not found. The record is not put into
the output of the widget: replacing that would draw the widget anew, and take the keyboard away from who is typing.

Where nobody could press anything (nbclient, papermill, nbconvert --execute, a terminal) there is no widget at all, and
no state of one in the notebook's metadata. Such a run tells itself by not taking input.

A page that is loaded again finds the widgets, which live in the kernel, but no longer knows which output a record was.
It asks for the state of all widgets: that is how we know, and from then on the record is shown inside the panel too.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import ipywidgets as widgets

VIEW = "application/vnd.jupyter.widget-view+json"


def somebody_looks() -> bool:
    """Whether the cell that runs was started by somebody who can press a button."""
    from IPython import get_ipython

    shell = get_ipython()
    if getattr(shell, "kernel", None) is None:
        return False
    return bool(shell.get_parent().get("content", {}).get("allow_stdin", False))


class OutputSlot:
    """One output of a cell. What is shown in it replaces what was.

    With *state* it is marked as the state of this machine and no answer: whoever compares notebooks skips it.
    """

    def __init__(self, state: str | None = None, metadata: Mapping[str, Any] | None = None) -> None:
        self._metadata = {**({"qwennb": {"state": state}} if state else {}), **(metadata or {})}
        self._handle: Any = None
        self._lock = threading.Lock()

    def show(self, markdown: str, plain: str, widget: widgets.Widget | None = None) -> None:
        """Show *widget*, with the text for who can't have it; or only the text. On any thread.

        *markdown* is inert: whatever of it was not written by us has gone through `qwennb.answer.markup`.
        """
        from IPython.display import DisplayHandle

        bundle: dict[str, Any] = {"text/markdown": markdown, "text/plain": plain}
        if widget is not None:
            bundle[VIEW] = widget.get_view_spec()
        with self._lock:
            if self._handle is None:
                self._handle = DisplayHandle()  # type: ignore[no-untyped-call]
                self._handle.display(bundle, raw=True, metadata=self._metadata)
            else:
                self._handle.update(bundle, raw=True, metadata=self._metadata)


class PersistentWidget:
    """A widget and its record, as two outputs of a cell.

        self._exhibit = PersistentWidget(widgets.VBox([…]), about="chat", called="Chat")
        self._exhibit.keep("…", "…")   # at any time, on any thread
        self._exhibit.show()           # in a cell; in another cell it moves there
        self._exhibit.close()          # the widget goes, the record stays

    With *below* the record stands under the widget.
    """

    def __init__(self, panel: widgets.Widget, *, about: str, called: str, below: bool = False) -> None:
        self._about, self._called, self._below = about, called, below
        self._lock = threading.RLock()
        self._record: OutputSlot | None = None
        self._place: OutputSlot | None = None
        self._kept = ("", "")
        self._again = widgets.Output(layout=widgets.Layout(display="none"))
        parts = [panel, self._again] if below else [self._again, panel]
        self._panel = _Panel(parts, self._on_reload)
        self._is_loaded_again = False

    def show(self) -> None:
        """Show both in the cell that runs. Where nobody looks, only the record."""
        with self._lock:
            self._is_loaded_again = False
            self._mirror()
            self._record, self._place = OutputSlot(self._about), None
            if not self._below:
                self._record.show(*self._kept)
            if somebody_looks() and not self.is_closed:
                self._place = OutputSlot(self._about)
                self._place.show(*self._instead(), self._panel)
                self._panel.shown = True
            if self._below:
                self._record.show(*self._kept)

    def keep(self, markdown: str, plain: str) -> None:
        """Make this the record. The Markdown is inert: see `OutputSlot.show`."""
        with self._lock:
            if (markdown, plain) == self._kept:
                return
            self._kept = (markdown, plain)
            if self._record is not None:
                self._record.show(markdown, plain)
            if self._is_loaded_again:
                self._mirror()

    def close(self) -> None:
        """Take the widget away, for good. The record stays."""
        with self._lock:
            if self.is_closed:
                return
            if self._place is not None:
                self._place.show("", "")
            close(self._panel)

    @property
    def is_closed(self) -> bool:
        """Whether the widget is gone."""
        return self._panel.comm is None

    def _instead(self) -> tuple[str, str]:
        line = f"{self._called}: run this cell to use it."
        return f"*{line}*", f"[{line}]"

    def _on_reload(self) -> None:
        self._is_loaded_again = True
        self._mirror()

    def _mirror(self) -> None:
        if self.is_closed:
            return
        markdown, plain = self._kept
        data = {"text/markdown": markdown, "text/plain": plain}
        shown = {"output_type": "display_data", "data": data, "metadata": {}}
        self._again.outputs = (shown,) if self._is_loaded_again and markdown else ()
        self._again.layout.display = None if self._is_loaded_again else "none"


class _Panel(widgets.VBox):  # type: ignore[misc]
    """A box that knows when a page asks for it again."""

    def __init__(self, children: list[widgets.Widget], loaded_again: Callable[[], None]) -> None:
        self.shown = False
        self._asked_again = loaded_again
        super().__init__(children)

    def get_state(self, key: Any = None, drop_defaults: bool = False) -> Any:
        """The state; all of it is wanted when the widget is made, and by a page that finds it there."""
        if self.shown and key is None:
            self._asked_again()
        return super().get_state(key, drop_defaults)


def close(widget: widgets.Widget) -> None:
    """Close *widget* and all that it is made of: a layout that is left would be saved with the notebook."""
    for part in {id(one): one for one in parts(widget)}.values():
        part.close()


def parts(widget: widgets.Widget) -> Iterator[widgets.Widget]:
    """*widget* and all that it is made of."""
    if widget.comm is None:
        return
    yield widget
    for name in widget.keys:
        value = getattr(widget, name)
        for part in value if isinstance(value, tuple | list) else (value,):
            if isinstance(part, widgets.Widget):
                yield from parts(part)
