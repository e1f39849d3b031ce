"""Examples to learn from, and what a label makes of an answer.

an answer with the label   messages, trl, unsloth, llama-factory   dpo                       kto
right                      the answer, if right ones are wanted    –                         the answer, True
wrong                      –                                       –                         the answer, False
fixed                      the fix                                 the fix over the answer   the fix, True; the answer, False
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from qwennb.request import Medium, Message, Text, Tool
from qwennb.tuning.labels import Label


@dataclass(frozen=True, slots=True)
class Example:
    """A conversation up to its last question, and the answer to learn.

    rejected   the worse answer of a pair
    is_right   whether the answer is one to give: False teaches not to
    about      the text that the question is about, where it is known: texts that are alike are never parted
    """

    prompt: tuple[Message, ...]
    answer: Message
    rejected: Message | None = None
    is_right: bool = True
    tools: tuple[Tool, ...] = ()
    about: str = ""

    @property
    def turns(self) -> tuple[Message, ...]:
        """The whole conversation."""
        return (*self.prompt, self.answer)

    @property
    def media(self) -> tuple[Medium, ...]:
        """Its pictures, videos and documents, in their order."""
        return tuple(medium for message in self.prompt for medium in message.media)

    @property
    def has_tools(self) -> bool:
        """Whether a tool is offered, called or heard in it."""
        answers = (self.answer, *([self.rejected] if self.rejected else []))
        return bool(self.tools) or any(m.role == "tool" or m.tool_calls for m in (*self.prompt, *answers))


def answer_message(text: str) -> Message:
    """Make the message in which a model says *text*."""
    return Message("assistant", (Text(text),) if text else ())


def judge(example: Example, label: Label | None, form: str, *, right: bool) -> list[Example] | str:
    """Make of *example*, as it was answered, what *label* makes of it in *form*; in words, why there is nothing to learn."""
    if label is None or label.verdict is None:
        return "without a label"
    fix = None if label.fix is None else answer_message(label.fix)
    if form == "dpo":
        if fix is None:
            return f"labelled {label.verdict}: a pair needs an answer that was fixed"
        return [replace(example, answer=fix, rejected=example.answer)]
    if form == "kto":
        fixed = [] if fix is None else [replace(example, answer=fix)]
        return [*fixed, replace(example, is_right=label.verdict == "right")]
    if fix is not None:
        return [replace(example, answer=fix)]
    if label.verdict == "right" and right:
        return [example]
    return (
        "labelled wrong, with no fix"
        if label.verdict == "wrong"
        else "labelled right, and only fixed ones are wanted"
    )


@dataclass(slots=True)
class Selection:
    """The examples that are to be written; how often which reason kept a row out; which of these nobody asked for."""

    examples: list[Example] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    unfit: Counter[str] = field(default_factory=Counter)

    def add(self, judged: list[Example] | str) -> None:
        """Take what `judge` said."""
        if isinstance(judged, str):
            self.left_out[judged] += 1
        else:
            self.examples += judged

    def reasons(self) -> Mapping[str, int]:
        """Tell every reason, the most frequent first."""
        return dict((self.left_out + self.unfit).most_common())


def content_of(example: Example) -> tuple[Any, ...]:
    """Tell all that two examples must share to be the same."""
    return (
        tuple(identity_of(m) for m in example.turns),
        None if example.rejected is None else identity_of(example.rejected),
        example.is_right,
        example.tools,
    )


def identity_of(message: Message) -> tuple[Any, ...]:
    """Tell what two messages must share to say the same."""
    calls = tuple((call.name, call.arguments) for call in message.tool_calls)
    return message.role, message.text, tuple(m.url or m.digest for m in message.media), calls


def hash_beginnings(parts: Iterable[object]) -> list[str]:
    """Make a hash of each beginning of *parts*, the last one of all of them. A stranger's conversation may have 100,000 turns."""
    made, known = [], ""
    for part in parts:
        known = hashlib.sha256(f"{known}\n{part!r}".encode("utf-8", "replace")).hexdigest()
        made.append(known)
    return made
