"""A file of checks, `checks.toml`: what it may say, where its answers come from, and its run.

    [from]                              # the rows, and the pack from which their answers are recalled
    rows = "reviews.csv"
    pack = "reviews.qwenpack"

    [[check]]
    classify = {column = "review", labels = ["praise", "complaint"]}
    truth = "gold"
    accuracy_at_least = 0.85

Answers are those of a question (a verb with its arguments, as in Python), of a column that the rows have, or of a pack as they
are. Nothing is sent but by `--live`. Then a client of its own asks, whose answers are kept with nobody else's.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qwennb.checks import (
    GATE,
    LEVEL,
    RULES,
    CheckSpec,
    check_names,
    check_needs,
    read_rules,
)
from qwennb.errors import BadInput, nearest, show_value
from qwennb.request import Check, check_options, flag, number, text

VERBS = ("ask", "classify", "extract", "score", "summarize", "translate")
NOT_IN_A_FILE = {
    "endpoint": "Type --endpoint where it is asked",
    "api_key": "A key belongs into the environment",
    "budget": "Type --budget where it is asked",
    **dict.fromkeys(
        ("client", "cache", "cache_dir", "into", "meta", "on_error", "progress", "lane", "store"),
        "Checks set it themselves",
    ),
    "truth": "Write truth beside the verb, and not in it",
}
_COLUMN = text("the name of a column")
_FILE = text("a file's name")
_OWN: Mapping[str, Check] = {
    "name": text("what the check is called"),
    "column": _COLUMN,
    "questions": text("a regular expression"),
    "field": text("the field of an answer"),
    "truth": text("a column, or a file of Review's labels"),
    "by": text("the name of a reviewer"),
    "people": _COLUMN,
    "seconds": _COLUMN,
    "tolerance": number(low=0),
    "at_least": number(low=0, high=1),
    "judge": flag,
}
LISTS = ("source", "key")


@dataclass(frozen=True, slots=True)
class FileCheck:
    """One `[[check]]`: its rules, and whose answers they are about: a verb's, a column's, or those of a pack."""

    spec: CheckSpec
    given: Mapping[str, Any]
    verb: str = ""
    arguments: Mapping[str, Any] | None = None

    @property
    def rule_names(self) -> list[str]:
        """The rules, with the gate, in the order in which they are told."""
        return [*self.spec.rules, GATE]


@dataclass(frozen=True, slots=True)
class CheckFile:
    """A file of checks, read and found sound."""

    path: Path
    checks: Sequence[FileCheck]
    rows: Path | None
    pack: Path | None
    level: float

    @property
    def last(self) -> Path:
        """Where the run lies that was accepted."""
        return self.path.with_suffix(".last.json")

    @property
    def can_ask(self) -> bool:
        """Whether there is a question in it."""
        return any(check.verb for check in self.checks)


# ---------------------------------------------------------------------- reading it


def read_check_file(path: Path) -> CheckFile:
    """Read the file of checks in *path*; BadInput says what in it can't be, and what to type."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise BadInput(
            f"There is no file {path.name} here. docs/check.md shows how one is written."
        ) from None
    except OSError as error:
        raise BadInput(f"{path.name} can't be read ({error.strerror}).") from None
    try:
        data = tomllib.loads(content.decode())
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path.name} is no TOML: {' '.join(str(error).split())}.") from None
    _refuse_unknown(path.name, data, ("from", "check", "level"))
    source = _table(path.name, "from", data.get("from", {}))
    _refuse_unknown(f"[from] of {path.name}", source, ("rows", "pack"))
    check_options(source.get, {"rows": _FILE, "pack": _FILE})
    entries = data.get("check", [])
    if not isinstance(entries, list) or not entries:
        raise BadInput(f'{path.name} has no check. Write one: [[check]], column = "label", no_failed = true.')
    rows, pack = (path.parent / source[name] if name in source else None for name in ("rows", "pack"))
    level = data.get("level", LEVEL)
    number(low=0, high=1)("level", level)
    checks = [_read_check(_table(path.name, "check", one), rows, pack) for one in entries]
    check_names([check.spec.name for check in checks])
    return CheckFile(path, checks, rows, pack, level)


def _table(file: str, name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadInput(
            f"`{name}` in {file} is no table: write [{name}] or [[{name}]] above what belongs to it."
        )
    return value


def _refuse_unknown(where: str, given: Mapping[str, Any], known: Sequence[str]) -> None:
    for name in given:
        if name not in known:
            raise BadInput(
                f"{where} has `{name}`, which is not known{nearest(name, known) or '; there are ' + ', '.join(known) + '.'}"
            )


def _read_check(given: Mapping[str, Any], rows: Path | None, pack: Path | None) -> FileCheck:
    own = check_options(given.get, _OWN)
    verbs = [name for name in VERBS if name in given]
    called = own.get("name") or own.get("column") or next(iter(verbs), "") or "answers"
    where = f"The check `{called}`"
    own |= {name: _names(name, given[name]) for name in LISTS if name in given}
    if "filter" in given:
        raise BadInput(
            f'{where}: filter keeps rows and makes no column. Ask it: ask = {{prompt = "Is it true? …", choices = ["yes", "no"]}}'
        )
    _refuse_unknown(where, given, [*own, *_OWN, *LISTS, *VERBS, *RULES])
    _check_source(where, [*verbs, *(name for name in ("column", "questions") if name in own)], rows, pack)
    spec = CheckSpec(
        name=called,
        rules=read_rules({name: value for name, value in given.items() if name in RULES}),
        field=own.get("field", ""),
        tolerance=own.get("tolerance", 0.0),
        at_least=own.get("at_least", 1.0),
        is_judge=own.get("judge", False) or "people" in own,
    )
    has_rows = bool(verbs or "column" in own)
    for name in ("truth", "people", "seconds", "source", "key"):
        if name in own and not has_rows:
            raise BadInput(
                f"{where} names a column, {name} = {show_value(own[name])}, and the answers of a pack stand beside none. "
                'Name a column or a question, and in [from] the rows: rows = "reviews.csv"'
            )
    check_needs(spec, has_truth="truth" in own)
    if not spec.rules and "truth" not in own and not spec.is_judge:
        raise BadInput(f"{where} has no rule and no truth. Write one below its name: no_failed = true")
    verb = verbs[0] if verbs else ""
    return FileCheck(spec, own, verb, _read_arguments(where, verb, given[verb]) if verb else None)


def _check_source(where: str, named: Sequence[str], rows: Path | None, pack: Path | None) -> None:
    """Refuse a check that says in several ways whose answers it is about, or in none that can be."""
    if len(named) > 1:
        raise BadInput(
            f"{where} has {' and '.join(named)}, and its answers are those of one. Leave the others out."
        )
    if not named and (rows is not None or pack is None):
        raise BadInput(
            f'{where} says nothing of whose answers it is about. Name a column of the rows, column = "label", or a question, '
            'classify = {column = "review", labels = ["praise", "complaint"]}'
        )
    if named and named[0] != "questions" and rows is None:
        raise BadInput(f'{where} has {named[0]}, and no rows. Name their file: [from], rows = "reviews.csv"')
    if named == ["questions"] and pack is None:
        raise BadInput(f'{where} has questions, and no pack. Name it: [from], pack = "answers.qwenpack"')


def _names(name: str, value: Any) -> list[str]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not names or not all(isinstance(one, str) and one for one in names):
        raise BadInput(f'{name} = {show_value(value)} must name columns: {name} = "review"')
    return names


def _read_arguments(where: str, verb: str, value: Any) -> dict[str, Any]:
    if verb == "ask" and isinstance(value, str):
        value = {"prompt": value}
    if not isinstance(value, dict):
        raise BadInput(
            f'{where}: {verb} takes what it takes in Python, as a table: {verb} = {{column = "review", …}}'
        )
    for name, why in NOT_IN_A_FILE.items():
        if name in value:
            raise BadInput(f"{where}: {verb} takes no `{name}` in a file. {why}.")
    if verb == "ask" and not isinstance(value.get("prompt"), str):
        raise BadInput(
            f'{where}: ask takes one prompt over the rows: ask = "Is it about food? {{{{ review }}}}"'
        )
    return value
