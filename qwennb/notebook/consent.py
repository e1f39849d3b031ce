"""Asking the user of a notebook whether a tool may run.

The whole call is shown, its name first: what is too long for one question is shown by asking again, and only the last
question allows. It is shown as it would run, with its arguments decoded; what would not be seen (escapes, marks that
turn the direction of writing, characters without a width) is spelled out. Once it is answered, the question is cleared,
for a front end keeps it as an output that no other run would show.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

from qwennb.answer import write_call
from qwennb.client import Unattended
from qwennb.notebook.outputs import CellOutputs
from qwennb.request import ToolCall

PART = 10_000  # characters of one question
_YES = ("y", "yes")
# Letters, symbols and marks by their class, that nobody sees: fillers, a braille pattern without dots, variation selectors.
_BLANK = frozenset("\u115f\u1160\u3164\uffa0\u2800\u034f\u17b4\u17b5") | {
    chr(code) for code in (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))
}
_UNSEEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs")


def ask_consent(call: ToolCall, outputs: CellOutputs) -> bool:
    """Ask whether *call* may run. `Unattended` where nobody can be asked."""
    with outputs.put_back():
        try:
            return all(
                input(question).strip().casefold() in allowing for question, allowing in questions(call)
            )
        except (EOFError, RuntimeError, NotImplementedError):
            raise Unattended from None


def questions(call: ToolCall) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the questions to put for *call*, each with the answers that go on."""
    shown = show_call(call)
    parts = [shown[at : at + PART] for at in range(0, len(shown), PART)]
    for number, part in enumerate(parts[:-1], 1):
        head = "Run " if number == 1 else f"{call.name}, part {number} of {len(parts)}: "
        yield f"{head}{part} … the call goes on. Show the rest? [Y/n] ", ("", *_YES)
    head = "Run " if len(parts) == 1 else f"{call.name}, part {len(parts)} of {len(parts)}: "
    asked = "" if len(parts) == 1 else f" Run {call.name} with all of this"
    yield f"{head}{parts[-1]}{asked}? [y/N] ", _YES


def show_call(call: ToolCall) -> str:
    """Show *call* as it will run: what a model spells otherwise is decoded, what can't be seen spelled out."""
    return reveal(write_call(call))


def reveal(text: str) -> str:
    """Spell each character of *text* that is not seen, or moves others, as its escape."""
    return "".join(
        _escape(c) if c != " " and (unicodedata.category(c) in _UNSEEN or c in _BLANK) else c for c in text
    )


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
