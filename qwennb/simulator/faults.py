"""Everything that can go wrong on demand: one table of kinds, and the `Fault` that picks one of them.

A kind either refuses (`problem`), changes what the model says, or changes how the bytes leave; the last two are done in
`sabotage`. `whole` says whether what arrives is still a whole, true answer: if so it counts as paid.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Literal

from qwennb.errors import ConfigError, nearest

from .problem import Problem
from .quota import RetryForm

if TYPE_CHECKING:
    from .parsed_request import Asked

__all__ = ["FAULTS", "Fault", "FaultKind", "FaultPlan"]

Mode = Literal["stream", "plain"]
BOTH: frozenset[Mode] = frozenset({"stream", "plain"})
STREAM: frozenset[Mode] = frozenset({"stream"})


@dataclass(frozen=True, slots=True)
class FaultKind:
    """One row of the table. `dialects` limits a kind to the servers where it happens (None: all)."""

    name: str
    about: str
    problem: Problem | None = None
    modes: frozenset[Mode] = BOTH
    whole: bool = False
    dialects: tuple[str, ...] | None = None


def _status(status: int, message: str, code: str, kind: str) -> FaultKind:
    return FaultKind(str(status), f"status {status}: {message}", Problem(status, message, code, kind))


def _dashscope(name: str, status: int, code: str, message: str) -> FaultKind:
    problem = Problem(status, message, code, code)
    return FaultKind(name, f"{status} {code}: {message}", problem, dialects=("dashscope",))


def _openrouter(
    name: str, status: int, code: str, message: str, availability: str | None = None
) -> FaultKind:
    extra = {"availability": availability} if availability else {}
    problem = Problem(status, message, code, code, extra=extra)
    return FaultKind(name, f"{status} {code}: {message}", problem, dialects=("openrouter",))


def _wire(name: str, about: str, *, modes: frozenset[Mode] = BOTH, whole: bool = False) -> FaultKind:
    return FaultKind(name, about, modes=modes, whole=whole)


_KINDS = (
    _status(400, "The request is not acceptable.", "invalid_parameter_error", "invalid_request_error"),
    _status(401, "Incorrect API key provided.", "invalid_api_key", "authentication_error"),
    _status(402, "Insufficient credits.", "payment_required", "payment_required"),
    _status(403, "Access denied.", "access_denied", "permission_error"),
    _status(404, "The model does not exist or you do not have access to it.", "model_not_found", "not_found_error"),
    _status(408, "The request took too long to arrive.", "request_timeout", "timeout"),
    _status(409, "The resource is in conflict.", "conflict", "conflict_error"),
    _status(413, "The request is too large.", "payload_too_large", "invalid_request_error"),
    _status(422, "The request can't be processed.", "unprocessable_entity", "invalid_request_error"),
    _status(429, "Requests rate limit exceeded, please try again later.", "limit_requests", "rate_limit_error"),
    _status(500, "An internal error has occurred, please try again later.", "internal_error", "internal_error"),
    _status(501, "Not implemented.", "not_implemented", "not_supported_error"),
    _status(502, "The upstream model is down.", "provider_unavailable", "bad_gateway"),
    _status(503, "The server is overloaded.", "service_unavailable", "unavailable_error"),
    _status(504, "The upstream model did not answer in time.", "timeout", "gateway_timeout"),
    _status(524, "A timeout occurred.", "timeout", "timeout"),
    _status(529, "The model is overloaded.", "provider_overloaded", "overloaded_error"),
    _dashscope("burst", 429, "limit_burst_rate", "Request rate increased too quickly. To ensure system stability, please adjust your client logic to scale requests more smoothly over time."),
    _dashscope("concurrency", 429, "Throttling.Concurrency", "Too many requests in progress at the same time."),
    _dashscope("token_quota", 429, "insufficient_quota", "Allocated quota exceeded, please increase your quota limit."),
    _dashscope("current_quota", 429, "insufficient_quota", "You exceeded your current quota, please check your plan and billing details."),
    _dashscope("free_quota", 429, "insufficient_quota", "Free allocated quota exceeded."),
    _dashscope("free_tier_only", 403, "AllocationQuota.FreeTierOnly", "The free tier of the model has been exhausted."),
    _dashscope("not_purchased", 429, "CommodityNotPurchased", "Commodity has not purchased yet."),
    _dashscope("prepaid_overdue", 429, "PrepaidBillOverdue", "The prepaid bill is overdue."),
    _dashscope("postpaid_overdue", 429, "PostpaidBillOverdue", "The postpaid bill is overdue."),
    _dashscope("budget_limit", 429, "BudgetLimitExceeded", "The budget limit of the workspace has been exceeded."),
    _dashscope("arrearage", 400, "Arrearage", "Access denied, please make sure your account is in good standing."),
    _dashscope("inspected", 400, "data_inspection_failed", "Input data may contain inappropriate content."),
    _dashscope("not_activated", 400, "invalid_parameter_error", "The product is not activated, please confirm that you have activated products and try again after activation."),
    _dashscope("algo", 500, "InternalError.Algo", "An internal error has occured during execution, please try again later or contact service support."),
    _dashscope("algo_parameter", 400, "InternalError.Algo.InvalidParameter", "Range of input length should be [1, 983616]"),
    _openrouter("capacity", 429, "rate_limit_exceeded", "The providers of this model are at capacity.", "capacity_exhausted"),
    _openrouter("no_endpoints", 404, "not_found", "No endpoints found for this model.", "no_endpoints"),
    _openrouter("moderated", 403, "moderation", "Your input was flagged by the moderation of the provider."),
    _openrouter("refused", 400, "refusal", "The model refused to answer."),
    _openrouter("policy", 400, "content_policy_violation", "The input goes against the content policy."),
    FaultKind("loading", "503 while the model is being loaded", Problem(503, "Loading model", "503", "unavailable_error"), dialects=("llama.cpp", "vllm", "sglang")),
    # What the model says.
    _wire("length", "the answer is cut in half, finish_reason length"),
    _wire("content_filter", "the answer breaks off, finish_reason content_filter"),
    _wire("null_content", "content is null"),
    _wire("empty_content", "content is an empty string"),
    _wire("reasoning_only", "there is a thought and no answer"),
    _wire("wrong_schema", "valid JSON of another shape"),
    _wire("cut_json", "JSON that stops in the middle, finish_reason stop"),
    _wire("fenced_json", "the answer wrapped in a Markdown fence", whole=True),
    _wire("duplicate_keys", "JSON text that says every key twice, with different values"),
    _wire("nan", "JSON text with NaN, Infinity and -Infinity in it"),
    # How the bytes leave.
    _wire("html", "200 with an HTML page, said to be HTML"),
    _wire("html_as_json", "200 with an HTML page, said to be what was asked for"),
    _wire("error_in_200", "200 with an error object as its body"),
    _wire("no_choices", "choices is an empty list"),
    _wire("bad_utf8", "bytes that are not UTF-8"),
    _wire("bad_json", "a body or an event that stops in the middle of its JSON"),
    _wire("nan_body", "a body that is not JSON because it says NaN"),
    _wire("duplicate_body", "a body with `choices` twice, the first one wrong", modes=frozenset({"plain"})),
    _wire("empty_body", "200 and nothing"),
    _wire("redirect", "307 to another path of this server"),
    _wire("reset", "a TCP reset before the first byte"),
    _wire("reset_midway", "a TCP reset after half of the answer"),
    _wire("short_body", "the connection is closed, politely, after half of the bytes that were promised"),
    _wire("drip", "one byte every 100 ms", whole=True),
    _wire("utf8_split", "every byte in a packet of its own", whole=True),
    _wire("hang", "the question is taken and nothing ever comes"),
    _wire("hang_midway", "half of the answer, then nothing, and the connection stays open"),
    _wire("huge_body", "a body of 2 GB, made as it is sent"),
    _wire("partial", "200 with half an answer and x-dashscope-partialresponse: true, as after 300 s", modes=frozenset({"plain"})),
    _wire("comments_only", "nothing but comments, 100 ms apart, then a polite end", modes=STREAM),
    _wire("comment_flood", "a million comments, then the answer", modes=STREAM, whole=True),
    _wire("endless", "an answer that never ends", modes=STREAM),
    _wire("long_line", "one event of a million characters", modes=STREAM),
    _wire("no_done", "a finish_reason but no [DONE]", modes=STREAM, whole=True),
    _wire("no_finish", "half of the answer and a polite end: no finish_reason, no [DONE]", modes=STREAM),
    _wire("done_only", "half of the answer, then [DONE] without a finish_reason", modes=STREAM),
    _wire("stream_html", "a stream that was asked for, answered by an HTML page said to be a stream", modes=STREAM),
    _wire("html_midway", "HTML in the middle of a stream, and the end", modes=STREAM),
    _wire("error_midway", "an error in the middle of the stream, in the server's own shape", modes=STREAM),
)  # fmt: skip

FAULTS: dict[str, FaultKind] = {kind.name: kind for kind in _KINDS}


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong, and when.

    Parameters
    ----------
    name : str
        A row of `qwennb.simulator.FAULTS`: "429", "reset", "hang", "cut_json" …
    times : int, optional
        How many questions it strikes; without end without it.
    probability : float
        How likely it strikes each; drawn from the simulator's seed and the question's index.
    when : collection of int or callable, optional
        The indexes of questions that it may strike, or a function of the question.
    retry_after, retry_form : float or str, {"seconds", "ms", "date", "none"}
        What a refusal says of the time to wait; a str is sent as it stands.
    seconds, size : float, int, optional
        A kind's own figures: the time between bytes, how many bytes or events.
    message : str, optional
        What a refusal says.
    flat : bool
        The flat shape of an error, where a server has two.

    Attributes
    ----------
    kind : FaultKind
        The row of the table.
    problem : Problem or None
        What a refusing kind says.

    Raises
    ------
    ConfigError
        If there is no fault of that name.

    Examples
    --------
    >>> from qwennb.simulator import Fault, Simulator
    >>> with Simulator("vllm", script=["It rains."] * 2, faults=[Fault("reset", times=1)]) as sim:
    ...     qwen = Qwen(endpoint=f"vllm+{sim.base_url}")
    ...     qwen.ask("How is it?").text
    'It rains.'
    >>> Fault("resett")
    Traceback (most recent call last):
        ...
    qwennb.errors.ConfigError: There is no fault named 'resett'; did you mean `reset`? See qwennb.simulator.FAULTS.
    """

    name: str
    times: int | None = None
    probability: float = 1.0
    when: Collection[int] | Callable[[Asked], bool] | None = None
    retry_after: float | str | None = None
    retry_form: RetryForm = "seconds"
    seconds: float | None = None
    size: int | None = None
    message: str | None = None
    flat: bool = False

    def __post_init__(self) -> None:
        if self.name not in FAULTS:
            raise ConfigError(
                f"There is no fault named {self.name!r}{nearest(self.name, FAULTS) or '.'} See qwennb.simulator.FAULTS."
            )

    @property
    def kind(self) -> FaultKind:
        """The row of the table."""
        return FAULTS[self.name]

    @property
    def problem(self) -> Problem | None:
        """What a refusing kind says."""
        problem = self.kind.problem
        if problem is None:
            return None
        return Problem(
            problem.status,
            self.message or problem.message,
            problem.code,
            problem.kind,
            flat=self.flat,
            extra=problem.extra,
        )

    def strikes(self, asked: Asked) -> bool:
        """Whether it would, `times` aside."""
        mode: Mode = "stream" if asked.stream else "plain"
        kind = self.kind
        if mode not in kind.modes or (kind.dialects is not None and asked.dialect not in kind.dialects):
            return False
        if callable(self.when):
            if not self.when(asked):
                return False
        elif self.when is not None and asked.index not in self.when:
            return False
        return (
            self.probability >= 1
            or Random(f"{asked.seed}/{asked.index}/{self.name}").random() < self.probability
        )


@dataclass(slots=True)
class FaultPlan:
    """The faults that lie in wait, in order; the first that strikes is the one."""

    faults: list[Fault] = field(default_factory=list)
    struck: dict[int, int] = field(default_factory=dict)

    def add(self, fault: Fault) -> None:
        """One more, behind the others."""
        self.faults = [*self.faults, fault]

    def draw(self, asked: Asked, but: Collection[str] = ()) -> Fault | None:
        """The fault that strikes this question, counted; none of those named in *but*."""
        for place, fault in enumerate(self.faults):
            if fault.name in but:
                continue
            if (fault.times is None or self.struck.get(place, 0) < fault.times) and fault.strikes(asked):
                self.struck[place] = self.struck.get(place, 0) + 1
                return fault
        return None
