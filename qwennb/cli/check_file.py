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

import re
import tempfile
import threading
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qwennb.cache import Pack
from qwennb.checks import (
    GATE,
    LEVEL,
    RULES,
    AnswerRow,
    CheckReport,
    CheckSpec,
    check_names,
    check_needs,
    join_reports,
    name_row,
    read_last,
    read_rules,
    run_check,
)
from qwennb.client import Qwen, Runtime, Session, runtime
from qwennb.config import Config
from qwennb.errors import BadInput, BudgetExceeded, NotRecorded, nearest, show_value
from qwennb.request import Check, check_options, flag, number, text
from qwennb.text import join_some, plural
from qwennb.tracing import Answered, Event, Failed

if TYPE_CHECKING:
    import polars as pl

LATE = (
    10.0  # seconds that events of a run which has ended may take to be heard; chosen: no machine is so busy
)
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
_LISTS = ("source", "key")


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
    own |= {name: _names(name, given[name]) for name in _LISTS if name in given}
    if "filter" in given:
        raise BadInput(
            f'{where}: filter keeps rows and makes no column. Ask it: ask = {{prompt = "Is it true? …", choices = ["yes", "no"]}}'
        )
    _refuse_unknown(where, given, [*own, *_OWN, *_LISTS, *VERBS, *RULES])
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


# ---------------------------------------------------------------------- whom it asks


class Stopwatch:
    """How long the requests for each answer took together, by its key; what they waited for their turn is not in it."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._turn = threading.Condition()

    def hear(self, event: Event) -> None:
        """Take the time of a request that has ended."""
        if isinstance(event, Answered | Failed):
            with self._turn:
                self._seconds[event.key] = self._seconds.get(event.key, 0.0) + event.seconds
                self._turn.notify_all()

    def find(self, keys: set[str]) -> Mapping[str, float]:
        """Give the seconds of each of *keys*; events come a little later than the answers that they tell of."""
        with self._turn:
            self._turn.wait_for(lambda: keys <= self._seconds.keys(), LATE)
            return dict(self._seconds)


class CheckQwen(Qwen):
    """A client with a runtime of its own: what it recalls and keeps is nobody else's, and no pack stays loaded.

    Parameters
    ----------
    settings : Mapping
        Those of a `Qwen`.
    pack : path, optional
        From which it recalls.
    """

    def __init__(self, settings: Mapping[str, Any], pack: Path | None = None) -> None:
        self.own = Runtime({}, bridge=runtime().bridge)
        self.stopwatch = Stopwatch()
        if settings.get("cache") != "replay":
            settings = {**settings, "on_event": self.stopwatch.hear}
        if pack is not None:
            self.own.load(pack)
        self.session = Session(settings, lambda: self.own)


@contextmanager
def open_recorded(file: CheckFile, cache_dir: Path | None) -> Iterator[CheckQwen]:
    """Open a client that recalls from the pack of *file*, or without one from *cache_dir*, and sends nothing."""
    with tempfile.TemporaryDirectory(prefix="qwennb-", ignore_cleanup_errors=True) as empty:
        folder = cache_dir if file.pack is None and cache_dir is not None else Path(empty)
        if file.pack is not None and file.can_ask and not file.pack.exists():
            raise BadInput(
                f"There is no pack {file.pack.name} yet. Record it: qwennb check {file.path.name} --live --budget 1 --record"
            )
        client = CheckQwen({"cache": "replay", "cache_dir": folder}, file.pack)
        try:
            yield client
        finally:
            client.own.close()


@contextmanager
def open_live(settings: Mapping[str, Any]) -> Iterator[CheckQwen]:
    """Open a client that asks everything anew, under a budget, and keeps it in a folder that goes with it."""
    with tempfile.TemporaryDirectory(prefix="qwennb-", ignore_cleanup_errors=True) as folder:
        client = CheckQwen({**settings, "cache": "on", "cache_dir": Path(folder)})
        try:
            yield client
        finally:
            client.own.close()


# ---------------------------------------------------------------------- running it


def run_check_file(
    file: CheckFile, client: CheckQwen, *, level: float | None = None, progress: bool = False
) -> CheckReport:
    """Run every check of *file*: questions are asked of *client*, in whatever mode that is."""
    last = read_last(file.last)
    known = [check for check in file.checks if last is not None and check.spec.name in last]
    # Each check may fail by chance: all together no more often than one of them.
    each = (file.level if level is None else level) / max(1, len(known))
    frame = None if file.rows is None else read_rows(file.rows)
    if frame is not None:
        for check in file.checks:
            _check_columns(check, frame.columns)  # before anything is asked and paid
    pack = list(Pack.read(file.pack)) if _reads_pack(file) and file.pack is not None else []
    reports = []
    for check in file.checks:
        if check.verb or "column" in check.given:
            assert frame is not None
            labels, rows = _rows_of_table(check, frame, client, file, progress=progress)
        else:
            labels, rows = [], _rows_of_pack(check, pack, file)
        spec = replace(check.spec, labels=labels)
        found = run_check(spec, rows, last=None if last is None else last.get(spec.name), level=each)
        reports.append(CheckReport((found,)))
    return join_reports(reports, "", ())


def run_recorded(file: CheckFile) -> CheckReport:
    """Run every check of *file* from its pack, or from what is kept here, and send nothing."""
    with open_recorded(file, Config.load().cache_dir) as client:
        return replace(run_check_file(file, client), title=file.path.name)


def _reads_pack(file: CheckFile) -> bool:
    return any(not check.verb and "column" not in check.given for check in file.checks)


def read_rows(path: Path) -> pl.DataFrame:
    """Read a table's file by how its name ends."""
    import polars as pl

    readers: Mapping[str, Callable[[Path], pl.DataFrame]] = {
        ".parquet": pl.read_parquet,
        ".csv": pl.read_csv,
        ".jsonl": pl.read_ndjson,
        ".ndjson": pl.read_ndjson,
    }
    if path.suffix not in readers:
        raise BadInput(f"{path.name} is no file of rows: it ends in none of {', '.join(readers)}.")
    if not path.is_file():
        raise BadInput(
            f'There is no file {path.name} beside the checks. Name the rows: [from], rows = "reviews.csv"'
        )
    try:
        return readers[path.suffix](path)
    except Exception as error:  # what is wrong with a file, polars says in one of many ways
        raise BadInput(
            f"{path.name} can't be read as {path.suffix[1:]} ({show_value(str(error))})."
        ) from None


def _rows_of_table(
    check: FileCheck, frame: pl.DataFrame, client: CheckQwen, file: CheckFile, *, progress: bool
) -> tuple[list[str], list[AnswerRow]]:
    """Give the labels that could be answered, and the rows of a column, or of what a question makes of it."""
    from qwennb.frames import Beside, add_answers, list_labels, open_values, read_answers

    given, column = check.given, check.given.get("column", "")
    key = given.get("key") or _name_columns(file, frame.columns)
    if check.verb:
        column = f"{check.spec.name} of {check.verb}"
        _check_truth_unread(check)
        frame = add_answers(frame, check.verb, check.arguments or {}, column, client, progress=progress)
        _refuse_unasked(check, frame[f"{column}_meta"], file)
    truth, sources = given.get("truth", ""), given.get("source", [])
    is_labels = truth.endswith(".jsonl")
    beside = Beside(
        truth=None if is_labels else truth or None,
        source=sources[0] if len(sources) == 1 else None,
        people=given.get("people"),
        seconds=given.get("seconds"),
    )
    table = open_values(frame)
    rows = read_answers(table, column, beside, key=key)
    if (
        client.session.config.cache != "replay"
        and check.verb
        and "seconds_at_most" in check.spec.rules
        and not beside.seconds
    ):
        took = client.stopwatch.find({row.asked for row in rows if row.asked})
        rows = [replace(row, seconds=took.get(row.asked)) for row in rows]
    if is_labels:
        rows = _add_review(rows, frame, column, file.path.parent / truth, check)
    return list_labels(table, column), rows


def _check_columns(check: FileCheck, known: Sequence[str]) -> None:
    """Refuse a check that names a column which the rows do not have."""
    for option in ("column", "truth", "people", "seconds", *_LISTS):
        named = check.given.get(option, [])
        for name in [named] if isinstance(named, str) else named:
            if name not in known and not (option == "truth" and name.endswith(".jsonl")):
                raise BadInput(
                    f"The check `{check.spec.name}` names {option} = {show_value(name)}, and the rows have no such column"
                    f"{nearest(name, known) or '; they have ' + join_some(known, 12) + '.'}"
                )


def _name_columns(file: CheckFile, known: Sequence[str]) -> list[str] | None:
    """Give the columns that a row is known by: those of its table that no check takes for answers or for what is right."""
    taken = {
        check.given.get(name) for check in file.checks for name in ("column", "truth", "people", "seconds")
    }
    return [name for name in known if name not in taken] or None


def _check_truth_unread(check: FileCheck) -> None:
    """Refuse a question that reads the truth: the model would be told what is right."""
    truth = check.given.get("truth")
    written = " ".join(str(value) for value in (check.arguments or {}).values())
    if truth and (
        (check.arguments or {}).get("column") == truth
        or re.search(rf"{{{{\s*`?{re.escape(truth)}`?\s*}}}}", written)
    ):
        raise BadInput(
            f"The check `{check.spec.name}` asks about `{truth}`, which is its truth, so that the model would be told what is right."
        )


def _refuse_unasked(check: FileCheck, metas: pl.Series, file: CheckFile) -> None:
    errors = [error for error in metas.struct.field("error").to_list() if error]
    if spent := [error for error in errors if error.startswith(f"{BudgetExceeded.__name__}:")]:
        raise BudgetExceeded(
            f"The check `{check.spec.name}`: the budget was used up before {plural(len(spent), 'row')} of {len(metas):,}, so that nothing "
            "can be said of it. Give a higher --budget, or fewer rows."
        )
    missing = [error for error in errors if error.startswith(f"{NotRecorded.__name__}:")]
    if missing:
        home = "kept here" if file.pack is None else f"in {file.pack.name}"
        raise NotRecorded(
            f"The check `{check.spec.name}`: the answers to {plural(len(missing), 'row')} of {len(metas):,} are not {home}. "
            f"To record them: qwennb check {file.path.name} --live --budget 1 --record"
        )


def _add_review(
    rows: list[AnswerRow], frame: pl.DataFrame, column: str, path: Path, check: FileCheck
) -> list[AnswerRow]:
    """Add what a reviewer said is right: the answer, where it was; what it was mended to; where it was wrong, something else."""
    from qwennb.notebook.widgets.review_measures import UNTOLD
    from qwennb.notebook.widgets.review_rows import ReviewRows, truth_of
    from qwennb.tuning import Labels

    if not path.is_file():
        raise BadInput(
            f"There is no file of labels {path.name} beside the checks. Review(…, labels=…) makes it."
        )
    if "source" not in check.given:
        raise BadInput(
            f'The check `{check.spec.name}` has labels of Review, which stand to a row by what was looked at. Name it: source = "review"'
        )
    kept = Labels(path)
    by = check.given.get("by", "")
    if "by" not in check.given:
        if len(kept.reviewers) > 1:
            raise BadInput(
                f'{path.name} has labels of {join_some(kept.reviewers, 6)}. Name whose count: by = "{kept.reviewers[0]}"'
            )
        by = next(iter(kept.reviewers), "")
    elif by not in kept.reviewers:
        raise BadInput(f"{path.name} has no labels by {show_value(by)}{nearest(by, kept.reviewers) or '.'}")
    labels = kept.labels_by(by)
    reviewed = ReviewRows(frame, answer=column, source=check.given.get("source"))
    told = {row.number: (row, labels[row.name]) for row in reviewed.all if row.name in labels}
    if not told:
        raise BadInput(
            f"{path.name} labels {plural(len(labels), 'row')}, and none of them is here as it was labelled. Name the columns that "
            'were looked at, source = "review"; an answer that has changed is to be looked at again.'
        )
    return [
        replace(row, truth=truth_of(*told[row.number]) or UNTOLD) if row.number in told else row
        for row in rows
    ]


def _rows_of_pack(check: FileCheck, answers: Sequence[Any], file: CheckFile) -> list[AnswerRow]:
    """Give the answers of the pack, or of those questions in which the pattern is found."""
    pattern = check.given.get("questions", "")
    try:
        wanted = re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise BadInput(f"questions = {show_value(pattern)} is no regular expression ({error}).") from None
    rows = []
    for place, answer in enumerate(answers):
        request = answer.request
        if not wanted.search(request.question):
            continue
        asked = request.canonical()
        rows.append(
            AnswerRow(
                name=name_row([asked["messages"], asked.get("sample")]),
                number=place,
                value=answer.text if answer.data is None else answer.data,
                asked=answer.key,
                source="\n".join(message.text for message in request.messages if message.role != "assistant"),
                quotes=answer.quotes or None,
                tokens=answer.usage.total,
                cost=None if answer.cost is None else float(answer.cost),
                answer=answer,
            )
        )
    if not rows:
        assert file.pack is not None
        raise BadInput(
            f"No question of {file.pack.name} matches {show_value(pattern)}, of {plural(len(answers), 'answer')}. "
            "Pack.read(file).frame() shows them."
        )
    return rows
