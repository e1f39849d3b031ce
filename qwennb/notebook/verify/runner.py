"""Runs a saved notebook from start to end in a sandbox: what each cell showed, used and tried, and where it differs.

`verify` does so on recorded answers alone: sealed, in replay, with one pack.
"""

from __future__ import annotations

import os
import warnings
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nbformat
import orjson
from ipykernel.compiler import get_tmp_hash_seed, murmur2_x86
from nbformat.v4 import new_code_cell, new_notebook
from nbval.plugin import coalesce_streams, find_comment_markers, find_metadata_tags

from qwennb.cache import Pack, find_pack_of
from qwennb.config import lend_trust
from qwennb.errors import BadInput
from qwennb.notebook.verify.compare import count_older, count_redrawn, find_difference
from qwennb.notebook.verify.kernel import CodeRunner, start_kernel
from qwennb.notebook.verify.network_guard import can_refuse
from qwennb.notebook.verify.sandbox import Sandbox
from qwennb.notebook.verify.verdict import Attempt, RanCell, Use, Verdict, tells_state


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
    """Run *notebook* in a fresh kernel in *sandbox*: its code cells, in order, and what came of each.

    What stands *above* holds whatever the notebook says: cache, cache_dir, model, endpoint … *settings* are further
    variables of its environment. A cell may take *timeout* seconds.
    """
    environ = os.environ if environ is None else environ
    saved = _read_cells(notebook)
    further = {"JPY_SESSION_NAME": notebook.name, **(settings or {})}
    inner = sandbox.environ(environ, above) | further
    lend_trust(notebook.parent, environ, inner)
    # Its code alone: what its metadata and its outputs say is nothing to whoever runs it.
    code = new_notebook(cells=[new_code_cell(cell.source) for cell in saved])  # type: ignore[no-untyped-call]
    sockets = sandbox.folder if sandbox.sealed and os.name == "posix" else None
    uses, tried = _NewLines(sandbox.trace), _NewLines(sandbox.attempts)
    attempts: dict[int, list[Attempt]] = defaultdict(list)
    cells, numbers = [], dict[str, int]()
    with start_kernel(code, notebook.parent, inner, sockets=sockets, timeout=timeout) as kernel:
        for number, cell in enumerate(saved, 1):
            numbers[_file_of(cell.source)] = number
            ran = _run_cell(kernel, number, cell, compare=compare)
            cells.append(replace(ran, uses=tuple(Use(**line) for line in uses.read())))
            for line in tried.read():
                # To the cell whose code made it; what no code of a cell is on the stack of, to this one.
                owner = numbers.get(line["source"])
                attempts[owner or number].append(Attempt(line["tried"], line["line"] if owner else None))
    return [
        replace(cell, outputs=_join_streams(left.outputs), attempts=tuple(attempts[cell.number]))
        for cell, left in zip(cells, code.cells, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class _SavedCell:
    """A code cell as it was saved, and what nbval's marks say of it."""

    source: str
    outputs: list[Any]
    was_run: bool
    marks: Mapping[str, bool]


def _read_cells(notebook: Path) -> list[_SavedCell]:
    try:
        with warnings.catch_warnings():  # of what is odd in it: it is somebody else's
            warnings.simplefilter("ignore")
            whole = nbformat.read(notebook, as_version=4)  # type: ignore[no-untyped-call]
            return [_read_cell(cell) for cell in whole.cells if cell.cell_type == "code"]
    except Exception as error:
        raise BadInput(f"{notebook.name} is no notebook that can be read ({error}).") from None


def _read_cell(cell: Any) -> _SavedCell:
    # As nbval reads them: a comment counts above a tag.
    marks = {**dict(find_metadata_tags(cell.metadata)), **dict(find_comment_markers(cell.source))}
    return _SavedCell(
        cell.source, list(coalesce_streams(cell.outputs)), cell.execution_count is not None, marks
    )


def _run_cell(kernel: CodeRunner, number: int, saved: _SavedCell, *, compare: bool) -> RanCell:
    """Run one cell and judge it as nbval does."""
    ran = RanCell(
        number, saved.source, compared=compare and bool(saved.marks.get("check", True)) and saved.was_run
    )
    if saved.marks.get("skip"):
        return replace(ran, compared=False)
    trouble = kernel.run(number - 1) or ("" if saved.marks.get("check_exception") else kernel.error)
    if not trouble and compare and saved.outputs and not saved.was_run:
        trouble = "Unrun reference cell has outputs"
    if trouble or not ran.compared:
        return replace(ran, trouble=trouble)
    shown = _join_streams(kernel.shown)
    difference = find_difference(saved.outputs, shown)
    return replace(
        ran,
        difference=difference,
        states=sum(map(tells_state, saved.outputs)),
        older=count_older(saved.outputs, shown),
        redrawn=0 if difference else count_redrawn(saved.outputs, kernel.nb.cells[number - 1].outputs),
    )


def _join_streams(outputs: list[Any]) -> list[Any]:
    """Make one of all that went to stdout, and one of stderr, in copies: nbval's joining writes into the first."""
    return list(coalesce_streams(deepcopy(outputs)))


def _file_of(code: str) -> str:
    """Name the file under which the kernel compiles a cell."""
    return f"{murmur2_x86(code, get_tmp_hash_seed())}.py"  # type: ignore[no-untyped-call]


class _NewLines:
    """A file of JSON lines that grows."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._read = 0

    def read(self) -> list[dict[str, Any]]:
        """Return the whole lines that were added since the last look."""
        try:
            with self._file.open("rb") as source:
                source.seek(self._read)
                added = source.read()
        except FileNotFoundError:
            return []
        whole = added[: added.rfind(b"\n") + 1]
        self._read += len(whole)
        return [orjson.loads(line) for line in whole.splitlines()]


# ---------------------------------------------------------------------- on its pack alone


def describe_risk(variables: Sequence[str] = ()) -> str:
    """Say what a notebook that is verified can do here, and what not, to whoever is about to run it."""
    network = (
        "no network"
        if can_refuse()
        else "no network by Python (this system can't refuse it to other programs)"
    )
    let_in = f" but {', '.join(variables)}" if variables else ""
    return (
        f"A notebook's code runs as you: with {network} and an environment without your keys and settings{let_in}, but it "
        "can read, change and delete your files, and read what your other programs were started with. What you would not run, "
        "don't verify."
    )


def verify(
    notebook: Path,
    pack: Path | None = None,
    *,
    timeout: float = 600.0,
    environ: Mapping[str, str] | None = None,
    variables: Sequence[str] = (),
    accept_figures: bool = False,
    tell: Callable[[str], None] = lambda line: None,
) -> Verdict:
    """Run *notebook* with no network, no keys and nothing but its pack, and compare what it shows with what was saved.

    Of the environment it gets what every program needs, and the *variables* that are named. Right before it runs, *tell* is
    given what that means.
    """
    environ = os.environ if environ is None else environ
    if not notebook.is_file():
        raise BadInput(f"There is no notebook {notebook}.")
    found = pack or find_pack_of(notebook)
    if found is None:
        raise BadInput(
            f"There is no pack for {notebook.name}: looked for {notebook.stem}.qwenpack beside it and in packs/. "
            f"Give one with --pack, or make it: qwennb pack {notebook.name}"
        )
    Pack.read(found)  # what is wrong with it is said once, and not by every cell
    settings = {"QWENNB_PACK": str(found.resolve()), **_pick(variables, environ)}
    tell(describe_risk(variables))
    with Sandbox.create(sealed=True) as sandbox:
        cells = run_notebook(
            notebook,
            sandbox,
            {"cache": "replay", "accept_figures": accept_figures},
            settings=settings,
            timeout=timeout,
            environ=environ,
        )
    return Verdict(cells)


def _pick(variables: Sequence[str], environ: Mapping[str, str]) -> dict[str, str]:
    if absent := [name for name in variables if name not in environ]:
        raise BadInput(f"--env {absent[0]}: there is no such variable here. Set it, or leave the option out.")
    return {name: environ[name] for name in variables}
