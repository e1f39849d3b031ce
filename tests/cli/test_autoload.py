"""The magics load by themselves for who has asked for it, and nothing is imported before."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from qwennb.cli.autoload import MAGICS
from qwennb.notebook.magics import QwenMagics

TYPED = "import sys\nprint('qwennb.notebook' in sys.modules)\n%qwen_cache\n%qwen --quiet --into said hello\nprint(said.finish_reason)\n"


def test_magics_are_written_once_beside_what_is_there_and_load_with_first_use(run, tmp_path):
    file = tmp_path / ".ipython/profile_default/ipython_config.py"
    file.parent.mkdir(parents=True)
    file.write_text("c.InteractiveShell.xmode = 'Plain'")
    first, again = run("doctor", "--autoload"), run("doctor", "--autoload")
    assert first.code == again.code == 0 and str(file) in first.out and "already" in again.out
    assert file.read_text().startswith("c.InteractiveShell.xmode = 'Plain'\n\n# qwennb")
    assert file.read_text().count("lazy_magics") == 1
    (tmp_path / "typed.ipy").write_text(TYPED)
    environ = {
        **os.environ, "HOME": str(tmp_path), "QWENNB_ENDPOINT": "simulator", "QWENNB_CACHE_DIR": str(tmp_path / "answers"),
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }  # fmt: skip
    environ.pop("IPYTHONDIR", None)
    command = [sys.executable, "-m", "IPython", "--no-banner", "typed.ipy"]
    ran = subprocess.run(
        command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=120, check=False
    )
    assert ran.stdout.startswith("False\n") and "mode     on" in ran.stdout, ran.stdout + ran.stderr
    assert ran.stdout.rstrip().endswith("stop")


def test_every_magic_is_among_them():
    known = QwenMagics.magics
    assert set(MAGICS) == {*known["line"], *known["cell"]}
