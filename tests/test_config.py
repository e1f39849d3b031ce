"""Settings: which of the four places wins, what can't be set, and that a key shows itself nowhere."""

import base64
import copy
import dataclasses
import json
import logging
import os
import pickle
import socket
import subprocess
import sys
import traceback
import urllib.parse
from pathlib import Path

import pytest

from qwennb.config import CACHE_MODES, Config, Secret
from qwennb.errors import ConfigError
from qwennb.project import Project, TrustList

pytestmark = pytest.mark.filterwarnings("ignore:Settings from")
CANARY = "sk-CANARY8f3Kq2Zx7Wv1Tn6Yb4"


def leaks(text):
    """The 8-character windows of the canary that stand in *text*, as they are or in disguise."""
    disguises = {
        CANARY,
        CANARY[::-1],
        urllib.parse.quote(CANARY),
        json.dumps(CANARY)[1:-1],
        CANARY.encode().hex(),
    }
    # Base64 reads differently at each of three offsets; its edges are not the canary's own.
    disguises |= {base64.b64encode(b"\0" * n + CANARY.encode()).decode().rstrip("=")[4:] for n in range(3)}
    return {d[i : i + 8] for d in disguises for i in range(len(d) - 7) if d[i : i + 8] in text}


def project(folder, table, name="qwennb"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pyproject.toml").write_text(f"[tool.{name}]\n{table}", encoding="utf-8")
    return folder


def trusting(folder):
    """The environment of a user who trusts what the file in *folder* sets now."""
    environ = {"HOME": str(folder / "home"), "XDG_CONFIG_HOME": str(folder / "home")}
    TrustList.of(environ).add(Project.find(folder), ["endpoint", "cache_dir"])
    return environ


# ------------------------------------------------------------------ which place wins


def test_an_argument_wins_over_the_environment_over_the_file_over_the_default(tmp_path):
    folder = project(tmp_path, 'model = "file"\nendpoint = "file"\ntimeout = 5\ncache = "off"')
    environ = {
        "QWENNB_MODEL": "environment",
        "QWENNB_ENDPOINT": "environment",
        "QWENNB_TIMEOUT": "7",
        "HOME": "/h",
    }
    config = Config.load({"model": "argument", "endpoint": None}, environ=environ, folder=folder)
    assert (config.model, config.endpoint, config.timeout, config.cache) == (
        "argument",
        "environment",
        7.0,
        "off",
    )
    assert (config.budget, config.concurrency, config.pace) == (None, 256, 0.8)


def test_the_nearest_pyproject_is_the_one_that_is_read(tmp_path):
    project(tmp_path, 'model = "outer"')
    inner = project(tmp_path / "a", 'model = "inner"')
    (inner / "b").mkdir()
    assert Config.load(environ={}, folder=inner / "b").model == "inner"
    other = project(tmp_path / "c", "x = 1", name="other")
    assert Config.load(environ={}, folder=other).model is None


def test_every_setting_can_come_from_the_environment():
    given = {
        "ENDPOINT": "dashscope", "MODEL": "9b", "API_KEY": CANARY, "CACHE": "replay", "CACHE_DIR": "/c", "BUDGET": "2.5",
        "TIMEOUT": "10", "CONCURRENCY": "8", "PACE": "0.5", "REFERER": "r", "TITLE": "t",
    }  # fmt: skip
    config = Config.load(environ={f"QWENNB_{name}": value for name, value in given.items()}, folder=Path("/"))
    assert config == Config(
        "dashscope", "9b", Secret(CANARY), "replay", Path("/c"), 2.5, 10.0, 8, 0.5, "r", "t"
    )
    assert len(given) == len(dataclasses.fields(Config))
    assert type(config.concurrency) is int


def test_an_empty_variable_is_not_set():
    assert Config.load(environ={"QWENNB_MODEL": "", "QWENNB_API_KEY": ""}, folder=Path("/")) == Config.load(
        environ={}, folder=Path("/")
    )


def test_the_cache_lives_with_the_users_data():
    def folder(**environ):
        return Config.load(environ=environ, folder=Path("/")).cache_dir

    if sys.platform == "linux":
        assert folder(HOME="/h") == Path("/h/.local/share/qwennb")
        assert folder(HOME="/h", XDG_DATA_HOME="/x") == Path("/x/qwennb")
    assert folder(QWENNB_CACHE_DIR="/c") == Path("/c")
    assert folder(QWENNB_CACHE_DIR="~/c") == Path.home() / "c"


def test_a_folder_named_in_a_file_is_meant_from_where_the_file_is(tmp_path):
    folder = project(tmp_path, 'cache_dir = "answers"')
    (folder / "deep").mkdir()
    home = trusting(folder)
    assert Config.load(environ=home, folder=folder / "deep").cache_dir == tmp_path / "answers"
    assert Config.load({"cache_dir": "answers"}, environ=home, folder=folder).cache_dir == Path("answers")
    project(tmp_path, 'cache_dir = "/abs"')
    assert Config.load(environ=trusting(folder), folder=folder).cache_dir == Path("/abs")


# ------------------------------------------------------------------ what can't be set


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"modl": "x"}, r"^There is no setting `modl`; did you mean `model`\?"),
        ({"qqq": 1}, r"^There is no setting `qqq`; there are endpoint, model, api_key, .*title\.$"),
        (
            {"cache": "reply"},
            r"^cache='reply' is not a mode; did you mean `replay`\?\. Use on, refresh, replay, off\.$",
        ),
        ({"cache": "zzz"}, r"^cache='zzz' is not a mode\. Use on, refresh, replay, off\.$"),
        ({"cache": True}, r"^cache=True is not a mode"),
        ({"timeout": "soon"}, r"^timeout='soon' is not a number\.$"),
        ({"timeout": True}, r"^timeout=True is not a number\.$"),
        ({"timeout": 0}, r"^timeout=0 must be above 0\.$"),
        ({"budget": -1}, r"^budget=-1 must be above 0\.$"),
        ({"budget": float("nan")}, r"^budget=nan is not a number\.$"),
        ({"pace": 1.5}, r"^pace=1.5 must be above 0 and at most 1\.$"),
        ({"concurrency": 2.5}, r"^concurrency=2.5 is not a whole number\.$"),
        ({"concurrency": float("inf")}, r"^concurrency=inf is not a whole number\.$"),
        ({"concurrency": [1]}, r"^concurrency=\[1\] is not a whole number\.$"),
        ({"cache_dir": 5}, r"^cache_dir=5 is not a folder's path\.$"),
        ({"model": 5}, r"^model=5 must be text\.$"),
        ({"api_key": ""}, r"^The API key is empty\. Leave it out, or copy it again\.$"),
        ({"api_key": "sk-a\nb"}, r"^The API key holds a character that no key has\. Copy it again\.$"),
        ({"api_key": "sk-ключ"}, r"^The API key holds a character that no key has"),
    ],
)
def test_what_can_not_be_set_is_told_with_what_can(arguments, told):
    with pytest.raises(ConfigError, match=told):
        Config.load(arguments, environ={}, folder=Path("/"))


def test_an_error_names_the_place_where_the_setting_stands(tmp_path):
    with pytest.raises(ConfigError, match=r"^QWENNB_TIMEOUT='soon' is not a number\.$"):
        Config.load(environ={"QWENNB_TIMEOUT": "soon"}, folder=tmp_path)
    with pytest.raises(ConfigError, match=r"^\[tool\.qwennb\] pace=2 must be above 0 and at most 1\.$"):
        Config.load(environ={}, folder=project(tmp_path, "pace = 2"))
    with pytest.raises(
        ConfigError, match=r"^There is no setting `\[tool\.qwennb\] modle`; did you mean `model`\?"
    ):
        Config.load(environ={}, folder=project(tmp_path, 'modle = "x"'))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[tool.qwennb\n", r"^pyproject\.toml can't be read as TOML: .*line 1"),
        ("[tool]\nqwennb = 5\n", r"^\[tool\.qwennb\] in pyproject\.toml must be a table of settings\.$"),
        (b"\xff\xfe", r"^pyproject\.toml can't be read as TOML"),
    ],
)
def test_a_file_that_can_not_be_read_is_told(tmp_path, text, told):
    (tmp_path / "pyproject.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError, match=told):
        Config.load(environ={}, folder=tmp_path)


def test_a_file_without_our_table_is_none_of_our_business(tmp_path):
    for text in ("", "tool = 5\n", "[tool.other]\nx = 1\n", "[project]\nname = 'x'\n"):
        (tmp_path / "pyproject.toml").write_text(text)
        assert Config.load(environ={}, folder=tmp_path) == Config.load(environ={}, folder=Path("/"))
    (tmp_path / "pyproject.toml").unlink()
    (tmp_path / "pyproject.toml").mkdir()
    assert Config.load(environ={}, folder=tmp_path) == Config.load(environ={}, folder=Path("/"))


def test_a_current_folder_that_is_gone_is_no_error():
    program = "import os, tempfile; d = tempfile.mkdtemp(); os.chdir(d); os.rmdir(d)\nfrom qwennb.config import Config\nprint(Config.load(environ={'HOME': '/h'}).cache)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "on\n"


# ------------------------------------------------------------------ whose key goes where


def test_a_key_in_a_file_is_refused_and_not_shown(tmp_path):
    with pytest.raises(
        ConfigError, match=r"holds an api_key\. Files are shared: take it out, and set QWENNB_API_KEY"
    ) as caught:
        Config.load(environ={}, folder=project(tmp_path, f'api_key = "{CANARY}"'))
    assert not leaks(
        "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
        .split("def test_")[0]
        .partition("in load")[2]
    )


@pytest.mark.parametrize(
    "url", ["https://evil.example/v1", "vllm+http://evil.example/v1", "HTTPS://EVIL.EXAMPLE"]
)
def test_a_base_url_from_a_file_never_gets_the_environments_key(tmp_path, url):
    folder = project(tmp_path, f'endpoint = "{url}"')
    environ = {"QWENNB_API_KEY": CANARY} | trusting(folder)
    assert Config.load(environ=environ, folder=folder).api_key is None
    assert Config.load({"model": "m"}, environ=environ, folder=folder).api_key is None
    # Whoever names the endpoint, or the key, where no file can, means it.
    assert Config.load(
        {"endpoint": "https://mine.example"}, environ=environ, folder=folder
    ).api_key == Secret(CANARY)
    assert Config.load(environ={**environ, "QWENNB_ENDPOINT": url}, folder=folder).api_key == Secret(CANARY)
    assert Config.load({"api_key": CANARY}, environ=trusting(folder), folder=folder).api_key == Secret(CANARY)


def test_a_name_from_a_file_does_get_the_environments_key(tmp_path):
    folder = project(tmp_path, 'endpoint = "dashscope"')
    assert Config.load(environ={"QWENNB_API_KEY": CANARY}, folder=folder).api_key == Secret(CANARY)


# ------------------------------------------------------------------ a key shows itself nowhere


def test_the_canary_would_be_found():
    for text in (
        CANARY,
        f"x{CANARY[3:11]}y",
        CANARY[::-1],
        urllib.parse.quote(CANARY),
        base64.b64encode(b"Bearer " + CANARY.encode()).decode(),
    ):
        assert leaks(text)
    assert not leaks("nothing of the kind")


def test_a_secret_shows_itself_in_no_text():
    secret = Secret(CANARY)
    config = Config(api_key=secret)
    shown = [
        repr(secret), str(secret), f"{secret}", "%s %r" % (secret, secret), "{}".format(secret), repr([secret]),  # noqa: UP031, UP032
        repr(config), str(config), repr(dataclasses.asdict(config)), repr(dir(secret)), repr(copy.deepcopy(config)),
        repr({name: getattr(secret, name, None) for name in dir(secret)}),
    ]  # fmt: skip
    assert not leaks(" ".join(shown))
    assert "<Secret: set>" in repr(config)
    assert secret.reveal() == CANARY
    with pytest.raises(TypeError):
        vars(secret)
    with pytest.raises(TypeError):
        json.dumps(secret)


def test_a_secret_is_not_pickled_and_copies_are_itself():
    secret = Secret(CANARY)
    for thing in (secret, Config(api_key=secret)):
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            with pytest.raises(TypeError, match="a Secret is not pickled"):
                pickle.dumps(thing, protocol)
    assert copy.copy(secret) is copy.deepcopy(secret) is secret


def test_a_secret_equals_its_like_and_nothing_else():
    assert Secret(CANARY) == Secret(f" {CANARY}\n")
    assert hash(Secret(CANARY)) == hash(Secret(CANARY))
    assert Secret(CANARY) != Secret("sk-other")
    assert Secret(CANARY) != CANARY


def test_a_secret_is_in_no_log(caplog):
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("x").debug("asking with %s and %r", Secret(CANARY), Config(api_key=Secret(CANARY)))
    assert not leaks(caplog.text)


def test_a_key_that_no_header_can_carry_is_not_in_the_error(tmp_path):
    with pytest.raises(ConfigError) as caught:
        Secret(CANARY + "\nmore")
    shown = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    inside = shown.partition("in __init__")[2]
    assert inside
    assert not leaks(inside)


@pytest.fixture
def closed_port():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound and not listening: nobody else can open it meanwhile
        yield held.getsockname()[1]


SHELL = """
import sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
cells = sys.stdin.read().split("\\n---\\n")
for mode in ("Plain", "Context", "Verbose", "Minimal"):
    shell.run_line_magic("xmode", mode)
    print(mode, [shell.run_cell(cell).success for cell in cells])
"""


@pytest.mark.slow
def test_a_failing_question_shows_the_key_in_no_traceback_of_ipythons(tmp_path, closed_port):
    key = tmp_path / "key.txt"
    key.write_text(CANARY + "\n")
    asked = (
        f"'qwen3.5-9b', 'http://127.0.0.1:{closed_port}/v1', api_key=Path('key.txt').read_text(), cache='off'"
    )
    cells = [
        f"from pathlib import Path\nfrom qwennb import Qwen\nqwen = Qwen({asked}, timeout=5)",
        "qwen",
        "qwen.ask('Hello?')",
        "qwen.session.config",
        "vars(qwen)",
        "raise ValueError(f'{qwen.session.config} {qwen.session.config.api_key} {[qwen.session.config.api_key]}')",
        "from qwennb.config import Config\nConfig.load({'api_key': Path('key.txt').read_text(), 'timeout': -1})",
        "Config.load({'api_key': Path('key.txt').read_text(), 'timeut': 1})",
    ]
    environ = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        "HOME": str(tmp_path),
        "IPYTHONDIR": str(tmp_path / "ipython"),
        "QWENNB_CACHE_DIR": str(tmp_path / "cache"),
    }
    done = subprocess.run(
        [sys.executable, "-c", SHELL], input="\n---\n".join(cells), env=environ, cwd=tmp_path, capture_output=True, text=True, check=True
    )  # fmt: skip
    for mode in ("Plain", "Context", "Verbose", "Minimal"):
        assert f"{mode} [True, True, False, True, True, False, False, False]" in done.stdout, (
            done.stdout + done.stderr
        )
    assert done.stdout.count("Unreachable") >= 4
    assert done.stdout.count("timeout=-1 must be above 0") >= 4
    assert not leaks(done.stdout + done.stderr), done.stdout
    for file in tmp_path.rglob("*"):
        if file.is_file() and file != key:
            assert not leaks(file.read_bytes().decode("latin-1")), file


def test_the_modes_of_the_cache_are_these():
    assert CACHE_MODES == ("on", "refresh", "replay", "off")
