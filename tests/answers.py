"""Answers of every kind, made from a number."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from PIL import Image as Pillow

from qwennb.answer import Answer, Cost, Logprob, Usage, WebSource
from qwennb.request import Image, Message, Request, Schema, Settings, Text, Tool, ToolCall


def _picture() -> bytes:
    made = io.BytesIO()
    Pillow.new("RGB", (16, 16), "green").save(made, "PNG")
    return made.getvalue()


PICTURE = _picture()


def look_up(name: str) -> str:
    """Look a name up."""
    return name.upper()


def answer_of(number: int, text: str = "", **fields: object) -> Answer:
    """The answer number *number*: six kinds in turn."""
    kind = number % 6
    parts: tuple[object, ...] = (Text(f"Question {number}: is “Größe” a word?"),)
    asked: dict[str, object] = {"settings": Settings.of(temperature=number % 3, thinking=None)}
    made: dict[str, object] = {"text": text or f"Answer {number} — yes.\n\x00\u2028"}
    if kind == 1:
        asked["schema"] = Schema.of("item: what is bought, amount int, tags list[str]?")
        made["text"] = f'{{"item":"tea","amount":{number}}}'
    elif kind == 2:
        asked["choices"] = ("yes", "no")
        made["text"] = "yes"
    elif kind == 3:
        asked["tools"] = (Tool.of(look_up),)
        made = {
            "text": "",
            "tool_calls": (ToolCall("c1", "look_up", '{"name": "Ulm"}'),),
            "tool_results": ("ULM",),
            "finish_reason": "tool_calls",
        }
    elif kind == 4:
        parts = (*parts, Image(PICTURE, max_pixels=1000))
        made["sources"] = (WebSource("A page", "https://example.org/"),)
    elif kind == 5:
        asked["settings"] = Settings.of(
            logprobs=2,
            stop=["b", "a"],
            logit_bias={5: -1.5},
            extra={"z": 1.5, "a": {"y": [1, None]}},
            sample=number,
        )
        made["logprobs"] = (Logprob("yes", -0.25, (("yes", -0.25), ("no", -1.5))),)
        made["reasoning"] = "Let me think."
        made["reasoning_blocks"] = '[{"type":"reasoning.text","text":"Let me think.","b":1,"a":2}]'
    messages = (Message("system", (Text("Be short."),)), Message("user", parts))
    answer = Answer(
        Request("qwen3.5-plus", messages, **asked),
        usage=Usage(20 + number, 5, estimated=kind == 0),
        cost=None if kind == 2 else Cost(1e-6 * number, "server" if kind else "table"),
        endpoint="dashscope-intl",
        served_by="qwen3.5-plus-2026-02-15",
        created=datetime(2026, 11, 1, 12, tzinfo=UTC) + timedelta(seconds=number),
        defaults={"enable_thinking": False} if kind == 1 else {},
        **made,
    )
    return replace(answer, **fields)


def answers(count: int) -> list[Answer]:
    return [answer_of(number) for number in range(count)]
