"""Runs of columns: who watches them, and that a cell tells of its own."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest

from qwennb.notebook.columns import Columns
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
