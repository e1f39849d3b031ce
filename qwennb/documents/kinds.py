"""What kind of document bytes are: by the bytes; a name's ending is heard only where the bytes are text."""

from __future__ import annotations

import codecs
import re

_ENDINGS = {"csv": "csv", "tsv": "csv", "html": "html", "htm": "html", "xhtml": "html"}
_OFFICE = {b"word/": "docx", b"xl/": "xlsx", b"ppt/": "pptx"}
_HTML = re.compile(rb"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html)[\s>]", re.IGNORECASE | re.DOTALL)  # fmt: skip
_ENTRY = b"PK\x03\x04"  # stands before each file in a zip archive, 26 bytes before the length of its name
_BOMS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
# Of the control characters a text has tab, line ends, form feed, and escape in logs with colours; backspace in old manuals.
_BINARY = re.compile(rb"[\x00-\x07\x0b\x0e-\x1a\x1c-\x1f\x7f]")
_HEAD = 8192


def kind_of_document(head: bytes, name: str) -> str | None:
    """Tell "pdf", "docx", "text" … by the first bytes, of which a few thousand are enough; None for what nobody reads here."""
    ending = name.rpartition(".")[2].lower()
    # Before a PDF's first words other bytes may stand, which mail and servers leave there; but code may speak of them.
    if b"%PDF-" in head[:1024] and (
        head.startswith(b"%PDF-") or ending == "pdf" or not _is_text(head[:_HEAD])
    ):
        return "pdf"
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith(_ENTRY):
        return _office_kind(head, ending)
    if not _is_text(head[:_HEAD]):
        return None
    if _HTML.match(head[:_HEAD].removeprefix(codecs.BOM_UTF8)):
        return "html"
    return _ENDINGS.get(ending, "text")


def _office_kind(head: bytes, ending: str) -> str | None:
    """Tell by the names of the files inside; where none of those at hand tells, the ending may, and reading finds out."""
    at = 0
    while (at := head.find(_ENTRY, at)) >= 0:
        inside = head[at + 30 : at + 30 + int.from_bytes(head[at + 26 : at + 28], "little")]
        for folder, kind in _OFFICE.items():
            if inside.startswith(folder):
                return kind
        at += 4
    return ending if ending in _OFFICE.values() else None


def _is_text(head: bytes) -> bool:
    if head.startswith(_BOMS[1:]):
        return True
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)  # the last character may be cut
    except UnicodeDecodeError:
        # An older encoding is told from a binary by its control characters, and refused by name when it is read.
        return not _BINARY.search(head)
    return not _BINARY.search(head.removeprefix(codecs.BOM_UTF8))
