"""The words that each verb puts round a text, by version.

The newest is asked. Which words a small model understands best was measured (tests/benchmarks/verbs, docs/columns.md):
what is the same for every row stands in the system text, where a server's prefix cache has it, and the question
after the text. A row that is recorded under older words is recalled under them, so that new words cost nobody an answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from qwennb.client import Options
from qwennb.errors import BadInput, show_value

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
    if version not in versions:
        raise BadInput(
            f"prompt_version={show_value(version)} is none of this verb's: {', '.join(map(str, sorted(versions)))}."
        )
    return [versions[version]]


def classify_words(meanings: Mapping[str, str]) -> dict[int, Wording]:
    """Ask which label fits; *meanings* says of each label what it means, or nothing."""
    quoted = [f'"{label}"' for label in meanings]
    listed = ", ".join(quoted)
    first = f"Which of these describes the text best: {listed}?\n\nText:\n"
    named = f" {listed}."
    if any(meanings.values()):
        lines = "".join(
            f"\n- {label}{': ' if about else ''}{about}"
            for label, about in zip(quoted, meanings.values(), strict=True)
        )
        first = f"Which of these describes the text best?{lines}\n\nText:\n"
        named = f"{lines}\n"
    system = f"You classify texts. Categories:{named} Answer with the category that describes the text best, and nothing else."
    return {
        1: Wording(first),
        2: Wording("Text: ", "\n\nCategory:", system.replace("\n ", "\n"), SURE, is_calibrated=True),
    }


def filter_words() -> dict[int, Wording]:
    """Ask whether a statement is true."""
    return {1: Wording("Is this statement true? Answer yes or no.\n\n")}


def extract_words() -> dict[int, Wording]:
    """Ask for what a schema describes."""
    return {1: Wording("Extract what is asked for from the text. Take only what it says.\n\nText:\n")}


def summarize_words() -> dict[int, Wording]:
    """Ask for a summary."""
    return {
        1: Wording(
            "Summarise the text in one or two sentences, in its own language. Answer with the summary alone.\n\nText:\n"
        )
    }


def score_words(criterion: str, said: str) -> dict[int, Wording]:
    """Ask for a number; *said* is the range, where the *criterion* does not say it."""
    return {1: Wording(f"Score the text: {criterion}{said}.\n\nText:\n")}
