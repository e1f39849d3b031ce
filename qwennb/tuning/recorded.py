"""Recorded answers as examples: what was asked, turn by turn, with pictures and tools, and what was answered.

A label fits an answer by its question and its text, as Review names a row: review `pack.frame()` with the columns "question" and
"text", and its labels are those of the pack.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from qwennb.answer import Answer
from qwennb.errors import BadInput, show_value
from qwennb.request import BLANK_PROMPTS, Message, Text
from qwennb.text import plural
from qwennb.truth import Share
from qwennb.tuning.card import Origin
from qwennb.tuning.example import Example, Selection, judge
from qwennb.tuning.forms import Form
from qwennb.tuning.labels import Labels, agreement, row_of


def choose_answers(
    answers: Iterable[Answer], labels: Labels | None, form: Form, *, right: bool, reasoning: bool, source: str
) -> tuple[Selection, Origin]:
    """Choose what is to be learnt of *answers*: all of them, or what the *labels* make of each."""
    answers = list(answers)
    selection = Selection()
    kept = [answer for answer in answers if _is_whole(answer, selection, reasoning)]
    if reasoning and kept and not any(answer.reasoning for answer in kept):
        raise BadInput("reasoning=True, and no answer here has its thought recorded. Leave it out.")
    if labels is None:
        if form in ("dpo", "kto"):
            raise BadInput(
                f"{form!r} is made of what people said of answers. Give labels=, the file that Review keeps."
            )
        selection.examples += [_example(answer, reasoning) for answer in kept]
        return selection, _origin(source, answers)
    given = labels.labels_by()
    rows = [row_of(answer.request.question, answer.text) for answer in kept]
    check_labels_fit(
        labels,
        rows,
        'Review this pack itself: widgets.Review(pack.frame(), source="question", answer="text", labels=…).',
    )
    for answer, row in zip(kept, rows, strict=True):
        selection.add(judge(_example(answer, reasoning), given.get(row), form, right=right))
    return selection, add_judges(_origin(source, answers), labels, rows)


def check_labels_fit(labels: Labels, rows: Sequence[str], remedy: str) -> None:
    """Refuse labels of which none fits any of *rows*."""
    given = labels.labels_by()
    if given and given.keys().isdisjoint(rows):
        raise BadInput(
            f"None of the {plural(len(given), 'label')} in {labels.path.name} fits an answer here: a label belongs to a question and "
            f"its answer. {remedy}"
        )


def add_judges(origin: Origin, labels: Labels, rows: Sequence[str], others: Sequence[Labels] = ()) -> Origin:
    """Add to *origin* who judged *rows*, and how well the reviewers agree."""
    given, names = labels.labels_by(), list(dict.fromkeys(rows))
    by_name = {by: labels.labels_by(by) for by in labels.reviewers}
    for other in others:
        by_name |= {by or other.path.stem: other.labels_by(by) for by in other.reviewers}
    found = {
        by: measured
        for by, theirs in by_name.items()
        if by != labels.by and (measured := agreement(names, given, theirs)) is not None
    }
    judged = [given[row] for row in names if row in given]
    return replace(
        origin,
        labels={
            by: Counter(theirs[row].verdict or "" for row in names if row in theirs)
            for by, theirs in by_name.items()
            if theirs
        },
        counting=labels.by,
        right=Share(sum(label.verdict == "right" for label in judged), len(judged)),
        agreements=found,
        strangers=len(given.keys() - set(names)),
    )


def read_labels_of(path: Path, by: Any) -> Labels:
    """Read a file of labels, of the one reviewer in it or of the one that is named."""
    if by is not None and not isinstance(by, str):
        raise BadInput(f"by={show_value(by)} is no reviewer's name.")
    if not path.is_file():
        raise BadInput(
            f"There is no file of labels {path}. Review makes one: widgets.Review(…, labels={path.name!r})."
        )
    labels = Labels(path, by or "")
    if by is not None and by not in labels.reviewers:
        known = ", ".join(repr(name) for name in labels.reviewers) or "nobody"
        raise BadInput(f"{path.name} has no labels by {by!r}; it has those of {known}.")
    if by is not None or not labels.reviewers:
        return labels
    if len(labels.reviewers) > 1:
        known = ", ".join(repr(name) for name in labels.reviewers)
        raise BadInput(f"{path.name} has labels by {known}. Say whose count: by={labels.reviewers[0]!r}")
    return Labels(path, labels.reviewers[0])


def _is_whole(answer: Answer, selection: Selection, reasoning: bool) -> bool:
    """Tell whether *answer* is a whole answer to a question of somebody's."""
    if answer.request.question in BLANK_PROMPTS and answer.request.choices is not None:
        selection.left_out[
            "about a text that says nothing, asked by classify to learn which way the model leans"
        ] += 1
    elif not any(m.role == "user" and (m.text.strip() or m.media) for m in answer.request.messages):
        selection.left_out["without a question"] += 1
    elif not (answer.text.strip() or answer.tool_calls):
        selection.left_out["without an answer"] += 1
    elif answer.is_cut:
        selection.left_out["cut at its own max_tokens"] += 1
    elif reasoning and "</think>" in "".join(
        [answer.reasoning, *(message.reasoning for message in answer.request.messages)]
    ):
        selection.unfit["with </think> inside a thought, which would end it there"] += 1
    else:
        return True
    return False


def _example(answer: Answer, reasoning: bool) -> Example:
    said = Message(
        "assistant",
        (Text(answer.text),) if answer.text else (),
        answer.tool_calls,
        reasoning=answer.reasoning,
    )
    prompt = answer.request.messages
    if reasoning:
        said, prompt = _with_thought(said), tuple(map(_with_thought, prompt))
    return Example(prompt, said, tools=answer.request.tools)


def _with_thought(message: Message) -> Message:
    """Put the thought that led to a message before its text, as Qwen writes it."""
    if not message.reasoning:
        return message
    return replace(
        message, parts=(Text(f"<think>\n{message.reasoning.strip()}\n</think>\n\n"), *message.parts)
    )


def _origin(source: str, answers: Sequence[Answer]) -> Origin:
    asked = Counter(f"{answer.model} at {answer.endpoint}" for answer in answers)
    return Origin(source, len(answers), dict(asked.most_common()))
