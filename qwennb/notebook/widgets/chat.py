"""The chat: a conversation in a cell.

The state is a conversation with branches (`chat_talk`) and at most one question under way (`chat_asking`), on a thread of
its own. What the panel draws of it, and the record that the notebook keeps, is made in `chat_page`; `chat.js` draws.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import traitlets

from qwennb.catalog import Catalog
from qwennb.client import Chat, Qwen
from qwennb.errors import BadInput, CacheError
from qwennb.frames import default_client
from qwennb.notebook.reports import last_figure
from qwennb.notebook.widgets import chat_page
from qwennb.notebook.widgets.chat_attach import (
    Attached,
    TypedQuestion,
    attach,
    attach_upload,
    value_named,
    worth_attaching,
)
from qwennb.notebook.widgets.chat_talk import BranchingChat, ChatTurn, read_turns, write_turns
from qwennb.notebook.widgets.inert import GrowingTree
from qwennb.notebook.widgets.journal import Journal, find_journal
from qwennb.notebook.widgets.panel import Panel, intent

THINKING: dict[str, Any] = {
    "model decides": None, "off": False, "on": True, "low": "low", "medium": "medium", "high": "high",
}  # fmt: skip


class ChatPanel(Panel):
    """A conversation in a cell: `ChatPanel(qwen)` as its last line, or `%qwen_chat`.

    Parameters
    ----------
    client : Qwen, optional
        Who asks; the notebook's default without it.
    system : str, optional
        The system text.
    tools : sequence of callable
        What the model may call; each call is allowed or denied by you.
    chat : Chat, optional
        A conversation to go on with.
    name : str, optional
        Which conversation of this notebook it is; without it, the cell's. A chat of a name goes on where it was, in this
        kernel and in the next.
    **options
        Those of every asking call.

    Attributes
    ----------
    chat : Chat
        What was said in this branch, to go on with in code.
    is_busy : bool
        Whether it is asking.

    Raises
    ------
    BadInput
        If both a chat and a system text are given, or an option is none.

    Examples
    --------
    >>> from qwennb import widgets
    >>> panel = widgets.ChatPanel(qwen, system="Be brief.")
    >>> panel.chat
    <Chat of 0 questions>
    """

    kind, title = "chat", "Chat"
    turns: traitlets.List[Any] = traitlets.List().tag(sync=True)
    asking = traitlets.Dict().tag(sync=True)
    grown = traitlets.Dict().tag(sync=True)
    tail = traitlets.Dict().tag(sync=True)
    branches = traitlets.List([0, 1]).tag(sync=True)
    attached: traitlets.List[Any] = traitlets.List().tag(sync=True)
    names: traitlets.List[Any] = traitlets.List().tag(sync=True)
    models: traitlets.List[Any] = traitlets.List().tag(sync=True)
    settings = traitlets.Dict().tag(sync=True)
    tools: traitlets.List[Any] = traitlets.List().tag(sync=True)
    summary = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        client: Qwen | None = None,
        *,
        system: str | None = None,
        tools: Sequence[Any] = (),
        chat: Chat | None = None,
        name: str | None = None,
        **options: Any,
    ) -> None:
        if chat is not None and system is not None:
            raise BadInput("A chat has its system text from the start. Give chat= or system=, not both.")
        self._talk = BranchingChat(
            client or default_client(),
            messages=chat.messages if chat is not None else (),
            tools=tools,
            options={**options, **({"system": system} if system else {})},
            changed=self.refresh,
        )
        self._attached: list[Attached] = []
        self._chosen: dict[str, str] = {"model": "", "thinking": "model decides"}
        self._saved: set[Path] = set()
        self._views: dict[int, tuple[ChatTurn, dict[str, Any]]] = {}
        self._call: tuple[int, Any] = (0, None)
        self._grows: tuple[Any, dict[str, tuple[str, GrowingTree]]] = (None, {})
        self._journal: Journal | None = None
        self._written: Any = None
        super().__init__(name=name)
        self.models = [model.name for model in Catalog.load_bundled().models()]
        self._resume()
        with self.lock:
            self._draw_now()

    @property
    def chat(self) -> Chat:
        """What was said in this branch, to go on with in code."""
        return self._talk.chat

    @property
    def is_busy(self) -> bool:
        """Whether a question is under way."""
        return self._talk.asking is not None

    def close(self) -> None:
        """Take the panel away; the conversation stays in the notebook."""
        if hasattr(self, "_talk"):  # one that could not be made is closed too
            self._talk.stop()
            super().close()

    # ------------------------------------------------------------------ what the browser may ask for

    @intent
    def send(self, text: str) -> None:
        """Ask *text*, with what is attached."""
        question = TypedQuestion(text.strip("\n"), tuple(self._attached))
        if not question.text.strip() and not question.attached:
            raise BadInput("There is nothing to send: type a question first.")
        self._talk.ask(question, **self._options())
        self._attached = []
        self.say("")

    @intent
    def stop(self) -> None:
        """Stop the question under way."""
        self._talk.stop()

    @intent
    def allow(self, call: int, always: bool = False) -> None:
        """Allow the call that is shown under this number; with *always*, each call of its tool until the kernel ends."""
        if (waits := self._waits(call)) is not None:
            asking, waiting = waits
            if always and (tool := self._talk.tools.get(waiting.name)) is not None:
                self._talk.always[waiting.name] = tool.function
            asking.consent(waiting, True)

    @intent
    def deny(self, call: int) -> None:
        """Deny the call that is shown under this number."""
        if (waits := self._waits(call)) is not None:
            asking, waiting = waits
            asking.consent(waiting, False)

    @intent
    def ask_again(self, tool: str) -> None:
        """Have a tool that was always allowed be asked about again."""
        self._talk.always.pop(tool, None)

    @intent
    def edit(self, number: int, text: str) -> None:
        """Ask *text* in place of a turn's question, with what was attached to that. What followed stays, as a branch."""
        question = TypedQuestion(text.strip("\n"), self._turn(number).question.attached)
        if not question.text.strip() and not question.attached:
            raise BadInput("There is nothing to send: type a question first.")
        self._talk.ask(question, number, **self._options())
        self.say("")

    @intent
    def again(self, number: int) -> None:
        """Ask a turn's question once more, for another answer."""
        self._turn(number)
        self._talk.again(number, **self._options())
        self.say("")

    @intent
    def branch(self, number: int) -> None:
        """Go on after the first *number* turns, and keep what followed them as another branch. After none: start over."""
        if self.is_busy:
            raise BadInput("One question is still being answered. Stop it, or wait.")
        if number:
            self._turn(number - 1)
        self._talk.branch(number)
        self.say(
            f"A new branch: it goes on after answer {number}." if number else "A new branch, from the start."
        )

    @intent
    def go_to(self, branch: int) -> None:
        """Show another branch."""
        if 0 <= branch < len(self._talk.branches):
            self._talk.go_to(branch)

    @intent
    def choose(self, model: str | None = None, thinking: str | None = None) -> None:
        """Ask another model, or have it think otherwise, from the next question on."""
        if model is not None:
            self._chosen["model"] = model.strip()
        if thinking in THINKING:
            self._chosen["thinking"] = str(thinking)

    @intent
    def attach_name(self, name: str) -> None:
        """Attach the value of a variable."""
        self._attach(value_named(name, self._names()))

    @intent
    def attach_figure(self) -> None:
        """Attach the figure that was drawn last."""
        self._attach(attach("last figure", last_figure(_shell())))

    @intent
    def attach_file(self, name: str, buffers: list[bytes]) -> None:
        """Attach a picture that was chosen, dropped or pasted."""
        for content in buffers:
            self._attach(attach_upload(name, content))

    @intent
    def detach(self, number: int) -> None:
        """Take away what is attached under this number."""
        if 0 <= number < len(self._attached):
            del self._attached[number]

    @intent
    def save(self, where: str) -> None:
        """Keep the conversation: as a variable, as a chat file, or as Markdown where the name ends in .md."""
        where = where.strip()
        if where.isidentifier():
            self._names()[where] = self.chat
            self.say(f"Saved as the variable {where}: {where}.ask(…) goes on with it.")
            return
        if not where:
            raise BadInput("Give a name for a variable, or a file such as chat.json or chat.md.")
        if not where.isprintable():
            raise BadInput("The name of a file holds no control characters. Give another name.")
        path = Path(where)
        if path.exists() and path not in self._saved:
            raise BadInput(f"{path.name} is there already. Give another name.")
        if path.suffix == ".md":
            path.write_text(self.chat.to_markdown(), encoding="utf-8")
        else:
            self.chat.save(path)
        self._saved.add(path)
        self.say(f"Saved in {path.name}.")

    # ------------------------------------------------------------------ drawing

    def draw(self) -> None:
        """Draw the conversation, and keep it."""
        talk = self._talk
        turns, asking, question = talk.turns, talk.asking, talk.question
        ids = [self._id(turn) for turn in turns]
        if ids != [turn["id"] for turn in self.turns]:
            self.turns = [self._view(turn) for turn in turns]
        if asking is None or question is None:
            self.asking, self.grown, self.tail = {}, {}, {}
        else:
            if asking.call is not self._call[1]:
                self._call = (self._call[0] + 1, asking.call)
            self.asking = chat_page.view_asking(len(turns), question, asking, self._call[0])
            self._grow(asking.answers, {"thought": asking.reasoning, "text": asking.text})
        number = len(talk.branches)
        self.branches = [talk.here, number]
        self.attached = [str(one) for one in self._attached]
        self.settings = dict(self._chosen)
        self.tools = [
            {"name": name, "about": " ".join(tool.description.split()), "always": name in talk.always}
            for name, tool in talk.tools.items()
        ]
        if asking is None:
            self.names, self.summary = worth_attaching(self._names()), talk.summary
            told = f"Branch {talk.here + 1} of {number}." if number > 1 else ""
            self.keep(chat_page.markdown(turns, told), chat_page.plain(turns, told))
            self._write_journal()

    def _grow(self, step: Any, texts: dict[str, str]) -> None:
        """Read what has come since the last drawing: what is finished of it is read, and sent, once."""
        if self._grows[0] is not step:
            self._grows = (step, {})
        tail = {}
        grown = dict.fromkeys(texts, 0)
        for name, text in texts.items():
            before, tree = self._grows[1].get(name, ("", GrowingTree()))
            if not text.startswith(before):
                before, tree = "", GrowingTree()
            tree.add(text[len(before) :])
            self._grows[1][name] = (text, tree)
            tail[name] = tree.read_tail()
            grown[name] = len(tree.finished)
        if grown != {name: len(nodes) for name, nodes in self.grown.items()}:
            self.grown = {name: list(tree.finished) for name, (_, tree) in self._grows[1].items()}
        self.tail = tail

    def _view(self, turn: ChatTurn) -> dict[str, Any]:
        if id(turn) not in self._views:
            self._views[id(turn)] = (turn, {"id": self._id(turn), **chat_page.view(turn)})
        return self._views[id(turn)][1]

    def _id(self, turn: ChatTurn) -> str:
        return f"{id(turn):x}"

    # ------------------------------------------------------------------ from kernel to kernel

    def _resume(self) -> None:
        """Go on with what the former panel of this name had, or what the journal tells of an earlier kernel."""
        session = self._talk.client.session
        self._journal = find_journal(session.config.cache_dir, self.kind, self.name, is_given=self.is_named)
        if self.former is not None:
            before = self.former._talk
            if self._talk.resume(before.branches, before.here):
                self._talk.always = before.always
            self.former = None
        elif self._journal is not None and (written := self._journal.read()):
            with contextlib.suppress(KeyError, TypeError, ValueError, IndexError, CacheError):
                branches = read_turns(written["branches"], session.memory)
                here = min(int(written["here"]), len(branches) - 1)
                lost = sum(map(len, written["branches"])) - sum(map(len, branches))
                if self._talk.resume(branches, max(0, here)) and lost:
                    self.say(f"Of this conversation {lost} answers are not in the cache any more.")

    def _write_journal(self) -> None:
        content = {"here": self._talk.here, "branches": write_turns(self._talk.branches)}
        if self._written is None:
            self._written = content  # as it was found
        if self._journal is not None and content != self._written:
            self._written = content
            try:
                self._journal.write(content)
            except OSError as error:
                self._journal = None
                self.say(f"This chat will not be remembered by the next kernel: {error.strerror}.")

    # ------------------------------------------------------------------

    def _waits(self, number: int) -> tuple[Any, Any] | None:
        """The question under way and its call that waits, if that is the one shown under *number*."""
        asking = self._talk.asking
        shown, call = self._call
        return (asking, call) if asking is not None and call is not None and shown == number else None

    def _options(self) -> dict[str, Any]:
        return {"model": self._chosen["model"] or None, "thinking": THINKING[self._chosen["thinking"]]}

    def _attach(self, one: Attached) -> None:
        self._attached.append(one)
        self.say("")

    def _turn(self, number: int) -> ChatTurn:
        turns = self._talk.turns
        if not 0 <= number < len(turns):
            raise BadInput("There is no such turn.")
        return turns[number]

    def _names(self) -> dict[str, Any]:
        shell = _shell()
        return {} if shell is None else shell.user_ns


def _shell() -> Any:
    from IPython import get_ipython

    return get_ipython()
