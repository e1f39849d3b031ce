"""A question that chooses a label, put to texts that say nothing.

A verb that chooses has its text between two fixed words, so the questions that tell which way a model leans follow from
any one of a column's, whoever holds it: the column that asks, or the pack that takes a row along.
"""

from __future__ import annotations

from dataclasses import replace

from qwennb.request.request import Message, Request, Text

BEFORE, AFTER = "Text: ", "\n\nCategory:"
NOTHING = ("N/A", "", "[text]", "lorem ipsum")
"""Texts that say nothing. Four, because each has a lean of its own; measured: tests/benchmarks/verbs."""

BLANK_PROMPTS = tuple(f"{BEFORE}{text}{AFTER}" for text in NOTHING)


def blank_requests(request: Request) -> list[Request]:
    """Make the questions that tell the lean behind *request*; none where it is not of that form."""
    last = request.messages[-1] if request.messages else Message("user")
    is_of_the_form = last.text.startswith(BEFORE) and last.text.endswith(AFTER) and not last.media
    if request.choices is None or not is_of_the_form:
        return []
    before = request.messages[:-1]
    return [
        replace(request, messages=(*before, Message("user", (Text(prompt),)))) for prompt in BLANK_PROMPTS
    ]
