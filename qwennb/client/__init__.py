"""The front door: `Qwen`, `Chat`, plans, and the one bridge from sync to async."""

from __future__ import annotations

from qwennb.client.bridge import Bridge
from qwennb.client.chat import Chat
from qwennb.client.household import Household, household, packed_source
from qwennb.client.options import Options
from qwennb.client.plan import Plan
from qwennb.client.qwen import Qwen
from qwennb.client.steps import Steps, Unattended, answer_requests
from qwennb.client.stream import Piece, Stream
from qwennb.client.warning import QwenWarning
from qwennb.client.window import input_tokens

__all__ = [
    "Bridge",
    "Chat",
    "Household",
    "Options",
    "Piece",
    "Plan",
    "Qwen",
    "QwenWarning",
    "Steps",
    "Stream",
    "Unattended",
    "answer_requests",
    "household",
    "input_tokens",
    "packed_source",
]
