"""Whether a request fits into the model's window, held against it before anything is sent."""

from __future__ import annotations

from qwennb.catalog import Abilities, Count, count_messages, image_tokens
from qwennb.endpoints import IN_PIECES, most_tokens
from qwennb.errors import WindowExceeded
from qwennb.request import Image, Request

_MEDIA = {"Video": 20_000, "Pdf": 20_000}  # where nothing closer is known


def input_tokens(request: Request) -> Count:
    """The tokens of *request*'s input; exact where the vocabulary is installed and there is only text."""
    texts = [message.text + message.reasoning for message in request.messages]
    extras = [tool.parameters + tool.description for tool in request.tools]
    if request.schema is not None:
        extras.append(request.schema.text)
    thinking = request.settings.thinking
    count = count_messages([*texts, *extras], thinking=None if thinking is None else bool(thinking))
    for item in request.media:
        if isinstance(item, Image) and item.size is not None:
            bounds = {"max_pixels": item.max_pixels} if item.max_pixels else {}
            count += Count(image_tokens(*item.size, **bounds), exact=False)
        else:
            count += Count(_MEDIA.get(type(item).__name__, 2562), exact=False)
    return count


def check_window(request: Request, abilities: Abilities, endpoint: str) -> None:
    """Raise WindowExceeded, with the numbers, when *request* is too long for its model."""
    window = abilities.max_input(request.settings.thinking)
    if window is None or most_tokens(request) <= window:
        return  # a token is at least a byte: most requests need no counting
    count = input_tokens(request)
    if count.tokens <= window:
        return
    raise WindowExceeded(
        f"The input is {count} tokens, and {request.model} at {endpoint} takes {window:,}. Shorten it, choose a model with a "
        f"longer window (`qwennb models`), or ask in pieces: {IN_PIECES}."
    )
