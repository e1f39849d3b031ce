"""Cells: `%load_ext qwennb` and what it brings.

`magics` reads lines, `scope` looks up what they name, `cell` asks, `page` is what is kept of an answer, `screen` shows
it while it grows, `chats` are the conversations, `lines` what the line magics say.
"""

from __future__ import annotations

from qwennb.notebook.extension import load_ipython_extension, unload_ipython_extension
