"""Secrets in what is about to be shared, by value and by pattern.

By value: every key that this process uses, and whatever stands in an environment variable that is named like a key.
By pattern: what the keys of well-known services look like. What is found is told by its kind, never shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote

import orjson

from qwennb.config import Secret
from qwennb.machine import names_secret

SHORTEST = 8  # characters; a shorter value stands in ordinary text too

# What must stand in a line for the pattern to be tried, the pattern, and what is said. A marker is found ten times as
# fast as a pattern.
_PATTERNS: tuple[tuple[bytes, re.Pattern[bytes], str], ...] = tuple(
    (marker, re.compile(pattern), kind)
    for marker, pattern, kind in (
        (b"sk-", rb"(?<![A-Za-z0-9_-])sk-(?=[A-Za-z0-9_-]*[0-9])[A-Za-z0-9_-]{20,}", "an API key (sk-…)"),
        (b"AKIA", rb"(?<![A-Z0-9])AKIA[A-Z0-9]{16}(?![A-Z0-9])", "an AWS access key (AKIA…)"),
        (b"ASIA", rb"(?<![A-Z0-9])ASIA[A-Z0-9]{16}(?![A-Z0-9])", "an AWS access key (ASIA…)"),
        (
            b"LTAI",
            rb"(?<![A-Za-z0-9])LTAI[A-Za-z0-9]{12,26}(?![A-Za-z0-9])",
            "an Alibaba Cloud access key (LTAI…)",
        ),
        (b"gh", rb"(?<![A-Za-z0-9])gh[pousr]_[A-Za-z0-9]{36,}", "a GitHub token (ghp_…)"),
        (b"github_pat_", rb"github_pat_[A-Za-z0-9_]{22,}", "a GitHub token (github_pat_…)"),
        (b"glpat-", rb"(?<![A-Za-z0-9])glpat-[A-Za-z0-9_-]{20,}", "a GitLab token (glpat-…)"),
        (b"hf_", rb"(?<![A-Za-z0-9_])hf_[A-Za-z0-9]{30,}", "a Hugging Face token (hf_…)"),
        (b"npm_", rb"(?<![A-Za-z0-9_])npm_[A-Za-z0-9]{36}", "an npm token (npm_…)"),
        (b"pypi-", rb"(?<![A-Za-z0-9])pypi-AgE[A-Za-z0-9_-]{50,}", "a PyPI token (pypi-…)"),
        (b"xox", rb"(?<![A-Za-z0-9])xox[abprs]-[A-Za-z0-9-]{10,}", "a Slack token (xox…)"),
        (b"AIza", rb"(?<![A-Za-z0-9])AIza[A-Za-z0-9_-]{35}", "a Google API key (AIza…)"),
        (b"_live_", rb"(?<![A-Za-z0-9])[sr]k_live_[A-Za-z0-9]{20,}", "a Stripe key (sk_live_…)"),
        (b"PRIVATE KEY-----", rb"-----BEGIN [A-Z ]*PRIVATE KEY-----", "a private key"),
        (
            b"eyJ",
            rb"eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}",
            "a JSON web token (eyJ…)",
        ),
    )
)


class SecretScanner:
    """Looks for secrets: *values* by name, and the patterns."""

    def __init__(self, values: Mapping[str, str] | None = None) -> None:
        self._values = [
            (spelling, f"the value of {name}")
            for name, value in (values or {}).items()
            for spelling in _spellings(value)
        ]

    @classmethod
    def from_environ(cls, environ: Mapping[str, str], secrets: Iterable[Secret] = ()) -> SecretScanner:
        """Make one that knows the keys in *environ*, and those in use."""
        values = {name: value for name, value in environ.items() if _is_key(name, value)}
        values |= {f"a key in use ({number})": secret.reveal() for number, secret in enumerate(secrets, 1)}
        return cls({name: value for name, value in values.items() if len(value) >= SHORTEST})

    def find(self, text: bytes, *, by_value_only: bool = False) -> str | None:
        """Tell the kind of the first secret in *text*; None where there is none."""
        for spelling, kind in self._values:
            if spelling in text:
                return kind
        if by_value_only:
            return None
        for marker, pattern, kind in _PATTERNS:
            if marker in text and pattern.search(text):
                return kind
        return None


def _is_key(name: str, value: str) -> bool:
    # A switch, a path or a sentence under such a name is no key.
    return (
        names_secret(name)
        and len(value) >= SHORTEST
        and not value.startswith(("/", "~"))
        and not re.search(r"\s", value)
    )


def _spellings(value: str) -> list[bytes]:
    """Spell *value* as it may stand in JSON: as it is, as JSON writes it, as in a URL."""
    return list(dict.fromkeys([value.encode(), orjson.dumps(value)[1:-1], quote(value, safe="").encode()]))
