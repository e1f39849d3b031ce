"""Media made ready for one endpoint: the right format, upright, within its budget of pixels and bytes.

`prepare` turns a picture, a video or a document into the content parts that `MediaLimits` allow. What is fine as it is
goes through undecoded. Nothing here opens a file or a socket: the value holds its bytes, and a URL stays a URL.
"""

from __future__ import annotations

from qwennb.endpoints.media.document import (
    count_letters,
    is_read,
    join_texts,
    label_pdfs,
    list_not_shown,
    measure,
    order_parts,
)
from qwennb.endpoints.media.limits import MediaLimits
from qwennb.endpoints.media.parts import prepare
from qwennb.endpoints.media.picture import scale_size
