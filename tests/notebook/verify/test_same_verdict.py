"""Of notebooks that do everything a notebook can do, ours and plain `pytest --nbval` say the same, cell by cell."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from nbval.plugin import IPyNbFile

from qwennb.notebook.verify import RanCell, Sandbox, run_notebook
from qwennb.notebook.verify.compare import PASSED_OVER

pytestmark = pytest.mark.timeout(300)
WIDGET = "application/vnd.jupyter.widget-view+json"
SEND = "kernel = get_ipython().kernel\nmade = kernel.send_response(kernel.iopub_socket, {!r}, {!r})"


def stream(text, name="stdout"):
    return {"output_type": "stream", "name": name, "text": text}


def data(**bundle):
    known = {"plain": "text/plain", "markdown": "text/markdown", "png": "image/png", "widget": WIDGET}
    return {
        "output_type": "display_data",
        "metadata": {},
        "data": {known[name]: value for name, value in bundle.items()},
    }


def error(name, value):
    return {"output_type": "error", "ename": name, "evalue": value, "traceback": []}


UPDATED = (
    "from IPython.display import display\nhandle = display('first', display_id=True)\nhandle.update('last')"
)
CLEARED = "from IPython.display import clear_output\nprint('one')\nclear_output()\nprint('two')"
CAUGHT = "import ipywidgets\nout = ipywidgets.Output()\nwith out:\n    print('caught')"
SHOWN = "from IPython.display import display\ndisplay({}, raw=True)"
# (code, saved outputs, tags, whether nbval finds it as it was saved)
CELLS = [
    ("print('plain')", [stream("plain\n")], [], True),
    ("print('plain')", [stream("other\n")], [], False),
    (UPDATED, [data(plain="'first'")], [], True),
    (UPDATED, [data(plain="'last'")], [], False),
    ("handle.update('later')", [], [], True),
    (CLEARED, [stream("one\ntwo\n")], [], True),
    (CLEARED, [stream("two\n")], [], False),
    (CAUGHT, [stream("caught\n")], [], True),
    (CAUGHT, [], [], False),
    ("import ipywidgets\nipywidgets.IntSlider()", [data(plain="IntSlider(value=0)", widget={"model_id": "x"})], [], True),
    ("try:\n    input()\nexcept Exception as e:\n    print(type(e).__name__)", [stream("StdinNotImplementedError\n")], [], True),
    (SHOWN.format("{'text/plain': 5}"), [data(plain=5)], [], True),
    (SHOWN.format("{'text/plain': 5}"), [data(plain=6)], [], False),
    (SHOWN.format("{'text/plain': 5}"), [data(plain=5), data(plain=5)], [], False),
    (SHOWN.format("{'image/png': 'AAAA'}"), [data(png="BBBB")], [], True),
    (SHOWN.format("{'text/plain': 'a'}"), [data(plain="a", markdown="a")], [], False),
    ("1 / 0", [error("ZeroDivisionError", "division by zero")], [], False),
    ("1 / 0", [error("ZeroDivisionError", "division by zero")], ["raises-exception"], True),
    ("# NBVAL_RAISES_EXCEPTION\n1 / 0", [error("ZeroDivisionError", "by nothing")], [], False),
    ("1", [error("ZeroDivisionError", "division by zero")], ["raises-exception"], False),
    ("%nosuchmagic", [], [], False),
    ("print(1)", [stream("2\n")], ["nbval-ignore-output"], True),
    ("1 / 0", [], ["nbval-ignore-output"], False),
    ("# NBVAL_IGNORE_OUTPUT\nprint(1)", [stream("2\n")], ["nbval-check-output"], True),
    ("print('not passed over')", [stream("not passed over\n")], ["skip-execution"], True),
    ("print('a\\rb')", [stream("b\n")], [], True),
    ("import sys\nprint(1)\nprint(2, file=sys.stderr)\nprint(3)", [stream("1\n3\n"), stream("2\n", "stderr")], [], True),
    ("", [stream("was here\n")], [], False),
    ("", [], None, True),
    ("from comm import create_comm\n_ = create_comm(target_name='x', data=[1])", [], [], True),
    (SEND.format("display_data", {}), [], [], False),
    (SEND.format("stream", {"name": "stdout", "text": "sent"}), [stream("sent")], [], True),
    (SEND.format("unheard_of", {}), [], [], True),
    ("get_ipython().display_formatter.format = None", [], [], True),
    ("print('still here')", [stream("still here\n")], [], True),
    ("import os\nos._exit(3)", [], [], False),
    ("print('after the end')", [stream("after the end\n")], [], False),
]  # fmt: skip


def written(path: Path, cells) -> Path:
    """A notebook that is written as it is, valid or not."""
    made = [
        {
            "cell_type": "code", "id": f"cell-{number}", "execution_count": number + 1,
            "metadata": {"tags": tags}, "source": source, "outputs": outputs,
        }
        for number, (source, outputs, tags, _) in enumerate(cells)
    ]  # fmt: skip
    path.write_text(json.dumps({"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    return path


def ours(path: Path) -> list[RanCell]:
    with Sandbox.create(sealed=True) as sandbox:
        return run_notebook(path, sandbox, {"cache": "replay"})


def plain_nbval(path: Path) -> list[bool]:
    """Whether each cell passed."""
    report = path.with_suffix(".xml")
    command = [sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env", "-p", "no:cacheprovider"]
    subprocess.run(
        [*command, "--nbval-cell-timeout=15", "-c", os.devnull, f"--junitxml={report}", f"--rootdir={path.parent}", path.name],
        cwd=path.parent, env={**os.environ, "HOME": str(path.parent)}, capture_output=True, timeout=200, check=False,
    )  # fmt: skip
    return [not len(case) for case in ElementTree.parse(report).iter("testcase")]


@pytest.mark.slow
def test_every_hostile_cell_gets_the_verdict_of_plain_nbval(tmp_path):
    path = written(tmp_path / "hostile.ipynb", CELLS)
    mine = {number: cell.same for number, cell in enumerate(ours(path))}
    theirs = dict(enumerate(plain_nbval(path)))
    assert mine == theirs
    assert theirs == {number: expected for number, (*_, expected) in enumerate(CELLS)}


@pytest.mark.slow
def test_a_cell_that_takes_too_long_is_interrupted_and_the_next_one_runs(tmp_path):
    forever = "import time\nwhile True:\n    time.sleep(0.1)"
    path = written(tmp_path / "n.ipynb", [(forever, [], [], False), ("print(1)", [stream("1\n")], [], True)])
    with Sandbox.create(sealed=True) as sandbox:
        late, following = run_notebook(path, sandbox, {"cache": "replay"}, timeout=0.5)
    assert late.trouble == "Timeout of 0.5 seconds exceeded executing cell" and not late.same
    assert following.same, following


def test_what_is_passed_over_is_what_nbvals_own_collector_passes_over(request, tmp_path):
    theirs = IPyNbFile.from_parent(request.session, path=tmp_path / "n.ipynb")
    assert set(theirs.skip_compare) == set(PASSED_OVER)
