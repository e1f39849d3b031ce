"""The one thread that writes: callers drop records into a queue and are told when they are on the disk.

An interrupt lands in the main thread only, so no interrupt ever stands between a transaction's beginning and its end.
The queue is a `SimpleQueue` because that one is written in C: an interrupt can't leave its lock held, as it can with
`queue.Queue`, and for the same reason nothing here waits on an `Event` or a `Condition`.

The thread takes what is queued and commits it at once. What arrives during a commit goes into the next one: an idle
writer never makes anybody wait, and a busy one needs few commits. A record is acknowledged after its commit, on this
thread, by calling its `done` with None or with what went wrong.
"""

from __future__ import annotations

import _thread
import atexit
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from qwennb.cache.record import Name
from qwennb.cache.store import Store
from qwennb.errors import CacheError

Done = Callable[[BaseException | None], None]

# What one commit may hold, for in the old journal nobody reads while it is being made, and who waits for a record waits for
# all that are committed with it.
MOST_RECORDS = 1_000
MOST_BYTES = 8 * 2**20
LAST_WORDS = (
    30.0  # seconds for what is queued when the interpreter ends: as long as a write waits for another process
)


@dataclass(frozen=True, slots=True)
class _Pending:
    name: Name
    value: bytes
    done: Done


@dataclass(frozen=True, slots=True)
class _Job:
    work: Callable[[Store], None]
    done: Done


class Writer:
    """Writes to a store on a thread of its own, which begins with the first record."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._closed = False
        self._begin_anew()
        _writers.add(self)
        atexit.register(self._flush_at_exit)

    def _begin_anew(self) -> None:
        # In a forked child, too: what was queued belongs to the parent, and so does the thread.
        self._queue: SimpleQueue[_Pending | _Job | None] = SimpleQueue()
        self._starting = threading.Lock()
        self._thread: int | None = None
        self._ended = threading.Lock()
        self._has_ended = False

    def put(self, name: Name, value: bytes, done: Done) -> None:
        """Have *value* kept. *done* is called on the writer's thread: with None once it is on the disk, or the error."""
        if type(value) is not bytes:
            raise TypeError(f"the store keeps bytes, not {type(value).__name__}")
        self._hand_over(_Pending(name, value, done))

    def run(self, job: Callable[[Store], None], done: Done) -> None:
        """Have *job* done on the writer's thread, after everything that was put before it."""
        self._hand_over(_Job(job, done))

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything put so far is on the disk or has failed; False where *timeout* came first."""
        if self._thread is None or self._has_ended:
            return True
        if self._closed:
            return self.wait(LAST_WORDS if timeout is None else timeout)
        if self._thread == _thread.get_ident():
            raise RuntimeError("the writer can't wait for itself")
        reached = threading.Lock()
        reached.acquire()
        self._hand_over(_Job(lambda store: None, lambda error: reached.release()))
        return reached.acquire(timeout=-1 if timeout is None else timeout)

    def _flush_at_exit(self) -> None:
        """Have what is queued written at the interpreter's end; an interrupt ends the waiting."""
        with suppress(KeyboardInterrupt):
            self.flush(LAST_WORDS)

    def close(self, timeout: float = LAST_WORDS) -> None:
        """Write what is queued, end the thread, close the store. What comes later is refused."""
        self.retire()
        self.wait(timeout)

    def retire(self) -> None:
        """Close without waiting: the store is closed behind the last record."""
        if self._closed:
            return
        if self._thread is None or self._has_ended:
            self._closed = True
            self._close_store()
        else:
            _retiring.add(self)
            self._queue.put(None)
            self._closed = True  # last: after an interrupt nobody waits for an end that was not ordered

    def wait(self, timeout: float = LAST_WORDS) -> bool:
        """Wait until the thread of a writer that was closed has ended; False where *timeout* came first."""
        if self._thread is None or self._thread == _thread.get_ident():
            return True
        if not self._ended.acquire(timeout=timeout):
            return False
        self._ended.release()
        return True

    def _close_store(self) -> None:
        atexit.unregister(self._flush_at_exit)
        self.store.close()

    def _hand_over(self, item: _Pending | _Job) -> None:
        if self._closed:
            raise CacheError("The cache was closed; nothing more is kept in it.")
        if self._thread is None:
            self._start()
        self._queue.put(item)
        if self._has_ended:  # closed at this very moment
            self._refuse_the_rest()

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                self._ended.acquire()
                # Not threading.Thread: its start() waits on an Event, which an interrupt can leave locked for good.
                self._thread = _thread.start_new_thread(self._work, ())

    def _work(self) -> None:
        try:
            for piece in _take_queued(self._queue):
                if isinstance(piece, _Job):
                    self._do(piece)
                else:
                    self._keep(piece)
                del piece  # what is done holds nothing: a folder is given back with the last that holds it
        finally:
            self._has_ended = True
            self._refuse_the_rest()
            with suppress(BaseException):
                self._close_store()
            _retiring.discard(self)
            self._ended.release()

    def _keep(self, records: list[_Pending]) -> None:
        error: BaseException | None = None
        try:
            self.store.put((record.name, record.value) for record in records)
        except CacheError as failed:
            error = failed
        except BaseException as failed:  # this thread outlives whatever it is
            if len(records) > 1:  # one that can't be written must not fail the others
                for record in records:
                    self._keep([record])
                return
            error = failed
        for record in records:
            _tell(record.done, error)

    def _do(self, job: _Job) -> None:
        try:
            job.work(self.store)
        except BaseException as error:
            _tell(job.done, error)
        else:
            _tell(job.done, None)

    def _refuse_the_rest(self) -> None:
        with suppress(Empty):
            while True:
                if (item := self._queue.get_nowait()) is not None:
                    _tell(item.done, CacheError("The cache was closed before this was kept."))


def _take_queued(queue: SimpleQueue[_Pending | _Job | None]) -> Iterator[list[_Pending] | _Job]:
    """Take what is queued, in order: single jobs, and records as many together as are there, up to the limits."""
    records: list[_Pending] = []
    size = 0
    while True:
        try:
            item = queue.get_nowait() if records else queue.get()
        except Empty:
            yield records
            records, size = [], 0
            continue
        if isinstance(item, _Pending):
            records.append(item)
            size += len(item.value)
            if len(records) < MOST_RECORDS and size < MOST_BYTES:
                del item
                continue
        if records:
            yield records
            records, size = [], 0
        if isinstance(item, _Job):
            yield item
        elif item is None:
            return
        del item


def _tell(done: Done, error: BaseException | None) -> None:
    with suppress(BaseException):  # whoever asked is gone, a closed loop for instance
        done(error)


_retiring: set[Writer] = set()


def wait_for_retiring(timeout: float) -> bool:
    """Wait until everything is on the disk that was kept in folders that nobody uses any more."""
    waited = [writer.wait(timeout) for writer in list(_retiring) if writer._closed]
    return all(waited)


_writers: weakref.WeakSet[Writer] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    _retiring.clear()
    for writer in list(_writers):
        writer._begin_anew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
