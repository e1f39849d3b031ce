"""`Qwen`: the front door. Each call is a few words to its `Session`, where the work is done."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qwennb.answer import Answer
from qwennb.cache import Pack
from qwennb.client.chat import Chat
from qwennb.client.long_documents import fit_window
from qwennb.client.many import answer_many, failed_answer
from qwennb.client.options import Options, takes_options
from qwennb.client.plan import Plan, make_plan
from qwennb.client.run import pack_run
from qwennb.client.runtime import runtime
from qwennb.client.session import Session
from qwennb.client.stream import Stream
from qwennb.config import CacheMode, Secret
from qwennb.endpoints import Endpoint
from qwennb.errors import BadInput, show_value
from qwennb.request import Message, Request, Text
from qwennb.terminal import flatten

if TYPE_CHECKING:
    from openai import AsyncOpenAI, OpenAI


class Qwen:
    """A client for one endpoint and model, with the cache in between.

    Everything is optional: without arguments the endpoint and the model are found (`qwennb doctor` shows how). Options
    of an asking call given here hold for all of this client's calls.

        qwen = Qwen()
        qwen = Qwen(model="qwen3.5-plus", endpoint="dashscope-intl", thinking="low", budget=2.00)
    """

    session: Session
    """What does the work; rooms of qwennb ask through it."""

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
        settings = {
            "model": model, "endpoint": endpoint, "api_key": api_key, "cache": cache, "cache_dir": cache_dir, "budget": budget,
            "timeout": timeout, "concurrency": concurrency, "pace": pace, "referer": referer, "title": title,
        }  # fmt: skip
        self.session = Session(settings | options, runtime)

    def __repr__(self) -> str:
        config = self.session.config
        endpoint = self.session.known_endpoint or config.endpoint or "endpoint not looked for yet"
        return flatten(f"<Qwen {config.model or 'default model'} at {endpoint}, cache {config.cache}>")

    @takes_options
    def ask(self, prompt: str | Request, **given: Any) -> Answer:
        """The answer to *prompt*, with the values given by keyword in its `{{ names }}`."""
        session = self.session
        options, values = session.split(prompt, given)
        build = fit_window if options.overflow == "map" else Session.build_request
        answers = session.run_tools(build(session, prompt, values, options), options)
        session.emit_warnings()
        return answers[-1]

    @takes_options
    async def ask_async(self, prompt: str | Request, **given: Any) -> Answer:
        """As `ask`, for `await`."""
        session = self.session
        options, values = session.split(prompt, given)
        if options.overflow == "map":
            request = await asyncio.to_thread(fit_window, session, prompt, values, options)
        else:
            request = session.build_request(prompt, values, options)
        answers = await session.run_tools_async(request, options)
        session.emit_warnings()
        return answers[-1]

    @takes_options
    def stream(self, prompt: str | Request, **given: Any) -> Stream:
        """The answer piece by piece; a remembered one comes as one piece."""
        options, values = self.session.split(prompt, given)
        if options.tools is not None:
            raise BadInput("stream() runs no tools. Use ask(), or a chat.")
        return self.session.stream(self.session.build_request(prompt, values, options), options)

    @takes_options
    def ask_many(self, prompts: Iterable[str | Mapping[str, Any] | Request], **given: Any) -> list[Answer]:
        """The answers to *prompts* in their order, many at a time.

        An item is a text, which is sent as it is, a request, or a dict of the values that one template (given as
        `prompt=`) is filled with.
        One that failed is an `Answer` whose `error` is set. An error that every other would meet too (a wrong key, no
        credit) ends the asking: what is left carries the same error.
        """
        template = given.pop("prompt", None)
        options, _ = self.session.split("", given)
        answers = answer_many(self.session, _requests(self.session, prompts, template, options), options)
        self.session.emit_warnings()
        return answers

    def chat(self, system: str | None = None, tools: Sequence[Any] = (), **options: Any) -> Chat:
        """A conversation: each question carries what was said before."""
        return Chat(self, system=system, tools=tools, **options)

    @takes_options
    def plan(
        self, prompts: str | Request | Iterable[str | Mapping[str, Any] | Request], **given: Any
    ) -> Plan:
        """What asking *prompts* would take: requests, how many are known, tokens, cost, time. Nothing is sent."""
        session, template = self.session, given.pop("prompt", None)
        requests: list[Request | Answer]
        if isinstance(prompts, str | Request):
            options, values = session.split(prompts, given)
            if template is not None:
                raise BadInput(_FOR_DICTS)
            requests = [session.build_request(prompts, values, options)]
        else:
            options, _ = session.split("", given)
            requests = _requests(session, prompts, template, options)
        return make_plan(requests, session, options)

    def pack(self, *run: Any) -> Pack:
        """The pack of a run: of answers, lists of them, or frames that a column was asked for with `meta=True`."""
        return pack_run(self.session.memory, run)

    @property
    def openai(self) -> OpenAI:
        """An ordinary openai client whose chat completions go through this client's cache and mode."""
        from qwennb.client.openai import sync_client

        return sync_client(self.session)

    @property
    def openai_async(self) -> AsyncOpenAI:
        """As `openai`, for `await`."""
        from qwennb.client.openai import async_client

        return async_client(self.session)

    @property
    def endpoint(self) -> Endpoint:
        """Where this client asks; looked for on first use. In replay, where what is replayed was asked."""
        return self.session.endpoint

    @property
    def spent(self) -> float:
        """US dollars that this client has spent so far, what failed included, as far as prices are known."""
        return self.session.budget.spent


def _requests(
    session: Session, prompts: Any, template: str | None, options: Options
) -> list[Request | Answer]:
    """The request of each of *prompts*; where it can't be made, the answer that failed."""
    return [_one_of_many(session, item, template, options) for item in _as_list(prompts, template)]


def _one_of_many(session: Session, item: Any, template: str | None, options: Options) -> Request | Answer:
    try:
        if isinstance(item, Mapping):
            if template is None:
                raise BadInput(
                    'ask_many of dicts needs the template that they fill: ask_many([…], prompt="… {{ name }} …").'
                )
            return session.build_request(template, item, options)
        return session.build_request(Text(item) if isinstance(item, str) else item, {}, options)
    except BadInput as error:
        if template is None and isinstance(item, Mapping):
            raise
        words = item[:200] if isinstance(item, str) else show_value(item)
        return failed_answer(Request(session.model(options), (Message("user", (Text(words),)),)), error)


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
