"""How likely each of the choices was, read from the log probabilities of an answer's tokens.

The first token of a label mostly tells it from the others. Where labels begin alike ("very good", "very bad"), the
answer's tokens are followed to where they part. What is read is a few numbers, and only they are kept with the answer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from qwennb.answer.chunk import Logprob

LEAST = -100.0
"""What a log probability counts for at least: servers spell "never" as -9999, or as the least number that there is."""

_WRAP = ' \t\n"'  # what may stand before a label: a space that the token brings, the quote of a JSON text


def choice_logprobs(
    tokens: Sequence[Logprob], choices: Sequence[str], chosen: str
) -> tuple[float, ...] | None:
    """Read the log probability of each of *choices* where the answer began to say *chosen*; None where that can't be told.

    A choice that is not even among the likeliest tokens gets the probability of the least of them, which is more than its own.
    """
    start = _find(tokens, chosen)
    if start is None or not tokens[start].top:
        return None
    names = [choice.casefold() for choice in choices]
    if len(set(names)) < len(names):  # a token is read without its case
        return None
    sums = [0.0] * len(names)
    floor, before, said, open_ = 0.0, 1.0, "", set(range(len(names)))
    for token in tokens[start:]:
        own = _piece(token.token, at_start=not said)
        onward, others = 0.0, set[int]()
        for text, share in _shares(token).items():
            piece = _piece(text, at_start=not said)
            begin = {n for n in open_ if piece and names[n].startswith(said + piece)}
            if piece == own and len(begin) > 1:  # said so far by several: the next token tells
                onward += share
                others |= begin
                continue
            # What goes on with none of them is the end of the one that was said: a mark of the end, a full stop.
            for n in begin or {n for n in open_ if said and names[n] == said}:
                sums[n] += before * share / (len(begin) or 1)
        floor = floor or before * min(_shares(token).values())
        before, said, open_ = before * onward, said + own, others
        if not open_:
            break
    for n in open_:  # one that others begin with, and no end is told
        if names[n] == said:
            sums[n] += before
    return tuple(round(min(0.0, max(LEAST, math.log(one or floor))), 4) for one in sums)


def _shares(token: Logprob) -> dict[str, float]:
    """How probable *token* was, and the likeliest others."""
    told = dict([*token.top, (token.token, token.logprob)])
    return {text: math.exp(min(0.0, max(LEAST, logprob))) for text, logprob in told.items()}


def _find(tokens: Sequence[Logprob], chosen: str) -> int | None:
    """Find the token at which the answer begins to say *chosen*; JSON may stand before it."""
    said = "".join(token.token for token in tokens).casefold()
    # A token with one letter of it, where the answer ends before the label does.
    place = said.rfind(chosen.casefold())
    if place < 0:
        place = 0 if said.strip(_WRAP) and chosen.casefold().startswith(said.strip(_WRAP)) else -1
    spot = 0
    for number, token in enumerate(tokens):
        spot += len(token.token)
        if place >= 0 and spot > place and token.token.strip(_WRAP):
            return number
    return None


def _piece(token: str, *, at_start: bool) -> str:
    """What of a label is in *token*, without what may stand round it."""
    plain = token.casefold().rstrip('"} \n')
    return plain.lstrip(_WRAP) if at_start else plain
