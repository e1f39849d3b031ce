"""Where a kernel runs: with a cache of its own, and, when it is sealed, nothing else of this machine's owner.

A sealed kernel finds an empty home, of the environment only what a program needs to run, no settings of ours and no
network: what runs there runs for whoever gets the notebook. An open one keeps the keys and settings of the environment, because it is there to ask.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from qwennb.machine import keep_needed

_FOLDERS = {
    "HOME": "home",
    "USERPROFILE": "home",
    "APPDATA": "home",
    "LOCALAPPDATA": "home",
    "XDG_DATA_HOME": "home/.local/share",
    "XDG_CONFIG_HOME": "home/.config",
    "XDG_CACHE_HOME": "home/.cache",
    "IPYTHONDIR": "home/.ipython",
    "JUPYTER_CONFIG_DIR": "home/.jupyter",
    "JUPYTER_DATA_DIR": "home/.local/share/jupyter",
    "JUPYTER_RUNTIME_DIR": "home/.run",
    "MPLCONFIGDIR": "home/.config/matplotlib",
}
_FROM_ANOTHER_RUN = ("QWENNB_PACK", "QWENNB_TRACE", "QWENNB_ABOVE", "QWENNB_LOG")


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A folder for one run of one notebook, and whether the run is sealed."""

    folder: Path
    sealed: bool

    @classmethod
    @contextmanager
    def create(cls, *, sealed: bool) -> Iterator[Self]:
        """Make one that goes when it is left."""
        # A local socket's path may have about a hundred characters.
        short = "/tmp" if os.name == "posix" and len(tempfile.gettempdir()) > 60 else None  # noqa: S108
        with tempfile.TemporaryDirectory(prefix="qwennb-", dir=short, ignore_cleanup_errors=True) as folder:
            yield cls(Path(folder), sealed)

    @property
    def cache(self) -> Path:
        """Where this run keeps its answers."""
        return self.folder / "cache"

    @property
    def attempts(self) -> Path:
        """What a sealed kernel tried of the network, a line of JSON each."""
        return self.folder / "attempts"

    @property
    def trace(self) -> Path:
        """Which answers were used, a line of JSON each."""
        return self.folder / "trace"

    def environ(self, outer: Mapping[str, str], above: Mapping[str, Any]) -> dict[str, str]:
        """Write the kernel's environment: the *outer* one, and what stands *above* all that the notebook says."""
        made = {name: value for name, value in outer.items() if name not in _FROM_ANOTHER_RUN}
        if self.sealed:
            made = keep_needed(made)
            for name, below in _FOLDERS.items():
                (self.folder / below).mkdir(mode=0o700, parents=True, exist_ok=True)
                made[name] = str(self.folder / below)
            paths = [str(self._guard()), *filter(None, [outer.get("PYTHONPATH")])]
            made["PYTHONPATH"] = os.pathsep.join(paths)
        made["QWENNB_ABOVE"] = json.dumps({"cache_dir": str(self.cache), **above})
        made["QWENNB_TRACE"] = str(self.trace)
        return made

    def _guard(self) -> Path:
        folder = self.folder / "guard"
        folder.mkdir()
        source = Path(__file__).with_name("network_guard.py").read_text(encoding="utf-8")
        started = f"\n\ninstall({str(self.attempts)!r})\nrun_next_sitecustomize()\n"
        (folder / "sitecustomize.py").write_text(source + started, encoding="utf-8")
        return folder
