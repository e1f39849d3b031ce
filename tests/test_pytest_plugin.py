"""Checks in pytest: each rule a test, a fixture, and nothing for whoever wants none of it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from xml.etree import ElementTree as ET

import polars as pl
import pytest

from tests.test_docs import ROOT

CHECKS = """
[from]
rows = "rows.csv"
[[check]]
name = "stars"
column = "stars"
between = [1, 5]
no_failed = true
seconds_at_most = 1
"""


@pytest.fixture
def pytester_run(tmp_path):
    """Run pytest in a folder as a user's, with the plugin as pyproject.toml declares it, whatever is installed here."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (name, module), *_ = project["entry-points"]["pytest11"].items()
    dist = tmp_path / "site" / "qwennb_declared-0.dist-info"
    dist.mkdir(parents=True)
    (dist / "METADATA").write_text("Metadata-Version: 2.1\nName: qwennb-declared\nVersion: 0\n")
    (dist / "entry_points.txt").write_text(f"[pytest11]\n{name} = {module}\n")
    folder = tmp_path / "project"
    folder.mkdir()
    pl.DataFrame({"stars": [1, 9]}).write_csv(folder / "rows.csv")
    (folder / "checks.toml").write_text(CHECKS, encoding="utf-8")
    environ = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "HOME") if name in os.environ}
    environ |= {
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path / "site")]),
        "PYTHONIOENCODING": "utf-8",
    }

    def run(*words, declared=False):
        """As *declared*, beside all other plugins that are installed, or alone, which starts five times as fast."""
        alone = {} if declared else {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        plugin = [] if declared else ["-p", module]
        command = [
            sys.executable,
            "-m",
            "pytest",
            *plugin,
            "-p",
            "no:cacheprovider",
            "--rootdir",
            str(folder),
            *words,
        ]
        return subprocess.run(
            command, cwd=folder, env=environ | alone, capture_output=True, text=True, timeout=120
        )

    run.folder = folder
    return run


def outcomes(done):
    return dict(re.findall(r"^(\S+) (PASSED|FAILED|SKIPPED|ERROR)", done.stdout, re.M))


@pytest.mark.slow
def test_each_rule_of_a_file_that_is_named_is_a_test(pytester_run):
    done = pytester_run("-v", "--tb=short", "checks.toml", "--junitxml=a.xml", declared=True)
    assert done.returncode == 1, done.stdout + done.stderr
    assert outcomes(done) == {
        "checks.toml::stars::between": "FAILED",
        "checks.toml::stars::no_failed": "PASSED",
        "checks.toml::stars::seconds_at_most": "SKIPPED",
        "checks.toml::stars::no_worse_than_last": "SKIPPED",
    }
    assert (
        "stars between: 1 of 2 answers breaks it" in done.stdout
        and "row 1: 9 (not from 1 to 5)" in done.stdout
    )
    assert "pytest_plugin.py" not in done.stdout.split("FAILURES")[1].split("short test summary")[0]
    cases = ET.parse(pytester_run.folder / "a.xml").getroot().iter("testcase")
    assert {case.get("name") for case in cases} == {"between", "no_failed", "seconds_at_most", "no_worse_than_last"}  # fmt: skip


@pytest.mark.slow
def test_a_file_that_nobody_named_is_left_alone_but_with_the_option(pytester_run):
    folder = pytester_run.folder
    (folder / "test_own.py").write_text(
        "import sys\ndef test_own():\n    assert 'qwennb.cli' not in sys.modules and 'polars' not in sys.modules\n"
    )
    done = pytester_run("-v")
    assert done.returncode == 0 and list(outcomes(done)) == ["test_own.py::test_own"], done.stdout
    assert "checks.toml::stars::between" in outcomes(pytester_run("-v", "--qwennb-checks"))
    (folder / "checks.toml").write_text("[[check]]\ncolum = 1\n")
    done = pytester_run("-v", "--qwennb-checks")
    assert done.returncode == 2 and "`colum`" in done.stdout and "Traceback" not in done.stdout


@pytest.mark.slow
def test_the_fixture_runs_checks_and_replays_packs_beside_the_test(pytester_run):
    from qwennb.testing import scripted

    folder = pytester_run.folder
    qwen = scripted("praise", cache_dir=folder / "cache")
    qwen.pack(qwen.ask("Praise or complaint? Good soup.")).write(folder / "a.qwenpack")
    (folder / "test_own.py").write_text(
        "import os\n"
        "def test_checks(qwennb):\n    qwennb.check()\n"
        "def test_pack(qwennb, monkeypatch, tmp_path):\n"
        "    monkeypatch.chdir(tmp_path)\n"
        "    with qwennb.replaying('a.qwenpack') as qwen:\n"
        "        assert qwen.ask('Praise or complaint? Good soup.').text == 'praise'\n"
    )
    done = pytester_run("-v", "--tb=short", "test_own.py")
    assert outcomes(done) == {"test_own.py::test_checks": "FAILED", "test_own.py::test_pack": "PASSED"}, (
        done.stdout
    )
    assert (
        "CheckFailed: 1 of 4 rules is broken. stars between: 1 of 2 answers breaks it, row 1" in done.stdout
    )


@pytest.mark.slow
def test_it_may_be_switched_off_and_others_may_be(pytester_run):
    off = pytester_run("-p", "no:qwennb", "checks.toml", declared=True)
    assert "not found" in off.stderr and "INTERNALERROR" not in off.stdout
    others = [
        word
        for name in ("junitxml", "terminalreporter", "assertion", "doctest", "tmpdir")
        for word in ("-p", f"no:{name}")
    ]
    done = pytester_run(*others, "checks.toml")
    assert done.returncode == 1 and "INTERNALERROR" not in done.stdout + done.stderr
