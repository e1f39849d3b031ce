"""Documents read: a long report, each paper of the tests, office files, a quote looked for, a bomb refused."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from qwennb.documents import find_place, read_document
from tests.documents import office_files, papers

ROUNDS = 5

# Read by a process of its own, so that the memory is that of reading and of nothing that ran before.
_READ = r"""
import re, resource, sys, time
from pathlib import Path
from qwennb.documents import read_document
content = Path(sys.argv[1]).read_bytes()
began, worked = time.perf_counter(), time.process_time()
read = read_document(content, sys.argv[1])
took, worked = time.perf_counter() - began, time.process_time() - worked
child = resource.getrusage(resource.RUSAGE_CHILDREN)
own = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())  # ru_maxrss counts what started us too
print(took, worked + child.ru_utime + child.ru_stime, (int(own[1]) + child.ru_maxrss) / 1024, len(read.text()))
"""


def _median(content: bytes) -> float:
    """Read *content* some times, each time as if for the first; the median in milliseconds."""
    times = []
    for i in range(ROUNDS):
        fresh = content + b"\n" * i  # what was read is remembered by its bytes
        began = time.perf_counter()
        read_document(fresh, "paper.pdf")
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000


def long_report() -> str:
    """Five hundred pages, in all: a process is started, the pages are read, their text is put together."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "report.pdf")
        file.write_bytes(papers.long_report())
        told = []
        for _ in range(ROUNDS):
            done = subprocess.run(
                [sys.executable, "-c", _READ, str(file)], capture_output=True, text=True, check=True
            )
            told.append([float(figure) for figure in done.stdout.split()])
    took, worked, peak, said = (statistics.median(column) for column in zip(*told, strict=True))
    return (
        f"500 pages ({said / 1e6:.2f} MB of text) read in {took:.2f} s (required: 2.5 s), {worked:.2f} s of the processor's time, "
        f"{peak:.0f} MB in both processes together (required: 400 MB)"
    )


def each_paper() -> str:
    """Each paper of the tests; most of it is the process that is started."""
    lines = [f"{paper.__name__} {_median(paper()):.0f}" for paper in papers.PAPERS]
    return f"{len(lines)} papers, milliseconds each: " + ", ".join(lines)


def pypdfium2() -> str:
    """The same report by pypdfium2, which knows no columns and no tables."""
    import pypdfium2 as pdfium

    content, times = papers.long_report(), []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        document = pdfium.PdfDocument(content)
        for page in document:
            page.get_textpage().get_text_bounded()
        times.append(time.perf_counter() - began)
    return f"500 pages by pypdfium2 alone, within the process: {statistics.median(times):.2f} s"


def office() -> str:
    """Office files and tables of some size."""
    made: tuple[tuple[str, Callable[[], bytes], str], ...] = (
        ("docx of 3,000 paragraphs", lambda: office_files.long_report(3_000), "a.docx"),
        ("xlsx of 20,000 rows", lambda: office_files.long_sheet(20_000), "a.xlsx"),
        ("pptx of 3 slides", office_files.slides, "a.pptx"),
        ("html of 1 MB", lambda: b"<html>" + b"<p>Some <b>words</b> and more.</p>\n" * 30_000, "a.html"),
        ("csv of 1 MB", lambda: b"a,b,c\n" + b"1,two,3.5\n" * 100_000, "a.csv"),
    )
    told = []
    for what, make, name in made:
        content = make()
        began = time.perf_counter()
        read_document(content, name)
        told.append(f"{what} {(time.perf_counter() - began) * 1000:.0f} ms")
    return "; ".join(told)


def quote() -> str:
    """A quote looked for in five hundred pages; one that stands nowhere takes as long."""
    report = read_document(papers.long_report(), "report.pdf")
    times = []
    for page in range(1, 500, 50):
        began = time.perf_counter()
        find_place(report, f"on page {page + 1} berth")
        find_place(report, f"on page {page + 1} no berth")
        times.append((time.perf_counter() - began) / 2)
    return f"a quote looked for in 500 pages: {statistics.median(times) * 1000:.0f} ms"
