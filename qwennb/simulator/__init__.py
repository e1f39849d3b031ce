"""An endpoint that behaves like each real one: an independent witness of the wire format.

It imports nothing of ours but the errors. Were it to share code with the client, both could be wrong together.
"""

from .dialects import DIALECTS
from .faults import FAULTS, Fault, FaultKind
from .fit import find_schema
from .models import MODELS, SimModel
from .options import BatchLimits, Options
from .parsed_request import Asked, text_of
from .quota import Quota
from .refusals import LEFT_OUT, REFUSALS, Refusal
from .replies import Reply, ToolCall
from .request_log import Entry, RequestLog, content_key
from .simulator import Simulator, is_simulated, serve_forever

__all__ = [
    "DIALECTS",
    "FAULTS",
    "LEFT_OUT",
    "MODELS",
    "REFUSALS",
    "Asked",
    "BatchLimits",
    "Entry",
    "Fault",
    "FaultKind",
    "Options",
    "Quota",
    "Refusal",
    "Reply",
    "RequestLog",
    "SimModel",
    "Simulator",
    "ToolCall",
    "content_key",
    "find_schema",
    "is_simulated",
    "serve_forever",
    "text_of",
]
