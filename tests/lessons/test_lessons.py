"""Every lesson replays from its pack: as qwennb verify has it, and as plain nbval has it; and says whose answers it shows."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import nbformat
import pytest

from qwennb import Pack, Pdf
from tests.lessons.report import FACTS, REPORT, write_report

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
LESSONS = sorted(NOTEBOOKS.glob("*.ipynb"))
LOCAL = "qwen2.5-coder-0.5b-instruct-q4_k_m"


def pack_of(lesson: Path) -> Pack:
    return Pack.read(NOTEBOOKS / "packs" / lesson.with_suffix(".qwenpack").name)


def test_there_are_lessons():
    assert {"00-tour", "01-first-cell", "02-pictures-and-frames", "03-columns"} <= {
        one.stem for one in LESSONS
    }


@pytest.mark.slow
@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.stem)
def test_a_lesson_replays_with_no_key_no_network_and_no_model(lesson, tmp_path):
    environ = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ} | {
        "HOME": str(tmp_path)
    }
    ran = subprocess.run(
        [sys.executable, "-m", "qwennb.cli", "verify", str(lesson)],
        env=environ,
        capture_output=True,
        text=True,
        timeout=250,
    )
    count = len(pack_of(lesson))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f"{count} of {count} answers replayed, $0.00, outputs as saved" in ran.stdout


@pytest.mark.slow
def test_plain_nbval_finds_the_lessons_as_they_were_saved(tmp_path):
    environ = os.environ | {"QWENNB_CACHE": "replay", "QWENNB_CACHE_DIR": str(tmp_path / "cache")}
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "--nbval", "-q", "-p", "no:cacheprovider", *map(str, LESSONS)],
        env=environ,
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert ran.returncode == 0, ran.stdout[-4000:]


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.stem)
def test_a_lesson_is_a_valid_notebook_that_knows_no_machine(lesson):
    text = lesson.read_text()
    nbformat.validate(nbformat.reads(text, as_version=4))
    for word in (str(NOTEBOOKS.parent), str(Path.home()), tempfile.gettempdir(), "Traceback"):
        assert word not in text, word


def test_four_fifths_of_all_answers_are_the_local_models():
    by = Counter(answer.model == LOCAL for lesson in LESSONS for answer in pack_of(lesson))
    assert by[True] >= 0.8 * by.total(), by


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.stem)
def test_what_the_simulator_wrote_is_said_to_be_the_simulators(lesson):
    words = " ".join(cell.source for cell in nbformat.read(lesson, as_version=4).cells)
    if any(answer.model != LOCAL for answer in pack_of(lesson)):
        assert "simulator" in words
    assert "Qwen2.5-Coder" in words


def test_the_report_of_lesson_06_is_what_is_made_and_its_facts_stand_on_one_page(tmp_path):
    write_report(tmp_path / "again.pdf")
    made, kept = (Pdf(path).read() for path in (tmp_path / "again.pdf", REPORT))
    assert [page.text for page in made.pages] == [page.text for page in kept.pages]
    for _, words, number in FACTS:
        found = [page.number for page in kept.pages if words in " ".join(page.text.split())]
        assert found == [number]
