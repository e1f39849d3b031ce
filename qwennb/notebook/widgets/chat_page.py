"""A conversation as inert Markdown, and as plain text: what a saved notebook keeps of a chat."""

from __future__ import annotations

from collections.abc import Sequence

from qwennb.answer import Page, growing, markup
from qwennb.notebook.widgets.chat_asking import Asking
from qwennb.notebook.widgets.chat_attach import Question
from qwennb.notebook.widgets.chat_talk import STOPPED, Turn
from qwennb.request import ToolCall

NOTHING = "Nothing was asked yet."
IS_STOPPED = "[stopped: no part of the conversation]"


def markdown(turns: Sequence[Turn], branch: str = "") -> str:
    """All turns of a branch."""
    if not turns:
        return f"*{NOTHING}*"
    shown = [
        f"{_asked(number, turn.question)}\n\n{_answered(number, turn)}"
        for number, turn in enumerate(turns, 1)
    ]
    return "\n\n---\n\n".join([*shown, *([f"*{markup.literal(branch)}*"] if branch else [])])


def plain(turns: Sequence[Turn], branch: str = "") -> str:
    """The same for terminals, and for whoever can't see the rest."""
    shown = []
    for number, turn in enumerate(turns, 1):
        shown += [
            f"{number}. You",
            markup.plain(turn.question.text),
            *map(markup.plain, map(str, turn.question.attached)),
        ]
        shown += ["", f"{number}. {markup.plain(_who(turn))}", _plain_answer(turn), ""]
    return "\n".join([*shown, *([markup.plain(branch)] if branch else [])]).strip() or NOTHING


def under_way(number: int, question: Question, asking: Asking) -> str:
    """A question on its way to its answer."""
    body = growing(asking.text, asking.reasoning)
    if asking.call is not None:
        body = "\n\n".join(filter(None, [markup.inert(asking.text), "**Waits for you to allow a tool.**"]))
    return f"{_asked(number, question)}\n\n{_speaker(number, asking.request.model)}\n\n{body}"


def call_text(call: ToolCall) -> str:
    """A call as it is shown to whoever has to allow it, all of it."""
    return markup.plain(f"{call.name}({call.arguments})")


def _asked(number: int, question: Question) -> str:
    parts = [_speaker(number, "You"), markup.inert(question.text)]
    if question.attached:
        parts.append(f"*With {markup.literal(', '.join(map(str, question.attached)))}*")
    return "\n\n".join(filter(None, parts))


def _answered(number: int, turn: Turn) -> str:
    head = _speaker(number, _who(turn))
    if turn.ended == STOPPED:
        return "\n\n".join(
            filter(None, [head, markup.inert(turn.partial), f"**{markup.literal(IS_STOPPED)}**"])
        )
    if turn.ended:
        return f"{head}\n\n**Failed:** {markup.literal(turn.ended)}"
    if not turn.answers:
        return f"{head}\n\n{markup.inert(_last_text(turn))}"
    return f"{head}\n\n{Page(turn.answers, turn.messages).markdown()}"


def _plain_answer(turn: Turn) -> str:
    if turn.ended == STOPPED:
        return f"{markup.plain(turn.partial)}\n{IS_STOPPED}".strip()
    if turn.ended:
        return f"Failed: {markup.plain(turn.ended)}"
    return Page(turn.answers, turn.messages).plain() if turn.answers else markup.plain(_last_text(turn))


def _who(turn: Turn) -> str:
    return (turn.answers[-1].model if turn.answers else turn.model) or "Qwen"


def _last_text(turn: Turn) -> str:
    return next((m.text for m in reversed(turn.messages) if m.role == "assistant" and m.text), "")


def _speaker(number: int, name: str) -> str:
    return f"**{number} · {markup.literal(name)}**"
