"""A conversation as inert Markdown, and as plain text: what a saved notebook keeps of a chat."""

from __future__ import annotations

from collections.abc import Sequence

from qwennb.answer import Page, growing, markup
from qwennb.notebook.widgets.chat_asking import ChatQuestion
from qwennb.notebook.widgets.chat_attach import TypedQuestion
from qwennb.notebook.widgets.chat_talk import STOPPED, ChatTurn
from qwennb.request import ToolCall

NOTHING = "Nothing was asked yet."
IS_STOPPED = "[stopped: no part of the conversation]"


def markdown(turns: Sequence[ChatTurn], branch: str = "") -> str:
    """All turns of a branch."""
    if not turns:
        return f"*{NOTHING}*"
    shown = [
        f"{_render_question(number, turn.question)}\n\n{_render_answer(number, turn)}"
        for number, turn in enumerate(turns, 1)
    ]
    return "\n\n---\n\n".join([*shown, *([f"*{markup.literal(branch)}*"] if branch else [])])


def plain(turns: Sequence[ChatTurn], branch: str = "") -> str:
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


def under_way(number: int, question: TypedQuestion, asking: ChatQuestion) -> str:
    """A question on its way to its answer."""
    body = growing(asking.text, asking.reasoning)
    if asking.call is not None:
        body = "\n\n".join(filter(None, [markup.inert(asking.text), "**Waits for you to allow a tool.**"]))
    return f"{_render_question(number, question)}\n\n{_speaker(number, asking.request.model)}\n\n{body}"


def call_text(call: ToolCall) -> str:
    """A call as it is shown to whoever has to allow it, all of it."""
    return markup.plain(f"{call.name}({call.arguments})")


def _render_question(number: int, question: TypedQuestion) -> str:
    parts = [_speaker(number, "You"), markup.inert(question.text)]
    if question.attached:
        parts.append(f"*With {markup.literal(', '.join(map(str, question.attached)))}*")
    return "\n\n".join(filter(None, parts))


def _render_answer(number: int, turn: ChatTurn) -> str:
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


def _plain_answer(turn: ChatTurn) -> str:
    if turn.ended == STOPPED:
        return f"{markup.plain(turn.partial)}\n{IS_STOPPED}".strip()
    if turn.ended:
        return f"Failed: {markup.plain(turn.ended)}"
    return Page(turn.answers, turn.messages).plain() if turn.answers else markup.plain(_last_text(turn))


def _who(turn: ChatTurn) -> str:
    return (turn.answers[-1].model if turn.answers else turn.model) or "Qwen"


def _last_text(turn: ChatTurn) -> str:
    return next((m.text for m in reversed(turn.messages) if m.role == "assistant" and m.text), "")


def _speaker(number: int, name: str) -> str:
    return f"**{number} · {markup.literal(name)}**"
