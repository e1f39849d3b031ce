import asyncio
import gc
import subprocess
import sys
import threading
import weakref
from contextlib import closing
from pathlib import Path

import pytest

from qwennb.cache.store import Store
from qwennb.cache.writer import Writer, wait_for_retiring
from qwennb.errors import CacheError

from .records import child, interrupt_at, name_of, value_of


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "c") as store:
        yield store


@pytest.fixture
def writer(store):
    with closing(Writer(store)) as writer:
        yield writer


def hold(writer):
    """Keep the writer busy until the returned lock is released."""
    begun, gate = threading.Lock(), threading.Lock()
    begun.acquire()
    gate.acquire()

    def job(store):
        begun.release()
        gate.acquire()

    writer.run(job, lambda error: None)
    begun.acquire()
    return gate


def test_a_record_is_acknowledged_when_another_process_can_read_it(store, writer):
    seen = []

    def look(process):
        with Store(store.folder) as other:
            process.tell(other.get(name_of(1)) == value_of(1))

    def done(error):
        with child(look) as process:
            seen.append((error, process.hear()))

    writer.put(name_of(1), value_of(1), done)
    assert writer.flush(30)
    assert seen == [(None, 1)]


def test_every_record_is_acknowledged_once_and_in_order(store, writer):
    told = []
    for n in range(2_500):
        writer.put(name_of(n), b"%d" % n, lambda error, n=n: told.append((n, error)))
    assert writer.flush(60)
    assert told == [(n, None) for n in range(2_500)]
    assert len(store) == 2_500


def test_what_queues_during_a_commit_is_committed_together(store, tmp_path):
    class Counted(Store):
        transactions = 0

        def put(self, records):
            self.transactions += 1
            super().put(records)

    with Counted(tmp_path / "counted") as store, closing(Writer(store)) as writer:
        writer.put(name_of(0), b"alone", lambda error: None)
        writer.flush(30)
        assert store.transactions == 1
        gate = hold(writer)
        for n in range(1, 501):
            writer.put(name_of(n), b"v", lambda error: None)
        gate.release()
        writer.flush(30)
        assert store.transactions == 2
        assert len(store) == 501


def test_a_job_runs_after_what_was_put_before_it(store, writer):
    seen, told = [], []
    writer.put(name_of(1), b"v", told.append)
    writer.run(lambda store: seen.append(len(store)), told.append)
    writer.run(lambda store: store.remove([name_of(1)]), told.append)
    writer.run(lambda store: 1 / 0, told.append)
    writer.run(lambda store: seen.append(len(store)), told.append)
    writer.flush(30)
    assert seen == [1, 0]
    assert [type(error) for error in told] == [type(None)] * 3 + [ZeroDivisionError, type(None)]


def test_one_record_that_can_not_be_written_does_not_fail_the_others(store, writer):
    from qwennb.cache.record import Name

    gate, told = hold(writer), []
    writer.put(name_of(1), b"good", lambda error: told.append((1, error)))
    writer.put(Name("0" * 64, "lone surrogate \ud800"), b"bad", lambda error: told.append((2, error)))
    writer.put(name_of(3), b"good", lambda error: told.append((3, error)))
    gate.release()
    writer.flush(30)
    assert [(n, type(error)) for n, error in told] == [
        (1, type(None)),
        (2, UnicodeEncodeError),
        (3, type(None)),
    ]
    assert store.get_many([name_of(1), name_of(3)]) == {name_of(1): b"good", name_of(3): b"good"}


def test_what_is_not_bytes_is_refused_where_it_is_put(writer):
    with pytest.raises(TypeError, match="bytes"):
        writer.put(name_of(1), "text", lambda error: None)


def test_whoever_is_gone_when_the_acknowledgement_comes_does_no_harm(store, writer):
    loop = asyncio.new_event_loop()
    loop.close()
    writer.put(name_of(1), b"v", lambda error: loop.call_soon_threadsafe(print, error))
    writer.put(name_of(2), b"w", lambda error: None)
    assert writer.flush(30)
    assert len(store) == 2


def test_closing_writes_what_is_queued_and_refuses_what_comes_later(store):
    writer = Writer(store)
    gate, told = hold(writer), []
    for n in range(50):
        writer.put(name_of(n), b"v", told.append)
    threading.Timer(0.05, gate.release).start()
    writer.close()
    assert told == [None] * 50
    with Store(store.folder) as again:  # the writer has closed its own
        assert len(again) == 50
    with pytest.raises(CacheError, match="closed"):
        writer.put(name_of(60), b"v", told.append)
    assert writer.flush(1)
    writer.close()


def test_a_flush_gives_up_in_time(writer):
    gate = hold(writer)
    assert writer.flush(0.01) is False
    gate.release()
    assert writer.flush(30) is True


def test_the_writer_can_not_wait_for_itself(store, writer):
    told = []
    writer.run(lambda store: writer.flush(), told.append)
    writer.flush(30)
    assert isinstance(told[0], RuntimeError)


COUNT = """
import os, sys
from pathlib import Path
from qwennb.cache.store import Store
from qwennb.cache.writer import Writer
from tests.cache.records import name_of

threads = lambda: len(os.listdir("/proc/self/task"))  # the writer's thread is none of threading's
store = Store(Path(sys.argv[1]))
before = threads()
writer = Writer(store)
assert writer.flush(1)
assert threads() == before
writer.put(name_of(1), b"v", lambda error: None)
assert threads() == before + 1
writer.close()
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="counts threads in /proc")
def test_a_writer_that_was_never_used_has_no_thread(tmp_path):
    """In a process of its own: in this one, threads of other tests come and go."""
    subprocess.run([sys.executable, "-c", COUNT, tmp_path / "c"], check=True, timeout=120)


def test_what_is_queued_when_the_interpreter_ends_is_still_written(tmp_path):
    program = (
        "import sys; from pathlib import Path; from qwennb.cache.store import Store;"
        "from qwennb.cache.writer import Writer; from tests.cache.records import name_of\n"
        "writer = Writer(Store(Path(sys.argv[1])))\n"
        "for n in range(300): writer.put(name_of(n), b'v', lambda error: None)\n"
    )
    subprocess.run([sys.executable, "-c", program, tmp_path / "c"], check=True, timeout=120)
    with Store(tmp_path / "c") as store:
        assert len(store) == 300


def test_a_forked_child_has_a_writer_of_its_own(store, writer):
    gate = hold(writer)
    writer.put(name_of(1), b"the parent's", lambda error: None)

    def work(process):
        told = []
        writer.put(name_of(2), b"the child's", told.append)
        assert writer.flush(30)
        assert told == [None]
        process.tell(len(store))

    with child(work) as process:
        assert process.hear() == 1  # what was queued in the parent is the parent's
        assert process.end() == 0
    gate.release()
    assert writer.flush(30)
    assert store.get_many([name_of(1), name_of(2)]) == {
        name_of(1): b"the parent's",
        name_of(2): b"the child's",
    }


def test_a_stream_goes_on_while_another_process_holds_the_lock(store, writer):
    """The loop that waits for an acknowledgement does everything else meanwhile."""
    from .test_store import hold_the_lock

    async def stream():
        loop = asyncio.get_running_loop()
        kept = loop.create_future()
        writer.put(name_of(1), b"v", lambda error: loop.call_soon_threadsafe(kept.set_result, error))
        pieces = 0
        while pieces < 200:
            await asyncio.sleep(0)
            assert store.get(name_of(1)) is None
            pieces += 1
        assert not kept.done()
        other.go()
        assert await asyncio.wait_for(kept, 30) is None
        assert store.get(name_of(1)) == b"v"

    with child(hold_the_lock, store.folder, "IMMEDIATE") as other:
        other.hear()
        asyncio.run(stream())


@pytest.mark.slow
def test_a_closed_writer_is_held_by_nothing(store):
    with closing(Writer(store)) as writer:
        writer.put(name_of(1), b"v", lambda error: None)
    held = weakref.ref(writer)
    del writer
    gc.collect()
    assert held() is None


def test_after_an_interrupt_in_closing_nobody_waits_for_an_end_that_was_not_ordered(store):
    writer, told = Writer(store), []
    writer.put(name_of(1), b"v", told.append)
    with pytest.raises(KeyboardInterrupt), interrupt_at("add"):  # among those that are about to end
        writer.close()
    assert wait_for_retiring(0.1) and writer.flush(30)
    assert told == [None]
    writer.close()
    with pytest.raises(CacheError, match="closed"):
        store.get(name_of(1))
