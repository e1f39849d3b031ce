"""Server-sent events, read from whatever pieces of bytes the network gives.

Only what language-model servers use: `data:` lines, blank lines between events, comments. The reader keeps to caps,
so that a server which never ends a line, or never ends at all, costs bounded memory.
"""

from __future__ import annotations

from collections.abc import Iterator

from qwennb.errors import ServerFailed

MOST_LINE = 16 << 20
MOST_BODY = 256 << 20
DONE = b"[DONE]"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class EventReader:
    """Takes bytes in, gives the data of whole events out. `done` is set by the `[DONE]` event; what follows it is not read."""

    __slots__ = ("_begins", "_buffer", "_data", "_most_body", "_most_line", "_taken", "done")

    def __init__(self, most_line: int = MOST_LINE, most_body: int = MOST_BODY) -> None:
        self._buffer = bytearray()
        self._data: list[bytes] = []
        self._taken = 0
        self._most_line = most_line
        self._most_body = most_body
        self._begins = True
        self.done = False

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """The data of each event that *piece* completes."""
        self._taken += len(piece)
        if self._taken > self._most_body:
            raise ServerFailed(
                f"The answer is over {self._most_body >> 20} MiB and still going; it was cut off.",
                maybe_billed=True,
                transient=False,
            )
        scanned = max(len(self._buffer) - 1, 0)
        self._buffer += piece
        start = 0
        while (end := self._line_end(max(start, scanned))) is not None:
            line = bytes(self._buffer[start : end[0]])
            start = end[1]
            scanned = start
            if (event := self._take(line)) is not None:
                yield event
            if self.done:
                self._buffer.clear()
                return
        del self._buffer[:start]
        if len(self._buffer) > self._most_line:
            raise ServerFailed(
                f"One line of the answer is over {self._most_line >> 20} MiB; it was cut off.",
                maybe_billed=True,
                transient=False,
            )

    def end(self) -> Iterator[bytes]:
        """The last event, when the stream ended without a blank line after it."""
        if self._buffer:
            line, self._buffer = bytes(self._buffer), bytearray()
            if (event := self._take(line)) is not None:
                yield event
        if (event := self._take(b"")) is not None:
            yield event

    def _line_end(self, start: int) -> tuple[int, int] | None:
        newline = self._buffer.find(b"\n", start)
        if newline < 0:
            return None
        at = newline - 1 if newline and self._buffer[newline - 1 : newline] == b"\r" else newline
        return at, newline + 1

    def _take(self, line: bytes) -> bytes | None:
        if self._begins:
            self._begins, line = False, line.removeprefix(BYTE_ORDER_MARK)
        if line:
            if line.startswith(b"data:"):
                self._data.append(line[6:] if line[5:6] == b" " else line[5:])
            return None
        if not self._data:
            return None
        data = b"\n".join(self._data)
        self._data.clear()
        if data.strip() == DONE:
            self.done = True
            return None
        return data
