"""`%qwen_pack`: recall from a pack, and record into it as one works.

What is recalled or kept from the line on is written at the end of each cell that added something, in one step: the file
is whole whenever somebody looks. In replay nothing is recorded, so that running a notebook to check it changes nothing.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qwennb.config import read_overrides
from qwennb.errors import BadInput, QwenError
from qwennb.text import plural

if TYPE_CHECKING:
    from qwennb.cache import Memory, RecordingLog
    from qwennb.client import Qwen

ACCEPT, QUIET = "--accept-figures", "--quiet"


class PackRecorder:
    """The pack that one notebook records into, if it does."""

    def __init__(self) -> None:
        self._recording: tuple[Path, RecordingLog] | None = None

    def load(self, line: str, client: Qwen) -> str:
        """Do what stands behind `%qwen_pack`, and list what is loaded then; nothing with --quiet."""
        from qwennb.client import runtime

        words = [word for word in line.split() if word not in (ACCEPT, QUIET)]
        accepts, wanted = ACCEPT in line.split(), " ".join(words).strip("\"'")
        if wanted.startswith("--"):
            raise BadInput(f"%qwen_pack takes no {wanted.split()[0]}. It takes a file, {ACCEPT} and {QUIET}.")
        if accepts and wanted in ("", "off"):
            raise BadInput(f"{ACCEPT} is for a pack. Type: %qwen_pack FILE {ACCEPT}")
        shared_runtime = runtime()
        client.session.memory  # noqa: B018  (loads what QWENNB_PACK names, before anything else)
        if wanted == "off":
            self.stop()
            shared_runtime.packs.forget()
        elif wanted and read_overrides(os.environ).get("packs", True):
            self.stop()
            path = Path(wanted).expanduser()
            if path.exists() or path.is_symlink():
                shared_runtime.load(path, accept_figures=accepts)
            if client.session.config.cache != "replay":
                self._recording = path, shared_runtime.record()
        if QUIET in line.split():
            return ""
        recording = self._recording[0].name if self._recording is not None else None
        return describe_loaded(client.session.memory, recording)

    def cell_ended(self, result: Any) -> None:
        """Write what the cell that is over has added."""
        try:
            self._write()
        except QwenError as error:
            sys.stderr.write(f"{error}\n")

    def stop(self) -> None:
        """Record nothing more."""
        if self._recording is not None:
            from qwennb.client import runtime

            self._write()
            runtime().stop(self._recording[1])
            self._recording = None

    def _write(self) -> None:
        """Write the file, if something was used for the first time, or asked anew, since it was last written."""
        if self._recording is None or not (names := self._recording[1].take()):
            return
        from qwennb.client import runtime

        path, shared_runtime = self._recording[0], runtime()
        file = str(path.resolve())
        before, pack = shared_runtime.packs.read_from(file), shared_runtime.pack(names)
        if before is not None:
            pack = before | pack
        if pack != before:
            pack.write(path)
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
