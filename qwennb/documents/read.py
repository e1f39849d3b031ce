"""Bytes read as a document: told by what they are, remembered by their digest."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from importlib import import_module

from qwennb.documents.document import DocumentText, PageText
from qwennb.documents.kinds import kind_of_document
from qwennb.errors import MediaError
from qwennb.remembered import Remembered

MOST_CHARACTERS = 20_000_000  # five times what the largest window holds
_Pages = tuple[int, ...] | None
_Reader = Callable[[bytes, str, _Pages], tuple[PageText, ...]]
# Where the reader of each kind is, as `read_pdf` and so on. They are loaded when they are needed: who gives no document does not
# wait for zip archives and processes.
_HOMES = {
    "pdf": "pdf", "text": "plain", "html": "html", "docx": "docx", "pptx": "pptx",
    "csv": "frames", "parquet": "frames", "xlsx": "frames",
}  # fmt: skip
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # Office before 2007; and, to this day, what Office locks with a password
_remembered = Remembered[tuple[PageText, ...]](
    64 << 20, lambda pages: sum(200 + 2 * len(page.text) for page in pages)
)


def read_document(content: bytes, name: str, *, pages: tuple[int, ...] | None = None) -> DocumentText:
    """Read what *content* says, all of it or the *pages* that are counted from 1; *name* is what an error calls it.

    A `MediaError` says in one sentence why it can't be read. What was read is remembered as long as there is room.
    """
    if not content:
        raise MediaError(f"{name} is empty; give a file with something in it")
    kind = kind_of_document(content, name)
    if kind is None:
        raise MediaError(_refuse(content, name))
    key = (hashlib.sha256(content).digest(), kind, pages)
    return DocumentText(kind, name, _remembered.get(key, lambda: _read(content, name, kind, pages)))


def _read(content: bytes, name: str, kind: str, pages: _Pages) -> tuple[PageText, ...]:
    reader: _Reader = getattr(import_module(f"qwennb.documents.{_HOMES[kind]}"), f"read_{kind}")
    made = reader(content, name, pages)
    if sum(len(page.text) for page in made) > MOST_CHARACTERS:
        some = "choose some with pages=" if made[0].number else "give a part of it"
        raise MediaError(f"{name} says more than {MOST_CHARACTERS:,} characters; {some}")
    return made


def _refuse(content: bytes, name: str) -> str:
    if content.startswith(_OLE):
        return (
            f"{name} is an office file of before 2007, or one locked with a password; save it as .docx, .xlsx or .pptx, "
            "without a password"
        )
    return (
        f"{name} is no document that can be read; give a PDF, a text, a table, a web page or an office file"
    )
