"""Examples as files: one file of lines, or a folder with train and valid, the pictures, and the card.

    corrected.jsonl           a name with an ending is one file
    corrected/                any other is a folder
        train.jsonl valid.jsonl
        images/9f86….png
        README.md             the card

A file is there whole or not at all, and nobody else's is written over. What holds a secret is left out and told.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from qwennb.errors import BadInput, QwenWarning, nearest, show_value
from qwennb.files import replace_file
from qwennb.request import Image, file_path
from qwennb.secrets import SecretScanner
from qwennb.text import plural
from qwennb.tuning.card import BEGINNING, Origin, WrittenFile, write_card
from qwennb.tuning.example import Example, Selection, content_of, hash_beginnings, identity_of
from qwennb.tuning.forms import FIRST_COLUMN, FORMS, Form, Layout, describe, find_misfit
from qwennb.tuning.split import split_examples
from qwennb.warn import warn_user

VALID = 0.1
"""The share of a folder's examples that is kept for validation, where nobody says otherwise."""
_ENDING = re.compile(r"\.[A-Za-z]\w*")  # "v1.2" is a folder
_PICTURE = re.compile(r"[0-9a-f]{64}\.[a-z0-9]{1,8}")
_SETS = ("train.jsonl", "valid.jsonl")


def check_form(form: Any, *, right: bool = False, reasoning: bool = False) -> Form:
    """Check the form, and that what else is wanted has a meaning in it."""
    if not isinstance(form, str) or form not in FORMS:
        close = nearest(form, FORMS) if isinstance(form, str) else ""
        raise BadInput(
            f"{show_value(form)} is not a form of examples{close or '.'} Use {' or '.join(map(repr, FORMS))}."
        )
    if right and form in ("dpo", "kto"):
        why = "takes every labelled row" if form == "kto" else "is made of pairs, and only a fixed row is one"
        raise BadInput(f"right= has no meaning for {form!r}, which {why}. Leave it out.")
    if reasoning and form in ("dpo", "kto"):
        raise BadInput(
            f"reasoning= has no meaning for {form!r}: a fix has no thought, so a model would be taught not to think. Leave it out."
        )
    made: Form = form
    return made


def write_examples(
    path: Any,
    selection: Selection,
    form: Form,
    origin: Origin,
    secrets: SecretScanner,
    *,
    valid: Any = None,
    seed: Any = 0,
    reasoning: bool = False,
) -> list[Path]:
    """Write the examples of *selection* to *path*, a file or a folder; the files that were written."""
    path = file_path("The file of examples", path)
    if not str(path).isprintable():
        raise BadInput("The name of a file holds no control characters. Choose another name.")
    share, seed = _check_split(valid, seed)
    is_file = path.is_file() or (not path.is_dir() and _ENDING.fullmatch(path.suffix) is not None)
    if is_file and (share is not None or seed):
        raise BadInput(
            f"{'seed' if share is None else 'valid'}= parts examples into two files, and {path.name} is one. Give a folder: {path.stem!r}."
        )
    examples = _take_fitting(selection, form, secrets)
    if form in ("messages", "unsloth", "llama-factory"):
        examples = _drop_beginnings(examples, selection)
    if not examples:
        raise BadInput(_nothing(selection, form))
    if is_file and any(example.media for example in examples):
        raise BadInput(
            f"These examples have pictures, and pictures need a folder: give {path.stem!r} instead of {path.name}."
        )
    pictures = {} if is_file else _read_pictures(examples, selection, secrets)
    layout = Layout(
        form, any(e.has_tools for e in examples), {d: f"images/{name}" for d, (name, _) in pictures.items()}
    )
    if is_file:
        written = _write_file(path, examples, layout)
    else:
        thoughts = sum(e.answer.text.startswith("<think>\n") for e in examples) if reasoning else None
        card = _Card(origin, selection, thoughts, seed)
        written = _write_folder(
            path, split_examples(examples, VALID if share is None else share, seed), layout, pictures, card
        )
    if unfit := selection.unfit.total():
        told = "; ".join(f"{count:,} {reason}" for reason, count in selection.unfit.most_common(3))
        warn_user(f"{plural(unfit, 'example is', 'examples are')} left out: {told}.", QwenWarning)
    return written


def _check_split(valid: Any, seed: Any) -> tuple[float | None, int]:
    if valid is not None and (
        isinstance(valid, bool) or not isinstance(valid, int | float) or not 0 <= valid < 1
    ):
        raise BadInput(
            f"valid={show_value(valid)} is no share of the examples. Give a number from 0 to below 1, such as 0.1."
        )
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise BadInput(f"seed={show_value(seed)} is not a whole number.")
    return valid, seed


# ---------------------------------------------------------------------- which examples


def _take_fitting(selection: Selection, form: Form, secrets: SecretScanner) -> list[Example]:
    """Take what can be learnt from in *form*, each once."""
    taken: dict[Any, Example] = {}
    for number, example in enumerate(selection.examples):
        asked = any(turn.role == "user" and (turn.text.strip() or turn.media) for turn in example.prompt)
        answers = [example.answer, *([example.rejected] if example.rejected else [])]
        if not asked or not all(answer.text.strip() or answer.tool_calls for answer in answers):
            raise BadInput(
                f"Example {number + 1} has no question or no answer; nothing can be learnt from it."
            )
        if (misfit := find_misfit(example, form)) is not None:
            selection.unfit[misfit] += 1
        elif (kind := _find_secret(example, form, secrets)) is not None:
            selection.unfit[f"with {kind}"] += 1
        elif (content := content_of(example)) in taken:
            selection.left_out["said twice, word for word"] += 1
        else:
            taken[content] = example
    return list(taken.values())


def _find_secret(example: Example, form: Form, secrets: SecretScanner) -> str | None:
    """Tell the kind of the first secret in what would be written of *example*."""
    layout = Layout(form, example.has_tools, {medium.digest: "" for medium in example.media})
    turns = [*example.turns, *([example.rejected] if example.rejected else [])]
    # LLaMA-Factory wants calls and tools as JSON within JSON, and a key is known as it stands in a text and in JSON.
    once = [call.arguments for turn in turns for call in turn.tool_calls] + [
        tool.parameters for tool in example.tools
    ]
    line = orjson.dumps(layout.spell(example))
    return next((found for text in (line, *map(str.encode, once)) if (found := secrets.find(text))), None)


def _drop_beginnings(examples: Sequence[Example], selection: Selection) -> list[Example]:
    """Leave out each conversation that goes on in another one: there, the loss is on all of its answers."""
    hashes = [hash_beginnings([example.tools, *map(identity_of, example.turns)]) for example in examples]
    begun = {one for beginnings in hashes for one in beginnings[:-1]}
    kept = [
        example for beginnings, example in zip(hashes, examples, strict=True) if beginnings[-1] not in begun
    ]
    if dropped := len(examples) - len(kept):
        selection.left_out["the beginning of a longer conversation that is here"] += dropped
    return kept


def _nothing(selection: Selection, form: Form) -> str:
    """Say why there is nothing to export."""
    if selection.unfit:
        told = "; ".join(f"{count:,} {reason}" for reason, count in selection.unfit.most_common(3))
        return f"There is nothing to export as {form!r}. Left out: {told}."
    if not selection.left_out:
        return "There is nothing to export: no answer is here."
    if form == "dpo":
        return (
            "There is nothing to export: a pair is an answer and its fix, and no row is labelled fixed yet."
        )
    return "There is nothing to export: no row of that kind is labelled yet."


def _read_pictures(
    examples: list[Example], selection: Selection, secrets: SecretScanner
) -> dict[str, tuple[str, bytes]]:
    """Read the pictures, by what they are known by: the name of each one's file, and its bytes."""
    made: dict[str, tuple[str, bytes]] = {}
    for medium in (medium for example in examples for medium in example.media):
        if medium.digest in made or not isinstance(medium, Image):
            continue
        ending, content = medium.as_file()
        if (kind := secrets.find(content, by_value_only=True)) is not None:
            raise BadInput(
                f"A picture (sha256 {medium.digest[:12]}…) holds {kind}. Nothing was written. Take it out, and ask without it."
            )
        made[medium.digest] = f"{hashlib.sha256(content).hexdigest()}.{ending}", content
    return made


# ---------------------------------------------------------------------- writing


def _write_file(path: Path, examples: Sequence[Example], layout: Layout) -> list[Path]:
    described = path.with_name("dataset_info.json")
    _check_ours(path, layout.form)
    if layout.form != "llama-factory":
        _replace(path, _spell_lines(examples, layout))
        return [path]
    if path == described:
        raise BadInput(
            "dataset_info.json is where LLaMA-Factory looks for the description. Choose another name."
        )
    known = _read_description(described)
    _replace(path, _spell_lines(examples, layout))
    _write_description(described, known, [path.name], layout)
    return [path, described]


class _Card:
    """What the card tells beside the files."""

    def __init__(self, origin: Origin, selection: Selection, thoughts: int | None, seed: int) -> None:
        self.origin, self.selection, self.thoughts, self.seed = origin, selection, thoughts, seed

    def spell(self, layout: Layout, sets: Mapping[str, tuple[bytes, int]], pictures: Sequence[str]) -> bytes:
        """Spell the card of these files."""
        files = [WrittenFile(f"images/{name}", name.partition(".")[0]) for name in sorted(set(pictures))]
        files += [
            WrittenFile(name, hashlib.sha256(content).hexdigest(), count)
            for name, (content, count) in sets.items()
        ]
        listed = "".join(f"{file.digest}  {file.name}\n" for file in files)
        root = hashlib.sha256(listed.encode()).hexdigest()
        left_out = self.selection.reasons()
        text = write_card(
            layout, self.origin, files, left_out, root=root, thoughts=self.thoughts, seed=self.seed
        )
        return text.encode("utf-8", "replace")


def _write_folder(
    folder: Path,
    sides: tuple[Sequence[Example], Sequence[Example]],
    layout: Layout,
    pictures: Mapping[str, tuple[str, bytes]],
    card: _Card,
) -> list[Path]:
    described, readme = folder / "dataset_info.json", folder / "README.md"
    for name in _SETS:
        _check_ours(folder / name, layout.form)
    if _read_beginning(readme, len(BEGINNING)) not in (None, b"", BEGINNING):
        raise BadInput(f"{readme} is there and holds something else. Choose another folder.")
    known = _read_description(described) if layout.form == "llama-factory" else {}
    sets = {
        name: (_spell_lines(examples, layout), len(examples))
        for name, examples in zip(_SETS, sides, strict=True)
        if examples
    }
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        if pictures:
            (folder / "images").mkdir(mode=0o700, exist_ok=True)
        _forget_earlier(folder, sets, {name for name, _ in pictures.values()})
    except OSError as error:
        raise BadInput(f"{folder} can't be written: {error.strerror}.") from None
    for name, content in pictures.values():
        _replace(folder / "images" / name, content)
    for name, (content, _) in sets.items():
        _replace(folder / name, content)
    written = [folder / name for name in sets]
    if layout.form == "llama-factory":
        _write_description(described, known, list(sets), layout)
        written.append(described)
    _replace(readme, card.spell(layout, sets, [name for name, _ in pictures.values()]))
    return [*written, readme]


def _forget_earlier(folder: Path, sets: Mapping[str, Any], pictures: set[str]) -> None:
    """Take away what an earlier export left and this one does not write: a twin may have stood there."""
    for name in _SETS:
        if name not in sets:
            (folder / name).unlink(missing_ok=True)
    images = folder / "images"
    with suppress(FileNotFoundError):
        for file in list(images.iterdir()):
            if _PICTURE.fullmatch(file.name) and file.name not in pictures:
                file.unlink()


def _spell_lines(examples: Sequence[Example], layout: Layout) -> bytes:
    return b"".join(orjson.dumps(layout.spell(example)) + b"\n" for example in examples)


def _check_ours(path: Path, form: Form) -> None:
    """Refuse to write over what is not of this form: it is somebody's file."""
    column = FIRST_COLUMN[form]
    begins = _read_beginning(path, len(column) + 3)
    if begins and begins != f'{{"{column}"'.encode():
        raise BadInput(f"{path} is there and holds something else. Choose another name.")


def _read_beginning(path: Path, most: int) -> bytes | None:
    """Read how a file begins; None where there is none."""
    try:
        with path.open("rb") as file:
            return file.read(most)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BadInput(f"{path} can't be written: {error.strerror}.") from None


def _read_description(file: Path) -> dict[str, Any]:
    try:
        known = orjson.loads(file.read_bytes())
    except FileNotFoundError:
        return {}
    except orjson.JSONDecodeError:
        known = None
    if not isinstance(known, dict):
        raise BadInput(
            f"{file} is no list of data sets, as LLaMA-Factory keeps it. Export to another folder."
        )
    return known


def _write_description(file: Path, known: dict[str, Any], names: Sequence[str], layout: Layout) -> None:
    known |= {Path(name).stem: describe(name, layout) for name in names}
    _replace(file, orjson.dumps(known, option=orjson.OPT_INDENT_2) + b"\n")


def _replace(path: Path, content: bytes) -> None:
    try:
        replace_file(path, content, durable=True)
    except OSError as error:
        raise BadInput(f"{path} can't be written: {error.strerror}.") from None
