"""What happens while questions are asked, as frozen values: what `on_event=` hears, and what the log and the spans are made of.

    RunStarted ─ Recalled ─ Sent ─┬─ Answered ──────────────┬─ RunEnded
                              ▲   └─ Failed ─ Paused ─┐     │
                              └──────── Retried ──────┘     │
    a batch:  BatchSent ─ BatchFetched ─────────────────────┘

None of them holds a text, an API key or a path. `key` is the name of a request, the one that `Answer.key` has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

RunKind = Literal["ask", "stream", "ask_many", "column"]
PauseReason = Literal["told", "limit", "outage"]


@dataclass(frozen=True, slots=True)
class Event:
    """What all events have.

    Attributes
    ----------
    run : int
        The number of the run that it belongs to, in this process: one question, one `ask_many`, one column.
    time : float
        When it happened, as `time.time()` counts.

    Examples
    --------
    >>> heard = []
    >>> answer = Qwen(on_event=heard.append).ask("What is the capital of France?", cache="refresh")
    >>> [type(event).__name__ for event in heard]
    ['RunStarted', 'Sent', 'Answered', 'RunEnded']
    >>> len({event.run for event in heard})
    1
    """

    run: int
    time: float


@dataclass(frozen=True, slots=True)
class RunStarted(Event):
    """A run has begun.

    Attributes
    ----------
    kind : {"ask", "stream", "ask_many", "column"}
        What it is. A cell's question, a chat's, a panel's and each step of a tool loop is an "ask" or a "stream".
    verb : str
        A column's verb: "classify"; else empty.
    model : str
        Whom it asks; empty in a lazy column, whose rows are yet to come.
    rows, unique : int
        How many rows, and questions; 0 in a lazy column, where nobody knows.
    budget : float or None
        US dollars that its client may spend.

    Examples
    --------
    >>> heard = []
    >>> frame = pl.DataFrame({"n": [1, 2, 2]})
    >>> made = frame.qwen.ask("Say {{ n }}", client=Qwen(on_event=heard.append))
    >>> heard[0].kind, heard[0].verb, heard[0].rows, heard[0].unique
    ('column', 'ask', 3, 2)
    """

    kind: RunKind
    verb: str
    model: str
    rows: int
    unique: int
    budget: float | None


@dataclass(frozen=True, slots=True)
class Recalled(Event):
    """Answers were known; nothing was sent for them.

    Attributes
    ----------
    key : str
        The request's, where it is one alone; else empty.
    count : int
        How many.

    Examples
    --------
    >>> heard = []
    >>> client = Qwen(on_event=heard.append)
    >>> first, again = client.ask("What is the capital of France?"), client.ask("What is the capital of France?")
    >>> heard[-2].count, heard[-2].key == again.key
    (1, True)
    """

    key: str
    count: int


@dataclass(frozen=True, slots=True)
class Joined(Event):
    """The same question was under way already, for another run: its answer is this one's too.

    Attributes
    ----------
    key : str
        The request's.

    Examples
    --------
    >>> from qwennb.tracing import Joined
    >>> Joined(run=1, time=0.0, key="3f1c…").key
    '3f1c…'
    """

    key: str


@dataclass(frozen=True, slots=True)
class Sent(Event):
    """A request has gone out. It has its turn at the endpoint; what it waited for that is not counted.

    Attributes
    ----------
    key : str
        The request's.
    model, endpoint, provider, host : str
        Whom it asks; where, as errors call it; what kind of server that is; and its host, with a port where it has one.
    attempt : int
        The how-many-th request for this answer, from 1.

    Examples
    --------
    >>> from qwennb.tracing import Sent
    >>> def print_sent(event):
    ...     if isinstance(event, Sent):
    ...         print(event.model, event.provider, event.attempt)
    >>> answer = Qwen(on_event=print_sent).ask("What is the capital of France?", cache="refresh")
    qwen3.5-flash openrouter 1
    """

    key: str
    model: str
    endpoint: str
    provider: str
    host: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Answered(Event):
    """A request has brought an answer. Whether it has the form that was asked for is seen after that.

    Attributes
    ----------
    key, attempt : str, int
        As when it was sent.
    seconds, first_seconds : float, float or None
        How long it took; and until the first piece of a stream came.
    input_tokens, output_tokens, cached_tokens, reasoning_tokens : int
        What it used; the last two are parts of the first two.
    cost : float or None
        US dollars; None where the price is unknown.
    finish_reason, served_by, reply_id, request_id : str
        How it ended, which model id and which ids the endpoint named; empty where it named none.

    Examples
    --------
    >>> from qwennb.tracing import Answered
    >>> def print_answered(event):
    ...     if isinstance(event, Answered):
    ...         print(event.output_tokens > 0, event.cost < 0.001, event.finish_reason)
    >>> answer = Qwen(on_event=print_answered).ask("What is the capital of France?", cache="refresh")
    True True stop
    """

    key: str
    attempt: int
    seconds: float
    first_seconds: float | None
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    reasoning_tokens: int
    cost: float | None
    finish_reason: str
    served_by: str
    reply_id: str
    request_id: str


@dataclass(frozen=True, slots=True)
class Failed(Event):
    """A request was sent and has brought no answer.

    Attributes
    ----------
    key, attempt : str, int
        As when it was sent.
    seconds : float
        How long it took.
    error : str
        The class of what happened: "RateLimited", "ServerFailed"; "Stopped" where nobody waits for it any more.
    status : int or None
        What the endpoint answered, as HTTP.
    retry_after : float or None
        The seconds that it said to wait.
    request_id : str
        How the endpoint calls the request, where it says.
    maybe_billed : bool
        Whether it may have been charged for.

    Examples
    --------
    >>> from qwennb.errors import ServerFailed
    >>> from qwennb.testing import scripted
    >>> heard = []
    >>> client = scripted(ServerFailed("Down.", status=501, transient=False), on_event=heard.append)
    >>> client.ask("Hello")
    Traceback (most recent call last):
        ...
    qwennb.errors.ServerFailed: Down.
    >>> [(event.error, event.status) for event in heard if type(event).__name__ == "Failed"]
    [('ServerFailed', 501)]
    """

    key: str
    attempt: int
    seconds: float
    error: str
    status: int | None
    retry_after: float | None
    request_id: str
    maybe_billed: bool


@dataclass(frozen=True, slots=True)
class Retried(Event):
    """It will be asked again, after a failure or because the answer does not fit its form.

    Attributes
    ----------
    key : str
        The request's.
    attempt : int
        The attempt that is to follow.
    wait : float
        The seconds until it may go; it may have to wait for its turn besides.
    error : str
        The class of what went before: "RateLimited", "InvalidAnswer".

    Examples
    --------
    >>> from qwennb.testing import scripted
    >>> heard = []
    >>> answer = scripted("maybe", "yes", on_event=heard.append).ask("Is it cold?", choices=["yes", "no"])
    >>> [(event.error, event.attempt) for event in heard if type(event).__name__ == "Retried"]
    [('InvalidAnswer', 2)]
    """

    key: str
    attempt: int
    wait: float
    error: str


@dataclass(frozen=True, slots=True)
class Paused(Event):
    """An endpoint is left alone for a while, by everybody in this process who asks it with the same key.

    Attributes
    ----------
    endpoint : str
        Which.
    seconds : float
        For how long.
    reason : {"told", "limit", "outage"}
        It named the time itself; it refused without naming one; it failed many times in a row.

    Examples
    --------
    >>> from qwennb.errors import RateLimited
    >>> from qwennb.testing import scripted
    >>> heard = []
    >>> answer = scripted(RateLimited("Wait.", status=429, retry_after=0.1), "ok", on_event=heard.append).ask("Hello")
    >>> [(event.reason, round(event.seconds, 1)) for event in heard if type(event).__name__ == "Paused"]
    [('told', 0.1)]
    """

    endpoint: str
    seconds: float
    reason: PauseReason


@dataclass(frozen=True, slots=True)
class BatchSent(Event):
    """A file of questions was handed in (`lane="batch"`).

    Attributes
    ----------
    batch, endpoint, model : str
        Its number, where it is, and whom it asks.
    questions : int
        How many it holds.

    Examples
    --------
    >>> from qwennb.tracing import BatchSent
    >>> BatchSent(run=1, time=0.0, batch="batch_1", endpoint="dashscope-intl", model="qwen3.5-plus", questions=400).questions
    400
    """

    batch: str
    endpoint: str
    model: str
    questions: int


@dataclass(frozen=True, slots=True)
class BatchFetched(Event):
    """A batch is over, and its answers are kept.

    Attributes
    ----------
    batch, endpoint : str
        Its number, and where it was.
    state : str
        How it ended: "done", "failed", "expired", "cancelled".
    questions, lines : int
        How many it held, and how many have a line in its files.

    Examples
    --------
    >>> from qwennb.tracing import BatchFetched
    >>> BatchFetched(run=1, time=0.0, batch="batch_1", endpoint="dashscope-intl", state="done", questions=400, lines=400).state
    'done'
    """

    batch: str
    endpoint: str
    state: str
    questions: int
    lines: int


@dataclass(frozen=True, slots=True)
class RunEnded(Event):
    """A run is over. Of a column, the numbers are those of the line at its end.

    Attributes
    ----------
    kind, verb, model : str
        As when it began; `model` is known by now.
    rows, unique, done, recalled, failed : int
        Rows; questions; those with an outcome, of which so many were known and so many failed.
    tokens : tuple of int
        What the answers used, in and out; known ones as it is recorded.
    cost : float or None
        What they cost, known ones as it is recorded; None where a price is unknown.
    sent, refused, most_at_once : int
        Requests that went out for it, those that were too fast (429), and how many were under way together.
    spent : float or None
        What these requests cost now, as far as it was told.
    seconds : float
        How long it took.
    error : str
        The class of what ended it early, "Stopped" where somebody stopped it; else empty.

    Examples
    --------
    >>> heard = []
    >>> frame = pl.DataFrame({"n": [1, 2, 2]})
    >>> made = frame.qwen.ask("Tell {{ n }}", client=Qwen(on_event=heard.append))
    >>> heard[-1].done, heard[-1].sent, heard[-1].failed, heard[-1].error
    (2, 2, 0, '')
    """

    kind: RunKind
    verb: str
    model: str
    rows: int
    unique: int
    done: int
    recalled: int
    failed: int
    tokens: tuple[int, int]
    cost: float | None
    sent: int
    refused: int
    most_at_once: int
    spent: float | None
    seconds: float
    error: str
