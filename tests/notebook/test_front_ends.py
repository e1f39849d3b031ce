"""Cells where there is no JupyterLab: headless runs, loops, `await`, a terminal, a front end that inserts no cell."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from qwennb.answer import MIME
from qwennb.simulator import Reply
from tests.notebook.conftest import CANARY, Kernel, body

ROOT = str(Path(__file__).parents[2])


def notebook(path: Path, *sources: str) -> Path:
    cells = [
        {
            "cell_type": "code",
            "id": f"c{n}",
            "metadata": {},
            "execution_count": None,
            "outputs": [],
            "source": source,
        }
        for n, source in enumerate(sources)
    ]
    spec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    path.write_text(
        json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": spec}, "cells": cells})
    )
    return path


@pytest.fixture
def environ(sim, tmp_path) -> dict[str, str]:
    return {
        **os.environ, "PYTHONPATH": ROOT, "HOME": str(tmp_path), "IPYTHONDIR": str(tmp_path / "ipython"),
        "JUPYTER_DATA_DIR": str(tmp_path / "data"), "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime"),
        "QWENNB_ENDPOINT": f"openrouter+{sim.base_url}", "QWENNB_API_KEY": CANARY, "QWENNB_CACHE_DIR": str(tmp_path / "answers"),
    }  # fmt: skip


def headless(program: str, folder: Path, environ) -> subprocess.CompletedProcess[str]:
    command = {
        "jupyter execute": ["-c", "from nbclient.cli import main; main()", "book.ipynb", "--inplace"],
        "papermill": ["-m", "papermill", "book.ipynb", "book.ipynb", "--no-progress-bar"],
    }[program]
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize("program", ["jupyter execute", "papermill"])
def test_a_failing_call_ends_a_headless_run_at_its_cell(sim, script, environ, tmp_path, program):
    script("one", Reply(fault=None, text="<b>two</b>", reasoning="hm"))
    book = notebook(
        tmp_path / "book.ipynb",
        "%load_ext qwennb",
        "%qwen --into first one",
        "%qwen {{ first }} two",
        "%qwen about {{ frist }}",
        "print('never reached')",
    )
    done = headless(program, tmp_path, environ)
    assert done.returncode != 0
    assert (
        "TemplateError" in done.stderr + done.stdout and "did you mean `first`?" in done.stderr + done.stdout
    )
    assert "never reached" not in str([c.get("outputs") for c in json.loads(book.read_text())["cells"]])


@pytest.mark.slow
@pytest.mark.parametrize("program", ["jupyter execute", "papermill"])
def test_a_headless_run_leaves_one_output_a_cell_and_no_widget(sim, script, environ, tmp_path, program):
    script("one", Reply("**two**", reasoning="hm", chunk_delay=0.1), '{"name": "Ada", "age": 36}')
    book = notebook(
        tmp_path / "book.ipynb",
        "%load_ext qwennb",
        "%qwen --into first one",
        "%qwen --think {{ first }} two",
        "%qwen --schema 'name, age int' --into ada who",
        "%qwen --code nothing new: {{ ada.data }}",
        "first",
    )
    done = headless(program, tmp_path, environ)
    assert done.returncode == 0, done.stderr
    saved = json.loads(book.read_text())
    assert "widgets" not in saved["metadata"]
    # papermill may put a cell of its own in front
    asked = [c for c in saved["cells"] if "".join(c["source"]).startswith("%qwen ")]
    for cell in asked:
        assert len(cell["outputs"]) == 1, cell
        output = cell["outputs"][0]
        assert output["output_type"] == "display_data"
        assert set(output["data"]) == {"text/markdown", "text/plain", MIME}
    assert "<details><summary>Thought" in "".join(asked[1]["outputs"][0]["data"]["text/markdown"])
    [shown] = saved["cells"][-1]["outputs"]
    assert shown["data"] == asked[0]["outputs"][0]["data"], "an Answer is shown as in its cell"


@pytest.mark.slow
@pytest.mark.parametrize("program", ["jupyter execute", "papermill"])
def test_a_headless_run_keeps_the_line_of_a_column(sim, script, environ, tmp_path, program):
    script(*["said"] * 4)
    book = notebook(
        tmp_path / "book.ipynb",
        "%load_ext qwennb\nimport polars as pl\ntable = pl.DataFrame({'n': [1, 2]})",
        "_ = table.qwen.ask('Say {{ n }}')",
        "_ = table.lazy().qwen.ask('Tell {{ n }}').collect()",
    )
    assert headless(program, tmp_path, environ).returncode == 0
    for cell in json.loads(book.read_text())["cells"][-2:]:
        [output] = cell["outputs"]
        assert "".join(output["data"]["text/plain"]).startswith("qwen3.5-flash · 2 rows, 2 unique · ")


def test_an_answer_is_shown_as_in_a_cell_wherever_it_comes_from(kernel, script):
    script("**yes**", "no")
    ran = kernel.run("from qwennb import Qwen\nqwen = Qwen()\nqwen.ask('shown at the end of a cell')")
    assert (
        ran.markdown.startswith("**yes**")
        and ran.plain.startswith("**yes**\n\n[qwen3.5-flash")
        and MIME in ran.data
    )
    failed = kernel.run("[failed] = qwen.ask_many([{}], prompt='{{ nothing }}')\nfailed")
    assert failed.markdown.startswith("**failed:** ") and "nothing" in failed.plain


def test_a_client_is_asked_in_loops_in_functions_and_with_await(kernel, sim, script):
    script(*[f"said {n}" for n in range(9)])
    kernel.run("from qwennb import Qwen\nqwen = Qwen()")
    loop = "def ask(n):\n    return str(qwen.ask('loop {{ n }}', n=n))\nprint([ask(n) for n in range(3)])"
    assert kernel.run(loop).printed == "['said 0', 'said 1', 'said 2']\n"
    assert kernel.run("print(str(await qwen.ask_async('awaited')))").printed == "said 3\n"
    both = "import asyncio\nprint(*map(str, await asyncio.gather(*(qwen.ask_async(f'at once {n}') for n in range(2)))))"
    assert sorted(kernel.run(both).printed.split()) == ["4", "5", "said", "said"]
    assert (
        kernel.run(
            "async def more():\n    return qwen.ask('within a coroutine')\nprint(await more())"
        ).printed
        == "said 6\n"
    )
    magic = (
        "for n in range(2):\n    get_ipython().run_line_magic('qwen', f'--into it number {n}')\n    print(it)"
    )
    assert kernel.run(magic).printed == "said 7\nsaid 8\n"


def test_earlier_cells_and_the_last_error_can_be_asked_about(kernel, sim, script):
    script(*["ok"] * 9)
    number = int(kernel.value("len(In)"))
    kernel.run("6 * 7")
    kernel.run("1 / 0")
    ran = kernel.run(f"%%qwen\n{{{{ In[{number}] }}}} gave {{{{ Out[{number}] }}}}, then {{{{ Err }}}}")
    assert ran.status == "ok", ran.outputs
    said = body(sim)["messages"][-1]["content"]
    assert said.startswith("6 * 7 gave 42, then Traceback") and "ZeroDivisionError: division by zero" in said
    assert "\x1b" not in said
    kernel.run("Err = 'mine'")
    kernel.run("%qwen now {{ Err }}")
    assert body(sim)["messages"][-1]["content"] == "now mine"
    kernel.run("del Err")
    assert (
        kernel.run("%qwen about {{ In[9999] }}")
        .error["evalue"]
        .startswith("`{{ In[9999] }}` failed: IndexError")
    )


def test_code_goes_into_the_next_cell_only_when_it_is_new(kernel, script):
    script("```python\nprint(2)\n```")
    new, known = kernel.run("%qwen --code print two"), kernel.run("%qwen --code print two")
    assert len(new.payload) == 1 and known.payload == []
    assert new.data == known.data and "print(2)" in known.markdown


def test_code_is_shown_where_the_front_end_inserts_no_cell(kernel, script):
    script("```python\nprint(3)\n```")
    kernel.run(
        "shell = get_ipython()\nkept = type(shell).set_next_input\ntype(shell).set_next_input = lambda *a, **k: None"
    )
    try:
        ran = kernel.run("%qwen --code print three")
        assert ran.status == "ok" and ran.payload == [] and "```python\nprint(3)\n```" in ran.markdown
    finally:
        kernel.run("type(shell).set_next_input = kept")


def test_a_chat_stays_valid_when_its_turn_is_interrupted(kernel, sim, script):
    script("one", Reply("", chunks=[f"w{n} " for n in range(50)], chunk_delay=0.05), "three")
    kernel.run("%qwen --chat cut first", cell="t1")
    ran = kernel.run("%qwen --chat cut second", cell="t2", interrupt_at="w3")
    assert ran.error["ename"] == "KeyboardInterrupt"
    script("three")
    assert kernel.run("%qwen --chat cut third", cell="t3").status == "ok"
    assert [m["role"] for m in body(sim)["messages"]] == ["user", "assistant", "user"]
    assert [m["content"] for m in body(sim)["messages"]] == ["first", "one", "third"]


@pytest.mark.slow
def test_settings_come_from_the_line_the_notebook_the_environment_and_the_project(sim, script, tmp_path):
    (tmp_path / "pyproject.toml").write_text(
        '[tool.qwennb]\nendpoint = "openrouter"\nmodel = "27b"\ncache = "off"\n'
    )
    environ = {"QWENNB_ENDPOINT": f"openrouter+{sim.base_url}", "QWENNB_API_KEY": CANARY,
               "QWENNB_CACHE_DIR": str(tmp_path / "answers"), "HOME": str(tmp_path),
               "IPYTHONDIR": str(tmp_path / "ipython")}  # fmt: skip
    running = Kernel(environ)
    try:
        running.run(f"import os\nos.chdir({str(tmp_path)!r})\n%load_ext qwennb")
        script(*["ok"] * 9)

        def model(line: str) -> str:
            ran = running.run(line)
            assert ran.status == "ok", ran.outputs
            return body(sim)["model"].partition("/")[2]

        assert (
            model("%qwen a").startswith("qwen3.5-27b") and model("%qwen a") and sim.ledger.count("asked") == 2
        )
        running.run("os.environ['QWENNB_MODEL'] = '9b'")
        assert model("%qwen b").startswith("qwen3.5-9b")
        running.run("%config QwenMagics.model = 'plus'\n%config QwenMagics.system = 'Be brief.'")
        assert (
            model("%qwen c").startswith("qwen3.5-plus") and body(sim)["messages"][0]["content"] == "Be brief."
        )
        running.run("%config QwenMagics.thinking = False\n%config QwenMagics.max_tokens = 99")
        assert model("%qwen -m 397b d").startswith("qwen3.5-397b")
        assert body(sim)["reasoning"] == {"enabled": False} and body(sim)["max_tokens"] == 99
        assert model("%qwen --think --max-tokens 200 e") and body(sim)["max_tokens"] == 200
        assert body(sim)["reasoning"]["enabled"] is True
        running.run("%config QwenMagics.cache = 'offf'")
        assert "cache        off\n" in running.run("%qwen_config").plain
    finally:
        running.stop()


TERMINAL = """
import sys
from IPython.terminal.interactiveshell import TerminalInteractiveShell
from traitlets.config import Config
config = Config()
config.TerminalInteractiveShell.simple_prompt = False
config.TerminalInteractiveShell.colors = "nocolor"
config.HistoryManager.enabled = False
shell = TerminalInteractiveShell.instance(config=config)
shell.run_line_magic("load_ext", "qwennb")
shell.mainloop()
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="a terminal of Unix")
def test_a_terminal_counts_streams_and_completes_options(sim, script, environ, tmp_path):
    pexpect = pytest.importorskip("pexpect")
    pieces = ["plain ", "\x1b[31mtext\x1b[0m", " <b>kept</b> ", "and on "] + ["words "] * 30
    script(Reply("", chunks=pieces, chunk_delay=0.01, delay=1.3, reasoning="let me see"))
    program = tmp_path / "terminal.py"
    program.write_text(TERMINAL)
    shell = pexpect.spawn(
        sys.executable,
        [str(program)],
        env={**environ, "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"},
        dimensions=(40, 80),
        timeout=120,
        encoding="utf-8",
    )
    try:
        shell.expect(re.escape("In [1]"))
        shell.send("%qwen what's this?\r")
        shell.expect("qwen3.5-flash at openrouter … 1 s")
        shell.expect(" in, ")
        shown = shell.before.replace("\r\n", "\n")
        assert shown.startswith("\r\x1b[K> let me see\n\nplain text <b>kept</b> and on words "), shown
        assert all(len(line) <= 80 for line in shown.split("\n")) and "words\nwords" in shown
        assert "\n\n[qwen3.5-flash · " in shown
        shell.expect(re.escape("In [2]"))
        shell.send("%qwen --temp\t")
        shell.expect("erature")
        shell.send("\x15%qwen --think h\t")
        shell.expect("igh")
        shell.send("\x15%qwen --thnik x\r")
        shell.expect("did you mean `--think`")
    finally:
        shell.close(force=True)
