"""Outputs that were saved in an older form, put so that they can be compared with those of today.

An answer says in its data of which form it is. Of an older one its origin is compared (which request, which model, at what
cost: the key stands for all that was asked, tool calls among it), and its words: signs, tags, the footer and the titles of
what is folded are the form's. The line below a column says no form; 0.1's is told by its words.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from typing import Any

from nbformat import from_dict

from qwennb.answer import FORM, MIME

_NOT_WORDS = re.compile(
    r"<summary>.*?</summary>"  # of a thought or a call
    r"|<sub>[^\n]*</sub>\s*\Z|\n\n\[[^\n]*\]\s*\Z"  # the footer, in Markdown and in plain text
    r"|</?[a-z][^>]*>",
    re.DOTALL,
)
# A call in plain text.
_CALL = re.compile(r"^\[(?:called|allowed|not allowed:) [^\n]*\]\n", re.MULTILINE)
_ESCAPE = re.compile(r'\\[nrtbf"\\]')  # within the JSON that a cell of a table was in 0.1
_COLUMN_LINE = re.compile(
    r"(?P<rows>[\d,]+ rows, [^;]*); (?P<read>[\d,]+) tokens in, (?P<written>[\d,]+) out, (?P<cost>[^;]*); (?P<model>.*)"
)


def put_alike(
    saved: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]
) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]], int]:
    """Put the *saved* outputs of an older form, and what stands in their place *now*, alike; and count them."""
    before, after, count = list(saved), list(now), 0
    if len(before) == len(after):
        for number, (old, new) in enumerate(zip(before, after, strict=True)):
            if alike := _put_pair(old.get("data", {}), new.get("data", {})):
                before[number] = from_dict({**old, "data": alike[0]})  # type: ignore[no-untyped-call]
                after[number] = from_dict({**new, "data": alike[1]})  # type: ignore[no-untyped-call]
                count += 1
    return before, after, count


def _put_pair(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Put the data of two outputs alike; None where the *old* one is of no older form."""
    forms = [data[MIME].get("version") for data in (old, new) if isinstance(data.get(MIME), Mapping)]
    if len(forms) == 2 and forms[0] != forms[1] == FORM:
        return _by_words(old), _by_words(new)
    if (line := _line_of_today(old.get("text/plain"))) is not None and MIME not in old:
        shown = _line_of_today(html.unescape(_without_tags(old.get("text/markdown", ""))))
        told = html.unescape(_without_tags(new.get("text/markdown", "")))
        return {"text/markdown": shown, "text/plain": line}, {**new, "text/markdown": told}
    return None


def _by_words(data: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {mime: value for mime, value in data.items() if mime != MIME}
    for mime in ("text/markdown", "text/plain"):
        if mime in made:
            made[mime] = " ".join(_words(_text(made[mime])))
    if "schema" in data[MIME]:  # a table names its columns once, where JSON did so in each row
        made["text/markdown"] = " ".join(sorted(set(_words(_text(data.get("text/markdown"))))))
    return {**made, MIME: {name: value for name, value in data[MIME].items() if name != "version"}}


def _words(text: str) -> list[str]:
    said = _NOT_WORDS.sub(" ", _CALL.sub("", text).replace("<span>", "").replace("</span>", ""))
    return re.findall(r"\w+", _ESCAPE.sub(" ", html.unescape(said)))


def _line_of_today(line: Any) -> str | None:
    found = _COLUMN_LINE.fullmatch(_text(line))
    if found is None:
        return None
    return " · ".join(
        [found["model"], found["rows"], f"{found['read']} in, {found['written']} out", found["cost"]]
    )


def _without_tags(text: Any) -> str:
    return re.sub(r"</?[a-z]+>", "", _text(text))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
