"""Every lesson replays from its pack: as qwennb verify has it, and as plain nbval has it; and says whose answers it shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from qwennb import Pack, Pdf
from tests.lessons.report import FACTS, REPORT, write_report

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
LESSONS = sorted(NOTEBOOKS.glob("*.ipynb"))
SCREEN = 45  # lines of code and of text, at the usual size of a window; a figure counts as 15
LOCAL = "qwen2.5-coder-0.5b-instruct-q4_k_m"


# What a lesson shows though it is not so, and the word that stands near it.
WRONG = (("01-first-cell", "Ada drinks green tea every morning.", 'Nobody said "every morning"'),)


def cells_of(lesson: Path) -> list[NotebookNode]:
    return nbformat.read(lesson, as_version=4).cells


def shown_by(cell: NotebookNode) -> str:
    """What a reader sees below *cell*, pictures aside."""
    return "\n".join(
        output["text"] if "text" in output else str(output.get("data", {}).get("text/plain", ""))
        for output in cell.get("outputs", ())
    )


def pack_of(lesson: Path) -> Pack:
    return Pack.read(NOTEBOOKS / "packs" / lesson.with_suffix(".qwenpack").name)


def test_there_are_lessons():
    wanted = {"00-tour", "01-first-cell", "02-pictures-and-frames", "03-columns", "06-documents"}
    assert wanted <= {one.stem for one in LESSONS}


@pytest.mark.slow
@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.stem)
def test_a_lesson_replays_with_no_key_no_network_and_no_model(lesson, tmp_path):
    environ = {name: os.environ[name] for name in ("PATH", "LANG", "PYTHONPATH") if name in os.environ} | {
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


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.stem)
def test_the_first_thing_that_a_lesson_shows_is_not_how_it_was_recorded(lesson):
    first = next(cell for cell in cells_of(lesson) if cell.get("outputs"))
    assert "record" not in shown_by(first)


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.stem)
def test_each_cell_of_a_lesson_and_what_it_shows_fit_on_a_screen(lesson):
    for cell in cells_of(lesson):
        pictures = sum(
            any(one.startswith("image/") for one in out.get("data", ())) for out in cell.get("outputs", ())
        )
        lines = len(cell.source.splitlines()) + len(shown_by(cell).splitlines()) + 15 * pictures
        assert lines <= SCREEN, (lines, cell.source)


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.stem)
def test_no_answer_of_a_lesson_is_a_made_up_one_without_a_word(lesson):
    before = ""
    for cell in cells_of(lesson):
        if "simulator" in cell.source and cell.cell_type == "code":
            assert "simulator, which is no model" in before, cell.source
        assert not re.search(r"^[0-9a-f]{8} ", shown_by(cell), re.MULTILINE) or "drift" in cell.source
        before = " ".join(cell.source.split())


@pytest.mark.parametrize("lesson", ["00-tour", "03-columns"])
def test_a_column_of_150_rows_is_held_against_people_and_its_interval_drawn(lesson):
    code = [cell for cell in cells_of(NOTEBOOKS / f"{lesson}.ipynb") if cell.cell_type == "code"]
    held = next(number for number, cell in enumerate(code) if "truth=" in cell.source)
    assert re.search(r"accuracy \d+\.\d% \(\d+ of 150; 95 %: \d+\.\d% to", shown_by(code[held]))
    drawn = code[held + 1]
    assert ".interval" in drawn.source and any("image/png" in out.get("data", {}) for out in drawn.outputs)


@pytest.mark.parametrize(("lesson", "shown", "word"), WRONG)
def test_what_is_wrong_in_a_lesson_has_a_word_near_it(lesson, shown, word):
    cells = cells_of(NOTEBOOKS / f"{lesson}.ipynb")
    said = [number for number, cell in enumerate(cells) if shown in shown_by(cell)]
    assert said
    near = " ".join(cell.source for cell in cells[said[0] - 1 : said[0] + 4] if cell.cell_type == "markdown")
    assert word in " ".join(near.split())


def test_the_report_of_lesson_06_is_what_is_made_and_its_facts_stand_on_one_page(tmp_path):
    write_report(tmp_path / "again.pdf")
    made, kept = (Pdf(path).read() for path in (tmp_path / "again.pdf", REPORT))
    assert [page.text for page in made.pages] == [page.text for page in kept.pages]
    for _, words, number in FACTS:
        found = [page.number for page in kept.pages if words in " ".join(page.text.split())]
        assert found == [number]
