"""From chunks to a draft, and from a draft to the value that was asked for.

However a stream is cut into chunks, the draft is the same, and the work is in proportion to what came: pieces are kept
in lists and joined once. Text goes through `Thought`, which moves a leading `<think>` block over to the reasoning. A
tool call is pieced together by its index; where a server counts none, a new id or name begins the next call.

`read_draft` reads a whole draft in the form that its request asked for; `read_form` does so with a text that is recalled.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Any

import orjson

from qwennb.answer.chunk import CallPiece, Chunk, Draft, Logprob, WebSource
from qwennb.request import CitedSchema, Request, ToolCall, parse_json

OPEN, CLOSE = "<think>", "</think>"
MARGIN = 64
# What counts as it was told last, where it is told more than once.
_TOLD_LAST = ("finish_reason", "usage", "cost", "served_by", "id")

_CLOSING_LINE = re.compile(r"^</think>$", re.MULTILINE)
_FENCE = re.compile(r"^[ \t]*```", re.MULTILINE)


@dataclass(slots=True)
class Thought:
    """Parts a leading think block from the text that follows, in pieces as they come. `over` when nothing more can change.

    At most `MARGIN` characters of white space may stand before the tag; what might still become a tag is held back until
    it is decided, never more than that. Without the opening tag (the model's own template writes it, so some servers don't
    send it) the thought can only be told at the end: `without_lost_thought`.
    """

    over: bool = False
    found: bool = False
    _inside: bool = False
    _held: str = ""

    def split(self, text: str) -> tuple[str, str]:
        """Part *text*, and what was held back before it, into text and thought."""
        if self.over:
            return text, ""
        if self.found and not self._inside:
            return self._after(text), ""
        held = self._held + text
        if not self.found:
            start = held.lstrip()
            if len(held) - len(start) > MARGIN or not (start.startswith(OPEN) or OPEN.startswith(start)):
                self.over, self._held = True, ""
                return held, ""
            if not start.startswith(OPEN):
                self._held = held
                return "", ""
            self.found = self._inside = True
            held = start[len(OPEN) :]
        thought, closed, rest = held.partition(CLOSE)
        if closed:
            self._inside, self._held = False, ""
            return self._after(rest), thought
        # The tag holds one "<", its first character: what might become it begins at the last one.
        maybe = held.rfind("<", -len(CLOSE))
        known = maybe if maybe >= 0 and CLOSE.startswith(held[maybe:]) else len(held)
        self._held = held[known:]
        return "", held[:known]

    def rest(self) -> tuple[str, str]:
        """Give what is still held back, as it would count if nothing more came: text, thought."""
        return ("", self._held) if self._inside else (self._held, "")

    def _after(self, text: str) -> str:
        """Begin the answer with its first line that is not empty."""
        text = text.lstrip("\n")
        self.over = bool(text)
        return text


@dataclass(slots=True)
class _Call:
    index: int
    id: str = ""
    name: str = ""
    arguments: list[str] = field(default_factory=list)

    def begins_anew(self, piece: CallPiece) -> bool:
        """Tell whether *piece*, at the same index, is another call: of a server that does not count them."""
        if not piece.name or not self.name:
            return False
        if piece.id and self.id:
            return piece.id != self.id
        return piece.name != self.name or (bool(piece.arguments) and self._whole())

    def _whole(self) -> bool:
        try:
            orjson.loads("".join(self.arguments))
        except orjson.JSONDecodeError:
            return False
        return True


@dataclass(slots=True)
class Fold:
    """Adds chunks up. `add` gives back what is new to show; `draft` is what there is so far."""

    ended: bool = False
    _text: list[str] = field(default_factory=list, init=False)
    _reasoning: list[str] = field(default_factory=list, init=False)
    _thought: Thought = field(default_factory=Thought, init=False)
    _blocks: list[dict[str, Any]] = field(default_factory=list, init=False)
    _calls: list[_Call] = field(default_factory=list, init=False)
    _open: dict[int, _Call] = field(default_factory=dict, init=False)
    _logprobs: list[Logprob] = field(default_factory=list, init=False)
    _sources: dict[str, WebSource] = field(default_factory=dict, init=False)
    _last: dict[str, Any] = field(default_factory=dict, init=False)

    def add(self, chunk: Chunk) -> Chunk:
        """Take *chunk* in; the chunk that comes back has a leading think block moved from text to reasoning."""
        if chunk.text and not self._thought.over:
            text, thought = self._thought.split(chunk.text)
            if thought or text != chunk.text:
                chunk = replace(chunk, text=text, reasoning=chunk.reasoning + thought)
        if chunk.text:
            self._text.append(chunk.text)
        if chunk.reasoning:
            self._reasoning.append(chunk.reasoning)
        self._blocks.extend(chunk.reasoning_blocks)
        for piece in chunk.tool_calls:
            self._piece(piece)
        self._logprobs.extend(chunk.logprobs)
        for source in chunk.sources:
            self._sources.setdefault(source.url, source)
        self.ended = self.ended or chunk.ended
        for name in _TOLD_LAST:
            if (told := getattr(chunk, name)) not in (None, ""):
                self._last[name] = told
        return chunk

    def draft(self) -> Draft:
        """Fold what has arrived."""
        undecided, held = self._thought.rest()
        text, reasoning = "".join([*self._text, undecided]), "".join([*self._reasoning, held])
        if self._thought.found:
            reasoning = reasoning.strip("\n")
        elif not reasoning:
            text, reasoning = without_lost_thought(text)
        calls: list[ToolCall] = []
        for call in sorted(self._calls, key=attrgetter("index")):
            calls.append(ToolCall(call.id or f"call_{len(calls)}", call.name, "".join(call.arguments)))
        return Draft(
            text=text,
            reasoning=reasoning,
            reasoning_blocks=orjson.dumps(join_blocks(self._blocks)).decode() if self._blocks else "",
            tool_calls=tuple(calls),
            logprobs=tuple(self._logprobs) or None,
            sources=tuple(self._sources.values()),
            **self._last,
        )

    def _piece(self, piece: CallPiece) -> None:
        call = self._open.get(piece.index)
        if call is None or call.begins_anew(piece):
            call = self._open[piece.index] = _Call(piece.index)
            self._calls.append(call)
        call.id = call.id or piece.id
        call.name = call.name or piece.name
        call.arguments.append(piece.arguments)


def join_blocks(blocks: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put the pieces of streamed reasoning blocks of one index together; whole ones stay as they are."""
    joined: list[dict[str, Any]] = []
    known: dict[tuple[Any, Any], tuple[dict[str, Any], dict[str, list[str]]]] = {}
    for block in blocks:
        place = (block.get("type"), block.get("index"))
        if place not in known or place[1] is None or place[0] == "reasoning.encrypted":
            known[place] = ({}, {})
            joined.append(known[place][0])
        whole, pieces = known[place]
        for name, value in block.items():
            if name in ("text", "summary") and isinstance(value, str):
                # Joined when all are known: to add to a text piece by piece would take its length squared.
                pieces.setdefault(name, []).append(value)
                whole[name] = pieces[name]
            elif value is not None or name not in whole:
                whole[name] = value
    for whole in joined:
        for name in ("text", "summary"):
            if isinstance(said := whole.get(name), list):
                whole[name] = "".join(said)
    return joined


def without_lost_thought(text: str) -> tuple[str, str]:
    """Part answer and thought in a *text* whose opening tag was lost.

    The closing tag must stand alone at the start of a line, before any opening one and outside a block of code: an
    answer may speak of such tags.
    """
    if (tag := _CLOSING_LINE.search(text)) is None:
        return text, ""
    before = text[: tag.start()]
    if OPEN in before or len(_FENCE.findall(before)) % 2:
        return text, ""
    return text[tag.end() :].lstrip("\n"), before.strip("\n")


# ---------------------------------------------------------------------- the form that was asked for


def read_form(request: Request, text: str) -> Any:
    """Read the value in *text* when *request* asked for a form, else None. ValueError says, for the model, what does not fit."""
    if request.schema is not None:
        return request.schema.read(text)
    if request.choices is not None:
        return _choice(request.choices, text)
    return None


def read_draft(request: Request, draft: Draft) -> Any:
    """Read the value in *draft*, as `read_form`. One that was cut has none, however whole it looks: "yes" may begin "yes and no".

    Claims with quotes are free text, of which what came is given, as of any that was cut.
    """
    if draft.tool_calls or (request.schema is None and request.choices is None):
        return None
    is_cut = draft.finish_reason == "length"
    if is_cut and not request.is_text:
        raise ValueError("it was cut before its end")
    if not is_cut and isinstance(request.schema, CitedSchema):
        parse_json(draft.text, exact=True)  # what was not cut has an end
    return read_form(request, draft.text)


def _choice(choices: tuple[str, ...], text: str) -> str:
    said = _in_json(text.strip())
    # From exact to generous: "C" and "C." may both be choices, and then a full stop is not decoration.
    for read in (str, str.casefold, _bare):
        meant = [choice for choice in choices if read(choice) == read(said)]
        if len(meant) == 1 and read(said):
            return meant[0]
    raise ValueError(f"the answer must be exactly one of: {'; '.join(choices)}")


def _in_json(said: str) -> str:
    """Take the choice out of a JSON object or string, where that is what was said."""
    if said.startswith(("{", "```", '"')):
        try:
            value = parse_json(said)
        except ValueError:
            return said
        value = value.get("answer") if isinstance(value, dict) else value
        if isinstance(value, str):
            return value.strip()
    return said


def _bare(words: str) -> str:
    return words.strip("\"'`*. \n").casefold()
