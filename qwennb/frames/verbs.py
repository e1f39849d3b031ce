"""What each verb asks: a prompt around a text, the form of its answer, and the name of its column.

A verb's subject is a column's name, or a template over several. The instruction stands first and is the same for
every row, so that a server's prefix cache has it. Verbs leave thinking off unless told otherwise: it is billed, and
these questions rarely need it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from qwennb.client import Options
from qwennb.errors import BadInput
from qwennb.frames.column import Column
from qwennb.request import Schema

_PLAIN = Options(thinking=False)
_NUMBER = r"-?\d+(?:\.\d+)?"
_RANGE = re.compile(rf"({_NUMBER})\s*(?:to|–|-|\.\.)\s*({_NUMBER})")
_SCORE_TOKENS = 64  # `{"score": 0.75}`, with room for spaces
YES, NO = "yes", "no"


def asked(prompt: str, given: Mapping[str, Any]) -> Column:
    """The user's own question."""
    return Column.of(prompt, given, noun="answer")


def classified(subject: str, labels: Sequence[str], given: Mapping[str, Any]) -> Column:
    """One of *labels* for each text."""
    if isinstance(labels, str) or not all(isinstance(label, str) for label in labels):
        raise BadInput('classify() takes a list of labels: classify("review", ["praise", "complaint"]).')
    labels = list(labels)
    prompt = f"Which of these describes the text best: {', '.join(map(_quoted, labels))}?\n\nText:\n{_hole(subject)}"
    return Column.of(prompt, {**given, "choices": labels}, noun="label", defaults=_PLAIN)


def extracted(subject: str, schema: Any, given: Mapping[str, Any]) -> Column:
    """What *schema* asks for, out of each text."""
    form = Schema.of(schema)
    prompt = f"Extract what is asked for from the text. Take only what it says.\n\nText:\n{_hole(subject)}"
    noun = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", form.name).lower()
    return Column.of(prompt, {**given, "schema": schema}, noun=noun, defaults=_PLAIN)


def summarized(subject: str, given: Mapping[str, Any]) -> Column:
    """A sentence or two about each text."""
    prompt = f"Summarise the text in one or two sentences, in its own language. Answer with the summary alone.\n\nText:\n{_hole(subject)}"
    return Column.of(prompt, given, noun="summary", defaults=_PLAIN)


def translated(subject: str, to: str, given: Mapping[str, Any]) -> Column:
    """Each text in the language *to*."""
    if not isinstance(to, str) or not to.strip():
        raise BadInput('translate() takes a language: translate("text", to="French").')
    prompt = (
        f"Translate the text to {_text(to)}. Answer with the translation alone.\n\nText:\n{_hole(subject)}"
    )
    return Column.of(prompt, given, noun="translation", defaults=_PLAIN)


def scored(subject: str, criterion: str, given: Mapping[str, Any]) -> Column:
    """A number for each text, in the range that *criterion* names ("how urgent, 0 to 1"), else from 0 to 1."""
    found = _RANGE.search(criterion)
    low, high = (float(found[1]), float(found[2])) if found else (0.0, 1.0)
    if low >= high:
        raise BadInput(
            f'The range of `{criterion}` is empty. Write the lower number first: "how urgent, 0 to 1".'
        )
    number = {"type": "number", "minimum": low, "maximum": high}
    schema = {
        "type": "object",
        "properties": {"score": number},
        "required": ["score"],
        "additionalProperties": False,
    }
    asked_range = "" if found else ", 0 to 1"
    prompt = f"Score the text: {_text(criterion)}{asked_range}.\n\nText:\n{_hole(subject)}"
    bound = Options(max_tokens=_SCORE_TOKENS).over(_PLAIN) if given.get("thinking") is None else _PLAIN
    return Column.of(prompt, {**given, "schema": schema}, noun="score", defaults=bound, take="score")


def filtering(statement: str, given: Mapping[str, Any]) -> Column:
    """Whether *statement*, a template, is true of each row. A row that fails must not vanish: it is an error."""
    for name in ("into", "meta"):
        if given.get(name):
            raise BadInput(
                f'filter() makes no column, so it takes no {name}=. To keep the answers, use ask(…, choices=["yes", "no"]).'
            )
    if given.get("on_error") == "column":
        raise BadInput(
            'filter() makes no column; use on_error="raise", or "null" to drop the rows that failed.'
        )
    prompt = f"Is this statement true? Answer {YES} or {NO}.\n\n{statement}"
    options = {"on_error": "raise", **given, "choices": [YES, NO]}
    return Column.of(prompt, options, noun="is it true", defaults=_PLAIN)


def _hole(subject: str) -> str:
    if not isinstance(subject, str):
        raise BadInput(
            f'{subject!r} is not a column\'s name. Give a name, or a template: "{{{{ title }}}}: {{{{ body }}}}".'
        )
    if "{{" in subject:
        return subject
    if "`" in subject or "\n" in subject or not subject:
        raise BadInput(f"A column called {subject!r} can't stand in a template. Rename it first.")
    return f"{{{{ `{subject}` }}}}"


def _text(words: str) -> str:
    """*words* so that two braces in them stay text."""
    return words.replace("{{", '{{ "{{" }}')


def _quoted(label: str) -> str:
    return f'"{_text(label)}"'
