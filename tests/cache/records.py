"""Records made from a seed, and processes that are forked, watched and killed."""

import hashlib
import os
import random
import select
import signal
import struct
import sys
from contextlib import contextmanager

from qwennb.cache.record import Name


def name_of(number, endpoint="openrouter"):
    return Name(hashlib.sha256(b"%d" % number).hexdigest(), endpoint)


def value_of(number, size=None):
    """Bytes that only this number has; one in ten is larger than a few pages."""
    draw = random.Random(number)
    size = draw.choice([0, 20, 300, 868, 868, 868, 2_000, 5_000, 5_000, 40_000]) if size is None else size
    return (b"%d:" % number + draw.randbytes(size))[: size or None]


class Child:
    """A forked process that runs a function and reports numbers through a pipe."""

    def __init__(self, work, *arguments):
        reports, report = os.pipe()
        orders, order = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            code = 70
            try:
                os.close(reports)
                os.close(order)
                self._reports, self._orders = report, orders
                work(self, *arguments)
                code = 0
            except BaseException:
                import traceback

                traceback.print_exc()
            finally:
                os._exit(code)
        os.close(report)
        os.close(orders)
        self._reports, self._orders = reports, order
        self._code = None

    # in the child

    def tell(self, number=0):
        os.write(self._reports, struct.pack("<q", number))

    def wait_for_go(self):
        os.read(self._orders, 1)

    # in the parent

    def go(self):
        os.write(self._orders, b"!")

    def hear(self, seconds=30):
        """The next number that the child tells, or None at its end."""
        ready, _, _ = select.select([self._reports], [], [], seconds)
        assert ready, "the child said nothing"
        told = os.read(self._reports, 8)
        return struct.unpack("<q", told)[0] if len(told) == 8 else None

    def hear_all(self):
        told = []
        while (number := self.hear()) is not None:
            told.append(number)
        return told

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)
        return self.hear_all()

    def end(self):
        """Wait for its end; its exit code, or minus the signal."""
        if self._code is None:
            _, status = os.waitpid(self.pid, 0)
            self._code = os.waitstatus_to_exitcode(status)
            os.close(self._reports)
            os.close(self._orders)
        return self._code


@contextmanager
def child(work, *arguments):
    process = Child(work, *arguments)
    try:
        yield process
    finally:
        if process._code is None:
            try:
                os.kill(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.end()


@contextmanager
def interrupt_at(name):
    """Interrupt this thread when the C function *name* has returned, as Ctrl-C would."""

    def watch(frame, seen, function):
        if seen == "c_return" and function.__name__ == name:
            raise KeyboardInterrupt

    sys.setprofile(watch)
    try:
        yield
    finally:
        sys.setprofile(None)
