"""The words that each verb puts round a text, by version.

The newest is asked. Which words a small model understands best was measured (tests/benchmarks/verbs, docs/columns.md):
what is the same for every row stands in the system text, where a server's prefix cache has it, and the question
after the text. A row that is recorded under older words is recalled under them, so that new words cost nobody an answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import zip_longest
from typing import Any

import orjson

from qwennb.client import Options
from qwennb.errors import BadInput, nearest, show_value
from qwennb.request import AFTER, BEFORE, check_characters, plain_label

PLAIN = Options(thinking=False)  # it is billed, and these questions rarely need it
SURE = Options(thinking=False, temperature=0)  # the likeliest answer; a draw would only add chance


@dataclass(frozen=True, slots=True)
class Wording:
    """What stands *before* and *after* a text, what the *system* text says, and what is asked with unless the call says otherwise."""

    before: str = ""
    after: str = ""
    system: str = ""
    options: Options = PLAIN
    is_calibrated: bool = False  # whether the lean to a label is taken away: see lean.py

    def reword(self, prompt: str, newer: Wording) -> str:
        """Put these words in place of the *newer* ones of a *prompt*."""
        return self.before + prompt[len(newer.before) : len(prompt) - len(newer.after) or None] + self.after


def choose_words(versions: Mapping[int, Wording], version: int | None) -> list[Wording]:
    """Give the newest of a verb's words first and those before it after; the one *version* that is named alone."""
    if version is None:
        return [versions[number] for number in sorted(versions, reverse=True)]
    if version not in [*versions]:  # a list: what is given may have no hash
        raise BadInput(
            f"prompt_version={show_value(version)} is none of this verb's: {', '.join(map(str, sorted(versions)))}."
        )
    return [versions[version]]


Example = tuple[str, tuple[str, ...]]
"""A text, and the labels that are right."""

MOST_EXAMPLES = 12  # of those that are given so many are shown: each costs its tokens in every row


def read_examples(given: Any, labels: Sequence[str], *, several: bool) -> list[Example]:
    """Read examples, and choose among many: labels by turns, texts in an order that no other table changes."""
    pairs = given.items() if isinstance(given, Mapping) else given
    made: list[Example] = []
    for pair in pairs if isinstance(pairs, Iterable) and not isinstance(pairs, str) else [pairs]:
        text, right = pair if isinstance(pair, tuple | list) and len(pair) == 2 else (None, None)
        if not isinstance(text, str) or not text.strip():
            raise BadInput(
                f'examples= has {show_value(pair)}, and an example is a text with its label: examples=[("Cold soup.", "complaint")].'
            )
        check_characters("examples", text)
        named = [
            plain_label(one) for one in (right if several and isinstance(right, list | tuple) else [right])
        ]
        for one in named:
            if one not in labels:
                raise BadInput(f"examples= has the label {show_value(one)}{nearest(str(one), labels) or '.'}")
        made.append((text, tuple(one for one in labels if one in named)))
    if len(made) <= MOST_EXAMPLES:
        return made
    by_label: dict[tuple[str, ...], list[Example]] = {}
    for example in sorted(made, key=lambda one: sha256(one[0].encode()).digest()):
        by_label.setdefault(example[1], []).append(example)
    turns = zip_longest(*(by_label[one] for one in sorted(by_label)))
    return [example for turn in turns for example in turn if example is not None][:MOST_EXAMPLES]


def classify_words(
    meanings: Mapping[str, str], *, several: bool = False, examples: Sequence[Example] = ()
) -> dict[int, Wording]:
    """Ask which label fits, or which *several* do; *meanings* says of each label what it means, or nothing."""
    quoted = [f'"{label}"' for label in meanings]
    listed = ", ".join(quoted)
    first = f"Which of these describes the text best: {listed}?\n\nText:\n"
    named = f" {listed}. "
    if any(meanings.values()):
        lines = "".join(
            f"\n- {label}{': ' if about else ''}{about}"
            for label, about in zip(quoted, meanings.values(), strict=True)
        )
        first = f"Which of these describes the text best?{lines}\n\nText:\n"
        named = f"{lines}\n"
    asks = "Answer with the category that describes the text best, and nothing else."
    after = AFTER
    if several:
        asks = 'A text may have any number of them, or none. Answer with JSON: {"labels": [every category that describes the text]}.'
        after = "\n\nCategories:"
    shown = "".join(f"\n\nText: {text}{after} {_spell(right, several)}" for text, right in examples)
    system = f"You classify texts. Categories:{named}{asks}{shown and chr(10) * 2 + 'Examples:'}{shown}"
    newest = {2: Wording(BEFORE, after, system, SURE, is_calibrated=not several)}
    # What 0.1 did not know was never asked in its words.
    return newest if several or examples else {1: Wording(first), **newest}


def _spell(labels: tuple[str, ...], several: bool) -> str:
    return orjson.dumps({"labels": labels}).decode() if several else labels[0]


def filter_words() -> dict[int, Wording]:
    """Ask whether a statement is true."""
    return {
        1: Wording("Is this statement true? Answer yes or no.\n\n"),
        2: Wording(
            "Statement: ",
            "\n\nTrue:",
            "You say whether a statement is true. Answer with yes or no, and nothing else.",
            SURE,
        ),
    }


def extract_words(fields: str) -> dict[int, Wording]:
    """Ask for the *fields* of a schema, a line for each; a schema without fields is asked for in the older words."""
    words = {1: Wording("Extract what is asked for from the text. Take only what it says.\n\nText:\n")}
    if fields:
        words[2] = Wording(system=f"Extract JSON:\n{fields}", options=SURE)
    return words


def summarize_words() -> dict[int, Wording]:
    """Ask for a summary."""
    return {
        1: Wording(
            "Summarise the text in one or two sentences, in its own language. Answer with the summary alone.\n\nText:\n"
        )
    }


def score_words(criterion: str, low: str, high: str, with_range: str) -> dict[int, Wording]:
    """Ask for a number from *low* to *high*; *with_range* is the *criterion* as older words have it."""
    about = criterion and f": {criterion}"
    asks = f"Give the text a score from {low} (lowest) to {high} (highest){about}. Write the score alone."
    return {
        1: Wording(f"Score the text: {with_range}.\n\nText:\n"),
        2: Wording(system=asks, options=SURE),
    }
