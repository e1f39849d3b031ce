"""Tab within the parentheses of a verb: `qwennb.classify(`, `df.qwen.classify(`, `qwennb.col("x").classify(`, `qwen.ask(`.

IPython alone can't: without jedi it looks through no frame and no call, and jedi follows a call into our source, where the
options are not written out. Here the text before the parenthesis is read, `… .qwen.classify` or `qwennb.col(…).classify`,
and its names are looked up; nothing is called, and no property read. Nor is `__class__`, which `isinstance` would read: of a
proxy that runs somebody's code.

A matcher of IPython's own completer, so that a terminal, a kernel and every front end of it have the same. `import qwennb`
adds it to the IPython that runs (registration.py).
"""

from __future__ import annotations

import inspect
import io
import re
import sys
import tokenize
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import FunctionType, MethodType, ModuleType
from typing import Any, get_type_hints

from IPython import get_ipython
from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult

from qwennb.notebook.namespace import own_names

# A line of a prompt or of another language: a magic but those whose text is Python, its answer in a variable too, or a shell's.
_NO_PYTHON = re.compile(r"\s*(?:[\w, ]+=\s*)?(?:!|%%?(?!(?:time|timeit|prun|capture)\b)\w)")


def complete_keywords(context: CompletionContext) -> SimpleMatcherResult:
    """List the arguments that a call of ours takes by keyword; behind a dot that IPython can't see through, its verbs."""
    shell, code = get_ipython(), read_code(find_python(context))
    if shell is None or code is None:
        return {"completions": []}
    if code.words[-1:] == ["."]:
        owner = find_value(read_callee(code, len(code.words) - 1), shell.user_ns)
        # What is there already IPython shows itself.
        names = dir(owner.kind) if type(owner) is Like and _is_ours(owner.kind) else []
        return _fit(code.word, [name for name in names if name[0] != "_"], "function")
    call = read_call(code)
    callee = call and find_callee(call.callee, shell.user_ns)
    if not call or not callee:
        return {"completions": []}
    made = _fit(code.word, [f"{name}=" for name in list_parameters(callee, call)], "param")
    if not code.word and made["completions"]:
        # All of Python's names too would bury the options; the user's own stand below them.
        mine = _fit("", sorted(filter(None, own_names(shell))), "instance")
        made["completions"] = [*made["completions"], *mine["completions"]]
        made["suppress"] = True
    return made


def _fit(word: str, names: Iterable[str], kind: str) -> SimpleMatcherResult:
    found = [SimpleCompletion(name, type=kind) for name in names if name.startswith(word)]
    return {"completions": found, "matched_fragment": word, "ordered": True}


# ---------------------------------------------------------------------- what is written


def find_python(context: CompletionContext) -> str:
    """Take what is Python before the cursor; nothing where the cursor is in a prompt, or in another language."""
    full, line = context.full_text, context.text_until_cursor
    if _NO_PYTHON.match(line) or (full.lstrip().startswith("%%") and _NO_PYTHON.match(full)):
        return ""
    above = full.split("\n")[: context.cursor_line]
    return "\n".join([*("" if _NO_PYTHON.match(one) else one for one in above), line])


@dataclass(frozen=True, slots=True)
class Code:
    """The text before the cursor, split as Python splits it, and the word that is being written."""

    words: list[str]
    word: str
    opened: list[int]
    """Where a bracket stands that is not closed yet."""
    pairs: dict[int, int]
    """For each closing bracket, where it was opened."""


@dataclass(frozen=True, slots=True)
class Part:
    """One name of what is called: `qwennb`, `col` and `classify` of `qwennb.col("x").classify`; no name is empty."""

    name: str
    called: bool = False


@dataclass(slots=True)
class OpenCall:
    """The call in whose parentheses the cursor is, and what it gives already."""

    callee: list[Part]
    by_place: int = 0
    by_name: set[str] = field(default_factory=set)


def read_code(text: str) -> Code | None:
    """Split *text*; None where it ends in a text or a comment."""
    words: list[str] = []
    opened: list[int] = []
    pairs: dict[int, int] = {}
    row, column = 1, 0
    with suppress(tokenize.TokenError, SyntaxError):  # it ends in the middle of a call, or is no Python
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type in (tokenize.COMMENT, tokenize.NL) or not token.string.strip():
                continue
            if token.string in ("(", "[", "{"):
                opened.append(len(words))
            elif token.string in (")", "]", "}") and opened:
                pairs[len(words)] = opened.pop()
            words.append(token.string)
            row, column = token.end
    lines = text.split("\n")
    rest = "\n".join([lines[row - 1][column:], *lines[row:]])
    if rest.strip():
        return None
    word = words.pop() if words and not rest and words[-1].isidentifier() else ""
    return Code(words, word, opened, pairs)


def read_call(code: Code) -> OpenCall | None:
    """Read the innermost call that is open; None where no argument begins at the cursor."""
    words = code.words
    if not code.opened or words[code.opened[-1]] != "(" or words[-1] not in ("(", ","):
        return None
    start = code.opened[-1]
    call = OpenCall(read_callee(code, start))
    argument: list[str] = []  # without what stands in brackets within it
    depth = 0
    for word in words[start + 1 :]:
        depth += (word in ("(", "[", "{")) - (word in (")", "]", "}"))
        if depth:
            continue
        if word != "," or argument.count("lambda") > argument.count(":"):
            argument.append(word)
            continue
        if argument[1:2] == ["="]:
            call.by_name.add(argument[0])
        elif argument[:1] == ["*"]:
            call.by_place = sys.maxsize  # nobody can tell how many it gives
        elif argument[:1] != ["**"]:
            call.by_place += 1
        argument = []
    return None if argument else call  # the last comma may be a lambda's own


def read_callee(code: Code, end: int) -> list[Part]:
    """Read backwards what stands before the word at *end*."""
    parts: list[Part] = []
    at = end - 1
    while at >= 0:
        called = False
        while at in code.pairs:
            called, at = True, code.pairs[at] - 1
        named = at >= 0 and code.words[at].isidentifier()
        parts.insert(0, Part(code.words[at] if named else "", called))
        if not named or code.words[at - 1] != "." or not at:
            break
        at -= 2
    return parts


# ---------------------------------------------------------------------- what it means


@dataclass(frozen=True, slots=True)
class Like:
    """A value that is not there yet: what a call or a property would give."""

    kind: type


def find_callee(parts: list[Part], names: Mapping[str, Any]) -> Callable[..., Any] | None:
    """Find the call of ours that *parts* are; None where it is somebody else's."""
    found = find_value(parts, names)
    if type(found) is Like:
        found = inspect.getattr_static(found.kind, "__call__", None)
    return found if callable(found) and _is_ours(found) else None


def find_value(parts: list[Part], names: Mapping[str, Any]) -> Any:
    """Find what *parts* are, looking names up in *names*; None where that can't be known."""
    found: Any = None
    for at, part in enumerate(parts):
        step = _attribute(found, part.name) if at else names.get(part.name)
        if part.called:
            step = _result(step)
        # What is made of an expression is one too.
        found = found if step is None and _name_kind(found) == "Expr" else step
    return found


def _attribute(owner: Any, name: str) -> Any:
    if issubclass(type(owner), ModuleType) and _is_ours(owner):
        return getattr(owner, name, None)  # ours are loaded when they are first named
    found = inspect.getattr_static(owner.kind if type(owner) is Like else owner, name, None)
    if type(found) in (staticmethod, classmethod):
        found = found.__func__
    if issubclass(type(found), property):
        found = _result(found.fget)
    if name == "qwen" and (found is None or _name_kind(owner)):
        from qwennb.frames import QwenExpr, QwenFrame, QwenSeries

        return Like({"Expr": QwenExpr, "Series": QwenSeries}.get(_name_kind(owner), QwenFrame))
    return found


def _result(call: Any) -> Like | None:
    """Tell by its annotation what *call* gives."""
    if issubclass(type(call), type):
        return Like(call)
    if type(call) not in (FunctionType, MethodType):
        call = inspect.getattr_static(type(call), "__call__", None)
    given = None
    with suppress(Exception):  # annotations of others may be anything
        if _is_ours(call):
            given = get_type_hints(call).get("return")
        else:
            given = getattr(sys.modules.get("polars"), call.__annotations__.get("return"), None)
    return Like(given) if isinstance(given, type) else None


def _is_ours(value: Any) -> bool:
    return _home(value) == "qwennb"


def _home(value: Any) -> str:
    """Name the package that *value* is from."""
    if type(value) in (FunctionType, MethodType):
        home = value.__module__
    else:
        named = "__name__" if issubclass(type(value), ModuleType) else "__module__"
        home = inspect.getattr_static(value, named, None)
    return home.partition(".")[0] if type(home) is str else ""


def _name_kind(value: Any) -> str:
    """Name what *value* is to polars or pandas: `Expr`, `Series`, `DataFrame`; nothing where it is nothing of theirs."""
    kinds = (value.kind if type(value) is Like else type(value)).__mro__
    return next((kind.__name__ for kind in kinds if _home(kind) in ("polars", "pandas")), "")


def list_parameters(callee: Callable[..., Any], call: OpenCall) -> list[str]:
    """List the parameters of *callee* that *call* does not give yet."""
    taken = list(inspect.signature(callee).parameters.values())
    if taken and taken[0].name in ("self", "cls"):
        taken = taken[1:]
    by_place = [one.name for one in taken if one.kind is one.POSITIONAL_OR_KEYWORD]
    by_name = [one.name for one in taken if one.kind is one.KEYWORD_ONLY]
    return [name for name in by_place[call.by_place :] + by_name if name not in call.by_name]
