"""A world for commands to run in: a folder, an environment and streams that belong to the test."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from qwennb.cli.command import COMMANDS, main
from qwennb.cli.world import World
from tests.notebooks import away, live  # noqa: F401  (fixtures)


def leaves() -> list[str]:
    """The commands that do something, by the words that lead to each; the others have commands below them."""
    return [path for path in COMMANDS if path and not any(one.startswith(f"{path} ") for one in COMMANDS)]


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


@pytest.fixture
def run(tmp_path) -> Callable[..., Ran]:
    """Run a command as if typed; no port is looked at and no key is set unless the test says so."""

    def typed(*words: str, says: str = "", environ=None, now=None, **world: object) -> Ran:
        out, err = io.StringIO(), io.StringIO()
        given = {"HOME": str(tmp_path), "QWENNB_CACHE_DIR": str(tmp_path / "cache"), **(environ or {})}
        code = main(
            words,
            world=World(
                environ=given,
                folder=tmp_path,
                out=out,
                err=err,
                into=io.StringIO(says),
                now=lambda: now or datetime.now(UTC),
                **{"ports": (), "patience": 5.0, **world},  # whoever runs these tests may be busy
            ),
        )
        return Ran(code, out.getvalue(), err.getvalue())

    return typed
