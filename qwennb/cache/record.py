"""What an answer is filed under, and the seal on it.

A record is a name and a value. The name is the request's key with the identity of the endpoint that answered; the
value is bytes that this room does not look into. On the way in, each value is sealed with a checksum over its name
and itself, so that neither a flipped bit nor a row moved under another name can pass for an answer. On the way
out the seal is checked on every read.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import NamedTuple, Self

KEY_LENGTH = 64
SEAL_LENGTH = 16
HEX = frozenset("0123456789abcdef")


class Name(NamedTuple):
    """What an answer is filed under: a request's key and the endpoint that answered it. There may be a million."""

    key: str
    """64 hex characters of the request's sha256."""
    endpoint: str
    """The endpoint's identity: "openrouter", "vllm:Qwen/Qwen3.5-9B", "local:<sha256>"."""

    @property
    def text(self) -> str:
        """The name as one string. All endpoints of one key stand side by side when sorted."""
        return f"{self.key}@{self.endpoint}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """The name that *text* spells, or None where it is none of ours."""
        key, at, endpoint = text[:KEY_LENGTH], text[KEY_LENGTH : KEY_LENGTH + 1], text[KEY_LENGTH + 1 :]
        if at != "@" or not endpoint or not HEX.issuperset(key):
            return None
        return cls(key, endpoint)


def seal(text: str, value: bytes) -> bytes:
    """*value* with the checksum of its name and itself in front."""
    return blake2b(b"%b\0%b" % (text.encode(), value), digest_size=SEAL_LENGTH).digest() + value


def unseal(text: str, sealed: object) -> bytes | None:
    """The value, or None where the seal does not fit (or there are no bytes at all)."""
    if type(sealed) is not bytes:
        return None
    value = sealed[SEAL_LENGTH:]
    fits = (
        blake2b(b"%b\0%b" % (text.encode(), value), digest_size=SEAL_LENGTH).digest() == sealed[:SEAL_LENGTH]
    )
    return value if fits else None
