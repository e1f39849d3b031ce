"""What a picture's file says about itself: which way is up, and where it was taken.

Both are read from the file's own segments without decoding it. A file that can go as it is loses its metadata first:
a photograph carries the place where it was taken, and no model has a use for that.
"""

from __future__ import annotations

import re

_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # in coded data, FF stands only before 0 and restarts
_EXIF, _ICC = b"Exif\0\0", b"ICC_PROFILE\0"
_PNG_PERSONAL = (b"eXIf", b"tEXt", b"zTXt", b"iTXt", b"tIME")


def orientation(kind: str, data: bytes) -> int:
    """The Exif orientation from 1 (upright) to 8; 1 where nothing is said."""
    tiff = _tiff(kind, data)
    if tiff[:2] not in (b"II", b"MM"):
        return 1
    order = "<" if tiff[:2] == b"II" else ">"

    def number(at: int, length: int) -> int:
        return int.from_bytes(tiff[at : at + length], "little" if order == "<" else "big")

    first = number(4, 4)
    for at in range(first + 2, min(first + 2 + 12 * number(first, 2), len(tiff) - 9), 12):
        if number(at, 2) == 0x0112:
            said = number(at + 8, 2)
            return said if 1 <= said <= 8 else 1
    return 1


def without_metadata(kind: str, data: bytes) -> bytes | None:
    """The same picture without Exif, XMP, comments and texts, its pixels untouched.

    *data* itself where there were none; `None` where that can't be had without encoding the picture anew, and where
    the file breaks off: decoding it says whether anything is missing.
    """
    if kind == "jpeg":
        return _bare_jpeg(data)
    if kind == "png":
        return _bare_png(data)
    if kind == "webp":
        chunks = _riff_chunks(data)
        told = any(name in (b"EXIF", b"XMP ") for name, _, _ in chunks)
        return None if told or not chunks or chunks[-1][2] > len(data) else data
    if kind == "gif":
        return data if data.endswith(b";") else None
    if kind == "bmp":
        return data if int.from_bytes(data[2:6], "little") <= len(data) else None
    return None if kind == "tiff" else data


def _tiff(kind: str, data: bytes) -> bytes:
    """Find the block in which Exif keeps its tags; it has the form of a TIFF file."""
    if kind == "tiff":
        return data
    if kind == "jpeg":
        for marker, start, end in _jpeg_segments(data):
            if marker == 0xE1 and data.startswith(_EXIF, start + 4):
                return data[start + 10 : end]
    elif kind == "png":
        for name, start, end in _png_chunks(data):
            if name == b"eXIf":
                return data[start + 8 : end - 4]
    elif kind == "webp":
        for name, start, end in _riff_chunks(data):
            if name == b"EXIF":
                block = data[start + 8 : end]
                return block[6:] if block.startswith(_EXIF) else block
    return b""


def _jpeg_segments(data: bytes) -> list[tuple[int, int, int]]:
    """(marker, start, end) of each segment up to the first scan."""
    segments, at = [], 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
        if data[at + 1] == 0xFF:  # a fill byte
            at += 1
            continue
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        segments.append((data[at + 1], at, end))
        at = end
    return segments


def _bare_jpeg(data: bytes) -> bytes | None:
    segments = _jpeg_segments(data)
    scan = segments[-1][2] if segments else 2
    if (end := _end_of_picture(data, scan)) is None:
        return None
    # Kept of the application's own segments: JFIF (0), a colour profile (2), Adobe's colour transform (14).
    kept = [
        data[start:stop]
        for marker, start, stop in segments
        if not (0xE0 <= marker <= 0xEF or marker == 0xFE)
        or marker in (0xE0, 0xEE)
        or (marker == 0xE2 and data.startswith(_ICC, start + 4))
    ]
    bare = b"".join([data[:2], *kept, data[scan:end]])
    return data if len(bare) == len(data) else bare


def _end_of_picture(data: bytes, at: int) -> int | None:
    """Find where the first picture ends. Phones append a second one, with metadata of its own."""
    while (marker := _NEXT_MARKER.search(data, at)) is not None:
        at = marker.end()
        if marker[0] == b"\xff\xd9":
            return at
        at += int.from_bytes(data[at : at + 2], "big")
    return None


def _bare_png(data: bytes) -> bytes | None:
    chunks = _png_chunks(data)
    if not chunks or chunks[-1][0] != b"IEND":
        return None
    bare = b"".join(
        [data[:8], *(data[start:end] for name, start, end in chunks if name not in _PNG_PERSONAL)]
    )
    return data if len(bare) == len(data) else bare


def _png_chunks(data: bytes) -> list[tuple[bytes, int, int]]:
    """(name, start, end) of each whole chunk, up to the last."""
    chunks, at = [], 8
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        chunks.append((data[at + 4 : at + 8], at, end))
        if data[at + 4 : at + 8] == b"IEND":
            break
        at = end
    return chunks


def _riff_chunks(data: bytes) -> list[tuple[bytes, int, int]]:
    """(name, start, end) of each chunk of a RIFF file."""
    chunks, at = [], 12
    while at + 8 <= len(data):
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        chunks.append((data[at : at + 4], at, at + 8 + length))
        at += 8 + length + length % 2
    return chunks
