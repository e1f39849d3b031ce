"""Records a lesson anew: python -m tests.lessons.record 03-columns

The notebook is run live, from an empty cache and without its pack, on the embedded model (or on --endpoint), and saved
with its outputs; %qwen_pack in its first cell writes the pack. With --replay nothing is asked: its outputs are saved anew
from its pack, where their form has changed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


def record(notebook: Path, endpoint: str, *, replay: bool = False) -> None:
    """Run *notebook*, live or in *replay*, and save it with what came."""
    if not replay:
        (notebook.parent / "packs" / notebook.with_suffix(".qwenpack").name).unlink(missing_ok=True)
    lesson = nbformat.read(notebook, as_version=4)
    before = [cell.get("outputs", []) for cell in lesson.cells]
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / "cache"
        cache.mkdir(mode=0o700)
        environ = {name: value for name, value in os.environ.items() if not name.startswith("QWENNB_")}
        environ |= {"QWENNB_CACHE": "replay"} if replay else {"QWENNB_ENDPOINT": endpoint}
        environ["QWENNB_CACHE_DIR"] = str(cache)
        environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # of `!qwennb`
        client = NotebookClient(
            lesson,
            timeout=1800,
            kernel_name="python3",
            record_timing=False,
            skip_cells_with_tag="nbval-skip" if replay else "",  # they need more than a pack
            resources={"metadata": {"path": str(notebook.parent)}},
        )
        client.execute(env=environ, stderr=subprocess.DEVNULL)
    if replay:  # what tells the state of a machine told of the recording
        for cell, outputs in zip(lesson.cells, before, strict=True):
            if "nbval-ignore-output" in cell.metadata.get("tags", []):
                cell.outputs = outputs
    lesson.metadata = {
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
        "language_info": {"name": "python"},
    }
    nbformat.write(lesson, notebook)


def main() -> int:
    """Record the lessons that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lesson", nargs="+", help="as 03-columns")
    parser.add_argument("--endpoint", default="local")
    parser.add_argument("--replay", action="store_true")
    given = parser.parse_args()
    for name in given.lesson:
        record(NOTEBOOKS / f"{name}.ipynb", given.endpoint, replay=given.replay)
        print(f"{name} is recorded")
    return 0


if __name__ == "__main__":
    sys.exit(main())
