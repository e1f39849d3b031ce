"""The log: `logging.getLogger("qwennb")`. INFO has a line a run, DEBUG one for each thing that happens in it.

A run in which something failed has its line at WARNING, and so has an outage. What is warned of stays a Python warning
and is not said twice: `logging.captureWarnings(True)` brings warnings into a log. No line holds a text, an API key or a
path; of a request's key it has twelve signs.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

from qwennb.answer import money
from qwennb.errors import ConfigError, nearest, show_value
from qwennb.terminal import flatten
from qwennb.text import plural
from qwennb.tracing.events import (
    Answered,
    BatchFetched,
    BatchSent,
    Event,
    Failed,
    Joined,
    Paused,
    Recalled,
    Retried,
    RunEnded,
    RunStarted,
    Sent,
)

LOG = logging.getLogger("qwennb")
LOG.addHandler(logging.NullHandler())  # a library is quiet until somebody wants to hear it

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "off": logging.CRITICAL}


def open_log(level: str) -> None:
    """Write the log to stderr from *level* on, as QWENNB_LOG says it. Other libraries' loggers are left as they are."""
    name = level.strip().lower()
    if name not in LEVELS:
        raise ConfigError(
            f"QWENNB_LOG={show_value(level)} is no level{nearest(name, LEVELS) or '.'} Use {', '.join(LEVELS)}."
        )
    LOG.setLevel(LEVELS[name])
    is_set_up = any(not isinstance(handler, logging.NullHandler) for handler in LOG.handlers)
    if not is_set_up and not logging.getLogger().handlers:  # else the lines go where the user's own log goes
        handler = StderrHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
        LOG.addHandler(handler)


class StderrHandler(logging.StreamHandler[Any]):
    """Writes to whatever is `sys.stderr` at the moment: a notebook puts its own there."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write *record*."""
        self.stream = sys.stderr
        super().emit(record)


def write_log(event: Event, _: Any = None) -> None:
    """Write a line about *event*, if its level is on."""
    level = _level(event)
    if LOG.isEnabledFor(level):
        LOG.log(level, "run %d %s", event.run, flatten(_line(event)))


def _level(event: Event) -> int:
    match event:
        case RunEnded():
            return logging.WARNING if event.failed or event.error not in ("", "Stopped") else logging.INFO
        case Paused(reason="outage"):
            return logging.WARNING
        case Paused() | BatchSent() | BatchFetched():
            return logging.INFO
        case _:
            return logging.DEBUG


def _line(event: Event) -> str:
    match event:
        case RunStarted():
            what = f"{event.kind} {event.verb}".strip()
            return f"begins: {what}, {plural(event.rows, 'row')}, {event.unique:,} unique; {event.model}"
        case RunEnded():
            return _end_line(event)
        case Recalled(key=""):
            return f"recalled {event.count:,}"
        case Recalled():
            return f"recalled {event.key[:12]}"
        case Joined():
            return f"joined {event.key[:12]}, which is under way"
        case Sent():
            return f"sent {event.key[:12]}, attempt {event.attempt}, to {event.model} at {event.endpoint}"
        case Answered():
            ids = f" [{event.request_id or event.reply_id}]" if event.request_id or event.reply_id else ""
            first = "" if event.first_seconds is None else f" (first piece after {event.first_seconds:.3f} s)"
            return (
                f"answered {event.key[:12]}, attempt {event.attempt}: 200{ids}, {event.seconds:.3f} s{first}, "
                f"{event.input_tokens:,} tokens in, {event.output_tokens:,} out, {money(event.cost)}, {event.finish_reason}"
            )
        case Failed():
            said = "" if event.status is None else f" {event.status}"
            ids = f" [{event.request_id}]" if event.request_id else ""
            wait = "" if event.retry_after is None else f", retry-after {event.retry_after:g} s"
            billed = ", maybe billed" if event.maybe_billed else ""
            return (
                f"failed {event.key[:12]}, attempt {event.attempt}: {event.error}{said}{ids}{wait}, "
                f"{event.seconds:.3f} s{billed}"
            )
        case Retried():
            return f"asks {event.key[:12]} again after {event.error}: attempt {event.attempt} in {event.wait:.3f} s"
        case Paused():
            return f"leaves {event.endpoint} alone for {event.seconds:.1f} s ({event.reason})"
        case BatchSent():
            return f"handed in batch {event.batch} at {event.endpoint}: {plural(event.questions, 'question')} to {event.model}"
        case BatchFetched():
            return (
                f"fetched batch {event.batch} from {event.endpoint}, {event.state}: {event.lines:,} lines for "
                f"{plural(event.questions, 'question')}"
            )
        case _:
            return type(event).__name__


def _end_line(event: RunEnded) -> str:
    what = f"{event.kind} {event.verb}".strip()
    if event.kind not in ("ask", "stream"):
        failed = f", {event.failed:,} failed" if event.failed else ""
        unasked = event.unique - event.done
        missing = f", {unasked:,} not asked" if unasked > 0 else ""
        what += f", {plural(event.rows, 'row')}, {event.unique:,} unique: {event.recalled:,} recalled{failed}{missing}"
    elif event.recalled:
        what += ": recalled"
    refused = f", {event.refused:,} of them too fast" if event.refused else ""
    ended = f"; ended by {event.error}" if event.error else ""
    return (
        f"{what}; {plural(event.sent, 'request')} sent{refused}; {event.tokens[0]:,} tokens in, {event.tokens[1]:,} out, "
        f"{money(event.cost)}, {money(event.spent)} of it now; {event.model}; {event.seconds:.2f} s{ended}"
    )
