"""The two ways over the wire. One contract (`endpoints.call.Transport`), one suite of tests over both."""

from __future__ import annotations

from qwennb.endpoints.transports.direct import DirectTransport
from qwennb.endpoints.transports.sdk import SdkTransport, read_page
