"""What stays of a widget: text beside it, kept by the notebook whatever becomes of the kernel.

A saved notebook keeps of a widget no more than the number of its model. Whoever opens it without that very kernel is
told "Error displaying widget". So no widget here is the only record of anything. It is one of two outputs:

    the record   inert Markdown and plain text, replaced whenever there is something new to keep
    the panel    the widget; in the same output a line of Markdown for readers who can't have it

GitHub, nbviewer, nbconvert and a JupyterLab that got the file from somebody else show the record and that line. The
JupyterLab where it ran shows the record, and says of the panel that its model is not found. While the panel lives, its
style sheet hides the record above it. The record is not put into the output of the widget: replacing that would draw the
widget anew, and take the keyboard away from who is typing.

Where nobody could press anything (nbclient, papermill, nbconvert --execute, a terminal) there is no widget at all, and
no state of one in the notebook's metadata. Such a run tells itself by not taking input.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
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
