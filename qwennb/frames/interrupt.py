"""Knowing of Ctrl-C at once, on any thread, and raising it once.

While polars runs a plan, Python's own handler can't: it waits until the main thread runs Python again, which with
polars' own threads at work is when everything is over. The C part of the handler does run at once, and writes the
signal's number to a file descriptor. That one is ours: a thread reads it, counts here, and passes the byte on to
whoever had the descriptor before us. Whoever waits for answers on a thread of polars' sees the count and gives up.

polars then raises KeyboardInterrupt, and Python's handler, at last, would raise it a second time, in the middle of
whatever deals with the first. So a handler of our own stands before Python's, and lets that one pass.

Both are in place while a lazy plan or an expression of ours lives, and only where an interrupt means
KeyboardInterrupt: who has a handler of their own keeps it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import weakref
from types import FrameType


class Interrupts:
    """Counts the interrupts of this process."""

    def __init__(self) -> None:
        self.count = 0
        self._left = self._passed = 0  # interrupts that polars raises, and those let pass for it
        self._plans: weakref.WeakSet[object] = weakref.WeakSet()
        self._write: socket.socket | None = None
        self._before = -1
        self._pid = 0

    def listen_while(self, plan: object) -> None:
        """Listen for as long as *plan* lives."""
        # The younger of two weak references is told first: the plan is out of the set when `_gone` looks.
        weakref.finalize(plan, self._stop_listening).atexit = False
        self._plans.add(plan)
        self.listen()

    def listen(self) -> None:
        """Take the place of Python's handler. Where that was undone, as between two cells, it can be done again."""
        if threading.current_thread() is not threading.main_thread() or not self._plans:
            return
        if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            return
        if self._write is None or self._pid != os.getpid():
            self._start()
        assert self._write is not None
        before = signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        if before != self._write.fileno():
            self._before = before
        signal.signal(signal.SIGINT, self._handle)

    def leave_it_to_polars(self) -> None:
        """Said on a thread of polars' own by who gives up: polars will raise the interrupt that has come."""
        self._left = self.count  # twice the same when two threads give up, so that no later interrupt is lost

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._left > self._passed:
            self._passed = self._left
            return
        signal.default_int_handler(number, frame)

    def _stop_listening(self) -> None:
        if not self._plans and threading.current_thread() is threading.main_thread():
            self._restore()

    def _restore(self) -> None:
        if signal.getsignal(signal.SIGINT) == self._handle:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if self._write is None:
            return
        now = signal.set_wakeup_fd(-1)
        with contextlib.suppress(ValueError, OSError):  # closed in the meantime
            signal.set_wakeup_fd(self._before if now == self._write.fileno() else now)

    def _start(self) -> None:
        read, self._write = socket.socketpair()
        self._write.setblocking(False)
        self._pid, self._before = os.getpid(), -1
        threading.Thread(target=self._read, args=(read,), name="qwennb-interrupts", daemon=True).start()

    def _read(self, read: socket.socket) -> None:
        while signals := read.recv(64):
            self.count += signals.count(signal.SIGINT)
            if self._before >= 0:
                with contextlib.suppress(OSError):
                    os.write(self._before, signals)


INTERRUPTS = Interrupts()
