"""The front door: `Qwen`, `Chat`, plans, and the one bridge from sync to async."""

from __future__ import annotations

from qwennb.client.chat import Chat
from qwennb.client.household import Household, household, packed_source
from qwennb.client.options import Options
from qwennb.client.plan import Plan
from qwennb.client.qwen import Qwen, QwenWarning
from qwennb.client.steps import Steps, consented
from qwennb.client.stream import Piece, Stream
from qwennb.client.window import input_tokens

__all__ = [
    "Chat",
    "Household",
    "Options",
    "Piece",
    "Plan",
    "Qwen",
    "QwenWarning",
    "Steps",
    "Stream",
    "consented",
    "household",
    "input_tokens",
    "packed_source",
]
