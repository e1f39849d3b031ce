"""What is refused before anything is sent: an option, a tool or a length that the model or its endpoint does not take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qwennb.catalog import Abilities, Count, count_messages, count_tokens, estimate_tokens, image_tokens
from qwennb.endpoints import IN_PIECES, is_read, measure, most_tokens
from qwennb.engine import CallContext, are_limited
from qwennb.errors import ToolError, WindowExceeded, nearest
from qwennb.remembered import Remembered
from qwennb.request import Document, Image, Medium, Pdf, Request, Tool, canonical_json
from qwennb.text import join_some

FREE_CHOICES = ("auto", "none")  # tool choices that force no tool
SURELY_FITS = 4_000  # tokens; the smallest window in models.toml, of the embedded model, is twice that
_MEDIA = {"video": 20_000, "pdf": 20_000, "document": 20_000}  # tokens, where nothing closer is known
PAGE_TOKENS = 2_107  # tokens of a page of letter paper that is drawn
_OPTIONS = {
    "image": "images",
    "video": "videos",
    "pdf": "files",
    "document": "files",
}  # the option that each medium came by
# Of how many tokens the text of a document is: counting them takes longer than reading it.
_counts = Remembered[Count](10_000, lambda _: 1)


def validate_request(request: Request, context: CallContext) -> None:
    """Refuse what the model of *request*, at the endpoint of *context*, does not take."""
    endpoint, settings = context.endpoint, request.settings
    abilities = endpoint.abilities(request.model)
    if settings.tool_choice is not None:
        _check_tool_choice(settings.tool_choice, request.tools)
    if given := _options_of(request):
        abilities.check(given)
    if request.tools:
        _check_tools(request.tools, endpoint.dialect.kind)
    if are_limited(context.budgets):
        endpoint.worst_cost(request)  # a budget needs a price and a bound
    check_window(request, abilities, str(endpoint))


def _options_of(request: Request) -> dict[str, Any]:
    """Collect the options that *request* was made with, by the names that a user types."""
    given: dict[str, Any] = request.settings.given()
    given.pop("extra", None)
    if request.schema is not None:
        given["schema"] = request.schema
    if request.choices is not None:
        given["choices"] = request.choices
    if request.tools:
        given["tools"] = request.tools
    for item in request.media:
        given[_OPTIONS[item.TYPE]] = True
    return given


# ---------------------------------------------------------------------- length


def input_tokens(request: Request) -> Count:
    """Count the tokens of *request*'s input; exact where the vocabulary is installed and there is only text."""
    texts = [message.text + message.reasoning for message in request.messages]
    extras = [tool.parameters + tool.description for tool in request.tools]
    if request.schema is not None:
        extras.append(request.schema.text)
    thinking = request.settings.thinking
    count = count_messages([*texts, *extras], thinking=None if thinking is None else bool(thinking))
    return sum(map(_medium_tokens, request.media), count)


def _medium_tokens(item: Medium) -> Count:
    if isinstance(item, Image) and item.size is not None:
        bounds = {"max_pixels": item.max_pixels} if item.max_pixels else {}
        return Count(image_tokens(*item.size, **bounds), exact=False)
    if isinstance(item, Pdf | Document) and is_read(item):
        return _counts.get(canonical_json(item.to_json()), lambda: _document_tokens(item))
    return Count(_MEDIA.get(item.TYPE, 2562), exact=False)


def _document_tokens(item: Pdf | Document) -> Count:
    extent = measure(item)
    count = estimate_tokens if len(extent.text) > _WORTH_COUNTING else count_tokens
    return count(extent.text) + Count(extent.pictures * PAGE_TOKENS, exact=extent.pictures == 0)


_WORTH_COUNTING = (
    4_000_000  # characters; what is longer fits no window, and the vocabulary takes seconds for it
)


def check_window(request: Request, abilities: Abilities, endpoint: str) -> None:
    """Raise WindowExceeded, with the numbers, when *request* is too long for its model."""
    most = most_tokens(request)  # a token is at least a byte: most requests need no counting
    if most <= SURELY_FITS:
        return
    window = abilities.max_input(request.settings.thinking)
    if window is None or most <= window:
        return
    count = input_tokens(request)
    if count.tokens <= window:
        return
    raise WindowExceeded(
        f"The input is {count} tokens, and {request.model} at {endpoint} takes {window:,}. Shorten it, choose a model with a "
        f"longer window (`qwennb models`), or ask in pieces: {IN_PIECES}."
    )


def tell_not_shown(name: str, pages: Sequence[int | None]) -> str:
    """Tell which *pages* of the document *name* have no text, and are left out."""
    which = join_some([f"{page:,}" for page in pages if page is not None], 10)
    return (
        f"{name}: page{'s' if len(pages) > 1 else ''} {which} {'have' if len(pages) > 1 else 'has'} no text but a picture, and "
        'as_="text" leaves that out. as_="auto" sends it where the model sees pictures.'
    )


# ---------------------------------------------------------------------- tools


def _check_tools(tools: Sequence[Tool], kind: str) -> None:
    """Refuse a definition that breaks a rule of the server's *kind*, with the rule."""
    seen: set[str] = set()
    for tool in tools:
        if tool.name in seen:
            raise ToolError(
                f"Two tools are called `{tool.name}`; the model could not tell them apart. Rename one."
            )
        seen.add(tool.name)
        if (
            not tool.name.replace("_", "").replace("-", "").isalnum()
            or not tool.name.isascii()
            or len(tool.name) > 64
        ):
            raise ToolError(
                f"`{tool.name}` can't be a tool's name: only letters, digits, `_` and `-`, 64 at most. Rename the function."
            )
        if kind == "dashscope" and tool.name == "search":
            raise ToolError("DashScope takes no tool called `search`. Rename the function.")
        if kind == "dashscope" and not tool.description:
            raise ToolError(
                f"DashScope wants a description of tool `{tool.name}`. Give the function a docstring."
            )
        if tool.schema.get("type") != "object":
            raise ToolError(f'The parameters of tool `{tool.name}` must be a JSON Schema of type "object".')


def _check_tool_choice(choice: str, tools: Sequence[Tool]) -> None:
    """Refuse a choice of tool without tools, or of none of them."""
    names = [tool.name for tool in tools]
    if not names:
        raise ToolError(
            f"tool_choice={choice!r} needs tools= beside it: without tools there is nothing to choose."
        )
    if choice in (*FREE_CHOICES, "required"):
        if choice in names:
            raise ToolError(
                f"tool_choice={choice!r} could mean the tool `{choice}` or the rule of that name. Rename the function."
            )
    elif choice not in names:
        raise ToolError(
            f"tool_choice={choice!r}: there is no tool `{choice}`{nearest(choice, names) or '; there are ' + ', '.join(names) + '.'}"
        )
