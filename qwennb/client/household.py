"""What all clients of a process share: the loop, the engine, one store and writer for each folder.

Shared, so that a question asked by two clients, two threads or two expressions is one flight, and one limiter speaks
for all of them.
"""

from __future__ import annotations

import atexit
import os
import threading
from functools import lru_cache
from pathlib import Path

from qwennb.cache import Memory, Spendings, Writer, open_store
from qwennb.client.bridge import Bridge
from qwennb.endpoints import DirectTransport, SdkTransport
from qwennb.engine import Engine, Ledger


class Household:
    """The bridge, the engine and the memories of this process."""

    def __init__(self) -> None:
        self.bridge = Bridge()
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._memories: dict[Path, Memory] = {}
        self._ledgers: dict[tuple[Path, str], Ledger] = {}
        self._pid = os.getpid()

    def memory(self, folder: Path) -> Memory:
        """The memory that lies in *folder*."""
        with self._lock:
            if folder not in self._memories:
                store = open_store(folder)
                self._memories[folder] = Memory(store, Writer(store), Spendings(folder))
            return self._memories[folder]

    def ledger(self, folder: Path, notebook: str) -> Ledger:
        """The ledger of *notebook* in *folder*."""
        memory = self.memory(folder)
        with self._lock:
            return self._ledgers.setdefault((folder, notebook), Ledger(memory, notebook))

    def settle(self, folder: Path) -> None:
        """Have everything written that was kept or spent in *folder* so far."""
        with self._lock:
            ledgers = [ledger for (place, _), ledger in self._ledgers.items() if place == folder]
        for ledger in ledgers:
            ledger.flush()
        self.memory(folder).writer.flush(5.0)

    async def engine(self) -> Engine:
        """The engine; made on the loop, with the first question."""
        if self._engine is None:
            self._engine = Engine(SdkTransport(), DirectTransport())
        return self._engine

    def close(self) -> None:
        """Write out what is being written and close the connections."""
        if self._pid != os.getpid():
            return
        with self._lock:
            memories, self._memories = list(self._memories.values()), {}
            ledgers, self._ledgers = list(self._ledgers.values()), {}
        if self._engine is not None:
            engine, self._engine = self._engine, None
            self.bridge.run(engine.close())
        for ledger in ledgers:
            ledger.flush()
        for memory in memories:
            memory.close()


@lru_cache(maxsize=1)
def _household(pid: int) -> Household:
    house = Household()
    atexit.register(house.close)
    return house


def household() -> Household:
    """This process's household; a forked child has its own."""
    return _household(os.getpid())
