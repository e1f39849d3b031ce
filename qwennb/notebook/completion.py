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
from qwennb.text import plural, shorten, spell_window

_ON_LINE = re.compile(r"^\s*(?:%%?qwen)\s(?P<before>(?:.*\s)?)(?P<word>\S*)$")
# The line magics whose words are known, and what is typed behind them.
_BESIDE = re.compile(
    r"^\s*%(?P<magic>qwen_(?:cache|chat|models|usage|sent|pack))\s+(?P<before>(?:.*\s)?)(?P<word>\S*)$"
)
_ABOUT = 60  # characters of what a front end shows beside a word
_TOGETHER = str.maketrans(
    {" ": "\u00a0"}
)  # JupyterLab breaks such a line at its spaces, over the rows below it
_LAST_FLAG = re.compile(r"(--?[A-Za-z][\w-]*)[ \t]+$")
_PATHS = ("--image", "--video", "--file")
# Which variables of the notebook an option takes.
_FITTING: Mapping[str, Callable[[Any], bool]] = {
    "tools": lambda value: callable(value) and not isinstance(value, type),
    "schema": lambda value: isinstance(value, type | dict),
    "choices": lambda value: isinstance(value, list | tuple),
    **dict.fromkeys(("image", "video", "file", "into"), lambda value: True),
}

# What may stand behind a line magic.
_WORDS: Mapping[str, Mapping[str, str]] = {
    "qwen_cache": {
        "on": "recall, else ask and keep",
        "refresh": "ask, then keep",
        "replay": "recall only",
        "off": "neither recall nor keep",
    },
    "qwen_usage": {"notebook": "by notebook too"},
    "qwen_pack": {"off": "no pack any more"},
}
_CHAT_WORDS = {"save": "into a file", "export": "as Markdown, into a file", "clear": "forget its turns"}


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
        if beside := _BESIDE.match(context.text_until_cursor.rpartition("\n")[2]):
            return _result(beside["word"], self._words_of(beside["magic"], beside["before"].split()))
        if found is None:
            return {"completions": []}
        before, word = found["before"], found["word"]
        last = _LAST_FLAG.search(before)
        flag, joined, value = word.partition("=")
        if joined and flag in BY_FLAG:
            return _result(value, self._values(flag))
        if word.startswith("-"):
            return _result(word, ((flag, BY_FLAG[flag].about) for flag in flags()))
        if last is not None and last[1] in BY_FLAG and BY_FLAG[last[1]].value:
            values = list(self._values(last[1]))
            # A path is IPython's own to complete, so what it finds is added to the variables.
            return _result(word, values, alone=bool(values) and last[1] not in _PATHS)
        return {"completions": []}

    def _values(self, flag: str) -> Iterable[tuple[str, str]]:
        """List what may stand behind *flag*, each with what there is to say of it."""
        name = BY_FLAG[flag].name
        if name in ("model", "endpoint"):
            return _catalogue_words(name)
        if name == "think":
            return [(level, "how much to think") for level in LEVELS]
        if name == "param":
            return [(f"{setting}=", "an option of a call") for setting in sorted(SETTINGS)]
        if name == "chat":
            return self._conversations()
        fits = _FITTING.get(name, lambda value: False)
        return sorted(
            (n, f"{type(value).__name__} of the notebook")
            for n, value in own_names(self._shell).items()
            if fits(value)
        )

    def _words_of(self, magic: str, before: list[str]) -> Iterable[tuple[str, str]]:
        """List what may stand behind a line *magic* and the words *before*."""
        if magic == "qwen_chat":
            if not before:
                return [*self._conversations(), ("list", "the conversations")]
            return _CHAT_WORDS.items() if len(before) == 1 and before[0] != "list" else ()
        if magic == "qwen_sent":
            from qwennb.endpoints import FORMS

            return (
                [(form, "write it so") for form in FORMS]
                if before == ["--as"]
                else [("--as", "for another tool")]
            )
        if before:
            return ()
        return _WORDS[magic].items() if magic in _WORDS else _catalogue_words("endpoint")

    def _conversations(self) -> list[tuple[str, str]]:
        return [(name, plural(len(one.turns), "turn")) for name, one in sorted(self._chats.named.items())]


def _catalogue_words(name: str) -> list[tuple[str, str]]:
    if name == "endpoint":
        from qwennb.endpoints import NAMES

        return [(endpoint, "an endpoint") for endpoint in sorted(NAMES)]
    from qwennb.catalog import Catalog

    models = Catalog.load_bundled().models()
    return [(word, f"window {spell_window(m.context)}") for m in models for word in (m.name, *m.aliases)]


def _result(word: str, known: Iterable[tuple[str, str]], *, alone: bool = True) -> SimpleMatcherResult:
    """Offer those of the *known* that begin with *word*. What is said of each stands where front ends show a type."""
    found = [
        SimpleCompletion(text, type=shorten(about, _ABOUT).translate(_TOGETHER))
        for text, about in known
        if text.startswith(word)
    ]
    return {
        "completions": found,
        "matched_fragment": word,
        "suppress": alone and bool(found),
        "ordered": True,
    }
