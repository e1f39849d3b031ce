"""The card: what stands in the files, where it comes from, who judged it, what was left out and why.

It is the README.md beside the files. Its head is what `datasets` reads: which file is which split, and which columns are JSON
as it is (an ordinary column would fill one call's arguments with the names of all others).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from qwennb.answer import markup
from qwennb.text import plural
from qwennb.truth import Kappa, Share
from qwennb.tuning.forms import Layout

BEGINNING = b"---\n# written by qwennb\n"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where examples come from.

    source       in words: "pack of 12 answers, root …"
    rows         how many there were to choose from
    models       who answered, with how many
    labels       by reviewer: how many of which verdict
    counting     whose labels count
    right        how many of the answers that she judged are right
    agreements   with each other reviewer
    strangers    labels that fit no row
    """

    source: str
    rows: int
    models: Mapping[str, int] = field(default_factory=dict)
    labels: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    counting: str = ""
    right: Share | None = None
    agreements: Mapping[str, Kappa] = field(default_factory=dict)
    strangers: int = 0


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A file of a set: its name, its sha256, and its lines, where it has lines."""

    name: str
    digest: str
    lines: int | None = None


def write_card(
    layout: Layout,
    origin: Origin,
    files: Sequence[WrittenFile],
    left_out: Mapping[str, int],
    *,
    root: str,
    thoughts: int | None,
    seed: int,
) -> str:
    """Write the card of a set. *thoughts*: how many answers have theirs, where that was asked for."""
    sets = [file for file in files if file.lines is not None]
    pictures = len(files) - len(sets)
    total = sum(file.lines or 0 for file in sets)
    lines = [
        *_head(layout, sets),
        "# Examples for fine-tuning",
        f"{plural(total, 'example')} in the form `{layout.form}`, from a {markup.literal(origin.source)}. Written by qwennb.",
        markup.table([["file", "examples", "sha256"], *([f.name, f"{f.lines:,}", f.digest] for f in sets)]),
    ]
    if pictures:
        lines.append(f"{plural(pictures, 'picture')} in `images/`, each called by the sha256 of its file.")
    listed = " ".join([*(["images/*"] if pictures else []), *(file.name for file in sets)])
    lines.append(f"Root: `{root}`, as `sha256sum {listed} | sha256sum` prints it.")
    if len(sets) > 1:
        lines.append(
            f"The split follows from the texts and the seed {seed}: what asks the same, but for capitals, spaces and signs, or belongs "
            "to one conversation, stands on one side."
        )
    lines += _who_answered(origin, thoughts, total)
    lines += _who_labelled(origin)
    if left_out:
        rows = [[reason, f"{count:,}"] for reason, count in left_out.items()]
        lines += [f"## Left out of {plural(origin.rows, 'row')}", markup.table([["why", "rows"], *rows])]
    return "\n\n".join(lines) + "\n"


def _head(layout: Layout, sets: Sequence[WrittenFile]) -> list[str]:
    names = {"train.jsonl": "train", "valid.jsonl": "validation"}
    head = [BEGINNING.decode().rstrip(), "configs:", "- config_name: default", "  data_files:"]
    for file in sets:
        head += [f"  - split: {names[file.name]}", f"    path: {file.name}"]
    if layout.has_tools or layout.paths:
        kinds = {"label": "dtype: bool", "images": "list: string"}
        if layout.form == "llama-factory":
            kinds["tools"] = "dtype: string"
        head += ["dataset_info:", "- config_name: default", "  features:"]
        for column in layout.columns:
            head += [f"  - name: {column}", f"    {kinds.get(column, 'list: json')}"]
    return ["\n".join([*head, "---"])]


def _who_answered(origin: Origin, thoughts: int | None, total: int) -> list[str]:
    lines = []
    if origin.models:
        told = ", ".join(f"{model} ({count:,})" for model, count in origin.models.items())
        lines.append(f"Answered by {markup.literal(told)}.")
    if thoughts is not None:
        lines.append(
            f"{thoughts:,} of {plural(total, 'answer')} begin with the model's thought, as `<think>…</think>`. LLaMA-Factory puts an "
            "empty thought before the others, for models that think."
        )
    return lines


def _who_labelled(origin: Origin) -> list[str]:
    if not origin.labels:
        return ["Nobody has judged these answers."] if origin.right is None else []
    lines = ["## Who judged"]
    rows = [
        [by or "nobody named", *(f"{given.get(verdict, 0):,}" for verdict in ("right", "wrong", "fixed"))]
        for by, given in origin.labels.items()
    ]
    lines.append(markup.table([["reviewer", "right", "wrong", "fixed"], *rows]))
    counting = markup.literal(origin.counting or "nobody named")
    lines.append(f"The labels of {counting} count. Right as answered: {origin.right or 'unknown'}.")
    for name, found in origin.agreements.items():
        share = Share(found.agreed, found.rows)
        value = "not defined" if found.value is None else f"{found.value:.2f}"
        value += f" (95 %: {found.interval[0]:.2f} to {found.interval[1]:.2f})" if found.interval else ""
        lines.append(
            f"With {markup.literal(name)}: the same on right or not for {share}; Cohen's kappa {value}."
        )
    if origin.strangers:
        lines.append(f"{plural(origin.strangers, 'label')} of {counting} fit no row that is here.")
    return lines
