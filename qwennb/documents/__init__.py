"""What a document says, bytes and a name in, text by pages out; and what is said of a frame and its cells.

Nothing here knows a request, an endpoint or a key, opens a file or fetches an address. What a document is, is told by its
bytes; what can't be read is refused in one sentence, within seconds and within a bounded memory, whatever it holds.
"""

from __future__ import annotations

from qwennb.documents.cell import cell_text
from qwennb.documents.document import DocumentText, PageText
from qwennb.documents.frame import frame_text, is_frame
from qwennb.documents.kinds import kind_of_document
from qwennb.documents.quote import Place, find_place
from qwennb.documents.read import read_document
