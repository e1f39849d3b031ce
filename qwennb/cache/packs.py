"""The packs that are loaded: a layer of its own beneath the store, which is only ever read.

An answer of one's own is never overwritten: where the store has one under the same name, it is the one that counts, and
the two are listed as a conflict if they differ.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from qwennb.cache.nearest import find_same_but_figures
from qwennb.cache.pack import Pack
from qwennb.cache.pack_media import PackMedia
from qwennb.cache.record import Name
from qwennb.errors import MediaError, NotRecorded
from qwennb.request import Request

__all__ = ["Conflict", "Loaded", "Packs", "find_packs_beside"]

ENDINGS = (".qwenpack", ".qwenpack.zst")


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
        """The loaded pack that was read from *file*; None where there is none."""
        return next((one.pack for one in self.loaded if one.file == file), None)

    def forget(self) -> None:
        """As before any was loaded."""
        self.loaded = ()

    def __bool__(self) -> bool:
        return bool(self.loaded)

    @property
    def default(self) -> tuple[str, str] | None:
        """The model, and the endpoint, of a request that leaves them open."""
        return next(((one.pack.model, one.pack.endpoint) for one in self.loaded if one.pack.model), None)

    def default_at(self, kinds: Collection[str]) -> tuple[str, str] | None:
        """As `default`, for an endpoint of one of these *kinds*; None where no pack has an answer from such a one."""
        return next((found for _, found in self._defaults_at(kinds)), None)

    def who_sets_default(self, kinds: Collection[str]) -> str:
        """The name of the pack that `default_at` these *kinds*, or else `default`, comes from."""
        own = (one.name for one in self.loaded if one.pack.model)
        return next((one.name for one, _ in self._defaults_at(kinds)), None) or next(own, "")

    def _defaults_at(self, kinds: Collection[str]) -> Iterator[tuple[Loaded, tuple[str, str]]]:
        for one in self.loaded if kinds else ():
            pairs = [(one.pack.model, one.pack.endpoint), *(pair for pair, _ in one.pack.asked.most_common())]
            for model, identity in pairs:
                if model and identity.partition(":")[0] in kinds:
                    yield one, (model, identity)

    def find_redrawn(self, request: Request) -> tuple[Request, str] | None:
        """*request* as it was recorded but for how its figures were drawn, and the name of the pack that accepts that.

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
        """The content of a missing *file*, from the folder beside a pack whose requests were asked with it.

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

    def hold(self, keys: Iterable[str]) -> bool:
        """Whether there is an answer to every one of *keys*."""
        return bool(self.loaded) and all(any(k in one.pack.by_key for one in self.loaded) for k in keys)

    def find_many(self, keys: Iterable[str]) -> dict[str, dict[Name, bytes]]:
        """The answers to each of these keys; a key without any is absent."""
        found: dict[str, dict[Name, bytes]] = {}
        for key in keys:
            for one in self.loaded:
                for name in one.pack.by_key.get(key, ()):
                    found.setdefault(key, {}).setdefault(name, one.pack.records[name])
        return found

    def records(self, names: Iterable[Name]) -> dict[Name, bytes]:
        """What is recorded under each of *names*; those that are not here are absent."""
        found = ((name, one.pack.records.get(name)) for one in reversed(self.loaded) for name in names)
        return {name: record for name, record in found if record is not None}

    def names(self) -> list[Name]:
        """Every name in them."""
        return list(dict.fromkeys(name for one in self.loaded for name in one.pack.records))


def find_packs_beside(folder: Path, notebook: str) -> list[Path]:
    """The packs in *folder* and its `packs`: that of *notebook*, where there is one, else all. Nothing is opened."""
    places = [place for place in (folder, folder / "packs") if place.is_dir()]
    stem = Path(notebook).stem
    own = [place / f"{stem}{ending}" for place in places for ending in ENDINGS if stem]
    return [file for file in own if file.is_file()][:1] or [
        file
        for place in places
        for file in sorted(place.iterdir())
        if file.name.endswith(ENDINGS) and file.is_file()
    ]


def same_answer(one: bytes, other: bytes) -> bool:
    """Whether two records of one name say the same; when and at which cost they were asked makes no difference."""
    return one == other or _content_of(one) == _content_of(other)


def text_of(record: bytes) -> str:
    """The text of a recorded answer, or its tool calls."""
    answer = orjson.loads(record)["answer"]
    return str(answer["text"]) or ", ".join(str(call["name"]) for call in answer.get("tool_calls", ()))


def _content_of(record: bytes) -> tuple[object, ...]:
    answer = orjson.loads(record)["answer"]
    return tuple(answer.get(field) for field in ("text", "reasoning", "tool_calls", "tool_results"))
