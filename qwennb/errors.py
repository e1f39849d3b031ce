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
    ├── CacheError                  the store can't be used as it is
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
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType

from qwennb.terminal import Readable
from qwennb.text import first_words

__all__ = [
    "BadInput",
    "BudgetExceeded",
    "CacheError",
    "CacheWarning",
    "CallbackFailed",
    "ConfigError",
    "ContentFiltered",
    "CreditExhausted",
    "EndpointError",
    "Incomplete",
    "InvalidAnswer",
    "KeyRefused",
    "MediaError",
    "MissingKey",
    "ModelRefused",
    "NotRecorded",
    "PackRefused",
    "ProjectWarning",
    "QwenError",
    "QwenFrameWarning",
    "QwenWarning",
    "RateLimited",
    "RequestRefused",
    "SchemaError",
    "ServerFailed",
    "Stopped",
    "TemplateError",
    "TimedOut",
    "ToolError",
    "UnknownEndpoint",
    "UnknownModel",
    "Unreachable",
    "UnsupportedOption",
    "ValidatorFailed",
    "WindowExceeded",
    "code_place",
    "in_words",
    "nearest",
    "user_code",
    "where_raised",
]


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

    names = list(known)
    meant = _ELSEWHERE.get(name)
    known_here = meant is not None and meant in names
    close = difflib.get_close_matches(name, names, n=most, cutoff=0.6 if meant is None else 0.8)
    if not close and meant is not None and known_here:
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


class QwenError(Readable, Exception):
    """Anything that qwennb raises on purpose.

    `attempts` is how many requests were sent before it failed, `tokens` what they used, in and out, and `cost` what they
    cost in US dollars: None where the price is unknown, or an endpoint may have charged for what it did not answer.
    """

    attempts: int = 0
    tokens: tuple[int, int] = (0, 0)
    cost: float | None = 0.0

    def charge(self, attempts: int, tokens: tuple[int, int], cost: float | None) -> None:
        """Note what the attempts that failed have used."""
        self.attempts, self.tokens, self.cost = attempts, tokens, cost


class BadInput(QwenError, ValueError):
    """The request is wrong as it stands. Nothing was sent."""


class ConfigError(BadInput):
    """A setting, a configuration file or an environment variable can't be used."""


class UnknownModel(BadInput):
    """No such model, or the endpoint does not serve it."""


class UnknownEndpoint(BadInput):
    """No endpoint of that name, or none could be found."""


class MissingKey(BadInput):
    """The endpoint wants a key and none was given."""


class UnsupportedOption(BadInput):
    """The chosen model or endpoint does not take this option."""


class TemplateError(BadInput):
    """A `{{ name }}` that does not exist or can't be read."""


class SchemaError(BadInput):
    """A schema that can't be expressed as JSON Schema."""


class ToolError(BadInput):
    """A tool definition that breaks a rule of the endpoint."""


class MediaError(BadInput):
    """An image, video or PDF that can't be used."""


class PackRefused(BadInput):
    """A pack can't be believed, or must not be written; nothing of it was taken."""


class WindowExceeded(BadInput):
    """The input is longer than the model's window."""


class NotRecorded(QwenError, LookupError):
    """Replay: this request has no recorded answer."""


class BudgetExceeded(QwenError):
    """Asking would go over the budget."""


class Stopped(QwenError):
    """The user stopped the run; what was finished is kept."""


class CacheError(QwenError):
    """The store can't be used as it is."""


class InvalidAnswer(QwenError):
    """A whole answer came, and it still does not fit what was asked for."""


class ValidatorFailed(InvalidAnswer):
    """A validator of yours raised something that is no complaint about the answer (those are ValueError)."""


class CallbackFailed(QwenError):
    """A function of yours that was called on the way raised something, or never returned."""


class EndpointError(QwenError):
    """The endpoint failed or refused.

    `transient` says that asking again may help; `fatal` that every other request would meet the same
    (a wrong key, no credit, an unknown model); `maybe_billed` that the endpoint may have charged for it.
    """

    transient: bool = False
    fatal: bool = False

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
    """The key is wrong, lacks a permission, or belongs to another region."""

    fatal = True


class CreditExhausted(EndpointError):
    """The account has no money left; waiting will not help."""

    fatal = True


class ModelRefused(EndpointError):
    """The endpoint does not serve this model to this key."""

    fatal = True


class RequestRefused(EndpointError):
    """The endpoint will not take this request."""


class ContentFiltered(RequestRefused):
    """A content filter stopped the question or the answer."""


class RateLimited(EndpointError):
    """Too many requests or tokens for now."""

    transient = True


class ServerFailed(EndpointError):
    """The server failed, or answered something that makes no sense."""

    transient = True


class Unreachable(EndpointError):
    """No connection: refused, no such host, bad certificate."""

    fatal = True


class TimedOut(EndpointError):
    """A deadline passed."""

    transient = True


class Incomplete(EndpointError):
    """The answer broke off, was cut short, or came empty."""

    transient = True


class QwenWarning(Readable, UserWarning):
    """Something a user should know and nobody asked for; the root of all warnings."""


class QwenFrameWarning(QwenWarning):
    """Rows of a column failed, and are null; or their texts were cut at the column's own `max_tokens`."""


class CacheWarning(QwenWarning):
    """The cache works less well than it should: in memory only, on a network drive, or after damage."""


class ProjectWarning(QwenWarning):
    """What a project's pyproject.toml sets, or would set once it is trusted."""


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
