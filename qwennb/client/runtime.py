"""What all clients of a process share: the loop, the engine, one store and writer for each folder, the loaded packs.

Shared, so that a question asked by two clients, two threads or two expressions is one flight, and one limiter speaks
for all of them. A pack is loaded for the whole process too: whoever asks, recalls from it.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from weakref import WeakValueDictionary

from qwennb.cache import (
    Memory,
    Name,
    Pack,
    PackMedia,
    Packs,
    RecordingLog,
    TraceLog,
    UsageLog,
    open_store,
    wait_for_retiring,
)
from qwennb.client.bridge import Bridge
from qwennb.config import read_overrides
from qwennb.endpoints import DirectTransport, SdkTransport, Transport
from qwennb.engine import Engine, Ledger
from qwennb.errors import QwenError
from qwennb.project import announce
from qwennb.request import Request, look_elsewhere


class Runtime:
    """The bridge, the engine, the memories and the packs of this process. `QWENNB_PACK` in *environ* is loaded at once."""

    def __init__(
        self,
        environ: Mapping[str, str],
        *,
        transport: Transport | None = None,
        bridge: Bridge | None = None,
    ) -> None:
        self.bridge = bridge or Bridge()
        self._transport = transport
        self.packs = Packs()
        self.default_model = ""
        """The model that a request without one has meant here, for the header of a pack."""
        self._logs: list[RecordingLog | TraceLog] = []
        if trace := environ.get("QWENNB_TRACE"):
            self._logs.append(TraceLog(Path(trace)))
        if level := environ.get("QWENNB_LOG"):
            from qwennb.tracing import open_log

            open_log(level)
        media = environ.get("QWENNB_MEDIA")
        self._sources = PackMedia(Path(media)) if media else None
        self._environ = environ
        self._accepts_figures = bool(read_overrides(environ).get("accept_figures"))
        self._accepted: set[str] = set()
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        # Held by the clients and by what is under way: a folder that none of them uses any more is given back.
        self._memories: WeakValueDictionary[Path, Memory] = WeakValueDictionary()
        self._ledgers: WeakValueDictionary[tuple[Path, str], Ledger] = WeakValueDictionary()
        self._kept: list[Memory] = []  # those that are nowhere but in this process
        self._used = UsageLog()
        self._folders: dict[Path, None] = {}  # that were ever opened
        self._pid = os.getpid()

    def memory(self, folder: Path) -> Memory:
        """Open the memory that lies in *folder*, once for all."""
        with self._lock:
            memory = self._memories.get(folder)
            if memory is None:
                memory = self._memories[folder] = Memory(
                    open_store(folder), self._all_packs(), self._used, self._logs, self._sources
                )
                self._folders[folder] = None
                if not memory.store.lasts:
                    self._kept.append(memory)
            return memory

    @property
    def last_use(self) -> tuple[int, Name] | None:
        """What was recalled or kept last, and the how manieth use that was; None before the first."""
        return self._used.last

    def load(self, path: str | os.PathLike[str], *, accept_figures: bool = False) -> Pack:
        """Recall from the pack in *path* too, whoever asks, from now on.

        With *accept_figures* its answers are taken for figures that are drawn otherwise here.
        """
        pack, packs = Pack.read(path), self._all_packs()
        packs.load(pack, str(Path(path).resolve()), accept_figures=accept_figures or self._accepts_figures)
        return pack

    def accept_figures(self, request: Request) -> Request:
        """Take a recorded request for *request*, where a pack accepts figures that are drawn otherwise here; that is told once."""
        packs = self._all_packs()
        if not any(one.accepts_figures for one in packs.loaded) or packs.hold([request.key]):
            return request
        found = packs.find_redrawn(request)
        if found is None:
            return request
        recorded, file = found
        if request.key not in self._accepted:
            self._accepted.add(request.key)
            for log in self._logs:
                log.record("accepted", [(recorded.key, "")])
            announce(
                f"A figure is drawn otherwise here than when {file} was recorded: the recorded answer {recorded.key[:12]} is "
                "taken for it (--accept-figures).",
                "figure",
            )
        return recorded

    def record(self) -> RecordingLog:
        """Begin a log that notes every answer that is recalled or kept from now on; `stop` ends it."""
        log = RecordingLog()
        self._logs.append(log)
        return log

    def stop(self, log: RecordingLog) -> None:
        """Note nothing more in *log*."""
        if log in self._logs:
            self._logs.remove(log)

    def pack(self, names: Iterable[Name] | None = None) -> Pack:
        """Pack the answers of these *names*, or all that this process recalled or kept."""
        wanted = None if names is None else list(names)
        used = self._used.by_folder(wanted)
        with self._lock:
            folders = [folder for folder in self._folders if folder in self._memories or folder.exists()]
        memories = [self.memory(folder) for folder in folders]
        records: dict[Name, bytes] = {}
        for memory in memories:
            records |= memory.records(used.get(memory.folder, ()))
        # A log ends after a million names: what it has no room for is in whichever folder has it.
        left = [name for name in wanted or () if name not in records]
        for memory in memories if left else ():
            records |= memory.records(left)
        made = Pack.of_records(records)
        return made.with_default_model(self.default_model) if self.default_model in made.models else made

    def source(self, file: str, cap: int) -> bytes | None:
        """Find what the missing *file* was, in a loaded pack or beside it; at most *cap* bytes."""
        return self._all_packs().source(file, cap)

    def list_folder(self, folder: str, prefix: str) -> list[str]:
        """List what a loaded pack's requests were asked with of the missing *folder*."""
        return self._all_packs().list_folder(folder, prefix)

    def _all_packs(self) -> Packs:
        """Give the packs; the one that the environment names is read with their first use."""
        if not self._environ:
            return self.packs
        for path in filter(None, self._environ.get("QWENNB_PACK", "").split(os.pathsep)):
            self.packs.load(Pack.read(path), str(Path(path).resolve()), accept_figures=self._accepts_figures)
        self._environ = {}
        return self.packs

    def ledger(self, folder: Path, notebook: str) -> Ledger:
        """Open the ledger of *notebook* in *folder*, once for all."""
        memory = self.memory(folder)
        with self._lock:
            ledger = self._ledgers.get((folder, notebook))
            if ledger is None:
                ledger = self._ledgers[folder, notebook] = Ledger(memory, notebook)
            return ledger

    def settle(self, folder: Path) -> None:
        """Have everything written that was kept or spent in *folder* so far."""
        with self._lock:
            ledgers = [ledger for (home, _), ledger in self._ledgers.items() if home == folder]
        for ledger in ledgers:
            ledger.flush()
        with self._lock:
            memory = self._memories.get(folder)
        if memory is not None:
            memory.writer.flush(5.0)
        wait_for_retiring(5.0)

    async def engine(self) -> Engine:
        """Give the engine; it is made on the loop, with the first question. A loop that was given up took its own with it."""
        if self._engine is None or self._loop is not asyncio.get_running_loop():
            self._loop = asyncio.get_running_loop()
            self._engine = Engine(self._transport or SdkTransport(), self._transport or DirectTransport())
        return self._engine

    def close(self) -> None:
        """Write out what is being written and close the connections."""
        if self._pid != os.getpid():
            return
        with self._lock:
            memories, self._memories = list(self._memories.values()), WeakValueDictionary()
            ledgers, self._ledgers = list(self._ledgers.values()), WeakValueDictionary()
            self._kept = []
        engine, self._engine = self._engine, None
        try:
            if engine is not None:
                with suppress(QwenError):  # a loop that stands still closes nothing
                    self.bridge.run(engine.close())
        finally:  # who interrupts the closing of connections loses nothing that was spent or answered
            for ledger in ledgers:
                ledger.flush()
            for memory in memories:
                memory.writer.retire()
            wait_for_retiring(30.0)


_runtimes: dict[int, Runtime] = {}


def runtime() -> Runtime:
    """Give this process's runtime; a forked child has its own."""
    shared_runtime = _runtimes.get(os.getpid())
    if shared_runtime is None:
        # Two threads may come here at once, and both must be given the same: a dictionary's own step decides.
        made = Runtime(os.environ)
        shared_runtime = _runtimes.setdefault(os.getpid(), made)
        if shared_runtime is made:
            atexit.register(_close_at_exit, shared_runtime)
    return shared_runtime


def _close_at_exit(ending: Runtime) -> None:
    with suppress(KeyboardInterrupt):  # it ends the waiting, and is nothing to be told
        ending.close()


def source_from_packs(file: str, cap: int) -> bytes | None:
    """Find what the missing *file* was, in a pack that this process has loaded."""
    return runtime().source(file, cap)


look_elsewhere(source_from_packs, lambda folder, prefix: runtime().list_folder(folder, prefix))


def load_pack(path: str | os.PathLike[str], *, accept_figures: bool = False) -> Pack:
    """Recall from the pack in *path* too, in every client of this process, from now on.

    Parameters
    ----------
    path
        The pack's file.
    accept_figures
        Whether its answers are taken for figures that this matplotlib draws otherwise.

    Returns
    -------
    Pack
        The pack, as it was read.

    Raises
    ------
    PackRefused
        Where the file is no pack, or was damaged.

    Examples
    --------
    >>> from qwennb import load_pack
    >>> load_pack("missing.qwenpack")
    Traceback (most recent call last):
        ...
    qwennb.errors.PackRefused: There is no pack missing.qwenpack here. Give its path, or make it: qwennb pack NOTEBOOK.
    """
    return runtime().load(path, accept_figures=accept_figures)
