"""How the house is kept, as tests; `python -m tests.benchmarks.house --list` names each case."""

from __future__ import annotations

import ast
import re
import subprocess
import sys

import pytest

from tests.benchmarks import house

HOUSE = house.modules()


def test_a_function_is_called_by_a_verb_and_not_by_a_participle():
    named, functions = house.participles(HOUSE)
    assert len(named) / functions < 0.02, named


def test_a_class_name_means_one_class_outside_the_simulator():
    assert house.twice_named(HOUSE) == {}


@pytest.mark.slow
def test_a_door_shows_no_name_that_nobody_outside_its_room_takes():
    assert house.idle_doors(HOUSE, [house.Module(path) for path in house.ROOT.glob("tests/**/*.py")]) == []


def test_no_module_takes_an_underscore_of_another():
    taken = [one.partition(": ")[2] for one in house.underscores(HOUSE)]
    assert taken == ["plan._ldf"]  # polars' own ground: tests/test_private_ground.py


@pytest.mark.slow
def test_a_warm_question_passes_at_most_160_of_our_functions_in_30_files():
    functions, files = house.stops(*house.ASK)
    assert functions <= 160 and files <= 30


@pytest.mark.slow
def test_run_in_parallel_a_file_stays_with_one_worker(tmp_path):
    """A file spread over three would start its kernel, its servers and its browser three times."""
    files = ["tests/test_warnings.py", "tests/test_errors.py", "tests/engine/test_retry.py"]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-v",
        "-n",
        "2",
        "-p",
        "no:cacheprovider",
        *files,
    ]
    done = subprocess.run(command, cwd=house.ROOT, capture_output=True, text=True, check=True)
    ran = set(re.findall(r"\[(gw\d)\] .* (tests/[\w/]+\.py)::", done.stdout))
    assert sorted(file for _, file in ran) == sorted(files)


@pytest.mark.slow
def test_a_tests_name_is_a_sentence_of_at_most_eighty_characters():
    names = [
        node.name
        for path in sorted((house.ROOT / "tests").glob("**/test_*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    ]
    assert [name for name in names if len(name) > 80] == []


@pytest.mark.slow
def test_every_library_that_is_imported_is_declared():
    assert house.undeclared(HOUSE) == []


@pytest.mark.slow
def test_a_warm_row_passes_at_most_242_of_our_functions_in_49_files():
    """Thirteen of them are the pool's: while aiohttp carried a row, none of its own were counted."""
    functions, files = house.stops(*house.ROW)
    assert functions <= 242 and files <= 49


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("asked", True), ("_told_of_messages", True), ("found", True), ("__is_set__", False), ("read_line", False),
        ("embed", False), ("send", False), ("needed", True), ("feed", False), ("_x", False),
    ],
)  # fmt: skip
def test_a_participle_is_known_by_its_first_word(name, is_one):
    assert house.is_participle(name) is is_one
