"""Cells: `%load_ext qwennb` and what it brings.

`magics` reads lines, `namespace` looks up what they name, `cell` asks, `display` shows an answer while it grows, `chats`
are the conversations, `reports` what the line magics say. `verify` runs saved notebooks, `drift` asks theirs again.
"""

from __future__ import annotations

from qwennb.notebook.extension import load_ipython_extension, unload_ipython_extension
