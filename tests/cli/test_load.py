"""`qwennb load` measures what a server does: the simulator does what it was set to, and is no faster or slower."""

from __future__ import annotations

import json
import os
import re
import signal
import socketserver
import subprocess
import sys
import threading

import pytest

from qwennb.answer import Answer
from qwennb.cache import Pack
from qwennb.request import Message, Request, Settings, Text
from qwennb.simulator import Quota, Reply
from tests.conftest import NAMES

KEY = "sk-canary-84b1f0"
SHORT = ("--no-think", "--warmup", "0")


@pytest.fixture
def load(run, tmp_path):
    """Run a load of a simulator: what it printed, and its lines of JSON."""

    def typed(sim, *words: str, **world: object):
        endpoint = f"{NAMES[sim.dialect]}+{sim.base_url}"
        done = run(
            "load", "-e", endpoint, "--json", "lines.jsonl", *words, environ={"QWENNB_API_KEY": KEY}, **world
        )
        file = tmp_path / "lines.jsonl"
        lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
        return done, [line for line in lines if not line["warmup"]]

    return typed


def figures(out: str, row: str) -> list[float]:
    """The times, or rates, in a row of the table."""
    line = next(line for line in out.splitlines() if line.strip().startswith(row))
    found = re.findall(r"([\d.,]+) (s|ms|/s)(?=  |$)", line)
    return [float(number.replace(",", "")) / (1000 if unit == "ms" else 1) for number, unit in found]


def near(value: float) -> object:
    return pytest.approx(value, rel=0.05)


# ---------------------------------------------------------------------- figures


@pytest.mark.slow
def test_each_figure_is_within_five_per_cent_of_what_the_server_was_set_to(simulate, load):
    """After 2.3 s the first of two pieces of thought, then four of the answer, 0.8 s apart: 6.3 s in all, 20 at a time.

    Long times, for on a busy machine each piece of the simulator's is some milliseconds late.
    """
    reply = Reply("abcd" * 4, reasoning=" abc" * 2, chunks=["abcd"] * 4, delay=1.5)
    sim = simulate("vllm", token_latency=0.8, script=lambda asked: reply if asked.index else "yes")
    limits = ("--limit", "total=9", "--limit", "between=2")
    done, lines = load(sim, "-c", "20", "-n", "20", "--warmup", "0", *limits)
    assert done.code == 0 and len(lines) == 20
    assert figures(done.out, "first token") == [near(2.3)] * 3
    assert figures(done.out, "first of answer") == [near(3.9)] * 3
    assert figures(done.out, "between tokens") == [near(0.8)] * 3
    assert 0.76 < figures(done.out, "longest pause")[0] < 1.2  # one late piece makes it
    assert figures(done.out, "end to end") == [near(6.3)] * 3
    assert figures(done.out, "output tokens") == [near(20 * 6 / 6.3)]
    assert figures(done.out, "answers") == [near(20 / 6.3)]
    assert figures(done.out, "goodput")[0] == near(20 / 6.3)
    assert "p99 of so few answers would be the slowest" in done.out


@pytest.mark.slow
def test_at_a_rate_what_waits_at_the_server_is_in_the_latency(simulate, load):
    """Five a second for a server that answers two a second: the k-th waits for all before it, and nobody waits to send it."""
    sim = simulate("vllm", latency=0.5, quota=Quota(slots=1))
    done, lines = load(sim, "--rate", "5", "-n", "10", *SHORT)
    lines.sort(key=lambda line: line["due"])
    assert [line["due"] for line in lines] == pytest.approx([k / 5 for k in range(10)])
    assert [line["sent"] - line["due"] for line in lines] == pytest.approx([0.0] * 10, abs=0.4)
    assert sorted(line["end"] for line in lines) == [near(0.5 * (k + 1)) for k in range(10)]
    assert figures(done.out, "answers") == [near(2.0)]


def test_what_failed_is_told_by_kind_and_asked_once(simulate, load):
    sim = simulate("vllm")
    sim.fault("429", when=[2, 5, 7])
    sim.fault("500", when=[9])
    done, lines = load(sim, "--rate", "50", "-n", "20", *SHORT)
    assert done.code == 0
    assert sorted(line["error"] for line in lines if line["error"]) == ["RateLimited 429"] * 3 + [
        "ServerFailed 500"
    ]
    assert (
        "3 × RateLimited 429, 1 × ServerFailed 500" in done.out
        and "The first ServerFailed 500: vllm" in done.out
    )
    assert sim.ledger.count("asked") == 21  # and the one that is tried before


def test_twins_are_each_sent_and_nothing_is_recalled_or_kept(simulate, load, tmp_path):
    sim, file = simulate("vllm"), tmp_path / "one.txt"
    file.write_text("The same question.\n")
    for times in (1, 2):
        load(sim, "-c", "4", "-n", "8", "--prompts", "one.txt", *SHORT)
        assert sim.ledger.count("paid") == 9 * times
    assert sim.ledger.unique == 1


@pytest.mark.slow
def test_a_sweep_doubles_the_streams_until_that_brings_nothing(simulate, load):
    sim = simulate("vllm", latency=0.25, quota=Quota(slots=2))
    done, lines = load(sim, "--sweep", "-n", "4", *SHORT)
    stages = list(dict.fromkeys(line["stage"] for line in lines))
    # Of two slots, four streams gain nothing; where this machine is busy, a stage more may be needed to see it.
    assert stages[:3] == ["1 stream", "2 streams", "4 streams"] and len(stages) < 6
    assert "tokens/s" in done.out


def test_a_stage_ends_with_its_seconds(simulate, load):
    done, lines = load(simulate("vllm", latency=0.1), "-c", "2", "--seconds", "0.35", *SHORT)
    assert done.code == 0 and 2 <= len(lines) <= 8 and all(line["due"] < 0.35 for line in lines)


# ---------------------------------------------------------------------- many streams


@pytest.mark.parametrize(
    ("streams", "pieces"),
    [pytest.param(200, 5, marks=pytest.mark.slow), pytest.param(1_000, 20, marks=pytest.mark.nightly)],
)
def test_streams_of_a_piece_a_second_are_each_read_as_they_come(run, tmp_path, streams, pieces):
    """Through the pool of columns, from a server in a process of its own."""
    program = (
        "from qwennb.simulator import Reply, Simulator; import sys\n"
        f"reply = Reply('abcd' * {pieces}, chunks=['abcd'] * {pieces})\n"
        "with Simulator('vllm', token_latency=1.0, script=lambda asked: reply if asked.index else 'yes') as sim:\n"
        "    print(sim.base_url, flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        url = server.stdout.readline().strip()
        words = ["-c", f"{streams}", "-n", f"{streams}", "--warmup", "0", "--no-think"]
        done = run("load", "-e", f"vllm+{url}", *words)
        server.stdin.close()
    assert done.code == 0, done.err
    assert f"{streams:,} streams: {streams:,} answers" in done.out
    # The nightly run has the machine to itself, and holds half of the streams to five per cent.
    between = figures(done.out, "between tokens")
    assert 0.95 < between[0] < (1.05 if pieces > 5 else 1.25) and between[-1] < 1.5
    # All of it, from the first request to the last piece; the beginning takes time too.
    assert 0.7 * streams < figures(done.out, "output tokens")[0] <= streams


@pytest.fixture
def closing_server():
    """A server that closes each connection right after its stream, though it said that it keeps it: llama.cpp's does so."""
    events = [
        {"choices": [{"delta": {"content": "Yes."}, "finish_reason": None}]},
        {"choices": [{"delta": {}, "finish_reason": "stop"}]},
    ]
    data = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
    head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nKeep-Alive: timeout=5\r\nTransfer-Encoding: chunked\r\n\r\n"
    reply = f"{head}{len(data):x}\r\n{data}\r\n0\r\n\r\n".encode()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while (line := self.rfile.readline().decode()) not in ("\r\n", ""):
                if line.lower().startswith("content-length:"):
                    length = int(line.partition(":")[2])
            if line:
                self.rfile.read(length)
                self.wfile.write(reply)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
        server.shutdown()


def test_a_connection_that_was_closed_without_a_word_is_no_error(run, closing_server):
    done = run("load", "-e", f"openai+{closing_server}", "-m", "x", "-c", "2", "-n", "40", *SHORT[1:])
    assert done.code == 0, done.err
    assert "2 streams: 40 answers" in done.out and "none; nothing is asked again" in done.out


# ---------------------------------------------------------------------- what is asked


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.txt", "Who?\n\nWhat?\n", []),
        ("a.csv", "prompt,id\nWho?,1\nWhat?,2\n", []),
        ("a.jsonl", '{"id": 1, "mail": "Who?"}\n{"id": 2, "mail": "What?"}\n', ["--column", "mail"]),
    ],
)
def test_the_prompts_of_a_file_are_asked_in_turn(simulate, load, tmp_path, name, content, words):
    sim = simulate("vllm")
    (tmp_path / name).write_text(content)
    done, _ = load(sim, "-c", "1", "-n", "3", "--prompts", name, *words, *SHORT)
    assert [one.body["messages"][-1]["content"] for one in sim.ledger.asks()] == [
        "What?",
        "Who?",
        "What?",
        "Who?",
    ]
    assert f"what {name} holds" in done.out


def test_the_requests_of_a_pack_are_asked_with_their_own_settings(simulate, load, tmp_path):
    asked = Request(
        "qwen3.5-9b", (Message("user", (Text("Who?"),)),), Settings(temperature=0.3, max_tokens=7)
    )
    Pack.of([Answer(asked, text="He.", endpoint="vllm:x", finish_reason="stop")]).write(
        tmp_path / "a.qwenpack"
    )
    sim = simulate("vllm")
    done, _ = load(sim, "-c", "1", "-n", "1", "--prompts", "a.qwenpack", "--warmup", "0")
    assert done.code == 0, done.err  # though the model thinks, and seven tokens end within the thought
    bodies = [one.body for one in sim.ledger.asks()]
    assert [(body["temperature"], body["max_tokens"]) for body in bodies] == [(0.3, 7)] * 2
    load(sim, "-c", "1", "-n", "1", "--prompts", "a.qwenpack", "--warmup", "0", "--max-tokens", "9")
    assert sim.ledger.asks()[-1].body["max_tokens"] == 9


def test_the_lines_and_the_table_hold_no_text_and_no_key(simulate, load, tmp_path):
    sim = simulate("vllm", api_key=KEY, script=lambda asked: "canary of an answer")
    (tmp_path / "a.txt").write_text("canary of a prompt\n")
    done, lines = load(sim, "-c", "1", "-n", "2", "--prompts", "a.txt", *SHORT)
    assert done.code == 0 and len(lines) == 2
    assert "canary" not in done.out + done.err + json.dumps(lines)


# ---------------------------------------------------------------------- money, others' servers, Ctrl-C


def test_a_hosted_endpoint_is_sent_nothing_without_a_budget_and_a_yes(simulate, load):
    sim = simulate("openrouter", api_key=KEY)
    for words, told in (
        ((), "Give --budget USD, and --yes."),
        (("--yes",), "Give --budget USD, and --yes."),
        (("--budget", "1"), "type it again with --yes"),
        (("--budget", "0.0001", "--yes", "-c", "100"), "more than the budget of $0.0001"),
    ):
        done, _ = load(sim, "-m", "flash", *words)
        assert done.code == 2 and told in done.err and done.err.count("\n") == 1
    assert sim.ledger.count("asked") == 0


def test_a_budget_ends_the_load_with_what_was_done_and_is_never_overshot(simulate, load):
    sim = simulate("openrouter", api_key=KEY)
    words = (
        "-m",
        "flash",
        "-c",
        "2",
        "-n",
        "500",
        "--budget",
        "0.001",
        "--yes",
        "--max-tokens",
        "64",
        *SHORT,
    )
    done, lines = load(sim, *words)
    assert done.code == 0 and 0 < len(lines) < 500
    assert sum(line["cost"] for line in lines) <= 0.001
    assert "It ended before its time. The next request may cost up to $" in done.out


def test_a_key_that_is_refused_is_one_sentence_and_no_load(simulate, load):
    sim = simulate("openrouter", api_key="sk-another")
    done, _ = load(sim, "-m", "flash", "--budget", "1", "--yes")
    assert (done.code, done.out) == (1, "") and done.err.count("\n") == 1 and "Check the key" in done.err
    assert sim.ledger.count("asked") == 1


@pytest.mark.parametrize("words", [(), ("-m", "9b")])
def test_an_endpoint_that_is_not_there_is_one_sentence(run, words):
    done = run("load", "-e", "vllm+http://127.0.0.1:9/v1", *words)
    assert done.out == "" and done.err.count("\n") == 1 and done.err.startswith("vllm at 127.0.0.1:9 ")


@pytest.mark.slow
def test_ctrl_c_ends_with_the_table_of_what_was_done(simulate, tmp_path):
    sim = simulate("vllm", latency=0.2)
    words = ["load", "-e", f"vllm+{sim.base_url}", "-c", "3", "-n", "10000", *SHORT]
    with subprocess.Popen(
        [sys.executable, "-m", "qwennb.cli", *words],
        env={**os.environ, "QWENNB_CACHE_DIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        sim.ledger.wait_for(8, "paid", timeout=60)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in err
    assert "first token" in out and "no answer yet when it was stopped" in out


# ---------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("-c", "0"), "--concurrency 0 is none. Give a number above 0"),
        (("-c", "2", "--rate", "3"), "--concurrency and --rate are two loads"),
        (("--poisson",), "Give --rate"),
        (("--limit", "frist=1"), "did you mean `first`"),
        (("--limit", "first"), "--limit first"),
        (("-c", "8", "-n", "4"), "can't keep 8 streams busy"),
        (("--prompts", "gone.csv"), "There is no file gone.csv"),
        (("--prompts", "a.csv", "--column", "promt"), "has no column 'promt'"),
        (("--prompts", "empty.txt"), "empty.txt holds no prompt"),
        (("--think", "much"), "thinking="),
        (("--column", "mail"), "Give the file: --prompts FILE"),
        (("--png", "gone/a.png"), "--png gone/a.png: there is no such folder"),
        (("--prompts", "long.txt"), "tokens"),
        (("--seconds", "-1"), "--seconds -1 is out of range"),
    ],
)
def test_a_mistake_is_one_sentence_and_nothing_is_sent(simulate, load, tmp_path, words, told):
    (tmp_path / "a.csv").write_text("prompt\nWho?\n")
    (tmp_path / "empty.txt").write_text(" \n")
    (tmp_path / "long.txt").write_text("Short.\n" + "word " * 400_000)
    sim = simulate("vllm")
    done, _ = load(sim, *words)
    assert done.code == 2 and told in done.err and done.err.count("\n") == 1
    assert sim.ledger.count("asked") == 0


@pytest.mark.slow
@pytest.mark.parametrize("words", [("-c", "2"), ("-c", "1,2"), ("--rate", "40,80")])
def test_the_picture_is_a_png(simulate, load, tmp_path, words):
    from PIL import Image

    done, _ = load(simulate("vllm"), *words, "-n", "4", "--png", "load.png", *SHORT)
    assert done.code == 0, done.err
    with Image.open(tmp_path / "load.png") as picture:
        assert picture.format == "PNG" and picture.width > 800
