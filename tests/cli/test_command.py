"""What is typed is understood, or answered with one sentence that says what to type."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
from importlib import import_module
from pathlib import Path

import pytest

from qwennb.cli.command import COMMANDS, Parser
from tests.cli.conftest import leaves

QWENNB = [sys.executable, "-m", "qwennb.cli"]


def test_alone_it_lists_its_commands(run):
    for words in ((), ("--help",), ("-h",)):
        ran = run(*words)
        assert ran.code == 0 and not ran.err
        for command in ("demo", "doctor", "models", "cache", "local", "simulate"):
            assert f"\n  {command} " in ran.out


@pytest.mark.parametrize(
    "words",
    [["demo"], ["doctor"], ["models"], ["cache"], ["cache", "info"], ["cache", "prune"], ["cache", "usage"],
     ["local"], ["local", "pull"], ["local", "serve"], ["local", "list"], ["simulate"]],
)  # fmt: skip
def test_every_command_explains_itself_within_100_columns(run, words):
    ran = run(*words, "--help")
    assert ran.code == 0 and not ran.err
    assert ran.out.startswith(f"usage: qwennb {' '.join(words)}")
    assert max(map(len, ran.out.splitlines())) <= 100


@pytest.mark.parametrize("path", leaves())
def test_every_help_ends_with_examples_that_its_command_understands(run, path):
    assert COMMANDS[path].examples
    shown = run(*path.split(), "--help").out
    parser = Parser(path, COMMANDS[path])
    home = import_module(f"qwennb.cli.{path.split()[0]}")
    getattr(home, f"{path.replace(' ', '_')}_options", lambda parser: None)(parser)
    for typed in COMMANDS[path].examples:
        assert f"\n  {f'qwennb {path} {typed}'.rstrip()}\n" in shown
        parser.read(typed.split())


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["modles"], "did you mean `models`?"),
        (["cache", "prun"], "did you mean `prune`?"),
        (["models", "--endpont", "x"], "did you mean `--endpoint`?"),
        (["models", "--endpoint"], "expected one argument"),
        (["models", "--endpoint", "vlm"], "did you mean `vllm`?"),
        (["cache"], "info, prune, usage"),
        (["local", "fetch"], "pull, serve, list"),
        (["simulate"], "--dialect"),
        (["simulate", "--dialect", "vlm"], "did you mean `vllm`?"),
        (["simulate", "--dialect", "vllm", "--port", "x"], "invalid int value"),
        (["simulate", "--dialect", "vllm", "--port", "70000"], "no port"),
        (["simulate", "--dialect", "vllm", "--rps", "0"], "--rps 0 is out of range"),
        (["cache", "prune"], "--older-than 30d"),
        (["cache", "prune", "--all", "--model", "9b"], "--all alone"),
        (["cache", "prune", "--older-than", "soon"], "12h, 30d, 8w"),
        (["cache", "usage", "--by", "modle"], "did you mean `model`?"),
        (["cache", "usage", "--since", "May"], "2026-11-01"),
        (["local", "pull", "qwen"], "has no model `qwen`"),
        (["--verbose"], "--verbose"),
        (["doctor", "now"], "'now'"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_sentence_and_code_2(run, words, sentence):
    ran = run(*words)
    assert ran.code == 2 and not ran.out
    assert sentence in ran.err and ran.err.count("\n") == 1 and "Traceback" not in ran.err


def test_a_failure_is_code_1_and_debug_shows_where(run, tmp_path):
    (tmp_path / "cache").mkdir(mode=0o777)
    (tmp_path / "cache").chmod(0o777)
    (tmp_path / "cache" / "x").touch()
    plain = run("cache", "info")
    assert plain.code == 1 and plain.err.count("\n") == 1 and "Traceback" not in plain.err
    shown = run("cache", "info", "--debug")
    assert shown.code == 1 and "Traceback" in shown.err and shown.err.endswith(plain.err)


def test_a_setting_that_cannot_be_read_is_a_mistake(run):
    ran = run("doctor", environ={"QWENNB_CACHE": "reply"})
    assert ran.code == 2 and "replay" in ran.err and ran.err.count("\n") == 1


def test_help_and_mistakes_load_no_network_library():
    code = (
        "import sys; from qwennb.cli import main; main(['--help']); main(['modles']); main(['models', '-e', 'vllm']);"
        "print([m for m in ('httptools', 'openai', 'polars', 'IPython') if m in sys.modules], file=sys.stderr)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert ran.stderr.endswith("[]\n")


def test_the_command_of_the_shell_says_its_version(tmp_path):
    script = str(Path(sys.executable).with_name("qwennb"))
    for command in ([script], QWENNB):
        ran = subprocess.run(
            [*command, "--version"], capture_output=True, text=True, timeout=120, cwd=tmp_path
        )
        assert ran.returncode == 0 and ran.stdout.startswith("qwennb ")


def test_without_a_terminal_and_in_a_plain_encoding_there_are_no_codes_or_failures(tmp_path):
    environ = {**os.environ, "PYTHONIOENCODING": "ascii", "FORCE_COLOR": "1", "HOME": str(tmp_path)}
    ran = subprocess.run(
        [*QWENNB, "models", "-e", "dashscope"], capture_output=True, timeout=120, env=environ
    )
    assert (
        ran.returncode == 0 and b"\x1b" not in ran.stdout and b"?0." in ran.stdout
    )  # ≈ where it can't be written


def test_a_reader_that_leaves_early_is_no_failure(tmp_path):
    environ = {**os.environ, "HOME": str(tmp_path)}
    pipe = subprocess.PIPE
    with subprocess.Popen([*QWENNB, "models"], stdout=pipe, stderr=pipe, env=environ) as models:
        models.stdout.close()  # long before the first line is written
        assert models.stderr.read() == b""
    assert models.returncode == 0


def test_a_simulator_serves_until_it_is_interrupted(tmp_path):
    command = [*QWENNB, "simulate", "--dialect", "vllm", "--seed", "3"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as server:
        url = server.stdout.readline().split()[-1]
        assert f"QWENNB_ENDPOINT=vllm+{url} " in server.stdout.readline()
        assert "no model's" in server.stdout.readline()
        with urllib.request.urlopen(f"{url}/models", timeout=10) as reply:
            assert b"Qwen3.5" in reply.read()
        server.send_signal(signal.SIGINT)
        assert server.wait(10) == 0
