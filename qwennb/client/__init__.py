"""The front door: `Qwen`, `Chat`, plans; and `Session`, through which the rooms above ask."""

from __future__ import annotations

from qwennb.client.bridge import Bridge
from qwennb.client.chat import Chat
from qwennb.client.long_documents import fit_window, plan_pieces, split_request
from qwennb.client.options import MEANINGS, Options
from qwennb.client.plan import Plan, make_plan
from qwennb.client.qwen import Qwen
from qwennb.client.runtime import Runtime, load_pack, runtime, source_from_packs
from qwennb.client.session import OTEL, UNHEARD, Session
from qwennb.client.stream import Piece, Stream
from qwennb.client.tools import Unattended, turns_of
from qwennb.client.validation import input_tokens
from qwennb.errors import QwenWarning
