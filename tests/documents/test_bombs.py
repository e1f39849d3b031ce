"""Small files that ask for a great deal: told within seconds, in a bounded memory, and nothing crashes."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from tests.documents import office_files, papers

SECONDS, MEGABYTES = 5, 500

# Each bomb is made by a process of its own, and read by another: what a process has needed before it starts another is counted
# as the other's. The processor's time is taken, and not the wall's, so that a busy machine counts as an idle one does.
MAKE = """
import importlib, pathlib, sys
module, folder, *names = sys.argv[1:]
for name in names:
    pathlib.Path(folder, name).write_bytes(getattr(importlib.import_module(module), name)())
"""
READ = """
import json, pathlib, resource, sys
from qwennb.documents import read_document
from qwennb.errors import MediaError
ending, *files = sys.argv[1:]

def used():
    both = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    # ru_maxrss of this process knows what the one that started it has needed.
    [own] = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")]
    return sum(one.ru_utime + one.ru_stime for one in both), max(int(own), both[1].ru_maxrss) // 1024

for file in map(pathlib.Path, files):
    content, (before, _) = file.read_bytes(), used()
    try:
        said = read_document(content, "bomb" + ending).text()
    except MediaError as error:
        said = str(error)
    seconds, megabytes = used()
    print(json.dumps([file.name, said, seconds - before, megabytes]))
"""


def blow(folder, module, names, ending):
    """Make the bombs *names*, read them, and give for each what was said, the processor's seconds and the most megabytes."""
    for code, *arguments in (
        (MAKE, module, str(folder), *names),
        (READ, ending, *(str(folder / name) for name in names)),
    ):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
        )
    return [json.loads(line) for line in done.stdout.splitlines()]


def check(folder, bombs):
    for name, said, seconds, megabytes in blow(
        folder, papers.__name__, [bomb.__name__ for bomb in bombs], ".pdf"
    ):
        assert seconds < SECONDS and megabytes < MEGABYTES, (name, seconds, megabytes)
        assert said.startswith(("bomb.pdf ", "[page 1]")) and len(said) < 300 and "\n\n" not in said, (
            name,
            said,
        )


@pytest.mark.slow
def test_a_bomb_that_shows_itself_at_once_is_refused_or_read_without_harm(tmp_path):
    check(tmp_path, papers.SOON)


@pytest.mark.slow
def test_a_bomb_that_works_on_and_on_is_stopped_and_told_in_one_sentence(tmp_path):
    check(tmp_path, papers.LATE[:1])


@pytest.mark.slow
def test_a_bomb_in_an_office_file_is_refused_or_read_without_harm(tmp_path):
    check_office(tmp_path, office_files.SOON)


def check_office(folder, bombs):
    names = [bomb.__name__ for bomb in bombs]
    for name, said, seconds, megabytes in blow(folder, office_files.__name__, names, ".docx"):
        assert seconds < SECONDS and megabytes < MEGABYTES, (name, seconds, megabytes)
        assert said.startswith("bomb.docx ") or not said or name == "wide_spans", (name, said)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "name", "ending"),
    [(office_files.__name__, "far_cell", ".xlsx"), (papers.__name__, "great_parquet", ".parquet")],
)
def test_a_few_bytes_that_stand_for_billions_of_cells_are_refused(tmp_path, module, name, ending):
    ((_, said, seconds, megabytes),) = blow(tmp_path, module, [name], ending)
    assert seconds < SECONDS and megabytes < MEGABYTES, (seconds, megabytes)
    assert re.fullmatch(rf"bomb\{ending} can't be read within 4 s and 4\d\d MB: it is damaged, .+", said), (
        said
    )


@pytest.mark.slow
def test_five_hundred_pages_are_read_in_the_time_and_memory_that_is_promised(tmp_path):
    ((_, said, seconds, megabytes),) = blow(tmp_path, papers.__name__, ["long_report"], ".pdf")
    assert len(said) > 500_000 and seconds < 2.5 and megabytes < 400, (seconds, megabytes)


@pytest.mark.nightly
def test_every_bomb_is_stopped_in_time(tmp_path):
    check(tmp_path, papers.LATE)
    check_office(tmp_path, office_files.LATE)


def test_what_stops_a_bomb_says_what_to_do(tmp_path):
    ((_, said, _, _),) = blow(tmp_path, papers.__name__, ["huge_box"], ".pdf")
    assert said == (
        "bomb.pdf can't be read within 4 s and 400 MB: it is damaged, made to use them up, or too much at once; give a part "
        "of it, or save it anew"
    )
