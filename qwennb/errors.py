"""Everything that qwennb raises, in one tree, and everything that it warns of.

    QwenError
    ├── BadInput                    the request is wrong as it stands; nothing was sent
    │   ├── ConfigError             a setting, a file or an environment variable
    │   ├── UnknownModel            no such model, or not served there
    │   ├── UnknownEndpoint         no such endpoint, or none to be found
    │   ├── MissingKey              the endpoint wants a key and none was given
    │   ├── UnsupportedOption       the model or endpoint does not take this option
    │   ├── TemplateError           a {{ name }} that does not exist or cannot be read
    │   ├── SchemaError             a schema that can't be expressed
    │   ├── ToolError               a tool definition that breaks a rule
    │   ├── MediaError              an image, video or PDF that can't be used
    │   ├── PackRefused             a pack that can't be believed, or must not be written
    │   └── WindowExceeded          the input is longer than the model can take
    ├── NotRecorded                 replay: this request was never answered here
    ├── BudgetExceeded              asking would go over the money that was set aside
    ├── Stopped                     the user stopped the run
    ├── Uncertified                 a draft is not proved, and the model is not to be asked
    ├── CacheError                  the store can't be used as it is
    ├── CheckFailed                 answers break a rule that they are checked by
    ├── InvalidAnswer               a whole answer came, and it does not fit the schema
    │   └── ValidatorFailed         a validator of the user's raised what is no complaint about the answer
    ├── CallbackFailed              a function of the user's that was called on the way raised, or never returned
    └── EndpointError               the endpoint failed or refused
        ├── KeyRefused              401, 403: the key is wrong, or belongs to another region
        ├── CreditExhausted         402 and its disguises: money, not rate
        ├── ModelRefused            404: the endpoint does not serve this model to this key
        ├── RequestRefused          400, 413, 422: the endpoint will not take this request
        │   └── ContentFiltered     a content filter stopped the question or the answer
        ├── RateLimited             429: too fast
        ├── ServerFailed            5xx, or an answer that makes no sense
        ├── Unreachable             no connection: refused, no such host, bad certificate
        ├── TimedOut                a deadline passed
        └── Incomplete              the answer broke off, was cut or came empty

and everything that it warns of, in another:

    QwenWarning                     a budget nearly spent, an answer cut at its own limit, an endpoint that misreports
    ├── QwenFrameWarning            rows of a column failed, or their texts were cut
    ├── CacheWarning                the cache works less well than it should
    └── ProjectWarning              what a project's pyproject.toml sets, or would set

Each message says what happened, to which request, and what to type next. Every class can be rebuilt
from its message alone (`type(error)(str(error))`), because polars rebuilds exceptions that way.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType

from qwennb.terminal import Readable, drop_controls
from qwennb.text import first_words

# What other libraries call it, and what it is called here.
_ELSEWHERE = {
    "alias": "into",
    "name": "into",
    "output_column": "into",
    "retries": "timeout",
    "max_retries": "timeout",
    "n": "sample",
    "base_url": "endpoint",
    "api_base": "endpoint",
    "labels": "choices",
    "response_format": "schema",
    "response_model": "schema",
    "system_prompt": "system",
    "reasoning": "thinking",
    "enable_thinking": "thinking",
    "max_workers": "concurrency",
    "max_completion_tokens": "max_tokens",
}


BEGINS = 4  # letters that are enough for the beginning of a longer name


def nearest(name: str, known: Iterable[str], *, most: int = 1) -> str:
    """'; did you mean `x`?' when something known is close to *name*, or is called so elsewhere."""
    import difflib  # only a mistake needs it

    names, meant = list(known), _ELSEWHERE.get(name, "")
    close = difflib.get_close_matches(name, names, n=most, cutoff=0.8 if meant else 0.6)
    if not close and meant and meant in names:
        close = [meant]
    if not close and len(name) >= BEGINS:  # `qwen2.5-coder` for a model whose name goes on
        close = [one for one in names if one.startswith(name)][:most]
    return f"; did you mean {' or '.join(f'`{c}`' for c in close)}?" if close else ""


def show_value(value: object) -> str:
    """*value* as an error names it: in one line, not long, whatever it is."""
    try:
        return first_words(repr(value), 80)
    except Exception:
        return f"a {type(value).__name__}"


class _OneLine:
    """How IPython is to show an error of ours: in one line, for it says all there is to know.

    Where code of the user's failed, or we foresaw nothing, the way there is worth reading, and it is as if this were not here.
    """

    def __get__(self, error: QwenError | None, owner: object = None) -> Callable[[], list[str]]:
        if (
            error is None
            or type(error) is QwenError
            or (isinstance(error, CallbackFailed) and error.__cause__)
        ):
            raise AttributeError("_render_traceback_")
        return lambda: [_one_line(error)]


class QwenError(Readable, Exception):
    """Anything that qwennb raises on purpose.

    Attributes
    ----------
    attempts : int
        How many requests were sent before it failed.
    tokens : tuple of int
        What they used, in and out.
    cost : float or None
        What they cost in US dollars; None where the price is unknown, or an endpoint may have charged for what it did not answer.

    Examples
    --------
    >>> from qwennb.errors import QwenError
    >>> try:
    ...     qwen.ask("What is the capital of France?", cache="replay")
    ... except QwenError as error:
    ...     print(type(error).__name__, error.attempts)
    NotRecorded 0
    """

    attempts: int = 0
    tokens: tuple[int, int] = (0, 0)
    cost: float | None = 0.0

    _render_traceback_ = _OneLine()

    def charge(self, attempts: int, tokens: tuple[int, int], cost: float | None) -> None:
        """Note what the attempts that failed have used."""
        self.attempts, self.tokens, self.cost = attempts, tokens, cost


def show_in_one_line(error: BaseException, said: str = "") -> BaseException:
    """Make a notebook show *error* in one line, which is *said* where it says nothing itself.

    Its text may quote anything. A kernel can't send what is not Unicode, and would show no error at all.
    """
    error.args = (drop_controls(str(error) or said).strip("\n"),)
    line = _one_line(error)
    error._render_traceback_ = lambda: [line]  # type: ignore[attr-defined]
    return error


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {drop_controls(str(error)).strip(chr(10))}"


class BadInput(QwenError, ValueError):
    """The request is wrong as it stands. Nothing was sent.

    Examples
    --------
    >>> qwen.ask("What is the capital of France?", temperature=9)
    Traceback (most recent call last):
        ...
    qwennb.errors.BadInput: temperature=9 is out of range: it must be from 0 to 2.
    """


class ConfigError(BadInput):
    """A setting, a configuration file or an environment variable can't be used.

    Examples
    --------
    >>> Qwen(concurrency="many")
    Traceback (most recent call last):
        ...
    qwennb.errors.ConfigError: concurrency='many' is not a whole number.
    """


class UnknownModel(BadInput):
    """No such model, or the endpoint does not serve it. `qwennb models` lists them.

    Examples
    --------
    >>> qwen.ask("Hello", model="qwen9")
    Traceback (most recent call last):
        ...
    qwennb.errors.UnknownModel: There is no model `qwen9` in the catalogue; did you mean `qwen3.5-9b`?
    """


class UnknownEndpoint(BadInput):
    """No endpoint of that name, or none could be found. `qwennb doctor` shows which answer.

    Examples
    --------
    >>> Qwen(endpoint="openruter").ask("Hello")
    Traceback (most recent call last):
        ...
    qwennb.errors.UnknownEndpoint: There is no endpoint `openruter`; did you mean `openrouter`? Names: ...
    """


class MissingKey(BadInput):
    """The endpoint wants a key and none was given.

    Examples
    --------
    >>> import os
    >>> key = os.environ.pop("QWENNB_API_KEY", None)
    >>> Qwen(endpoint="dashscope-intl").ask("Hello")
    Traceback (most recent call last):
        ...
    qwennb.errors.MissingKey: dashscope-intl wants a key and none was given: set DASHSCOPE_API_KEY in the environment ...
    """


class UnsupportedOption(BadInput):
    """The chosen model or endpoint does not take this option. The message lists those that it takes.

    Examples
    --------
    >>> qwen.ask("Hello", model="flash", logit_bias={1: 2})
    Traceback (most recent call last):
        ...
    qwennb.errors.UnsupportedOption: `logit_bias` is not supported by qwen3.5-flash at openrouter: ...
    """


class TemplateError(BadInput):
    """A `{{ name }}` that does not exist or can't be read.

    Examples
    --------
    >>> qwen.ask("Hello {{ name")
    Traceback (most recent call last):
        ...
    qwennb.errors.TemplateError: `{{ name` begins with two braces, and no name follows that two braces close. ...
    """


class SchemaError(BadInput):
    """A schema that can't be expressed as JSON Schema.

    Examples
    --------
    >>> qwen.ask("Hello", schema={"type": "strin"})
    Traceback (most recent call last):
        ...
    qwennb.errors.SchemaError: The dict given as schema is not a JSON Schema: ...
    """


class ToolError(BadInput):
    """A tool definition that breaks a rule of the endpoint.

    Examples
    --------
    >>> qwen.ask("Hello", tools=[lambda x: x])
    Traceback (most recent call last):
        ...
    qwennb.errors.ToolError: A lambda can't be a tool: the model knows a tool by its name. Write it as a def.
    """


class MediaError(BadInput):
    """An image, video or PDF that can't be used.

    Examples
    --------
    >>> qwen.ask("What is it?", images=["missing.png"])
    Traceback (most recent call last):
        ...
    qwennb.errors.MediaError: there is no file missing.png; check the path and the current folder
    """


class PackRefused(BadInput):
    """A pack can't be believed, or must not be written; nothing of it was taken.

    Examples
    --------
    >>> Pack.read("missing.qwenpack")
    Traceback (most recent call last):
        ...
    qwennb.errors.PackRefused: There is no pack missing.qwenpack here. Give its path, or make it: qwennb pack NOTEBOOK.
    """


class WindowExceeded(BadInput):
    """The input is longer than the model's window. `overflow="map"` asks in pieces.

    Examples
    --------
    >>> qwen.ask("{{ book }}", book="word " * 2_000_000)
    Traceback (most recent call last):
        ...
    qwennb.errors.WindowExceeded: ...
    """


class NotRecorded(QwenError, LookupError):
    """Replay: this request has no recorded answer. The message tells in what the nearest one differs.

    Examples
    --------
    >>> qwen.ask("What is the capital of France?", model="flash", cache="replay")
    Traceback (most recent call last):
        ...
    qwennb.errors.NotRecorded: Replay: no answer is recorded for request ... ('What is the capital of France?'). ...
    """


class BudgetExceeded(QwenError):
    """Asking would go over the budget.

    Examples
    --------
    >>> qwen.ask("What is the capital of France?", budget=0.000001)
    Traceback (most recent call last):
        ...
    qwennb.errors.BudgetExceeded: The next request may cost up to $... of the budget of $0.000001 is left. ...
    """


class Stopped(QwenError):
    """The user stopped the run; what was finished is kept.

    Examples
    --------
    >>> stream = qwen.stream("Count to a million")
    >>> stream.stop()
    >>> stream.answer
    Traceback (most recent call last):
        ...
    qwennb.errors.Stopped: The stream was stopped before its answer was whole.
    """


class Uncertified(QwenError):
    """A draft's answer is not proved to be the model's own, and `on_uncertified="stop"` says that the model is not to be asked.

    Examples
    --------
    >>> reviews = pl.DataFrame({"review": [f"Review {n}" for n in range(400)]})
    >>> reviews.qwen.classify(
    ...     "review", ["good", "bad"], model="plus", draft="flash", agree=0.9, on_uncertified="stop", on_error="raise"
    ... )
    Traceback (most recent call last):
        ...
    qwennb.errors.Uncertified: ...
    """


class CacheError(QwenError):
    """The store can't be used as it is.

    Examples
    --------
    >>> from qwennb.errors import CacheError
    >>> try:
    ...     answer = qwen.ask("What is the capital of France?")
    ... except CacheError as error:
    ...     print(f"Nothing could be kept: {error}")
    """


class CheckFailed(QwenError, AssertionError):
    """Answers break a rule that they were checked by. A test fails by it as by any other AssertionError.

    Examples
    --------
    >>> pl.DataFrame({"stars": [4, 9]}).qwen.check("stars", rules={"between": [1, 5]}).raise_for_failures()
    Traceback (most recent call last):
        ...
    qwennb.errors.CheckFailed: 1 of 1 rule is broken. stars between: 1 of 2 answers breaks it, row 1: not from 1 to 5.
    """


class InvalidAnswer(QwenError):
    """A whole answer came, and it still does not fit what was asked for, though the model was told twice what is wrong.

    Examples
    --------
    >>> from qwennb.testing import scripted
    >>> scripted("I can't tell.").ask("Praise or complaint?", choices=["praise", "complaint"])
    Traceback (most recent call last):
        ...
    qwennb.errors.InvalidAnswer: The answer to ... does not fit what was asked for after 3 attempts: ...
    """


class ValidatorFailed(InvalidAnswer):
    """A validator of yours raised something that is no complaint about the answer (those are ValueError).

    Examples
    --------
    >>> from typing import Annotated
    >>> import pydantic
    >>> class Order(pydantic.BaseModel):
    ...     amount: Annotated[int, pydantic.AfterValidator(lambda amount: 1 / 0)]
    >>> from qwennb.testing import scripted
    >>> scripted('{"amount": 2}').ask("Read the order: two boxes.", schema=Order)
    Traceback (most recent call last):
        ...
    qwennb.errors.ValidatorFailed: The class `Order` raised ZeroDivisionError: ...
    """


class CallbackFailed(QwenError):
    """A function of yours that was called on the way raised something, or never returned.

    Examples
    --------
    >>> df = pl.DataFrame({"review": ["The soup was cold."]})
    >>> df.qwen.classify("review", ["praise", "complaint"], progress=lambda done: 1 / 0)
    Traceback (most recent call last):
        ...
    qwennb.errors.CallbackFailed: progress= raised ZeroDivisionError: ...
    """


class EndpointError(QwenError):
    """The endpoint failed or refused.

    Attributes
    ----------
    status, code : int or None, str or None
        What it answered, as HTTP and in its own words.
    retry_after : float or None
        The seconds that it said to wait.
    transient, fatal : bool
        Whether asking again may help, and whether every other request would meet the same (a wrong key, no credit).
    maybe_billed : bool
        Whether it may have charged for what it did not answer.
    request_id : str or None
        How it calls the request, where it says: for who asks its support.

    Examples
    --------
    >>> from qwennb.errors import EndpointError
    >>> from qwennb.simulator import Simulator
    >>> with Simulator("vllm", faults=[]) as sim:
    ...     sim.fault("401")
    ...     try:
    ...         Qwen(endpoint=f"vllm+{sim.base_url}").ask("Hello")
    ...     except EndpointError as error:
    ...         print(type(error).__name__, error.status, error.fatal)
    KeyRefused 401 True
    """

    transient: bool = False
    fatal: bool = False
    request_id: str | None = None

    def __init__(
        self,
        message: str = "",
        *,
        status: int | None = None,
        code: str | None = None,
        retry_after: float | None = None,
        maybe_billed: bool = False,
        transient: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.retry_after = retry_after
        self.maybe_billed = maybe_billed
        if transient is not None:
            self.transient = transient


class KeyRefused(EndpointError):
    """The key is wrong, lacks a permission, or belongs to another region.

    Examples
    --------
    >>> from qwennb.simulator import Simulator
    >>> with Simulator("openrouter", api_key="sk-right") as sim:
    ...     Qwen(endpoint=f"openrouter+{sim.base_url}", api_key="sk-wrong").ask("Hello")
    Traceback (most recent call last):
        ...
    qwennb.errors.KeyRefused: openrouter refused (401 ...): ... Check the key; `qwennb doctor` tells where it is good.
    """

    fatal = True


class CreditExhausted(EndpointError):
    """The account has no money left; waiting will not help.

    Examples
    --------
    >>> from qwennb.simulator import Options, Simulator
    >>> with Simulator("openrouter", options=Options(credits=0.0)) as sim:
    ...     Qwen(endpoint=f"openrouter+{sim.base_url}", api_key="sk-any").ask("Hello")
    Traceback (most recent call last):
        ...
    qwennb.errors.CreditExhausted: openrouter refused (402 ...): ... Add credit to the account, or choose another endpoint=.
    """

    fatal = True


class ModelRefused(EndpointError):
    """The endpoint does not serve this model to this key.

    Examples
    --------
    >>> from qwennb.simulator import Simulator
    >>> with Simulator("openrouter") as sim:
    ...     sim.fault("404")
    ...     Qwen(endpoint=f"openrouter+{sim.base_url}", api_key="sk-any").ask("Hello")
    Traceback (most recent call last):
        ...
    qwennb.errors.ModelRefused: openrouter refused (404 ...): ... `qwennb models` lists what is served where; ...
    """

    fatal = True


class RequestRefused(EndpointError):
    """The endpoint will not take this request.

    Examples
    --------
    >>> from qwennb.simulator import Simulator
    >>> with Simulator("openrouter") as sim:
    ...     sim.fault("422")
    ...     Qwen(endpoint=f"openrouter+{sim.base_url}", api_key="sk-any").ask("Hello")
    Traceback (most recent call last):
        ...
    qwennb.errors.RequestRefused: openrouter refused (422 ...): The request can't be processed.
    """


class ContentFiltered(RequestRefused):
    """A content filter stopped the question or the answer.

    Examples
    --------
    >>> from qwennb.simulator import Simulator
    >>> with Simulator("openrouter") as sim:
    ...     sim.fault("content_filter")
    ...     Qwen(endpoint=f"openrouter+{sim.base_url}", api_key="sk-any").ask("Hello")
    Traceback (most recent call last):
        ...
    qwennb.errors.ContentFiltered: openrouter stopped the answer to ... by its content filter. Rephrase the question.
    """


class RateLimited(EndpointError):
    """Too many requests or tokens for now. It is asked again by itself; this is raised when the time is over.

    Examples
    --------
    >>> from qwennb.errors import RateLimited
    >>> from qwennb.testing import scripted
    >>> scripted(RateLimited("Too fast.", transient=False)).ask("Hello")
    Traceback (most recent call last):
        ...
    qwennb.errors.RateLimited: Too fast.
    """

    transient = True


class ServerFailed(EndpointError):
    """The server failed, or answered something that makes no sense. It is asked again by itself, a few times.

    Examples
    --------
    >>> from qwennb.simulator import Simulator
    >>> with Simulator("openrouter") as sim:
    ...     sim.fault("501")
    ...     Qwen(endpoint=f"openrouter+{sim.base_url}", api_key="sk-any").ask("Hello")
    Traceback (most recent call last):
        ...
    qwennb.errors.ServerFailed: ...
    """

    transient = True


class Unreachable(EndpointError):
    """No connection: refused, no such host, bad certificate.

    Examples
    --------
    >>> Qwen(endpoint="openrouter+http://127.0.0.1:9/v1", api_key="sk-any").ask("Hello")
    Traceback (most recent call last):
        ...
    qwennb.errors.Unreachable: openrouter can't be reached: Connection refused...
    """

    fatal = True


class TimedOut(EndpointError):
    """A deadline passed. Give a longer `timeout=`.

    Examples
    --------
    >>> from qwennb.simulator import Simulator
    >>> with Simulator("openrouter") as sim:
    ...     sim.fault("hang")
    ...     Qwen(endpoint=f"openrouter+{sim.base_url}", api_key="sk-any", timeout=0.2).ask("Hello")
    Traceback (most recent call last):
        ...
    qwennb.errors.TimedOut: openrouter gave nothing for 0.2 s while ... waited for an answer. Give a longer timeout=.
    """

    transient = True


class Incomplete(EndpointError):
    """The answer broke off, was cut short by the endpoint, or came empty.

    A text that was cut at its own `max_tokens` is no error: it is the answer to that request, and `is_cut` says so.

    Examples
    --------
    >>> from qwennb.simulator import Simulator
    >>> with Simulator("openrouter") as sim:
    ...     sim.fault("length")
    ...     Qwen(endpoint=f"openrouter+{sim.base_url}", api_key="sk-any").ask("Hello")
    Traceback (most recent call last):
        ...
    qwennb.errors.Incomplete: openrouter cut the answer to ... at a limit of its own. ...
    """

    transient = True


class QwenWarning(Readable, UserWarning):
    """Something a user should know and nobody asked for; the root of all warnings.

    Examples
    --------
    >>> import warnings
    >>> from qwennb.errors import QwenWarning
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore", QwenWarning)
    ...     answer = qwen.ask("What is the capital of France?")
    """


class QwenFrameWarning(QwenWarning):
    """Rows of a column failed, and are null; or their texts were cut at the column's own `max_tokens`.

    Examples
    --------
    >>> import warnings
    >>> from qwennb.errors import QwenFrameWarning
    >>> df = pl.DataFrame({"review": ["The soup was cold."]})
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("error", QwenFrameWarning)  # rather an error than nulls
    ...     made = df.qwen.classify("review", ["praise", "complaint"])
    """


class CacheWarning(QwenWarning):
    """The cache works less well than it should: in memory only, on a network drive, or after damage.

    Examples
    --------
    >>> import warnings
    >>> from qwennb.errors import CacheWarning
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("error", CacheWarning)  # rather no answer than one that is not kept
    ...     answer = qwen.ask("What is the capital of France?")
    """


class ProjectWarning(QwenWarning):
    """What a project's pyproject.toml sets, or would set once it is trusted.

    Examples
    --------
    >>> import warnings
    >>> from qwennb.errors import ProjectWarning
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore", ProjectWarning)
    ...     qwen = Qwen()
    """


@contextmanager
def user_code(
    name: str, kind: type[QwenError], next_step: str, *, passing: tuple[type[BaseException], ...] = ()
) -> Iterator[None]:
    """What code of the user's raises in here becomes an error of *kind*, whatever it is; *passing* goes through.

    Let through, some of it would end a thread that everybody needs, and the rest the rows of others. On the main thread
    KeyboardInterrupt goes through, for there it is somebody who wants to stop.
    """
    try:
        yield
    except passing:
        raise
    except BaseException as error:
        is_main = threading.current_thread() is threading.main_thread()
        if isinstance(error, KeyboardInterrupt) and is_main:
            raise
        raise kind(
            f"{name} raised {in_words(error)}{where_raised(error.__traceback__)}. {next_step}"
        ) from error


def in_words(error: BaseException) -> str:
    """The class and message of an error that is not ours, on one line; its message may raise, too."""
    if isinstance(error, BaseExceptionGroup):
        return f"{type(error).__name__} of {in_words(error.exceptions[0])}"
    try:
        said = " ".join(str(error).split())
    except BaseException:
        said = ""
    return type(error).__name__ + (f": {said[:200]}" if said else "")


def code_place(frame: FrameType | None, line: int | None = None) -> str:
    """Where a frame stands: "`check_city` (orders.py, line 12)"."""
    if frame is None:
        return ""
    code = frame.f_code
    return f"`{code.co_name}` ({code.co_filename.replace(chr(92), '/').rpartition('/')[2]}, line {line or frame.f_lineno})"


def where_raised(trace: TracebackType | None) -> str:
    """Where an error comes from: " in `check_city` (orders.py, line 12)"."""
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f" in {code_place(trace.tb_frame, trace.tb_lineno)}" if trace is not None else ""


# All that is defined here, and nothing that is only imported.
__all__ = sorted(
    name
    for name, thing in globals().items()
    if not name.startswith("_") and getattr(thing, "__module__", "") == __name__
)
