"""Every option of `%qwen` is seen in the request that it makes, or in what it does instead; none is read and forgotten."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import pytest
from PIL import Image as Pillow

from qwennb.notebook.options import OPTIONS, SETTINGS
from qwennb.simulator import Reply, Simulator, ToolCall
from tests.endpoints.test_media_video import CLIP
from tests.notebook.conftest import body

SET_UP = """
import io
from pathlib import Path
from PIL import Image as Pillow
red = Pillow.new("RGB", (64, 48), "red")
pictures = {"red": red, "bytes": Path("red.png").read_bytes()}
clip = Path("clip.mp4").read_bytes()
paper = Path("paper.pdf").read_bytes()
words = ["yes", "no"]
folder = "notes/"
def find(city: str) -> str:
    "Finds a city."
    return "found " + city
def lose(city: str) -> str:
    "Loses it."
    return "lost " + city
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    Pillow.new("RGB", (64, 48), "red").save(folder / "red.png")
    (folder / "clip.mp4").write_bytes(CLIP)
    pdf = pytest.importorskip("pypdfium2").PdfDocument.new()
    pdf.new_page(200, 200)
    pdf.save(folder / "paper.pdf")
    (folder / "notes").mkdir()
    (folder / "notes" / "a.md").write_text("Ask Ada.")
    return folder


@pytest.fixture(scope="module")
def ready(kernel, files):
    """The kernel, in a folder with a picture, a video and a PDF."""
    kernel.run(f"import os\nbefore = os.getcwd()\nos.chdir({str(files)!r})\n{SET_UP}")
    yield kernel
    kernel.run("os.chdir(before)")


@pytest.fixture(scope="module")
def vllm():
    """A server that takes what a hosted endpoint does not."""
    with Simulator("vllm", models=["Qwen/Qwen3.5-27B"]) as simulator:
        yield simulator


def parts(sim, kind: str) -> list[dict]:
    content = body(sim)["messages"][-1]["content"]
    return [part for part in content if part["type"] == kind] if isinstance(content, list) else []


def picture(sim) -> Pillow.Image:
    [part] = parts(sim, "image_url")
    return Pillow.open(io.BytesIO(base64.b64decode(part["image_url"]["url"].partition(",")[2])))


def red(size=(64, 48)):
    return lambda sim, _: (
        picture(sim).size == size and picture(sim).convert("RGB").getpixel((3, 3)) == (255, 0, 0)
    )


def carries(**fields):
    """Whether the body of the request has these fields; of a mapping, these and perhaps more."""

    def check(sim, _):
        seen = body(sim)
        return all(
            fields[name].items() <= seen[name].items()
            if isinstance(fields[name], dict)
            else seen[name] == fields[name]
            for name in fields
        )

    return check


def nothing_sent(told):
    return lambda sim, ran: sim.ledger.count("asked") == 0 and told in ran.plain


# Option → lines that use it, with what must be seen. The rest of the line is the prompt.
SEEN = {
    "model": [("-m plus", carries(model="qwen/qwen3.5-plus-20260420")), ("--model=27b", carries(model="qwen/qwen3.5-27b"))],
    "system": [("--system 'Be \"brief\".'", lambda sim, _: body(sim)["messages"][0] == {"role": "system", "content": 'Be "brief".'})],
    "image": [
        ("--image red", red()),
        ("--image red.png", red()),
        ('--no-cache --image pictures["bytes"]', red()),
        ("--image red.crop((0,0,32,32))", red((32, 32))),
        ("--image red --image red.png --image pictures['red']", lambda sim, _: len(parts(sim, "image_url")) == 3),
    ],
    "video": [
        ("--video clip", lambda sim, _: parts(sim, "video_url")[0]["video_url"]["url"].startswith("data:video/mp4;base64,")),
        ("--video clip.mp4 --max-tokens 9", lambda sim, _: len(parts(sim, "video_url")) == 1),
    ],
    "file": [
        ("--file paper", lambda sim, _: "[page 1]" in str(body(sim)["messages"][-1]["content"])),
        ("--file paper.pdf --max-tokens 9", lambda sim, _: "[page 1]" in str(body(sim)["messages"][-1]["content"])),
        ("--file notes", lambda sim, _: "[notes/a.md]\nAsk Ada." in str(body(sim)["messages"][-1]["content"])),
        ("--file notes/*.md --max-tokens 9", lambda sim, _: "[notes/a.md]\nAsk Ada." in str(body(sim)["messages"][-1]["content"])),
        ("--file folder --max-tokens 8", lambda sim, _: "[notes/a.md]\nAsk Ada." in str(body(sim)["messages"][-1]["content"])),
        ("--file red.png --max-tokens 9", red()),
    ],
    "schema": [("--schema 'name, age int'", lambda sim, _: '"age"' in body(sim)["messages"][-1]["content"])],
    "choices": [("--choices words", lambda sim, _: '"yes","no"' in body(sim)["messages"][-1]["content"])],
    "tools": [("--tools find,lose", lambda sim, _: [t["function"]["name"] for t in body(sim)["tools"]] == ["find", "lose"])],
    "yes": [("--tools find --yes call", lambda sim, ran: "found Bonn" in ran.markdown)],
    "think": [
        ("--think", carries(reasoning={"enabled": True})),
        ("--think low", carries(reasoning={"effort": "low"})),
        ("--think medium", carries(reasoning={"effort": "medium"})),
        ("--think=high", carries(reasoning={"effort": "high"})),
        ("--think 500", carries(reasoning={"max_tokens": 500})),
    ],
    "no_think": [("--no-think", carries(reasoning={"enabled": False}))],
    "search": [("--search", lambda sim, _: body(sim)["plugins"][0]["id"] == "web")],
    "chat": [("--chat options", lambda sim, _: len(body(sim)["messages"]) == 1)],
    "resume": [("--chat options --resume", lambda sim, _: len(body(sim)["messages"]) >= 3)],
    "into": [("--into bound", lambda sim, ran: ran.plain.startswith("said"))],
    "code": [("--code", lambda sim, ran: ran.payload[0]["text"] == "said")],
    "temperature": [("--temperature 0.5", carries(temperature=0.5))],
    "top_p": [("--top-p=0.9", carries(top_p=0.9))],
    "max_tokens": [("--max-tokens 900", carries(max_tokens=900))],
    "seed": [("--seed 7", carries(seed=7))],
    "raw": [("--raw {{ nothing }}", lambda sim, _: "{{ nothing }}" in body(sim)["messages"][-1]["content"])],
    "plan": [("--plan", nothing_sent("to ask of qwen3.5-flash"))],
    "budget": [("--budget 5", carries(stream=True))],
    "quiet": [("--quiet", lambda sim, ran: ran.outputs == [] and sim.ledger.count("asked") == 1)],
    "refresh": [("--refresh", lambda sim, _: sim.ledger.count("asked") == 1)],
    "no_cache": [("--no-cache", lambda sim, _: sim.ledger.count("asked") == 1)],
    "replay": [],  # below
    "endpoint": [],  # below
    "param": [],  # below
}  # fmt: skip
LINES = [(name, line, check) for name, lines in SEEN.items() for line, check in lines]


def test_no_option_is_left_out():
    assert set(SEEN) == {option.name for option in OPTIONS}


@pytest.mark.parametrize(("name", "line", "check"), LINES, ids=[line for _, line, _ in LINES])
@pytest.mark.slow
def test_an_option_is_seen(ready, sim, script, name, line, check):
    replies = {"schema": '{"name": "Ada", "age": 36}', "choices": "yes"}
    call = Reply(None, tool_calls=[ToolCall("find", {"city": "Bonn"}, id="call_1")])
    script(*([call] if line.endswith("call") else []), *[replies.get(name, "said")] * 3)
    if name == "resume":
        ready.run("%qwen --chat options about chat")
    ran = ready.run(f"%qwen {line} about {name}")
    assert ran.status == "ok", ran.outputs
    assert check(sim, ran), body(sim) if sim.ledger.asks() else ran.outputs


PARAMS = {
    "top_k": ("20", 20),
    "min_p": ("0.05", 0.05),
    "stop": ('["END","two words"]', ["END", "two words"]),
    "presence_penalty": ("0.5", 0.5),
    "frequency_penalty": ("0.25", 0.25),
    "repetition_penalty": ("1.1", 1.1),
    "logit_bias": ('{"5":1}', {"5": 1}),
    "temperature": ("0.3", 0.3),
    "top_p": ("0.8", 0.8),
    "max_tokens": ("77", 77),
    "seed": ("5", 5),
    "extra.min_tokens": ("3", 3),
    "extra.note": ("words", "words"),
}


def test_what_param_sets_goes_over_the_wire(ready, vllm):
    given = " ".join(f"--param '{name}={text}'" for name, (text, _) in PARAMS.items())
    ran = ready.run(f"%qwen -e vllm+{vllm.base_url} {given} --param logprobs=2 by param")
    assert ran.status == "ok", ran.outputs
    seen = body(vllm)
    assert {name: seen[name.removeprefix("extra.")] for name in PARAMS} == {
        n: v for n, (_, v) in PARAMS.items()
    }
    assert seen["logprobs"] is True and seen["top_logprobs"] == 2 and seen["model"] == "Qwen/Qwen3.5-27B"


def test_what_param_sets_otherwise_is_seen_too(ready, sim, script, vllm):
    script(*["said"] * 9)
    for _ in range(2):
        ready.run("%qwen --param sample=2 another draw")
    ready.run("%qwen another draw")
    assert sim.ledger.count("asked") == 2, "another draw is another request"
    ready.run("%qwen --param max_pixels=1100 --image red smaller")
    assert picture(sim).width * picture(sim).height <= 1100
    ready.run("%qwen --param thinking=false --param search=true both")
    assert body(sim)["reasoning"] == {"enabled": False} and body(sim)["plugins"]
    ready.run(
        f"%qwen -e vllm+{vllm.base_url} --tools find --yes --param tool_choice=required --param max_steps=1 go"
    )
    assert body(vllm)["tool_choice"] == "required"
    small = Simulator("llama.cpp", models=["qwen2.5-coder-0.5b-instruct"], script=lambda asked: "in short")
    with small:
        ready.run("Path('long.txt').write_text('A sentence of a long text. ' * 2_000)")
        planned = ready.run(
            f"%qwen -e llama.cpp+{small.base_url} --file long.txt --param overflow=map --plan sum up"
        )
        assert "asked in 3 pieces and combined" in str(planned.outputs), planned.outputs
        assert small.ledger.count("asked") == 0
        ready.run(f"%qwen -e llama.cpp+{small.base_url} --file long.txt --param overflow=map sum up")
        assert small.ledger.count("asked") == 4 and "Part 3 of 3 (long.txt, line 1): in short" in str(
            small.ledger.last().body
        )
    sim.pace(latency=30)
    try:
        ran = ready.run("%qwen --no-cache --param timeout=0.3 slow")
        assert ran.error["ename"] in ("TimedOut", "Unreachable", "ServerTrouble", "EndpointError"), ran.error
    finally:
        sim.pace()
    tried = {
        "sample",
        "max_pixels",
        "thinking",
        "search",
        "tool_choice",
        "max_steps",
        "timeout",
        "logprobs",
        "overflow",
    }
    assert tried | {name for name in PARAMS if "." not in name} == set(SETTINGS)


def test_a_budget_that_can_not_hold_the_answer_stops_before_it_is_asked(ready, sim, script):
    script("said")
    ran = ready.run("%qwen --budget 0.0000001 dear")
    assert ran.error["ename"] == "BudgetExceeded" and sim.ledger.count("asked") == 0


def test_replay_opens_no_connection(ready, sim, script):
    script("said")
    ran = ready.run("%qwen --replay nobody asked this")
    assert ran.error["ename"] == "NotRecorded" and sim.ledger.count("asked") == 0
    assert re.match(r"Cell \[\d+\]\. Replay: ", ran.error["evalue"])


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("--image nobody", "neither such a variable nor such a file"),
        ("--image rad", "did you mean `red`?"),
        ("--image gone.png", "no file gone.png"),
        ("--tools fnd", "--tools fnd: the notebook has no `fnd`; did you mean `find`?"),
        ("--schema Persn", "--schema Persn: the notebook has no `Persn`"),
        ("--param top_=1", "did you mean `top_p`?"),
        ("--param seed", "must be name=value"),
        ("--seed x", "--seed 'x' is not a whole number"),
        ("--endpoint vlm", "did you mean `vllm`?"),
        ("-m qwen3.5-plsu", "did you mean `qwen3.5-plus`?"),
        ("--schema", "needs a value"),
        ("--seed 1 --seed 2", "given twice"),
        ("--think --no-think", "contradict each other"),
        ("--into 2x", "is not a name"),
    ],
)
def test_a_wrong_value_says_what_is_wrong_and_sends_nothing(ready, sim, line, told):
    sim.ledger.clear()
    ran = ready.run(f"%qwen {line} about it" if line != "--schema" else "%%qwen --schema\nabout it")
    assert ran.status == "error" and told in ran.error["evalue"]
    assert len(ran.error["traceback"]) == 1 and sim.ledger.count("asked") == 0


def test_the_page_about_cells_tells_of_every_option_and_every_line():
    page = (Path(__file__).parents[2] / "docs" / "cells.md").read_text(encoding="utf-8")
    for option in OPTIONS:
        for flag in option.flags:
            assert f"`{flag}" in page, flag
    from qwennb.notebook.magics import QwenMagics

    for name in QwenMagics.class_trait_names(config=True):
        assert f"`{name}`" in page or f"QwenMagics.{name}" in page, name


def test_a_list_of_pictures_is_sent_one_by_one(ready, sim, script):
    script("said")
    ready.run("album = [red, red.rotate(90, expand=True)]")
    assert ready.run("%qwen --image album compare").status == "ok"
    assert len(parts(sim, "image_url")) == 2


def test_what_goes_on_needs_a_conversation(ready, sim, script):
    script("said")
    ran = ready.run("%qwen --resume and then")
    assert ran.error["evalue"] == "--resume goes on with a conversation: --chat NAME --resume."
    assert sim.ledger.count("asked") == 0
