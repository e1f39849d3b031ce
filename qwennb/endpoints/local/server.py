"""llama.cpp's own OpenAI-compatible server for one model file, in a child process.

It starts on first use, on a loopback port that the system picks, behind a random key, and ends with us however we end
(see `child.py`). One thread of ours starts the child, hears what it says and reaps it. It has to be that one thread,
and not whoever asked first: Linux ties the child's life to the *thread* that made it, and a thread of a pool
may be gone a moment later. A child that died is started anew at the next use. A forked process forgets the child of
its parent and starts its own.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import io
import json
import os
import secrets
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, ClassVar

import httpx2

from qwennb.config import Secret
from qwennb.endpoints.local.model_folder import LocalModel, check_gguf
from qwennb.errors import ServerFailed, UnknownEndpoint
from qwennb.files import make_private_folder, open_private
from qwennb.machine import keep_needed
from qwennb.terminal import flatten

CHILD = Path(__file__).with_name("child.py")
CONTEXT = 8192  # tokens for one request, its answer included
PARALLEL = 4  # requests at once; more only queue on a few cores
START_SECONDS = 600.0  # a large model on a slow disk
END_SECONDS = 5.0
LOG_BYTES = 2**20
LINE_BYTES = 2**14


def is_installed() -> bool:
    """Whether the extra `local` is there."""
    return importlib.util.find_spec("xllamacpp") is not None


class LocalServer:
    """Serves one `LocalModel`.

    context    tokens for one request, its answer included
    parallel   requests answered at once; each has its own *context*, so memory grows with both
    threads    None: the cores that this process may use
    port, key  None: a free port, a random key
    environ    None: this process's own; no key in it reaches the child
    """

    _shared: ClassVar[dict[str, LocalServer]] = {}
    _shared_lock: ClassVar[threading.Lock] = threading.Lock()
    _all: ClassVar[weakref.WeakSet[LocalServer]] = weakref.WeakSet()

    def __init__(
        self,
        model: LocalModel,
        *,
        context: int = CONTEXT,
        parallel: int = PARALLEL,
        threads: int | None = None,
        port: int = 0,
        key: Secret | None = None,
        python: str = sys.executable,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.model = model
        self.context = context
        self.parallel = parallel
        self.threads = threads or _cores()
        self.key = key or Secret(secrets.token_urlsafe(32))
        self.port = port
        self.python = python
        self.environ = environ
        self._child: _Child | None = None
        self._lock = threading.Lock()
        self._all.add(self)

    @classmethod
    def server_for(cls, model: LocalModel) -> LocalServer:
        """The one server of this process for *model*."""
        with cls._shared_lock:
            if model.file.sha256 not in cls._shared:
                cls._shared[model.file.sha256] = cls(model)
            return cls._shared[model.file.sha256]

    def start(self) -> str:
        """Start the server if it is not running, and wait until it can answer; its base URL.

        It blocks for seconds, so an event loop calls it in a thread.
        """
        with self._lock:
            if self._child is None or not self._child.alive:
                check_gguf(self.model.path)
                self._child = child = _Child(self)
                try:
                    child.wait_until_ready(START_SECONDS)
                except BaseException:
                    child.end()
                    raise
            return self._child.address + "/v1"

    @property
    def base_url(self) -> str:
        """Where it answers; started if need be."""
        return self.start()

    @property
    def pid(self) -> int | None:
        """The child's process, if it runs."""
        child = self._child
        return child.pid if child is not None and child.alive else None

    @property
    def is_ready(self) -> bool:
        """Whether it has the model loaded and can answer."""
        child = self._child
        return child is not None and child.alive and child.is_ready

    def memory(self) -> int | None:
        """MiB that the child holds, the mapped model included; None where it does not run or the system won't say."""
        with contextlib.suppress(OSError, ValueError, IndexError):
            if (pid := self.pid) is not None:
                status = Path(f"/proc/{pid}/status").read_text("ascii", "replace")
                return int(status.split("VmRSS:")[1].split()[0]) // 1024
        return None

    def wait(self) -> None:
        """Until it ends, of itself or by `close`."""
        if self._child is not None:
            self._child.over.wait()

    def close(self) -> None:
        """End the child. The next use starts another."""
        with self._lock:
            if self._child is not None:
                self._child.end()
                self._child = None

    def __repr__(self) -> str:
        state = f"running as {pid}" if (pid := self.pid) is not None else "not running"
        return flatten(
            f"<LocalServer {self.model.file.name}: {self.parallel} at once, {self.context} tokens each, "
            f"{self.threads} threads, {state}>"
        )

    @classmethod
    def _close_all(cls) -> None:
        for server in list(cls._all):
            server.close()

    @classmethod
    def _forget_after_fork(cls) -> None:
        cls._shared, cls._shared_lock = {}, threading.Lock()
        for server in list(cls._all):
            if server._child is not None:
                server._child.let_go()
            server._child, server._lock = None, threading.Lock()


class _Child:
    """One child process, and the thread that starts, hears and reaps it."""

    def __init__(self, server: LocalServer) -> None:
        self.over = threading.Event()
        self.address = ""
        self.is_ready = False
        self._server = server
        self._told = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._unwanted = False
        self._problem = ""
        self._complaint = ""
        threading.Thread(target=self._live, name="qwennb-local", daemon=True).start()

    @property
    def alive(self) -> bool:
        return not self.over.is_set() and self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def wait_until_ready(self, seconds: float) -> None:
        """Return once /health says ok; raise what went wrong instead."""
        deadline = time.monotonic() + seconds
        self._told.wait(seconds)
        while self.address and not self.over.is_set() and time.monotonic() < deadline:
            if _healthy(self.address):
                self.is_ready = True
                return
            self.over.wait(0.05)
        if "missing" in self._problem:
            raise UnknownEndpoint(
                "The endpoint `local` needs llama.cpp, which is not installed (or does not load here"
                f"{': ' + self._complaint if self._complaint else ''}). "
                'Type: pip install "qwennb[local]"'
            )
        reason = self._complaint or self._problem or f"it was not ready after {seconds:.0f} s"
        # Its own words name the port only where they reached the log before it ended.
        at = f" on port {self._server.port}" if self._server.port else ""
        failed = ServerFailed(
            f"llama.cpp did not start with {self._server.model.file.name}{at}: {reason.rstrip('.')}. Its log is {self._server.model.log}",
            transient=False,
        )
        failed.fatal = True  # the next row would meet the same
        raise failed

    def end(self) -> None:
        """Kill it: it has nothing to save, and while it loads it hears nothing. Returns when it is reaped."""
        self._unwanted = True
        self.let_go()
        if self._process is not None:
            self._process.kill()
        self.over.wait(END_SECONDS)

    def let_go(self) -> None:
        """Close our end of its stdin: of ours, when we end it; of a forked copy, so that it can see the end."""
        process = self._process
        if process is not None and process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()

    def _live(self) -> None:
        try:
            with self._start() as process:
                log = threading.Thread(target=self._keep_log, args=(process.stderr,), daemon=True)
                log.start()
                for line in process.stdout or ():
                    self._hear(line)
                log.join()
        except OSError as error:
            self._problem = f"the interpreter {self._server.python} can't be run ({error.strerror})"
        finally:
            # Leaving the block above has waited for the process, so there is no zombie.
            self._problem = self._problem or self._how_it_ended()
            self.over.set()
            self._told.set()

    def _start(self) -> subprocess.Popen[bytes]:
        options: dict[str, Any] = {}
        if sys.platform == "win32":
            options["creationflags"] = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
        else:
            options["process_group"] = 0  # Jupyter interrupts a whole group
        self._process = subprocess.Popen(  # noqa: S603 (our own interpreter, our own file)
            [self._server.python, "-P", str(CHILD)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env=keep_needed(os.environ if self._server.environ is None else self._server.environ),
            **options,
        )
        with contextlib.suppress(BrokenPipeError):
            assert self._process.stdin is not None
            if self._unwanted:  # given up before there was a process to kill
                self._process.kill()
            self._process.stdin.write(self._settings() + b"\n")
        return self._process

    def _settings(self) -> bytes:
        """Write down what the child is told on its stdin, the key in it."""
        server = self._server
        return json.dumps(
            {
                "parent": os.getpid(),
                "path": str(server.model.path.resolve()),
                "name": server.model.file.name,
                "key": server.key.reveal(),
                "port": server.port,
                "context": server.context,
                "parallel": server.parallel,
                "threads": server.threads,
            }
        ).encode()

    def _hear(self, line: bytes) -> None:
        try:
            told = json.loads(line)
        except ValueError:
            return
        if "address" in told:
            self.address = told["address"]
            self._told.set()
        elif "missing" in told:
            self._problem, self._complaint = "missing", told["missing"]
        elif "failed" in told:
            self._problem = told["failed"]

    def _how_it_ended(self) -> str:
        code = None if self._process is None else self._process.returncode
        return (
            f"it was killed by signal {-code}" if code is not None and code < 0 else f"it ended with {code}"
        )

    def _keep_log(self, said: io.RawIOBase) -> None:
        """Write what llama.cpp says to the log, from its start again when that is full, and note the first error.

        The first error names the cause; the last ones only say that it gives up.
        """
        with _log_file(self._server.model.log) as log, io.BufferedReader(said) as lines:
            for line in iter(lambda: lines.readline(LINE_BYTES), b""):
                if not self._complaint and b" E " in line:
                    self._complaint = line.partition(b" E ")[2].decode("utf-8", "replace").strip()
                with contextlib.suppress(OSError):
                    if log.tell() + len(line) > LOG_BYTES:
                        log.truncate(0)
                    log.write(line)


def _log_file(path: Path) -> IO[bytes]:
    """Open the log, ours alone; nowhere if it can't be written, for that is no reason not to answer."""
    try:
        make_private_folder(path.parent)
        return open_private(path, "ab", 0)
    except OSError:
        return Path(os.devnull).open("ab", buffering=0)


def _healthy(address: str) -> bool:
    """Tell whether the server answers. No proxy of the environment has any business with loopback."""
    try:
        with httpx2.Client(trust_env=False, verify=False, timeout=END_SECONDS) as client:
            return client.get(f"{address}/health").status_code == 200
    except httpx2.HTTPError:
        return False


def _cores() -> int:
    ours = getattr(os, "sched_getaffinity", None)
    return (len(ours(0)) if ours else os.cpu_count()) or 1


atexit.register(LocalServer._close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=LocalServer._forget_after_fork)
