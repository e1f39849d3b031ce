"""Knowing of Ctrl-C at once, on any thread.

While polars runs a plan, Python's own handler can't: it waits until the main thread runs Python again, which with
polars' own threads at work is when everything is over. The C part of the handler does run at once, and writes the
signal's number to a file descriptor. That one is ours: a thread reads it, says so here, and passes the byte on to
whoever had the descriptor before us.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading


class Interrupts:
    """Counts the interrupts of this process."""

    def __init__(self) -> None:
        self.count = 0
        self._write: socket.socket | None = None
        self._before = -1
        self._pid = 0

    def listen(self) -> None:
        """Begin to listen, where that can be done: on the main thread, while an interrupt means KeyboardInterrupt."""
        if threading.current_thread() is not threading.main_thread():
            return
        if signal.getsignal(signal.SIGINT) is not signal.default_int_handler and not _in_kernel():
            return
        if self._write is None or self._pid != os.getpid():
            self._start()
        assert self._write is not None
        before = signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        if before != self._write.fileno():
            self._before = before

    def restore(self) -> None:
        """Give the descriptor back to whoever had it."""
        if self._write is None or threading.current_thread() is not threading.main_thread():
            return
        now = signal.set_wakeup_fd(-1)
        if now == self._write.fileno():
            now = self._before
        with contextlib.suppress(ValueError, OSError):  # closed in the meantime
            signal.set_wakeup_fd(now)

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


def _in_kernel() -> bool:
    # ipykernel puts its own handler in place of Python's and takes it away again for each cell.
    return getattr(signal.getsignal(signal.SIGINT), "__module__", "").startswith(("ipykernel", "IPython"))


INTERRUPTS = Interrupts()
