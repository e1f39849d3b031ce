"""Tab within the options of `%qwen` and `%%qwen`: flags, and the values that a flag takes; and behind `%qwen_sent`.

A matcher of IPython's own completer, so that a terminal, a kernel and every front end of it have the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, context_matcher

from qwennb.notebook.namespace import own_names
from qwennb.notebook.options import BY_FLAG, LEVELS, SETTINGS, flags

_ON_LINE = re.compile(r"^\s*(?:%%?qwen)\s(?P<before>(?:.*\s)?)(?P<word>\S*)$")
_ON_SENT_LINE = re.compile(r"^\s*%qwen_sent\s+(?P<as>--as\s+)?(?P<word>\S*)$")
_LAST_FLAG = re.compile(r"(--?[A-Za-z][\w-]*)[ \t]+$")
_PATHS = ("--image", "--video", "--file")
# Which variables of the notebook an option takes.
_FITTING: Mapping[str, Callable[[Any], bool]] = {
    "tools": lambda value: callable(value) and not isinstance(value, type),
    "schema": lambda value: isinstance(value, type | dict),
    "choices": lambda value: isinstance(value, list | tuple),
    **dict.fromkeys(("image", "video", "file", "into"), lambda value: True),
}


class Completion:
    """Completes for one shell."""

    def __init__(self, shell: Any, chats: Any) -> None:
        self._shell = shell
        self._chats = chats

    @context_matcher(identifier="qwennb")  # type: ignore[untyped-decorator]
    def matcher(self, context: CompletionContext) -> SimpleMatcherResult:
        """List what may stand where the cursor is; nothing outside of the options' line."""
        found = _ON_LINE.match(context.text_until_cursor)
        # Below the first line of such a cell everything is prompt, also what looks like a magic.
        asks = context.full_text.lstrip().startswith("%%qwen") or "%%qwen" in context.text_until_cursor
        if context.cursor_line > 0 and asks:
            return {"completions": []}
        if (sent := _ON_SENT_LINE.match(context.text_until_cursor.rpartition("\n")[2])) is not None:
            return _result(
                sent["word"], _forms() if sent["as"] else ["--as"], "value" if sent["as"] else "option"
            )
        if found is None:
            return {"completions": []}
        before, word = found["before"], found["word"]
        last = _LAST_FLAG.search(before)
        flag, joined, value = word.partition("=")
        if joined and flag in BY_FLAG:
            return _result(value, self._values(flag), "value")
        if word.startswith("-"):
            return _result(word, flags(), "option")
        if last is not None and last[1] in BY_FLAG and BY_FLAG[last[1]].value:
            values = list(self._values(last[1]))
            # A path is IPython's own to complete, so what it finds is added to the variables.
            return _result(word, values, "value", alone=bool(values) and last[1] not in _PATHS)
        return {"completions": []}

    def _values(self, flag: str) -> Iterable[str]:
        name = BY_FLAG[flag].name
        if name in ("model", "endpoint"):
            return _catalogue_words(name)
        if name == "think":
            return LEVELS
        if name == "param":
            return [f"{setting}=" for setting in sorted(SETTINGS)]
        if name == "chat":
            return sorted(self._chats.named)
        fits = _FITTING.get(name, lambda value: False)
        return sorted(n for n, value in own_names(self._shell).items() if fits(value))


def _forms() -> Iterable[str]:
    from qwennb.endpoints import FORMS

    return FORMS


def _catalogue_words(name: str) -> list[str]:
    if name == "endpoint":
        from qwennb.endpoints import NAMES

        return sorted(NAMES)
    from qwennb.catalog import Catalog

    return [word for model in Catalog.load_bundled().models() for word in (model.name, *model.aliases)]


def _result(word: str, known: Iterable[str], kind: str, *, alone: bool = True) -> SimpleMatcherResult:
    found = [SimpleCompletion(text, type=kind) for text in known if text.startswith(word)]
    return {
        "completions": found,
        "matched_fragment": word,
        "suppress": alone and bool(found),
        "ordered": True,
    }
