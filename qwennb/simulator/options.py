"""How a simulated server was started: the switches that change what it accepts and how it answers."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["BatchLimits", "Options"]


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """What a batch file may hold."""

    lines: int = 50_000
    file_bytes: int = 500 * 1024 * 1024
    line_bytes: int = 6 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Options:
    """How a simulated server was started: switches that change what it takes and how it answers.

    Each stands in the class with its own sentence, which says for whom it matters; everybody else ignores it.

    Attributes
    ----------
    thinking, reasoning_parser, refuse_plain_thinking, reasoning_stray
        Whether it thinks, and where the thought stands.
    tool_parser, trust_request, vision, loading, null_finish
        What it was started with.
    comments, comment_delay, credits
        What a stream begins with, and the dollars left.
    batch_polls, batch_limits, batch_answers, batch_reversed
        How its batches go.

    Examples
    --------
    >>> from qwennb.simulator import Options, Simulator
    >>> with Simulator("openrouter", options=Options(credits=0.0)) as sim:
    ...     Qwen(endpoint=f"openrouter+{sim.base_url}", api_key="sk-any").ask("Hello")
    Traceback (most recent call last):
        ...
    qwennb.errors.CreditExhausted: ...
    """

    thinking: bool | None = None
    """What a model does when the request leaves it open (None: as the model does)."""
    reasoning_parser: bool = True
    """vLLM, SGLang, LM Studio, llama.cpp: False leaves the thought inline in content, as `…</think>` without its opening tag."""
    tool_parser: bool = True
    """vLLM refuses `auto` without it; llama.cpp and SGLang then leave the call as bare JSON in content."""
    trust_request: bool = False
    """vLLM: accept mm_processor_kwargs, media_io_kwargs and a request's own chat_template."""
    refuse_plain_thinking: bool = False
    """DashScope: open-weight models refuse thinking without a stream."""
    comments: int = 1
    """OpenRouter, vLLM: how many comments go before the first event of a stream."""
    comment_delay: float = 0.0
    """Seconds before each of these comments."""
    credits: float | None = None
    """OpenRouter: dollars left; at or below zero every question is answered 402."""
    vision: bool = True
    """llama.cpp: False is a server that was started without its mmproj and can't see."""
    loading: int = 0
    """llama.cpp: how many requests are told that the model is still being loaded."""
    null_finish: bool = False
    """Ollama, SGLang: the last chunk of a whole stream has finish_reason null."""
    reasoning_stray: bool = False
    """vLLM: with thinking off, the answer comes in the reasoning field and content stays empty."""
    batch_polls: int = 2
    """How many times a batch is polled before it is done."""
    batch_limits: BatchLimits = field(default_factory=BatchLimits)
    batch_answers: int | None = None
    """How many lines of a batch are answered before its time is over, or it is cancelled; None: all, or none."""
    batch_reversed: bool = False
    """The lines of answers come in another order than the questions."""
