"""Programs that read what we write, in an environment of their own: `.venv-loaders`, which `poe setup` makes."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.test_docs import ROOT

LOADERS = ROOT / ".venv-loaders" / ("Scripts" if os.name == "nt" else "bin") / "python"


def run_loader(*words, cwd=ROOT, **environ):
    """What a program under the loaders' Python printed; it has no network to fetch anything from."""
    if not LOADERS.exists():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(
            "what loads our files is not here: poe setup installs it"
        )
    kept = {one: os.environ[one] for one in ("PATH", "SYSTEMROOT") if one in os.environ}
    done = subprocess.run(
        [LOADERS, *words],
        cwd=cwd,
        env={**kept, "PYTHONPATH": str(ROOT), **environ},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
