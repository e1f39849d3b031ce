"""Half an answer is none: what a server cut, and not the request itself, is refused with what to type."""

from __future__ import annotations

from qwennb.answer import Draft, ends_at_own_limit, own_limit
from qwennb.endpoints import Endpoint
from qwennb.errors import Incomplete
from qwennb.request import Request


def refuse_half(draft: Draft, request: Request, place: Endpoint) -> None:
    """Raise Incomplete where *draft*, which was cut, is no answer: a call, or a text that the request's own limit did not cut.

    What was to have a form is left to whoever reads it.
    """
    short, most = request.key[:12], own_limit(request)
    if draft.tool_calls:
        raise Incomplete(
            f"{place} cut the answer to {short} in the middle of calling a tool; nothing was run. Give a larger max_tokens=.",
            transient=False,
        )
    is_text = request.schema is None and request.choices is None
    if not is_text or ends_at_own_limit(request, draft.text, draft.usage):
        return
    advice = (
        "at a limit of its own. Give max_tokens= (or ask for less), so that it ends where you say."
        if most is None
        else f"before max_tokens={most} was reached, at a limit of its own or the end of its window. Give a smaller "
        "max_tokens=, or a shorter question."
    )
    raise Incomplete(f"{place} cut the answer to {short} {advice}", transient=False)
