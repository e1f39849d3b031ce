"""Whom we ask: endpoints, their dialects, and the two transports over which they are asked.

`Finder` turns what the user said (or nothing) into an `Endpoint`, which writes a request in its dialect and knows its
abilities, prices and identity; a `Transport` carries the call.
"""

from __future__ import annotations

from qwennb.endpoints.batches import (
    Batch,
    Batches,
    BatchTerms,
    batch_line,
    batch_terms,
    line_reply,
    was_asked,
)
from qwennb.endpoints.call import Call, Payload, Transport
from qwennb.endpoints.dialects import Dialect, Wire
from qwennb.endpoints.embedded import find_embedded, simulator_url
from qwennb.endpoints.endpoint import Endpoint, most_tokens
from qwennb.endpoints.error_reply import IN_PIECES
from qwennb.endpoints.exports import FORMS, write_export
from qwennb.endpoints.finding import (
    HOSTED,
    NAMES,
    PLAIN,
    PORTS,
    PROBE_SECONDS,
    Finder,
    check_endpoint,
    recorded_endpoint,
    recorded_model,
    split_endpoint,
)
from qwennb.endpoints.kinds import SELF_HOSTED
from qwennb.endpoints.media import count_letters, is_read, list_not_shown, measure
from qwennb.endpoints.transports import DirectTransport, SdkTransport
