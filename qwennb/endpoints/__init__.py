"""Whom we ask: places, their dialects, and the two transports over which they are asked.

`Finder` turns what the user said (or nothing) into a `Place`; a place writes a request in its dialect and knows its
abilities, prices and identity; a `Transport` carries the call.
"""

from __future__ import annotations

from qwennb.endpoints.call import Call, Payload, Transport
from qwennb.endpoints.dialects import Dialect, Wire
from qwennb.endpoints.embedded import embedded_place, simulated_url
from qwennb.endpoints.finding import HOSTED, NAMES, PORTS, SELF_HOSTED, Finder
from qwennb.endpoints.place import Place, most_tokens
from qwennb.endpoints.transports import DirectTransport, SdkTransport

__all__ = [
    "HOSTED",
    "NAMES",
    "PORTS",
    "SELF_HOSTED",
    "Call",
    "Dialect",
    "DirectTransport",
    "Finder",
    "Payload",
    "Place",
    "SdkTransport",
    "Transport",
    "Wire",
    "embedded_place",
    "most_tokens",
    "simulated_url",
]
