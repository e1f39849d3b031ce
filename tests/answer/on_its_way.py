"""An answer of which a part has come."""

from __future__ import annotations

from qwennb.answer import markup, under_way


def in_part(text: str, reasoning: str) -> str:
    """What is shown when so much has come."""
    made = markup.Growing(), markup.Growing()
    for one, piece in zip(made, (text, reasoning), strict=True):
        one.add(piece)
    return under_way(*made)
