"""One question of a cell: from what was typed to what is shown and bound.

The tool loop is the client's. Between its steps stand the cell's own concerns: a step that is to be asked is shown
while it comes, a tool runs only with consent.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

from qwennb.answer import Answer, Page, Usage
from qwennb.client import (
    Options,
    Plan,
    Qwen,
    QwenWarning,
    fit_window,
    make_plan,
    plan_pieces,
    split_request,
    turns_of,
)
from qwennb.errors import BadInput, nearest, show_in_one_line
from qwennb.notebook.chats import Chats, Conversation, Turn
from qwennb.notebook.consent import ask_consent
from qwennb.notebook.display import Screen, screen_of
from qwennb.notebook.interpolated import Interpolated
from qwennb.notebook.namespace import Scope, escape_braces
from qwennb.notebook.options import SETTINGS
from qwennb.notebook.outputs import CellOutputs
from qwennb.notebook.place import AnswerPlace
from qwennb.notebook.reports import show_state
from qwennb.notebook.stale import StaleTracker
from qwennb.request import Image, Message, Request, Video, recognise
from qwennb.warn import warn_user

_Read = Callable[[Scope, Any], Any]


@dataclass(slots=True)
class CellAsker:
    """Asks on behalf of one shell."""

    shell: Any
    client: Qwen
    chats: Chats
    stale_tracker: StaleTracker
    outputs: CellOutputs
    last: Request | None = None
    uses: int = 0
    """How often an answer had been used when `last` was asked."""

    def ask(self, typed: str, given: dict[str, Any], defaults: dict[str, Any], place: AnswerPlace) -> None:
        """Ask what was *typed*, with the options *given* on its line over the notebook's *defaults*; show it in *place*."""
        scope = Scope(self.shell)
        prompt, values = (escape_braces(typed), {}) if given.get("raw") else scope.fill(typed)
        if not typed.strip():
            raise BadInput("There is nothing to ask: the prompt is empty. %%qwen? shows how it is written.")
        options = self.client.session.with_defaults(options_of(given, defaults, scope))
        position, conversation = self.chats.next_position(), self._conversation(given)
        before = conversation.before(position)
        history = conversation.messages_before(before)
        if history and "system" in given:
            raise BadInput("A conversation has its system text from its first cell. Leave --system out here.")
        if given.get("plan"):
            show_state(str(self._plan(prompt, values, options, history)), "plan")
            return
        with place.wait(self._waits_for) if self.client.session.mode(options) != "replay" else nullcontext():
            request = self._build_request(prompt, values, options, history)
        page = self._page(request, options, place, given, scope.readings)
        self.stale_tracker.note_question(scope.readings, into=given.get("into"), key=page.answer.key)
        if given.get("into"):
            self.shell.user_ns[given["into"]] = page.answer
        conversation.turns[before:] = [Turn(position, request.messages[len(history) :] + page.said)]
        if given.get("chat") and (options.cache or self.client.session.config.cache) in ("on", "refresh"):
            self._store(conversation)
        if given.get("code") and not page.answer.cached:  # else each Run All would leave one cell more
            self.shell.set_next_input(page.code)

    def _waits_for(self) -> str:
        """Say what a request waits for that is being made."""
        known = self.client.session.known_endpoint
        return "looking for a model to ask" if known is None else f"preparing what {known.name} is asked"

    def _build_request(
        self, prompt: str, values: dict[str, Any], options: Options, history: tuple[Message, ...]
    ) -> Request:
        """Make the cell's request; with `overflow=map`, what is too long for the window is asked in pieces first."""
        session = self.client.session
        if options.overflow != "map":
            return session.build_request(prompt, values, options, history)
        if history:
            raise BadInput(
                "What goes in pieces is no turn of a conversation. Leave out overflow=map, or --chat."
            )
        return fit_window(session, prompt, values, options)

    def _plan(
        self, prompt: str, values: dict[str, Any], options: Options, history: tuple[Message, ...]
    ) -> Plan:
        session = self.client.session
        if options.overflow == "map" and not history:
            asked = split_request(session, prompt, values, options)
            requests, pieces = plan_pieces(session, asked, options)
            return make_plan(requests, session, options, pieces=pieces)
        return make_plan([session.build_request(prompt, values, options, history)], session, options)

    def _conversation(self, given: dict[str, Any]) -> Conversation:
        """Find the conversation that is meant; without a name one that ends with its question."""
        if (name := given.get("chat")) is None:
            return Conversation("")
        if given.get("resume"):
            return self.chats.resume(name, self.client.session.config.cache_dir, self.client)
        return self.chats.conversation(name)

    def _store(self, conversation: Conversation) -> None:
        """Store *conversation* for --resume. Where its folder can't be written, that was told with the first answer."""
        try:
            self.chats.store(conversation, self.client.session.config.cache_dir, self.client)
        except OSError as error:
            if self.client.session.memory.store.lasts:
                words = (
                    f"The conversation could not be stored ({error.strerror}), so --resume will not find it."
                )
                warn_user(words, QwenWarning)

    def _page(
        self,
        request: Request,
        options: Options,
        place: AnswerPlace,
        given: dict[str, Any],
        readings: Sequence[Interpolated],
    ) -> Page:
        """Ask, show, and give back what was shown. An interrupt leaves the partial answer, marked."""
        screen = screen_of(place)
        steps = _Steps(self, request, options, place, screen)
        approve = None if given.get("yes") else partial(ask_consent, outputs=self.outputs)
        try:
            self.client.session.run_tools(request, options, ask=steps.ask, approve=approve, note=steps.note)
        except BaseException as stop:
            screen.close()
            seen = steps.partial()
            if seen is not None:  # it stays, and is not taken for an answer
                screen.end(Page((*steps.answers, seen)))
            if not isinstance(stop, KeyboardInterrupt):
                raise
            if given.get("into") and seen is not None:
                self.shell.user_ns[given["into"]] = seen
            raise show_in_one_line(
                stop, "stopped; what had come stands above and is not remembered."
            ) from None
        inputs = {reading.source: reading.digest for reading in readings}
        page = Page(steps.answers, turns_of(steps.answers), as_code=bool(given.get("code")), inputs=inputs)
        screen.end(page)
        self.client.session.emit_warnings()
        return page


class _Steps:
    """The steps of one question, shown as they come."""

    def __init__(
        self, asker: CellAsker, request: Request, options: Options, place: AnswerPlace, screen: Screen
    ) -> None:
        self._asker, self._request, self._options = asker, request, options
        self._place, self._screen = place, screen
        self.answers: tuple[Answer, ...] = ()
        self._text: list[str] = []
        self._reasoning: list[str] = []

    def partial(self) -> Answer | None:
        """What came of a step that was interrupted, if something of it was shown. It is never kept."""
        if not self._text:
            return None
        return Answer(
            self._asker.last or self._request,
            text="".join(self._text),
            reasoning="".join(self._reasoning),
            usage=Usage(),
            endpoint=self._asker.client.endpoint.name,
            finish_reason="interrupted",
        )

    def ask(self, request: Request) -> Answer:
        """Ask one step. What is remembered is not shown as it comes: that would be another output than at replay."""
        session, options = self._asker.client.session, self._options
        self._asker.last, used = request, session.runtime().last_use
        self._asker.uses = used[0] if used is not None else 0
        self._screen.step()
        if (known := session.recall(request, options)) is not None:
            return known
        with self._place.wait(partial(self._waits_for, request.model)):
            if request.schema is not None or request.choices is not None:
                return session.send(request, options)  # half a value is nothing to show
            stream = session.stream(request, options, recall=False)
            for piece in stream:
                self._text.append(piece.text)
                self._reasoning.append(piece.reasoning)
                self._screen.grow(piece.text, piece.reasoning)
            return stream.answer

    def _waits_for(self, model: str) -> str:
        """Say what is waited for once *model* is asked."""
        endpoint = self._asker.client.session.endpoint
        if endpoint.server is not None and not endpoint.server.is_ready:
            return "loading the local model"
        return f"{model} at {endpoint.name}"

    def note(self, answers: Sequence[Answer]) -> None:
        """Have the *answers* so far: nothing is unfinished now."""
        self._text, self._reasoning = [], []
        self.answers = tuple(answers)


def _number(name: str, kind: type[int] | type[float]) -> _Read:
    def read(_: Scope, written: str) -> float:
        try:
            return kind(written)
        except ValueError:
            whole = "a whole number" if kind is int else "a number"
            raise BadInput(f"--{name.replace('_', '-')} {written!r} is not {whole}.") from None

    return read


def _media(name: str, of: Callable[[Any], Any]) -> _Read:
    return lambda scope, texts: [part for text in texts for part in scope.media(name, text, of)]


def _file(given: Any) -> Any:
    """Read a file that a variable holds; a path, also of a folder or a pattern, is read with the question."""
    return given if isinstance(given, str | os.PathLike) else recognise(given)


def _level(_: Scope, typed: str | bool) -> str | bool | int:
    return int(typed) if isinstance(typed, str) and typed.isdigit() else typed


# What an option of a line is to a call: its name there, and how its value is read.
_MEANINGS: Mapping[str, tuple[str, _Read]] = {
    "model": ("model", lambda _, text: text),
    "system": ("system", lambda _, text: text),
    "temperature": ("temperature", _number("temperature", float)),
    "top_p": ("top_p", _number("top_p", float)),
    "max_tokens": ("max_tokens", _number("max_tokens", int)),
    "seed": ("seed", _number("seed", int)),
    "budget": ("budget", _number("budget", float)),
    "image": ("images", _media("image", Image.of)),
    "video": ("videos", _media("video", Video.of)),
    "file": ("files", _media("file", _file)),
    "schema": ("schema", Scope.schema),
    "choices": ("choices", Scope.choices),
    "tools": ("tools", Scope.tools),
    "think": ("thinking", _level),
    "no_think": ("thinking", lambda *_: False),
    "search": ("search", lambda *_: True),
    "refresh": ("cache", lambda *_: "refresh"),
    "replay": ("cache", lambda *_: "replay"),
    "no_cache": ("cache", lambda *_: "off"),
}


def options_of(given: dict[str, Any], defaults: dict[str, Any], scope: Scope) -> Options:
    """The options of a call that a line's options stand for."""
    made: dict[str, Any] = {name: value for name, value in defaults.items() if value is not None}
    for name, (option, read) in _MEANINGS.items():
        if name in given:
            made[option] = read(scope, given[name])
    for text in given.get("param", ()):
        _param(made, text)
    return Options(**made)


def _param(made: dict[str, Any], text: str) -> None:
    import orjson

    name, equals, written = text.partition("=")
    if not equals or not name:
        raise BadInput(f"--param {text!r} must be name=value.")
    try:
        value: Any = orjson.loads(written)
    except orjson.JSONDecodeError:
        value = {"True": True, "False": False}.get(written, written)
    if name.startswith("extra.") and len(name) > 6:
        made["extra"] = {**made.get("extra", {}), name[6:]: value}
    elif name in SETTINGS:
        made[name] = value
    else:
        raise BadInput(
            f"--param knows no `{name}`{nearest(name, SETTINGS) or '.'} To pass it on as it is: --param extra.{name}=…"
        )
