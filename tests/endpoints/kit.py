"""What the tests of this room share: simulated servers, clients that ask them, and a look into the store."""

import io
from dataclasses import dataclass

from PIL import Image

from qwennb import Qwen
from qwennb.simulator import Simulator

from ..conftest import NAMES

KEY = "sk-sim-0123456789"
HOSTED = ("openrouter", "dashscope")


def simulator(dialect, **settings):
    """A simulator that wants the key where the real server wants one."""
    return Simulator(dialect, api_key=KEY if dialect in HOSTED else None, **settings)


def client(sim, folder, **settings):
    """A client of *sim* with its answers in *folder*."""
    given = {"api_key": KEY, "timeout": 20.0} | settings
    return Qwen(endpoint=f"{NAMES[sim.dialect]}+{sim.base_url}", cache_dir=folder, **given)


def stored(qwen):
    """Every record in the client's folder, read back from the store."""
    return list(qwen.session.memory.store.items())


def png(width=32, height=24):
    """The bytes of a small picture."""
    file = io.BytesIO()
    Image.new("RGB", (width, height), (200, 40, 40)).save(file, "PNG")
    return file.getvalue()


def at(body, path):
    """The value at the dotted *path* in *body*."""
    for step in path.split("."):
        body = body[int(step)] if isinstance(body, list) else body[step]
    return body


@dataclass
class Bench:
    """One server under test with a client for it. `sim` is None where the server is real."""

    column: str
    qwen: Qwen
    sim: Simulator | None = None

    @property
    def real(self):
        return self.sim is None

    @property
    def dialect(self):
        return "llama.cpp" if self.sim is None else self.sim.dialect

    def script(self, *replies):
        """What the simulated model says next; a real one says what it likes."""
        if self.sim is not None:
            self.sim.script(list(replies))

    def read(self, path, value=..., *, entry=None):
        """The server read the field at *path* in the newest question; a real server does not tell."""
        if self.sim is None:
            return
        entry = entry or self.sim.ledger.last()
        known = [step for step in path.split(".") if not step.isdigit()]
        assert any(".".join(known[:n]) in entry.read for n in range(len(known), 0, -1)), (
            f"{path} was not read; read: {sorted(entry.read)}, ignored: {sorted(entry.ignored)}"
        )
        if value is not ...:
            assert at(entry.body, path) == value

    def absent(self, *names):
        """These fields did not go out."""
        if self.sim is not None:
            assert not set(names) & set(self.sim.ledger.last().body)

    def nothing_ignored(self):
        """No question carried a field that the server drops in silence, and none a null."""
        for entry in [] if self.sim is None else self.sim.ledger.asks():
            assert entry.ignored == frozenset()
            assert None not in entry.body.values()
