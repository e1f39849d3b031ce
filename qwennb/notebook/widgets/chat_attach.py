"""What is sent along with a question: pictures that are uploaded, and values of the notebook by name.

Only a name is looked up, and only what was attached is sent. Nothing typed into a chat is ever evaluated: it may have
been pasted from anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from qwennb.documents import is_frame
from qwennb.errors import BadInput, nearest
from qwennb.notebook.interpolated import read_value
from qwennb.notebook.namespace import escape_braces
from qwennb.request import Image, Message, Part, Text, part_of
from qwennb.terminal import flatten

Kind = Literal["picture", "table", "text", "file"]
_KINDS: dict[str, Kind] = {"picture": "picture", "table": "table", "text": "text", "file": "file"}


@dataclass(frozen=True, slots=True)
class Attached:
    """A value that goes with a question, as it was when it was attached."""

    name: str
    kind: Kind
    part: Part

    def __str__(self) -> str:
        return flatten(f"{self.name} ({self.kind})")


@dataclass(frozen=True, slots=True)
class TypedQuestion:
    """What the user asks. `draw` tells another answer to the same question from the first."""

    text: str
    attached: tuple[Attached, ...] = ()
    draw: int = 0

    @property
    def prompt(self) -> tuple[str, dict[str, Any]]:
        """The question as a template, in which what was typed stands as typed, and the values of its names."""
        pieces, values = [escape_braces(self.text)] if self.text else [], {}
        for number, one in enumerate(self.attached):
            name = f"attached_{number}"
            values[name] = one.part
            heading = "" if one.kind == "picture" else f"{escape_braces(one.name)}:\n"
            pieces.append(f"{heading}{{{{ {name} }}}}")
        return "\n\n".join(pieces), values


def restore_question(message: Message, typed: int, attached: Sequence[Sequence[str]]) -> TypedQuestion:
    """Take the question apart again that was sent as *message*: *typed* characters of text, then what was *attached*."""
    text = message.text
    rest, media = text[typed:], iter(message.media)
    restored = []
    for number, (name, kind) in enumerate(attached):
        part: Part | None
        if kind in ("picture", "file"):
            part = next(media, None)
        else:
            rest = rest.partition(f"{name}:\n")[2]
            following = [f"\n\n{one}:\n" for one, its in attached[number + 1 :] if its != "picture"]
            part = Text(rest.partition(following[0])[0] if following else rest)
        if part is not None:
            restored.append(Attached(str(name), _KINDS.get(kind, "text"), part))
    return TypedQuestion(text[:typed], tuple(restored))


def value_named(name: str, names: Mapping[str, Any]) -> Attached:
    """The value that the notebook calls *name*."""
    wanted = name.strip()
    if not wanted.isidentifier():
        raise BadInput(f"{wanted!r} is not the name of a variable.")
    if wanted not in names:
        known = [known for known in names if not known.startswith("_")]
        raise BadInput(f"The notebook has no `{wanted}`{nearest(wanted, known) or '.'}")
    return attach(wanted, names[wanted])


def attach(name: str, value: Any) -> Attached:
    """*value* under this name."""
    read = read_value(value)
    part = part_of(read)
    kind: Kind
    if isinstance(part, Text):
        kind = "table" if is_frame(read) else "text"
    else:
        kind = "picture" if isinstance(part, Image) else "file"
    return Attached(name, kind, part)


def attach_upload(name: str, content: bytes) -> Attached:
    """A picture that came through the browser: its bytes are looked at, its name is only shown."""
    return Attached(name[:100] or "picture", "picture", Image.of(content))


def worth_attaching(names: Mapping[str, Any]) -> list[str]:
    """The names of frames, figures and pictures, the latest first."""
    found = [name for name, value in list(names.items()) if not name.startswith("_") and _is_worth(value)]
    return found[::-1]


def _is_worth(value: Any) -> bool:
    if isinstance(value, type):
        return False
    home = type(value).__module__
    return is_frame(value) or isinstance(value, Image) or home.startswith(("PIL.", "matplotlib.figure"))
