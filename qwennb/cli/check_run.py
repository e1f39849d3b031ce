"""The run of a file of checks: rows from a table, a question or a pack, each check held, one report."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qwennb.cache import Pack
from qwennb.checks import (
    AnswerRow,
    CheckReport,
    join_reports,
    name_row,
    read_last,
    run_check,
)
from qwennb.cli.check_client import CheckQwen, open_recorded
from qwennb.cli.check_file import LISTS, CheckFile, FileCheck
from qwennb.config import Config
from qwennb.errors import BadInput, BudgetExceeded, NotRecorded, QwenError, Stopped, nearest, show_value
from qwennb.text import join_some, plural

if TYPE_CHECKING:
    import polars as pl


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
        arguments = dict(check.arguments or {})
        if isinstance(root := arguments.get("root"), str):
            arguments["root"] = (
                file.path.parent / root
            )  # as rows and pack: beside the file, from wherever it is run
        frame = add_answers(frame, check.verb, arguments, column, client, progress=progress)
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
    for option in ("column", "truth", "people", "seconds", *LISTS):
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


_ENDED: Mapping[type[QwenError], str] = {
    BudgetExceeded: "the budget was used up (give a higher --budget, or fewer rows)",
    Stopped: "the run was stopped",
}


def _refuse_unasked(check: FileCheck, metas: pl.Series, file: CheckFile) -> None:
    errors = [error for error in metas.struct.field("error").to_list() if error]
    for kind, why in _ENDED.items():
        if left := sum(error.startswith(f"{kind.__name__}:") for error in errors):
            raise kind(
                f"The check `{check.spec.name}`: {why} before {plural(left, 'row')} of {len(metas):,}, so that nothing can be said of it."
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
