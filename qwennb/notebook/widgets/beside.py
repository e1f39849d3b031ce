"""Messages of a widget while a cell runs: taken on a thread beside the cell's, where the front end has made one.

JupyterLab sends the messages of widgets on such a thread (a "subshell"), if the kernel knows them. ipykernel 7.4 sends
each message of a widget back to where the widget was last written from, which is the cell.
"""

from __future__ import annotations

import ipywidgets as widgets


def answers_beside_the_cell(widget: widgets.Widget) -> None:
    """Let the messages of *widget* be taken while a cell runs, wherever it was last written from."""
    if hasattr(widget.comm, "_reply_subshell_for"):  # ipykernel 7.4; nothing public says the same
        widget.comm._reply_subshell_for = lambda _, default: default


def is_heard_beside_the_cell() -> bool:
    """Whether the front end has made a thread for its messages beside the cell's."""
    from IPython import get_ipython

    kernel = getattr(get_ipython(), "kernel", None)
    manager = getattr(getattr(kernel, "shell_channel_thread", None), "manager", None)
    return bool(manager is not None and manager.list_subshell())
