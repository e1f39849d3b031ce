"""The chat: a conversation in a cell.

    record     the conversation, as Markdown that the notebook keeps (see `static`)
    panel      the question under way as it grows, then the controls

Handlers of buttons only tell the conversation what to do and return; a thread draws what has changed, five times a
second at most, so that nothing waits for a browser. All that a model or a user wrote is shown as inert Markdown in an
`Output`, or as the text of a text area. Labels are typeset as mathematics by front ends: only our own words stand there.

Core widgets tell no single keys. Enter is seen as the line break that it puts at the end of the text, and sends it;
Shift-Enter looks the same. A backslash before Enter, or Enter inside the text, breaks the line. Escape is not seen: Stop
is where Send was, one Tab away from the text.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from qwennb.answer import Page, markup
from qwennb.catalog import Catalog
from qwennb.client import Chat, Qwen
from qwennb.errors import BadInput, QwenError
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
from qwennb.notebook.widgets.chat_controls import ChatControls
from qwennb.notebook.widgets.chat_talk import BranchingChat, ChatTurn
from qwennb.notebook.widgets.static import PersistentWidget

EVERY = 0.2
WORDS = 40  # characters of a question in a list


class ChatPanel:
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

    def __init__(
        self,
        client: Qwen | None = None,
        *,
        system: str | None = None,
        tools: Sequence[Any] = (),
        chat: Chat | None = None,
        **options: Any,
    ) -> None:
        if chat is not None and system is not None:
            raise BadInput("A chat has its system text from the start. Give chat= or system=, not both.")
        given = {**options, **({"system": system} if system else {})}
        self._lock = threading.RLock()
        self._news = threading.Event()
        self._closed = threading.Event()
        self._drawer: threading.Thread | None = None
        self._talk = BranchingChat(
            client or default_client(), chat=chat, tools=tools, options=given, changed=self._news.set
        )
        self._attached: list[Attached] = []
        self._editing: int | None = None
        self._saved: set[Path] = set()
        self._asked_to_run: Any = None
        self._controls = ChatControls(self, [model.name for model in Catalog.load_bundled().models()])
        self._exhibit = PersistentWidget(self._controls.box, about="chat", called="Chat")
        self._draw()

    def _ipython_display_(self) -> None:
        self._exhibit.show()
        if self._drawer is None:
            self._drawer = threading.Thread(target=self._draw_news, name="qwennb-chat-drawer", daemon=True)
            self._drawer.start()

    @property
    def chat(self) -> Chat:
        """What was said in this branch, to go on with in code."""
        return self._talk.chat

    @property
    def is_busy(self) -> bool:
        """Whether a question is under way."""
        return self._talk.asking is not None

    def close(self) -> None:
        """Take the controls away; the conversation stays in the notebook."""
        self._talk.stop()
        self._closed.set()
        self._news.set()
        with self._lock:
            self._draw()
            self._exhibit.close()

    # ------------------------------------------------------------------ what the controls call

    def send(self, text: str) -> None:
        """Ask *text*, with what is attached; in place of a turn where one is being edited."""
        question = TypedQuestion(text.strip("\n"), tuple(self._attached))
        if not question.text.strip() and not question.attached:
            raise BadInput("There is nothing to send: type a question first.")
        self._talk.ask(question, self._editing, **self._controls.settings)
        self._attached, self._editing = [], None
        self._controls.text = ""
        self._controls.say("")

    def stop(self) -> None:
        """Stop the question under way."""
        self._talk.stop()

    def consent(self, allowed: bool) -> None:
        """Allow or deny the call that is shown."""
        asking, call = self._talk.asking, self._asked_to_run
        if asking is not None and call is not None:
            asking.consent(call, allowed)
        self._news.set()

    def edit(self, number: int) -> None:
        """Put a turn's question into the text, to be asked anew."""
        question = self._turn(number).question
        self._editing, self._attached = number, list(question.attached)
        self._controls.text = question.text
        self._controls.say(f"Editing question {number + 1}. What follows it stays, as a branch of its own.")

    def again(self, number: int) -> None:
        """Ask a turn's question once more, for another answer."""
        self._turn(number)
        self._talk.again(number, **self._controls.settings)

    def branch(self, number: int) -> None:
        """Go on after a turn, and keep what followed it as another branch."""
        self._turn(number)
        if self.is_busy:
            raise BadInput("One question is still being answered. Stop it, or wait.")
        self._talk.branch(number + 1)
        self._controls.say(f"A new branch: it goes on after answer {number + 1}.")

    def go_to(self, branch: int) -> None:
        """Show another branch."""
        self._talk.go_to(branch)
        self._news.set()

    def attach_name(self, name: str) -> None:
        """Attach the value of a variable."""
        self._attach(value_named(name, self._names()))

    def attach_figure(self) -> None:
        """Attach the figure that was drawn last."""
        self._attach(attach("last figure", last_figure(_shell())))

    def attach_files(self, files: Sequence[Any]) -> None:
        """Attach pictures that were uploaded."""
        for file in files:
            self._attach(attach_upload(file))

    def attach_nothing(self) -> None:
        """Take away what is attached."""
        self._attached = []
        self._controls.say("Nothing is attached.")

    def save(self, where: str) -> None:
        """Keep the conversation: as a variable, as a chat file, or as Markdown where the name ends in .md."""
        where = where.strip()
        if where.isidentifier():
            self._names()[where] = self.chat
            self._controls.say(f"Saved as the variable {where}: {where}.ask(…) goes on with it.")
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
        self._controls.say(f"Saved in {path.name}.")

    def insert(self) -> None:
        """Put the code of the last answer into a new cell."""
        answered = [turn for turn in self._talk.turns if turn.answers and not turn.ended]
        if not answered:
            raise BadInput("There is no answer yet whose code could be inserted.")
        _shell().set_next_input(Page(answered[-1].answers).code)
        self._controls.say("The code is ready: run any cell, and it stands in a new one below that.")

    def tell(self, what: Callable[[], None]) -> None:
        """Do what a control asks for, and say so where it can't be done."""
        with self._lock:
            try:
                what()
            except QwenError as error:
                self._controls.say(str(error))
            except OSError as error:
                self._controls.say(f"That can't be written: {error.strerror}.")
        self._news.set()

    # ------------------------------------------------------------------ drawing

    def _draw_news(self) -> None:
        while not self._closed.is_set():
            self._news.wait()
            self._news.clear()
            with self._lock, contextlib.suppress(LookupError):  # a kernel that is being shut down
                if not self._closed.is_set():
                    self._draw()
            self._closed.wait(EVERY)

    def _draw(self) -> None:
        talk, controls = self._talk, self._controls
        turns, asking, question = talk.turns, talk.asking, talk.question
        number = len(talk.branches)
        branch = f"Branch {talk.here + 1} of {number}." if number > 1 else ""
        self._exhibit.keep(chat_page.markdown(turns, branch), chat_page.plain(turns, branch))
        if asking is not None and question is not None:
            self._asked_to_run = asking.call
            controls.show_growing(chat_page.under_way(len(turns) + 1, question, asking))
            controls.show_call("" if asking.call is None else chat_page.call_text(asking.call))
        else:
            self._asked_to_run = None
            controls.show_growing("")
            controls.show_call("")
        controls.show_busy(asking is not None, waits=self._asked_to_run is not None)
        controls.show_turns([_list_entry(n, turn) for n, turn in enumerate(turns, 1)], talk.here, number)
        controls.show_attached(", ".join(map(str, self._attached)), worth_attaching(self._names()))
        controls.show_cost(talk.summary)

    def _attach(self, one: Attached) -> None:
        self._attached.append(one)
        self._controls.say("")

    def _turn(self, number: int) -> ChatTurn:
        turns = self._talk.turns
        if not 0 <= number < len(turns):
            raise BadInput("There is no turn yet.")
        return turns[number]

    def _names(self) -> dict[str, Any]:
        shell = _shell()
        return {} if shell is None else shell.user_ns


def _list_entry(number: int, turn: ChatTurn) -> str:
    words = " ".join(markup.plain(turn.question.text).split())
    return f"{number}: {words if len(words) <= WORDS else words[: WORDS - 1] + '…'}"


def _shell() -> Any:
    from IPython import get_ipython

    return get_ipython()
