"""One JupyterLab and one Chromium for the tests of this folder; `lab.py` says how they are used."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.browser.lab import AXE, Lab, Notebook, chromium

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="package")
def lab(tmp_path_factory) -> Iterator[Lab]:
    """The server and the browser; skipped with the reason where they are missing, which CI does not forgive."""
    missing = [] if chromium() else ["Chromium is not installed: apt-get install chromium"]
    if not AXE.exists():
        missing.append("axe-core is not here: poe setup fetches it")
    for module in ("playwright", "jupyterlab"):
        try:
            __import__(module)
        except ImportError:
            missing.append(f"{module} is not installed: pip install {module}")
    if missing:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("; ".join(missing))
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=60_000)  # a busy machine may take long for anything
    with sync_playwright() as playwright:
        running = Lab(tmp_path_factory.mktemp("lab"), playwright).start()
        try:
            yield running
        finally:
            running.stop()


@pytest.fixture
def notebook(lab) -> Iterator[Callable[..., Notebook]]:
    """Open notebooks of given cells, whose kernels have the environment given by keyword; closed with the test."""
    yield from _opener(lab)


@pytest.fixture(scope="module")
def notebooks(lab) -> Iterator[Callable[..., Notebook]]:
    """The same, closed with the module: one notebook for all tests of it, each of which begins with cells of its own."""
    yield from _opener(lab)


def _opener(lab: Lab) -> Iterator[Callable[..., Notebook]]:
    opened: list[Notebook] = []

    def open_one(cells: Sequence[str | dict[str, Any]], **environ: str) -> Notebook:
        opened.append(lab.open(cells, environ))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()
