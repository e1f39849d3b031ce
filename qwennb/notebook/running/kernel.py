"""A fresh kernel in a running place, as nbval drives one.

It is always this interpreter's own kernel, whatever the notebook calls its kernel: another name may mean an
environment without us. A sealed one talks over local sockets, for it can open no others.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from queue import Empty
from typing import Any

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager
from nbval.kernel import RunningKernel

from qwennb.notebook.running.network_guard import OWN_SOCKETS

START = 120.0  # seconds; a loaded machine starts one in ten
LOOK = 1.0  # seconds between two looks at whether the kernel is still there


class FreshKernel(RunningKernel):  # type: ignore[misc]  # nbval has no types
    """A running kernel whose working folder is *cwd*. It talks over the network's loopback where it is given no *sockets*."""

    def __init__(self, cwd: Path, environ: Mapping[str, str], *, sockets: Path | None) -> None:
        self._at_once = sockets is not None
        self.km = KernelManager(transport="tcp" if sockets is None else "ipc")
        if sockets is not None:
            self.km.ip = str(sockets / "k")
        self.km._kernel_spec = KernelSpec(
            argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
            display_name="qwennb",
            language="python",
        )
        with Path(os.devnull).open("w") as nowhere:
            own = {} if sockets is None else {OWN_SOCKETS: "1"}
            self.km.start_kernel(env={**environ, **own}, cwd=str(cwd), stdout=nowhere, stderr=nowhere)
        self.kc = self.km.client()
        self.kc.start_channels()
        try:
            self.kc.wait_for_ready(timeout=START)
            self._ensure_iopub_up()
            if sockets is not None:
                self._shut_local_sockets()
        except BaseException:
            self.stop()
            raise

    def _shut_local_sockets(self) -> None:
        """Now that the kernel has its own sockets, no code in it may make others."""
        words = {"shut": "__import__('sitecustomize').shut_local_sockets()"}
        request = self.kc.execute("", silent=True, store_history=False, user_expressions=words)
        reply: dict[str, Any] = {"parent_header": {}}
        while reply["parent_header"].get("msg_id") != request:
            reply = self.get_message("shell", timeout=START)
        self.await_idle(request, START)
        if reply["content"].get("user_expressions", {}).get("shut", {}).get("status") != "ok":
            raise RuntimeError("the network could not be shut to it")

    def execute_cell_input(self, cell_input: str, allow_stdin: bool | None = None) -> str:
        """Have a cell run; the name of the request, which is kept as the one under way.

        Unlike nbval's, cells are counted and `Out` is kept, as where the notebook was written.
        """
        self.under_way = str(self.kc.execute(cell_input, allow_stdin=allow_stdin, stop_on_error=False))
        return self.under_way

    def get_message(self, stream: str, timeout: float | None = None) -> Any:
        """As nbval's, but a kernel that has died is noticed, and not waited for."""
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            left = LOOK if end is None else min(LOOK, max(0.0, end - time.monotonic()))
            try:
                return super().get_message(stream, timeout=left)
            except Empty:
                if not self.is_alive():
                    raise RuntimeError("The kernel ended in the middle of this cell.") from None
                if end is not None and time.monotonic() >= end:
                    raise

    def stop(self) -> None:
        """End the kernel: at once when it is sealed, else so that it can still write down what it has spent."""
        self.kc.stop_channels()
        self.km.shutdown_kernel(now=self._at_once)
        self.km.cleanup_resources()
