"""The demo runs the tour where somebody answers, tells what it did, and what it leaves replays for nothing."""

from __future__ import annotations

import io
import os
import tomllib
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest

from qwennb import Pack
from qwennb.answer import Cost
from qwennb.cli.demo import BESIDE, TOUR, _tell
from qwennb.cli.world import World
from tests.answers import answers

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
OURS = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
ROWS, MOST = 150, 165  # of the column; of all answers: what 90 seconds have room for on two cores


def test_the_tour_is_run_once_and_replays_from_the_pack_that_it_leaves(run, simulate, tmp_path):
    sim = simulate("vllm")
    ran = run("demo", "-e", f"vllm+{sim.base_url}", "--into", "tour", environ=OURS)
    assert ran.code == 0, ran.err
    asked = sim.ledger.count("asked")
    assert ROWS < asked <= MOST and f"{asked} answers by qwen3.5-9b" in ran.out
    assert "150 rows, 150 unique" in ran.out and "accuracy" in ran.out and "[18/18]" in ran.err
    assert "simulator" not in ran.out
    notebook = nbformat.read(tmp_path / "tour" / "00-tour.ipynb", as_version=4)
    shown = {
        cell.source: "".join(map(str, cell.outputs)) for cell in notebook.cells if cell.cell_type == "code"
    }
    [verified] = [told for source, told in shown.items() if source.startswith("!qwennb verify")]
    [drifted] = [told for source, told in shown.items() if source.startswith("!qwennb drift")]
    assert "9 of 9 answers replayed" in verified and "agreement" in drifted
    assert sum("image/png" in told for told in shown.values()) == 2
    assert "A tour of qwennb" in (tmp_path / "tour" / "00-tour.html").read_text()
    pack = Pack.read(tmp_path / "tour" / "packs" / "00-tour.qwenpack")
    assert len(pack) == asked
    read, written = sum(a.usage.input for a in pack), sum(a.usage.output for a in pack)
    assert f"{read:,} tokens in, {written:,} out, $0.00, in" in ran.out

    again = run("verify", "tour/00-tour.ipynb", environ=OURS)
    # Not "outputs as saved": a busy machine may have told of itself in the live run.
    assert f"{asked} of {asked} answers replayed, $0.00" in again.out, again.out + again.err
    assert sim.ledger.count("asked") == asked


def test_a_tour_that_breaks_off_says_where_and_leaves_what_there_is(run, simulate, tmp_path):
    sim = simulate("vllm", script=["broken"] * 20)
    ran = run("demo", "-e", f"vllm+{sim.base_url}", "--into", "tour", environ=OURS)
    assert ran.code == 1 and "The tour could not be finished: InvalidAnswer" in ran.err
    notebook = nbformat.read(tmp_path / "tour" / "00-tour.ipynb", as_version=4)
    assert "the build quality" in str(notebook.cells[3].outputs)  # the rows, before the first question


def test_what_the_tour_reads_is_written_beside_it_once(run, tmp_path):
    lesson = tmp_path / "tour" / "01-first-cell.ipynb"
    lesson.parent.mkdir()
    lesson.write_text("as I left it")
    ran = run("demo", "--endpoint", "simulator", "--into", "tour", environ=OURS | {"MPLBACKEND": "none such"})
    assert ran.code == 1 and "The tour could not be finished" in ran.err  # in its first cell
    assert "no model's" in ran.out
    assert lesson.read_text() == "as I left it"
    assert all((lesson.parent / name).is_file() for name in BESIDE)


def test_a_wheel_has_all_that_the_tour_reads():
    included = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"][
        "wheel"
    ]
    wanted = {f"notebooks/{name}": f"qwennb/cli/tour/{name}" for name in (TOUR, *BESIDE)}
    assert included["force-include"] == wanted and all((ROOT / name).is_file() for name in wanted)


def test_an_endpoint_that_does_not_answer_is_a_failure_with_its_sentence(run, simulate):
    sim = simulate("vllm")
    sim.stop()
    ran = run("demo", "-e", f"vllm+{sim.base_url}", "-m", "9b")
    assert ran.code == 1 and "can't be reached" in ran.err


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
