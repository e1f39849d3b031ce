"""`overflow="map"`: a document too long for the window is asked in pieces, and the pieces' answers are combined.

Where to cut is decided by one rule in bytes, which depends on the model's window and on nothing that may or may not
be installed: the same document gives the same requests everywhere. The longest value of the template is the document.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from qwennb.client.many import answer_many
from qwennb.client.options import Options
from qwennb.client.session import Session
from qwennb.errors import BadInput
from qwennb.request import Request

BYTES_A_TOKEN = 2.4  # fewer than any ordinary text has, so that a piece is sure to fit
_BREAKS = (re.compile(r"\n\s*\n"), re.compile(r"\n"), re.compile(r"(?<=[.!?。！？])\s*"), re.compile(r"\s+"))


def fit_window(
    session: Session, prompt: str | Request, values: Mapping[str, Any], options: Options
) -> Request:
    """Make the request of *prompt*; where its document is too long, with the answers to its pieces in the document's place."""
    options = replace(options, overflow=None)
    request = session.build_request(prompt, values, options)
    if isinstance(prompt, Request):
        return request
    window = session.window(request)
    room = int((window or 0) * BYTES_A_TOKEN)
    length = sum(len(message.text.encode()) for message in request.messages)
    if window is None or length <= room:
        return request
    document = max(
        (n for n, v in values.items() if isinstance(v, str)),
        key=lambda n: len(values[n].encode()),
        default=None,
    )
    if document is None:
        raise BadInput(
            'overflow="map" cuts the longest value of the template, and no value is text. Give the document by name: ask("… {{ doc }}", doc=text).'
        )
    rest = length - len(values[document].encode())
    if rest > room // 2:
        raise BadInput(
            f"What surrounds `{document}` is itself too long for the window of {request.model} ({window:,} tokens). Shorten it."
        )
    plain = replace(options, schema=None, choices=None)
    parts = pieces(values[document], room - rest)
    requests = [session.build_request(prompt, {**values, document: part}, plain) for part in parts]
    answers = answer_many(session, requests, options)
    if failed := next((answer.error for answer in answers if answer.error is not None), None):
        raise failed
    told = "\n\n".join(f"Part {i} of {len(parts)}: {answer.text}" for i, answer in enumerate(answers, 1))
    if len(told.encode()) > len(values[document].encode()) // 2:
        raise BadInput(
            f"The answers to the {len(parts)} pieces of `{document}` are too long to be combined. Ask for shorter ones, or bound them with max_tokens=."
        )
    combined = f"[The document was read in {len(parts)} parts. The answers that each part gave follow; combine them into one.]\n\n{told}"
    return fit_window(session, prompt, {**values, document: combined}, options)


def pieces(text: str, most: int) -> list[str]:
    """Cut *text* into pieces of at most *most* bytes: at paragraphs, else lines, sentences, words, characters."""
    if most < 4:
        raise BadInput("There is no room for even a piece of the document.")
    return _cut(text, most, 0)


def _cut(text: str, most: int, level: int) -> list[str]:
    if len(text.encode()) <= most:
        return [text] if text else []
    if level == len(_BREAKS):
        return _by_characters(text, most)
    made: list[str] = []
    room = 0
    for part in _split_keeping(text, _BREAKS[level]):
        size = len(part.encode())
        if size > most:
            made.extend(_cut(part, most, level + 1))
            room = 0
        elif made and size <= room:
            made[-1] += part
            room -= size
        else:
            made.append(part)
            room = most - size
    return made


def _split_keeping(text: str, pattern: re.Pattern[str]) -> list[str]:
    made, start = [], 0
    for match in pattern.finditer(text):
        if match.end() > start:
            made.append(text[start : match.end()])
            start = match.end()
    if start < len(text):
        made.append(text[start:])
    return made


def _by_characters(text: str, most: int) -> list[str]:
    made, raw, start = [], text.encode(), 0
    while start < len(raw):
        end = min(start + most, len(raw))
        while end < len(raw) and raw[end] & 0xC0 == 0x80:
            end -= 1
        made.append(raw[start:end].decode())
        start = end
    return made
