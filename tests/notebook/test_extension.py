"""Loading the extension: what it brings into the kernel, and what it leaves for the first question."""

from __future__ import annotations

import subprocess
import sys

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
    "aiohttp",
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


def test_loading_brings_nothing_heavy_and_opens_nothing(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", LOADED], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120
    )
    loaded = set(done.stdout.split())
    assert "qwennb" in loaded and loaded & LATER == set()
