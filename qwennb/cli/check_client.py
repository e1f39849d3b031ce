"""Who answers the questions of a file of checks: a pack, or an endpoint under a budget, with nothing of the user's own touched."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qwennb.cli.check_file import CheckFile
from qwennb.client import Qwen, Runtime, Session, runtime
from qwennb.errors import BadInput
from qwennb.tracing import Answered, Event, Failed

# Seconds that events of a run which has ended may take to be heard; chosen: no machine is so busy.
LATE = 10.0


class Stopwatch:
    """How long the requests for each answer took together, by its key; what they waited for their turn is not in it."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._turn = threading.Condition()

    def hear(self, event: Event) -> None:
        """Take the time of a request that has ended."""
        if isinstance(event, Answered | Failed):
            with self._turn:
                self._seconds[event.key] = self._seconds.get(event.key, 0.0) + event.seconds
                self._turn.notify_all()

    def find(self, keys: set[str]) -> Mapping[str, float]:
        """Give the seconds of each of *keys*; events come a little later than the answers that they tell of."""
        with self._turn:
            self._turn.wait_for(lambda: keys <= self._seconds.keys(), LATE)
            return dict(self._seconds)


class CheckQwen(Qwen):
    """A client with a runtime of its own: what it recalls and keeps is nobody else's, and no pack stays loaded.

    Parameters
    ----------
    settings : Mapping
        Those of a `Qwen`.
    pack : path, optional
        From which it recalls.
    """

    def __init__(self, settings: Mapping[str, Any], pack: Path | None = None) -> None:
        self.own = Runtime({}, bridge=runtime().bridge)
        self.stopwatch = Stopwatch()
        if settings.get("cache") != "replay":
            settings = {**settings, "on_event": self.stopwatch.hear}
        if pack is not None:
            self.own.load(pack)
        self.session = Session(settings, lambda: self.own)


@contextmanager
def open_recorded(file: CheckFile, cache_dir: Path | None) -> Iterator[CheckQwen]:
    """Open a client that recalls from the pack of *file*, or without one from *cache_dir*, and sends nothing."""
    with tempfile.TemporaryDirectory(prefix="qwennb-", ignore_cleanup_errors=True) as empty:
        folder = cache_dir if file.pack is None and cache_dir is not None else Path(empty)
        if file.pack is not None and file.can_ask and not file.pack.exists():
            raise BadInput(
                f"There is no pack {file.pack.name} yet. Record it: qwennb check {file.path.name} --live --budget 1 --record"
            )
        client = CheckQwen({"cache": "replay", "cache_dir": folder}, file.pack)
        try:
            yield client
        finally:
            client.own.close()


@contextmanager
def open_live(settings: Mapping[str, Any]) -> Iterator[CheckQwen]:
    """Open a client that asks everything anew, under a budget, and keeps it in a folder that goes with it."""
    with tempfile.TemporaryDirectory(prefix="qwennb-", ignore_cleanup_errors=True) as folder:
        client = CheckQwen({**settings, "cache": "on", "cache_dir": Path(folder)})
        try:
            yield client
        finally:
            client.own.close()
