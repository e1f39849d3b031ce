"""The named conversations of one kernel.

A turn is known by the front end's cell id: running its cell again replaces the turn and what followed it. Where a
front end tells no id, turns follow the order of execution. Each kernel starts with empty conversations; what was said
is also stored, for `--resume`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qwennb.errors import BadInput
from qwennb.files import make_private_folder

if TYPE_CHECKING:
    from qwennb.request import Message


@dataclass(frozen=True, slots=True)
class Turn:
    """A question and all that was said up to its answer. `position` is the cell, and the number of the question in it."""

    position: tuple[str, int] | None
    messages: tuple[Message, ...]


@dataclass(slots=True)
class Conversation:
    """The turns of one name."""

    name: str
    turns: list[Turn] = field(default_factory=list)

    @property
    def messages(self) -> tuple[Message, ...]:
        """All that was said."""
        return tuple(message for turn in self.turns for message in turn.messages)

    def before(self, position: tuple[str, int] | None) -> int:
        """Count the turns that stand before a question asked at *position*."""
        if position is None:
            return len(self.turns)
        cell, _ = position
        known = enumerate(turn.position for turn in self.turns)
        return next((n for n, one in known if one and one[0] == cell and one >= position), len(self.turns))

    def messages_before(self, number: int) -> tuple[Message, ...]:
        """Return what was said in the first *number* turns."""
        return tuple(message for turn in self.turns[:number] for message in turn.messages)


class Chats:
    """Conversations by name, and where in the notebook we are."""

    def __init__(self) -> None:
        self.named: dict[str, Conversation] = {}
        self._cell: str | None = None
        self._asked = 0

    def cell_begins(self, info: Any) -> None:
        """Note which cell is about to run, as IPython says it."""
        self._cell = getattr(info, "cell_id", None)
        self._asked = 0

    def next_position(self) -> tuple[str, int] | None:
        """Count one more question of this cell, and return where it stands."""
        self._asked += 1
        return None if not self._cell else (self._cell, self._asked)

    def conversation(self, name: str) -> Conversation:
        """Return the conversation of this name, a new one where there is none."""
        return self.named.setdefault(name, Conversation(name))

    def resume(self, name: str, folder: Path, client: Any) -> Conversation:
        """Return the conversation of this name; when it is empty, with the turns that an earlier kernel stored."""
        from qwennb.client import Chat

        conversation = self.conversation(name)
        if not conversation.turns:
            file = chat_file(folder, name)
            if not file.is_file():
                raise BadInput(f"No conversation `{name}` is stored here. Leave --resume out to begin it.")
            conversation.turns = [Turn(None, Chat.load(file, client).messages)]
        return conversation

    def store(self, conversation: Conversation, folder: Path, client: Any) -> None:
        """Write what was said to where `resume` finds it, readable by its owner alone."""
        from qwennb.client import Chat

        file = chat_file(folder, conversation.name)
        make_private_folder(file.parent)
        Chat(client, messages=conversation.messages).save(file)


def chat_file(folder: Path, name: str) -> Path:
    """Name the file of the conversation *name*."""
    from hashlib import sha256

    plain = re.sub(r"[^\w-]+", "_", name)[:40]
    return folder / "chats" / f"{plain}-{sha256(name.encode()).hexdigest()[:8]}.json"
