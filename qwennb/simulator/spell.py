"""Text that fits a regular expression or a GBNF grammar, drawn from one `random.Random`.

Repetitions are kept short, and past a depth alternatives fall to their first: a grammar that calls itself comes to an end.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from random import Random
from re import _constants as sre  # type: ignore[attr-defined]
from re import _parser as sre_parser  # type: ignore[attr-defined]
from typing import Any

__all__ = ["WORDS", "fit_grammar", "fit_regex"]

DEEPEST = 8
WORDS = ["amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "harbour", "iris", "juniper"]


def fit_regex(pattern: str, rng: Random) -> str:
    """A string that the pattern matches (anchors and look-arounds are taken on trust)."""
    try:
        parsed = sre_parser.parse(pattern)
    except (re.error, OverflowError):
        return rng.choice(WORDS)
    return _spell(parsed, rng, {})


def _spell(parsed: Any, rng: Random, groups: dict[int, str]) -> str:
    return "".join(_spell_one(op, value, rng, groups) for op, value in parsed)


def _spell_one(op: Any, value: Any, rng: Random, groups: dict[int, str]) -> str:
    if op is sre.LITERAL:
        return chr(value)
    if op is sre.ANY:
        return rng.choice("abcxyz")
    if op is sre.NOT_LITERAL:
        return "a" if value != ord("a") else "b"
    if op is sre.IN:
        return _one_of(value, rng)
    if op in (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT):
        least, most, inner = value
        times = rng.randint(int(least), int(min(most, least + 3)))
        return "".join(_spell(inner, rng, groups) for _ in range(times))
    if op is sre.SUBPATTERN:
        text = _spell(value[3], rng, groups)
        if value[0] is not None:
            groups[value[0]] = text
        return text
    if op is sre.BRANCH:
        return _spell(rng.choice(value[1]), rng, groups)
    if op is sre.GROUPREF:
        return groups.get(value, "")
    return ""


CATEGORIES = {
    sre.CATEGORY_DIGIT: "0123456789",
    sre.CATEGORY_NOT_DIGIT: "abc",
    sre.CATEGORY_WORD: "abcxyz012",
    sre.CATEGORY_NOT_WORD: " -",
    sre.CATEGORY_SPACE: " ",
    sre.CATEGORY_NOT_SPACE: "abc",
}


def _one_of(items: Any, rng: Random) -> str:
    letters: list[str] = []
    negated = False
    for op, value in items:
        if op is sre.NEGATE:
            negated = True
        elif op is sre.LITERAL:
            letters.append(chr(value))
        elif op is sre.RANGE:
            letters += [chr(code) for code in range(value[0], min(value[1], value[0] + 200) + 1)]
        elif op is sre.CATEGORY:
            letters += CATEGORIES.get(value, "a")
    if negated:
        letters = [letter for letter in "abcdefghijklmnopqrstuvwxyz0123456789 " if letter not in letters] or [
            "~"
        ]
    return rng.choice(letters)


class _Grammar:
    """A GBNF grammar, read as it is walked: rules, alternatives, groups, classes, literals and repetition."""

    def __init__(self, text: str) -> None:
        text = "\n".join(_strip_comment(line) for line in text.splitlines())
        heads = list(re.finditer(r"(?m)^\s*([A-Za-z][\w-]*)\s*::=", text))
        if not heads:
            raise ValueError("a grammar needs at least one rule: name ::= …")
        self.rules: dict[str, str] = {}
        for here, following in zip(heads, [*heads[1:], None], strict=True):
            end = len(text) if following is None else following.start()
            self.rules[here[1]] = text[here.end() : end].strip()
        if "root" not in self.rules:
            raise ValueError("a grammar needs a rule named root")
        self.parsed = {name: _Rule(body).parse() for name, body in self.rules.items()}
        for used in {name for tree in self.parsed.values() for name in _names(tree)}:
            if used not in self.rules:
                raise ValueError(f"undefined rule identifier '{used}'")

    def spell(self, node: Any, rng: Random, depth: int) -> str:
        kind, *rest = node
        match kind:
            case "text":
                return str(rest[0])
            case "class":
                op, value = rest[0]
                return _spell_one(op, value, rng, {})
            case "rule":
                return self.spell(self.parsed[rest[0]], rng, depth + 1)
            case "all":
                return "".join(self.spell(item, rng, depth) for item in rest[0])
            case "any":
                return self.spell(rest[0][0] if depth > 4 * DEEPEST else rng.choice(rest[0]), rng, depth)
            case _:
                inner, least, most = rest
                top = least if depth > 2 * DEEPEST else min(most, least + 2)
                return "".join(self.spell(inner, rng, depth + 1) for _ in range(rng.randint(least, top)))


def _names(node: Any) -> Iterator[str]:
    if node[0] == "rule":
        yield node[1]
    elif node[0] in ("all", "any"):
        for item in node[1]:
            yield from _names(item)
    elif node[0] == "repeat":
        yield from _names(node[1])


def _strip_comment(line: str) -> str:
    return re.sub(r'^((?:[^"#\[]|"(?:\\.|[^"\\])*"|\[(?:\\.|[^\]\\])*\])*)#.*$', r"\1", line)


class _Rule:
    """The right-hand side of one rule."""

    TOKEN = re.compile(
        r'\s*("(?:\\.|[^"\\])*"|\[(?:\\.|[^\]\\])*\]|[A-Za-z][\w-]*|\{\d+(?:,\d*)?\}|[()|*+?.])'
    )
    ENDLESS = 64

    def __init__(self, text: str) -> None:
        self.tokens: list[str] = []
        at = 0
        while at < len(text.rstrip()):
            found = self.TOKEN.match(text, at)
            if found is None:
                raise ValueError(f"can't read the grammar at: {text[at:][:20].strip()!r}")
            self.tokens.append(found[1])
            at = found.end()
        self.at = 0

    def parse(self) -> Any:
        tree = self.alternatives()
        if self.at < len(self.tokens):
            raise ValueError(f"unexpected {self.tokens[self.at]!r} in the grammar")
        return tree

    def alternatives(self) -> Any:
        options = [self.sequence()]
        while self.peek() == "|":
            self.at += 1
            options.append(self.sequence())
        return options[0] if len(options) == 1 else ("any", options)

    def sequence(self) -> Any:
        items: list[Any] = []
        while (sign := self.peek()) is not None and sign not in ("|", ")"):
            self.at += 1
            if sign in "*+?" or sign.startswith("{"):
                if not items:
                    raise ValueError("a repetition of nothing in the grammar")
                items.append(("repeat", items.pop(), *self.times(sign)))
            else:
                items.append(self.atom(sign))
        return items[0] if len(items) == 1 else ("all", items)

    def times(self, sign: str) -> tuple[int, int]:
        if not sign.startswith("{"):
            return {"*": (0, self.ENDLESS), "+": (1, self.ENDLESS), "?": (0, 1)}[sign]
        least, comma, most = sign[1:-1].partition(",")
        return int(least), int(most) if most else int(least) + (self.ENDLESS if comma else 0)

    def atom(self, sign: str) -> Any:
        if sign == "(":
            inner = self.alternatives()
            if self.peek() != ")":
                raise ValueError("a ( without its ) in the grammar")
            self.at += 1
            return inner
        if sign.startswith('"'):
            return ("text", json.loads(re.sub(r"\\x([0-9A-Fa-f]{2})", r"\\u00\1", sign), strict=False))
        if sign.startswith("["):
            return ("class", sre_parser.parse(sign)[0])
        if sign == ".":
            return ("class", (sre.ANY, None))
        return ("rule", sign)

    def peek(self) -> str | None:
        return self.tokens[self.at] if self.at < len(self.tokens) else None


def fit_grammar(text: str, rng: Random) -> str:
    """A string of the grammar; ValueError when the grammar can't be read."""
    grammar = _Grammar(text)
    return grammar.spell(grammar.parsed["root"], rng, 0)
