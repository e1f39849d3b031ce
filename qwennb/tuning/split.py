"""Which examples are learnt from and which are kept for validation: twins never stand on both sides.

Twins are examples whose last question is the same, or the text that it is about, but for capitals, spaces, signs and ways
to write a letter, and the steps of one conversation. On which side a group of twins stands follows from its words
and the seed alone, so an example stays where it is when others are added.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence

from qwennb.tuning.example import Example, hash_beginnings


def split_examples(
    examples: Sequence[Example], share: float, seed: int
) -> tuple[list[Example], list[Example]]:
    """Part *examples* into those to learn from and, about a *share* of them, those to validate with.

    Neither side is empty where there are two groups that may be parted and a share is wanted.
    """
    if not share:
        return list(examples), []
    groups = _group_twins(examples)
    places = {group: _place(seed, group) for group in groups}
    in_order = sorted(dict.fromkeys(groups), key=lambda group: (places[group], group))
    valid = {group for group in in_order if places[group] < share}
    if len(in_order) > 1 and not valid:
        valid = {in_order[0]}
    elif len(in_order) > 1 and len(valid) == len(in_order):
        valid.discard(in_order[-1])
    elif len(in_order) == 1:
        valid = set()
    sides: tuple[list[Example], list[Example]] = [], []
    for example, group in zip(examples, groups, strict=True):
        sides[group in valid].append(example)
    return sides


def normalise(text: str) -> str:
    """Reduce *text* to its letters and digits, in small letters and one spelling; where it has none, to its signs."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return "".join(filter(str.isalnum, plain)) or "".join(plain.split())


def _place(seed: int, group: str) -> float:
    """Find the place of *group* between 0 and 1."""
    digest = hashlib.sha256(f"{seed}\n{group}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64


def _group_twins(examples: Sequence[Example]) -> list[str]:
    """Name the group of each example: the same for twins, and for twins of twins."""
    questions = [_questions(example) for example in examples]
    beginnings = [hash_beginnings(asked) or [""] for asked in questions]
    whole = {hashes[-1] for hashes in beginnings}
    above: dict[tuple[str, str], tuple[str, str]] = {}

    def top(node: tuple[str, str]) -> tuple[str, str]:
        while (higher := above.setdefault(node, node)) != node:
            above[node] = above[higher]  # halves the way, so that long chains stay short
            node = higher
        return node

    for example, asked, hashes in zip(examples, questions, beginnings, strict=True):
        own = ("conversation", hashes[-1])
        links = [
            ("conversation", one) for one in hashes[:-1] if one in whole
        ]  # what was asked before this turn
        links += [("question", asked[-1])] if asked else []
        links += [("about", normalise(example.about))] if example.about else []
        for link in links:
            above[top(link)] = top(own)
    names: dict[tuple[str, str], str] = {}
    for hashes in beginnings:
        # The least of its members' hashes names a group: in which order the examples come makes no difference.
        highest = top(("conversation", hashes[-1]))
        names[highest] = min(hashes[-1], names.get(highest, hashes[-1]))
    return [names[top(("conversation", hashes[-1]))] for hashes in beginnings]


def _questions(example: Example) -> list[str]:
    """Tell what was asked, turn by turn, normalised, with the hashes of what was asked about."""
    asked = [message for message in example.prompt if message.role == "user"]
    return [
        "\n".join([normalise(message.text), *(m.url or m.digest for m in message.media)]) for message in asked
    ]
