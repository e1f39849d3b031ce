"""Text as it is: prose, Markdown, code, logs."""

from __future__ import annotations

import codecs

from qwennb.documents.document import PageText
from qwennb.errors import MediaError

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_text(content: bytes, name: str, pages: tuple[int, ...] | None) -> tuple[PageText, ...]:
    """Read a text, which is one page without a number."""
    check_no_pages(name, pages)
    return (PageText(None, "", decode_text(content, name)),)


def decode_text(content: bytes, name: str) -> str:
    """Decode UTF-8, or UTF-16 that says so by its first bytes; another encoding is never guessed."""
    encoding = "utf-16" if content.startswith(_UTF16) else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise MediaError(
            f"{name} is not UTF-8 (byte 0x{content[error.start]:02X} in line {line:,}); save it as UTF-8"
        ) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def check_no_pages(name: str, pages: tuple[int, ...] | None) -> None:
    """Refuse *pages* of what has none."""
    if pages is not None:
        raise MediaError(f"{name} has no pages to choose from; leave pages= out")
