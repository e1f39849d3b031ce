"""Hands on the model, in the notebook: panels on anywidget over the same client, cache and columns.

`panel` is what all of them have, and `static` why nothing is lost when the kernel is gone; begin there.
"""

from __future__ import annotations

from qwennb.notebook.widgets.chat import ChatPanel
from qwennb.notebook.widgets.playground import Playground
from qwennb.notebook.widgets.review import Review
from qwennb.notebook.widgets.usage import UsagePanel as Usage

__all__ = ["ChatPanel", "Playground", "Review", "Usage"]
