"""Run by tests in a process of its own, so that its memory can be measured: asks servers that send too much.

    python -m tests.endpoints.glutton FOLDER ENDPOINT_THAT_BEHAVES

Reads a JSON list of steps from stdin; prints for each the error, the seconds, the mebibytes above the base, and how
many answers were kept.
"""

import json
import sys
import time
from pathlib import Path

from qwennb import Qwen
from qwennb.errors import QwenError

from .kit import KEY, stored


def peak():
    """The most memory held since the last `forget`, in KiB."""
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])


def forget():
    Path("/proc/self/clear_refs").write_text("5")


def main(folder, behaves):
    warm = Qwen(endpoint=behaves, cache_dir=f"{folder}/warm", cache="off")
    warm.ask("Hello")
    warm.ask_many(["Hello"])
    told = []
    for number, step in enumerate(json.load(sys.stdin)):
        qwen = Qwen(
            endpoint=step["endpoint"], api_key=KEY, cache_dir=f"{folder}/{number}", timeout=step["timeout"]
        )
        assert not stored(qwen)  # the store is open before the clock runs
        forget()
        base, started = peak(), time.monotonic()
        try:
            error = qwen.ask("Hello").error if step["lane"] == "cell" else qwen.ask_many(["Hello"])[0].error
        except QwenError as raised:
            error = raised
        told.append(
            {
                "seconds": time.monotonic() - started,
                "mebibytes": (peak() - base) / 1024,
                "error": type(error).__name__,
                "words": str(error),
                "kept": len(stored(qwen)),
            }
        )
    print(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
