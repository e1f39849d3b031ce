"""`Session`: what chats, cells, columns, panels and the openai clients ask through; `Qwen` is a thin door to it.

build_request   what was typed becomes a `Request`
recall          the answer, if it is remembered: on the caller's own thread
send            else the engine asks, on its own; the caller only waits
run_tools       ask, run what the answer calls, and ask on
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import sys
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextvars import Context
from dataclasses import replace
from functools import partial
from operator import call
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qwennb.answer import Answer, Chunk, tell_of_cut
from qwennb.cache import Memory
from qwennb.catalog import Catalog
from qwennb.client.options import NOTHING, Options, split
from qwennb.client.recorded import RecordedDefaults, hashes_told, without_missing
from qwennb.client.runtime import Runtime
from qwennb.client.stream import Stream
from qwennb.client.tools import (
    Approve,
    LoopCaller,
    LoopHost,
    Note,
    ThreadCaller,
    recall_consents,
    run_now,
    tool_loop,
)
from qwennb.client.validation import check_window, tell_not_shown, validate_request
from qwennb.config import CacheMode, Config, Secret, read_overrides
from qwennb.endpoints import Endpoint, Finder, find_embedded, list_not_shown, simulator_url
from qwennb.engine import Budget, CallContext
from qwennb.errors import BadInput, MediaError, NotRecorded, QwenError, QwenWarning, show_value
from qwennb.request import (
    NO_QUOTES_OF_CHOICES,
    CitedSchema,
    Document,
    Medium,
    Message,
    Request,
    Schema,
    Text,
    Tool,
    add_words,
    merge_texts,
    read_files,
    user_message,
)
from qwennb.warn import warn_user

if TYPE_CHECKING:
    from qwennb.tracing import RunKind, Subscriber, Trace

CLIENT_SETTINGS = (
    "model", "endpoint", "api_key", "cache", "cache_dir", "budget", "timeout", "concurrency", "pace", "referer", "title",
)  # fmt: skip
OTEL = "opentelemetry.trace"  # who has spans recorded has loaded it
UNHEARD = contextlib.nullcontext()  # in the place of a trace where nobody listens


class Session:
    """One client's settings, defaults, budget and warnings, and all that is done with them.

    *settings* are those of `Qwen`, by name. *runtime* gives what is shared with other sessions: the process's own, or one
    of a test's.
    """

    def __init__(self, settings: Mapping[str, Any], runtime: Callable[[], Runtime]) -> None:
        self.runtime = runtime
        hidden = {"api_key": hide_key(settings.get("api_key"))}
        self.config = Config.load({name: settings.get(name) for name in CLIENT_SETTINGS} | hidden)
        no_options = (*CLIENT_SETTINGS, "on_event")
        self.defaults, _ = split("", {name: v for name, v in settings.items() if name not in no_options})
        self._overrides = NOTHING  # what stands above every argument: whoever runs the notebook set it
        if over := read_overrides(os.environ):
            self._overrides = Options(
                model=over.get("model"), cache=over.get("cache"), **over.get("options", {})
            )
        self._unsaid = self.with_defaults(NOTHING)  # a call's options where it gives none
        self.catalog = Catalog.load_bundled()
        self.known_endpoint: Endpoint | None = None
        """The endpoint, once it was looked for."""
        self._lock = threading.Lock()
        self._warnings: list[str] = []
        # No method of its own: a cycle would keep the folder open.
        self.warn: Callable[[str], None] = self._warnings.append
        """Note what the user is to be told; `emit_warnings` tells it, at the line that asked."""
        self._subscriber = _subscribe(settings.get("on_event"), self.warn)
        self.ears: tuple[Callable[[], bool], ...] = (
            partial(bool, self._subscriber),
            partial(logging.getLogger("qwennb").isEnabledFor, logging.INFO),
            partial(sys.modules.__contains__, OTEL),
        )
        """Whether anybody listens: `any(map(call, ears))`, with no function of ours, for every question asks it."""
        self._told_unenforceable: set[str] = set()
        self._told_left_out: set[str] = set()
        self._told_not_shown: set[tuple[str, tuple[int | None, ...]]] = set()
        self.budget = Budget(self.config.budget or math.inf, warn=self.warn)
        self._recorded = RecordedDefaults(
            self.config,
            self.catalog,
            _notebook_name(os.environ),
            settings.get("model") is not None,
            settings.get("endpoint") is not None,
            runtime,
            _who_names_model(os.environ),
        )

    @property
    def endpoint(self) -> Endpoint:
        """Where this session asks; looked for on first use. In replay, where what is replayed was asked."""
        if self.config.cache == "replay":
            return self._recorded.source_endpoint
        if self.known_endpoint is not None:
            return self.known_endpoint
        with self._lock:
            if self.known_endpoint is None:
                self.known_endpoint = self.runtime().bridge.run(self._find_endpoint())
                if not self.known_endpoint.chosen_by_user:
                    model = self.config.model or self.known_endpoint.model_name(None)
                    self.warn(
                        f"Asking {model} at {self.known_endpoint}. Set endpoint= or QWENNB_ENDPOINT to choose."
                    )
            return self.known_endpoint

    async def _find_endpoint(self) -> Endpoint:
        finder = Finder(
            self.config, os.environ, catalog=self.catalog, embedded=find_embedded, simulated=simulator_url
        )
        try:
            return await finder.find()
        finally:
            await finder.close()

    @property
    def memory(self) -> Memory:
        """The answers of this session's folder, and the packs that are loaded."""
        self._memory = self.runtime().memory(self.config.cache_dir)  # held as long as this session lives
        return self._memory

    # ------------------------------------------------------------------ options

    def split(self, prompt: Any, given: Mapping[str, Any]) -> tuple[Options, dict[str, Any]]:
        """Part *given* into options, over this session's own, and the values for the names in *prompt*."""
        if not given:
            return self._unsaid, {}
        options, values = split(prompt, given)
        return self.with_defaults(options), values

    def with_defaults(self, options: Options) -> Options:
        """Lay *options* over this session's own, and beneath what stands above every argument."""
        whole = options.over(self.defaults)
        return whole if self._overrides is NOTHING else self._overrides.over(whole)

    def mode(self, options: Options) -> CacheMode:
        """Tell the cache mode of a call with *options*."""
        return options.cache or self.config.cache

    def model(self, options: Options, make: Callable[[str | None], Request] | None = None) -> str:
        """Find the model that *options* mean. *make* gives the request for a model (None: the one that is meant), for an error."""
        wanted = options.model
        try:
            if self.mode(options) == "replay" or self.memory.packs.loaded:
                name = self._recorded.model(wanted)
                is_named = self._recorded.explicit_model(wanted) is not None
            else:
                name = self.endpoint.model_name(wanted or self.config.model)
                is_named = wanted is not None or self._recorded.names_model
        except QwenError as error:
            told = self._recorded.explain(error, make, wanted)
            raise told from told.__cause__
        if not is_named:
            shared = self.runtime()
            shared.default_model = shared.default_model or name
        return name

    def who_sets_model(self, options: Options, model: str) -> str:
        """Tell who chose *model* where *options* name none, in a sentence; empty where the notebook itself did."""
        return self._recorded.who_sets_model(options.model, model)

    # ------------------------------------------------------------------ making requests

    def build_request(
        self,
        prompt: str | Text | Request,
        values: Mapping[str, Any],
        options: Options,
        history: Sequence[Message] = (),
    ) -> Request:
        """Make the request that *prompt* with *values* and *options* stands for, after *history*.

        A `Text` is data: two braces in it are text.
        """
        if isinstance(prompt, Request):
            return prompt if self._overrides.model is None else replace(prompt, model=self.model(options))
        try:
            files = self.read_files(options.files)
            question = user_message(
                prompt,
                values,
                images=options.images,
                videos=options.videos,
                files=files,
                keep_values=bool(options.cite),
            )
        except MediaError as error:
            raise self._name_missing(error, prompt, values, options, history) from None
        if options.max_pixels is not None:
            question = limit_pixels(question, options.max_pixels)
        system = (Message("system", (Text(options.system),)),) if options.system and not history else ()
        return self.complete_request((*system, *history, question), options)

    def read_files(self, files: Any) -> list[Medium] | None:
        """Read what was given as `files=`, folders and patterns too; what is left out of them is told once."""
        if files is None:
            return None
        media, told = read_files(files, os.environ)
        for words in told:
            if words not in self._told_left_out:
                self._told_left_out.add(words)
                self.warn(words)
        return media

    def complete_request(self, messages: tuple[Message, ...], options: Options) -> Request:
        """Make the request of whole *messages*: with the settings, the form, the tools and the model of *options*."""
        settings, choices = options.settings, options.choices
        if options.cite and choices is not None:
            raise BadInput(NO_QUOTES_OF_CHOICES)
        schema = None if options.schema is None else Schema.of(options.schema)
        if options.cite:
            schema = CitedSchema.around(schema)
            is_first = all(message.role != "assistant" for message in messages)
            messages = add_words(messages, schema.words, to_system=schema.has_fields and is_first)
        tools = tuple(map(Tool.of, options.tools or ()))

        def make(model: str | None) -> Request:
            name = self._recorded.model(options.model) if model is None else model
            return Request(name, messages, settings, schema, choices, tools)

        make("")  # what can be no request is refused before an endpoint is looked for
        request, mode = make(self.model(options, make)), self.mode(options)
        if not self.memory.packs.loaded:
            return request
        if mode in ("on", "replay"):
            request = self.runtime().accept_figures(request)
        if (
            options.model
            or self._recorded.names_model
            or mode == "replay"
            or not self._recorded.is_elsewhere(request)
        ):
            return request
        # It names no model and is for an endpoint that no pack knows: that one's default is meant.
        return replace(request, model=self.endpoint.model_name(self.config.model))

    def _name_missing(
        self,
        error: MediaError,
        prompt: str | Text,
        values: Mapping[str, Any],
        options: Options,
        history: Sequence[Message],
    ) -> MediaError:
        """Add to *error*, where what is recorded counts, the hash that the missing file had in the nearest record."""
        if not self._recorded.counts(self.mode(options)) or (stand_ins := without_missing(options)) is None:
            return error
        request = self.build_request(prompt, values, stand_ins, history)
        return MediaError(f"{error}{hashes_told(self.memory.media_of_nearest(request), stand_ins)}")

    # ------------------------------------------------------------------ before asking

    def identity(
        self,
        model: str,
        keys: Sequence[str],
        mode: str,
        request: Request | None = None,
        *,
        words: bool = True,
    ) -> str | None:
        """Tell whose answers to *keys* are looked for. Where a pack has them all, no endpoint is looked for.

        *request* is the first of those that they are for, for an error about it; without *words* it shows nothing of its text.
        """
        if mode == "replay" or (self.known_endpoint is None and self.memory.packs.hold(keys)):
            return self._recorded.endpoint
        try:  # and not `_explaining`, which takes more time than this: it is on the way of every known answer
            return self.endpoint.identity(model)
        except QwenError as error:
            told = self.explain(error, request, words=words)
            raise told from told.__cause__

    def server(self, mode: str) -> tuple[str, Secret | None] | None:
        """Tell the address and the API key that this session asks with; None where it asks nobody, or has not looked yet."""
        endpoint = None if mode == "replay" else self.known_endpoint
        return None if endpoint is None else (endpoint.base_url, endpoint.key)

    def window(self, request: Request) -> int | None:
        """Tell the most tokens that *request* may have as its input, at the endpoint that answered it where that is recorded."""
        thinking = request.settings.thinking
        if not self._recorded.counts(self.config.cache):
            return self.endpoint.abilities(request.model).max_input(thinking)
        try:
            return self._recorded.source_endpoint.abilities(request.model).max_input(thinking)
        except NotRecorded:
            known = self.catalog.find(request.model)
            return known.max_input(thinking=thinking is not False) if known else None

    def check_recorded_window(self, request: Request) -> None:
        """Refuse, in replay, what was too long for the endpoint that was recorded, as it did then."""
        with contextlib.suppress(NotRecorded):
            endpoint = self._recorded.source_endpoint
            check_window(request, endpoint.abilities(request.model), str(endpoint))

    def call_context(self, options: Options, *, direct: bool = False) -> CallContext:
        """Collect how a call with *options* is asked. *direct*: one of many, which go without the openai package."""
        budgets = [self.budget]
        if options.budget is not None:
            budgets.append(Budget(options.budget, warn=self.warn))
        mode, shared = self.mode(options), self.runtime()
        return CallContext(
            endpoint=self._recorded.source_endpoint if mode == "replay" else self.endpoint,
            memory=self.memory,
            mode=mode,
            timeout=options.timeout or self.config.timeout,
            budgets=tuple(budgets),
            ledger=shared.ledger(self.config.cache_dir, self._recorded.notebook),
            direct=direct,
            concurrency=self.config.concurrency,
            pace=self.config.pace,
            warn=self.warn,
        )

    def validate(self, request: Request, context: CallContext) -> None:
        """Refuse, before anything is sent, what this model at this endpoint does not take."""
        validate_request(request, context)
        for left_out in list_not_shown(request.media) if request.media else ():
            if left_out not in self._told_not_shown:
                self._told_not_shown.add(left_out)
                self.warn(tell_not_shown(*left_out))
        schema = request.schema
        if schema is None or schema.text in self._told_unenforceable or not (rules := schema.unenforceable):
            return
        if context.endpoint.abilities(request.model).schema == "json_schema":
            self._told_unenforceable.add(schema.text)
            self.warn(
                f"{context.endpoint} can't hold an answer to this of the schema: {'; '.join(rules)}. "
                "An answer that breaks it is asked again, and fails if it stays so."
            )

    # ------------------------------------------------------------------ who listens

    def open_trace(
        self,
        kind: RunKind,
        model: str,
        *,
        verb: str = "",
        rows: int = 1,
        unique: int = 1,
        origin: Context | None = None,
    ) -> Trace | None:
        """Make the trace of a run for those who listen now; to be asked for where one of `ears` says that somebody may."""
        from qwennb.tracing import open_trace

        return open_trace(
            self._subscriber,
            kind,
            model,
            verb=verb,
            rows=rows,
            unique=unique,
            budget=self.config.budget,
            origin=origin,
        )

    def _tell_recall(self, answer: Answer) -> None:
        """Tell of a question whose answer was known."""
        if (trace := self.open_trace("ask", answer.model)) is not None:
            with trace:
                trace.recall(answer)

    # ------------------------------------------------------------------ asking

    def answer(self, request: Request, options: Options) -> Answer:
        """Recall the answer to *request*, or ask for it."""
        return self.recall(request, options) or self.send(request, options)

    async def answer_async(self, request: Request, options: Options) -> Answer:
        """Recall the answer, or ask for it, for `await`; what may wait for a disk or a probe waits in a thread."""
        if (known := await asyncio.to_thread(self.recall, request, options)) is not None:
            return known
        context = self.prepare(request, options)
        with self._explaining(request, options):
            async with context.trace or UNHEARD:
                return self.note_cut(await self.runtime().bridge.run_async(self.ask_engine(request, context)))

    def recall(self, request: Request, options: Options) -> Answer | None:
        """Look up the answer to *request*; None where it is to be asked. In replay, a miss is an error."""
        mode = self.mode(options)
        if mode in ("off", "refresh"):
            return None
        identity = self.identity(request.model, [request.key], mode, request)
        try:
            known = self.memory.recall(request, identity, mode)
        except QwenError as error:
            told = self.explain(error, request, options)
            raise told from told.__cause__
        if known is not None and any(map(call, self.ears)):
            self._tell_recall(known)
        return None if known is None else self.note_cut(known)

    def send(self, request: Request, options: Options) -> Answer:
        """Have the engine ask *request*, and wait for its answer; by then it is kept."""
        context = self.prepare(request, options)
        with self._explaining(request, options), context.trace or UNHEARD:
            return self.note_cut(self.runtime().bridge.run(self.ask_engine(request, context)))

    def stream(self, request: Request, options: Options, *, recall: bool = True) -> Stream:
        """Give the answer piece by piece; a remembered one comes as one. Without *recall*, it is asked at once."""
        stopped = threading.Event()
        return Stream(self._pieces(request, options, stopped, recall=recall), stopped)

    def _pieces(
        self, request: Request, options: Options, stopped: threading.Event, *, recall: bool
    ) -> Iterator[Chunk | Answer]:
        if recall and (known := self.recall(request, options)) is not None:
            yield Chunk(text=known.text, reasoning=known.reasoning)
            yield known
        else:
            context = self.prepare(request, options, "stream")
            with context.trace or UNHEARD:
                pieces = self._engine_pieces(request, context)
                yield from self.runtime().bridge.iterate(pieces, stopped)
        self.emit_warnings()

    async def stream_async(self, request: Request, options: Options) -> AsyncGenerator[Chunk | Answer]:
        """Ask for the answer piece by piece, for another loop than the engine's."""
        context = await asyncio.to_thread(self.prepare, request, options, "stream")
        async with context.trace or UNHEARD:
            work = self._engine_pieces(request, context)
            async with contextlib.aclosing(self.runtime().bridge.iterate_async(work)) as pieces:
                async for piece in pieces:
                    yield piece
        self.emit_warnings()

    def prepare(self, request: Request, options: Options, kind: RunKind = "ask") -> CallContext:
        """Collect how *request* is to be asked, and refuse what can't be. Its trace, where there is one, is to be entered."""
        with self._explaining(request, options):
            context = self.call_context(options)
        self.validate(request, context)
        if any(map(call, self.ears)):
            context = replace(context, trace=self.open_trace(kind, request.model))
        return context

    async def ask_engine(self, request: Request, context: CallContext) -> Answer:
        """Have the engine answer; to be awaited on its own loop."""
        return await (await self.runtime().engine()).answer(request, context)

    async def _engine_pieces(self, request: Request, context: CallContext) -> AsyncIterator[Chunk | Answer]:
        engine = await self.runtime().engine()
        async for piece in engine.stream(request, context):
            if isinstance(piece, Answer):
                if request.is_cited:
                    yield Chunk(text=piece.text)
                yield self.note_cut(piece)
            else:  # half of a form with quotes is nothing to read
                yield replace(piece, text="") if request.is_cited else piece

    # ------------------------------------------------------------------ tools

    def run_tools(
        self,
        request: Request,
        options: Options,
        *,
        ask: Callable[[Request], Answer] | None = None,
        approve: Approve | None = None,
        note: Note | None = None,
    ) -> list[Answer]:
        """Ask *request*, run the tools that its answer calls, and ask on, until an answer calls none.

        Gives the answer of each step, with what its tools gave; the last is the answer. *ask* asks one step, *approve* is
        asked before a tool runs, *note* hears of the answers so far whenever there is something new to them.
        """
        ask = ask or partial(self.answer, options=options)
        answers = [ask(request)]
        if note is not None:
            note(answers)
        if answers[0].tool_calls:
            host = self._loop_host(options, ask, ThreadCaller(self.runtime().bridge), approve)
            run_now(tool_loop(request, answers, options.max_steps, host, note))
        return answers

    async def run_tools_async(
        self, request: Request, options: Options, *, approve: Approve | None = None
    ) -> list[Answer]:
        """Ask *request* and run tools as `run_tools` does, for `await`."""
        ask = partial(self.answer_async, options=options)
        answers = [await ask(request)]
        if answers[0].tool_calls:
            host = self._loop_host(options, ask, LoopCaller(self.runtime().bridge), approve)
            await tool_loop(request, answers, options.max_steps, host)
        return answers

    def _loop_host(
        self,
        options: Options,
        ask: Callable[[Request], Answer | Awaitable[Answer]],
        caller: ThreadCaller | LoopCaller,
        approve: Approve | None,
    ) -> LoopHost:
        mode = self.mode(options)
        return LoopHost(
            caller=caller,
            ask=ask,
            keep=partial(self._keep_results, options),
            may_run=lambda answer: mode != "replay" and (not answer.cached or self.memory.is_own(answer)),
            find=lambda one: self.memory.find(one, self.identity(one.model, [one.key], mode), mode),
            approve=recall_consents(approve, read_overrides(os.environ).get("consents", ())),
        )

    async def _keep_results(self, options: Options, answer: Answer) -> None:
        if self.mode(options) in ("on", "refresh") and answer.endpoint:
            await self.memory.keep(answer, self.warn)

    # ------------------------------------------------------------------ what the user is told

    def note_cut(self, answer: Answer) -> Answer:
        """Note for the next warnings where *answer* is a text that was cut, live or from memory."""
        if answer.is_cut:
            self.warn(tell_of_cut(f"The answer to {answer.key[:12]} was", [answer.request]))
        return answer

    def explain(
        self, error: QwenError, request: Request | None, options: Options = NOTHING, *, words: bool = True
    ) -> QwenError:
        """Put *error*, where *request* found nobody to ask, in terms of the packs that are here."""
        make = None if request is None else lambda _: request
        return self._recorded.explain(error, make, options.model, words=words)

    @contextlib.contextmanager
    def _explaining(self, request: Request, options: Options) -> Iterator[None]:
        """Raise what is raised meanwhile as `explain` puts it."""
        try:
            yield
        except QwenError as error:
            told = self.explain(error, request, options)
            raise told from told.__cause__

    def emit_warnings(self) -> None:
        """Warn, at the user's line, of what `warn` was told since."""
        while self._warnings:
            try:
                words = self._warnings.pop(0)
            except IndexError:  # another thread, a batch of the same column for instance, has told it
                return
            warn_user(words, QwenWarning)


def hide_key(given: str | Secret | None) -> Secret | None:
    """Hide a key as it was typed: from here on no traceback can show it."""
    if not isinstance(given, str | Secret | None):
        raise BadInput(f"api_key= is {type(given).__name__}, and a key is text.")
    return Secret(given) if isinstance(given, str) else given


def _subscribe(on_event: Any, warn: Callable[[str], None]) -> Subscriber | None:
    """Have *on_event* called with what happens."""
    if on_event is None:
        return None
    if not callable(on_event):
        raise BadInput(
            f"on_event={show_value(on_event)} can't be called. Give a function of one argument, the event."
        )
    from qwennb.tracing import Subscriber

    return Subscriber(on_event, warn)


def limit_pixels(message: Message, most: int) -> Message:
    """Bound each medium of *message* that has no bound of its own by *most* pixels."""
    parts = [
        type(part)(part, max_pixels=most) if isinstance(part, Medium) and _wants_bound(part) else part  # type: ignore[call-arg]
        for part in message.parts
    ]
    return replace(message, parts=merge_texts(parts))


def _wants_bound(medium: Medium) -> bool:
    return medium.max_pixels is None and not (isinstance(medium, Document) and medium.kind != "pdf")


def _who_names_model(environ: Mapping[str, str]) -> str:
    """Tell who sets the model of a client that is given none."""
    if "model" in read_overrides(environ):
        return "whoever runs this notebook"
    return "QWENNB_MODEL" if environ.get("QWENNB_MODEL") else "pyproject.toml"


def _notebook_name(environ: Mapping[str, str]) -> str:
    """Find the notebook's or script's file name, where it is known; never its folders."""
    named = environ.get("JPY_SESSION_NAME") or environ.get("QWENNB_NOTEBOOK")
    if named:
        return Path(named).name
    main = getattr(sys.modules.get("__main__"), "__file__", None)
    return Path(main).name if main and not main.endswith("ipykernel_launcher.py") else ""
