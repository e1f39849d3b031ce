"""Notebooks that are run live against a simulator, saved, packed and moved away."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from qwennb.cache import Pack, Store

KEY = "sk-live-1c9e77"


class ThisPython(AsyncKernelManager):
    """A kernel of the interpreter that runs the tests."""

    @property
    def kernel_spec(self) -> KernelSpec:
        import sys

        return KernelSpec(
            argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
            display_name="test",
            language="python",
        )


def written(path: Path, cells: Sequence[str]) -> Path:
    """A notebook that has never been run."""
    notebook = new_notebook(cells=[new_code_cell(source) for source in cells])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, path)
    return path


def ran(path: Path, environ: dict[str, str]) -> Path:
    """The notebook in *path*, run from start to end as a user would, and saved."""
    notebook = nbformat.read(path, as_version=4)
    manager = ThisPython()
    client = NotebookClient(
        notebook, km=manager, resources={"metadata": {"path": str(path.parent)}}, timeout=250
    )
    # Of a manager that was given, nbclient leaves kernel, sockets and threads to whoever gave it, unless it is told.
    client.execute(cleanup_kc=True, env={**os.environ, **environ})
    nbformat.write(notebook, path)
    return path


def changed(path: Path, number: int, old: str, new: str) -> None:
    """Tamper with the output of the *number*-th code cell."""
    notebook = nbformat.read(path, as_version=4)
    cell = [cell for cell in notebook.cells if cell.cell_type == "code"][number - 1]
    before = nbformat.from_dict({"outputs": cell.outputs})
    text = nbformat.v4.writes(new_notebook(cells=[cell]))
    assert old in text, text
    cell.outputs = nbformat.v4.reads(text.replace(old, new)).cells[0].outputs
    assert cell.outputs != before.outputs
    nbformat.write(notebook, path)


class Live:
    """One simulator, and the folder in which notebooks are run on it."""

    def __init__(self, folder: Path, simulator) -> None:
        self.folder, self.simulator = folder, simulator
        self.cache = folder / "cache"

    @property
    def environ(self) -> dict[str, str]:
        return {
            "QWENNB_ENDPOINT": f"openrouter+{self.simulator.base_url}", "QWENNB_API_KEY": KEY,
            "QWENNB_CACHE_DIR": str(self.cache), "HOME": str(self.folder), "IPYTHONDIR": str(self.folder / "ipython"),
        }  # fmt: skip

    def notebook(self, *cells: str, name: str = "analysis.ipynb") -> Path:
        """*cells*, run live and saved."""
        return ran(written(self.folder / name, cells), self.environ)

    def pack(self, notebook: Path) -> Path:
        """All that was answered here, packed under the notebook's name."""
        file = notebook.with_suffix(".qwenpack")
        store = Store(self.cache)
        Pack.of_records(dict(store.items())).write(file)
        store.close()
        return file


@pytest.fixture(scope="module")
def live(tmp_path_factory) -> Live:
    from qwennb.simulator import Simulator

    with Simulator("openrouter", api_key=KEY) as simulator:
        yield Live(tmp_path_factory.mktemp("live"), simulator)


@pytest.fixture
def away(tmp_path) -> Callable[..., Path]:
    """Copy files to an empty folder, as one who was sent them has them."""

    def moved(*files: Path) -> Path:
        folder = tmp_path / "away"
        folder.mkdir()
        for file in files:
            shutil.copy(file, folder)
        return folder / files[0].name

    return moved
