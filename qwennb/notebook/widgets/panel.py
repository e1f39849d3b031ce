"""The base of every panel: state in Python, drawn by a small module in the browser.

A panel has three files: `chat.py` (a class on `Panel`), `chat.js`, and, where it needs one, `chat.css`.

    class Chat(Panel):
        kind, title = "chat", "Chat"                     # chat.js and chat.css beside this file; what the frame is called
        turns = traitlets.List().tag(sync=True)          # state is plain JSON, and only Python writes it

        def __init__(self, *, name=None):
            super().__init__(name=name)                  # `name` is who it is; else notebook cell and number
            if self.former is not None: ...              # the panel of this name that was there before, in this kernel

        @intent
        def send(self, text: str) -> None: ...           # what the browser may ask for; a kind is a method's name

        def draw(self) -> None:                          # state → traits, under `self.lock`; on a thread of ours
            self.turns = [...]
            self.keep("the record as *Markdown*", "as plain text")

**Intents.** The module says `ui.act("send", {text: "hi"})`; a test says `panel.act("send", text="hi")`, and takes the very
same way. Only methods marked `@intent` are called, only with fields that fit their annotations (str, int, float, bool,
list, dict, each also `| None`); all else is refused without a word. What such a method raises is put into `notice`, the
line below the panel; nothing reaches the comm. It runs under `self.lock` and returns at once: what takes time goes on a
thread. Bytes come as `buffers: list` (`ui.act("attach", {name}, [arrayBuffer])`, `panel.act("attach", name=…, buffers=[…])`).

**Drawing.** Call `refresh()` on any thread when something has changed: `draw()` follows within 33 ms, at most 30 times a
second, and more seldom where much is sent (a server drops what exceeds a megabyte a second). Text of a model goes
through `inert.read_tree(text)`; the module shows the nodes by `text(nodes)`. A long text that grows: `inert.GrowingTree`.

**What stays.** A cell's output is the record (Markdown, `keep()`), then the panel; the record is hidden while the panel
stands below it and lives, and is all that is left without a kernel. Where nobody looks (nbclient, a terminal) there is
no panel. `static.py` says the rest. A panel shown in marimo has no record.

**Who it is.** `model_id` follows from kind and name, so the same notebook run twice leaves the same bytes. A panel made
anew under its name finds the former one in `self.former`, closed: take over what it holds. `self.name` is the name that
was given or the cell's, "" where neither is known.

**The module.** `panel.js` says what there is: `make`, `draw`, `text`, `panel`, `icon`.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import threading
import types
import typing
import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import anywidget
import traitlets

from qwennb.errors import QwenError
from qwennb.notebook.widgets.beside import answers_beside_the_cell
from qwennb.notebook.widgets.static import OutputSlot, somebody_looks

T = TypeVar("T", bound=Callable[..., Any])
HERE = Path(__file__).parent
EVERY = 1 / 30  # seconds between two drawings
RATE = 400_000  # characters a second: jupyter_server drops what exceeds a million bytes
_NAMESPACE = uuid.UUID("6f5c1a52-6f0d-4c2e-9a1e-0d5b6a6d1c14")
_PANELS: WeakValueDictionary[str, Panel] = WeakValueDictionary()
_PLAIN = (str, int, float, bool, list, dict, types.NoneType)


def intent(method: T) -> T:
    """Let the browser call *method*, by its name, with fields that fit its annotations."""
    method.is_intent = True  # type: ignore[attr-defined]
    return method


class Panel(anywidget.AnyWidget):
    """What all panels have: the frame, intents, drawing in time, and a record that stays.

    Attributes
    ----------
    record : tuple of str
        What stays of it in the notebook, as Markdown and as plain text.
    """

    kind = "panel"
    title = "Panel"
    heading = traitlets.Unicode().tag(sync=True)
    notice = traitlets.Unicode().tag(sync=True)
    # How many intents were taken: without one more for long, the kernel is gone.
    heard = traitlets.Int().tag(sync=True)
    # The id of the cell that shows it, where the front end tells it.
    cell = traitlets.Unicode().tag(sync=True)

    def __init_subclass__(cls, **given: Any) -> None:
        """Join the module and the style sheet of *cls* to those of all panels: modules can't import each other."""
        if "kind" in cls.__dict__:
            cls._esm = _read("panel.js") + _read(f"{cls.kind}.js")
            cls._css = _read("panel.css") + _read(f"{cls.kind}.css")
        super().__init_subclass__(**given)

    def __init__(self, *, name: str | None = None) -> None:
        self.lock = threading.RLock()
        self.is_named, self.name = bool(name), name or _cell_name()
        made: dict[str, Any] = {}
        self.former: Any = None
        if self.name:
            made["model_id"] = uuid.uuid5(_NAMESPACE, f"{self.kind}:{self.name}").hex
            self.former = _PANELS.get(made["model_id"])
            if self.former is not None:
                self.former.close()
        self._news, self._ended = threading.Event(), threading.Event()
        self._drawer: threading.Thread | None = None
        self._record: OutputSlot | None = None
        self._place: OutputSlot | None = None
        self._kept = ("", "")
        super().__init__(**made, heading=self.title)
        _PANELS[self.model_id] = self
        answers_beside_the_cell(self)
        self.on_msg(lambda _, content, buffers: self._take(content, buffers))

    # ------------------------------------------------------------------ what a panel says for itself

    def draw(self) -> None:
        """Write the state into the traits, and `keep` the record. Called under `lock`."""

    def refresh(self) -> None:
        """Have the panel drawn soon. On any thread."""
        self._news.set()
        if self._drawer is None and not self._ended.is_set():
            with self.lock:
                if self._drawer is None:
                    self._drawer = threading.Thread(
                        target=self._draw_news, name=f"qwennb-{self.kind}-drawer", daemon=True
                    )
                    self._drawer.start()

    def say(self, text: str) -> None:
        """Say in a line below the panel how it went."""
        self.notice = " ".join(text.split())

    def keep(self, markdown: str, plain: str) -> None:
        """Make this the record. The Markdown is inert: see `OutputSlot.show`."""
        with self.lock:
            if (markdown, plain) == self._kept:
                return
            self._kept = (markdown, plain)
            if self._record is not None:
                self._record.show(markdown, plain)

    @property
    def record(self) -> tuple[str, str]:
        """What stays of it, as Markdown and as plain text."""
        return self._kept

    # ------------------------------------------------------------------ intents

    def act(self, kind: str, *, buffers: Sequence[bytes] = (), **fields: Any) -> None:
        """Do what the browser would ask for by this message."""
        self._take({"kind": kind, **fields}, buffers)

    def set_state(self, sync_data: Any) -> None:
        """Take nothing: the browser has no state that is not Python's."""

    def _take(self, content: Any, buffers: Any) -> None:
        if not isinstance(content, Mapping) or self._ended.is_set():
            return
        self.heard += 1
        kind = content.get("kind")
        method = getattr(type(self), kind, None) if isinstance(kind, str) else None
        if not getattr(method, "is_intent", False) or method is None:
            return
        fields = {str(name): value for name, value in content.items() if name not in ("kind", "buffers")}
        if buffers:
            fields["buffers"] = [bytes(one) for one in buffers]
        if not _fits(method, fields):
            return
        with self.lock:
            try:
                method(self, **fields)
            except QwenError as error:
                self.say(str(error))
            except OSError as error:
                self.say(f"That can't be done: {error.strerror or error}.")
            except Exception as error:
                self.say(f"That went wrong: {type(error).__name__}: {error}")
        self.refresh()

    # ------------------------------------------------------------------ showing

    def _ipython_display_(self) -> None:
        with self.lock:
            self._draw_now()
            self.cell = _cell_id()
            self._record, self._place = OutputSlot(self.kind), None
            self._record.show(*self._kept)
            if somebody_looks() and not self._ended.is_set():
                bundle = self._repr_mimebundle_()
                self._place = OutputSlot(self.kind, bundle[1] if bundle else {})  # what Colab wants to know
                line = f"{self.title}: run this cell to use it."
                self._place.show(f"*{line}*", f"[{line}]", self)

    def _repr_mimebundle_(self, **given: Any) -> Any:
        self.refresh()  # marimo asks for it, and shows the panel by itself
        return super()._repr_mimebundle_(**given)

    def close(self) -> None:
        """Take the panel away; its record stays in the notebook."""
        if "lock" not in self.__dict__:  # what it was to be made of was refused
            return
        with self.lock:
            if self._ended.is_set():
                return
            self._draw_now()
            self._ended.set()
            self._news.set()
            if self._place is not None:
                self._place.show("", "")
            layout = self.layout
            super().close()
            if layout is not None:  # a layout that is left would be saved with the notebook
                layout.close()

    def _draw_now(self) -> int:
        """Draw, and tell how much was sent."""
        if self._ended.is_set():
            return 0
        before = {name: getattr(self, name) for name in self._sent}
        with self.hold_sync():
            self.draw()
        changed = [getattr(self, name) for name, was in before.items() if getattr(self, name) is not was]
        return sum(len(json.dumps(value, ensure_ascii=False)) for value in changed)

    @property
    def _sent(self) -> list[str]:
        return [name for name in self.traits(sync=True) if not name.startswith("_") and name != "layout"]

    def _draw_news(self) -> None:
        while not self._ended.is_set():
            self._news.wait()
            self._news.clear()
            size = 0
            with self.lock, contextlib.suppress(LookupError):  # a kernel that is being shut down
                size = self._draw_now()
            self._ended.wait(max(EVERY, size / RATE))


def _fits(method: Callable[..., Any], fields: Mapping[str, Any]) -> bool:
    """Whether *fields* are what *method* takes."""
    try:
        inspect.signature(method).bind(None, **fields)
    except TypeError:
        return False
    hints = typing.get_type_hints(method)
    return all(_is_of(value, hints.get(name)) for name, value in fields.items())


def _is_of(value: Any, hint: Any) -> bool:
    kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    plain = [typing.get_origin(one) or one for one in kinds]
    if float in plain:
        plain.append(int)
    return any(one in _PLAIN and type(value) is one for one in plain)


@cache
def _read(file: str) -> str:
    path = HERE / file
    return path.read_text(encoding="utf-8") + "\n" if path.is_file() else ""


class _Cells:
    """How many panels each run of a cell has made: the second of a cell is another one than the first."""

    run: tuple[str, str] = ("", "")
    made = 0


def _parent() -> dict[str, Any]:
    """The message of the front end that the kernel is about."""
    from IPython import get_ipython

    parent: dict[str, Any] = getattr(get_ipython(), "get_parent", dict)()
    return parent


def _cell_id() -> str:
    return str(_parent().get("metadata", {}).get("cellId") or "")


def _cell_name() -> str:
    """Name what is made in a cell by the cell, which the front end tells, and by how many it has made before."""
    cell = _cell_id()
    if not cell:
        return ""
    run = (cell, str(_parent().get("header", {}).get("msg_id")))
    _Cells.run, _Cells.made = run, _Cells.made + 1 if run == _Cells.run else 1
    return f"{cell}/{_Cells.made}"
