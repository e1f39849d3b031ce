"""`Qwen`: the front door.

Every asking call goes the same way: options and values are told apart, a `Request` is made, the answer is recalled on
the caller's own thread if it is known, else the engine asks. Each call exists once, as a generator of steps or a
coroutine; `ask` and `ask_async` only drive it differently.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import math
import os
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qwennb.answer import Answer, Chunk, Cost, Usage, tell_of_cut, tell_of_cuts
from qwennb.cache import Memory, Pack
from qwennb.catalog import Catalog
from qwennb.client.long_documents import in_pieces
from qwennb.client.missing import hashes_told, without_missing
from qwennb.client.options import NOTHING, Options, split, takes_options
from qwennb.client.plan import Plan, make_plan
from qwennb.client.recorded_defaults import RecordedDefaults
from qwennb.client.runtime import Runtime, runtime
from qwennb.client.stream import Stream
from qwennb.client.tools import (
    Approve,
    KeepResult,
    Recorded,
    RunTool,
    Steps,
    check_tool_choice,
    check_tools,
    contain,
    following,
    recall_consents,
    tool_loop,
)
from qwennb.client.warning import tell
from qwennb.client.window import check_window
from qwennb.config import CacheMode, Config, Secret, above
from qwennb.endpoints import (
    Endpoint,
    Finder,
    find_embedded,
    simulator_url,
)
from qwennb.engine import Budget, CallContext
from qwennb.errors import (
    BadInput,
    EndpointError,
    MediaError,
    NotRecorded,
    QwenError,
    ValidatorFailed,
    show_value,
)
from qwennb.request import Message, Request, Schema, Text, Tool, merge_texts, user_message
from qwennb.terminal import flatten

if TYPE_CHECKING:
    from openai import AsyncOpenAI, OpenAI

    from qwennb.client.chat import Chat


class Qwen:
    """A client for one endpoint and model, with the cache in between.

    Everything is optional: without arguments the endpoint and the model are found (`qwennb doctor` shows how). Options
    of an asking call given here hold for all of this client's calls.

        qwen = Qwen()
        qwen = Qwen(model="qwen3.5-plus", endpoint="dashscope-intl", thinking="low", budget=2.00)
    """

    def __init__(
        self,
        model: str | None = None,
        endpoint: str | None = None,
        *,
        api_key: str | Secret | None = None,
        cache: CacheMode | None = None,
        cache_dir: str | Path | None = None,
        budget: float | None = None,
        timeout: float | None = None,
        concurrency: int | None = None,
        pace: float | None = None,
        referer: str | None = None,
        title: str | None = None,
        **options: Any,
    ) -> None:
        if not isinstance(api_key, str | Secret | None):
            raise BadInput(f"api_key= is {type(api_key).__name__}, and a key is text.")
        api_key = (
            Secret(api_key) if isinstance(api_key, str) else api_key
        )  # from here on no traceback can show it
        arguments = {
            "model": model, "endpoint": endpoint, "api_key": api_key, "cache": cache, "cache_dir": cache_dir, "budget": budget,
            "timeout": timeout, "concurrency": concurrency, "pace": pace, "referer": referer, "title": title,
        }  # fmt: skip
        self.config = Config.load(arguments)
        given, unknown = split("", options)
        assert not unknown
        self._defaults = given
        over = above(os.environ)
        self._above = NOTHING
        if over:
            self._above = Options(model=over.get("model"), cache=over.get("cache"), **over.get("options", {}))
        self._catalog = Catalog.load_bundled()
        self._lock = threading.Lock()
        self._endpoint: Endpoint | None = None
        self._warnings: list[str] = []
        self._unheld_said: set[str] = set()
        self._budget = Budget(self.config.budget or math.inf, warn=self._warnings.append)
        self._notebook = _notebook_name(os.environ)
        self._recorded_defaults = RecordedDefaults(
            self.config,
            self._catalog,
            self._notebook,
            model is not None,
            endpoint is not None,
            runtime,
            _who_names_model(os.environ),
        )

    def __repr__(self) -> str:
        endpoint = self._endpoint or self.config.endpoint or "endpoint not looked for yet"
        return flatten(
            f"<Qwen {self.config.model or 'default model'} at {endpoint}, cache {self.config.cache}>"
        )

    # ------------------------------------------------------------------ asking

    @takes_options
    def ask(self, prompt: str | Request, **given: Any) -> Answer:
        """The answer to *prompt*, with the values given by keyword in its `{{ names }}`."""
        options, values = self._split(prompt, given)
        answer = self._drive(self._steps(prompt, values, options), options)
        self._tell()
        return answer

    @takes_options
    async def ask_async(self, prompt: str | Request, **given: Any) -> Answer:
        """As `ask`, for `await`."""
        options, values = self._split(prompt, given)
        answer = await self._drive_async(self._steps(prompt, values, options), options)
        self._tell()
        return answer

    @takes_options
    def stream(self, prompt: str | Request, **given: Any) -> Stream:
        """The answer piece by piece; a remembered one comes as one piece."""
        options, values = self._split(prompt, given)
        if options.tools is not None:
            raise BadInput("stream() runs no tools. Use ask(), or a chat.")
        stopped = threading.Event()
        return Stream(self._stream(self.request(prompt, values, options), options, stopped), stopped)

    @takes_options
    def ask_many(self, prompts: Iterable[str | Mapping[str, Any] | Request], **given: Any) -> list[Answer]:
        """The answers to *prompts* in their order, many at a time.

        An item is a text, which is sent as it is, a request, or a dict of the values that one template (given as
        `prompt=`) is filled with.
        One that failed is an `Answer` whose `error` is set. An error that every other would meet too (a wrong key, no
        credit) ends the asking: what is left carries the same error.
        """
        template = given.pop("prompt", None)
        options, _ = self._split("", given)
        requests = [self._one_of_many(item, template, options) for item in _as_list(prompts, template)]
        answers = self._answers(requests, options)
        self._tell()
        return answers

    def chat(self, system: str | None = None, tools: Sequence[Any] = (), **options: Any) -> Chat:
        """A conversation: each question carries what was said before."""
        from qwennb.client.chat import Chat

        return Chat(self, system=system, tools=tools, **options)

    @takes_options
    def plan(
        self, prompts: str | Request | Iterable[str | Mapping[str, Any] | Request], **given: Any
    ) -> Plan:
        """What asking *prompts* would take: requests, how many are known, tokens, cost, time. Nothing is sent."""
        template = given.pop("prompt", None)
        single = isinstance(prompts, str | Request)
        options, values = self._split(prompts if single else "", given)
        if single:
            if template is not None:
                raise BadInput(_FOR_DICTS)
            requests: list[Any] = [self.request(prompts, values, options)]  # type: ignore[arg-type]
        else:
            requests = [self._one_of_many(item, template, options) for item in _as_list(prompts, template)]
        context = self._context(options)
        whole = [item for item in requests if isinstance(item, Request) and self._is_taken(item, context)]
        return make_plan(whole, len(requests) - len(whole), context)

    def _is_taken(self, request: Request, context: CallContext) -> bool:
        """Whether asking would not refuse *request* before it sends anything."""
        try:
            self._check(request, context)
        except BadInput:
            return False
        return True

    def pack(self, *run: Any) -> Pack:
        """The pack of a run: of answers, lists of them, or frames that a column was asked for with `meta=True`."""
        from qwennb.client.run import pack_run

        return pack_run(self.memory, run)

    @property
    def openai(self) -> OpenAI:
        """An ordinary openai client whose chat completions go through this client's cache and mode."""
        from qwennb.client.openai_door import sync_client

        return sync_client(self)

    @property
    def openai_async(self) -> AsyncOpenAI:
        """As `openai`, for `await`."""
        from qwennb.client.openai_door import async_client

        return async_client(self)

    @property
    def endpoint(self) -> Endpoint:
        """Where this client asks; looked for on first use. In replay, where what is replayed was asked."""
        if self.config.cache == "replay":
            return self._recorded_defaults.source_endpoint
        with self._lock:
            if self._endpoint is None:
                self._endpoint = self._runtime.bridge.run(self._find_endpoint())
                if not self._endpoint.chosen_by_user:
                    model = self.config.model or self._endpoint.model_name(None)
                    self._warnings.append(
                        f"Asking {model} at {self._endpoint}. Set endpoint= or QWENNB_ENDPOINT to choose."
                    )
            return self._endpoint

    @property
    def spent(self) -> float:
        """US dollars that this client has spent so far, what failed included, as far as prices are known."""
        return self._budget.spent

    # ------------------------------------------------------------------ making requests

    def request(
        self,
        prompt: str | Text | Request,
        values: Mapping[str, Any],
        options: Options,
        history: Sequence[Message] = (),
    ) -> Request:
        """The request that *prompt* with *values* and *options* stands for, after *history*.

        A `Text` is data: two braces in it are text.
        """
        if isinstance(prompt, Request):
            over = self._above.model
            return prompt if over is None else replace(prompt, model=self._model(options))
        try:
            question = user_message(
                prompt, values, images=options.images, videos=options.videos, files=options.files
            )
        except MediaError as error:
            raise self._name_missing(error, prompt, values, options, history) from None
        if options.max_pixels is not None:
            question = replace(
                question,
                parts=merge_texts(_limit_pixels(part, options.max_pixels) for part in question.parts),
            )
        system = (Message("system", (Text(options.system),)),) if options.system and not history else ()
        open_request = Request(
            model="",
            messages=(*system, *history, question),
            settings=options.settings(),
            schema=None if options.schema is None else Schema.of(options.schema),
            choices=options.choices,
            tools=tuple(Tool.of(tool) for tool in options.tools or ()),
        )
        request = replace(open_request, model=self._model(options, open_request))
        if self._mode(options) in ("on", "replay"):
            request = self._runtime.accept_figures(request)
        return self._unless_elsewhere(request, options)

    def _name_missing(
        self,
        error: MediaError,
        prompt: str | Text,
        values: Mapping[str, Any],
        options: Options,
        history: Sequence[Message],
    ) -> MediaError:
        """*error*; where what is recorded counts and a file is missing, with the hash that it had in the nearest record."""
        if (
            not self._recorded_defaults.counts(self._mode(options))
            or (stand_ins := without_missing(options)) is None
        ):
            return error
        request = self.request(prompt, values, stand_ins, history)
        return MediaError(f"{error}{hashes_told(self.memory.media_of_nearest(request), stand_ins)}")

    def window(self, request: Request) -> int | None:
        """The most tokens that *request* may have as its input, at the endpoint that answered it where that is recorded."""
        asked = request.settings.thinking
        if not self._recorded_defaults.counts(self.config.cache):
            return self.endpoint.abilities(request.model).max_input(asked)
        try:
            return self._recorded_defaults.source_endpoint.abilities(request.model).max_input(asked)
        except NotRecorded:
            known = self._catalog.find(request.model)
            return known.max_input(thinking=asked is not False) if known else None

    def check_recorded_window(self, request: Request) -> None:
        """In replay: refuse what was too long for the endpoint that was recorded, as it did then."""
        with contextlib.suppress(NotRecorded):
            endpoint = self._recorded_defaults.source_endpoint
            check_window(request, endpoint.abilities(request.model), str(endpoint))

    def steps(self, request: Request, options: Options, approve: Approve | None = None) -> Steps:
        """What is to be done for the answer to *request*. *approve* is asked before a tool runs."""
        mode = self._mode(options)
        recorded = Recorded(
            may_run=lambda answer: mode != "replay" and (not answer.cached or self.memory.is_own(answer)),
            find=lambda one: self.memory.find(one, self.identity(one.model, [one.key], mode), mode),
        )
        if approve is not None:
            approve = recall_consents(approve, above(os.environ).get("consents", ()))
        return tool_loop(request, options.max_steps, recorded=recorded, approve=approve)

    def _steps(self, prompt: str | Request, values: Mapping[str, Any], options: Options) -> Steps:
        if options.overflow == "map" and not isinstance(prompt, Request):
            return in_pieces(self, prompt, values, options)
        return self.steps(self.request(prompt, values, options), options)

    def _split(self, prompt: Any, given: Mapping[str, Any]) -> tuple[Options, dict[str, Any]]:
        options, values = split(prompt, given)
        return self.with_defaults(options), values

    def with_defaults(self, options: Options) -> Options:
        """*options* with this client's own beneath them, and above them what stands above every argument."""
        settled = options.over(self._defaults)
        return settled if self._above is NOTHING else self._above.over(settled)

    def _one_of_many(self, item: Any, template: str | None, options: Options) -> Request | Answer:
        try:
            if isinstance(item, Mapping):
                if template is None:
                    raise BadInput(
                        'ask_many of dicts needs the template that they fill: ask_many([…], prompt="… {{ name }} …").'
                    )
                return self.request(template, item, options)
            return self.request(Text(item) if isinstance(item, str) else item, {}, options)
        except BadInput as error:
            if template is None and isinstance(item, Mapping):
                raise
            return _failed_answer(
                Request(
                    self._model(options),
                    (Message("user", (Text(item[:200] if isinstance(item, str) else show_value(item)),)),),
                ),
                error,
            )

    def _model(self, options: Options, request: Request | None = None) -> str:
        """The model that *options* mean, for *request*, which has none yet."""

        def make(model: str | None) -> Request:
            assert request is not None
            return replace(request, model=model or self._recorded_defaults.model(options.model))

        with self._recorded_defaults.speak_of_packs(make if request is not None else None, options.model):
            if self._recorded_defaults.counts(self._mode(options)):
                name = self._recorded_defaults.model(options.model)
                is_named = self._recorded_defaults.explicit_model(options.model) is not None
            else:
                name = self.endpoint.model_name(options.model or self.config.model)
                is_named = options.model is not None or self._recorded_defaults.names_model
        if not is_named:
            self._runtime.default_model = self._runtime.default_model or name
        return name

    def _unless_elsewhere(self, request: Request, options: Options) -> Request:
        """*request*; where it names no model and is for an endpoint that no pack knows, with the default of that one."""
        if options.model or self._recorded_defaults.names_model or self._mode(options) == "replay":
            return request
        if not self._recorded_defaults.is_elsewhere(request.key):
            return request
        return replace(request, model=self.endpoint.model_name(self.config.model))

    def identity(
        self,
        model: str,
        keys: Sequence[str],
        mode: str,
        request: Request | None = None,
        *,
        words: bool = True,
    ) -> str | None:
        """The endpoint whose answers to *keys* are looked for. Where a pack has them all, none is looked for.

        *request* is the first of those that they are for, for an error about it; without *words* it shows nothing of its text.
        """
        if mode == "replay" or (self._endpoint is None and self.memory.packs.hold(keys)):
            return self._recorded_defaults.endpoint
        with self._speak_of_packs(request, words=words):
            return self.endpoint.identity(model)

    def _speak_of_packs(
        self, request: Request | None, options: Options = NOTHING, *, words: bool = True
    ) -> AbstractContextManager[None]:
        """Inside it, what fails because nobody can be asked speaks of *request* and the packs that are here."""
        make = None if request is None else lambda _: request
        return self._recorded_defaults.speak_of_packs(make, options.model, words=words)

    def who_sets_model(self, options: Options, model: str) -> str:
        """Who chose *model* where *options* name none, as a sentence; empty where the notebook itself did."""
        return self._recorded_defaults.who_sets_model(options.model, model)

    def server(self, mode: str) -> tuple[str, Secret | None] | None:
        """The address and the API key that this client asks with; None where it asks nobody, or has not looked yet."""
        endpoint = None if mode == "replay" else self._endpoint
        return None if endpoint is None else (endpoint.base_url, endpoint.key)

    # ------------------------------------------------------------------ driving

    def _drive(self, steps: Steps, options: Options) -> Answer:
        value: Any = None
        error: Exception | None = None
        while True:
            step = following(steps, value, error)
            if isinstance(step, tuple):
                return step[0]
            value, error = None, None
            if isinstance(step, Request):
                value = self.answer(step, options)
            elif isinstance(step, list):
                value = self._all_of(step, options)
            elif isinstance(step, KeepResult):
                self._runtime.bridge.run(self._store_tool_results(step.answer, options))
            else:
                try:
                    value = self._ran(step)
                except BaseException as problem:
                    error = contain(problem)

    async def _drive_async(self, steps: Steps, options: Options) -> Answer:
        value: Any = None
        error: Exception | None = None
        while True:
            step = following(steps, value, error)
            if isinstance(step, tuple):
                return step[0]
            value, error = None, None
            if isinstance(step, Request):
                value = await self.answer_async(step, options)
            elif isinstance(step, list):
                value = await asyncio.to_thread(self._all_of, step, options)
            elif isinstance(step, KeepResult):
                await self._runtime.bridge.run_async(self._store_tool_results(step.answer, options))
            else:
                try:
                    made = step.tool.function(**step.arguments)  # type: ignore[misc]
                    value = await made if inspect.isawaitable(made) else made
                except (asyncio.CancelledError, GeneratorExit) as problem:
                    if isinstance(problem, GeneratorExit) or _is_cancelled():
                        raise
                    error = contain(problem)
                except BaseException as problem:
                    error = contain(problem)

    def answer(self, request: Request, options: Options) -> Answer:
        """The answer to one request."""
        if (known := self._recall(request, options)) is not None:
            return known
        context = self._validate_context(request, options)
        with self._speak_of_packs(request, options):
            return self.note_cut(self._runtime.bridge.run(self._send(request, context)))

    async def answer_async(self, request: Request, options: Options) -> Answer:
        """As `answer`, for `await`; what may wait for a disk or a probe waits in a thread."""
        if (known := await asyncio.to_thread(self._recall, request, options)) is not None:
            return known
        context = self._validate_context(request, options)
        with self._speak_of_packs(request, options):
            return self.note_cut(await self._runtime.bridge.run_async(self._send(request, context)))

    def _recall(self, request: Request, options: Options) -> Answer | None:
        mode = self._mode(options)
        if mode in ("off", "refresh"):
            return None
        identity = self.identity(request.model, [request.key], mode, request)
        with self._speak_of_packs(request, options):
            known = self.memory.recall(request, identity, mode)
        return None if known is None else self.note_cut(known)

    def note_cut(self, answer: Answer) -> Answer:
        """*answer*; where it is a text that was cut, the user is told with the next warnings, live or from memory."""
        if answer.is_cut:
            subject = f"The answer to {answer.key[:12]} was"
            self._warnings.append(tell_of_cut(subject, [answer.request]))
        return answer

    def _stream(
        self, request: Request, options: Options, stopped: threading.Event | None = None
    ) -> Iterator[Chunk | Answer]:
        if (known := self._recall(request, options)) is not None:
            yield Chunk(text=known.text, reasoning=known.reasoning)
            yield known
            self._tell()
            return
        context = self._validate_context(request, options)

        async def pieces() -> AsyncIterator[Chunk | Answer]:
            engine = await self._runtime.engine()
            async for piece in engine.stream(request, context):
                yield self.note_cut(piece) if isinstance(piece, Answer) else piece

        yield from self._runtime.bridge.iterate(pieces(), stopped)
        self._tell()

    async def _send(self, request: Request, context: CallContext) -> Answer:
        return await (await self._runtime.engine()).answer(request, context)

    async def _send_many(self, items: Sequence[Answer | Request], options: Options) -> list[Answer]:
        """Ask what is still a request, as many at a time as the limiter lets through."""
        context = self._context(options, direct=True)
        made: list[Answer] = list(items)  # type: ignore[arg-type]
        waiting = iter([(i, item) for i, item in enumerate(items) if isinstance(item, Request)])
        fatal: list[QwenError] = []

        async def worker() -> None:
            for index, request in waiting:
                if fatal:
                    made[index] = _failed_answer(request, fatal[0], asked=False)
                    continue
                try:
                    made[index] = await self._send(request, context)
                except QwenError as error:
                    made[index] = _failed_answer(request, error)
                    if isinstance(error, EndpointError) and error.fatal:
                        fatal.append(error)

        count = sum(isinstance(item, Request) for item in items)
        async with asyncio.TaskGroup() as group:
            for _ in range(min(count, context.concurrency)):
                group.create_task(worker())
        return made

    def _answers(self, items: Sequence[Request | Answer], options: Options) -> list[Answer]:
        """The answers to *items* in their order; what is an answer already (it failed to be a request) stays."""
        mode = self._mode(options)
        requests = [item for item in items if isinstance(item, Request)]
        if mode == "replay":
            recalled: list[Answer | ValidatorFailed | None] = [
                self._replay(request, options) for request in requests
            ]
        else:
            keys = [request.key for request in requests]
            identity = self.identity(requests[0].model, keys, mode, requests[0]) if requests else None
            recalled = self.memory.recall_many(requests, identity, mode)
        known = iter(recalled)
        found = [_recall_or_ask(item, next(known)) if isinstance(item, Request) else item for item in items]
        context = (
            self._context(options, direct=True) if any(isinstance(item, Request) for item in found) else None
        )
        found = [self._unless_refused(item, context) if context is not None else item for item in found]
        if any(isinstance(item, Request) for item in found):
            answers = self._runtime.bridge.run(self._send_many(found, options))
        else:
            answers = [item for item in found if isinstance(item, Answer)]
        if cut := [answer.request for answer in answers if answer.is_cut]:
            self._warnings.append(tell_of_cuts(len(cut), len(answers), cut))
        return answers

    def _unless_refused(self, item: Request | Answer, context: CallContext) -> Request | Answer:
        if isinstance(item, Answer):
            return item
        try:
            self._check(item, context)
        except QwenError as error:
            return _failed_answer(item, error)
        return item

    def _replay(self, request: Request, options: Options) -> Answer:
        try:
            with self._speak_of_packs(request, options):
                known = self.memory.recall(request, self._recorded_defaults.endpoint, "replay")
            return known or _failed_answer(request, NotRecorded())
        except QwenError as error:
            return _failed_answer(request, error)

    def _all_of(self, requests: list[Request], options: Options) -> list[Answer]:
        """The answers to *requests*; the first error, if one failed."""
        answers = self._answers(requests, options)
        for answer in answers:
            if answer.error is not None:
                raise answer.error
        return answers

    async def _store_tool_results(self, answer: Answer, options: Options) -> None:
        if self._mode(options) in ("on", "refresh") and answer.endpoint:
            await self.memory.keep(answer, self._warnings.append)

    def _ran(self, step: RunTool) -> Any:
        assert step.tool.function is not None
        made = step.tool.function(**step.arguments)
        return self._runtime.bridge.run(_await(made)) if inspect.isawaitable(made) else made

    # ------------------------------------------------------------------ what surrounds a call

    @property
    def memory(self) -> Memory:
        """The answers of this client's folder."""
        self._memory = self._runtime.memory(self.config.cache_dir)  # held as long as this client lives
        return self._memory

    @property
    def _runtime(self) -> Runtime:
        return runtime()

    def _mode(self, options: Options) -> CacheMode:
        return options.cache or self.config.cache

    async def _find_endpoint(self) -> Endpoint:
        finder = Finder(
            self.config, os.environ, catalog=self._catalog, embedded=find_embedded, simulated=simulator_url
        )
        try:
            return await finder.find()
        finally:
            await finder.close()

    def _context(self, options: Options, *, direct: bool = False) -> CallContext:
        budgets = [self._budget]
        if options.budget is not None:
            budgets.append(Budget(options.budget, warn=self._warnings.append))
        return CallContext(
            endpoint=self._recorded_defaults.source_endpoint
            if self._mode(options) == "replay"
            else self.endpoint,
            memory=self.memory,
            mode=self._mode(options),
            timeout=options.timeout or self.config.timeout,
            budgets=tuple(budgets),
            ledger=self._runtime.ledger(self.config.cache_dir, self._notebook),
            direct=direct,
            concurrency=self.config.concurrency,
            pace=self.config.pace,
            warn=self._warnings.append,
        )

    def _validate_context(self, request: Request, options: Options) -> CallContext:
        with self._speak_of_packs(request, options):
            context = self._context(options)
        self._check(request, context)
        return context

    def _check(self, request: Request, context: CallContext) -> None:
        """Refuse, before anything is sent, what this model at this place does not take."""
        given: dict[str, Any] = {
            name: value for name, value in request.settings.given().items() if name != "extra"
        }
        given |= {"schema": request.schema, "choices": request.choices, "tools": request.tools or None}
        for item in request.media:
            given[{"Image": "images", "Video": "videos", "Pdf": "files"}[type(item).__name__]] = True
        check_tool_choice(request)
        abilities = context.endpoint.abilities(request.model)
        abilities.check(given)
        check_tools(request.tools, context.endpoint.dialect.kind)
        if request.schema is not None and abilities.schema == "json_schema":
            self._say_unheld(request.schema, context.endpoint)
        if context.is_limited:
            context.endpoint.worst_cost(request)
        check_window(request, abilities, str(context.endpoint))

    def _say_unheld(self, schema: Schema, endpoint: Endpoint) -> None:
        """Say once, before anything is sent, to what of *schema* no server can hold an answer."""
        if schema.text not in self._unheld_said and (unheld := schema.unheld):
            self._unheld_said.add(schema.text)
            self._warnings.append(
                f"{endpoint} can't hold an answer to this of the schema: {'; '.join(unheld)}. "
                "An answer that breaks it is asked again, and fails if it stays so."
            )

    def _tell(self) -> None:
        while self._warnings:
            try:
                words = self._warnings.pop(0)
            except IndexError:  # another thread, a batch of the same column for instance, has told it
                return
            tell(words)


_FOR_DICTS = (
    "prompt= is a template that dicts of values fill, and what is asked here is no list of dicts. "
    'Give them as ask_many([{"x": …}, …], prompt="… {{ x }}"), or leave prompt= out.'
)


def _as_list(prompts: Any, template: str | None) -> list[Any]:
    """What is to be asked, as a list; a *template* is for dicts alone."""
    if isinstance(prompts, str | Request):
        raise BadInput("ask_many() takes a list of prompts; for one of them it is ask(…).")
    if hasattr(prompts, "columns"):
        raise BadInput(
            'A frame is asked by its columns: df.qwen.ask("… {{ review }}"), or qwennb.ask(table, …).'
        )
    if isinstance(prompts, Mapping | bytes) or not isinstance(prompts, Iterable):
        raise BadInput(f"A list of prompts is wanted, not {type(prompts).__name__}: ask_many([…]).")
    items = list(prompts)
    if template is not None and not all(isinstance(item, Mapping) for item in items):
        raise BadInput(_FOR_DICTS)
    if template is not None and not isinstance(template, str):
        raise BadInput(f"prompt= is {type(template).__name__}, and a template is text.")
    return items


def _limit_pixels(part: Any, max_pixels: int) -> Any:
    if isinstance(part, Text) or getattr(part, "max_pixels", None) is not None:
        return part
    return type(part)(part, max_pixels=max_pixels)


def _recall_or_ask(request: Request, known: Answer | ValidatorFailed | None) -> Request | Answer:
    return _failed_answer(request, known) if isinstance(known, ValidatorFailed) else known or request


async def _await(made: Awaitable[Any]) -> Any:
    """What *made* gives. What would end the loop that it runs on is an error like any other."""
    try:
        return await made
    except asyncio.CancelledError:
        raise
    except BaseException as error:
        raise contain(error) from None


def _is_cancelled() -> bool:
    """Whether somebody cancelled the task that runs, other than a tool that raised so itself."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _failed_answer(request: Request, error: QwenError, *, asked: bool = True) -> Answer:
    """The answer that failed with *error*; with *asked*, at the cost that the error tells."""
    tokens, cost = (error.tokens, error.cost) if asked else ((0, 0), 0.0)
    return Answer(
        request,
        error=error,
        finish_reason="error",
        attempts=error.attempts if asked else 0,
        usage=Usage(*tokens),
        cost=cost if cost is None or isinstance(cost, Cost) else Cost(cost, "server"),
    )


def _who_names_model(environ: Mapping[str, str]) -> str:
    """Who sets the model of a client that is given none."""
    if "model" in above(environ):
        return "whoever runs this notebook"
    return "QWENNB_MODEL" if environ.get("QWENNB_MODEL") else "pyproject.toml"


def _notebook_name(environ: Mapping[str, str]) -> str:
    """The notebook's or script's file name, where it is known; never its folders."""
    named = environ.get("JPY_SESSION_NAME") or environ.get("QWENNB_NOTEBOOK")
    if named:
        return Path(named).name
    main = getattr(sys.modules.get("__main__"), "__file__", None)
    return Path(main).name if main and not main.endswith("ipykernel_launcher.py") else ""
