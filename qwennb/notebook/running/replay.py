"""Running a saved notebook on recorded answers alone: sealed, in replay, with one pack."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from qwennb.cache import Pack
from qwennb.errors import BadInput
from qwennb.notebook.running.place import RunningPlace
from qwennb.notebook.running.runner import run_notebook
from qwennb.notebook.running.verdict import Verdict

ENDINGS = (".qwenpack", ".qwenpack.zst")


def pack_beside(notebook: Path) -> Path | None:
    """The pack that has the notebook's name, beside it or in a folder `packs` there."""
    places = [
        folder / f"{notebook.stem}{ending}"
        for folder in (notebook.parent, notebook.parent / "packs")
        for ending in ENDINGS
    ]
    return next((place for place in places if place.is_file()), None)


def verify(
    notebook: Path,
    pack: Path | None = None,
    *,
    timeout: float = 600.0,
    environ: Mapping[str, str] | None = None,
) -> Verdict:
    """Run *notebook* with no network, no keys and nothing but its pack; what it shows, compared with what was saved."""
    if not notebook.is_file():
        raise BadInput(f"There is no notebook {notebook}.")
    found = pack or pack_beside(notebook)
    if found is None:
        raise BadInput(
            f"There is no pack for {notebook.name}: looked for {notebook.stem}.qwenpack beside it and in packs/. "
            f"Give one with --pack, or make it: qwennb pack {notebook.name}"
        )
    Pack.read(found)  # what is wrong with it is said once, and not by every cell
    with RunningPlace.made(sealed=True) as place:
        settings = {"QWENNB_PACK": str(found.resolve())}
        cells = run_notebook(
            notebook, place, {"cache": "replay"}, settings=settings, timeout=timeout, environ=environ
        )
    return Verdict(cells)
