"""`Qwen`: the front door. Each call is a few words to its `Session`, where the work is done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qwennb.answer import Answer
from qwennb.cache import Pack
from qwennb.client.chat import Chat
from qwennb.client.long_documents import SplitRequest, fit_window, fit_windows, plan_pieces, split_request
from qwennb.client.many import answer_many, failed_answer
from qwennb.client.options import Options, takes_options, takes_options_of_many
from qwennb.client.plan import Plan, make_plan
from qwennb.client.recorded import pack_run
from qwennb.client.runtime import runtime
from qwennb.client.session import Session, hide_key
from qwennb.client.stream import Stream
from qwennb.config import CacheMode, Secret
from qwennb.endpoints import Endpoint
from qwennb.errors import BadInput, show_value
from qwennb.request import Message, Request, Text
from qwennb.terminal import flatten

if TYPE_CHECKING:
    from openai import AsyncOpenAI, OpenAI

    from qwennb.tracing import Event


class Qwen:
    """A client for one endpoint and model, with the cache in between.

    Everything is optional: without arguments the endpoint and the model are found (`qwennb doctor` shows how).

    Parameters
    ----------
    model : str, optional
        The model, by its name or a short one: "qwen3.5-plus", "plus", "27b".
    endpoint : str, optional
        Whom to ask: "openrouter", "dashscope-intl", "vllm", "local", … or any base URL.
    api_key : str or Secret, optional
        The key for that endpoint; else it is taken from the environment.
    cache : {"on", "refresh", "replay", "off"}, optional
        Recall, else ask and keep; ask, then keep; recall only; neither.
    cache_dir : str or Path, optional
        Where answers are kept.
    budget : float, optional
        US dollars that all calls of this client may spend together.
    timeout : float, optional
        Seconds that one question may take.
    concurrency : int, optional
        How many questions may be under way at once.
    pace : float, optional
        The share of a known quota that is used, 0.8 where nothing is said.
    referer, title : str, optional
        How OpenRouter is told who asks.
    on_event : callable, optional
        Called with each event of `qwennb.tracing` (sent, answered, failed, …), one at a time on a thread of its own: what it
        raises or waits for costs no answer.
    **options
        Options of a call (`thinking`, `system`, `max_tokens`, …), for all calls of this client.

    Attributes
    ----------
    endpoint : Endpoint
        Where this client asks; looked for on first use. In replay, where what is replayed was asked.
    spent : float
        US dollars that this client has spent so far, what failed included, as far as prices are known.
    openai, openai_async : OpenAI, AsyncOpenAI
        Ordinary clients of the openai package whose chat completions go through this client's cache and mode.

    Raises
    ------
    BadInput
        If an option is none, or its value can't be one.
    ConfigError
        If a setting can't be read, from an argument, the environment or `[tool.qwennb]`.

    Examples
    --------
    >>> qwen = Qwen(model="qwen3.5-plus", thinking="low", budget=2.00)
    >>> print(qwen.ask("What is the capital of France?"))
    Paris
    >>> qwen.spent < 2.00
    True
    >>> chat = qwen.openai.chat.completions
    >>> chat.create(model="", messages=[{"role": "user", "content": "What is the capital of Italy?"}]).choices[0].message.content
    'Rome'
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
        on_event: Callable[[Event], object] | None = None,
        **options: Any,
    ) -> None:
        api_key = hide_key(api_key)
        settings = {
            "model": model, "endpoint": endpoint, "api_key": api_key, "cache": cache, "cache_dir": cache_dir, "budget": budget,
            "timeout": timeout, "concurrency": concurrency, "pace": pace, "referer": referer, "title": title, "on_event": on_event,
        }  # fmt: skip
        self.session = Session(settings | options, runtime)

    def __repr__(self) -> str:
        config = self.session.config
        endpoint = self.session.known_endpoint or config.endpoint or "endpoint not looked for yet"
        return flatten(f"<Qwen {config.model or 'default model'} at {endpoint}, cache {config.cache}>")

    @takes_options
    def ask(self, prompt: str | Request, **given: Any) -> Answer:
        """Ask one question and wait for its answer, which is recalled where it is known.

        Tools that the model calls are run, and it is asked on.

        Parameters
        ----------
        prompt : str or Request
            The question. `{{ name }}` in it is filled with the value given by that keyword.
        **options
            Options of a call: `model`, `system`, `images`, `files`, `schema`, `choices`, `thinking`, `max_tokens`, `tools`,
            `cache`, …; and the value of each name in the prompt.

        Returns
        -------
        Answer
            Its `text`, its `data` where a form was asked for, its cost and where it comes from.

        Raises
        ------
        BadInput
            If an option is none, a value has no name in the prompt, or a name has no value.
        UnsupportedOption
            If the model or the endpoint does not take an option.
        NotRecorded
            In replay, if the answer is not recorded.
        InvalidAnswer
            If no answer had the form that was asked for.
        BudgetExceeded
            If it may cost more than is left.
        EndpointError
            If the endpoint gave no answer.

        Examples
        --------
        >>> answer = qwen.ask("What is the capital of {{ country }}?", country="France")
        >>> print(answer)
        Paris
        >>> qwen.ask("What is the capital of France?").cached
        True
        >>> qwen.ask("Is Paris the capital of France?", choices=["Paris", "Rome"], max_tokens=20).data
        'Paris'
        >>> cited = qwen.ask("What is cold? {{ review }}", review="The soup is cold.", cite=True)
        >>> print(cited)
        The soup. [1]
        >>> [(quote.quote, quote.place) for quote in cited.quotes]
        [('The soup is cold.', 'review, line 1')]
        """
        session = self.session
        options, values = session.split(prompt, given)
        build = fit_window if options.overflow == "map" else Session.build_request
        answers = session.run_tools(build(session, prompt, values, options), options)
        session.emit_warnings()
        return answers[-1]

    @takes_options
    async def ask_async(self, prompt: str | Request, **given: Any) -> Answer:
        """Ask one question, for `await`.

        Parameters
        ----------
        prompt : str or Request
            The question, as for `ask`.
        **options
            Options of a call, and values of the prompt's names, as for `ask`.

        Returns
        -------
        Answer
            As from `ask`.

        Raises
        ------
        QwenError
            What `ask` raises.

        Examples
        --------
        >>> import asyncio
        >>> async def ask_both():
        ...     asked = [qwen.ask_async(f"What is the capital of {land}?") for land in ("France", "Italy")]
        ...     return [str(answer) for answer in await asyncio.gather(*asked)]
        >>> asyncio.run(ask_both())
        ['Paris', 'Rome']
        """
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
        """Ask one question, and give its answer piece by piece as it is written; a remembered one comes as one.

        Parameters
        ----------
        prompt : str or Request
            The question, as for `ask`.
        **options
            Options of a call but `tools`, and values of the prompt's names, as for `ask`.

        Returns
        -------
        Stream
            To be iterated; its `answer` is the whole.

        Raises
        ------
        BadInput
            If tools are given, or what `ask` would refuse.
        QwenError
            While it is read: what `ask` raises.

        Examples
        --------
        >>> stream = qwen.stream("What is the capital of France?")
        >>> "".join(piece.text for piece in stream)
        'Paris'
        >>> stream.answer.finish_reason
        'stop'
        """
        options, values = self.session.split(prompt, given)
        if options.tools is not None:
            raise BadInput("stream() runs no tools. Use ask(), or a chat.")
        build = fit_window if options.overflow == "map" else Session.build_request
        return self.session.stream(build(self.session, prompt, values, options), options)

    @takes_options_of_many
    def ask_many(self, prompts: Iterable[str | Mapping[str, Any] | Request], **given: Any) -> list[Answer]:
        """Ask many questions, as many at a time as the endpoint takes.

        One that failed is an `Answer` whose `error` is set. An error that every other would meet too (a wrong key, no
        credit) ends the asking: what is left carries the same error.

        Parameters
        ----------
        prompts : iterable of str, dict or Request
            Texts, which are sent as they are; or dicts of the values that the template `prompt=` is filled with.
        **options
            `prompt`, the template of dicts; and options of a call, as for `ask`.

        Returns
        -------
        list of Answer
            In the order of *prompts*.

        Raises
        ------
        BadInput
            If *prompts* is no list, or dicts come without a template.

        Examples
        --------
        >>> lands = [{"land": "France"}, {"land": "Italy"}]
        >>> [answer.text for answer in qwen.ask_many(lands, prompt="What is the capital of {{ land }}?")]
        ['Paris', 'Rome']
        """
        template = given.pop("prompt", None)
        options, _ = self.session.split("", given)
        asked = _requests(self.session, prompts, template, options)
        answers = answer_many(self.session, fit_windows(self.session, asked, options), options)
        self.session.emit_warnings()
        return answers

    def chat(self, system: str | None = None, tools: Sequence[Any] = (), **options: Any) -> Chat:
        """Begin a conversation: each of its questions carries what was said before.

        Parameters
        ----------
        system : str, optional
            What the model is told first.
        tools : sequence of callable
            Python functions that the model may call.
        **options
            Options of a call, for all of its questions; and `approve`, which is asked before a tool runs.

        Returns
        -------
        Chat
            Nothing is sent yet.

        Raises
        ------
        BadInput
            If an option is none, or its value can't be one.

        Examples
        --------
        >>> chat = qwen.chat(system="You know every city.")
        >>> print(chat.ask("What is the capital of Italy?"))
        Rome
        >>> [message.role for message in chat.messages]
        ['system', 'user', 'assistant']
        """
        return Chat(self, system=system, tools=tools, **options)

    @takes_options_of_many
    def plan(
        self, prompts: str | Request | Iterable[str | Mapping[str, Any] | Request], **given: Any
    ) -> Plan:
        """Tell what asking would take: requests, how many are known, tokens, cost, time. Nothing is sent.

        Parameters
        ----------
        prompts : str, Request or iterable
            One question, as for `ask`, or many, as for `ask_many`.
        **options
            As for the call that it is the plan of.

        Returns
        -------
        Plan
            Its `cost` is a guess, its `at_most` a bound.

        Raises
        ------
        BadInput
            If one question can't be asked as it stands; of many, those are counted.

        Examples
        --------
        >>> plan = qwen.plan(["What is the capital of France?", "What is the capital of Italy?"], max_tokens=10)
        >>> plan.requests, plan.known, plan.to_ask
        (2, 0, 2)
        >>> plan.cost <= plan.at_most
        True
        """
        session, template = self.session, given.pop("prompt", None)
        if not isinstance(prompts, str | Request):
            options, _ = session.split("", given)
            asked = _requests(session, prompts, template, options)
        else:
            options, values = session.split(prompts, given)
            if template is not None:
                raise BadInput(_FOR_DICTS)
            asked = [_builder(options)(session, prompts, values, options)]
        planned = [plan_pieces(session, one, options) for one in asked]
        requests = [request for made, _ in planned for request in made]
        return make_plan(requests, session, options, pieces=sum(pieces for _, pieces in planned))

    def pack(self, *run: Any) -> Pack:
        """Collect a run's answers in a pack, to be written to a file beside a notebook.

        Parameters
        ----------
        *run
            Answers, lists of them, or frames that a column was asked for with `meta=True`.

        Returns
        -------
        Pack
            What failed, or was not kept, is not in it.

        Raises
        ------
        BadInput
            If something given holds no answers.

        Examples
        --------
        >>> answer = qwen.ask("What is the capital of France?")
        >>> len(qwen.pack(answer))
        1
        """
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


def _builder(options: Options) -> Callable[..., Request | SplitRequest]:
    """Find what makes the request of a prompt: with `overflow="map"` those of its pieces, where it is too long."""
    return split_request if options.overflow == "map" else Session.build_request


def _requests(
    session: Session, prompts: Any, template: str | None, options: Options
) -> list[Request | SplitRequest | Answer]:
    """Make the request of each of *prompts*; where it can't be made, the answer that failed."""
    return [_one_of_many(session, item, template, options) for item in _as_list(prompts, template)]


def _one_of_many(
    session: Session, item: Any, template: str | None, options: Options
) -> Request | SplitRequest | Answer:
    build = _builder(options)
    try:
        if isinstance(item, Mapping):
            if template is None:
                raise BadInput(
                    'ask_many of dicts needs the template that they fill: ask_many([…], prompt="… {{ name }} …").'
                )
            return build(session, template, item, options)
        return build(session, Text(item) if isinstance(item, str) else item, {}, options)
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
    """List what is to be asked; a *template* is for dicts alone."""
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
