"""Default model and endpoint from recorded answers, in replay and beside a pack; errors and packs of what is recorded.

A reader's own settings must not turn a pack's requests into others: once a pack is loaded, only what the notebook itself
names counts, and not the environment of whoever runs it.

Whoever was sent a pack often can ask nobody. What goes wrong then is told in terms of the pack: is it loaded or does it
lie beside the notebook, has it the answer, what differs, and what is to be typed. A picture, video or PDF that is not
where the notebook says is told by its file and by the hash that it had in the nearest request that is recorded.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson

from qwennb.answer import Answer
from qwennb.cache import Memory, Name, Pack, difference, find_packs_beside
from qwennb.catalog import Catalog
from qwennb.client.options import Options
from qwennb.client.runtime import Runtime
from qwennb.config import Config
from qwennb.endpoints import (
    HOSTED,
    PLAIN,
    SELF_HOSTED,
    Endpoint,
    recorded_endpoint,
    recorded_model,
    split_endpoint,
)
from qwennb.errors import (
    BadInput,
    MissingKey,
    NotRecorded,
    PackRefused,
    QwenError,
    UnknownEndpoint,
    UnknownModel,
    Unreachable,
)
from qwennb.machine import is_loopback
from qwennb.project import show_path
from qwennb.request import Document, Image, Medium, Pdf, Request, Video, blank_requests
from qwennb.text import join_some, plural

_CHOICES = (
    "set DASHSCOPE_API_KEY or OPENROUTER_API_KEY, start a server, or type: "
    'pip install "qwennb[local]" && qwennb local pull'
)


@dataclass(frozen=True, slots=True)
class Missing:
    """What could not be answered: how its request is made for a model of a name, or for the one that it means here (None).

    It asks for the model `wanted`; without `words` nothing of its text is to be shown.
    """

    make: Callable[[str | None], Request] | None
    wanted: str | None
    words: bool


@dataclass(frozen=True, slots=True)
class RecordedDefaults:
    """What one client's requests mean by what was recorded.

    names_model   the notebook itself gave the client's model; else `model_from` says who did, if anybody
    """

    config: Config
    catalog: Catalog
    notebook: str
    names_model: bool
    names_endpoint: bool
    runtime: Callable[[], Runtime]
    model_from: str = ""
    held: list[Memory] = field(default_factory=list, repr=False, compare=False)
    """What keeps the folder open as long as this client lives."""

    @property
    def memory(self) -> Memory:
        """The answers of the client's folder, and the packs that are loaded."""
        memory = self.runtime().memory(self.config.cache_dir)
        self.held[:] = [memory]
        return memory

    def counts(self, mode: str) -> bool:
        """Tell whether what is recorded decides: in replay, and once a pack is loaded."""
        return mode == "replay" or bool(self.memory.packs)

    @property
    def endpoint(self) -> str | None:
        """The endpoint that the user named, by its kind; None where none was named, or only an address."""
        named = self.config.endpoint if self.names_endpoint or not self.memory.packs else None
        kind, url = split_endpoint(named or "")
        if url is not None and kind == PLAIN:
            return PLAIN if is_loopback(url) else urlsplit(url).hostname
        return kind or None

    @property
    def source_endpoint(self) -> Endpoint:
        """The endpoint that answered what is recorded: its abilities and prices count, and nothing is sent to it."""
        return recorded_endpoint(self.endpoint or self._default()[1], self.catalog)

    def explicit_model(self, wanted: str | None) -> str | None:
        """Find the model that was named, by a request that asks for *wanted* or by its client; None where none was."""
        if wanted or self.names_model or self._pack_default is None:
            return wanted or self.config.model
        return None

    def model(self, wanted: str | None) -> str:
        """Find the model that a request means that asks for *wanted*, or names none."""
        recorded, named = self._pack_default, self.explicit_model(wanted)
        if named is None:
            return (recorded or self._default())[0]
        usual = recorded or (self.memory.default(self.notebook) if self.endpoint == "local" else None)
        name = recorded_model(named, usual[0] if usual else "", self.catalog)
        if name == named:
            return name
        self.runtime().settle(self.config.cache_dir)
        # A server's own id, which it does not list or lists beside another of the same model, is recorded as it was typed.
        return named if named in self.memory.models() else name

    @property
    def _pack_default(self) -> tuple[str, str] | None:
        """The default of the packs that are loaded: of the endpoint that the notebook names, if they know it."""
        packs = self.memory.packs
        return packs.default_at(self._kinds()) or packs.default

    def is_elsewhere(self, request: Request) -> bool:
        """Tell whether *request*, which names no model, is for an endpoint that no pack knows.

        What a pack answers it answers first: then nothing is looked for.
        """
        packs, kinds = self.memory.packs, self._kinds()
        return bool(packs and kinds) and packs.default_at(kinds) is None and not packs.hold([request.key])

    def _kinds(self) -> list[str]:
        """List the kinds of endpoint that the notebook may mean by the one that it names; none where it names none."""
        if not self.names_endpoint or self.config.endpoint is None:
            return []
        if (named := self.endpoint) is not None:
            return [named]
        host = urlsplit(self.config.endpoint).hostname or ""
        hosted = [name for name, provider in HOSTED.items() if urlsplit(provider.base_url).hostname == host]
        return hosted or [host, *SELF_HOSTED]

    def _default(self) -> tuple[str, str]:
        """Find the model and the endpoint that were asked here before: nothing is probed in replay."""
        self.runtime().settle(self.config.cache_dir)
        if (recorded := self.memory.default(self.notebook)) is not None:
            return recorded
        raise NotRecorded(
            'Replay: no model is named and nothing was ever recorded here. Give model=, or record first with cache="on".'
        )

    # ------------------------------------------------------------------ errors that speak of packs

    def who_sets_model(self, wanted: str | None, model: str) -> str:
        """Tell who chose *model* for a request that asks for *wanted*, in a sentence; empty where the notebook itself did."""
        try:
            if wanted or self.names_model or model != self.model(None):
                return ""
        except NotRecorded:
            return ""
        if self._pack_default is not None:
            return (
                f"{model} is the default of {show_path(self.memory.packs.who_sets_default(self._kinds()))}. "
            )
        if self.config.model:
            return f"{model} comes from {self.model_from}. "
        return f"{model} is what was asked most here. "

    def explain(
        self,
        error: QwenError,
        make: Callable[[str | None], Request] | None = None,
        wanted: str | None = None,
        *,
        words: bool = True,
    ) -> QwenError:
        """Put *error*, where it came because nobody can be asked, in terms of the packs that are here.

        *make* gives the request, for the model of that name or, with None, for the one that it means here; it asks for the
        model *wanted*. Without *words* nothing of its text is shown.
        """
        if not isinstance(error, UnknownEndpoint | MissingKey | UnknownModel | Unreachable | NotRecorded):
            return error
        if hasattr(error, "speaks_of_packs"):
            return error
        told = self._explain_error(error, Missing(make, wanted, words))
        if told is None:
            return error
        made = type(error)(told)
        made.speaks_of_packs = True  # type: ignore[union-attr]
        return made

    def _explain_error(self, error: QwenError, missing: Missing) -> str | None:
        """Put *error* in terms of the packs that are here; None where they have nothing to do with it."""
        if isinstance(error, NotRecorded):
            return self._explain_miss(error, missing)
        nobody = isinstance(error, UnknownEndpoint)
        if (nobody and self.config.endpoint not in (None, "local")) or (
            isinstance(error, UnknownModel) and (missing.wanted or self.config.model)
        ):
            return None  # a name that does not exist: no pack would help
        found = self._describe_loaded(missing) if self.memory.packs else self._describe_beside(missing)
        if not found:
            return None
        return f"{found}To ask it anew, {_CHOICES}" if nobody else f"{found}It can't be asked anew: {error}"

    def _explain_miss(self, error: NotRecorded, missing: Missing) -> str | None:
        who = beside = ""
        if missing.make is not None and (self.memory.packs or self.config.model or self._has_default):
            who = self.who_sets_model(missing.wanted, missing.make(None).model)
        if not self.memory.packs:
            beside = self._describe_beside(missing) or ""
        return f"{error} {who}{beside}".rstrip() if who or beside else None

    @property
    def _has_default(self) -> bool:
        return self.memory.default(self.notebook) is not None

    def _describe_loaded(self, missing: Missing) -> str:
        """Describe what the packs that are loaded have to do with it."""
        packs = self.memory.packs
        names = " and ".join(show_path(one.name) for one in packs.loaded)
        count = sum(len(one.pack) for one in packs.loaded)
        held = f"{names} {'is' if len(packs.loaded) == 1 else 'are'} loaded ({plural(count, 'answer')})"
        if missing.make is None:
            return f"{held} and can't answer everything that is asked here. "
        request = missing.make(None)
        if packs.hold([request.key]):
            return f"{held} and has the answer to request {request.key[:12]}, which this cache mode does not recall. "
        told = f"{held} and has no answer to request {request.key[:12]} to {request.model}. "
        return (
            told
            + self.memory.difference(request, words=missing.words)
            + self.who_sets_model(missing.wanted, request.model)
        )

    def _describe_beside(self, missing: Missing) -> str | None:
        """Describe what a pack that lies beside the notebook has to do with it; None where there is none."""
        folder = Path.cwd()
        files = find_packs_beside(folder, self.notebook)
        if not files:
            return None
        told = [self._describe_pack(file, file.relative_to(folder).as_posix(), missing) for file in files[:3]]
        return next((one for one, has_it in told if has_it), told[0][0])

    def _describe_pack(self, file: Path, name: str, missing: Missing) -> tuple[str, bool]:
        name = show_path(name)
        lies = f"{name} lies beside the notebook and is not loaded"
        load = f"To recall from it, type %qwen_pack {name} (or set QWENNB_PACK={name}), then run this again. "
        try:
            facts = file.stat()
            pack = _read_pack(file, facts.st_mtime_ns, facts.st_size)
        except (PackRefused, OSError) as refused:
            return f"{lies}; it can't be: {refused} ", False
        if missing.make is None:
            return f"{lies}. {load}", False
        named = missing.wanted or (self.config.model if self.names_model else None)
        request = missing.make(recorded_model(named, pack.model, self.catalog) if named else pack.model)
        if request.key in pack.by_key:
            return f"{lies}; it has the answer. {load}", True
        return (
            f"{lies}; it has no answer to this. {difference(request, pack.records.items(), words=missing.words)}{load}",
            False,
        )


@lru_cache(maxsize=2)
def _read_pack(file: Path, changed: int, size: int) -> Pack:
    """Read the pack in *file*, once for all that fails beside it."""
    return Pack.read(file)


# ---------------------------------------------------------------------- media that are missing

STAND_IN = "0" * 64
MOST_TOLD = 3


def without_missing(options: Options) -> Options | None:
    """Put a stand-in in the place of each file that is not there; None where all are."""
    given = {name: _several(getattr(options, name)) for name in ("images", "videos", "files")}
    made: dict[str, Any] = {
        name: [_stand_in(name, one) for one in several] for name, several in given.items()
    }
    return None if made == given else replace(options, **made)


def hashes_told(nearest: Sequence[tuple[str, Sequence[str]]], asked: Options) -> str:
    """Tell the hashes that *nearest*, recorded requests with their media, have where *asked* has stand-ins."""
    media = [one for name in ("images", "videos", "files") for one in _several(getattr(asked, name))]
    places = [-len(media) + i for i, one in enumerate(media) if getattr(one, "digest", None) == STAND_IN]
    # The options' media stand behind those of the prompt.
    hashes = [(key, [known[p] for p in places if -p <= len(known)]) for key, known in nearest]
    hashes = [(key, known) for key, known in hashes if all(known) and known]
    if not hashes:
        return ". No request is recorded that is near to this one and came with a file"
    told = [f"{key[:12]} with sha256 {' and '.join(known)}" for key, known in hashes]
    return f". The nearest that is recorded: {join_some(told, MOST_TOLD, '; ')}"


def _several(given: Any) -> list[Any]:
    if given is None:
        return []
    return list(given) if isinstance(given, list | tuple) else [given]


def _stand_in(option: str, given: Any) -> Any:
    if not isinstance(given, str | os.PathLike):
        return given
    typed = os.fsdecode(given)
    if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*://|data:", typed) or Path(typed).expanduser().exists():
        return given
    kind: type[Medium] = {"images": Image, "videos": Video}.get(option, Document)
    if option == "files":
        ending = Path(typed).suffix.lower()
        kind = next((medium for medium, endings in _ENDINGS.items() if ending in endings), Document)
    name = {"name": Path(typed).name} if kind is Document else {}
    return kind.from_json({"type": kind.TYPE, "sha256": STAND_IN, **name})


_ENDINGS: dict[type[Medium], tuple[str, ...]] = {
    Pdf: (".pdf",),
    Video: (".mp4", ".mov", ".webm", ".mkv", ".mpeg", ".mpg", ".avi"),
    Image: (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".heic", ".avif"),
}


# ---------------------------------------------------------------------- packing a run

_WAYS = "Give answers, or a frame that a column was asked for with meta=True."


def pack_run(memory: Memory, run: Iterable[Any]) -> Pack:
    """Pack the answers of *run*. What failed, and what is not kept, is not in it."""
    answers: list[Answer] = []
    names: list[Name] = []
    for given in run:
        if isinstance(given, Answer):
            answers.append(given)
        elif type(given).__name__ == "LazyFrame":
            raise BadInput("The frame is lazy: nothing was asked yet. Collect it first, and pack what comes.")
        elif hasattr(given, "columns"):
            names += _names_in(given)
        elif isinstance(given, Iterable) and not isinstance(given, str | bytes):
            inner = list(given)
            if not all(isinstance(one, Answer) for one in inner):
                raise BadInput(f"There is nothing to pack in {type(given).__name__}. {_WAYS}")
            answers += inner
        else:
            raise BadInput(f"There is nothing to pack in {type(given).__name__}. {_WAYS}")
    records = memory.records(names)
    return Pack.of_records(records | memory.records(_names_of_lean(records))) | Pack.of(answers)


def _names_of_lean(records: Mapping[Name, bytes]) -> Iterator[Name]:
    """Name the answers to texts that say nothing, beside which labels are read: without them a pack would give others.

    Once for all rows of a column at an endpoint, which differ in their last message.
    """
    done: set[tuple[bytes, str]] = set()
    for name, value in records.items():
        if b'"choice_logprobs"' in value:
            asked = orjson.loads(value)["request"]
            column = orjson.dumps({**asked, "messages": asked["messages"][:-1]}), name.endpoint
            if column not in done and (blanks := blank_requests(Request.from_json(asked))):
                done.add(column)
                yield from (Name(blank.key, name.endpoint) for blank in blanks)


def _names_in(frame: Any) -> list[Name]:
    """Collect the names that stand in the meta columns of a polars or pandas frame."""
    found = [list(_names(frame[column])) for column in frame.columns]
    if not any(found):
        raise BadInput(f"The frame has no column that tells where its answers come from. {_WAYS}")
    return [name for names in found for name in names]


def _names(values: Iterable[Any]) -> Iterator[Name]:
    for value in values:
        if not isinstance(value, Mapping):
            if value is None:
                continue
            return  # another kind of column
        key, endpoint = value.get("key"), value.get("endpoint")
        if isinstance(key, str) and isinstance(endpoint, str) and len(key) == 64:
            yield Name(key, endpoint)
