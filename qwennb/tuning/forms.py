"""The forms in which frameworks read examples, one line of JSON each.

    messages        {"messages": […]}                           OpenAI's: hosted fine-tuning, and TRL's language modelling
    trl             {"prompt": […], "completion": […]}          TRL's prompt-completion: the loss is on the answer alone
    dpo             {"prompt": […], "chosen": […], "rejected": […]}     TRL's preference
    kto             {"prompt": […], "completion": […], "label": true}   TRL's unpaired preference
    unsloth         {"conversations": […]}                      what `standardize_data_formats` makes of every other form
    llama-factory   {"messages": […]}                           described in `dataset_info.json` as sharegpt with OpenAI's tags

With tools there is a column `tools` more, with pictures a column `images` of paths; in each, a call is what the framework
takes for one: JSON text in OpenAI's form, an object in TRL's (Qwen's template goes through its names), a turn of
`function_call` in LLaMA-Factory's. Unsloth's conversations know no tools.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Literal, get_args

import orjson

from qwennb.request import Image, Message, Text, Tool, ToolCall, merge_texts, parse_json
from qwennb.tuning.example import Example

Form = Literal["unsloth", "llama-factory", "messages", "trl", "dpo", "kto"]
FORMS: tuple[Form, ...] = get_args(Form)
FIRST_COLUMN: Mapping[Form, str] = {
    "unsloth": "conversations", "llama-factory": "messages", "messages": "messages", "trl": "prompt", "dpo": "prompt", "kto": "prompt",
}  # fmt: skip

# What Qwen's tokenizer takes for the end of a turn or a picture, wherever it stands.
_CONTROL = re.compile(r"<\|[a-z_]{2,30}\|>")
# What LLaMA-Factory counts in every text and holds against the number of pictures.
_PLACES = ("<image>", "<video>", "<audio>")
# How LLaMA-Factory's own converter of OpenAI's form puts the results of several calls into one turn.
_NEXT_RESULT = "\n</tool_response>\n<tool_response>\n"


@dataclass(frozen=True, slots=True)
class Layout:
    """What all lines of one set have in common, and where each picture's file is."""

    form: Form
    has_tools: bool = False
    paths: Mapping[str, str] = field(default_factory=dict)

    @property
    def columns(self) -> list[str]:
        """The columns of a line, the first one first."""
        columns = {
            "trl": ["prompt", "completion"], "dpo": ["prompt", "chosen", "rejected"], "kto": ["prompt", "completion", "label"],
        }.get(self.form, [FIRST_COLUMN[self.form]])  # fmt: skip
        # Unsloth reads a picture where it stands in the conversation.
        images = ["images"] if self.paths and self.form != "unsloth" else []
        return [*columns, *(["tools"] if self.has_tools else []), *images]

    def spell(self, example: Example) -> dict[str, Any]:
        """Write *example* as a line's object."""
        cells: dict[str, Callable[[], Any]] = {
            "messages": lambda: self._conversation(example),
            "conversations": lambda: self._turns(example.turns),
            "prompt": lambda: self._turns(example.prompt),
            "completion": lambda: self._turns([example.answer]),
            "chosen": lambda: self._turns([example.answer]),
            "rejected": lambda: self._turns([example.rejected] if example.rejected else []),
            "label": lambda: example.is_right,
            "tools": lambda: self._tools(example.tools),
            "images": lambda: [self.paths[medium.digest] for medium in example.media],
        }
        return {column: cells[column]() for column in self.columns}

    def _tools(self, tools: Sequence[Tool]) -> Any:
        if self.form != "llama-factory":
            return [tool.definition() for tool in tools]
        return orjson.dumps([tool.canonical() for tool in tools]).decode() if tools else ""

    def _conversation(self, example: Example) -> list[dict[str, Any]]:
        if self.form == "llama-factory":
            return [_llama_turn(turn) for turn in _join_results(example.turns)]
        return self._turns(example.turns)

    def _turns(self, turns: Sequence[Message]) -> list[dict[str, Any]]:
        names: dict[str | None, str] = {}
        made = []
        for turn in turns:
            names |= {call.id: call.name for call in turn.tool_calls}
            made.append(self._turn(turn, names))
        return made

    def _turn(self, turn: Message, names: Mapping[str | None, str]) -> dict[str, Any]:
        made: dict[str, Any] = {"role": turn.role, "content": self._content(turn)}
        if turn.tool_calls:
            made["tool_calls"] = [self._call(call) for call in turn.tool_calls]
        if turn.role == "tool" and self.form == "messages":
            made["tool_call_id"] = turn.tool_call_id
        elif turn.role == "tool":
            made["name"] = names.get(turn.tool_call_id, "")
        return made

    def _call(self, call: ToolCall) -> dict[str, Any]:
        if self.form == "messages":
            function: dict[str, Any] = {"name": call.name, "arguments": call.arguments or "{}"}
            return {"id": call.id, "type": "function", "function": function}
        return {
            "type": "function",
            "function": {"name": call.name, "arguments": parse_json(call.arguments or "{}")},
        }

    def _content(self, turn: Message) -> Any:
        """Write what a turn says: a text, or where any line has a picture, its parts. A column is of one kind."""
        if not self.paths:
            return turn.text
        return [
            {"type": "text", "text": part.text} if isinstance(part, Text) else self._picture(part)
            for part in merge_texts(turn.parts)
        ]

    def _picture(self, part: Any) -> dict[str, str]:
        return {"type": "image", **({"image": self.paths[part.digest]} if self.form == "unsloth" else {})}


# ---------------------------------------------------------------------- LLaMA-Factory


def describe(file_name: str, layout: Layout) -> dict[str, Any]:
    """Write the entry of `dataset_info.json`."""
    tags = {
        "role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant", "system_tag": "system",
    }  # fmt: skip
    if layout.has_tools:
        tags |= {"function_tag": "function_call", "observation_tag": "observation"}
    return {
        "file_name": file_name,
        "formatting": "sharegpt",
        "columns": {column: column for column in layout.columns},
        "tags": tags,
    }


def _join_results(turns: Sequence[Message]) -> list[Message]:
    """Put the results of calls that were made together into one turn: there, turns go to and fro."""
    made: list[Message] = []
    for is_result, group in groupby(turns, key=lambda turn: turn.role == "tool"):
        if is_result:
            made.append(Message("tool", (Text(_NEXT_RESULT.join(turn.text for turn in group)),)))
        else:
            made += group
    return made


def _llama_turn(turn: Message) -> dict[str, str]:
    if turn.tool_calls:
        calls = [
            {"name": call.name, "arguments": parse_json(call.arguments or "{}")} for call in turn.tool_calls
        ]
        # The thought may stand before it, and nothing else.
        return {"role": "function_call", "content": turn.text + orjson.dumps(calls).decode()}
    content = "".join(part.text if isinstance(part, Text) else "<image>" for part in turn.parts)
    return {"role": "observation" if turn.role == "tool" else turn.role, "content": content}


# ---------------------------------------------------------------------- what has no place in a form


def find_misfit(example: Example, form: Form) -> str | None:
    """Tell why *example* can't be learnt from in *form*; None where it can."""
    turns = [*example.turns, *([example.rejected] if example.rejected else [])]
    if (kind := _picture_misfit(example)) is not None:
        return kind
    for turn in turns:
        if found := _CONTROL.search(turn.text):
            return f"with {found[0]} in a text, which a tokenizer takes for its own"
        if form == "llama-factory" and (place := next((p for p in _PLACES if p in turn.text), None)):
            return f"with {place} in a text, which LLaMA-Factory takes for a file"
        for call in turn.tool_calls:
            if not _is_object(call.arguments or "{}"):
                return "with a tool call whose arguments are no JSON object"
    if example.has_tools and form == "unsloth":
        return "with tools, for which Unsloth's conversations have no place: use trl or messages"
    return _llama_misfit(example) if form == "llama-factory" else None


def _picture_misfit(example: Example) -> str | None:
    for medium in example.media:
        if not isinstance(medium, Image):
            return "about a video or a document, for which no form has a place"
        if medium.url is not None:
            return "about a picture at an address, and nothing is fetched"
        if medium.data is None:
            return "about a picture that is not here: give media= the folder beside the pack"
    return None


def _is_object(text: str) -> bool:
    try:
        return isinstance(parse_json(text), dict)
    except ValueError:
        return False


def _llama_misfit(example: Example) -> str | None:
    turns = _join_results(example.turns)
    if turns[0].role == "system":
        turns = turns[1:]
    roles = ["user" if turn.role in ("user", "tool") else turn.role for turn in turns]
    if roles != ["user", "assistant"] * (len(roles) // 2):
        return "whose turns do not go to and fro, as LLaMA-Factory's do"
    for turn in turns:
        if (
            turn.tool_calls
            and turn.text
            and not (turn.text.startswith("<think>\n") and turn.text.endswith("\n</think>\n\n"))
        ):
            return "with words beside a tool call, for which LLaMA-Factory has no place"
    return None
