"""The demo runs the tour where somebody answers, tells what it did, and costs nothing the second time."""

from __future__ import annotations

import io
from dataclasses import replace

import nbformat
import pytest

from qwennb import Pack
from qwennb.answer import Cost
from qwennb.cli.demo import _tell
from qwennb.cli.world import World
from tests.answers import answers

pytestmark = pytest.mark.slow


def test_the_tour_is_run_once_and_recalled_once(run, simulate, tmp_path):
    sim = simulate("vllm")
    ran = run("demo", "-e", f"vllm+{sim.base_url}", "--into", "tour")
    assert ran.code == 0, ran.err
    asked = sim.ledger.count("asked")
    assert asked == 13 and "13 answers by qwen3.5-9b" in ran.out
    assert "shape: (10, 2)" in ran.out and "[11/11]" in ran.err
    assert "simulator" not in ran.out
    notebook = nbformat.read(tmp_path / "tour" / "00-tour.ipynb", as_version=4)
    assert all(cell.outputs or "mail =" in cell.source for cell in notebook.cells if cell.cell_type == "code")
    assert "A tour of qwennb" in (tmp_path / "tour" / "00-tour.html").read_text()
    pack = Pack.read(tmp_path / "tour" / "packs" / "00-tour.qwenpack")
    assert len(pack) == asked
    read, written = sum(a.usage.input for a in pack), sum(a.usage.output for a in pack)
    assert f"{read:,} tokens in, {written:,} out, $0.00, in" in ran.out

    again = run("demo", "-e", f"vllm+{sim.base_url}", "--into", "tour")
    assert again.code == 0 and sim.ledger.count("asked") == asked


def test_a_tour_that_breaks_off_says_where_and_leaves_what_there_is(run, simulate, tmp_path):
    sim = simulate("vllm", script=["fine", *["broken"] * 20])
    ran = run("demo", "-e", f"vllm+{sim.base_url}", "--into", "tour")
    assert ran.code == 1 and "The tour could not be finished: InvalidAnswer" in ran.err
    notebook = nbformat.read(tmp_path / "tour" / "00-tour.ipynb", as_version=4)
    assert "fine" in str(notebook.cells[3].outputs)


def test_an_endpoint_that_does_not_answer_is_a_failure_with_its_sentence(run, simulate):
    sim = simulate("vllm")
    sim.stop()
    ran = run("demo", "-e", f"vllm+{sim.base_url}", "-m", "9b")
    assert ran.code == 1 and "can't be reached" in ran.err


def test_the_simulators_answers_are_said_to_be_no_models(run):
    ran = run("demo", "--endpoint", "simulator")
    assert ran.code == 0 and "no model's" in ran.out


@pytest.mark.parametrize(
    ("costs", "told"),
    [
        ((Cost(0.0, "local"), Cost(0.0, "local")), "$0.00"),
        ((Cost(0.00001, "server"), Cost(0.00002, "server")), "$0.00003"),
        ((Cost(0.00001, "table"), Cost(0.00002, "server")), "≈ $0.00003"),
        ((Cost(0.00001, "server"), None), "price unknown"),
    ],
)
def test_what_it_cost_is_the_sum_of_its_answers_and_nothing_only_where_that_is_so(tmp_path, costs, told):
    said = io.StringIO()
    world = World({}, tmp_path, said, said, io.StringIO())
    (tmp_path / "packs").mkdir()
    made = [replace(one, cost=cost) for one, cost in zip(answers(2), costs, strict=True)]
    Pack.of(made).write(tmp_path / "packs" / "00-tour.qwenpack")
    _tell(nbformat.v4.new_notebook(), tmp_path, 3.2, world)
    assert f"2 answers by qwen3.5-plus, 41 tokens in, 10 out, {told}, in 3 s." in said.getvalue()


def test_in_replay_it_does_not_ask(run):
    ran = run("demo", environ={"QWENNB_CACHE": "replay"})
    assert ran.code == 2 and "QWENNB_CACHE=on" in ran.err
