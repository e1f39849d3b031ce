"""How large a picture is, from its first bytes, and how many tokens Qwen 3.5 sees in it.

Only headers are read: nothing is decoded, so a picture can't be a bomb here.
"""

from __future__ import annotations

import base64
import binascii
import math
from dataclasses import dataclass

__all__ = ["Picture", "image_tokens", "look"]

MIN_PIXELS, MAX_PIXELS, HARD_MAX_PIXELS = 65_536, 2_621_440, 16_777_216
UNSEEN = 512  # a picture behind a URL is taken to be 512 × 512: nothing is ever fetched


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture as it was sent. `encoded` is the length of its base64 text, 0 for a URL."""

    width: int
    height: int
    format: str
    encoded: int = 0

    @property
    def by_url(self) -> bool:
        """True when only an address was sent."""
        return self.encoded == 0


def look(url: str) -> Picture | None:
    """The picture behind a data URI (or an address, taken on trust); None when it can't be read."""
    if not url.startswith("data:"):
        return Picture(UNSEEN, UNSEEN, "url") if "://" in url else None
    _, comma, text = url.partition(",")
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    size = _size(data) if comma else None
    return None if size is None else Picture(size[1], size[2], size[0], len(text))


def _size(data: bytes) -> tuple[str, int, int] | None:
    """(format, width, height), or None."""
    if data[:8] == b"\x89PNG\r\n\x1a\n" and data[12:16] == b"IHDR":
        return "png", _big(data[16:20]), _big(data[20:24])
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return "gif", _little(data[6:8]), _little(data[8:10])
    if data[:2] == b"BM" and len(data) > 26:
        return "bmp", _little(data[18:22]), abs(int.from_bytes(data[22:26], "little", signed=True))
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _webp(data)
    if data[:4] in (b"II*\x00", b"MM\x00*"):
        return "tiff", UNSEEN, UNSEEN
    return _jpeg(data) if data[:2] == b"\xff\xd8" else None


def _big(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _little(data: bytes) -> int:
    return int.from_bytes(data, "little")


def _webp(data: bytes) -> tuple[str, int, int] | None:
    kind = data[12:16]
    if kind == b"VP8X":
        width, height = data[24:27], data[27:30]
        return "webp", _little(width) + 1, _little(height) + 1
    if kind == b"VP8L":
        bits = _little(data[21:25])
        return "webp", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = data[26:28], data[28:30]
        return "webp", _little(width) & 0x3FFF, _little(height) & 0x3FFF
    return None


def _jpeg(data: bytes) -> tuple[str, int, int] | None:
    at = 2
    while at + 9 < len(data):
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return (
                "jpeg",
                _big(data[at + 7 : at + 9]),
                _big(data[at + 5 : at + 7]),
            )
        at += 2 if marker == 0xFF or 0xD0 <= marker <= 0xD9 else 2 + _big(data[at + 2 : at + 4])
    return None


def image_tokens(width: int, height: int, least: int = MIN_PIXELS, most: int = MAX_PIXELS) -> int:
    """Sides to multiples of 32, the area into [least, most], one token for each 32 × 32, and two marks."""
    high, wide = max(32, round(height / 32) * 32), max(32, round(width / 32) * 32)
    if high * wide > most:
        shrink = math.sqrt(height * width / most)
        high, wide = max(32, int(height / shrink / 32) * 32), max(32, int(width / shrink / 32) * 32)
    elif high * wide < least:
        grow = math.sqrt(least / (height * width))
        high, wide = math.ceil(height * grow / 32) * 32, math.ceil(width * grow / 32) * 32
    return high * wide // 1024 + 2
