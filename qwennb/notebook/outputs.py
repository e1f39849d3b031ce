"""What a cell has shown so far, so that a question in the middle of it can be cleared and nothing else.

A front end keeps what was typed as an output of the cell, and a kernel can only clear all of them. So what a cell shows
is noted on its way out, and put back once the question is answered, each display in its last state. Only cells that may
ask are listened to: those whose code has `--tools` in it.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from qwennb.notebook.place import is_console

MAY_ASK = "--tools"
LISTENS = 5.0  # seconds until a stream's own thread has begun to listen; it is never that long
_SHOWN = ("stream", "display_data")


class CellOutputs:
    """The outputs of the cell that runs."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._shown: list[tuple[str, dict[str, Any]]] = []
        self._clears = False
        self._listens = False
        self._puts_back = False

    def cell_begins(self, info: Any) -> None:
        """Listen to a cell that is about to run, if it may ask."""
        self._shown, self._clears = [], False
        may_ask = MAY_ASK in (getattr(info, "raw_cell", None) or "")
        if may_ask and hasattr(self._shell, "kernel") and not is_console(self._shell):
            self._listens = self._hook("register_hook")

    def cell_ended(self, result: Any) -> None:
        """Listen no more: the cell is over."""
        if self._listens:
            self._hook("unregister_hook")
            self._listens = False
        self._shown = []

    def listen_here(self) -> None:
        """Listen to what this thread shows too, until it ends: IPython's hooks on displays hold for one thread."""
        if self._listens:
            self._shell.display_pub.register_hook(self._note)

    @contextmanager
    def put_back(self) -> Iterator[None]:
        """Clear at the end what is asked inside, and put back what the cell had shown before."""
        try:
            yield
        finally:
            if self._listens:
                self._show_again()

    def _show_again(self) -> None:
        publisher = self._shell.display_pub
        sys.stdout.flush()
        sys.stderr.flush()
        self._puts_back = True
        try:
            publisher.clear_output(wait=bool(self._shown))  # with nothing to follow it would wait for ever
            for kind, content in self._shown:
                if kind == "stream":
                    stream = sys.stdout if content["name"] == "stdout" else sys.stderr
                    stream.write(content["text"])
                    stream.flush()
                else:
                    publisher.publish(
                        content["data"], content["metadata"], transient=content.get("transient")
                    )
        finally:
            self._puts_back = False

    def _hook(self, verb: str) -> bool:
        """Listen, or stop listening, to all that a cell shows; False where this kernel can't be listened to."""
        streams = (sys.stdout, sys.stderr)
        if not all(hasattr(stream, verb) and hasattr(stream, "pub_thread") for stream in streams):
            return False
        getattr(self._shell.display_pub, verb)(self._note)
        for stream in streams:  # a stream's hooks belong to the thread that sends
            done = threading.Event()

            def change(stream: Any = stream, done: threading.Event = done) -> None:
                getattr(stream, verb)(self._note)
                done.set()

            stream.pub_thread.schedule(change)  # type: ignore[union-attr]
            if not done.wait(LISTENS):
                return False
        return True

    def _note(self, message: dict[str, Any]) -> dict[str, Any]:
        """Note what *message* shows; it goes its way."""
        if not self._puts_back:
            kind, content = message["header"]["msg_type"], message["content"]
            if kind == "clear_output":
                self._clears = content["wait"]
                if not content["wait"]:
                    self._shown = []
            elif kind in _SHOWN:
                if self._clears:
                    self._shown, self._clears = [], False
                self._shown.append((kind, dict(content)))
            elif kind == "update_display_data":
                self._update(content)
        return message

    def _update(self, content: dict[str, Any]) -> None:
        name = content["transient"].get("display_id")
        for kind, shown in self._shown:
            if kind == "display_data" and shown.get("transient", {}).get("display_id") == name:
                shown.update(data=content["data"], metadata=content["metadata"])
