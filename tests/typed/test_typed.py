"""The pages of this folder, read by both checkers that people use: nothing to say of them, and what must be refused is."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PAGES = [HERE / "columns.py", HERE / "public.py"]

MISTAKEN = """import polars as pl

import qwennb

df = pl.DataFrame({"review": ["a"]})
qwennb.classify(df, "review", ["a", "b"], into=3)
qwennb.classify(df, "review", ["a", "b"], intoo="mood")
made: pl.LazyFrame = qwennb.summarize(df, "review")
qwennb.Qwen().ask("Why?", budget="much")
qwennb.col("review").classify(["a", "b"])  # type: ignore[arg-type]
"""
WRONG_LINES = [6, 7, 8, 9, 10]


def run_checker(*command: str) -> str:
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


def complaints_of_mypy(pages: list[Path]) -> list[tuple[Path, int]]:
    said = run_checker("mypy", "--output=json", *map(str, pages))
    found = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    return [((ROOT / one["file"]).resolve(), one["line"]) for one in found if one["severity"] == "error"]


def complaints_of_basedpyright(pages: list[Path]) -> list[tuple[Path, int]]:
    said = run_checker("basedpyright", "--outputjson", "--pythonpath", sys.executable, *map(str, pages))
    found = [one for one in json.loads(said)["generalDiagnostics"] if one["severity"] == "error"]
    return [(Path(one["file"]).resolve(), one["range"]["start"]["line"] + 1) for one in found]


@pytest.mark.slow
@pytest.mark.parametrize("complaints", [complaints_of_mypy, complaints_of_basedpyright])
def test_checkers_pass_the_pages_of_examples_and_find_each_mistake(
    complaints: Callable[[list[Path]], list[tuple[Path, int]]], tmp_path: Path
) -> None:
    mistaken = tmp_path / "mistaken.py"
    mistaken.write_text(MISTAKEN)
    found = complaints([*PAGES, mistaken])
    assert sorted(set(found)) == [(mistaken.resolve(), line) for line in WRONG_LINES]
