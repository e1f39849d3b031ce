"""One pack out of several, or out of one that git could not merge to its end.

Whatever is in one of them is in the result. Two answers to one request that say the same are one, the older. Two that
say something else are not chosen between, unless it is said how.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import orjson

from qwennb.answer import markup
from qwennb.cache import pack_file
from qwennb.cache.pack import Pack
from qwennb.cache.pack_form import is_mark, read_header, read_lines
from qwennb.cache.packs import same_answer, text_of
from qwennb.cache.record import Name
from qwennb.errors import PackRefused
from qwennb.text import first_words, plural

Keep = Literal["older", "newer"]
SHOWN = 3  # requests with two answers


@dataclass(frozen=True, slots=True)
class MergedPack:
    """The pack that was made, how often one of two answers was *chosen*, and the defaults of each side, where they differ."""

    pack: Pack
    chosen: int = 0
    defaults: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class _Side:
    """One file, or what git left of one branch in it: its answers as they stand there."""

    name: str
    model: str
    endpoint: str
    answers: Sequence[tuple[Name, bytes]]


def merge_packs(files: Sequence[Path], keep: Keep | None = None) -> MergedPack:
    """The answers of all *files* in one pack. PackRefused where two of them differ and nobody says which to *keep*."""
    sides = [side for file in files for side in _read_sides(file)]
    merged: dict[Name, bytes] = {}
    differing: dict[Name, tuple[bytes, bytes]] = {}
    for side in sides:
        for name, record in side.answers:
            known = merged.get(name, record)
            older, newer = sorted((known, record), key=_age)
            is_other = not same_answer(older, newer)
            if is_other:
                differing[name] = (older, newer)
            merged[name] = newer if is_other and keep == "newer" else older
    if differing and keep is None:
        raise PackRefused(_tell(differing, files))
    named = [side for side in sides if side.model]
    others = {(side.model, side.endpoint): side.name for side in reversed(named)}
    first = named[0] if named else sides[0]
    told = tuple((name, model, endpoint) for (model, endpoint), name in reversed(others.items()))
    return MergedPack(
        Pack(merged, first.model, first.endpoint), len(differing), told if len(told) > 1 else ()
    )


def _age(record: bytes) -> tuple[str, bytes]:
    return orjson.loads(record)["answer"]["created"], record


def _tell(differing: dict[Name, tuple[bytes, bytes]], files: Sequence[Path]) -> str:
    count = len(differing)
    two = "two different answers"
    lines = [plural(count, f"request has {two}", f"requests have {two} each") + ":"]
    for name, records in list(differing.items())[:SHOWN]:
        lines += [f"  {name.key[:12]} at {_shorten(name.endpoint)}"]
        lines += [
            f"    {word}: {_shorten(text_of(record))}"
            for word, record in zip(("older", "newer"), records, strict=True)
        ]
    lines += [f"  … and {count - SHOWN:,} more"] if count > SHOWN else []
    typed = f"qwennb pack --merge {' '.join(file.name for file in files)}"
    return "\n".join([*lines, f"Nothing was written. Type: {typed} --keep older, or --keep newer"])


def _shorten(text: str) -> str:
    return first_words(markup.plain(text), 80)


def _read_sides(file: Path) -> Iterable[_Side]:
    """The pack in *file*; two where git left both sides of a merge in it."""
    with pack_file.open_plain(file) as opened:
        lines = list(pack_file.lines_of(opened, file.name))
    if not any(map(is_mark, lines)):
        return [_read_side(lines, file.name)]
    ours, theirs = _split(lines, file.name)
    return [_read_side(ours, f"{file.name} (ours)"), _read_side(theirs, f"{file.name} (theirs)")]


def _read_side(lines: Sequence[bytes], name: str) -> _Side:
    answers: list[tuple[Name, bytes]] = []
    header, _ = read_lines(iter(lines), name, lambda _, found, record: answers.append((found, record)))
    return _Side(name, header.defaults["model"], header.defaults["endpoint"], answers)


def _split(lines: Sequence[bytes], name: str) -> tuple[list[bytes], list[bytes]]:
    """The lines as each of the two branches has them; what was there before both is neither's."""
    ours, theirs = [], []
    inside = "both"
    for line in lines:
        if is_mark(line):
            inside = {b"<": "ours", b"|": "base", b"=": "theirs", b">": "both"}[line[:1]]
            continue
        if inside in ("ours", "both"):
            ours.append(line)
        if inside in ("theirs", "both"):
            theirs.append(line)
    if read_header(ours[0] if ours else b"", name).form == 1:
        raise PackRefused(
            f"{name} is of the form of qwennb 0.1, whose first line git can't merge. Take both sides out and merge them: "
            f"git show :2:./{name} > ours.qwenpack; git show :3:./{name} > theirs.qwenpack; "
            f"qwennb pack --merge ours.qwenpack theirs.qwenpack -o {name}"
        )
    return ours, theirs
