"""A folder that can't be used costs nobody an answer: one warning, answers given, and what can be read is read."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

from qwennb import Qwen
from qwennb.simulator import Simulator

pytestmark = [
    pytest.mark.slow,  # each in a process of its own
    pytest.mark.skipif(os.name != "posix", reason="permissions and limits as POSIX has them"),
]

# Root writes everywhere; without these two it does not.
PLAIN = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"] if os.geteuid() == 0 else []

SCRIPT = """
import json, os, resource, signal, sys, warnings
import polars as pl
import qwennb
from qwennb import Qwen
from qwennb.errors import CacheError

def limit(size):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

def texts(answers):
    return [a.text if a.error is None else repr(a.error) for a in answers]

def work():
    qwen = Qwen('flash', max_tokens=40)
    folder = qwen.session.config.cache_dir
    frame = pl.DataFrame({"t": ["a", "b", "a"]})
    yield "ask", qwen.ask("one").text
    yield "again", qwen.ask("one").cached
    yield "many", texts(qwen.ask_many(["one", "two", "three"]))
    yield "plan", qwen.plan(["one", "never"]).known
    yield "stream", qwen.stream("four").answer.text
    yield "chat", qwen.chat().ask("five").text
    yield "column", frame.qwen.ask("Tell {{ t }}", client=qwen)["answer"].to_list()
    yield "lazy", frame.lazy().qwen.ask("Tell {{ t }}", client=qwen).collect()["answer"].to_list()
    yield "column plan", frame.qwen.plan("Tell {{ t }}", client=qwen).known
    yield "openai", qwen.openai.chat.completions.create(
        model=qwen.endpoint.model_name(None), messages=[{"role": "user", "content": "six"}]).choices[0].message.content
    yield "pack", len(qwen.pack(qwen.ask("one")))
    try:
        yield "batches", len(qwennb.batches(qwen))
    except CacheError as error:
        yield "batches", str(error)
    yield "replay", Qwen("flash", cache="replay", max_tokens=40).ask("one").cached
    yield "first", qwen.ask("kept before").text

with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    before = sys.argv[1]
    exec(before)
    made = dict(work())
words = [str(one.message) for one in told if issubclass(one.category, (UserWarning, ResourceWarning))]
print(json.dumps({"made": made, "told": [w for w in words if not w.startswith("Asking ")]}))
"""


def script(before, endpoint, home, **environ):
    """What the script brought, in a process that is no superuser."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("QWENNB_", "XDG_"))}
    bare |= {"HOME": str(home), "QWENNB_ENDPOINT": endpoint, "QWENNB_API_KEY": "sk-sim", **environ}
    done = subprocess.run(
        [*PLAIN, sys.executable, "-c", SCRIPT, before],
        env={name: value for name, value in bare.items() if value is not None},
        capture_output=True, text=True, timeout=250, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


@pytest.fixture(scope="module")
def sim():
    with Simulator("openrouter", api_key="sk-sim", script=lambda asked: f"said of {asked.text}") as simulator:
        yield simulator


@pytest.fixture(scope="module")
def once_kept(sim, tmp_path_factory):
    """A folder in which an answer was kept, by a process of its own."""
    home = tmp_path_factory.mktemp("kept")
    made = (
        "from qwennb import Qwen; qwen = Qwen('flash', max_tokens=40); qwen.ask('kept before');"
        "from qwennb.client.runtime import runtime; runtime().settle(qwen.session.config.cache_dir)"
    )
    environ = {"QWENNB_CACHE_DIR": str(home / "kept"), "QWENNB_ENDPOINT": f"openrouter+{sim.base_url}"}
    environ |= {"QWENNB_API_KEY": "sk-sim", "HOME": str(home)}
    subprocess.run([sys.executable, "-c", made], env={**os.environ, **environ}, check=True, timeout=250)
    return home / "kept"


@pytest.fixture
def kept(once_kept, tmp_path):
    """A copy of it for each test, which spoils it."""
    folder = tmp_path / "home" / "kept"
    shutil.copytree(once_kept, folder)
    yield folder
    subprocess.run(["chmod", "-R", "u+rwX", str(tmp_path)], check=False)


def read_only_folder(folder):
    for path in folder.iterdir():
        path.chmod(0o400)
    folder.chmod(0o500)


def read_only_home(folder):
    shutil.rmtree(folder)
    folder.parent.chmod(0o500)


def file_in_its_place(folder):
    shutil.rmtree(folder)
    folder.write_text("I was here first")


def file_above_it(folder):
    shutil.rmtree(folder.parent)
    folder.parent.write_text("I was here first")


def link_to_nowhere(folder):
    shutil.rmtree(folder)
    folder.symlink_to(folder.parent / "nowhere" / "at all")


# By name: what was done to the folder, whether the answer kept before can be read, and what the process does first.
TROUBLES = {
    "a read-only folder": (read_only_folder, True, ""),
    "a folder that can't be looked into": (lambda folder: folder.chmod(0o000), False, ""),
    "a read-only file in a folder that can be written": (lambda folder: (folder / "cache.db").chmod(0o400), True, ""),
    "a lock that can't be written": (lambda folder: (folder / "lock").chmod(0o400), True, ""),
    "a file that can't be read": (lambda folder: (folder / "cache.db").chmod(0o000), False, ""),
    "a read-only home": (read_only_home, False, ""),
    "a file in its place": (file_in_its_place, False, ""),
    "a file above it": (file_above_it, False, ""),
    "a link to nowhere": (link_to_nowhere, False, ""),
    "a full disk and an empty folder": (lambda folder: shutil.rmtree(folder), False, "limit(100)"),
    "a full disk and a folder with answers": (lambda folder: None, True, "limit(100)"),
    "a disk that fills up when opened": (lambda folder: shutil.rmtree(folder), False, "limit(6000)"),
    "permission lost in the middle": (
        lambda folder: None, True, "held = Qwen('flash', max_tokens=40); held.ask('kept before'); os.chmod(os.environ['QWENNB_CACHE_DIR'], 0o000)",
    ),
    "a disk that fills up in the middle": (
        lambda folder: None, True, "held = Qwen('flash', max_tokens=40); held.ask('kept before'); limit(100)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_folder_that_cannot_be_used_is_one_warning_and_answers_all_the_same(sim, kept, trouble):
    spoil, is_read, before = TROUBLES[trouble]
    asked = sim.ledger.count("asked")
    spoil(kept)
    done, said = script(before, f"openrouter+{sim.base_url}", kept.parent, QWENNB_CACHE_DIR=str(kept))
    made = done["made"]
    assert made["ask"] == "said of one" and made["again"] is True and made["replay"] is True
    assert made["many"] == ["said of one", "said of two", "said of three"] and made["plan"] == 1
    assert made["column"] == made["lazy"] == ["said of Tell a", "said of Tell b", "said of Tell a"]
    assert made["column plan"] == 2 and made["pack"] == 1
    assert made["batches"] == 0 or "can't be read" in made["batches"]
    assert (
        made["stream"] == "said of four"
        and made["chat"] == "said of five"
        and made["openai"] == "said of six"
    )
    assert made["first"] == "said of kept before"
    assert len(done["told"]) == 1, done["told"]
    assert str(kept) in done["told"][0] and "Traceback" not in said
    assert sim.ledger.count("asked") - asked == (8 if is_read else 9)


def test_no_home_at_all_is_one_warning(sim, kept):
    nobody = "os.setuid(61234)" if os.geteuid() == 0 else ""
    if not nobody:
        pytest.skip("only root can become a user that has no home")
    # Everything is loaded before: what nobody may read can't be imported.
    before = "Qwen(cache_dir=os.environ['FIRST'], max_tokens=40).ask_many(['nobody']); pl.DataFrame({'t': ['x']}).qwen.ask('{{ t }}', client=Qwen(cache_dir=os.environ['FIRST']))"
    before += "; Qwen(cache_dir=os.environ['FIRST']).openai; " + nobody + "; os.environ.pop('HOME', None)"
    done, _ = script(before, f"openrouter+{sim.base_url}", kept.parent, FIRST=str(kept))
    assert done["made"]["ask"] == "said of one"
    assert len(done["told"]) == 1 and "no-home-folder" in done["told"][0]


def test_replay_reads_a_folder_that_cannot_be_written(sim, kept):
    read_only_folder(kept)
    replay = (
        "import json, warnings; from qwennb import Qwen; warnings.simplefilter('ignore');"
        "import polars as pl; qwen = Qwen('flash', cache='replay', max_tokens=40);"
        "print(json.dumps([qwen.ask('kept before').text, pl.DataFrame({'t': ['kept before']}).qwen.ask('{{ t }}', client=qwen, thinking=None)['answer'].null_count()]))"
    )
    done = subprocess.run(
        [*PLAIN, sys.executable, "-c", replay],
        env={**os.environ, "QWENNB_CACHE_DIR": str(kept), "HOME": str(kept.parent)},
        capture_output=True, text=True, check=False, timeout=250,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[0] == "said of kept before"


@pytest.mark.parametrize("command", ["info", "usage"])
def test_the_command_reads_a_cache_that_cannot_be_written(sim, kept, command):
    read_only_folder(kept)
    done = subprocess.run(
        [*PLAIN, sys.executable, "-m", "qwennb.cli", "cache", command],
        env={**os.environ, "QWENNB_CACHE_DIR": str(kept), "HOME": str(kept.parent)},
        capture_output=True, text=True, check=False, timeout=250,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1" in done.stdout and "Traceback" not in done.stderr
    forget = subprocess.run(
        [*PLAIN, sys.executable, "-m", "qwennb.cli", "cache", "prune", "--all", "--yes"],
        env={**os.environ, "QWENNB_CACHE_DIR": str(kept), "HOME": str(kept.parent)},
        capture_output=True, text=True, check=False, timeout=250,
    )  # fmt: skip
    assert forget.returncode != 0 and "Traceback" not in forget.stderr


def test_a_folder_without_its_ledger_replays_by_what_its_answers_say(simulate, client, tmp_path):
    sim = simulate()
    asking = client(sim, model="qwen3.5-9b")
    asking.ask("Why?")
    folder = asking.session.config.cache_dir
    (tmp_path / "sent").mkdir(mode=0o700)
    shutil.copy(folder / "cache.db", tmp_path / "sent")
    assert Qwen(cache="replay", cache_dir=tmp_path / "sent").ask("Why?").model == "qwen3.5-9b"
