"""The thought at the head of a text, where a server leaves it: `<think>…</think>`.

`Thought` takes a text in pieces and parts it as it comes. At most `MARGIN` characters of white space may stand before
the tag; what might still become a tag is held back until it is decided, never more than that. Without the opening tag
(the model's own template writes it, so some servers don't send it) the thought can only be told at the end:
`without_lost_thought`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

OPEN, CLOSE = "<think>", "</think>"
MARGIN = 64

_CLOSING_LINE = re.compile(r"^</think>$", re.MULTILINE)
_FENCE = re.compile(r"^[ \t]*```", re.MULTILINE)


@dataclass(slots=True)
class Thought:
    """Parts a leading think block from the text that follows. `over` when nothing more can change."""

    over: bool = False
    found: bool = False
    _inside: bool = False
    _held: str = ""

    def split(self, text: str) -> tuple[str, str]:
        """What of *text*, and of what was held back before it, is text, and what is thought."""
        if self.over:
            return text, ""
        if self.found and not self._inside:
            return self._after(text), ""
        held = self._held + text
        if not self.found:
            start = held.lstrip()
            if len(held) - len(start) > MARGIN or not (start.startswith(OPEN) or OPEN.startswith(start)):
                self.over, self._held = True, ""
                return held, ""
            if not start.startswith(OPEN):
                self._held = held
                return "", ""
            self.found = self._inside = True
            held = start[len(OPEN) :]
        thought, closed, rest = held.partition(CLOSE)
        if closed:
            self._inside, self._held = False, ""
            return self._after(rest), thought
        # The tag holds one "<", its first character: what might become it begins at the last one.
        maybe = held.rfind("<", -len(CLOSE))
        known = maybe if maybe >= 0 and CLOSE.startswith(held[maybe:]) else len(held)
        self._held = held[known:]
        return "", held[:known]

    def rest(self) -> tuple[str, str]:
        """What is still held back, as it would count if nothing more came: text, thought."""
        return ("", self._held) if self._inside else (self._held, "")

    def _after(self, text: str) -> str:
        """The answer begins with its first line that is not empty."""
        text = text.lstrip("\n")
        self.over = bool(text)
        return text


def without_lost_thought(text: str) -> tuple[str, str]:
    """The answer and the thought in a *text* whose opening tag was lost.

    The closing tag must stand alone at the start of a line, before any opening one and outside a block of code: an
    answer may speak of such tags.
    """
    if (tag := _CLOSING_LINE.search(text)) is None:
        return text, ""
    before = text[: tag.start()]
    if OPEN in before or len(_FENCE.findall(before)) % 2:
        return text, ""
    return text[tag.end() :].lstrip("\n"), before.strip("\n")
