"""Where an answer is seen, and what stands there until it begins: what is waited for, and for how long.

A line that counts is shown once the wait is long enough to be noticed. In a notebook it stands in the output that the
answer will have; in a terminal it is wiped away; in a file there is a line a minute. A front end that shows a kernel's
outputs as lines and updates none (`jupyter console`, qtconsole) is a terminal too.

The first question of a kernel waits for imports, so nothing heavy is imported here.
"""

from __future__ import annotations

import contextvars
import re
import shutil
import sys
import threading
import time
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from qwennb.terminal import drop_controls, flatten

SOON = 0.15  # seconds before a wait is worth a line; it is to stand there within 0.2
SECOND, MINUTE = 1.0, 60.0
NEVER = threading.TIMEOUT_MAX
WIPE = "\r\x1b[K"
# A message of jupyter_client, that of Python's front ends: its session, its process, its number.
_FROM_PYTHON = re.compile(r"[0-9a-f]+-[0-9a-f]+_\d+_\d+")


class _Counter:
    """Tells on a thread of its own how long has been waited, until it is stopped; after that, nothing."""

    def __init__(self, place: AnswerPlace, words: Callable[[], str]) -> None:
        self._place, self._words = place, words
        self._over = threading.Event()
        self._lock = threading.Lock()
        # In a kernel, what this thread shows belongs to the cell that waits.
        run = contextvars.copy_context().run
        threading.Thread(target=run, args=(self._count,), name="qwennb-waits", daemon=True).start()

    def _count(self) -> None:
        place, began, wait = self._place, time.monotonic(), self._place.first
        place.begin_thread()
        while not self._over.wait(wait):
            with self._lock:
                if self._over.is_set():
                    return
                seconds = int(time.monotonic() - began)
                place.tell(f"{self._words()} …{f' {seconds} s' if seconds else ''}")
            wait = place.every

    def stop(self) -> None:
        with self._lock:
            self._over.set()


class AnswerPlace:
    """Where an answer is seen. Here nothing is."""

    first, every = SOON, SECOND

    def __init__(self, begin_thread: Callable[[], None] = lambda: None) -> None:
        self.begin_thread = begin_thread
        """Called once on each thread that shows something here, before it does."""
        self._counter: _Counter | None = None

    @contextmanager
    def wait(self, words: Callable[[], str]) -> Iterator[None]:
        """Tell, while this lasts and until something is shown, that *words* are waited for."""
        self._counter = _Counter(self, words)
        try:
            yield
        finally:
            self.stop_waiting()

    def stop_waiting(self) -> None:
        """Tell no more."""
        if self._counter is not None:
            self._counter.stop()
            self._counter = None

    def tell(self, line: str) -> None:
        """Show *line* until something else is shown."""

    def leave(self) -> None:
        """Take away the line that tells, where nothing came after it."""


class CellPlace(AnswerPlace):
    """The output of a notebook's cell: one display, which is updated."""

    def __init__(self, begin_thread: Callable[[], None] = lambda: None) -> None:
        super().__init__(begin_thread)
        self._handle: Any = None
        self._tells = False

    def tell(self, line: str) -> None:
        """Show *line*, all of its signs as they are."""
        line = flatten(line)
        shown = "".join(sign if sign.isalnum() or sign in " …" else f"&#{ord(sign)};" for sign in line)
        self.publish({"text/markdown": shown, "text/plain": line}, grows=True)
        self._tells = True

    def leave(self) -> None:
        """Take away the line that tells: what a saved notebook holds must not tell how long somebody waited."""
        if self._tells:
            self.publish({"text/markdown": "", "text/plain": ""})

    @property
    def is_empty(self) -> bool:
        """Whether nothing but a line that tells was shown."""
        return self._handle is None or self._tells

    def publish(self, bundle: dict[str, Any], *, grows: bool = False) -> None:
        """Show *bundle*, in place of what was shown. What *grows* will be updated."""
        from IPython.display import DisplayHandle, display

        self._tells = False
        if self._handle is not None:
            self._handle.update(bundle, raw=True)
        elif grows:
            self._handle = DisplayHandle()  # type: ignore[no-untyped-call]
            self._handle.display(bundle, raw=True)
        else:
            display(bundle, raw=True)  # type: ignore[no-untyped-call]


class TerminalPlace(AnswerPlace):
    """A terminal, or a file. Text is broken at words to the width of a terminal."""

    def __init__(self, out: TextIO | None = None, *, is_seen: bool | None = None) -> None:
        super().__init__()
        self._out = out or sys.stdout
        self._is_seen = self._out.isatty() if is_seen is None else is_seen
        self._width = shutil.get_terminal_size().columns
        if not self._is_seen:
            self.first = self.every = MINUTE
        self._tells = False

    def stop_waiting(self) -> None:
        """Tell no more, and wipe away what was told."""
        super().stop_waiting()
        if self._tells:
            self._tells = False
            self.write(WIPE)

    def tell(self, line: str) -> None:
        """Show *line* in place of the last one; where nobody looks, below it, beside what is said."""
        if self._is_seen:
            self._tells = True
            self.write(WIPE + flatten(line)[: self._width - 1])
        else:
            sys.stderr.write(f"{flatten(line)}\n")
            sys.stderr.flush()

    def write(self, text: str) -> None:
        """Write *text* as it is."""
        self._out.write(text)
        self._out.flush()

    def wrapper(self, margin: str = "") -> Wrapper:
        """Make what breaks a text into lines for here, each behind *margin*."""
        return Wrapper(self._width if self._is_seen else 0, margin)


class Wrapper:
    """Breaks a text that comes in pieces at words. Code, tables, and lines without a space stay as they are.

    With a *width* of 0 nothing is broken. A word is held back until it is whole.
    """

    def __init__(self, width: int, margin: str = "") -> None:
        self._width, self._margin = width, margin
        self._column = 0  # signs of the line that are written, the margin apart
        self._gap = self._word = self._fence = ""
        self._is_whole = False  # a line that is not to be broken

    def add(self, text: str) -> str:
        """What of *text*, and of what was held back, is to be written."""
        made: list[str] = []
        # An escape sequence that comes in two pieces has lost its first character.
        for sign in drop_controls(text):
            if sign == "\n":
                made += [self._write_word(), self._end_line()]
            elif sign in " \t":
                made.append(self._write_word())
                self._gap += sign
            else:
                self._word += sign
        return "".join(made)

    def end(self) -> str:
        """What is still held back."""
        return self._write_word()

    def _write_word(self) -> str:
        if not self._word:
            return ""
        if not self._column:
            self._is_whole = self._is_code() or self._word[0] == "|"
        before, word = self._gap, self._word
        self._gap = self._word = ""
        wide = _width_of(word)
        if (
            self._column
            and not self._is_whole
            and 0 < self._width <= len(self._margin) + self._column + len(before) + wide
        ):
            self._column = wide
            return f"\n{self._margin}{word}"
        start = "" if self._column else self._margin
        self._column += len(before) + wide
        return f"{start}{before}{word}"

    def _is_code(self) -> bool:
        """Tell whether the line that begins with this word is code: in a fence, or indented."""
        mark = next((mark for mark in ("```", "~~~") if self._word.startswith(mark)), "")
        if mark and self._fence in ("", mark):
            self._fence = "" if self._fence else mark
            return True
        return bool(self._fence) or len(self._gap.expandtabs(4)) >= 4

    def _end_line(self) -> str:
        start = "" if self._column else self._margin.rstrip()
        self._column, self._gap, self._is_whole = 0, "", False
        return f"{start}\n"


def _width_of(word: str) -> int:
    """The columns that *word* takes in a terminal."""
    return sum(
        0 if unicodedata.combining(sign) else 2 if unicodedata.east_asian_width(sign) in "WF" else 1
        for sign in word
    )


def is_console(shell: Any) -> bool:
    """Tell whether *shell* is asked by a front end that types lines and shows none of a display's updates.

    A notebook says the id of the cell that runs; a program that runs notebooks takes no input.
    """
    if getattr(shell, "kernel", None) is None:
        return False
    parent = shell.get_parent()
    header, content = parent.get("header", {}), parent.get("content", {})
    is_typed = bool(content.get("allow_stdin")) and not parent.get("metadata", {}).get("cellId")
    return is_typed and _FROM_PYTHON.fullmatch(str(header.get("msg_id"))) is not None


def place_of(shell: Any, begin_thread: Callable[[], None], *, quiet: bool = False) -> AnswerPlace:
    """Choose where the answer to a cell of *shell* is seen; *begin_thread* is called on each thread that shows something there."""
    if quiet:
        return AnswerPlace()
    if not hasattr(shell, "kernel"):
        return TerminalPlace()
    if is_console(shell):
        return TerminalPlace(is_seen=True)
    made = CellPlace(begin_thread)
    if not _is_watched(shell):
        made.first = NEVER
    return made


def _is_watched(shell: Any) -> bool:
    """Tell whether somebody looks on while a cell runs: a program that runs notebooks takes no input and names no cell.

    nbval, one of these, knows of no updates: what it first sees of an answer must be the answer.
    """
    parent = shell.get_parent()
    return bool(parent.get("content", {}).get("allow_stdin") or parent.get("metadata", {}).get("cellId"))
