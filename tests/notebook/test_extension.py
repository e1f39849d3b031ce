"""Loading the extension: what it brings into the kernel, and what it leaves for the first question."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest

from qwennb.registration import show_options_on_tab

LOADED = """
import sys
from IPython.core.interactiveshell import InteractiveShell

shell = InteractiveShell.instance()
before = set(sys.modules)
shell.run_line_magic("load_ext", "qwennb")
print(*sorted({name.partition(".")[0] for name in set(sys.modules) - before}))
"""
LATER = {
    "openai",
    "httptools",
    "polars",
    "pandas",
    "pydantic",
    "numpy",
    "PIL",
    "diskcache",
    "jsonschema",
    "ipywidgets",
    "matplotlib",
}


IMPORTED_FIRST = """
import polars as pl
import qwennb
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell

shell = InteractiveShell.instance()
for does in ("load", "unload", "load"):
    shell.run_line_magic(f"{does}_ext", "qwennb")
shell.user_ns["df"], shell.Completer.use_jedi = pl.DataFrame(), False
with provisionalcompleter():
    shown = [one.text for one in shell.Completer.completions("df.qwen.classify(", 17)]
print(shown.count("labels="))
"""


@pytest.mark.slow
def test_an_import_before_there_was_a_shell_takes_nothing_from_loading(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED_FIRST], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert (done.stdout, done.returncode) == ("1\n", 0), done.stderr


@pytest.mark.parametrize("shell", [object(), SimpleNamespace(Completer=None)])
def test_a_shell_that_completes_in_its_own_way_is_left_as_it_is(shell):
    show_options_on_tab(shell)


def test_loading_brings_nothing_heavy_and_opens_nothing(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", LOADED], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120
    )
    loaded = set(done.stdout.split())
    assert "qwennb" in loaded and loaded & LATER == set()
