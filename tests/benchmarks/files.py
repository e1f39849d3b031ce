"""How long documents take: 500 pages from bytes to what is sent, and a repository of 400,000 lines from folder to what is sent."""

from __future__ import annotations

import random
import tempfile
import time
from pathlib import Path

from qwennb import Document
from qwennb.catalog import Catalog
from qwennb.client.validation import input_tokens
from qwennb.endpoints.dialects import Dialect
from qwennb.request import Request, read_files, user_message
from tests.papers import pdf

MODEL = "qwen3.5-plus"
FILES, LINES = 2_000, 200
WORDS = [
    "return",
    "self",
    "value",
    "for",
    "in",
    "range",
    "if",
    "not",
    "None",
    "else",
    "def",
    "class",
    "import",
    "from",
    "raise",
    "with",
    "as",
    "try",
    "except",
    "request",
    "answer",
    "endpoint",
    "column",
    "document",
    "reader",
    "page",
    "cache",
    "key",
    "token",
    "window",
    "count",
    "number",
    "result",
]


def report() -> str:
    """500 pages of text, from bytes to the body of the request."""
    draw = random.Random(7)
    pages = ["\n".join(" ".join(draw.choices(WORDS, k=12)) for _ in range(40)) for _ in range(500)]
    document = Document(pdf(*pages), name="report.pdf")
    began = time.perf_counter()
    size = _write(document)
    seconds = time.perf_counter() - began
    began = time.perf_counter()
    _write(document)
    again = time.perf_counter() - began
    return (
        f"500 pages ({len(document.content()) / 1e6:.1f} MB, {size / 1e6:.1f} MB of text) read and written: {seconds:.2f} s, "
        f"once more {again * 1000:.0f} ms (required: 2.5 s)"
    )


def repository() -> str:
    """A repository of 400,000 lines: listed and read, its key made, its tokens counted, its body written."""
    with tempfile.TemporaryDirectory() as name:
        lines = _write_repository(Path(name, "repo"))
        work, began = time.process_time(), time.perf_counter()
        media, told = read_files(f"{name}/repo", {})
        read = time.perf_counter() - began
        request = Request(MODEL, (user_message("Where is it decided?", files=media),))
        key = request.key
        began = time.perf_counter()
        tokens = input_tokens(request)
        counted = time.perf_counter() - began
        began = time.perf_counter()
        size = _write(*media)
        written, work = time.perf_counter() - began, time.process_time() - work
    assert key and told
    return (
        f"a repository of {lines:,} lines in {len(media):,} files ({size / 1e6:.0f} MB): {read + counted + written:.1f} s, of which "
        f"listed, searched for secrets and read {read:.1f} s, {tokens} tokens counted in {counted:.1f} s, written {written:.1f} s "
        f"(required: 10 s); processor {work:.1f} s"
    )


def _write(*media: object) -> int:
    """Write the request about *media* as it is sent; the bytes of its text."""
    request = Request(MODEL, (user_message("Where is it decided?", files=list(media)),))
    abilities = Catalog.load_bundled().abilities(MODEL, "dashscope")
    wire = Dialect().write(request, MODEL, abilities, stream=False)
    return len(wire.body["messages"][-1]["content"].encode())


def _write_repository(root: Path) -> int:
    draw = random.Random(7)
    (root / ".git").mkdir(parents=True)
    (root / ".gitignore").write_text("*.pyc\nbuild/\n!keep.pyc\n*.log\n/dist\n")
    for number in range(FILES):
        folder = root / f"package{number % 20}" / f"room{number % 100}"
        if not folder.exists():
            folder.mkdir(parents=True)
            (folder / ".gitignore").write_text("*.tmp\n!important.tmp\n")
            (folder / "old.log").write_text("left out\n")
        text = "\n".join(f"    {' '.join(draw.choices(WORDS, k=6))}" for _ in range(LINES))
        (folder / f"file{number}.py").write_text(text + "\n")
    return FILES * LINES
