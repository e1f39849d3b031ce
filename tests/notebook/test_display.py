"""What a cell shows, while it grows and for good."""

from __future__ import annotations

import html
import json
import os
import re
import subprocess
import sys

import pytest

from qwennb.answer import MIME, Answer, Page
from qwennb.notebook.display import Cell
from qwennb.notebook.place import CellPlace, Wrapper
from qwennb.request import Request, user_message
from qwennb.simulator import Fault, Reply
from tests.conftest import until
from tests.notebook.conftest import CANARY


def streamed(pieces: list[str], delay: float = 0.02, **more) -> Reply:
    return Reply("".join(pieces), chunks=pieces, chunk_delay=delay, **more)


def told(ran) -> list[str]:
    """What was shown, one after the other."""
    return [c["data"]["text/markdown"] for _, kind, c in ran.messages if "display_data" in kind]


@pytest.mark.slow
def test_an_answer_is_seen_to_grow_and_ends_as_one_output(kernel, script):
    script(streamed([f"word{n} " for n in range(60)], delay=0.04))
    ran = kernel.run("%qwen grow")
    assert ran.count("display_data") == 1 and len(ran.outputs) == 1
    shown = [(at, str(c["data"])) for at, kind, c in ran.messages if "display_data" in kind]
    assert len({data for _, data in shown if "word59" not in data}) >= 2, "it grows"
    took = shown[-1][0] - shown[0][0]
    assert len(shown) <= took * 5 + 3, "at most five a second"
    assert "word59" in ran.markdown and set(ran.data) == {"text/markdown", "text/plain", MIME}


def test_an_answer_from_memory_is_one_display_and_the_same(kernel, script):
    script(Reply("Some **text** for $5.", reasoning="first I think"))
    live, known = kernel.run("%qwen twice the same"), kernel.run("%qwen twice the same")
    assert live.count("update_display_data") >= 1
    assert known.count("display_data") == 1 and known.count("update_display_data") == 0
    assert known.data == live.data


@pytest.mark.slow
def test_a_piece_that_waits_is_shown_before_the_next_one_comes(kernel, script):
    script(streamed(["first ", "second ", "third"], delay=1.2))
    ran = kernel.run("%qwen slowly")
    shown = [c["data"]["text/plain"] for _, kind, c in ran.messages if "display_data" in kind]
    assert next(one for one in shown if "…" not in one) == "first "
    assert any("second" in one and "third" not in one for one in shown)


@pytest.mark.slow
def test_reasoning_is_open_while_it_thinks_and_closed_after(kernel, script):
    script(Reply("done", reasoning="<b>let me</b> see", chunk_delay=0.3))
    ran = kernel.run("%qwen think about it")
    shown = [c["data"]["text/markdown"] for _, kind, c in ran.messages if "display_data" in kind]
    assert any("<details open>" in one and "Thinking" in one for one in shown)
    assert "<details><summary>Thought · " in ran.markdown and "&lt;b>let me" in ran.markdown


def test_what_is_kept_is_inert_and_holds_no_text_twice(kernel, script):
    script("<script>alert(1)</script> ![x](http://evil.example/p.png?q=1)")
    ran = kernel.run("%qwen attack")
    assert "<script" not in ran.markdown and "[image: evil.example" in ran.markdown.replace("&#91;", "[")
    provenance = json.dumps(ran.data[MIME])
    assert "alert" not in provenance and "attack" not in provenance and len(ran.data[MIME]["key"]) == 64


@pytest.mark.slow
def test_an_interrupt_keeps_what_came_and_remembers_nothing(kernel, sim, script):
    script(streamed([f"w{n} " for n in range(50)], delay=0.05), "whole")
    ran = kernel.run("%qwen --chat held --into part long story", cell="held-1", interrupt_at="w3")
    assert (
        ran.status == "error"
        and ran.error["ename"] == "KeyboardInterrupt"
        and len(ran.error["traceback"]) == 1
    )
    shown = next(o for o in ran.outputs if o["output_type"] == "display_data")["data"]
    assert "[interrupted]" in shown["text/plain"] and "w3" in shown["text/plain"]
    assert kernel.value("part.finish_reason") == "interrupted"
    again = kernel.run("%qwen --chat held long story", cell="held-1")
    # Where leaving saves no money the rest is fetched and kept; the part alone never is.
    assert (
        again.status == "ok"
        and "[interrupted]" not in again.plain
        and ("w49" in again.plain or "whole" in again.plain)
    )


@pytest.mark.slow
def test_a_failing_call_stops_a_run_with_a_short_traceback(kernel, sim):
    sim.fault("500")
    try:
        for mode in ("Plain", "Context", "Verbose", "Minimal"):
            kernel.run(f"%xmode {mode}")
            ran = kernel.run("%qwen --param timeout=1 --no-cache fails")
            assert ran.status == "error" and len(ran.error["traceback"]) == 1
            assert CANARY not in str(ran.outputs)
    finally:
        sim.reset()
        kernel.run("%xmode Context")


def test_the_key_is_in_no_output(kernel, script):
    script("ok")
    for code in (
        "%qwen hello",
        "%qwen_config",
        "%qwen_sent",
        "%qwen_cache",
        "%qwen -e openrouter hi",
        "get_ipython().magics_manager",
    ):
        assert CANARY not in str(kernel.run(code).messages)
    for mode in ("Plain", "Context", "Verbose", "Minimal"):
        kernel.run(f"%xmode {mode}")
        ran = kernel.run(
            "from qwennb import Qwen\nclient = Qwen()\ndef go(c):\n    config = c.session.config\n    raise ValueError(c)\ngo(client)"
        )
        assert ran.status == "error" and CANARY not in str(ran.messages)
    kernel.run("%xmode Context")


@pytest.mark.slow
def test_a_saved_streamed_notebook_passes_nbval(kernel, sim, script, tmp_path):
    script(streamed([f"piece {n}, " for n in range(40)], delay=0.03, reasoning="hm"))
    kernel.run("%unload_ext qwennb")
    cells = ["%load_ext qwennb", "%%qwen --into said\nTell me.", "print(said.finish_reason)"]
    saved = []
    for source in cells:
        outputs = [
            {k: v for k, v in o.items() if k not in ("transient",)} for o in kernel.run(source).outputs
        ]
        saved.append(
            {
                "cell_type": "code",
                "execution_count": len(saved) + 1,
                "id": f"c{len(saved)}",
                "metadata": {},
                "outputs": outputs,
                "source": source,
            }
        )
    notebook = tmp_path / "saved.ipynb"
    spec = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook.write_text(
        json.dumps({"cells": saved, "metadata": {"kernelspec": spec}, "nbformat": 4, "nbformat_minor": 5})
    )
    environ = {
        **os.environ, "QWENNB_CACHE": "replay", "QWENNB_CACHE_DIR": kernel.value("__import__('os').environ['QWENNB_CACHE_DIR']"),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }  # fmt: skip
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--nbval",
        "-q",
        "-p",
        "no:cacheprovider",
        "-c",
        os.devnull,
        "--rootdir",
        str(tmp_path),
        str(notebook),
    ]
    done = subprocess.run(
        command, env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=250, check=False
    )
    assert done.returncode == 0 and "3 passed" in done.stdout, done.stdout[-3000:]


class Watched(CellPlace):
    """An output that is seen by the test."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[dict[str, str]] = []

    @property
    def is_empty(self):
        return not self.shown

    def publish(self, bundle, *, grows=False):
        self.shown.append(bundle)


def test_nothing_is_shown_after_the_end():
    now = [100.0]
    place = Watched()
    cell = Cell(place, clock=lambda: now[0])
    cell.grow("first", "")
    now[0] -= 60.0
    cell.grow(" and the last", "")  # too soon: it waits for its turn, which is in a minute
    waiting = cell._timer
    assert waiting is not None and len(place.shown) == 1
    page = Page((Answer(Request("m", (user_message("x"),)), text="first and the last"),))
    cell.end(page)
    waiting.join(10)
    assert place.shown[1:] == [page.bundle()]


@pytest.mark.slow
def test_half_a_value_is_never_shown(kernel, script):
    script(streamed(['{"name": ', '"Ada", ', '"age": 36}'], delay=0.1))
    ran = kernel.run("%qwen --schema 'name, age int' Who was she?")
    assert [one for one in told(ran) if "Ada" in one] == [ran.markdown] and "| name | Ada |" in ran.markdown


def test_a_stream_that_breaks_leaves_what_had_come_marked(kernel, script):
    script(Reply("", chunks=["half ", "of ", "it "], chunk_delay=0.3, fault=Fault("error_midway")))
    ran = kernel.run("%qwen --no-cache --param timeout=20 until it breaks")
    assert ran.status == "error" and len(ran.error["traceback"]) == 1
    [shown] = [o for o in ran.outputs if o["output_type"] == "display_data"]
    assert "half" in shown["data"]["text/plain"] and "[interrupted]" in shown["data"]["text/plain"]
    assert shown["data"][MIME]["finish_reason"] == "interrupted"


@pytest.mark.slow
def test_five_hundred_pieces_a_second_are_shown_five_times_a_second():
    now = [100.0]
    place = Watched()
    cell = Cell(place, clock=lambda: now[0])
    for number in range(5_000):
        cell.grow(f"w{number} ", "")
        if number in (0, 2_500, 4_999):
            late = number - int(place.shown[-1]["text/plain"].rstrip().rpartition("w")[2])
            assert late <= 100, "never further behind than one update"
        now[0] += 0.002
    cell.close()
    assert 45 <= len(place.shown) <= 300, "ten seconds of ours, and timers of real time"


def test_a_piece_that_comes_too_soon_is_shown_without_another_one():
    now = [100.0]
    place = Watched()
    cell = Cell(place, clock=lambda: now[0])
    cell.grow("first", "")
    now[0] -= 0.5
    cell.grow(" second", "")
    assert [one["text/plain"] for one in place.shown] == ["first"]
    until(lambda: len(place.shown) == 2, "it is shown when its time has come")
    assert [one["text/plain"] for one in place.shown] == ["first", "first second"]


def test_what_went_in_is_known_by_its_hash_in_what_is_saved(kernel, script):
    kernel.run("figure, other = [1, 2], 'b'")
    script("a", "b")
    one = kernel.run("%qwen about {{ figure }} and {{ other }}").data[MIME]["inputs"]
    assert list(one) == ["figure", "other"] and len(set(one.values())) == 2
    kernel.run("figure = [1, 3]")
    two = kernel.run("%qwen about {{ figure }} and {{ other }}").data[MIME]["inputs"]
    assert two["other"] == one["other"] and two["figure"] != one["figure"]


@pytest.mark.slow
def test_what_is_waited_for_stands_there_within_a_fifth_of_a_second_and_counts(kernel, script):
    script("warm", Reply("at last", delay=2.4), Reply('{"a": 1}', delay=1.3))
    kernel.run("%qwen warm")
    for line in ("%qwen wait for it", "%qwen --schema 'a int' wait for it"):
        ran = kernel.run(line, cell="watched")
        [began] = [at for at, kind, _ in ran.messages if kind == "execute_input"]
        first = next(at for at, kind, _ in ran.messages if kind == "display_data")
        assert first - began < 0.5, "0.2 s, on a machine that may be busy"
        waits = [one for one in told(ran) if "…" in one]
        assert html.unescape(waits[0]) == "qwen3.5-flash at openrouter …"
        assert html.unescape(waits[1]) == "qwen3.5-flash at openrouter … 1 s"
        [output] = [one for one in ran.outputs if one["output_type"] == "display_data"]
        assert "…" not in output["data"]["text/markdown"]


@pytest.mark.slow
def test_no_wait_is_left_in_what_is_saved_of_a_cell_that_failed(kernel, sim, script):
    sim.fault("500")
    try:
        ran = kernel.run("%qwen --param timeout=1 --no-cache it fails", cell="watched")
    finally:
        sim.reset()
    assert ran.status == "error" and any("…" in one for one in told(ran))
    assert [o["data"] for o in ran.outputs if o["output_type"] == "display_data"] == [
        {"text/markdown": "", "text/plain": ""}
    ]


@pytest.mark.slow
def test_who_runs_a_notebook_without_looking_on_is_shown_no_wait(kernel, script):
    script(Reply("at last", delay=1))
    ran = kernel.run("%qwen run it by a program")
    assert ran.status == "ok" and not any("…" in one for one in told(ran))


@pytest.mark.slow
def test_a_console_that_updates_no_output_is_written_line_by_line(kernel, script):
    script(Reply("It is so.", reasoning="hm, let me think", delay=0.4))
    ran = kernel.run("%qwen is it?", answers=[], cell="")
    assert ran.status == "ok" and ran.count("display_data") == 0
    shown = re.sub(r"[^\n]*\r\x1b\[K", "", ran.printed)
    assert shown.startswith("> hm, let me think\n\nIt is so.\n\n[qwen3.5-flash · ") and shown.endswith("]\n")
    assert "qwen3.5-flash at openrouter …" in ran.printed
    again = kernel.run("%qwen is it?", answers=[], cell="")
    assert again.printed.startswith("It is so.\n\n[qwen3.5-flash · ")


@pytest.mark.slow
def test_a_console_is_told_of_a_column_as_a_terminal_is(kernel, script):
    kernel.run("import polars as pl\ntable = pl.DataFrame({'n': [0, 1, 2, 2]})")
    script(*[Reply("x", delay=0.8)] * 3)
    ran = kernel.run("_ = table.qwen.ask('Say {{ n }}', concurrency=1)", answers=[], cell="")
    assert ran.status == "ok" and ran.count("display_data") == 0
    lines = ran.printed.split("\r\x1b[K")
    assert lines[-1].startswith("qwen3.5-flash · 4 rows, 3 unique · ") and any("█" in one for one in lines)


def test_a_text_is_broken_at_words_and_code_is_not():
    said = "one two three four\n    code that is longer than that\n\n```\nx = 1 + 2 + 3 + 4\n```\n| a | table of words |\n東京 東京 東京"
    for size in (1, 3, 1000):
        lines = Wrapper(12)
        made = "".join(lines.add(said[at : at + size]) for at in range(0, len(said), size)) + lines.end()
        assert made == (
            "one two\nthree four\n    code that is longer than that\n\n```\nx = 1 + 2 + 3 + 4\n```\n"
            "| a | table of words |\n東京 東京\n東京"
        )
    quoted = Wrapper(12, "> ")
    assert quoted.add("one two three\n\nfour ") + quoted.end() == "> one two\n> three\n>\n> four"
    whole = Wrapper(0)
    assert whole.add("one two three four five six seven") + whole.end() == "one two three four five six seven"
