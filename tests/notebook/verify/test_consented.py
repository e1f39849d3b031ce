"""A notebook in which tools were allowed or denied is verified, compared by nbval, and asked again elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_output, output_from_msg

from qwennb.cache import Pack
from qwennb.simulator import Reply, Simulator, ToolCall
from tests.notebook.conftest import Kernel
from tests.notebook.verify.test_verify import qwennb
from tests.notebooks import KEY, Live, written

CELLS = (
    "%load_ext qwennb",
    "def harbour(name: str) -> str:\n    'Counts ships.'\n    open('ran.txt', 'a').write(name + ';')\n    return '7 ships'",
    "print('before')\n%qwen --tools harbour How many in Bonn?\nprint('after')",
    "%%qwen --tools harbour\nHow many in Kiel?",
)
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def ask_for(name: str) -> Reply:
    return Reply(None, tool_calls=[ToolCall("harbour", {"name": name}, id=f"call_{name}")])


def answer_as(model_calls: dict[str, str]):
    """A model that calls `harbour` for the city in the question, then tells what it heard."""

    def say(asked):
        last = asked.messages[-1]
        if last["role"] == "tool":
            return f"I heard: {last['content']}"
        return next(ask_for(call) for word, call in model_calls.items() if word in asked.text)

    return say


def run_by_hand(notebook: Path, environ: dict[str, str], answers: dict[int, str]) -> None:
    """Run *notebook* as JupyterLab does: what is typed becomes an output, and a clearing clears."""
    kernel = Kernel({**environ, "PYTHONPATH": str(Path(__file__).parents[3])})
    saved = nbformat.read(notebook, as_version=4)
    try:
        kernel.run(f"import os; os.chdir({str(notebook.parent)!r})")
        for number, cell in enumerate(saved.cells, 1):
            ran = kernel.run(cell.source, answers=[answers[number]] if number in answers else None)
            typed = [new_output("stream", name="stdin", text=f"{q}{answers[number]}\n") for q in ran.asked]
            cell.outputs = [
                output_from_msg({"header": {"msg_type": kind}, "content": content})
                for kind, content in ran.kept
            ]
            if ran.count("clear_output"):
                typed = []
            cell.outputs += typed
            cell.execution_count = number
    finally:
        kernel.stop()
    nbformat.write(saved, notebook)


@pytest.fixture(scope="module")
def sent(tmp_path_factory) -> Path:
    """A notebook run by hand, one call allowed and one denied, with its pack. The endpoint is gone."""
    folder = tmp_path_factory.mktemp("sender")
    with Simulator(
        "openrouter", api_key=KEY, script=answer_as({"Bonn": "Bonn", "Kiel": "Kiel"})
    ) as simulator:
        live = Live(folder, simulator)
        notebook = written(folder / "analysis.ipynb", CELLS)
        run_by_hand(notebook, live.environ, {3: "y", 4: "n"})
        live.pack(notebook)
    return notebook


def test_the_saved_notebook_says_what_was_allowed_and_holds_no_question(sent):
    cells = nbformat.read(sent, as_version=4).cells
    assert [o.get("name", o.output_type) for o in cells[2].outputs] == ["stdout", "display_data", "stdout"]
    assert "Allowed harbour(" in cells[2].outputs[1].data["text/markdown"]
    assert [o.output_type for o in cells[3].outputs] == ["display_data"]
    assert "Not allowed: harbour(" in cells[3].outputs[0].data["text/markdown"]
    assert (sent.parent / "ran.txt").read_text() == "Bonn;"


def test_it_is_verified_and_no_tool_runs(sent, away):
    moved = away(sent, sent.with_suffix(".qwenpack"))
    done = qwennb("verify", moved.name, folder=moved.parent)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 of 4 answers replayed" in done.stdout and not (moved.parent / "ran.txt").exists()


def test_a_question_that_an_older_version_left_in_the_file_is_no_difference(sent, away):
    moved = away(sent, sent.with_suffix(".qwenpack"))
    saved = nbformat.read(moved, as_version=4)
    saved.cells[2].outputs.insert(1, new_output("stream", name="stdin", text="Run harbour? [y/N]  y\n"))
    nbformat.write(saved, moved)
    done = qwennb("verify", moved.name, folder=moved.parent)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("mode", ["replay", "on"])
def test_plain_nbval_finds_the_same(sent, away, mode):
    moved = away(sent, sent.with_suffix(".qwenpack"))
    environ = {**os.environ, "QWENNB_CACHE": mode, "HOME": str(moved.parent)}
    environ["PYTHONPATH"] = str(Path(__file__).parents[3])
    if mode == "replay":
        environ["QWENNB_PACK"] = str(moved.with_suffix(".qwenpack"))
    else:  # on the owner's machine, with the owner's own answers
        environ |= {"QWENNB_CACHE_DIR": str(sent.parent / "cache"), "QWENNB_API_KEY": KEY}
        environ["QWENNB_ENDPOINT"] = "openrouter+http://127.0.0.1:9/v1"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--nbval",
        "--nbval-current-env",
        "-q",
        "-p",
        "no:cacheprovider",
    ]
    done = subprocess.run(
        [*command, "-c", os.devnull, f"--rootdir={moved.parent}", moved.name],
        cwd=moved.parent, env=environ, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 0 and f"{len(CELLS)} passed" in done.stdout, done.stdout[-3000:]
    assert not (moved.parent / "ran.txt").exists()


def test_drift_takes_the_recorded_consent_for_the_same_call_alone(sent, away):
    moved = away(sent, sent.with_suffix(".qwenpack"))
    with Simulator(
        "openrouter", api_key=KEY, script=answer_as({"Bonn": "Bonn", "Kiel": "Kiel"})
    ) as simulator:
        environ = {"QWENNB_ENDPOINT": f"openrouter+{simulator.base_url}", "QWENNB_API_KEY": KEY}
        pack = ["--pack", moved.with_suffix(".qwenpack").name]
        done = qwennb("drift", moved.name, "--model", "plus", *pack, folder=moved.parent, **environ)
        assert "0 of 4" in done.stdout or done.returncode == 0, done.stdout + done.stderr
        told = [
            ask.body["messages"][-1]["content"]
            for ask in simulator.ledger.asks()
            if ask.body["messages"][-1]["role"] == "tool"
        ]
        assert told == ["7 ships", "Error: PermissionError: the user did not allow this call"]
        assert (moved.parent / "ran.txt").read_text() == "Bonn;"
        simulator.script(answer_as({"Bonn": "Hamburg", "Kiel": "Kiel"}))
        simulator.ledger.clear()
        (moved.parent / "ran.txt").unlink()
        done = qwennb("drift", moved.name, "--model", "27b", *pack, folder=moved.parent, **environ)
        assert not (moved.parent / "ran.txt").exists(), "another call was never allowed"
    assert len(Pack.read(sent.with_suffix(".qwenpack"))) == 4
