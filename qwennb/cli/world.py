"""What a command sees of the world, given by argument: a test gives another one and patches nothing."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Self, TextIO

from qwennb.config import Config


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
