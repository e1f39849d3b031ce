"""What a repository's pyproject.toml may set: names act and are told, what leads elsewhere waits for the user's trust."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from nbclient.exceptions import CellExecutionError

from qwennb.cache import Pack
from qwennb.config import Config, lend_trust
from qwennb.errors import ConfigError
from qwennb.project import TrustList
from tests.answers import answer_of
from tests.cli.conftest import run  # noqa: F401  (a fixture)
from tests.notebooks import ran, written
from tests.test_config import project

pytestmark = pytest.mark.filterwarnings("ignore:Settings from")
ADDRESSES = (
    "https://evil.example/v1", "vllm+http://evil.example/v1", "HTTPS://EVIL.EXAMPLE", "openai+https://evil.example",
    " https://evil.example/v1", "http://127.0.0.1:8000/v1", "evil.example:8000", "openrouter+https://evil.example/v1", "//evil.example",
)  # fmt: skip
FILES = (
    "evil.gguf", "./evil.gguf", "models/evil.gguf", "../evil.gguf", "/tmp/evil.gguf", "~/evil.gguf", "EVIL.GGUF", "./evil",
    "C:\\evil", "~root/evil", "hub:evil/repository/evil.gguf", "hub:evil/repository/evil.gguf@v1",
)  # fmt: skip
FOLDERS = ("answers", ".", "../answers", "/tmp/answers", "~/answers", ".qwennb/../..")
LEADING = [("endpoint", v) for v in ADDRESSES] + [("model", v) for v in FILES]
LEADING += [("cache_dir", v) for v in FOLDERS]
NAMES = [
    ("endpoint", "dashscope-intl"), ("endpoint", "vllm"), ("endpoint", "llama.cpp"), ("model", "plus"), ("model", "qwen3.5-9b"),
    ("model", "Qwen/Qwen3.5-9B"), ("model", "qwen3.5:9b"), ("cache", "off"), ("budget", 2.5), ("timeout", 7), ("concurrency", 3),
    ("pace", 0.5), ("referer", "https://example.org"), ("title", "A title"),
]  # fmt: skip


@pytest.fixture
def home(tmp_path) -> dict[str, str]:
    """The environment of a user whose config folder is empty."""
    return {"HOME": str(tmp_path / "home"), "USERPROFILE": str(tmp_path / "home")}


def wrote(folder: Path, **settings: object) -> Path:
    return project(folder, "\n".join(f"{name} = {json.dumps(value)}" for name, value in settings.items()))


def trusts(run, home, *words: object):  # noqa: F811
    """`qwennb trust …`, typed by the user of *home*."""
    return run("trust", *map(str, words), environ={"XDG_CONFIG_HOME": "", "QWENNB_CACHE_DIR": "", **home})


# ---------------------------------------------------------------------- before it is trusted


@pytest.mark.parametrize(("name", "value"), LEADING)
def test_what_leads_elsewhere_is_refused_with_file_value_and_what_to_type(tmp_path, home, name, value):
    folder = wrote(tmp_path / "repo", **{name: value})
    with pytest.raises(ConfigError) as refused:
        Config.load(environ=home, folder=folder)
    told = str(refused.value)
    assert f"{folder / 'pyproject.toml'} sets {name} = {json.dumps(value)}" in told
    assert told.endswith(f"type: qwennb trust {folder}")


@pytest.mark.slow
def test_nothing_is_opened_or_made_before_it_is_trusted(tmp_path, home):
    folder = wrote(tmp_path / "repo", cache_dir="answers", model="evil.gguf", endpoint="local")
    (folder / "evil.gguf").write_bytes(b"GGUF" + bytes(60))
    program = """
import sys
seen = []
sys.addaudithook(lambda event, args: seen.append(str(args[0])) if event in ("open", "os.mkdir", "socket.connect") else None)
from qwennb import Qwen
try:
    Qwen().ask("Hello?")
except ValueError as error:
    print(error)
print([name for name in seen if "evil.gguf" in name or "answers" in name])
"""
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[1]), **home}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, env=environ, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "qwennb trust" in done.stdout and done.stdout.endswith("\n[]\n")
    assert sorted(p.name for p in folder.iterdir()) == ["evil.gguf", "pyproject.toml"]


@pytest.mark.parametrize(("name", "value"), NAMES)
def test_names_and_numbers_are_free(tmp_path, home, name, value):
    folder = wrote(tmp_path / "repo", **{name: value})
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        assert getattr(Config.load(environ=home, folder=folder), name) == value


def test_every_setting_is_either_free_or_waits_for_trust(tmp_path, home):
    known = {field.name for field in dataclasses.fields(Config)} - {"api_key"}  # refused altogether
    assert known == {name for name, _ in (*LEADING, *NAMES)}


@pytest.mark.parametrize("table", ['extra = {x = 1}', '[tool.qwennb.extra]\nbase_url = "https://evil.example"', 'keys = "x"',
                                   'base_url = "https://evil.example"', '"endpoint " = "https://evil.example"'])  # fmt: skip
def test_what_is_no_setting_is_no_way_around(tmp_path, home, table):
    with pytest.raises(ConfigError, match=r"^There is no setting `\[tool\.qwennb\] "):
        Config.load(environ=home, folder=project(tmp_path / "repo", table))


def test_what_the_user_sets_himself_needs_no_trust_in_the_file(tmp_path, home):
    folder = wrote(tmp_path / "repo", endpoint=ADDRESSES[0], cache_dir="answers", model="evil.gguf")
    environ = {**home, "QWENNB_ENDPOINT": "openrouter", "QWENNB_CACHE_DIR": "/mine"}
    config = Config.load({"model": "plus"}, environ=environ, folder=folder)
    assert (config.endpoint, config.model, config.cache_dir) == ("openrouter", "plus", Path("/mine"))


def test_a_parents_file_asks_for_the_same_trust(tmp_path, home):
    folder = wrote(tmp_path / "shared", endpoint=ADDRESSES[0])
    (folder / "a" / "b").mkdir(parents=True)
    with pytest.raises(ConfigError, match=rf"type: qwennb trust {folder}$"):
        Config.load(environ=home, folder=folder / "a" / "b")


@pytest.mark.skipif(os.name != "posix", reason="links need rights on Windows")
def test_the_file_above_is_that_of_the_real_folder(tmp_path, home, monkeypatch):
    folder = wrote(tmp_path / "repo", endpoint=ADDRESSES[0])
    (folder / "a").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "link").symlink_to(folder / "a")
    monkeypatch.chdir(folder / "a")
    for way in (
        Path(),
        Path("../a"),
        tmp_path / "elsewhere" / "link",
        tmp_path / "elsewhere" / "link" / ".." / "a",
    ):
        with pytest.raises(ConfigError, match=rf"type: qwennb trust {folder}$"):
            Config.load(environ=home, folder=way)
    assert Config.load(environ=home, folder=folder / "a" / ".." / ".." / "elsewhere").endpoint is None


def test_a_password_in_an_address_is_not_shown(tmp_path, home, run):  # noqa: F811
    folder = wrote(tmp_path / "repo", endpoint="https://me:hunter2@evil.example/v1?key=sk-hidden")
    with pytest.raises(ConfigError) as refused:
        Config.load(environ=home, folder=folder)
    told = trusts(run, home, folder)
    assert told.code == 2 and "password" in told.err
    assert not any(word in f"{refused.value}{told.out}{told.err}" for word in ("hunter2", "sk-hidden"))


def test_escapes_in_a_value_are_made_visible(tmp_path, home):
    folder = wrote(tmp_path / "repo", cache_dir="a\x1b[2Jb\u202ec")
    with pytest.raises(ConfigError) as refused:
        Config.load(environ=home, folder=folder)
    assert "\x1b" not in str(refused.value) and "\u202e" not in str(refused.value)
    assert r"\u001b[2Jb\u202ec" in str(refused.value)


# ---------------------------------------------------------------------- trusting


def test_what_is_trusted_is_used_and_kept_outside_the_repository(tmp_path, home, run):  # noqa: F811
    folder = wrote(tmp_path / "repo", endpoint=ADDRESSES[0], cache_dir="answers", model="m/x.gguf")
    told = trusts(run, home, folder)
    assert told.code == 0, told.err
    for value in (ADDRESSES[0], "answers", "m/x.gguf", str(folder / "pyproject.toml")):
        assert value in told.out
    (folder / "deep").mkdir()
    config = Config.load(environ=home, folder=folder / "deep")
    assert config.endpoint == ADDRESSES[0]
    assert config.cache_dir == folder / "answers"
    assert config.model == str(folder / "m/x.gguf")  # meant from where the file is
    assert sorted(p.name for p in folder.rglob("*")) == ["deep", "pyproject.toml"]
    kept = [file for file in (tmp_path / "home").rglob("*") if file.is_file()]
    assert [file.name for file in kept] == ["trust.json"]
    if os.name == "posix":
        assert kept[0].stat().st_mode & 0o777 == 0o600


def test_the_folder_may_be_one_below_the_file(tmp_path, home, run):  # noqa: F811
    folder = wrote(tmp_path / "repo", endpoint=ADDRESSES[0])
    (folder / "deep").mkdir()
    assert trusts(run, home, folder / "deep").code == 0
    assert Config.load(environ=home, folder=folder).endpoint == ADDRESSES[0]


@pytest.mark.parametrize(
    ("name", "value"), [("endpoint", "https://evil.example/v2"), ("cache_dir", "others"), ("model", "y.gguf")]
)
def test_a_changed_value_needs_trust_anew_and_says_so(tmp_path, home, run, name, value):  # noqa: F811
    settings = {"endpoint": ADDRESSES[0], "cache_dir": "answers", "model": "x.gguf"}
    folder = wrote(tmp_path / "repo", **settings)
    assert trusts(run, home, folder).code == 0
    wrote(tmp_path / "repo", **(settings | {name: value}))
    with pytest.raises(ConfigError, match="type: qwennb trust") as refused:
        Config.load(environ=home, folder=folder)
    assert f"{json.dumps(value)}" in str(refused.value) and settings[name] in str(refused.value)
    assert all(json.dumps(v) not in str(refused.value) for n, v in settings.items() if n != name)
    assert trusts(run, home, folder).code == 0
    assert Config.load(environ=home, folder=folder).endpoint


def test_another_copy_of_the_repository_is_another_repository(tmp_path, home, run):  # noqa: F811
    folder = wrote(tmp_path / "repo", endpoint=ADDRESSES[0])
    assert trusts(run, home, folder).code == 0
    with pytest.raises(ConfigError, match="qwennb trust"):
        Config.load(environ=home, folder=wrote(tmp_path / "other", endpoint=ADDRESSES[0]))


@pytest.mark.skipif(os.name != "posix", reason="links need rights on Windows")
def test_a_link_is_followed_to_what_was_trusted_and_no_further(tmp_path, home, run):  # noqa: F811
    folder = wrote(tmp_path / "repo", cache_dir="answers")
    (tmp_path / "mine").mkdir()
    (folder / "answers").symlink_to(tmp_path / "mine")
    told = trusts(run, home, folder)
    assert str(tmp_path / "mine") in told.out  # where it leads is shown
    (tmp_path / "link").symlink_to(folder)
    assert Config.load(environ=home, folder=tmp_path / "link").cache_dir == tmp_path / "mine"
    (folder / "answers").unlink()
    (folder / "answers").symlink_to(tmp_path / "yours")
    with pytest.raises(ConfigError, match="leads to"):
        Config.load(environ=home, folder=folder)
    # A file that is a link to a trusted one is not the trusted one.
    (tmp_path / "third").mkdir()
    (tmp_path / "third" / "pyproject.toml").symlink_to(folder / "pyproject.toml")
    with pytest.raises(ConfigError, match=rf"qwennb trust {tmp_path / 'third'}$"):
        Config.load(environ=home, folder=tmp_path / "third")


def test_trust_is_listed_and_taken_back(tmp_path, home, run):  # noqa: F811
    assert "Nothing" in trusts(run, home, "--list").out
    folder = wrote(tmp_path / "repo", endpoint=ADDRESSES[0])
    other = wrote(tmp_path / "other", cache_dir="answers")
    trusts(run, home, folder)
    trusts(run, home, other)
    listed = trusts(run, home, "--list").out
    assert str(folder) in listed and ADDRESSES[0] in listed and str(other / "answers") in listed
    assert trusts(run, home, "--remove", folder).code == 0
    assert str(folder) not in trusts(run, home, "--list").out
    with pytest.raises(ConfigError, match="qwennb trust"):
        Config.load(environ=home, folder=folder)
    (other / "pyproject.toml").unlink()  # one that is gone can be taken back too
    assert trusts(run, home, "--remove", other).code == 0
    again = trusts(run, home, "--remove", other)
    assert again.code == 2 and "qwennb trust --list" in again.err


def test_what_can_not_be_trusted_is_told(tmp_path, home, run):  # noqa: F811
    assert "qwennb trust FOLDER" in trusts(run, home).err
    (tmp_path / "empty").mkdir()
    told = trusts(run, home, tmp_path / "empty")
    assert told.code == 2 and "[tool.qwennb]" in told.err
    assert trusts(run, home, tmp_path / "nowhere").code == 2
    told = trusts(run, home, wrote(tmp_path / "repo", model="plus"))
    assert told.code == 0 and "needs no trust" in told.out
    assert trusts(run, home, wrote(tmp_path / "key", api_key="sk-x", endpoint=ADDRESSES[0])).code == 2


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_a_list_of_trust_that_others_could_have_written_counts_for_nothing(tmp_path, home, run):  # noqa: F811
    folder = wrote(tmp_path / "repo", endpoint=ADDRESSES[0])
    trusts(run, home, folder)
    (kept,) = (tmp_path / "home").rglob("trust.json")
    for mode in (0o644, 0o620):  # as a checkout leaves it; as a neighbour may write it
        kept.chmod(mode)
        with pytest.raises(ConfigError, match="chmod 600"):
            Config.load(environ=home, folder=folder)
    kept.chmod(0o600)
    kept.write_text("[]")
    with pytest.raises(ConfigError, match=r"trust\.json"):
        Config.load(environ=home, folder=folder)


def test_an_address_that_is_trusted_still_gets_no_key_of_the_environment(tmp_path, home, run):  # noqa: F811
    folder = wrote(tmp_path / "repo", endpoint=ADDRESSES[0])
    trusts(run, home, folder)
    assert Config.load(environ={**home, "QWENNB_API_KEY": "sk-mine"}, folder=folder).api_key is None


# ---------------------------------------------------------------------- told once


@pytest.mark.slow
def test_what_comes_from_a_file_is_named_once_in_a_process(tmp_path, home, run):  # noqa: F811
    folder = wrote(tmp_path / "repo", endpoint=ADDRESSES[0], model="plus", timeout=7)
    trusts(run, home, folder)
    program = """
from qwennb import Qwen
Qwen(); Qwen(model="9b"); Qwen()
"""
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[1]), **home}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, env=environ, capture_output=True, text=True, check=True
    )
    told = [line for line in done.stderr.splitlines() if "pyproject.toml" in line]
    assert len(told) == 1, done.stderr
    assert f'endpoint = "{ADDRESSES[0]}", model = "plus", timeout = 7' in told[0]


def test_a_command_names_it_too(tmp_path, run):  # noqa: F811
    wrote(tmp_path, cache="off")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        told = run("cache", "info")
    assert 'cache = "off"' in told.err and "pyproject.toml" in told.err


@pytest.mark.slow
def test_in_a_notebook_it_is_named_in_a_line_that_is_not_compared(tmp_path, home):
    folder = wrote(tmp_path / "repo", model="plus")
    program = """
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
shell = InteractiveShell.instance()
with capture_output() as shown:
    shell.run_cell("from qwennb import Qwen\\nQwen(); Qwen()")
print([(one.data["text/plain"], one.metadata) for one in shown.outputs], [shown.stderr])
"""
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[1]), **home}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, env=environ, capture_output=True, text=True, check=True
    )
    assert done.stdout.count('model = "plus"') == 1, done.stdout + done.stderr
    assert "{'qwennb': {'state': 'project'}}" in done.stdout and done.stdout.strip().endswith("['']")


# ---------------------------------------------------------------------- where nobody can be asked


@pytest.mark.slow
def test_verify_refuses_before_it_runs_and_runs_once_it_is_trusted(tmp_path, home, run):  # noqa: F811
    folder = wrote(tmp_path / "repo", endpoint=ADDRESSES[0], cache_dir="answers")
    written(
        folder / "n.ipynb",
        [
            "from qwennb import Qwen\nqwen = Qwen()\nprint(qwen.session.config.endpoint, open('ran', 'w').name)"
        ],
    )
    Pack.of([answer_of(0)]).write(folder / "n.qwenpack")
    refused = run("verify", str(folder / "n.ipynb"), environ=home)
    assert refused.code == 2 and refused.err.endswith(f"type: qwennb trust {folder}\n") and not refused.out
    assert "cache_dir" not in refused.err  # it has a cache of its own
    assert not (folder / "ran").exists()
    assert trusts(run, home, folder).code == 0
    trusted = run("verify", str(folder / "n.ipynb"), environ=home)
    assert "not compared" in trusted.out and (folder / "ran").exists(), trusted.out + trusted.err
    assert trusts(run, home, "--list").out.count("pyproject.toml") == 1
    assert not (folder / "answers").exists()


@pytest.mark.slow
def test_a_kernel_that_nobody_watches_refuses_it(tmp_path, home):
    folder = wrote(tmp_path / "repo", endpoint=ADDRESSES[0])
    with pytest.raises(CellExecutionError, match="qwennb trust"):
        ran(written(folder / "n.ipynb", ["%load_ext qwennb", "%qwen Hello?"]), home)


def test_a_list_that_is_lent_holds_that_project_alone(tmp_path, home, run):  # noqa: F811
    one, other = (
        wrote(tmp_path / "one", endpoint=ADDRESSES[0]),
        wrote(tmp_path / "other", endpoint=ADDRESSES[1]),
    )
    for folder in (one, other):
        trusts(run, home, folder)
    theirs = {"HOME": str(tmp_path / "sealed")}
    lend_trust(one, home, theirs)
    assert list(TrustList.of(theirs).read()) == [str(one / "pyproject.toml")]
    lend_trust(one, home, home)
    assert len(TrustList.of(home).read()) == 2
