"""`%qwen_pack`: recall from a pack, and record into it as one works.

What is recalled or kept from the line on is written at the end of each cell that added something, in one step: the file
is whole whenever somebody looks. In replay nothing is recorded, so that running a notebook to check it changes nothing.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from IPython.core.magic import Magics, line_magic, magics_class

from qwennb.config import above
from qwennb.errors import BadInput, QwenError
from qwennb.notebook.magics import QwenMagics, with_short_errors
from qwennb.text import plural

if TYPE_CHECKING:
    from qwennb.cache import Memory, RecordingLog

ACCEPT = "--accept-figures"


@magics_class
class SharingMagics(Magics):
    """Packs in the notebook."""

    shell: Any

    def __init__(self, shell: Any, magics: QwenMagics) -> None:
        super().__init__(shell)
        self._magics = magics
        self._recording: Recording | None = None

    @line_magic
    @with_short_errors
    def qwen_pack(self, line: str) -> None:
        """Recall from a pack, and record into it: what is asked from here on is written at the end of each cell.

        Parameters
        ----------
        line
            The file; where its name ends in .zst it is compressed. Nothing: what is loaded. `off`: no pack any more.
            With `--accept-figures` its answers are taken for figures that another matplotlib draws otherwise, and each such
            answer is marked.

        Raises
        ------
        PackRefused
            If the file is no pack, or would hold a secret.

        Examples
        --------
        >>> %qwen_pack analysis.qwenpack
        recording into analysis.qwenpack
        >>> %qwen_pack off
        No pack is loaded: %qwen_pack FILE recalls from one and records into it.
        """
        from qwennb.client import runtime
        from qwennb.notebook import reports

        words = [word for word in line.split() if word != ACCEPT]
        accepts, wanted = ACCEPT in line.split(), " ".join(words).strip("\"'")
        if wanted.startswith("--"):
            raise BadInput(f"%qwen_pack takes no {wanted.split()[0]}. It takes a file, and {ACCEPT} with it.")
        if accepts and wanted in ("", "off"):
            raise BadInput(f"{ACCEPT} is for a pack. Type: %qwen_pack FILE {ACCEPT}")
        shared_runtime = runtime()
        client = self._magics.client()
        client.session.memory  # noqa: B018  (loads what QWENNB_PACK names, before anything else)
        if wanted == "off":
            self.stop()
            shared_runtime.packs.forget()
        elif wanted and above(os.environ).get("packs", True):
            self.stop()
            path = Path(wanted).expanduser()
            if path.exists() or path.is_symlink():
                shared_runtime.load(path, accept_figures=accepts)
            if client.session.config.cache != "replay":
                self._recording = Recording(path, shared_runtime.record())
        recording = self._recording.path.name if self._recording is not None else None
        reports.show_state(describe_loaded(client.session.memory, recording), "pack")

    def cell_ended(self, result: Any) -> None:
        """Write what the cell that is over has added."""
        if self._recording is not None:
            try:
                self._recording.write()
            except QwenError as error:
                sys.stderr.write(f"{error}\n")

    def stop(self) -> None:
        """Record nothing more."""
        if self._recording is not None:
            from qwennb.client import runtime

            self._recording.write()
            runtime().stop(self._recording.log)
            self._recording = None


class Recording:
    """A file that grows with what is used."""

    def __init__(self, path: Path, log: RecordingLog) -> None:
        self.path = path
        self.log = log

    def write(self) -> None:
        """Write the file, if something was used for the first time, or asked anew, since it was last written."""
        from qwennb.client import runtime

        if not (names := self.log.take()):
            return
        shared_runtime, file = runtime(), str(self.path.resolve())
        before, pack = shared_runtime.packs.read_from(file), shared_runtime.pack(names)
        if before is not None:
            pack = before | pack
        if pack != before:
            pack.write(self.path)
            shared_runtime.packs.load(pack, file)


def describe_loaded(memory: Memory, recording: str | None) -> str:
    """List the packs that are loaded, and what is to be known about them."""
    rows = []
    for one in memory.packs.loaded:
        name = Path(one.file).name
        rows.append(f"{name}: {plural(len(one.pack), 'answer')}, root {one.pack.root}")
        if one.accepts_figures:
            rows.append("  its answers are taken for figures that are drawn otherwise here")
        if one.pack.model:
            rows.append(f"  recorded from {one.pack.model} at {one.pack.endpoint}")
    conflicts = memory.conflicts()
    rows += [f"  {one.name.key[:12]}: your own answer counts, the pack's is another" for one in conflicts[:5]]
    if len(conflicts) > 5:
        rows.append(f"  … and {len(conflicts) - 5:,} more that differ from your own")
    if recording is not None:
        rows.append(f"recording into {recording}")
    return "\n".join(rows) or "No pack is loaded: %qwen_pack FILE recalls from one and records into it."


_sharing: dict[int, SharingMagics] = {}


def begin_sharing(shell: Any, magics: QwenMagics) -> None:
    """Give *shell* its `%qwen_pack`."""
    sharing = _sharing[id(shell)] = SharingMagics(shell, magics)
    shell.register_magics(sharing)
    shell.events.register("post_run_cell", sharing.cell_ended)


def end_sharing(shell: Any) -> None:
    """Take it away, and write what was recorded."""
    sharing = _sharing.pop(id(shell))
    shell.events.unregister("post_run_cell", sharing.cell_ended)
    sharing.stop()
