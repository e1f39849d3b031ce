"""What runs in the child process: llama.cpp's own server, until the parent closes our stdin or is gone.

Run as a file of its own, so that nothing else of qwennb is loaded. The first line of stdin holds the settings as JSON
(the key of the server would be seen by others on a command line). One line of JSON on stdout answers: `address`, or
`missing` or `failed`. Whatever llama.cpp prints goes to stderr, which the parent keeps as a log.

The parent may die in any way, so its end is seen twice: stdin ends, on every system; and Linux is asked to kill us,
because while a model loads the interpreter stands still and reads nothing.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import sys
from typing import IO, Any, NoReturn

PR_SET_PDEATHSIG = 1
ERRORS_ONLY = 1  # what llama.cpp says beyond errors may quote a prompt
PROMPT_CACHE_MIB = 256  # its own default lets the memory grow by 8 GiB
PING_SECONDS = 10


def main() -> NoReturn:
    """Serve until stdin ends."""
    settings: dict[str, Any] = json.loads(sys.stdin.buffer.readline())
    report = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # interrupting a cell does not stop the model
    die_with(settings["parent"])
    # Threads that wait for each other without spinning: where one core of two is busy elsewhere, as when the notebook
    # itself works, spinning took the speed from 18 tokens a second to 1.4; so it goes to 10. Alone it costs little.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        import xllamacpp
    except ImportError as error:
        tell(report, missing=str(error))
        os._exit(1)
    try:
        server = xllamacpp.Server(parameters(xllamacpp, settings))
    except (RuntimeError, ValueError, TypeError, AttributeError) as error:
        tell(report, failed=str(error))
        os._exit(1)
    tell(report, address=server.listening_address)
    with contextlib.suppress(OSError):
        while sys.stdin.buffer.read(1):
            pass
    os._exit(0)  # there is nothing to save; the orderly way waits for answers that nobody will read


def parameters(xllamacpp: Any, settings: dict[str, Any]) -> Any:
    """llama.cpp's parameters: loopback, a key, no pages, no files, no downloads."""
    made = xllamacpp.CommonParams()
    made.model.path = settings["path"]
    made.model_alias = {settings["name"]}  # the name that answers carry, instead of a path
    made.hostnames = ["127.0.0.1"]
    made.port = settings["port"]  # 0: the system chooses, and `listening_address` tells
    made.reuse_port = False
    made.api_keys = [settings["key"]]
    made.cors_origins = ""
    made.ui = False
    made.endpoint_slots = False
    made.offline = True
    made.use_jinja = True
    made.n_parallel = settings["parallel"]
    made.n_ctx = settings["context"] * settings["parallel"]
    made.cpuparams.n_threads = made.cpuparams_batch.n_threads = settings["threads"]
    made.cache_ram_mib = PROMPT_CACHE_MIB
    made.sse_ping_interval = PING_SECONDS
    made.verbosity = ERRORS_ONLY
    return made


def die_with(parent: int) -> None:
    """Ask Linux to end us with the thread that started us; it may have ended already."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def tell(report: IO[str], **line: str) -> None:
    """One line of JSON to the parent."""
    with contextlib.suppress(OSError):
        print(json.dumps(line), file=report, flush=True)


if __name__ == "__main__":
    main()
