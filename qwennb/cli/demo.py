"""`qwennb demo`: the tour notebook from start to end, headless, on whatever endpoint is found.

Where none is, the embedded model answers, fetched on first use; where that can't run, the simulator, and it is said.
What it leaves is a folder: the notebook with its answers, the same as a page, the pack to replay it from, and what the tour
reads: its rows, and another notebook, which it verifies.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import nbformat
from nbconvert import HTMLExporter
from nbformat import NotebookNode

from qwennb.answer import money, sum_costs
from qwennb.cache import Pack
from qwennb.cli.command import Parser
from qwennb.cli.local import local_pull
from qwennb.cli.world import World
from qwennb.client import Qwen
from qwennb.endpoints.local import BUNDLED, is_installed
from qwennb.errors import BadInput, QwenError, UnknownEndpoint

FOLDER = "qwennb-tour"
TOUR = "00-tour.ipynb"
PACK = "packs/00-tour.qwenpack"
BESIDE = ("data/reviews.csv", "data/README.md", "01-first-cell.ipynb", "packs/01-first-cell.qwenpack")
"""What the tour reads."""
PATIENCE = 600  # seconds for one cell: a small model on an old machine


def demo_options(parser: Parser) -> None:
    """Add the options of `qwennb demo`."""
    parser.option("-e --endpoint", "where to ask (default: what is found)")
    parser.option("-m --model", "whom to ask (default: the endpoint's own default)")
    parser.option("--into", f"the folder to leave it in (default: {FOLDER})", FOLDER)
    parser.switch("--lab", "open it in JupyterLab at the end")


def demo(given: Any, world: World) -> int:
    """Run the tour, and tell what it did."""
    if given.lab and shutil.which("jupyter-lab") is None:
        raise BadInput('JupyterLab is not installed. Type: pip install "qwennb[lab]"')
    if find_spec("matplotlib") is None:
        raise BadInput('The tour draws, and matplotlib is not installed. Type: pip install "qwennb[plots]"')
    endpoint = _endpoint(given, world)
    folder = world.folder / given.into
    settings = {"QWENNB_ENDPOINT": endpoint, "QWENNB_MODEL": given.model}
    started = world.seconds()
    notebook = _run(folder, {name: value for name, value in settings.items() if value}, world)
    _tell(notebook, folder, world.seconds() - started, world)
    if given.lab:
        return subprocess.run(["jupyter-lab", str(folder / TOUR)], check=False).returncode  # noqa: S603, S607
    return 0


def _endpoint(given: Any, world: World) -> str | None:
    """Find where the notebook is to ask, and say it; None where it finds that itself."""
    config = world.config()
    if config.cache == "replay":
        raise BadInput("The demo asks, and the cache is in replay. Type: QWENNB_CACHE=on qwennb demo")
    wanted = given.endpoint or config.endpoint
    settings: dict[str, Any] = {"model": given.model or config.model, "cache_dir": config.cache_dir}
    qwen = Qwen(endpoint=wanted, **settings)
    try:
        qwen.endpoint  # noqa: B018  (looked for on first use)
    except UnknownEndpoint:
        if wanted not in (None, "local"):
            raise
        wanted = "local" if is_installed() else "simulator"
        if wanted == "local":
            world.say("No key and no server was found: the embedded model answers.")
            local_pull(Namespace(model=BUNDLED.file.name), world)
        qwen = Qwen(endpoint=wanted, **settings)
    model = qwen.endpoint.model_name(qwen.session.config.model)
    world.say(f"Asking {model} at {qwen.endpoint}. The answers are kept in {config.cache_dir}.")
    if qwen.endpoint.name == "simulator":
        world.say("That is a simulator. What it says is made up and no model's.")
    return wanted


def _run(folder: Path, settings: Mapping[str, str], world: World) -> NotebookNode:
    """Run the tour in *folder*, and leave it there with its page."""
    from qwennb.notebook.verify import start_kernel

    source = _lessons()
    for name in BESIDE:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if not (folder / name).exists():  # it may have been worked with
            shutil.copyfile(source / name, folder / name)
    notebook: NotebookNode = nbformat.reads((source / TOUR).read_text(encoding="utf-8"), as_version=4)  # type: ignore[no-untyped-call]
    cells = list(_with_headings(notebook.cells))
    trouble = ""
    # Its cells type `qwennb verify`, which is to be this very one.
    path = os.pathsep.join([str(Path(sys.executable).parent), world.environ.get("PATH", os.defpath)])
    with start_kernel(
        notebook, folder, {**world.environ, **settings, "PATH": path}, timeout=PATIENCE
    ) as kernel:
        for number, (index, heading) in enumerate(cells, 1):
            world.note(f"[{number}/{len(cells)}] {heading}")
            if trouble := kernel.run(index) or kernel.error:
                break
    nbformat.write(notebook, folder / TOUR)  # type: ignore[no-untyped-call]
    if trouble:
        raise QwenError(f"The tour could not be finished: {trouble} How far it came is in {folder / TOUR}.")
    # No sanitiser: our outputs are inert by themselves, and nbconvert's would show paragraphs as tags.
    page, _ = HTMLExporter().from_notebook_node(notebook)  # type: ignore[no-untyped-call]
    (folder / TOUR).with_suffix(".html").write_text(page, encoding="utf-8")
    return notebook


def _tell(notebook: NotebookNode, folder: Path, seconds: float, world: World) -> None:
    for cell in notebook.cells:
        if "table" in cell.metadata.get("tags", ()):
            shown = [
                str(output.data["text/plain"] if "data" in output else output.text).rstrip()
                for output in cell.outputs
            ]
            world.say("", *(line for text in shown for line in text.split("\n")))
    pack = Pack.read(folder / PACK)
    answers = list(pack)
    cost = sum_costs(answer.cost for answer in answers)
    world.say(
        "",
        f"{len(answers)} answers by {', '.join(sorted({a.model for a in answers}))}, "
        f"{sum(a.usage.input for a in answers):,} tokens in, {sum(a.usage.output for a in answers):,} out, "
        f"{cost or money(cost)}, in {seconds:.0f} s.",
        f"  the notebook  {folder / TOUR}",
        f"  as a page     {(folder / TOUR).with_suffix('.html')}",
        f"  its pack      {folder / PACK}",
        "",
        f"Anybody with the notebook and its pack replays it, offline: qwennb verify {folder / TOUR}",
        "In a notebook of your own: %load_ext qwennb, then %qwen and a question.",
    )


def _with_headings(cells: Sequence[NotebookNode]) -> Iterator[tuple[int, str]]:
    """Yield the place of each code cell, with the heading above it."""
    heading = ""
    for index, cell in enumerate(cells):
        if cell.cell_type == "code":
            yield index, heading
        else:
            heading = next(
                (line.lstrip("# ") for line in cell.source.splitlines() if line.startswith("#")), heading
            )


def _lessons() -> Path:
    """Find the folder of the tour: in the package where it was installed from a wheel, else where it is written."""
    here = Path(__file__)
    packed = here.with_name("tour")
    return packed if packed.exists() else here.parents[2] / "notebooks"
