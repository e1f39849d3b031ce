"""A conversation as inert Markdown and as plain text, which a saved notebook keeps, and as what the panel draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qwennb.answer import CAP, Page, markup, shorten_text
from qwennb.client import turns_of
from qwennb.notebook.consent import reveal, show_call
from qwennb.notebook.widgets.chat_asking import ChatQuestion
from qwennb.notebook.widgets.chat_attach import TypedQuestion
from qwennb.notebook.widgets.chat_talk import STOPPED, ChatTurn
from qwennb.notebook.widgets.inert import read_tree
from qwennb.terminal import drop_controls

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


def view(turn: ChatTurn) -> dict[str, Any]:
    """What the panel draws of a turn: plain JSON, in which a model's text is a tree of inert nodes."""
    page = Page(turn.answers, turn.messages) if turn.answers else None
    answer = None if page is None else page.answer
    text = turn.partial if turn.ended else _last_text(turn) if answer is None else answer.text
    is_data = answer is not None and answer.data is not None and not isinstance(answer.data, str)
    return {
        "question": drop_controls(turn.question.text),
        "attached": [str(one) for one in turn.question.attached],
        "who": drop_controls(_who(turn)),
        "calls": [] if page is None else [_view_call(*call) for call in page.list_calls()],
        "thought": [] if answer is None else read_tree(answer.reasoning),
        "thought_tokens": 0 if answer is None else answer.usage.reasoning,
        "nodes": [["pre", {"lang": "json"}, [text]]] if is_data else read_tree(text),
        "text": drop_controls(text),
        "footer": "" if page is None else drop_controls(page.footer()),
        "ended": drop_controls(turn.ended),
        "stopped": turn.ended == STOPPED,
    }


def view_asking(number: int, question: TypedQuestion, asking: ChatQuestion, call: int) -> dict[str, Any]:
    """What the panel draws of a question under way, but its growing text; *call* is the number of the call that waits."""
    page = Page(asking.answers, turns_of(asking.answers)) if asking.answers else None
    waits = asking.call
    return {
        "number": number,
        "question": drop_controls(question.text),
        "attached": [str(one) for one in question.attached],
        "who": drop_controls(asking.request.model) if asking.request is not None else "",
        "calls": [] if page is None else [_view_call(*one) for one in page.list_calls()],
        "waits": None
        if waits is None
        else {"id": call, "name": reveal(waits.name), "call": show_call(waits)},
    }


def _view_call(said: str, call: str, result: str) -> dict[str, str]:
    return {"said": said, "call": reveal(call), "result": drop_controls(shorten_text(result, CAP))}


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
