"""Ways to have a text classified: a system prompt and a question for each text, and what stands for each label.

`ours…` are candidates for the verb. The others are what a peer's classifying call comes to, in words of our own: the
same parts in the same order, so that the table says what each shape is worth.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from string import ascii_uppercase

CUT = 4000  # letters of a text: the longest food review has 8,000, and a small model reads slowly


@dataclass(frozen=True)
class Way:
    """How to ask: *words* is what the model writes for each label, *question* what it is asked about a text."""

    words: Callable[[list[str]], list[str]]
    question: Callable[[list[str], str], str]
    system: Callable[[list[str]], str | None] = lambda labels: None


def _plain(labels: list[str]) -> list[str]:
    return labels


def _letters(labels: list[str]) -> list[str]:
    return list(ascii_uppercase[: len(labels)])


def _quoted(labels: list[str]) -> str:
    return ", ".join(f'"{label}"' for label in labels)


def _either(labels: list[str]) -> str:
    return ", ".join(labels[:-1]) + f" or {labels[-1]}"


def _menu(labels: list[str]) -> str:
    return "\n".join(f"{letter}. {label}" for letter, label in zip(_letters(labels), labels, strict=True))


def _bullets(labels: list[str]) -> str:
    return "\n".join(f"- {label}" for label in labels)


WAYS: dict[str, Way] = {
    "0.1": Way(
        _plain,
        lambda labels, text: f"Which of these describes the text best: {_quoted(labels)}?\n\nText:\n{text}",
    ),
    "tried: text, question": Way(
        _plain,
        lambda labels, text: f"Text: {text}\n\nIs this {_either(labels)}? Answer with one of these alone.",
    ),
    "tried: sort into, plain list": Way(
        _plain,
        lambda labels, text: f"Text: {text}\n\nCategory:",
        lambda labels: (
            f"Sort each text into exactly one of these categories: {', '.join(labels)}. Answer with the category alone."
        ),
    ),
    "tried: sort into, lines": Way(
        _plain,
        lambda labels, text: f"Text: {text}\n\nCategory:",
        lambda labels: (
            f"Sort each text into exactly one of these categories:\n{_bullets(labels)}\nAnswer with the category alone."
        ),
    ),
    "tried: letters": Way(
        _letters,
        lambda labels, text: f"Text: {text}\n\nWhich label fits best? Answer with its letter.",
        lambda labels: (
            f"You label texts. The labels are:\n{_menu(labels)}\nAnswer with the letter of the label alone."
        ),
    ),
    "as mall": Way(
        _plain,
        lambda labels, text: (
            f"You are a classifier that helps. Find out which of these the text is about: {', '.join(labels)}. "
            f"Lower case only, and explain nothing. Your answer is for this text:\n{text}"
        ),
    ),
    "as fenic": Way(
        _plain,
        lambda labels, text: text,
        lambda labels: (
            f"You are an expert at classifying texts. Give the document that follows one of these labels:\n{_bullets(labels)}\n"
            "Write *only* the label you predict."
        ),
    ),
    "as LOTUS": Way(
        _plain,
        lambda labels, text: f"Context:\n[Text]: «{text}»\n\nInstruction: Is the text {_either(labels)}?",
        lambda labels: (
            "You get an instruction from the user and some context that matters for it. Do what the instruction says, with the context given."
        ),
    ),
    "as openaivec": Way(
        _plain,
        lambda labels, text: f'{{"id": 0, "body": "{text}"}}',
        lambda labels: (
            f"<Prompt><Purpose>Classify the text as one of {', '.join(labels)}.</Purpose>"
            "<Cautions><Caution>Give one of the classes and nothing else.</Caution></Cautions></Prompt>"
        ),
    ),
    "as polar-llama": Way(
        _plain,
        lambda labels, text: f"Text: {text}\n\nCategory:",
        lambda labels: (
            f"Sort the text into exactly one of these categories: {', '.join(labels)}. Reply with the category only."
        ),
    ),
}
