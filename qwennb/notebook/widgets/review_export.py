"""What a review has made of the answers, written as examples to learn from."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from qwennb.config import Secret
from qwennb.notebook.widgets.review_rows import ReviewRows
from qwennb.request import Message, Text, check_characters
from qwennb.secrets import SecretScanner
from qwennb.text import plural
from qwennb.tuning import (
    Example,
    Form,
    Labels,
    Origin,
    Selection,
    add_judges,
    answer_message,
    check_form,
    check_labels_fit,
    judge,
    write_examples,
)


def export_rows(
    path: str | Path,
    form: Form,
    rows: ReviewRows,
    labels: Labels,
    colleagues: Sequence[Labels],
    questions: Sequence[str | None],
    system: str | None,
    *,
    right: bool,
    valid: float | None,
    seed: int,
    environ: Mapping[str, str] | None,
) -> list[Path]:
    """Write what *labels* make of *rows*, each with its question."""
    form = check_form(form, right=right)
    if system is not None:
        check_characters("system", system)
    before = () if system is None else (Message("system", (Text(system),)),)
    selection, given = Selection(), labels.labels_by()
    for row, question in zip(rows.all, questions, strict=True):
        if not row.is_answered:
            selection.left_out["without an answer"] += 1
        elif question:
            asked = (*before, Message("user", (Text(question),)))
            example = Example(asked, answer_message(row.answer), about=row.source)
            selection.add(judge(example, given.get(row.name), form, right=right))
        else:
            selection.left_out["without a question"] += 1
    if rows.missing:
        selection.left_out["without an answer"] += rows.missing
    names, many = [row.name for row in rows.all], len(rows.frame)
    check_labels_fit(labels, names, "Give the columns that were reviewed as source= and answer=.")
    origin = add_judges(
        Origin(f"table of {plural(many, 'row')} that was reviewed", many), labels, names, colleagues
    )
    secrets = SecretScanner.from_environ(os.environ if environ is None else environ, Secret.in_use())
    return write_examples(path, selection, form, origin, secrets, valid=valid, seed=seed)
