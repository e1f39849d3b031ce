"""A notebook that is sent to somebody with its pack runs there, with no network and no key, and shows what was saved."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_output

from qwennb.cache import Pack
from qwennb.notebook.verify import Sandbox, Verdict, run_notebook, tells_state
from qwennb.notebook.verify.verdict import RanCell, Use
from qwennb.simulator import Reply
from tests.notebook.drift.test_agreement import answer
from tests.notebooks import KEY, Live, changed, ran, written

CELLS = (
    "%load_ext qwennb",
    "subject = 'seven geese'\nfrom qwennb import Qwen\nQwen(temperature=0.5).plan('Hello?')",
    "%%qwen --think --into story\nTell a story about {{ subject }}.",
    "from PIL import Image\npicture = Image.new('RGB', (64, 48), 'teal')\npicture",
    "%%qwen --image picture\nWhat is in it?",
    "def lookup(city: str) -> str:\n    'The weather in a city.'\n    return f'rain in {city}'",
    "%%qwen --chat weather --tools lookup --yes\nUse lookup: how is the weather?",
    "%qwen --chat weather And tomorrow?",
    """import polars as pl
df = pl.DataFrame({'review': ['good soup', 'cold soup', 'nice', 'good soup']})
df = df.qwen.classify('review', ['praise', 'complaint'])
df""",
    "from qwennb import Qwen\nprint(Qwen(cache='on', temperature=0.5).ask('Hello?'))",
    "print(story.text, story.key, len(story.reasoning))",
    "%qwen_cache",
    "%qwen_stale",
    "%qwen_methods",
)
pytestmark = pytest.mark.timeout(300)  # several kernels each, on a machine that may be busy
STREAM = [f"word {n}, " for n in range(30)]


def qwennb(*words: str, folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """The command, as it is typed in *folder* by somebody who has nothing."""
    bare = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "LANG") if name in os.environ}
    return subprocess.run(
        [sys.executable, "-m", "qwennb.cli", *words],
        cwd=folder,
        env={**bare, "HOME": str(folder), "PYTHONPATH": str(Path(__file__).parents[3]), **environ},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


@pytest.fixture(scope="module")
def sent(tmp_path_factory) -> tuple[Path, Path, str]:
    """A notebook that was run live and packed, its pack, and what packing said. The endpoint is gone."""
    from qwennb.simulator import Simulator

    folder = tmp_path_factory.mktemp("sender")
    told = [Reply("".join(STREAM), chunks=STREAM, chunk_delay=0.02, reasoning="hm, geese")]
    with Simulator("openrouter", api_key=KEY, script=told) as simulator:
        live = Live(folder, simulator)
        notebook = live.notebook(*CELLS)
    done = qwennb("pack", notebook.name, "--yes", folder=folder, **live.environ)
    assert done.returncode == 0, done.stdout + done.stderr
    return notebook, notebook.with_suffix(".qwenpack"), done.stdout


def cell(notebook: Path, number: int) -> nbformat.NotebookNode:
    return nbformat.read(notebook, as_version=4).cells[number - 1]


@pytest.mark.slow
def test_all_kinds_of_answers_are_the_same_in_an_empty_folder_and_home(sent, away):
    notebook, pack, told = sent
    assert "word 29" in cell(notebook, 3).outputs[0].data["text/plain"], "the whole of the stream was saved"
    assert "0 already known" in cell(notebook, 2).outputs[0].data["text/plain"], (
        "a plan says what it is no more"
    )
    assert "rain in" in cell(notebook, 7).outputs[0].data["text/markdown"], "the tool was called"
    moved = away(notebook, pack)
    done = qwennb("verify", moved.name, folder=moved.parent)
    assert done.returncode == 0, done.stdout + done.stderr
    answers = len(Pack.read(pack))
    assert done.stdout.startswith(f"{answers} of {answers} answers replayed, $0.00, outputs as saved")
    assert answers == 9 and "3 cells that show the state of a machine left out" in done.stdout
    root = told.rsplit("root ", 1)[1].strip()
    assert root == Pack.read(pack).root
    assert root in cell(notebook, 14).outputs[0].data["text/plain"], "%qwen_methods names the pack"


@pytest.mark.slow
def test_plain_nbval_finds_the_same(sent, away):
    notebook, pack, _ = sent
    moved = away(notebook, pack)
    trimmed = nbformat.read(moved, as_version=4)
    for one in trimmed.cells:
        if any(tells_state(output) for output in one.outputs):
            one.metadata.tags = ["nbval-ignore-output"]
    nbformat.write(trimmed, moved)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--nbval",
        "--nbval-current-env",
        "-q",
        "-p",
        "no:cacheprovider",
        "-c",
        os.devnull,
    ]
    environ = {**os.environ, "QWENNB_CACHE": "replay", "QWENNB_PACK": str(moved.with_suffix(".qwenpack"))}
    environ |= {"HOME": str(moved.parent), "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(
        [*command, f"--rootdir={moved.parent}", moved.name],
        cwd=moved.parent, env=environ, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 0 and f"{len(CELLS)} passed" in done.stdout, done.stdout[-3000:]


@pytest.mark.slow
def test_whatever_was_tampered_with_is_found_and_told(sent, away):
    notebook, pack, _ = sent
    moved = away(notebook, pack)
    changed(moved, 11, "word 3,", "word three,")
    changed(moved, 14, "qwen3.5-flash", "qwen9")
    edited = nbformat.read(moved, as_version=4)
    edited.cells[7].source = "%qwen --chat weather And the day after?"
    reach = (
        """import socket, threading
def reach():
    try:
        socket.create_connection(('192.0.2.1', 80), timeout=1)
    except OSError:
        pass
reach()""",
        "thread = threading.Timer(0.01, reach)\nthread.start()\nthread.join()",
        """import subprocess, sys
print(subprocess.run([sys.executable, '-c', 'import socket; socket.socket()'], capture_output=True).returncode)""",
    )
    for source in reach:
        edited.cells.append(new_code_cell(source, execution_count=99))
    edited.cells[-1].outputs = [new_output("stream", name="stdout", text="1\n")]
    nbformat.write(edited, moved)
    done = qwennb("verify", moved.name, folder=moved.parent)
    assert done.returncode == 1, done.stdout + done.stderr
    told = done.stdout
    assert "Cell 11: print(story.text" in told and "saved: … 0, word 1, word 2, word [three,] word 4," in told
    assert (
        "Cell 14: %qwen_methods" in told and "its text/markdown is not as saved" in told and "[qwen9" in told
    )
    assert (
        "Cell 8: %qwen --chat weather And the day after?\n  failed: NotRecorded: Cell [8]. Replay: no answer is recorded"
        in told
    )
    assert (
        "Cell 15: import socket, threading\n  the address of 192.0.2.1 was looked up in line 4, and refused"
        in told
    )
    # The thread of a later cell runs the function of an earlier one: it is that cell's line that reached out.
    assert told.count("the address of 192.0.2.1 was looked up in line 4, and refused") == 2
    assert "Cell 17: import subprocess, sys\n  a socket was opened, and refused" in told
    assert told.splitlines()[-1].startswith(
        "8 of 9 answers replayed, $0.00, 2 cells are not as saved; 1 cell failed; 2 cells tried to use the network"
    ), told.splitlines()[-1]


def test_a_pack_with_a_changed_byte_is_refused(run, tmp_path):
    written(tmp_path / "n.ipynb", ["1"])
    pack = tmp_path / "n.qwenpack"
    Pack.of([answer("a text", "one"), answer("b", "two")]).write(pack)
    pack.write_bytes(pack.read_bytes().replace(b"a text", b"a test"))
    told = run("verify", "n.ipynb")
    assert told.code == 2 and "its seal does not fit" in told.err and not told.out


def test_what_can_not_be_run_is_told_with_what_to_type(run, tmp_path):
    written(tmp_path / "n.ipynb", ["1"])
    told = run("verify", "n.ipynb")
    assert told.code == 2 and "qwennb pack n.ipynb" in told.err
    assert "There is no notebook" in run("verify", "missing.ipynb").err
    assert "--pack is for one notebook" in run("verify", "n.ipynb", "n.ipynb", "--pack", "x").err
    (tmp_path / "broken.ipynb").write_text("{")
    Pack.of([]).write(tmp_path / "broken.qwenpack")
    told = run("verify", "broken.ipynb")
    assert told.code == 2 and "broken.ipynb is no notebook that can be read" in told.err


@pytest.mark.slow
def test_a_sealed_kernel_has_nothing_of_its_owner_and_a_dead_one_is_noticed(tmp_path):
    look = (
        "import os, pathlib\n"
        "print(sorted(n for n in os.environ if 'KEY' in n or n == 'QWENNB_ENDPOINT'), os.environ.get('HTTPS_PROXY'))\n"
        "print(pathlib.Path('~/secret').expanduser().exists(), 'import', pathlib.Path('beside.txt').read_text())"
    )
    path = written(tmp_path / "n.ipynb", [look, "os._exit(3)", "print('never')"])
    (tmp_path / "beside.txt").write_text("me")
    (tmp_path / "secret").write_text("x")
    notebook = nbformat.read(path, as_version=4)
    for number, one in enumerate(notebook.cells):
        one.execution_count = number + 1
    notebook.cells[0].outputs = [new_output("stream", name="stdout", text="[] None\nFalse import me\n")]
    nbformat.write(notebook, path)
    environ = {
        **os.environ, "HOME": str(tmp_path), "DASHSCOPE_API_KEY": KEY, "AWS_SECRET_KEY": "x", "HTTPS_PROXY": "http://p",
        "QWENNB_ENDPOINT": "openrouter",
    }  # fmt: skip
    with Sandbox.create(sealed=True) as sandbox:
        cells = run_notebook(path, sandbox, {"cache": "replay"}, environ=environ)
    assert cells[0].same, cells[0]
    assert cells[1].trouble == "The kernel ended in the middle of this cell." and cells[2].trouble
    assert not sandbox.folder.exists()


# ---------------------------------------------------------------------- the verdict


def use(key: str, *, missing: bool = False) -> Use:
    return Use(key, "" if missing else "vllm:m", missing)


def test_an_answer_counts_once_however_often_it_is_used():
    verdict = Verdict([RanCell(1, "a", uses=(use("1"), use("2"))), RanCell(2, "b", uses=(use("1"),))])
    assert verdict.sentence() == "2 of 2 answers replayed, $0.00, outputs as saved"


def test_a_missing_answer_is_a_difference_even_where_nobody_noticed():
    verdict = Verdict([RanCell(1, "a", uses=(use("1"), use("2", missing=True)))])
    assert not verdict.same and verdict.sentence().startswith("1 of 2 answers replayed")


def test_pictures_drawn_otherwise_and_cells_that_are_not_compared_are_counted():
    cells = [RanCell(1, "a", redrawn=2), RanCell(2, "b", compared=False), RanCell(3, "c", states=1)]
    told = Verdict(cells).sentence()
    assert (
        "2 pictures drawn otherwise" in told and "1 cell not compared" in told and "1 cell that shows" in told
    )


@pytest.mark.slow
def test_a_picture_a_marked_cell_and_a_cell_that_never_ran_are_told_apart(tmp_path):
    draw = "from PIL import Image\nImage.new('RGB', (8, 8), 'red')"
    path = ran(written(tmp_path / "n.ipynb", [draw, "# NBVAL_IGNORE_OUTPUT\nimport time; time.time()"]), {})
    notebook = nbformat.read(path, as_version=4)
    picture = notebook.cells[0].outputs[0].data["image/png"]
    notebook.cells[0].outputs[0].data["image/png"] = picture[:-8] + "AAAAAAA="
    notebook.cells.append(new_code_cell("print('never run')"))
    notebook.cells.append(new_code_cell("# NBVAL_SKIP\nraise SystemError", execution_count=9))
    nbformat.write(notebook, path)
    with Sandbox.create(sealed=True) as sandbox:
        cells = run_notebook(path, sandbox, {"cache": "replay"})
    assert [(one.same, one.compared, one.redrawn) for one in cells] == [
        (True, True, 1),
        (True, False, 0),
        (True, False, 0),
        (True, False, 0),
    ]


@pytest.mark.slow
def test_a_text_that_was_cut_is_told_the_same_live_and_on_another_machine(tmp_path, away):
    """In cells, printed asks, chats and columns: the warning is a saved output like any other."""
    from qwennb.simulator import Simulator

    cut = Reply("Once upon a time there was a rive", finish_reason="length", usage={"completion_tokens": 8})
    with Simulator("openrouter", api_key=KEY, script=lambda asked: cut) as simulator:
        live = Live(tmp_path, simulator)
        notebook = live.notebook(
            "%load_ext qwennb",
            "%qwen --max-tokens 8 Tell me a story",
            "%qwen --max-tokens 8 --chat story --quiet Tell me another",
            "import polars as pl\ndf = pl.DataFrame({'of': ['seas', 'seas', 'rivers']})\n"
            "_ = df.qwen.ask('A story of {{ of }}', max_tokens=8)",
            "from qwennb import Qwen\nqwen = Qwen(max_tokens=8)\nprint(qwen.ask('A story'), qwen.ask('A story'))",
        )
        pack = live.pack(notebook)
    for number in (2, 3, 4, 5):
        told = "".join(o.text for o in cell(notebook, number).outputs if o.get("name") == "stderr")
        assert told.count("cut at max_tokens=8") == (2 if number == 5 else 1) and told.startswith("cell:")
    moved = away(notebook, pack)
    done = qwennb("verify", moved.name, folder=moved.parent)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "outputs as saved" in done.stdout


SAVED = Path(__file__).parent / "saved"


@pytest.mark.slow
def test_a_notebook_that_0_1_saved_is_verified_by_what_its_answers_say(away):
    notebook = away(SAVED / "saved-by-0-1.ipynb", SAVED / "saved-by-0-1.qwenpack")
    done = qwennb("verify", notebook.name, folder=notebook.parent)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (
        "7 of 7 answers replayed, $0.00, outputs as saved (4 outputs of an older qwennb compared"
        in done.stdout
    )
    for number, old, new in ((2, "They *fly*", "They *swim*"), (4, "1815", "1915"), (6, "Rain.", "Sun.")):
        changed(notebook, number, old, new)
    edited = nbformat.read(notebook, as_version=4)
    edited.cells[6].outputs[0].data["text/markdown"] = (
        edited.cells[6].outputs[0].data["text/markdown"].replace("329", "330")
    )
    nbformat.write(edited, notebook)
    done = qwennb("verify", notebook.name, folder=notebook.parent)
    assert done.returncode == 1 and done.stdout.count("is not as saved:") == 4, done.stdout
