"""What is remembered, and under which mode it is looked for.

    on        recall; what is not known is asked and kept
    refresh   ask, then keep
    replay    recall only, from any endpoint; what is not known is an error, and no socket is opened
    off       neither recall nor keep

A recalled answer is validated again, for a schema's Python validators may have changed since: one that no longer fits
is asked anew, or in replay is an error.

One's own answers come first. Beneath them lie the packs that are loaded: what they hold serves whichever endpoint it
came from, unless there is an answer of one's own under the same name.
"""

from __future__ import annotations

import asyncio
import weakref
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import Literal

import orjson

from qwennb.answer import Answer
from qwennb.cache.database import warn
from qwennb.cache.memory_store import MemoryStore
from qwennb.cache.nearest import difference, media_of_nearest
from qwennb.cache.pack_media import PackMedia
from qwennb.cache.packs import Conflict, Packs, same_answer, text_of
from qwennb.cache.record import Name, read_answer, record_of
from qwennb.cache.spending import Spendings
from qwennb.cache.store import Store
from qwennb.cache.usage_log import RecordingLog, TraceLog, UsageLog
from qwennb.cache.writer import Writer
from qwennb.config import CacheMode
from qwennb.errors import CacheError, InvalidAnswer, NotRecorded, ValidatorFailed
from qwennb.request import Medium, Request
from qwennb.text import first_words

MOST_LOOKED_AT = 1_000  # answers from which the usual model is told where no ledger lies

_HOLDING: set[Memory] = set()  # with answers that the disk did not take, which nobody may let go of


class Memory:
    """The answers of one folder."""

    def __init__(
        self,
        store: Store,
        packs: Packs | None = None,
        used: UsageLog | None = None,
        logs: Sequence[RecordingLog | TraceLog] = (),
        sources: PackMedia | None = None,
    ) -> None:
        self.store = store
        self.folder = store.folder
        self.writer = Writer(store)
        self.spendings = Spendings(self.folder)
        self.packs = packs if packs is not None else Packs()
        self.used = UsageLog() if used is None else used
        self._logs = logs
        self._sources = sources
        self._is_failing = False
        self._unkept: MemoryStore | None = None  # what the disk did not take: remembered here until it does
        # Who drops the last of it gives the folder back: the writer's thread ends, and the files are closed.
        weakref.finalize(self, self.writer.retire).atexit = False
        self._done: deque[tuple[asyncio.Future[None], BaseException | None]] = deque()

    def recall(self, request: Request, identity: str | None, mode: CacheMode) -> Answer | None:
        """Find the remembered answer to *request*; None when it is to be asked. In replay, a miss is an error.

        *identity* is the endpoint whose answer is wanted. In replay, and from a pack, it is only preferred.
        """
        found = _read_first(self.look_up([request.key], identity, mode).get(request.key, ()), request)
        if isinstance(found, Answer):
            self.record_use([(found.key, found.endpoint)], request.media)
            return found
        if isinstance(found, ValidatorFailed):
            raise found  # asked again, it would be paid for, and fail again
        if mode != "replay":
            return None
        self.record_miss([request.key])
        if found is not None:
            raise InvalidAnswer(
                f'The recorded answer to {request.key[:12]} no longer fits the schema: {found}. Record it again with cache="refresh".'
            )
        raise self.not_recorded(request)

    def recall_many(
        self, requests: Sequence[Request], identity: str | None, mode: CacheMode
    ) -> list[Answer | ValidatorFailed | None]:
        """Do as `recall`, thousands at once; where a validator broke, its error stands."""
        if mode != "on":
            return [self.recall(request, identity, mode) for request in requests]
        known = self.look_up([request.key for request in requests], identity, mode)
        made = [_read_first(known.get(request.key, ()), request) for request in requests]
        used = [one for one in made if isinstance(one, Answer)]
        self.record_use(
            [(one.key, one.endpoint) for one in used], (item for one in used for item in one.request.media)
        )
        return [None if isinstance(one, ValueError) else one for one in made]

    def look_up(self, keys: Sequence[str], identity: str | None, mode: str) -> dict[str, Sequence[bytes]]:
        """Find the records that may serve for each of *keys* in this mode, the best first; a key without any is absent.

        Nothing counts as used by it.
        """
        if mode in ("off", "refresh"):
            return {}
        found: dict[str, Sequence[bytes]]
        try:
            if mode == "replay" or self.packs.loaded:
                found = self._look_up_with_packs(keys, identity, mode)
            elif identity is None:
                found = {}
            elif len(keys) == 1:  # a question of its own, in as few steps as can be
                value = self.store.get(Name(keys[0], identity))
                found = {} if value is None else {keys[0]: (value,)}
            else:
                found = {key: (value,) for key, value in self.store.get_each(keys, identity)}
        except CacheError as error:
            if mode == "replay":
                raise
            self._tell_of_failing(
                f"Answers kept before can't be looked for ({error}); they are asked for again."
            )
            found = {key: list(packed.values()) for key, packed in self.packs.find_many(keys).items()}
        if self._unkept is not None:
            for key, unkept in self._unkept.find_many(keys).items():
                serving = [
                    value for name, value in unkept.items() if mode == "replay" or name.endpoint == identity
                ]
                if serving:
                    found[key] = [*serving, *found.get(key, ())]  # it is newer than what the store has
        return found

    def _look_up_with_packs(
        self, keys: Sequence[str], identity: str | None, mode: str
    ) -> dict[str, Sequence[bytes]]:
        """Do as `look_up`, in the packs too, and in replay among the answers of all endpoints."""
        found = self.packs.find_many(keys)
        for key, own in self.store.find_many(keys).items():
            packed = found.setdefault(key, {})
            # What a pack brings stands first: it is what the notebook was saved with. One's own counts under its name.
            for name, value in own.items():
                if mode == "replay" or name.endpoint == identity or name in packed:
                    packed[name] = value
        return {
            key: [some[name] for name in sorted(some, key=lambda n: not _is_of(n, identity))]
            for key, some in found.items()
            if some
        }

    def find(self, request: Request, identity: str | None, mode: str) -> Answer | None:
        """Find the answer that `recall` would give, None where there is none. Nothing counts as used by it."""
        found = _read_first(self.look_up([request.key], identity, mode).get(request.key, ()), request)
        return found if isinstance(found, Answer) else None

    def is_own(self, answer: Answer) -> bool:
        """Tell whether a recalled *answer* is one's own: no pack holds its name, or one's own store has the same calls under it."""
        name = Name(answer.key, answer.endpoint)
        if not self.packs.records([name]):
            return True
        try:
            own = self.store.get(name)
        except CacheError:
            return False
        calls = [] if own is None else orjson.loads(own)["answer"].get("tool_calls", [])
        return bool(calls) and calls == [call.to_json() for call in answer.tool_calls]

    def record_use(
        self,
        names: Sequence[tuple[str, str]],
        media: Iterable[Medium] = (),
        event: Literal["used", "kept"] = "used",
    ) -> None:
        """Record that these answers were used, or kept: by key and endpoint, to requests with these *media*."""
        if self._sources is not None:
            self._sources.keep(media)
        self.used.record(names, self.folder)
        for log in self._logs:
            log.record(event, names)

    def record_miss(self, keys: Sequence[str]) -> None:
        """Record that answers to these keys were looked for in replay, and there are none that serve."""
        for log in self._logs if keys else ():
            log.record("missing", [(key, "") for key in keys])

    def records(self, names: Iterable[Name]) -> dict[Name, bytes]:
        """Read what counts under each of *names*; those that are nowhere are absent."""
        wanted = list(names)
        unkept = {} if self._unkept is None else self._unkept.get_many(wanted)
        return self.packs.records(wanted) | self.store.get_many(wanted) | unkept

    def conflicts(self) -> list[Conflict]:
        """List where a loaded pack says something else than what counts here under the same name."""
        made = []
        own = self.store.get_many(self.packs.names())
        for one in self.packs.loaded:
            for name, value in one.pack.records.items():
                counts = own.setdefault(name, value)
                if not same_answer(counts, value):
                    made.append(Conflict(name, text_of(counts), text_of(value), one.file))
        return made

    def not_recorded(self, request: Request) -> NotRecorded:
        """Make the error for a *request* without an answer: which it is, what the nearest recorded one has otherwise, what to type."""
        shown = first_words(request.question, 50)
        return NotRecorded(
            f"Replay: no answer is recorded for request {request.key[:12]} to {request.model} ({shown!r}). "
            f"{self.difference(request)}"
            'To record it, ask once with cache="on" (or %qwen_cache on) and an endpoint that answers.'
        )

    def difference(self, request: Request, *, words: bool = True) -> str:
        """Tell what *request* has otherwise than the nearest that is recorded, as a sentence; *words*: its text may be shown."""
        return difference(request, self._all_records(), words=words)

    def media_of_nearest(self, request: Request) -> list[tuple[str, list[str]]]:
        """Find the recorded requests that are nearest to *request*, whatever its media are: their keys, and the hashes of their media."""
        return media_of_nearest(request, self._all_records())

    def _all_records(self) -> Iterable[tuple[Name, bytes]]:
        packed = ((name, record) for one in self.packs.loaded for name, record in one.pack.records.items())
        return packed if self.packs else self.store.items()

    def default(self, notebook: str = "") -> tuple[str, str] | None:
        """Tell the model and endpoint of a request that names none, by what was recorded: for *notebook*, if it can be told."""
        if self.packs.default is not None:
            return self.packs.default
        try:
            rows = self.spendings.rows()
        except CacheError:  # it can't be read: then nobody knows
            rows = []
        counts: Counter[tuple[str, str]] = Counter()
        for row in [row for row in rows if notebook and row.notebook == notebook] or rows:
            counts[row.model, row.endpoint] += row.requests
        if not counts:  # no ledger came with the folder: the answers themselves tell
            with suppress(CacheError):
                for name, record in islice(self.store.items(), MOST_LOOKED_AT):
                    counts[orjson.loads(record)["request"]["model"], name.endpoint] += 1
        return counts.most_common(1)[0][0] if counts else None

    def models(self) -> frozenset[str]:
        """List the models that were asked, by the packs that are loaded and by what was spent here."""
        packed = [model for one in self.packs.loaded for model in one.pack.models]
        return frozenset((*packed, *(row.model for row in self.spendings.rows())))

    def close(self) -> None:
        """Write out what is still to be written, and close the files."""
        self.writer.close()

    def _tell_of_failing(self, words: str, tell: Callable[[str], None] = warn) -> None:
        """Say once that the cache fails, until it works again: a thousand rows must not say it a thousand times."""
        if not self._is_failing:
            self._is_failing = True
            tell(words)

    async def keep(self, answer: Answer, warn: Callable[[str], None]) -> bool:
        """Keep *answer*, and come back once it is durable. Where it can't be kept, it is not lost: *warn* says so, once.

        False where it could not be kept.
        """
        loop = asyncio.get_running_loop()
        kept: asyncio.Future[None] = loop.create_future()
        name = Name(answer.key, answer.endpoint)
        try:
            self.writer.put(name, record_of(answer), lambda error: self._wake(loop, kept, error))
            await kept
            self.record_use([name], answer.request.media, "kept")
        except Exception as error:
            self._tell_of_failing(
                f"An answer could not be kept in the cache ({error}); it is given to you, and remembered only until this "
                "session ends. So are others, until the cache can be written.",
                warn,
            )
            if self._unkept is None:
                self._unkept = MemoryStore()
            self._unkept.put([(name, record_of(answer))])
            _HOLDING.add(self)
            return False
        self._is_failing = False
        if self._unkept is not None:  # the disk takes answers again: have it take those that it did not
            for unkept, value in list(self._unkept.items()):
                self.writer.put(unkept, value, partial(self._forget_if_kept, unkept))
        return True

    def _forget_if_kept(self, name: Name, error: BaseException | None) -> None:
        """Forget what the disk has taken by now. On the writer's thread."""
        if error is None and self._unkept is not None:
            self._unkept.remove([name])
            if not len(self._unkept):
                _HOLDING.discard(self)

    def _wake(
        self, loop: asyncio.AbstractEventLoop, kept: asyncio.Future[None], error: BaseException | None
    ) -> None:
        """Wake the loop once for all that a commit made durable. On the writer's thread."""
        self._done.append((kept, error))
        if len(self._done) == 1:
            loop.call_soon_threadsafe(self._acknowledge)

    def _acknowledge(self) -> None:
        while self._done:
            kept, error = self._done.popleft()
            if kept.done():
                continue
            if error is None:
                kept.set_result(None)
            else:
                kept.set_exception(error)


def _read_first(values: Iterable[bytes], request: Request) -> Answer | ValueError | ValidatorFailed | None:
    """Read the first of *values* that answers *request*; where none does, the error, that of a broken validator before others."""
    problem: ValueError | ValidatorFailed | None = None
    for value in values:
        read = read_answer(value, request)
        if isinstance(read, Answer):
            return read
        problem = problem if isinstance(problem, ValidatorFailed) else read
    return problem


def _is_of(name: Name, identity: str | None) -> bool:
    """Tell whether *identity* is the endpoint of *name*, or what kind of server it is."""
    return identity is not None and (name.endpoint == identity or name.endpoint.startswith(f"{identity}:"))
