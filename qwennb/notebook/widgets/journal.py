"""What a panel remembers from kernel to kernel: the keys of its questions, in their order, and nothing that was said.

The answers come from the cache; where they are gone, or the journal is (a reader's machine, `verify`), the record that the
notebook keeps stands. It is a file of the user's own (0600) beside the answers, named by a hash of notebook and panel.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from qwennb.files import make_private_folder, replace_file

VERSION = 1


@dataclass(frozen=True, slots=True)
class Journal:
    """The journal of one panel."""

    path: Path

    def write(self, content: dict[str, Any]) -> None:
        """Write *content*, which is plain JSON."""
        make_private_folder(self.path.parent)
        replace_file(self.path, orjson.dumps({"version": VERSION, **content}))

    def read(self) -> dict[str, Any]:
        """Read what was written; nothing where it can't be read."""
        try:
            content = orjson.loads(self.path.read_bytes())
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) and content.get("version") == VERSION else {}


def find_journal(folder: Path, kind: str, name: str, *, is_given: bool) -> Journal | None:
    """Find the journal of a panel: of this notebook; by a name that was given, else of this folder; else there is none."""
    notebook = _notebook() or (str(Path.cwd()) if is_given else "")
    if not (notebook and name):
        return None
    digest = hashlib.sha256("\n".join((notebook, kind, name)).encode("utf-8", "surrogatepass")).hexdigest()
    return Journal(folder / "panels" / f"{digest[:32]}.json")


def _notebook() -> str:
    """Find the file of this notebook, as Jupyter's server and VS Code tell it."""
    from IPython import get_ipython

    names: dict[str, Any] = getattr(get_ipython(), "user_ns", {})
    return os.environ.get("JPY_SESSION_NAME") or str(names.get("__vsc_ipynb_file__") or "")
