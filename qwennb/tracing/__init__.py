"""What happens while questions are asked, for who listens: `on_event=`, the log, OpenTelemetry.

Loaded with the first who does; where nobody listens nothing of it is.
"""

from __future__ import annotations

from qwennb.tracing.events import (
    Answered,
    BatchFetched,
    BatchSent,
    Event,
    Failed,
    Joined,
    Paused,
    PauseReason,
    Recalled,
    Retried,
    RunEnded,
    RunKind,
    RunStarted,
    Sent,
)
from qwennb.tracing.logs import open_log
from qwennb.tracing.subscriber import Subscriber
from qwennb.tracing.trace import Totals, Trace, open_trace
