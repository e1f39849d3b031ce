"""An answer as it comes, piece by piece."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass

from qwennb.answer import Answer, Chunk
from qwennb.errors import Stopped


@dataclass(frozen=True, slots=True)
class Piece:
    """One piece of a stream: new text, new reasoning, or both."""

    text: str
    reasoning: str


class Stream:
    """An answer as it comes: iterate for the pieces; `answer` is the whole of it, at the end."""

    def __init__(self, chunks: Iterator[Chunk | Answer], stopped: threading.Event) -> None:
        self.chunks = chunks
        """What comes, as it comes, and the answer at the end: for whoever passes it on."""
        self._stopped = stopped
        self._answer: Answer | None = None

    def __iter__(self) -> Iterator[Piece]:
        for piece in self.chunks:
            if isinstance(piece, Answer):
                self._answer = piece
            elif piece.text or piece.reasoning:
                yield Piece(piece.text, piece.reasoning)

    def stop(self) -> None:
        """End it, from any thread: whoever reads it meets `Stopped`."""
        self._stopped.set()

    @property
    def answer(self) -> Answer:
        """The answer; reads the rest of the stream first."""
        for _ in self:
            pass
        if self._answer is None:
            raise Stopped("The stream was left before its answer was whole.")
        return self._answer
