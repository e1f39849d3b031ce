"""A conversation with branches: turns, and at most one question under way.

Nothing that was said is lost. Asking a turn anew, edited or not, begins a branch in front of it; the one that it stood in
is still there. A question that was stopped or failed can be seen, but is no part of what is sent with the next one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from qwennb.answer import Answer, Usage, money
from qwennb.client import Chat, Options, Qwen
from qwennb.errors import BadInput, Stopped
from qwennb.notebook.widgets.chat_asking import ChatQuestion
from qwennb.notebook.widgets.chat_attach import TypedQuestion
from qwennb.request import Message

STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class ChatTurn:
    """A question, and what came of it."""

    question: TypedQuestion
    messages: tuple[Message, ...] = ()
    """The question and all that was said until its answer; nothing where it has none."""
    answers: tuple[Answer, ...] = ()
    model: str = ""
    partial: str = ""
    ended: str = ""
    """Why there is no answer."""


class BranchingChat:
    """A conversation. `changed` is called, on any thread, when there is something new to see."""

    def __init__(
        self,
        client: Qwen,
        *,
        chat: Chat | None = None,
        tools: Sequence[Any] = (),
        options: Mapping[str, Any],
        changed: Callable[[], None],
    ) -> None:
        self.client = client
        self._tools, self._options, self._changed = tuple(tools), dict(options), changed
        self._lock = threading.RLock()
        self.branches: list[list[ChatTurn]] = [_turns(chat.messages if chat is not None else ())]
        self.here = 0
        self.asking: ChatQuestion | None = None
        self._question: TypedQuestion | None = None

    @property
    def turns(self) -> list[ChatTurn]:
        """The turns of this branch."""
        return list(self.branches[self.here])

    @property
    def question(self) -> TypedQuestion | None:
        """The question under way."""
        return self._question

    @property
    def chat(self) -> Chat:
        """This branch as a conversation of the client's: to go on with in code, to save, to load."""
        return Chat(self.client, tools=self._tools, messages=_messages_of(self.branches[self.here]))

    def ask(self, question: TypedQuestion, before: int | None = None, **options: Any) -> None:
        """Ask, after all that was said or, in a new branch, after the first *before* turns. Returns at once."""
        with self._lock:
            if self.asking is not None:
                raise BadInput("One question is still being answered. Stop it, or wait.")
            turns = self.branches[self.here]
            kept = turns if before is None else turns[:before]
            given = {**self._options, **{n: v for n, v in options.items() if v is not None}}
            made = Options(**given, tools=self._tools or None, sample=question.draw or None)
            settled = self.client.session.with_defaults(made)
            history = _messages_of(kept)
            prompt, values = question.prompt
            request = self.client.session.build_request(prompt, values, settled, history)
            if before is not None:
                self.branch(before)
            asking = ChatQuestion(
                self.client.session, request, settled, changed=self._changed, ended=self._on_end
            )
            self.asking, self._question = asking, question
        asking.start()
        self._changed()

    def again(self, number: int, **options: Any) -> None:
        """Ask turn *number* once more, for another answer."""
        turn = self.branches[self.here][number]
        draw = turn.question.draw
        if turn.answers:
            alike = [
                t
                for turns in self.branches
                for t in turns
                if replace(t.question, draw=0) == replace(turn.question, draw=0)
            ]
            draw = 1 + max(t.question.draw for t in alike)
        self.ask(replace(turn.question, draw=draw), number, **options)

    def branch(self, before: int) -> None:
        """Go on from the first *before* turns. Where that leaves answers behind, they stay in a branch of their own."""
        with self._lock:
            turns = self.branches[self.here]
            if any(turn.answers or turn.messages for turn in turns[before:]):
                self.branches.append(turns[:before])
                self.here = len(self.branches) - 1
            else:
                del turns[before:]

    def go_to(self, branch: int) -> None:
        """Show another branch."""
        with self._lock:
            if self.asking is None:
                self.here = branch

    def stop(self) -> None:
        """Stop the question under way, at once."""
        with self._lock:
            if (asking := self.asking) is not None:
                asking.stop()
                asking.error = Stopped("Stopped.")
                self._on_end(asking)

    @property
    def summary(self) -> str:
        """How much was asked in all branches, and what it cost."""
        answers = [answer for turn in self._all() for answer in turn.answers]
        usage = sum((answer.usage for answer in answers), Usage())
        costs = [answer.cost for answer in answers]
        known = [cost for cost in costs if cost is not None]
        cost = money(sum(known), estimated=any(c.estimated for c in known) and bool(sum(known)))
        if len(known) < len(costs):
            cost = f"{cost}, and {len(costs) - len(known)} of unknown price" if known else money(None)
        count = sum(bool(turn.answers) for turn in self._all())
        return f"{count} {'answer' if count == 1 else 'answers'}, {usage.input:,} tokens in, {usage.output:,} out, {cost}"

    def _all(self) -> list[ChatTurn]:
        return list({id(turn): turn for turns in self.branches for turn in turns}.values())

    def _on_end(self, asking: ChatQuestion) -> None:
        with self._lock:
            if asking is not self.asking or self._question is None:
                return  # it was stopped: what still came of it is nobody's
            history = len(_messages_of(self.branches[self.here]))
            turn = ChatTurn(self._question, answers=asking.answers, model=asking.request.model)
            if asking.error is None:
                turn = replace(turn, messages=asking.request.messages[history:] + asking.said)
            else:
                ended = STOPPED if isinstance(asking.error, Stopped) else str(asking.error)
                turn = replace(turn, partial=asking.text, ended=ended)
            self.branches[self.here].append(turn)
            self.asking = self._question = None
        self._changed()


def _messages_of(turns: Sequence[ChatTurn]) -> tuple[Message, ...]:
    return tuple(message for turn in turns for message in turn.messages)


def _turns(messages: Sequence[Message]) -> list[ChatTurn]:
    """A conversation that was had elsewhere, as turns."""
    turns: list[list[Message]] = []
    for message in messages:
        if not turns or (message.role == "user" and any(m.role == "user" for m in turns[-1])):
            turns.append([])
        turns[-1].append(message)
    asked = [next((m.text for m in turn if m.role == "user"), "") for turn in turns]
    return [ChatTurn(TypedQuestion(text), tuple(turn)) for text, turn in zip(asked, turns, strict=True)]
