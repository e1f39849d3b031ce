"""What a type checker sees of the public surface: never run, checked by `mypy --strict` with the package.

`assert_type` says what each call gives; a line that must be refused carries `type: ignore`, and mypy complains of one that is
not needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, assert_type

import polars as pl
from openai import AsyncOpenAI, OpenAI

import qwennb
from qwennb import (
    Answer,
    Chat,
    Document,
    Image,
    Pack,
    Pdf,
    Qwen,
    Video,
    ask,
    batches,
    load_pack,
    request,
    use,
)
from qwennb.answer import Cost, Logprob, Usage, WebSource
from qwennb.client import Piece, Plan, Stream
from qwennb.errors import EndpointError, NotRecorded, QwenError
from qwennb.request import Request
from qwennb.simulator import Entry, Reply, Simulator, ToolCall
from qwennb.testing import ScriptedQwen, no_network, replaying, scripted


def a_client(text: str) -> None:
    qwen = Qwen(model="qwen3.5-plus", endpoint="dashscope-intl", thinking="low", budget=2.00, cache="on")
    assert_type(qwen.ask("Summarise {{ doc }}", doc=text), Answer)
    assert_type(qwen.stream("Count to three", max_tokens=10), Stream)
    assert_type(qwen.ask_many(["one", "two"]), list[Answer])
    assert_type(qwen.plan(["one", "two"]), Plan)
    assert_type(qwen.chat(system="Be brief."), Chat)
    assert_type(qwen.pack([qwen.ask("one")]), Pack)
    assert_type(qwen.openai, OpenAI)
    assert_type(qwen.openai_async, AsyncOpenAI)
    assert_type(qwen.spent, float)
    Qwen(cache="sometimes")  # type: ignore[arg-type]
    Qwen(budget="much")  # type: ignore[arg-type]
    for piece in qwen.stream("Count to three"):
        assert_type(piece, Piece)
        assert_type((piece.text, piece.reasoning), tuple[str, str])


def options_of_a_call(qwen: Qwen, chart: bytes) -> None:
    qwen.ask(
        "Summarise {{ doc }}", doc=Path("a.txt"), model="plus", system="Be brief.", images=[chart], videos=[], files=["a.pdf"],
        schema="name, age int", choices=["yes", "no"], tools=[len], thinking="low", temperature=0.5, top_p=0.9, top_k=20,
        min_p=0.1, max_tokens=100, seed=1, stop="END", presence_penalty=1, frequency_penalty=1, repetition_penalty=1.1,
        logit_bias={15: -50.0}, logprobs=True, tool_choice="auto", search=False, sample=1, extra={"own": 1}, cache="refresh",
        timeout=30, budget=1.5, overflow="map", max_pixels=500_000, max_steps=3, allow_urls=False,
    )  # fmt: skip
    qwen.ask(prompt="Why?", thinking=None)
    qwen.ask_many([{"doc": "a"}], prompt="Summarise {{ doc }}", max_tokens=100)
    qwen.ask()  # type: ignore[call-arg]
    qwen.ask(["Why?"])  # type: ignore[arg-type]
    qwen.ask("Why?", budget="much")  # type: ignore[arg-type]
    qwen.ask("Why?", cache="sometimes")  # type: ignore[arg-type]
    qwen.ask("Why?", thinking=1.5)  # type: ignore[arg-type]
    qwen.stream("Why?", max_tokens="few")  # type: ignore[arg-type]
    qwen.ask_many("Why?", seed="a")  # type: ignore[arg-type]
    qwen.plan(["Why?"], overflow="cut")  # type: ignore[arg-type]
    qwen.chat().ask("Why?", temperature="hot")  # type: ignore[arg-type]
    qwen.aks("Why?")  # type: ignore[attr-defined]


async def waited_for(qwen: Qwen) -> None:
    assert_type(await qwen.ask_async("Why?"), Answer)
    assert_type(await qwen.chat().ask_async("Why?"), Answer)
    await qwen.ask_async("Why?", top_k=1.5)  # type: ignore[arg-type]


def an_answer(answer: Answer) -> None:
    assert_type((answer.text, answer.reasoning, answer.key, answer.model), tuple[str, str, str, str])
    assert_type((answer.endpoint, answer.served_by, answer.finish_reason), tuple[str, str, str])
    assert_type(
        (answer.attempts, answer.cached, answer.complete, answer.is_cut), tuple[int, bool, bool, bool]
    )
    assert_type(answer.data, Any)
    assert_type(answer.request, Request)
    assert_type(answer.tool_calls, tuple[request.ToolCall, ...])
    assert_type(answer.logprobs, tuple[Logprob, ...] | None)
    assert_type(answer.sources, tuple[WebSource, ...])
    assert_type(answer.cost, Cost | None)
    assert_type(answer.usage, Usage)
    assert_type((answer.usage.input, answer.usage.output, answer.usage.total), tuple[int, int, int])
    assert_type(answer.usage.estimated, bool)
    assert_type(answer.created, datetime)
    assert_type(answer.error, QwenError | None)
    assert_type(answer.defaults, Mapping[str, Any])
    if answer.cost is not None:
        assert_type(answer.cost.estimated, bool)
        assert_type(answer.cost.source, Literal["server", "table", "local"])
        assert_type(answer.cost + 1, float)
    assert_type(str(answer), str)
    print(answer.texts)  # type: ignore[attr-defined]
    answer.text = "another"  # type: ignore[misc]


def media(qwen: Qwen) -> None:
    picture = Image("chart.png", max_pixels=500_000, detail="high")
    assert_type(picture.size, tuple[int, int] | None)
    assert_type(Image.of(picture), Image)
    assert_type(Video("clip.mp4", fps=1).frames, tuple[Image, ...])
    assert_type(Pdf("report.pdf", pages=range(1, 3)).pages, tuple[int, ...] | None)
    assert_type(Document("notes.md", as_="text", name="notes").name, str)
    Document("notes.md", as_="words")  # type: ignore[arg-type]
    Image("chart.png", detail="closely")  # type: ignore[arg-type]


def packs(qwen: Qwen) -> None:
    pack = Pack.read("answers.qwenpack")
    assert_type(pack | qwen.pack(), Pack)
    assert_type(len(pack), int)
    assert_type([answer.text for answer in pack], list[str])
    assert_type(pack.frame(), pl.DataFrame)
    assert_type(pack.export("sums", "trl", valid=0.2), list[Path])
    pack.export("sums", "axolotl")  # type: ignore[arg-type]
    assert_type(load_pack("answers.qwenpack"), Pack)


def chats(qwen: Qwen) -> None:
    chat = Chat.load("chat.json", qwen)
    assert_type(chat.ask("Why?"), Answer)
    assert_type(chat.fork(), Chat)
    chat.save("chat.json")


def columns(qwen: Qwen) -> None:
    assert_type(use(qwen), Qwen)
    assert_type(qwennb.__version__, str)
    ask(pl.DataFrame({"review": ["good"]}), "Is it about food? {{ review }}", choices=["yes", "no"])
    for batch in batches(qwen):
        assert_type((batch.id, batch.questions), tuple[str, int])


def errors(qwen: Qwen) -> None:
    try:
        qwen.ask("Why?")
    except NotRecorded as error:
        assert_type((error.attempts, error.cost), tuple[int, float | None])
    except EndpointError as error:
        assert_type((error.status, error.retry_after), tuple[int | None, float | None])


def kit() -> None:
    assert_type(scripted("one", "two"), ScriptedQwen)
    with replaying("answers.qwenpack") as qwen, no_network() as tried:
        assert_type(qwen, Qwen)
        assert_type(tried, list[str])
    with Simulator(
        "vllm", script=["one", Reply(None, tool_calls=[ToolCall("stock", {"item": "tea"})])]
    ) as sim:
        assert_type(sim, Simulator)
        assert_type((sim.base_url, sim.port), tuple[str, int])
        assert_type(sim.ledger.last(), Entry)
