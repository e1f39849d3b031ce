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
from typing import Self, TextIO

from qwennb.config import Config
from qwennb.errors import BadInput


@dataclass(frozen=True, slots=True)
class World:
    """The environment, the three streams, the clocks, and where endpoints are looked for.

    hosts   other addresses for hosted endpoints, by their names
    ports   other ports on which servers of this machine are looked for; None: the usual ones
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

    @classmethod
    def here(cls) -> Self:
        """This process's own."""
        for stream in (sys.stdout, sys.stderr):
            reconfigure = getattr(stream, "reconfigure", None)
            if reconfigure is not None:
                reconfigure(errors="replace")  # ≈ is written as ? where the encoding lacks it
        return cls(os.environ, Path.cwd(), sys.stdout, sys.stderr, sys.stdin)

    def config(self) -> Config:
        """The settings that hold here."""
        return Config.load(environ=self.environ, folder=self.folder)

    def notebook(self, name: str) -> Path:
        """The saved notebook that *name* means; BadInput, with the reason, where it is none."""
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
        for line in lines:
            self.out.write(f"{line}\n")
        self.out.flush()

    def note(self, line: str) -> None:
        """Print *line* beside the output."""
        self.err.write(f"{line}\n")
        self.err.flush()

    def agrees(self, question: str) -> bool:
        """Ask a yes or no; whatever is not a typed yes is a no."""
        self.out.write(f"{question} [y/N] ")
        self.out.flush()
        answer = self.into.readline()
        if not answer.endswith("\n"):
            self.say("")
        return answer.strip().lower() in ("y", "yes")
