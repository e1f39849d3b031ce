"""What a command sees of the world, given by argument: a test gives another one and patches nothing."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, TextIO

from qwennb.config import Config
from qwennb.errors import BadInput
from qwennb.terminal import flatten


@dataclass(frozen=True, slots=True)
class World:
    """The environment, the three streams, the clocks, and where endpoints are looked for.

    hosts   other addresses for hosted endpoints, by their names
    ports   other ports on which servers of this machine are looked for; None: the usual ones
    patience   other seconds within which such a server has to answer; None: the usual ones
    """

    environ: Mapping[str, str]
    folder: Path
    out: TextIO
    err: TextIO
    into: TextIO
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    seconds: Callable[[], float] = time.perf_counter
    hosts: Mapping[str, str] = field(default_factory=dict)
    ports: Sequence[int] | None = None
    patience: float | None = None

    @classmethod
    def here(cls) -> Self:
        """Take this process's own."""
        for stream in (sys.stdout, sys.stderr):
            reconfigure = getattr(stream, "reconfigure", None)
            if reconfigure is not None:
                reconfigure(errors="replace")  # ≈ is written as ? where the encoding lacks it
        return cls(os.environ, Path.cwd(), sys.stdout, sys.stderr, sys.stdin)

    def config(self) -> Config:
        """Load the settings that hold here."""
        return Config.load(environ=self.environ, folder=self.folder)

    def notebook(self, name: str) -> Path:
        """Find the saved notebook that *name* means; BadInput, with the reason, where it is none."""
        path = self.folder / name
        if path.is_dir():
            raise BadInput(f"{name} is a folder. Give a notebook in it.")
        try:
            written = path.read_bytes()
            whole = json.loads(written) if written.strip() else {}
        except FileNotFoundError:
            raise BadInput(f"There is no notebook {name}.") from None
        except OSError as error:
            raise BadInput(f"The notebook {name} can't be read ({error.strerror}).") from None
        except (ValueError, RecursionError):
            raise BadInput(f"{name} is no notebook that can be read: it is not JSON.") from None
        if not isinstance(whole, dict) or not {"cells", "worksheets"} & whole.keys():
            raise BadInput(
                f"{name} is no notebook that can be read: it {'has no cells' if written.strip() else 'is empty'}."
            )
        return path

    def say(self, *lines: str) -> None:
        """Print *lines*."""
        _write(self.out, *(f"{flatten(line)}\n" for line in lines))

    def say_json(self, value: Any) -> None:
        """Print *value* for programs; what steers a terminal is spelled as JSON spells it, and so is not lost."""
        self.say(*json.dumps(value, indent=1).replace("\x7f", "\\u007f").split("\n"))

    def note(self, *lines: str) -> None:
        """Print *lines* beside the output."""
        _write(self.err, *(f"{flatten(line)}\n" for line in lines))

    def redraw(self, line: str) -> None:
        """Print *line* beside the output, over the one before."""
        _write(self.err, f"\r{flatten(line)}")

    def agrees(self, question: str) -> bool:
        """Ask a yes or no; whatever is not a typed yes is a no."""
        _write(self.out, f"{flatten(question)} [y/N] ")
        answer = self.into.readline()
        if not answer.endswith("\n"):
            self.say("")
        return answer.strip().lower() in ("y", "yes")


def _write(stream: TextIO, *pieces: str) -> None:
    """Write: the one place where the command line does."""
    for piece in pieces:
        stream.write(piece)
    stream.flush()
