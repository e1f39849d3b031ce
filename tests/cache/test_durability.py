"""What is acknowledged is never lost, and what is read is never wrong, whatever happens to the process."""

import os
import random
import re
import resource
import shutil
import signal
import sqlite3
import subprocess
import threading
from contextlib import closing
from pathlib import Path

import pytest

from qwennb.cache.store import Store
from qwennb.cache.writer import Writer
from qwennb.errors import CacheError

from .records import child, name_of, value_of

ROLLBACK, WAL = (3, 40, 1), (3, 51, 3)


def write_for_ever(process, folder, first, journal):
    """Put records flat out and tell the number of each as soon as it is acknowledged."""
    store = Store(folder, sqlite=journal)
    writer, in_flight = Writer(store), threading.Semaphore(32)
    number = first
    while True:
        in_flight.acquire()

        def done(error, number=number):
            in_flight.release()
            if error is None:
                process.tell(number)

        writer.put(name_of(number), value_of(number), done)
        number += 1


def kill_again_and_again(folder, rounds, writers, journal, seed):
    """How many records were acknowledged before a kill; each is there and right after it."""
    draw, acknowledged = random.Random(seed), set()
    for _ in range(rounds):
        processes = [child(write_for_ever, folder, draw.randrange(2**40), journal) for _ in range(writers)]
        opened = [process.__enter__() for process in processes]
        told = []
        for process in opened:
            told += [process.hear() for _ in range(draw.randint(1, 80))]
        for process in opened:
            told += process.kill()
            assert process.end() == -signal.SIGKILL
        with Store(folder, sqlite=journal) as store:
            expected = {name_of(n): value_of(n) for n in told}
            assert store.get_many(expected) == expected
            assert store.problems == {}
        acknowledged.update(told)
    with Store(folder, sqlite=journal) as store:
        expected = {name_of(n): value_of(n) for n in acknowledged}
        assert store.get_many(expected) == expected
        assert store.problems == {}
    raw = sqlite3.connect(folder / "cache.db")
    assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    raw.close()
    return len(acknowledged)


@pytest.mark.parametrize(("journal", "rounds"), [(ROLLBACK, 10), (WAL, 5)], ids=["persist", "wal"])
@pytest.mark.slow
def test_a_killed_process_loses_nothing_that_was_acknowledged(tmp_path, journal, rounds):
    assert kill_again_and_again(tmp_path / "c", rounds, 1, journal, seed=1) > rounds


@pytest.mark.nightly
@pytest.mark.parametrize("journal", [ROLLBACK, WAL], ids=["persist", "wal"])
@pytest.mark.parametrize("writers", [1, 2])
def test_a_hundred_kills_lose_nothing_that_was_acknowledged(tmp_path, journal, writers, record_property):
    record_property("acknowledged", kill_again_and_again(tmp_path / "c", 100, writers, journal, seed=2))


# ---- a fault at every system call ------------------------------------------------------------------------------


def put_five(process, folder, number):
    process.wait_for_go()
    with Store(folder, sqlite=ROLLBACK) as store:
        for n in range(number, number + 5):
            try:
                store.put([(name_of(n), value_of(n))])
            except CacheError:
                continue
            process.tell(n)


def inject(fault, work, *arguments):
    """Run *work* under strace with one fault; the numbers acknowledged, and whether the fault came to pass."""
    with child(work, *arguments) as process:
        call = fault.split(":")[0]
        options = ["-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={fault}"]
        trace = subprocess.Popen(["strace", *options, "-p", str(process.pid)], stderr=subprocess.PIPE)
        status = Path(f"/proc/{process.pid}/status")
        while "TracerPid:\t0\n" in status.read_text():
            assert trace.poll() is None, trace.stderr.read()
        process.go()
        told = process.hear_all()
        code = process.end()
        trace.wait()
        trace.stderr.close()
    return told, code


CALLS = ("pwrite64", "fdatasync", "ftruncate", "fsync", "unlink")


def fault_everywhere(folder, most):
    """Every call of each kind in turn fails or kills, until none is left or enough were tried."""
    points, faults, acknowledged, number = 0, 0, set(), 0
    for kind in ("signal=KILL", "error=EIO", "error=ENOSPC"):
        for call in CALLS:
            for when in range(1, most + 1):
                told, code = inject(f"{call}:{kind}:when={when}", put_five, folder, number)
                points += 1
                faults += code != 0 or len(told) < 5
                acknowledged.update(told)
                assert code in (0, -signal.SIGKILL)
                with Store(folder, sqlite=ROLLBACK) as store:
                    expected = {name_of(n): value_of(n) for n in range(number + 5)}
                    found = store.get_many(expected)
                    assert found.items() <= expected.items()
                    assert {name_of(n) for n in acknowledged} <= found.keys()
                    assert store.problems == {}
                number += 5
                if code == 0 and len(told) == 5:
                    break  # there are fewer calls of this kind than that
    raw = sqlite3.connect(folder / "cache.db")
    assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    raw.close()
    return points, faults, len(acknowledged)


def strace_or_skip():
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed: faults can't be injected into system calls")


@pytest.mark.slow
def test_a_fault_at_any_system_call_loses_nothing_that_was_acknowledged(tmp_path, record_property):
    strace_or_skip()
    points, faults, acknowledged = fault_everywhere(tmp_path / "c", 4)
    record_property("points, faults and acknowledged", f"{points}, {faults}, {acknowledged}")
    assert faults > 12
    assert acknowledged > points


@pytest.mark.nightly
def test_a_fault_at_every_single_system_call_loses_nothing(tmp_path, record_property):
    strace_or_skip()
    record_property("points, faults and acknowledged", str(fault_everywhere(tmp_path / "c", 200)))


def recover_it(process, folder):
    process.wait_for_go()
    with Store(folder):
        process.tell()


@pytest.mark.filterwarnings("ignore::qwennb.cache.database.CacheWarning")
@pytest.mark.parametrize("most", [2, pytest.param(60, marks=pytest.mark.nightly)])
@pytest.mark.slow
def test_a_recovery_that_is_killed_at_any_moment_is_simply_done_again(tmp_path, most):
    strace_or_skip()
    records = {name_of(n): value_of(n, 868) for n in range(100)}
    with Store(tmp_path / "sound", sqlite=ROLLBACK) as store:
        store.put(records.items())
    killed = 0
    for call in ("pwrite64", "fdatasync", "unlink", "linkat", "link", "rename", "fsync"):
        for when in range(1, most + 1):
            shutil.rmtree(tmp_path / "c", ignore_errors=True)
            shutil.copytree(tmp_path / "sound", tmp_path / "c")
            with (tmp_path / "c" / "cache.db").open("r+b") as file:
                file.seek(100)
                file.write(bytes(3_900))
            told, code = inject(f"{call}:signal=KILL:when={when}", recover_it, tmp_path / "c")
            with Store(tmp_path / "c") as store:
                assert store.get_many(records) == records
            if code == 0:
                assert told
                break
            killed += 1
    assert killed > 5


# ---- interrupts -------------------------------------------------------------------------------------------------


def work_under_interrupts(process, folder, interrupts):
    store = Store(folder)
    writer = Writer(store)
    draw, left, number, armed = random.Random(3), interrupts, 0, False

    def interrupt(*_):
        nonlocal left, armed
        signal.setitimer(signal.ITIMER_REAL, draw.uniform(0.0005, 0.004) if left > 0 else 0)
        if armed:
            armed, left = False, left - 1
            raise KeyboardInterrupt

    def done(error, number):
        if error is None:
            process.tell(number)

    signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.001)
    while left > 0:
        try:
            while left > 0:
                armed = (
                    True  # each time: an interrupt that falls into a collector's callback is swallowed there
                )
                writer.put(name_of(number), value_of(number, 300), lambda error, n=number: done(error, n))
                number += 1
                store.get(name_of(number - 1))
                if number % 50 == 0:
                    store.get_many(name_of(n) for n in range(number - 50, number))
                    writer.flush(5)
        except KeyboardInterrupt:
            continue
    assert writer.flush(30)
    writer.put(name_of(10**9), b"alive", lambda error: process.tell(10**9 if error is None else -1))
    assert writer.flush(30)
    process.wait_for_go()


def interrupted(folder, interrupts):
    """Interrupt a process all the time; then it still writes, and so does another."""
    with child(work_under_interrupts, folder, interrupts) as process:
        told = set()
        while 10**9 not in told:
            told.add(process.hear())
            assert -1 not in told
            assert None not in told
        with Store(folder, write_patience=1.0) as store:
            store.put([(name_of(10**9 + 1), b"the other's")])
            told.discard(10**9)
            expected = {name_of(n): value_of(n, 300) for n in told}
            assert store.get_many(expected) == expected
        process.go()
        assert process.end() == 0
    return len(told)


@pytest.mark.slow
def test_interrupts_never_wedge_the_store(tmp_path):
    assert interrupted(tmp_path / "c", 300) > 50


@pytest.mark.nightly
def test_two_thousand_interrupts_never_wedge_the_store(tmp_path, record_property):
    record_property("acknowledged", interrupted(tmp_path / "c", 2_000))


# ---- a full disk ------------------------------------------------------------------------------------------------


def fill_the_disk(process, folder):
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with Store(folder) as store, closing(Writer(store)) as writer:
        errors = []
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))

        def done(error, number):
            if error is None:
                process.tell(number)
            else:
                errors.append(error)

        for number in range(120):
            writer.put(name_of(number), value_of(number, 5_000), lambda error, n=number: done(error, n))
            writer.flush(30)
        assert errors
        assert all(isinstance(error, CacheError) for error in errors)
        assert re.search("full", str(errors[0]))
        assert store.get(name_of(0)) == value_of(0, 5_000)
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        writer.put(name_of(1_000), value_of(1_000, 5_000), lambda error: done(error, 1_000))
        assert writer.flush(30)


@pytest.mark.slow
def test_a_full_disk_loses_nothing_and_writing_goes_on_once_there_is_room(tmp_path):
    with child(fill_the_disk, tmp_path / "c") as process:
        told = process.hear_all()
        assert process.end() == 0
    assert 20 < len(told) < 120
    assert 1_000 in told
    with Store(tmp_path / "c") as store:
        expected = {name_of(n): value_of(n, 5_000) for n in told}
        assert store.get_many(expected) == expected
        assert store.problems == {}
    raw = sqlite3.connect(tmp_path / "c" / "cache.db")
    assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    raw.close()


@pytest.mark.slow
def test_two_processes_that_write_the_same_names_neither_fail_nor_wait_long(tmp_path, record_property):
    """Each waits for its own acknowledgement, as a run of rows does."""
    folder = tmp_path / "c"
    Store(folder).close()

    def work(process):
        from time import perf_counter

        process.wait_for_go()
        with Store(folder) as store:
            for n in range(60):
                start = perf_counter()
                store.put([(name_of(n), value_of(n, 868))])
                process.tell(int((perf_counter() - start) * 1e6))

    with child(work) as one, child(work) as two:
        one.go()
        two.go()
        waits = sorted(one.hear_all() + two.hear_all())
        assert (one.end(), two.end()) == (0, 0)
    record_property("p99_wait_ms", waits[int(len(waits) * 0.99)] / 1e3)
    assert len(waits) == 120
    assert waits[-4] < 5_000_000
    with Store(folder) as store:
        assert len(store) == 60


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts descriptors in /proc")
def test_opening_and_closing_leaves_no_descriptor_behind(tmp_path):
    def used():
        """Of this folder alone: what other tests have left may be closed meanwhile."""
        links = [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd")]
        return [
            name for link in links if os.path.lexists(link) and str(tmp_path) in (name := os.readlink(link))
        ]

    Store(tmp_path / "c").close()
    for n in range(20):
        with Store(tmp_path / "c") as store:
            store.put([(name_of(n), b"v")])
            store.get(name_of(n))
    assert used() == []
