"""Killed, interrupted, locked out, out of disk: nothing that was acknowledged is paid for again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import pytest

from qwennb.client import Runtime
from qwennb.errors import CacheError
from qwennb.simulator import Reply
from tests.cache.records import name_of
from tests.client.killing import kill_again_and_again
from tests.conftest import NAMES, until


@pytest.mark.slow
@pytest.mark.parametrize("lane", ["async", "many"])
def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path, lane):
    toll = kill_again_and_again(tmp_path, kills=3, rows=200, seed=1, lane=lane)
    assert toll.kills == 3 and toll.acknowledged == 200
    assert toll.kept, toll


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_twenty_kills_lose_nothing_that_was_acknowledged(tmp_path):
    toll = kill_again_and_again(tmp_path, kills=20, rows=1000, seed=2)
    assert toll.kept, toll


def test_an_answer_is_durable_before_anyone_sees_it(simulate, client, tmp_path):
    """Another connection finds it in the file at the moment that ask returns."""
    client(simulate()).ask("Why?")
    with sqlite3.connect(f"file:{tmp_path / 'cache' / 'cache.db'}?mode=ro", uri=True) as other:
        assert other.execute("SELECT count(*) FROM Cache").fetchone() == (1,)


HOLDER = """
import sqlite3, sys
lock = sqlite3.connect(sys.argv[1], isolation_level=None)
lock.execute("BEGIN " + sys.argv[2])
print("held", flush=True)
sys.stdin.readline()
lock.execute("COMMIT")
"""


def holding(database, lock="IMMEDIATE"):
    """Another process that holds this lock of the store until it is told a line."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(database), lock],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout.readline() == "held\n"
    return holder


@pytest.mark.slow
def test_a_stream_goes_on_while_another_process_holds_the_write_lock(simulate, client, tmp_path):
    pieces = [f"{i} " for i in range(40)]
    sim = simulate(script=["first", Reply("".join(pieces), chunks=pieces, chunk_delay=0.025)])
    qwen = client(sim)
    qwen.ask("first")
    holder = holding(tmp_path / "cache" / "cache.db")
    stream, came, ended = qwen.stream("second"), [], threading.Event()

    def read():
        for piece in stream:
            came.append(piece.text)
        ended.set()

    reader = threading.Thread(target=read)
    reader.start()
    until(lambda: "".join(came) == "".join(pieces), "the pieces come while the lock is held")
    assert len(came) >= 10
    assert not ended.wait(0.5), "the end waits until the answer is durable"
    holder.communicate("\n")
    reader.join()
    assert str(stream.answer) == "".join(pieces)
    assert qwen.ask("second").cached


def test_no_more_is_asked_than_may_be_in_flight_while_nothing_can_be_kept(simulate, client, tmp_path):
    """A crash just then costs at most what was under way: a slow disk slows the asking down."""
    sim = simulate(script=lambda question: "first" if question.index == 0 else None)
    qwen = client(sim, concurrency=8)
    qwen.ask("first")
    holder = holding(tmp_path / "cache" / "cache.db")
    one_too_many = []

    def let_go():
        sim.ledger.wait_for(1 + 8, "asked", timeout=120)
        with contextlib.suppress(TimeoutError):
            sim.ledger.wait_for(1 + 9, "asked", timeout=0.5)
            one_too_many.append(True)
        holder.communicate("\n")

    release = threading.Thread(target=let_go)
    release.start()

    async def all_at_once():
        return await asyncio.gather(*(qwen.ask_async(f"question {n}") for n in range(40)))

    answers = asyncio.run(all_at_once())
    release.join()
    assert not one_too_many and len(answers) == 40 and sim.ledger.count("asked") == 41


def test_what_is_remembered_is_read_while_another_process_holds_the_write_lock(simulate, client, tmp_path):
    qwen = client(simulate())
    qwen.ask("first")
    holder = holding(tmp_path / "cache" / "cache.db")
    assert qwen.ask("first").cached
    assert holder.poll() is None, "nobody waited for the lock"
    holder.communicate("\n")


@pytest.mark.slow
def test_where_another_process_lets_nobody_read_for_too_long_the_question_is_asked(
    simulate, client, tmp_path
):
    asked = threading.Event()
    sim = simulate(script=lambda question: asked.set() if question.index else None)
    qwen = client(sim)
    qwen.ask("first")
    holder = holding(tmp_path / "cache" / "cache.db", "EXCLUSIVE")
    release = threading.Thread(target=lambda: (asked.wait(60), holder.communicate("\n")))
    release.start()
    assert not qwen.ask("second").cached
    release.join()
    assert qwen.ask("second").cached and sim.ledger.count("asked") == 2


INTERRUPTED = """
import sys, time
from qwennb import Qwen

qwen = Qwen(endpoint="openrouter+" + sys.argv[1], api_key="sk-sim", cache_dir=sys.argv[2], concurrency=16)
try:
    qwen.ask_many([f"question {n}" for n in range(400)], max_tokens=20, thinking=False)
    print("not interrupted")
except KeyboardInterrupt:
    print(time.monotonic())
"""


def interrupted(sim, folder, code, asked):
    """Run *code*, interrupt it once the server was asked so often, and say how many seconds it then took to come back."""
    reached = threading.Event()
    sim.script(lambda question: reached.set() if question.index >= asked else None)
    child = subprocess.Popen(
        [sys.executable, "-c", code, sim.base_url, str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert reached.wait(100)
    began = time.monotonic()  # one clock for all processes
    child.send_signal(signal.SIGINT)
    said, _ = child.communicate(timeout=250)
    assert said.strip() != "not interrupted"
    return float(said) - began


@pytest.mark.slow
def test_an_interrupt_returns_at_once_and_keeps_what_had_come(simulate, client, tmp_path):
    sim = simulate(latency=0.5)  # the whole would take 12 s
    assert interrupted(sim, tmp_path / "cache", INTERRUPTED, 48) < 10
    sim.ledger.wait_idle()
    paid = sim.ledger.count("paid")
    assert 16 <= paid < 300
    plan = client(sim).plan([f"question {n}" for n in range(400)], max_tokens=20, thinking=False)
    # Flash behind OpenRouter bills what is cancelled, so what was under way was drained and kept while the process lived.
    assert plan.known >= paid - 32


@pytest.mark.slow
def test_ctrl_c_during_one_question_returns_at_once(simulate, tmp_path):
    code = INTERRUPTED.replace(
        'qwen.ask_many([f"question {n}" for n in range(400)], max_tokens=20, thinking=False)',
        "qwen.ask('slow')",
    )
    assert interrupted(simulate(latency=90.0), tmp_path / "cache", code, 0) < 60


FULL = """
import resource, signal, sys, warnings
from qwennb import Qwen

qwen = Qwen(endpoint="openrouter+" + sys.argv[1], api_key="sk-sim", cache_dir=sys.argv[2])
qwen.ask("first")
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    print(qwen.ask("second"))
print(len(told), told[0].message)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
qwen.ask("second")
print(qwen.ask("second").cached, qwen.ask("first").cached)
"""


@pytest.mark.slow
def test_an_answer_that_cannot_be_kept_is_given_all_the_same_with_one_warning(simulate, tmp_path):
    """The disk is full for a while; what was kept stays, and keeping goes on once there is room."""
    sim = simulate()
    arguments = [sys.executable, "-c", FULL, sim.base_url, str(tmp_path / "cache")]
    child = subprocess.run(arguments, capture_output=True, text=True, timeout=120)
    answer, told, after = child.stdout.splitlines()
    assert answer.endswith("second")
    assert told.startswith("1 An answer could not be kept in the cache"), told
    assert after == "True True"


FULL_FOR_TWO = """
import resource, signal, sys, warnings
import polars as pl
from qwennb import Qwen

one, other = (Qwen("flash", endpoint=endpoint, api_key="sk-sim", cache_dir=sys.argv[1]) for endpoint in sys.argv[2:])
one.ask("first")
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
warnings.simplefilter("ignore")
frame = pl.DataFrame({"text": ["second", "third"]})
for client in (one, other):
    print(frame.qwen.ask("{{ text }}", client=client)["answer"].to_list())
"""


@pytest.mark.slow
def test_what_a_full_disk_did_not_take_of_one_endpoint_is_no_answer_of_another(simulate, tmp_path):
    sims = simulate("openrouter", script=lambda _: "one"), simulate("dashscope", script=lambda _: "other")
    endpoints = [f"{NAMES[sim.dialect]}+{sim.base_url}" for sim in sims]
    arguments = [sys.executable, "-c", FULL_FOR_TWO, str(tmp_path / "cache"), *endpoints]
    child = subprocess.run(arguments, capture_output=True, text=True, timeout=120)
    assert child.stdout.splitlines() == ["['one', 'one']", "['other', 'other']"], child.stderr


def test_a_forked_child_asks_for_itself(simulate, client):
    sim = simulate()
    qwen = client(sim)
    qwen.ask("before")
    pid = os.fork()
    if pid == 0:
        try:
            ok = qwen.ask("before").cached and str(qwen.ask("in the child"))
            os._exit(0 if ok else 1)
        except BaseException:
            os._exit(2)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert qwen.ask("in the child").cached


INTERRUPTED_AT_THE_END = """
import atexit, signal, sqlite3, sys
from pathlib import Path
from qwennb import Qwen
from qwennb.simulator import Simulator
with Simulator("openrouter", api_key="sk-sim") as sim:
    qwen = Qwen(endpoint=f"openrouter+{sim.base_url}", api_key="sk-sim", cache_dir=sys.argv[1])
    qwen.ask("Why?")
    qwen.session.runtime().settle(Path(sys.argv[1]))
    qwen.ask("Why else?")
    ledger = sqlite3.connect(Path(sys.argv[1]) / "ledger.sqlite3", isolation_level=None)
    ledger.execute("BEGIN EXCLUSIVE")  # what is still to be written can't be: the end waits

    def interrupt(*_):
        ledger.execute("ROLLBACK")
        raise KeyboardInterrupt

    signal.signal(signal.SIGALRM, interrupt)
    atexit.register(signal.alarm, 1)
"""


@pytest.mark.slow
def test_an_interrupt_at_the_end_of_a_process_ends_the_waiting_without_a_word(tmp_path):
    program, folder = [sys.executable, "-c", INTERRUPTED_AT_THE_END], tmp_path / "cache"
    done = subprocess.run([*program, str(folder)], capture_output=True, text=True, timeout=200)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_interrupt_while_a_folder_is_closed_leaves_no_other_open(tmp_path):
    runtime, gate = Runtime({}), threading.Lock()
    busy, other = (runtime.memory(tmp_path / name) for name in ("busy", "other"))
    gate.acquire()
    busy.writer.run(lambda store: gate.acquire(), lambda error: None)

    def is_open():
        try:
            return other.store.get(name_of(1)) is None
        except CacheError:
            return False

    def interrupt():
        with contextlib.suppress(AssertionError):
            until(lambda: not is_open(), "the other folder is closed", seconds=5)
        os.kill(os.getpid(), signal.SIGINT)

    interrupter = threading.Thread(target=interrupt)
    interrupter.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            runtime.close()
        assert not is_open()
    finally:
        gate.release()
        interrupter.join()
