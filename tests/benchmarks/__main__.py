"""`poe bench [name …]`: run the measurements and print each figure beside its yardstick.

A name may be the first part of several: `columns` is all that begin with it.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable
from datetime import UTC, datetime

from tests.benchmarks import (
    asking,
    cells,
    columns,
    documents,
    files,
    kills,
    packs,
    panels,
    queueing,
    quota,
    review,
    verify,
)

ALL: dict[str, tuple[Callable[[], str], ...]] = {
    "asking": (asking.cached, asking.uncached),
    "quota": (quota.ours, quota.theirs),
    "kills": (kills.fifty,),
    "packs": (packs.written, packs.read, packs.tampered),
    "cells-load": (cells.loading,),
    "cells-pieces": (cells.first, cells.long),
    "cells-photographs": (cells.photographs,),
    "panels": (panels.chat,),
    "columns-speed": (columns.speed,),
    "columns-again": (columns.again_few, columns.again_all),
    "columns-slots": (queueing.simulated, columns.slots),
    "columns-memory": (columns.memory,),
    "columns-interrupt": (columns.interrupt,),
    "documents": (
        documents.long_report,
        documents.pypdfium2,
        documents.each_paper,
        documents.office,
        documents.quote,
    ),
    "files": (files.report, files.repository),
    "review": (review.judged,),
    "verify": (verify.ten_thousand,),
}


def main(names: list[str]) -> int:
    """Run the measurements called *names*, or all."""
    if unknown := [name for name in names if not _meant(name)]:
        print(
            f"There is no measurement {', '.join(sorted(unknown))}; there are {', '.join(ALL)}.",
            file=sys.stderr,
        )
        return 2
    load = os.getloadavg()[0]
    print(
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, load {load:.1f}, Python {platform.python_version()}"
    )
    for name in dict.fromkeys(found for said in names or ALL for found in _meant(said)):
        for measure in ALL[name]:
            print(measure(), flush=True)
    return 0


def _meant(name: str) -> list[str]:
    return [known for known in ALL if known == name or known.startswith(f"{name}-")]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
