"""Answers to be exported: questions, a chat with two tools."""

from __future__ import annotations

from qwennb.answer import Answer
from qwennb.request import Message, Request, Settings, Text, Tool, ToolCall

WEATHER = Tool.of({"name": "weather", "description": "The weather.", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}})  # fmt: skip
CLOCK = Tool.of({"name": "clock", "description": "", "parameters": {"type": "object", "properties": {"zone": {"type": "integer"}}}})  # fmt: skip


def user(text, *media):
    return Message("user", (*media, Text(text)))


def answer(messages, text="", calls=(), *, tools=(), reasoning="", model="qwen3.5-flash", **options):
    asked = Request(model, tuple(messages), Settings(**options), tools=tuple(tools))
    finish = "tool_calls" if calls else "stop"
    return Answer(
        asked, text=text, tool_calls=tuple(calls), reasoning=reasoning, endpoint="openrouter", served_by=model, finish_reason=finish
    )  # fmt: skip


def tool_steps(n=1):
    """A call of two tools at once, and what is said once they have answered."""
    calls = (ToolCall("c1", "weather", f'{{"city":"Ulm {n}"}}'), ToolCall("c2", "clock", '{"zone":1}'))
    begun = (Message("system", (Text("Be short."),)), user(f"Weather and time in Ulm {n}?"))
    called = Message("assistant", (), calls)
    results = (Message("tool", (Text("rain"),), (), "c1"), Message("tool", (Text("12:00"),), (), "c2"))
    return [
        answer(begun, "", calls, tools=(WEATHER, CLOCK), reasoning="Two tools."),
        answer((*begun, called, *results), "Rain at noon.", tools=(WEATHER, CLOCK)),
    ]


QUESTIONS = [answer([user(f"Is {n} even?")], "yes") for n in range(40)]
