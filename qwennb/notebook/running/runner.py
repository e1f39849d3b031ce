"""Runs a notebook in a fresh kernel and compares what it shows with what was saved, through nbval.

nbval is a pytest plugin, and used as one: pytest runs in this process, without the user's plugins, files and settings,
and the file and cell that nbval collects are subclassed here. What nbval decides is kept as it is; added is what it does
not know: outputs that tell a machine's state, which answers a cell used, and what it tried of the network.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import orjson
import pytest
from ipykernel.compiler import get_tmp_hash_seed, murmur2_x86
from nbval.plugin import IPyNbCell, IPyNbFile, NbCellError, coalesce_streams

from qwennb.answer import markup
from qwennb.config import lend_trust
from qwennb.errors import BadInput, QwenError
from qwennb.notebook.running.cells import Attempt, RanCell, Use, is_typed, tells_state
from qwennb.notebook.running.compare import first_difference, redrawn
from qwennb.notebook.running.kernel import FreshKernel
from qwennb.notebook.running.sandbox import Sandbox

_OWN_RUN = (
    "--disable-plugin-autoload", "--noconftest", "-p", "nbval.plugin", "-p", "no:cacheprovider", "-p", "no:logging",
    "-p", "no:faulthandler", "-p", "no:warnings", "-p", "no:threadexception", "-p", "no:unraisableexception",
    "-c", os.devnull, "--capture=no", "--color=no", "-q",
)  # fmt: skip


def run_notebook(
    notebook: Path,
    sandbox: Sandbox,
    above: Mapping[str, Any],
    *,
    settings: Mapping[str, str] | None = None,
    compare: bool = True,
    timeout: float = 600.0,
    environ: Mapping[str, str] | None = None,
) -> list[RanCell]:
    """Run *notebook* in a fresh kernel in *place*: its code cells, in order, and what came of each.

    What stands *above* holds whatever the notebook says: cache, cache_dir, model, endpoint … *settings* are further
    variables of its environment. A cell may take *timeout* seconds.
    """
    outer = os.environ if environ is None else environ
    further = {"JPY_SESSION_NAME": notebook.name, **(settings or {})}
    inner = sandbox.environ(outer, above) | further
    lend_trust(notebook.parent, outer, inner)
    run = _NotebookRun(notebook, sandbox, inner, compare=compare)
    said = io.StringIO()
    arguments = [*_OWN_RUN, f"--nbval-cell-timeout={timeout}", f"--rootdir={notebook.parent}", str(notebook)]
    with _nothing_of_the_users(), contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = pytest.main(arguments, plugins=[run])
    if run.failure is not None:
        raise run.failure
    if code == pytest.ExitCode.INTERRUPTED:
        raise KeyboardInterrupt
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED):
        raise QwenError(f"{notebook.name} could not be run: {said.getvalue().strip()[-500:]}")
    return run.cells


@contextlib.contextmanager
def _nothing_of_the_users() -> Iterator[None]:
    """Inside it pytest finds no options and plugins in the environment: they are for the user's own tests."""
    theirs = {
        name: value for name in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS") if (value := os.environ.pop(name, None))
    }
    try:
        yield
    finally:
        os.environ.update(theirs)


class _NotebookRun:
    """What the parts of one run share; to pytest, a plugin."""

    def __init__(
        self, notebook: Path, sandbox: Sandbox, environ: Mapping[str, str], *, compare: bool
    ) -> None:
        self.notebook = notebook
        self.sandbox = sandbox
        self.environ = environ
        self.compare = compare
        self.cells: list[RanCell] = []
        self.failure: QwenError | None = None
        self._files = {sandbox.trace: 0, sandbox.attempts: 0}

    def pytest_collect_file(self, file_path: Path, parent: Any) -> Any:
        """The notebook is collected by us, for nbval collects only where its own option is given."""
        if file_path.resolve() != self.notebook.resolve():
            return None
        made = _File.from_parent(parent, path=file_path)
        made.run = self
        return made

    def news(self, file: Path) -> list[dict[str, Any]]:
        """The lines that were added to *file* since the last look."""
        try:
            with file.open("rb") as source:
                source.seek(self._files[file])
                added = source.read()
        except FileNotFoundError:
            return []
        whole = added[: added.rfind(b"\n") + 1]
        self._files[file] += len(whole)
        return [orjson.loads(line) for line in whole.splitlines()]


def _file_of(code: str) -> str:
    """The name under which the kernel compiles a cell."""
    return f"{murmur2_x86(code, get_tmp_hash_seed())}.py"  # type: ignore[no-untyped-call]


class _File(IPyNbFile):  # type: ignore[misc]  # nbval has no types
    """The notebook; its kernel is ours."""

    run: _NotebookRun
    sources: dict[str, int]
    displays: list[str | None]
    updates: dict[str, Any]

    def collect(self) -> Any:
        try:
            found = list(super().collect())
        except Exception as error:
            self.run.failure = BadInput(
                f"{self.run.notebook.name} is no notebook that can be read ({error})."
            )
            raise
        self.sources = {}
        for item in found:
            item.__class__ = _Cell
            self.sources[_file_of(item.cell.source)] = item.cell_num
        return found

    def setup(self) -> None:
        run = self.run
        sockets = run.sandbox.folder if run.sandbox.sealed and os.name == "posix" else None
        try:
            self.kernel = FreshKernel(run.notebook.parent, run.environ, sockets=sockets)
        except Exception as error:
            run.failure = QwenError(f"No kernel could be started for {run.notebook.name} ({error}).")
            raise
        self.setup_sanitize_files()

    def get_kernel_message(self, timeout: float | None = None, stream: str = "iopub") -> Any:
        """As nbval's, which passes over updates of what is displayed: they are noted for those who want the last state."""
        message = super().get_kernel_message(timeout, stream)
        if message["parent_header"].get("msg_id") != self.kernel.under_way:
            return message
        name = message["content"].get("transient", {}).get("display_id")
        if message["msg_type"] in ("display_data", "execute_result"):
            self.displays.append(name)
        elif message["msg_type"] == "update_display_data":
            self.updates[name] = message["content"]
        return message


class _Cell(IPyNbCell):  # type: ignore[misc]
    """One code cell."""

    states = 0

    def compare_outputs(self, test: Any, ref: Any, skip_compare: Any = None) -> bool:
        typed = [[output for output in outputs if not is_typed(output)] for outputs in (test, ref)]
        kept = [[output for output in outputs if not tells_state(output)] for outputs in typed]
        self.states = len(typed[1]) - len(kept[1])
        return bool(super().compare_outputs(*kept, skip_compare))

    def runtest(self) -> None:
        run = self.parent.run
        if not run.compare:
            self.options["check"] = False
        self.parent.displays, self.parent.updates = [], {}
        trouble, difference = "", None
        # Of a copy, for the first of several is changed by it, and nbval joins them once more.
        saved = coalesce_streams(deepcopy(self.cell.outputs))
        try:
            super().runtest()
        except NbCellError as error:
            if str(error) == "Cell outputs differ":
                difference = first_difference(saved, self.test_outputs)
            else:
                trouble = self._trouble(str(error))
        except pytest.skip.Exception:  # it is marked not to be run
            run.cells.append(RanCell(self.cell_num + 1, self.cell.source, compared=False))
            return
        except Exception as error:
            trouble = str(error) or type(error).__name__
        outputs = self._as_left()
        compared = bool(self.options["check"]) and self.cell.execution_count is not None
        run.cells.append(
            RanCell(
                number=self.cell_num + 1,
                source=self.cell.source,
                outputs=outputs,
                saved=saved,
                trouble=trouble,
                difference=difference,
                compared=compared,
                states=self.states,
                redrawn=redrawn(saved, outputs) if compared and difference is None else 0,
                uses=tuple(
                    Use(
                        one["key"],
                        one.get("endpoint", ""),
                        one.get("missing", False),
                        one.get("accepted", False),
                    )
                    for one in run.news(run.sandbox.trace)
                ),
            )
        )
        self._tell_attempts(run)

    def _as_left(self) -> list[Any]:
        """The cell's outputs as it left them: what was displayed and then changed, in its last state."""
        outputs = list(self.test_outputs or ())
        shown = [output for output in outputs if output["output_type"] in ("display_data", "execute_result")]
        for name, output in zip(self.parent.displays, shown, strict=False):
            if (update := self.parent.updates.get(name)) is not None:
                output["data"], output["metadata"] = update["data"], update["metadata"]
        return outputs

    def _trouble(self, said: str) -> str:
        """What the cell's own error says, where it has one; what nbval says, where not."""
        errors = [output for output in self.test_outputs or () if output["output_type"] == "error"]
        if not errors or "exception" not in said:
            return said
        line = f"{errors[-1]['ename']}: {errors[-1]['evalue']}"
        return markup.plain(line)

    def _tell_attempts(self, run: _NotebookRun) -> None:
        """Put each attempt to the cell whose code made it; what no code of a cell is on the stack of, to this one."""
        from dataclasses import replace

        for one in run.news(run.sandbox.attempts):
            number = self.parent.sources.get(one["source"], self.cell_num) + 1
            for sandbox, cell in enumerate(run.cells):
                if cell.number == number:
                    attempt = Attempt(
                        one["tried"], one["line"] if one["source"] in self.parent.sources else None
                    )
                    run.cells[sandbox] = replace(cell, attempts=(*cell.attempts, attempt))
