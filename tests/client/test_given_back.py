"""What a cache folder costs while clients use it, and that nothing of it is left when none does."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from qwennb.client import runtime


def threads() -> int:
    """Threads of the system, those that Python's `threading` does not know included."""
    return len(os.listdir("/proc/self/task"))


def descriptors(folder: Path) -> int:
    """Open files in *folder*."""
    links = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")]
    return sum(os.path.lexists(link) and os.readlink(link).startswith(str(folder)) for link in links)


needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts by /proc")


COUNT = """
import gc, os, sys, time
from pathlib import Path
from qwennb import Qwen
from qwennb.cache import wait_for_retiring
from tests.client.test_given_back import descriptors, threads

endpoint, folder = sys.argv[1], Path(sys.argv[2])
client = lambda name: Qwen(endpoint=endpoint, api_key="sk-sim", cache_dir=folder / name)
for n in range(20):  # as many threads as the loop ever takes for its small work are there before we count
    client("first").ask(f"Why {n}?")
gc.collect()
before = threads()
for n in range(20):
    assert client(f"folder {n}").ask("Why?").text
end = time.monotonic() + 60
while threads() > before or descriptors(folder):  # what was spent is written a quarter of a second later
    gc.collect()
    assert wait_for_retiring(60) and time.monotonic() < end, (threads(), before, descriptors(folder))
    os.sched_yield()
"""


@pytest.mark.slow
@needs_proc
def test_a_folder_that_no_client_uses_any_more_costs_no_thread_and_no_descriptor(simulate, tmp_path):
    """In a process of its own: in this one, threads of other tests come and go."""
    command = [sys.executable, "-c", COUNT, f"openrouter+{simulate().base_url}", str(tmp_path)]
    subprocess.run(command, check=True, timeout=250)


@needs_proc
def test_while_a_client_lives_its_folder_is_opened_once(simulate, client, tmp_path):
    qwen = client(simulate())
    qwen.ask("Why?")
    runtime().settle(tmp_path / "cache")  # what was spent is written a quarter of a second later
    memory, before = qwen.session.memory, descriptors(tmp_path)
    for n in range(5):
        qwen.ask(f"Why {n}?")
    runtime().settle(tmp_path / "cache")
    assert qwen.session.memory is memory and descriptors(tmp_path) == before


@pytest.mark.slow
def test_what_was_asked_by_a_client_that_is_gone_is_there_for_the_next_and_in_a_pack(simulate, client):
    sim = simulate()
    first = client(sim).ask("Why is it gone?")
    gc.collect()
    assert client(sim).ask("Why is it gone?") == first and sim.ledger.count("asked") == 1
    gc.collect()
    assert first.key in {name.key for name in runtime().pack().records}


@pytest.mark.slow
def test_what_a_client_that_is_gone_has_spent_is_written(simulate, client, tmp_path):
    sim = simulate()
    client(sim).ask("Why?")
    gc.collect()
    runtime().settle(tmp_path / "cache")
    rows = client(sim).session.memory.spendings.rows()
    assert sum(row.requests for row in rows) == 1


@pytest.mark.slow
def test_what_a_client_that_is_gone_has_kept_is_on_the_disk_when_the_program_ends(tmp_path):
    code = (
        "import sys, gc\n"
        "from qwennb import Qwen\n"
        "from qwennb.cache import Name\n"
        "qwen = Qwen(endpoint='openrouter', api_key='x', cache_dir=sys.argv[1])\n"
        "for n in range(3000):\n"
        "    qwen.session.memory.writer.put(Name(f'{n:064x}', 'openrouter'), b'x' * 20000, lambda error: None)\n"
        "del qwen\n"
        "gc.collect()\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "cache")], check=True, timeout=120)
    from qwennb.cache import Store

    with Store(tmp_path / "cache") as store:
        assert len(store) == 3000


@pytest.mark.slow
def test_answers_to_pictures_leave_no_pictures_in_memory(client, tmp_path):
    """Fifty pictures of a megabyte: all of them would be fifty."""
    from qwennb.testing import scripted

    qwen = scripted("ok", cache="on")
    bmp = b"BM" + (1_000_054).to_bytes(4, "little") + bytes(4) + (54).to_bytes(4, "little")
    head = (40).to_bytes(4, "little") + (500).to_bytes(4, "little") + (500).to_bytes(4, "little")
    rest = (1).to_bytes(2, "little") + (32).to_bytes(2, "little") + bytes(24)

    def picture(n: int) -> bytes:
        return bmp + head + rest + n.to_bytes(4, "little") * 250_000

    qwen.ask("What is it?", images=[picture(10_000)])
    tracemalloc.start()
    try:
        for n in range(50):
            qwen.ask("What is it?", images=[picture(n)])
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 15 * 2**20
