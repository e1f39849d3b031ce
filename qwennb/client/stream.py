"""An answer as it comes, piece by piece."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass

from qwennb.answer import Answer, Chunk
from qwennb.errors import Stopped


@dataclass(frozen=True, slots=True)
class Piece:
    """One piece of a stream.

    Attributes
    ----------
    text, reasoning : str
        What is new of the answer, and of the thought before it.

    Examples
    --------
    >>> for piece in qwen.stream("What is the capital of France?"):
    ...     print(piece.text, end="")
    Paris
    """

    text: str
    reasoning: str


class Stream:
    """An answer as it comes: iterate for the pieces.

    Attributes
    ----------
    answer : Answer
        The whole answer; reads the rest of the stream first.

    Examples
    --------
    >>> stream = qwen.stream("What is the capital of France?")
    >>> [piece.text for piece in stream][-1]
    'Paris'
    >>> print(stream.answer)
    Paris
    """

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
        """End it, from any thread: whoever reads it meets `Stopped`.

        Examples
        --------
        >>> stream = qwen.stream("What is the capital of France?")
        >>> stream.stop()
        >>> stream.answer
        Traceback (most recent call last):
            ...
        qwennb.errors.Stopped: The stream was stopped before its answer was whole.
        """
        self._stopped.set()

    @property
    def answer(self) -> Answer:
        """The answer; reads the rest of the stream first."""
        for _ in self:
            pass
        if self._answer is None:
            raise Stopped("The stream was left before its answer was whole.")
        return self._answer
