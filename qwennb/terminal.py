"""What of a text may reach a terminal.

A terminal obeys what it is sent: a server's model id, a line of a notebook or a pack's text could move its cursor, set
its title, fill its clipboard or show a line that was never written. Every error, every warning, every `repr` and every
line of the command line goes through here, and only here.
"""

from __future__ import annotations

import re

# CSI; OSC, DCS, SOS, PM and APC to their end, which is BEL or ST; what is left of ECMA-35. A string that never ends is cut
# at its line, so that it can't hide what follows. The 8-bit spellings are single signs, and fall with the controls.
_SEQUENCES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b\r\n]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-~]"
)
LINE_BREAKS = re.compile(r"\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
# C0 but tab and line feed, DEL, C1, all of Unicode's Bidi_Control, and the byte order mark.
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")


def drop_controls(text: str) -> str:
    """*text* without what steers a terminal or turns text around; of controls, tab and line end stay."""
    text = LINE_BREAKS.sub("\n", _SEQUENCES.sub("", text))
    return CONTROLS.sub("", text).encode("utf-8", "replace").decode()


class Readable:
    """An error or a warning whose words steer no terminal, whatever they quote."""

    def __init__(self, *said: object) -> None:
        super().__init__(*(drop_controls(one) if isinstance(one, str) else one for one in said))


def flatten(text: object) -> str:
    """*text* as one line of a terminal: a name with a line end in it writes no line of its own."""
    return drop_controls(str(text)).replace("\n", " ")
