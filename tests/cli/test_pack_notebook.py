"""`qwennb pack` and `%qwen_pack`: what a notebook recalls, all of it and nothing else, shown before it is written."""

from __future__ import annotations

import os

import nbformat
import pytest

from qwennb import Pack, Qwen
from qwennb.request import Image
from tests.answers import PICTURE
from tests.notebooks import KEY, written

pytestmark = pytest.mark.slow

CELLS = (
    "%load_ext qwennb",
    "%qwen -m flash Why is the sky blue?",
    (
        "import polars as pl\n"
        "pl.DataFrame({'r': ['a', 'b', 'a', 'c']}).qwen.classify('r', ['x', 'y'], model='flash', meta=True)"
    ),
    "from qwennb import Qwen\nqwen = Qwen()\nprint(qwen.ask('printed', temperature=0.25))",
    (
        "def river(city: str) -> str:\n"
        "    'The river of a city.'\n"
        "    return 'Danube'\n"
        "chat = qwen.chat(tools=[river])\n"
        "chat.ask('Which river is Ulm on?')\n"
        "_ = qwen.ask('never shown')"
    ),
    "from PIL import Image\nsquare = Image.new('RGB', (16, 16), 'green')",
    "%qwen -m flash --image square What is this?",
    "red = [bytes.fromhex(PNG)]\n"
    "pl.DataFrame({'photo': red}).qwen.ask('And this?', image='photo', model='flash')".replace(
        "PNG", repr(PICTURE.hex())
    ),
)
# The cell, three labels, what is printed, the call of the tool and the answer to its result, what is never shown, and
# two pictures.
USED = 1 + 3 + 1 + 2 + 1 + 2


@pytest.fixture(scope="module")
def notebook(live):
    # What was asked here before, and is no part of the notebook.
    Qwen(endpoint=live.environ["QWENNB_ENDPOINT"], api_key=KEY, cache_dir=live.cache, model="flash").ask(
        "private: what else was asked"
    )
    return live.notebook(*CELLS)


@pytest.fixture
def pack(run, live):
    def packed(*words: str, says: str = "", **environ: str):
        given = {**os.environ, "QWENNB_CACHE_DIR": str(live.cache), "HOME": str(live.folder), **environ}
        return run("pack", *map(str, words), says=says, environ=given)

    return packed


def test_a_notebooks_pack_is_exactly_what_running_it_recalls(pack, notebook, tmp_path):
    asked = notebook.read_bytes()
    done = pack(notebook, "-o", tmp_path / "a.qwenpack.zst", "--media", says="y\n")
    assert done.code == 0, done.err
    made = Pack.read(tmp_path / "a.qwenpack.zst")
    questions = [answer.request.question for answer in made]
    assert len(made) == USED and not any("private" in question for question in questions)
    assert sum(answer.tool_results == ("Danube",) for answer in made) == 1
    assert f"recalls {USED} answers" in done.out and "sample" in done.out and made.root in done.out
    assert notebook.read_bytes() == asked  # it was run, and not saved
    media = {item.digest for answer in made for item in answer.request.media}
    beside = list((tmp_path / "a.qwenpack.media").iterdir())
    assert len(media) == 2 and {file.stem for file in beside} == media
    assert {
        Image(file).digest for file in beside
    } & media  # a file is under its own hash, pixels under theirs


def test_nothing_is_written_without_a_yes(pack, notebook, tmp_path):
    done = pack(notebook, "-o", tmp_path / "a.qwenpack")
    assert done.code == 1 and "Nothing was written." in done.out and not list(tmp_path.glob("*.qwenpack"))


def test_a_notebook_that_was_never_asked_names_its_cell_and_what_to_do(pack, live, notebook, tmp_path):
    never = written(live.folder / "never.ipynb", ["%load_ext qwennb", "%qwen -m flash Why is the sea blue?"])
    done = pack(never, "--yes")
    assert done.code == 1 and not never.with_suffix(".qwenpack").exists()
    assert "Cell 2 of never.ipynb" in done.err
    assert "The nearest recorded request" in done.err
    assert "with the cache on, then pack it again" in done.err


def test_who_has_only_the_pack_can_pack_it_again(pack, notebook, away, tmp_path):
    pack(notebook, "--yes")
    there = away(notebook, notebook.with_suffix(".qwenpack"))
    before = there.with_suffix(".qwenpack").read_bytes()
    done = pack(there, "--yes", QWENNB_CACHE_DIR=str(tmp_path / "empty"))
    assert done.code == 0, done.err
    assert there.with_suffix(".qwenpack").read_bytes() == before


def test_a_secret_stops_it_before_anybody_is_asked(pack, notebook, tmp_path):
    done = pack(notebook, "-o", tmp_path / "c.qwenpack", says="y\n", MY_TOKEN='"temperature":0.25')
    assert done.code == 2 and "MY_TOKEN" in done.err and "[y/N]" not in done.out
    assert not (tmp_path / "c.qwenpack").exists()


# ---------------------------------------------------------------------- as one works


def test_a_pack_grows_as_one_works_and_serves_the_next_who_has_nothing(live, away, pack):
    recording = live.notebook(
        "%load_ext qwennb\n%qwen_pack --quiet growing.qwenpack",
        "%qwen -m flash First question",
        "from pathlib import Path\nprint(len(Path('growing.qwenpack').read_text().splitlines()))",
        "%qwen -m flash Second question",
        "%qwen -m flash --no-cache Third question",
        "%qwen_pack",
        name="recording.ipynb",
    )
    file = recording.with_name("growing.qwenpack")
    made = Pack.read(file)
    assert [answer.request.question for answer in made] != [] and len(made) == 2
    cells = nbformat.read(recording, as_version=4).cells
    assert not cells[0].outputs
    assert cells[2].outputs[0]["text"] == "3\n"  # header, first answer and end, before the second was asked
    shown = cells[5].outputs[0]
    assert f"growing.qwenpack: 2 answers, root {made.root}" in shown["data"]["text/plain"]
    assert shown["metadata"]["qwennb"] == {"state": "pack"}  # not compared when it is verified
    assert oct(file.stat().st_mode & 0o777) in ("0o644", "0o664", "0o600")

    # Without the cell that asked anew, it runs for whoever has the file alone, and running it changes nothing.
    notebook = nbformat.read(recording, as_version=4)
    del notebook.cells[4]
    nbformat.write(notebook, recording)
    there = away(recording, file)
    before = there.with_name("growing.qwenpack").read_bytes()
    done = pack(there, "--yes", "-o", there.with_name("again.qwenpack"), QWENNB_CACHE_DIR=str(there.parent / "none"),
                QWENNB_PACK=str(file))  # fmt: skip
    assert done.code == 0, done.err
    assert there.with_name("growing.qwenpack").read_bytes() == before
    assert there.with_name("again.qwenpack").read_bytes() == before
