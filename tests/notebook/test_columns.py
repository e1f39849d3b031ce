"""Runs of columns: who watches them, and that a cell tells of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from types import SimpleNamespace

import pytest

from qwennb.notebook.columns import Columns
from qwennb.simulator import Reply
from qwennb.watchers import watchers

TERMINAL = """
from IPython.core.interactiveshell import InteractiveShell

shell = InteractiveShell.instance()
shell.run_line_magic("load_ext", "qwennb")
shell.run_cell('''
import polars as pl
from qwennb import Qwen

qwen = Qwen(endpoint="simulator", cache_dir="cache")
table = pl.LazyFrame({"text": ["a"], "gold": ["yes"]})
made = table.qwen.classify("text", ["yes", "no"], truth="gold", client=qwen, progress=False).collect()
''').raise_error()
shell.run_cell("print('the next cell')").raise_error()
"""


@pytest.fixture
def notebook():
    yield SimpleNamespace(kernel=object())
    watchers.clear()


def test_a_notebook_takes_away_its_own_watcher_and_no_other(notebook):
    first, second = Columns(), Columns()
    first.load(notebook)
    second.load(notebook)
    first.unload()
    assert watchers == [second.see]
    second.unload()
    assert watchers == []


@pytest.mark.slow
def test_a_cell_of_a_terminal_tells_of_its_columns_before_the_next(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", TERMINAL], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    told, _, rest = done.stdout.partition("the next cell\n")
    assert told.count("`label` against `gold`: accuracy") == 1 and rest == "", done.stdout


def test_a_mistake_in_a_column_is_one_sentence_and_what_user_code_did_is_traced(kernel):
    kernel.run("import polars as pl\nfrom qwennb import Qwen\ntable = pl.DataFrame({'n': range(40)})")
    for mistake in (
        "table.qwen.ask('Say {{ nope }}')",
        "table.lazy().qwen.ask('Say {{ n }}', max_tokens=-1).collect()",
        "table.qwen.classify('n', ['a'])",
        "Qwen(temperature=9)",
    ):
        error = kernel.run(mistake).error
        assert error["traceback"] == [f"{error['ename']}: {error['evalue']}"], mistake
    traced = kernel.run(
        "def look(progress):\n    return 1 / 0\ntable.qwen.ask('Say {{ n }}', progress=look)"
    ).error
    shown = re.sub(r"\x1b\[[0-9;]*m", "", "".join(traced["traceback"]))
    assert traced["ename"] == "CallbackFailed" and "return 1 / 0" in shown


@pytest.mark.slow
def test_an_interrupt_of_a_column_is_one_sentence(kernel, sim, script):
    script(*[Reply("x", delay=2.0)] * 50)
    ran = kernel.run(
        "table = pl.DataFrame({'n': range(40)})\n_ = table.qwen.ask('Count {{ n }}', concurrency=2, progress=True)",
        interrupt_at="a minute",
    )
    words = "stopped; what is finished is kept, and the same call asks only for the rest."
    assert ran.error["traceback"] == [f"KeyboardInterrupt: {words}"]
