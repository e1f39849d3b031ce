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
from qwennb.cache import Memory, Name, read_answer, read_record
from qwennb.client import Chat, Options, Qwen, turns_of
from qwennb.errors import BadInput, Stopped
from qwennb.notebook.widgets.chat_asking import ChatQuestion
from qwennb.notebook.widgets.chat_attach import TypedQuestion, restore_question
from qwennb.request import Message, Request, Tool, ToolCall

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
        messages: Sequence[Message] = (),
        tools: Sequence[Any] = (),
        options: Mapping[str, Any],
        changed: Callable[[], None],
    ) -> None:
        self.client = client
        self._tools, self._options, self._changed = tuple(tools), dict(options), changed
        client.session.split("", options)  # what can't be one is said now
        self.tools = {tool.name: tool for tool in map(Tool.of, self._tools)}
        self.always: dict[str, Any] = {}
        """The functions that may run in this kernel without being asked about again, by the names of their tools."""
        self._lock = threading.RLock()
        self._opening = tuple(messages)
        self.branches: list[list[ChatTurn]] = [_turns(messages)]
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

    def is_allowed_always(self, call: ToolCall) -> bool:
        """Whether the user said of the tool, of this very function, that it may always run here."""
        tool = self.tools.get(call.name)
        return tool is not None and tool.function is not None and self.always.get(call.name) is tool.function

    def ask(self, question: TypedQuestion, before: int | None = None, **options: Any) -> None:
        """Ask, after all that was said or, in a new branch, after the first *before* turns. Returns at once."""
        with self._lock:
            if self.asking is not None:
                raise BadInput("One question is still being answered. Stop it, or wait.")
            given = {**self._options, **{n: v for n, v in options.items() if v is not None}}
            made = Options(**given, tools=self._tools or None, sample=question.draw or None)
            if before is not None:
                self.branch(before)
            history = _messages_of(self.branches[self.here])

            def prepare() -> tuple[Request, Options]:
                settled = self.client.session.with_defaults(made)
                return self.client.session.build_request(*question.prompt, settled, history), settled

            asking = ChatQuestion(
                self.client.session,
                prepare,
                is_allowed_always=self.is_allowed_always,
                changed=self._changed,
                ended=self._on_end,
            )
            self.asking, self._question = asking, question
        asking.start()
        self._changed()

    def resume(self, branches: Sequence[Sequence[ChatTurn]], here: int) -> bool:
        """Go on with what was said in *branches*, if that began as this conversation does."""
        for turns in branches:
            said = _messages_of(turns)
            system = next((m.text for m in said[:1] if m.role == "system"), "")
            if said[: len(self._opening)] != self._opening or (
                said and not self._opening and system != (self._options.get("system") or "")
            ):
                return False
        with self._lock:
            self.branches, self.here = [list(turns) for turns in branches] or [[]], here
        return True

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
            request = asking.request
            turn = ChatTurn(self._question, answers=asking.answers, model=request.model if request else "")
            if asking.error is None and request is not None:
                turn = replace(turn, messages=request.messages[history:] + asking.said)
            else:
                ended = STOPPED if isinstance(asking.error, Stopped) else str(asking.error)
                turn = replace(turn, partial=asking.text, ended=ended)
            self.branches[self.here].append(turn)
            self.asking = self._question = None
        self._changed()


def write_turns(branches: Sequence[Sequence[ChatTurn]]) -> list[list[dict[str, Any]]]:
    """Write the answered turns of each branch for a journal: by the keys of their answers, and nothing that was said."""
    return [
        [
            {
                "keys": [[answer.key, answer.endpoint] for answer in turn.answers],
                "typed": len(turn.question.text),
                "attached": [[one.name, one.kind] for one in turn.question.attached],
            }
            for turn in turns
            if turn.answers and turn.messages
        ]
        for turns in branches
    ]


def read_turns(written: Any, memory: Memory) -> list[list[ChatTurn]]:
    """Read what `write_turns` wrote, with the answers that are still in *memory*; a branch ends where one is not."""
    keys = [tuple(map(str, key)) for turns in written for turn in turns for key in turn["keys"]]
    records = memory.records({Name(*key) for key in keys})
    branches: list[list[ChatTurn]] = []
    for turns in written:
        branches.append([])
        for turn in turns:
            found = [records.get(Name(*map(str, key))) for key in turn["keys"]]
            answers = [_read_answer(record) for record in found if record is not None]
            if not answers or len(answers) < len(found):
                break
            said = answers[0].request.messages[len(_messages_of(branches[-1])) :]
            question = restore_question(said[-1], int(turn["typed"]), turn["attached"])
            question = replace(question, draw=answers[0].request.settings.sample or 0)
            messages = said + turns_of(answers)
            branches[-1].append(ChatTurn(question, messages, tuple(answers), answers[-1].model))
    return branches


def _read_answer(record: bytes) -> Answer:
    request, _ = read_record(record)
    answer = read_answer(record, request)
    if isinstance(answer, Answer):
        return answer
    raise answer


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
