"""What a function's docstring says: its first paragraph, and a line about each argument.

The three ways that people write are read: `Args:` with indented names (Google), `Parameters` underlined (NumPy) and
`:param x:` (Sphinx).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_SPHINX = re.compile(r"^:param (?:[^:\n]+ )?\**(\w+):[ \t]*(.*(?:\n[ \t]+\S.*)*)", re.MULTILINE)
_GOOGLE = re.compile(
    r"^(?:Args|Arguments|Parameters|Params):[ \t]*\n((?:[ \t]+.*\n?|[ \t]*\n)+)", re.MULTILINE
)
_NUMPY = re.compile(r"^Parameters\n-{3,}[ \t]*\n(.*?)(?=^\S[^\n]*\n-{3,}|\Z)", re.MULTILINE | re.DOTALL)
_ARGUMENT = re.compile(r"\**(\w+)[ \t]*(?:\(.*?\))?:(?:[ \t]+(.*))?$")
_NAMES = re.compile(r"(\**\w+(?:, *\**\w+)*)[ \t]*(?::.*)?$")
_SUMMARY_ENDS = re.compile(
    r"\n[ \t]*\n|^:\w+|^(?:Args|Arguments|Parameters|Params|Returns|Yields|Raises|Examples?|Notes?):?[ \t]*$",
    re.MULTILINE,
)


def read_docstring(text: str) -> tuple[str, dict[str, str]]:
    """Read the first paragraph of *text* (as `inspect.getdoc` gives it), and what is said of each argument."""
    about = {match[1]: match[2] for match in _SPHINX.finditer(text)}
    if section := _GOOGLE.search(text):
        about |= _google(section[1])
    if section := _NUMPY.search(text):
        about |= _numpy(section[1])
    said = {name: line for name, words in about.items() if (line := _one_line(words))}
    return _one_line(_SUMMARY_ENDS.split(text, maxsplit=1)[0]), said


def _google(section: str) -> dict[str, str]:
    about: dict[str, str] = {}
    for head, body in _entries(section):
        if match := _ARGUMENT.match(head):
            about[match[1]] = " ".join([match[2] or "", *body])
    return about


def _numpy(section: str) -> dict[str, str]:
    about: dict[str, str] = {}
    for head, body in _entries(section):
        if match := _NAMES.match(head):
            for name in match[1].split(","):
                about[name.strip(" *")] = " ".join(body)
    return about


def _entries(section: str) -> Iterator[tuple[str, list[str]]]:
    """Each line at the section's own indent, with the deeper lines below it."""
    lines = [line for line in section.splitlines() if line.strip()]
    margin = min((len(line) - len(line.lstrip()) for line in lines[:1]), default=0)
    head, body = "", list[str]()
    for line in lines:
        if len(line) - len(line.lstrip()) > margin:
            body.append(line.strip())
            continue
        if head:
            yield head, body
        head, body = line.strip(), []
    if head:
        yield head, body


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()
