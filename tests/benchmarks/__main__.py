"""`poe bench [name …]`: run the measurements and print each figure beside its yardstick."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable
from datetime import UTC, datetime

from tests.benchmarks import asking, kills, quota

ALL: dict[str, tuple[Callable[[], str], ...]] = {
    "asking": (asking.cached, asking.uncached),
    "quota": (quota.ours, quota.theirs),
    "kills": (kills.fifty,),
}


def main(names: list[str]) -> int:
    """Run the measurements called *names*, or all."""
    if unknown := set(names) - set(ALL):
        print(
            f"There is no measurement {', '.join(sorted(unknown))}; there are {', '.join(ALL)}.",
            file=sys.stderr,
        )
        return 2
    load = os.getloadavg()[0]
    print(
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, load {load:.1f}, Python {platform.python_version()}"
    )
    for name in names or ALL:
        for measure in ALL[name]:
            print(measure(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
