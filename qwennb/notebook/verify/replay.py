"""Running a saved notebook on recorded answers alone: sealed, in replay, with one pack."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from qwennb.cache import Pack, find_pack_of
from qwennb.errors import BadInput
from qwennb.notebook.verify.network_guard import can_refuse
from qwennb.notebook.verify.runner import run_notebook
from qwennb.notebook.verify.sandbox import Sandbox
from qwennb.notebook.verify.verdict import Verdict


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


def _pick(variables: Sequence[str], environ: Mapping[str, str] | None) -> dict[str, str]:
    outer = os.environ if environ is None else environ
    if absent := [name for name in variables if name not in outer]:
        raise BadInput(f"--env {absent[0]}: there is no such variable here. Set it, or leave the option out.")
    return {name: outer[name] for name in variables}
