"""`qwennb verify` of a notebook whose column has 10,000 answers, beside the start of the kernel that it takes."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import nbformat
import polars as pl
from nbformat.v4 import new_code_cell, new_notebook, new_output

from qwennb import Qwen
from qwennb.cache import Pack
from qwennb.client import runtime
from qwennb.notebook.verify import Sandbox, start_kernel, verify
from qwennb.simulator import Simulator

ROWS = 10_000
CELLS = (
    "import polars as pl, qwennb",
    f"df = pl.DataFrame({{'text': [f'text number {{n}}' for n in range({ROWS})]}})",
    "df = df.qwen.classify('text', ['even', 'odd'], model='qwen3.5-9b', client=qwennb.Qwen())",
    "print(df['label'].null_count(), df['label'].hash().bitwise_xor())",
)


def ten_thousand() -> str:
    """The whole command, in this process."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        notebook = _written(folder)
        began, worked = time.perf_counter(), sum(os.times()[:4])
        verdict = verify(notebook)
        took, worked = time.perf_counter() - began, sum(os.times()[:4]) - worked
        start = _kernel(folder)
    if not verdict.same or verdict.replayed != ROWS:
        raise RuntimeError("\n".join([*verdict.details(), verdict.sentence()]))
    return (
        f"verify of {ROWS:,} column answers: {took:.2f} s, of which the kernel's start {start:.2f} s: "
        f"{took - start:+.2f} s (required: at most +5 s); {worked:.1f} s of processor time in all"
    )


def _written(folder: Path) -> Path:
    """The notebook as a live run leaves it, with its pack."""
    frame = pl.DataFrame({"text": [f"text number {n}" for n in range(ROWS)]})
    with Simulator("vllm") as simulator:
        qwen = Qwen(endpoint=f"vllm+{simulator.base_url}", cache_dir=folder / "cache")
        made = frame.qwen.classify("text", ["even", "odd"], model="qwen3.5-9b", client=qwen)
    memory = runtime().memory(folder / "cache")
    Pack.of_records(dict(memory.store.items())).write(folder / "big.qwenpack")
    shown = f"{made['label'].null_count()} {made['label'].hash().bitwise_xor()}\n"
    cells = [new_code_cell(source, execution_count=n + 1) for n, source in enumerate(CELLS)]
    cells[-1].outputs = [new_output("stream", name="stdout", text=shown)]
    nbformat.write(new_notebook(cells=cells), folder / "big.ipynb")
    return folder / "big.ipynb"


def _kernel(folder: Path) -> float:
    """Seconds until a kernel takes its first cell."""
    with Sandbox.create(sealed=True) as sandbox:
        environ = sandbox.environ(os.environ, {})
        began = time.perf_counter()
        with start_kernel(new_notebook(), folder, environ, sockets=sandbox.folder):
            return time.perf_counter() - began
