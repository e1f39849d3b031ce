"""The front door: `Qwen`, `Chat`, plans, and the one bridge from sync to async."""

from __future__ import annotations

from qwennb.client.bridge import Bridge
from qwennb.client.chat import Chat
from qwennb.client.options import Options
from qwennb.client.plan import Plan
from qwennb.client.qwen import Qwen
from qwennb.client.runtime import Runtime, load_pack, runtime, source_from_packs
from qwennb.client.stream import Piece, Stream
from qwennb.client.tools import Steps, Unattended, answer_requests
from qwennb.client.warning import QwenWarning
from qwennb.client.window import input_tokens

__all__ = [
    "Bridge",
    "Chat",
    "Options",
    "Piece",
    "Plan",
    "Qwen",
    "QwenWarning",
    "Runtime",
    "Steps",
    "Stream",
    "Unattended",
    "answer_requests",
    "input_tokens",
    "load_pack",
    "runtime",
    "source_from_packs",
]
