"""Checks in pytest: `pytest checks.toml`, and a fixture `qwennb` for tests of one's own.

Each rule of each check is a test. A file of checks is run once, when the first of its tests is; nothing is ever sent. It is
collected where it is named, `pytest checks.toml`, and with `--qwennb-checks` wherever a file is called checks.toml: a file of
that name that is somebody else's must fail nobody's tests. pytest loads this module with itself, so it imports nothing
before it is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from qwennb.checks import CheckReport, RuleResult
    from qwennb.client import Qwen

FILE = "checks.toml"
OPTION = "--qwennb-checks"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that collects every file of checks."""
    parser.getgroup("qwennb").addoption(
        OPTION,
        action="store_true",
        help=f"collect every {FILE} too: each rule is a test, and nothing is sent",
    )


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect a file of checks."""
    if file_path.suffix != ".toml" or not file_path.name.endswith(FILE):
        return None
    is_named = parent.session.isinitpath(file_path)
    if not is_named and not (parent.config.getoption(OPTION) and file_path.name == FILE):
        return None
    return ChecksCollector.from_parent(parent, path=file_path)


class ChecksCollector(pytest.File):
    """A file of checks."""

    _report: CheckReport | None = None

    def collect(self) -> Iterator[pytest.Item]:
        """Give a test for each rule."""
        from qwennb.cli.check_file import read_check_file
        from qwennb.errors import QwenError

        try:
            self._file = read_check_file(self.path)
        except QwenError as error:
            raise self.CollectError(str(error)) from None
        for check in self._file.checks:
            for rule in check.rule_names:
                yield RuleItem.from_parent(
                    self, name=f"{check.spec.name}::{rule}", check=check.spec.name, rule=rule
                )

    def find(self, check: str, rule: str) -> RuleResult:
        """Find what came of a *rule*; the first to ask runs the file."""
        from qwennb.cli.check_run import run_recorded

        if self._report is None:
            self._report = run_recorded(self._file)
        return next(one for one in self._report.rules if (one.check, one.rule) == (check, rule))


class RuleItem(pytest.Item):
    """A rule of a check, as a test."""

    def __init__(self, *, check: str, rule: str, **more: Any) -> None:
        super().__init__(**more)
        self.check, self.rule = check, rule

    def runtest(self) -> None:
        """Fail where the rule is broken, skip where it could not be measured."""
        from qwennb.checks import explain_broken
        from qwennb.errors import CheckFailed

        assert isinstance(self.parent, ChecksCollector)
        found = self.parent.find(self.check, self.rule)
        if found.passed is None:
            pytest.skip(found.said)
        if not found.passed:
            raise CheckFailed("\n".join(explain_broken(found)))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Say what is broken; where that can't be said, how it came to it."""
        from qwennb.errors import QwenError

        if isinstance(excinfo.value, QwenError):
            return str(excinfo.value)
        return super().repr_failure(excinfo)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Say where it stands."""
        return self.path, None, f"{self.check}: {self.rule}"


class Checks:
    """What the fixture `qwennb` gives. Paths are beside the test's own file, and nothing is sent.

    check      run a file of checks; the test fails where a rule is broken
    replaying  have every client recall from a pack, `with qwennb.replaying("report.qwenpack"):`
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def check(self, file: str | Path = FILE) -> CheckReport:
        """Run a file of checks, and give its report."""
        from qwennb.cli.check_file import read_check_file
        from qwennb.cli.check_run import run_recorded

        report = run_recorded(read_check_file(self._folder / file))
        report.raise_for_failures()
        return report

    def replaying(self, pack: str | Path) -> AbstractContextManager[Qwen]:
        """Have every client that is made in it recall from *pack*, and from nothing else."""
        from qwennb.testing import replaying

        return replaying(self._folder / pack)


@pytest.fixture
def qwennb(request: pytest.FixtureRequest) -> Checks:
    """Checks and packs beside the test's file: `qwennb.check()`, `with qwennb.replaying("report.qwenpack"):`."""
    return Checks(request.path.parent)
