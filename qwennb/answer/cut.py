"""Texts that were cut, and whose limit cut them.

A text that ends at its request's own `max_tokens` is the whole answer to that request: the number is in its key. Cut by
anything else (the server's own limit, its window), a text is half an answer. Servers say "length" of both, so the count
of tokens decides, where they give one.
"""

from __future__ import annotations

from collections.abc import Iterable

from qwennb.answer.usage import Usage
from qwennb.request import Request

_NAMES = ("max_tokens", "max_completion_tokens")


def own_limit(request: Request) -> int | None:
    """Find the most tokens that *request* itself asks for, in `max_tokens` or in a field that it passes through."""
    extra = request.settings.extra_fields
    given = [request.settings.max_tokens, *(extra.get(name) for name in _NAMES)]
    return min((number for number in given if type(number) is int), default=None)


def ends_at_own_limit(request: Request, text: str, usage: Usage | None) -> bool:
    """Tell whether *text*, which a server says was cut, was cut by *request*'s own limit. *usage* is that of one attempt.

    Some servers count a thought against the limit and some do not: either count may be the one that reached it.
    """
    most = own_limit(request)
    if most is None or not text.strip():
        return False
    if usage is None or usage.estimated:
        return True
    return usage.output == most or usage.output - usage.reasoning >= most


def tell_of_cut(subject: str, requests: Iterable[Request]) -> str:
    """One sentence about texts that were cut: *subject* ("The answer to 3f2a was") to *requests*, and what to type."""
    limits = sorted({limit for request in requests if (limit := own_limit(request)) is not None})
    return f"{subject} cut at max_tokens={', '.join(map(str, limits))}. Give a larger max_tokens= for the whole text."


def tell_of_cuts(cut: int, asked: int, requests: Iterable[Request], *, of: str = "") -> str:
    """Tell of *cut* among *asked* answers, *of* a column for instance."""
    return tell_of_cut(f"{cut:,} of {asked:,} answers{of} {'was' if cut == 1 else 'were'}", requests)
