"""Several packs: loaded as a layer beneath the store, or merged into one.

What is loaded is only ever read. An answer of one's own is never overwritten: where the store has one under the same name, it is the one that counts, and
the two are listed as a conflict if they differ.

Whatever is in one of two packs is in the merged one. Two answers to one request that say the same are one, the older. Two
that say something else are not chosen between, unless it is said how.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import orjson

from qwennb.answer import markup
from qwennb.cache import pack_file
from qwennb.cache.nearest import find_same_but_figures
from qwennb.cache.pack import Pack
from qwennb.cache.pack_format import is_mark, read_header, read_lines
from qwennb.cache.pack_media import PackMedia
from qwennb.cache.record import Name
from qwennb.errors import MediaError, NotRecorded, PackRefused
from qwennb.request import Request, file_name
from qwennb.text import first_words, plural

ENDINGS = (".qwenpack", ".qwenpack.zst")
SHOWN = 3  # requests with two answers


@dataclass(frozen=True, slots=True)
class Loaded:
    """A pack, the name of the file that it was read from, and the folder of pictures beside that.

    accepts_figures   its answers are taken for figures that are drawn otherwise here
    """

    pack: Pack
    file: str = ""
    accepts_figures: bool = False
    sources: PackMedia | None = field(default=None, compare=False, repr=False)

    @property
    def name(self) -> str:
        """What it is called."""
        return Path(self.file).name or "a pack"


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two answers under one name: the one that counts, one's own or the earlier pack's, and the one in *file*."""

    name: Name
    counts: str
    other: str
    file: str


class Packs:
    """Packs in the order in which they were loaded; the earlier one counts."""

    def __init__(self) -> None:
        self.loaded: tuple[Loaded, ...] = ()

    def load(self, pack: Pack, file: str = "", *, accept_figures: bool | None = None) -> None:
        """Recall from *pack* too, from now on. A pack loaded before from the same *file* makes way.

        With None for *accept_figures* it is as it was with that one.
        """
        others = tuple(one for one in self.loaded if not file or one.file != file)
        if accept_figures is None:
            accept_figures = any(one.accepts_figures for one in self.loaded if one not in others)
        sources = PackMedia.beside(Path(file)) if file else None
        self.loaded = (*others, Loaded(pack, file, accept_figures, sources))

    def read_from(self, file: str) -> Pack | None:
        """Find the loaded pack that was read from *file*; None where there is none."""
        return next((one.pack for one in self.loaded if one.file == file), None)

    def forget(self) -> None:
        """Forget all that was loaded."""
        self.loaded = ()

    def __bool__(self) -> bool:
        return bool(self.loaded)

    @property
    def default(self) -> tuple[str, str] | None:
        """The model, and the endpoint, of a request that leaves them open."""
        return next(((one.pack.model, one.pack.endpoint) for one in self.loaded if one.pack.model), None)

    def default_at(self, kinds: Collection[str]) -> tuple[str, str] | None:
        """Tell the `default` for an endpoint of one of these *kinds*; None where no pack has an answer from such a one."""
        return next((found for _, found in self._defaults_at(kinds)), None)

    def who_sets_default(self, kinds: Collection[str]) -> str:
        """Name the pack that `default_at` these *kinds*, or else `default`, comes from."""
        own = (one.name for one in self.loaded if one.pack.model)
        return next((one.name for one, _ in self._defaults_at(kinds)), None) or next(own, "")

    def _defaults_at(self, kinds: Collection[str]) -> Iterator[tuple[Loaded, tuple[str, str]]]:
        for one in self.loaded if kinds else ():
            pairs = [(one.pack.model, one.pack.endpoint), *(pair for pair, _ in one.pack.asked.most_common())]
            for model, identity in pairs:
                if model and identity.partition(":")[0] in kinds:
                    yield one, (model, identity)

    def find_redrawn(self, request: Request) -> tuple[Request, str] | None:
        """Find *request* as it was recorded but for how its figures were drawn, and the name of the pack that accepts that.

        NotRecorded where several are recorded that differ in their figures alone: which is meant can't be told.
        """
        for one in self.loaded:
            if one.accepts_figures and (found := find_same_but_figures(request, one.pack.records.items())):
                if len(found) > 1:
                    raise NotRecorded(
                        f"{len(found)} recorded requests of {one.name} differ from this one only in how their figures are drawn, "
                        f"so none is taken for it: {', '.join(sorted(made.key[:12] for made in found))}. Ask each in words of its own."
                    )
                return found[0], one.name
        return None

    def source(self, file: str, cap: int) -> bytes | None:
        """Read the content of a missing *file* from the folder beside a pack whose requests were asked with it.

        None where no pack was asked with any; MediaError where one was, and its folder does not have it as it should.
        """
        without: Loaded | None = None
        for one in self.loaded:
            if one.sources is None or not one.pack.media:
                continue
            if (content := one.sources.find(file, cap, one.pack.media)) is not None:
                return content
            without = without or one
        if without is None or without.sources is None or not file:
            return None
        raise MediaError(
            f"there is no file {file}, and {without.sources.folder.name} beside the pack does not have it; put the file "
            "where the notebook looks for it, or get that folder from whoever made the pack (qwennb pack NOTEBOOK --media "
            "makes it)"
        )

    def list_folder(self, folder: str, prefix: str) -> list[str]:
        """List the names in a missing *folder*, from it on: of the recorded question that was asked with the most of it.

        A request has the names of documents behind *prefix*. Which of them were below this folder, the folder beside the
        pack tells: it knows each file by the sha256 of its whole name.
        """
        found: list[list[str]] = [[]]
        for one in self.loaded:
            if one.sources is None or not one.pack.media:
                continue
            for value in one.pack.records.values():
                if b'"document"' in value:
                    request = Request.from_json(orjson.loads(value)["request"])
                    below = [
                        (m.name[len(prefix) :], m.digest)
                        for m in request.media
                        if m.TYPE == "document" and m.name.startswith(prefix)
                    ]
                    sources = one.sources
                    found.append(
                        [name for name, digest in below if sources.has(file_name(f"{folder}/{name}"), digest)]
                    )
        return max(found, key=len)

    def hold(self, keys: Iterable[str]) -> bool:
        """Tell whether there is an answer to every one of *keys*."""
        return bool(self.loaded) and all(any(k in one.pack.by_key for one in self.loaded) for k in keys)

    def find_many(self, keys: Iterable[str]) -> dict[str, dict[Name, bytes]]:
        """Find the answers to each of these keys; a key without any is absent."""
        found: dict[str, dict[Name, bytes]] = {}
        for key in keys:
            for one in self.loaded:
                for name in one.pack.by_key.get(key, ()):
                    found.setdefault(key, {}).setdefault(name, one.pack.records[name])
        return found

    def records(self, names: Iterable[Name]) -> dict[Name, bytes]:
        """Find what is recorded under each of *names*; those that are not here are absent."""
        found = ((name, one.pack.records.get(name)) for one in reversed(self.loaded) for name in names)
        return {name: record for name, record in found if record is not None}

    def names(self) -> list[Name]:
        """List every name in them."""
        return list(dict.fromkeys(name for one in self.loaded for name in one.pack.records))


def find_pack_of(notebook: Path) -> Path | None:
    """Find the pack that has the notebook's name, beside it or in a folder `packs` there. Nothing is opened."""
    folders = (notebook.parent, notebook.parent / "packs")
    named = (folder / f"{notebook.stem}{ending}" for folder in folders for ending in ENDINGS)
    return next((file for file in named if file.is_file()), None)


def find_packs_beside(folder: Path, notebook: str) -> list[Path]:
    """Find the packs in *folder* and its `packs`: that of *notebook*, where there is one, else all. Nothing is opened."""
    if notebook and (own := find_pack_of(folder / Path(notebook).name)) is not None:
        return [own]
    found = [
        file for place in (folder, folder / "packs") if place.is_dir() for file in sorted(place.iterdir())
    ]
    return [file for file in found if file.name.endswith(ENDINGS) and file.is_file()]


def same_answer(one: bytes, other: bytes) -> bool:
    """Tell whether two records of one name say the same; when and at which cost they were asked makes no difference."""
    return one == other or _content_of(one) == _content_of(other)


def text_of(record: bytes) -> str:
    """Read the text of a recorded answer, or the names of its tool calls."""
    answer = orjson.loads(record)["answer"]
    return str(answer["text"]) or ", ".join(str(call["name"]) for call in answer.get("tool_calls", ()))


def _content_of(record: bytes) -> tuple[object, ...]:
    answer = orjson.loads(record)["answer"]
    return tuple(answer.get(field) for field in ("text", "reasoning", "tool_calls", "tool_results"))


# ---------------------------------------------------------------------- one out of several

Keep = Literal["older", "newer"]


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
    """Put the answers of all *files* in one pack. PackRefused where two of them differ and nobody says which to *keep*."""
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
    """Read the pack in *file*; two where git left both sides of a merge in it."""
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
    """Split *lines* into what each of the two branches has; what was there before both is neither's."""
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
