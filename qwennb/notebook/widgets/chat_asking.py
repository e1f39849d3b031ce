"""A question under way: asked on a thread of its own, so that the kernel stays free.

    the session's tool loop  →  each step streamed, each tool only with consent  →  answers, and what was said

The thread only waits: the client's loop does the work. It can be stopped at any moment. A tool that runs can't be; it is
left to end by itself, and what it gives is dropped.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue

from qwennb.answer import Answer
from qwennb.client import Options, Session, Stream, turns_of
from qwennb.errors import QwenError, Stopped
from qwennb.request import Message, Request, ToolCall


class ChatQuestion:
    """One question. `changed` is called on its thread whenever there is something new to see; `ended`, once, at its end."""

    def __init__(
        self,
        session: Session,
        prepare: Callable[[], tuple[Request, Options]],
        *,
        is_allowed_always: Callable[[ToolCall], bool],
        changed: Callable[[], None],
        ended: Callable[[ChatQuestion], None],
    ) -> None:
        self.request: Request | None = None
        """What is asked, once it is made: an endpoint may have to be found for that."""
        self.answers: tuple[Answer, ...] = ()
        self.said: tuple[Message, ...] = ()
        self.error: Exception | None = None
        self.call: ToolCall | None = None
        """The call that waits for consent."""
        self._session, self._prepare = session, prepare
        self._is_allowed_always, self._changed, self._ended = is_allowed_always, changed, ended
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._consents: SimpleQueue[bool | None] = SimpleQueue()
        self._stream: Stream | None = None
        self._stopped = threading.Event()

    def start(self) -> None:
        """Ask."""
        threading.Thread(target=self._run, name="qwennb-chat", daemon=True).start()

    def stop(self) -> None:
        """Ask no further. What came is still to be read."""
        self._stopped.set()
        if self._stream is not None:
            self._stream.stop()
        self._consents.put(None)

    def consent(self, call: ToolCall, allowed: bool) -> None:
        """Whether *call*, which waits, may run. A consent that comes late is for no other call."""
        if call is self.call:
            self.call = None
            self._consents.put(allowed)

    @property
    def text(self) -> str:
        """What came of the answer so far."""
        return "".join(self._text)

    @property
    def reasoning(self) -> str:
        """What came of the reasoning so far."""
        return "".join(self._reasoning)

    def _run(self) -> None:
        try:
            self.request, options = self._prepare()
            if self._stopped.is_set():
                raise Stopped("Stopped.")
            self._session.run_tools(
                self.request,
                options,
                ask=lambda request: self._ask(request, options),
                approve=self._is_allowed,
                note=self._note,
            )
            self.said = turns_of(self.answers)
        except Exception as error:
            self.error = (
                error if isinstance(error, QwenError) else QwenError(f"{type(error).__name__}: {error}")
            )
        self._ended(self)

    def _ask(self, request: Request, options: Options) -> Answer:
        self._text, self._reasoning = [], []
        stream = self._session.stream(request, options)
        self._stream = stream
        if self._stopped.is_set():
            stream.stop()
        for piece in stream:
            if self._stopped.is_set():
                raise Stopped("Stopped.")
            self._text.append(piece.text)
            self._reasoning.append(piece.reasoning)
            self._changed()
        return stream.answer

    def _note(self, answers: Sequence[Answer]) -> None:
        self._text, self._reasoning = [], []
        self.answers = tuple(answers)
        self._changed()

    def _is_allowed(self, call: ToolCall) -> bool:
        if self._is_allowed_always(call) and not self._stopped.is_set():
            return True
        self.call = call
        self._changed()
        allowed = self._consents.get()
        if allowed is None or self._stopped.is_set():
            raise Stopped("Stopped.")
        return allowed
