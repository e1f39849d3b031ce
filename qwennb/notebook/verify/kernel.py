"""A notebook's code in a fresh kernel, cell by cell, through nbclient: the one way in which a notebook is run here.

It is always this interpreter's own kernel, whatever the notebook calls its kernel: another name may mean an
environment without us. A sealed one talks over local sockets, for it can open no others.

What a cell shows is kept in two views. In the notebook stands what the cell left, as a front end has it: what was
displayed and then changed, in its last state. `shown` is what the cell sent, which is what nbval compares: updates and
clearing do not change it. What widgets say among themselves is in neither, for there is no front end to say it to.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode, ValidationError, from_dict

from qwennb.answer import markup
from qwennb.errors import QwenError
from qwennb.notebook.verify.network_guard import OWN_SOCKETS

START = 120  # seconds; a loaded machine starts a kernel in ten
LAST_OUTPUT = 20  # seconds from a cell's reply, or its interruption, to the end of what it shows
_SHOWN = {
    "display_data": ("data", "metadata"),
    "execute_result": ("data", "metadata", "execution_count"),
    "stream": ("name", "text"),
    "error": ("ename", "evalue", "traceback"),
}


class OwnKernel(AsyncKernelManager):
    """Starts this interpreter's own kernel."""

    @property
    def kernel_spec(self) -> KernelSpec:
        """How it is started: never looked up by a name."""
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=argv, display_name="qwennb", language="python")


class CodeRunner(NotebookClient):
    """Runs the cells of *notebook* in *kernel*, each for *timeout* seconds at most. An error of one stops none after it."""

    def __init__(self, notebook: NotebookNode, kernel: OwnKernel, *, timeout: float, **settings: Any) -> None:
        self._timeout = timeout
        self._too_long = f"Timeout of {timeout:g} seconds exceeded executing cell"
        super().__init__(
            notebook,
            km=kernel,
            allow_errors=True,
            skip_cells_with_tag="",  # which cells are run is the caller's to say
            startup_timeout=START,
            timeout_func=lambda cell: timeout,
            interrupt_on_timeout=True,
            error_on_timeout={"ename": "TimeoutError", "evalue": self._too_long, "traceback": []},
            iopub_timeout=LAST_OUTPUT,
            raise_on_iopub_timeout=True,
            on_cell_executed=self._note_reply,
            **settings,
        )
        self.shown: list[NotebookNode] = []
        self._reply: Mapping[str, Any] = {}
        self._is_lost = False

    def run(self, index: int) -> str:
        """Run a cell. Returns why it did not come to its end; nothing where it did, be it with an error."""
        if self._is_lost:
            return "Not run, for the kernel was lost before."
        self.shown, self._reply, began = [], {}, time.monotonic()
        try:
            self.execute_cell(self.nb.cells[index], index)
        except DeadKernelError:
            self._is_lost = True
            return "The kernel ended in the middle of this cell."
        except CellTimeoutError:
            self._is_lost = True
            was_interrupted = time.monotonic() - began > self._timeout
            return (
                f"{self._too_long}, and it could not be interrupted."
                if was_interrupted
                else f"What it shows did not come to its end within {LAST_OUTPUT} seconds."
            )
        except Exception as error:
            return str(error) or type(error).__name__
        if self._reply.get("evalue") == self._too_long:
            return self._too_long
        return "The kernel passed over this cell." if self._reply.get("status") == "aborted" else ""

    @property
    def error(self) -> str:
        """The error that the cell ended with, in a line."""
        errors = [output for output in self.shown if output.output_type == "error"]
        return markup.plain(f"{errors[-1].ename}: {errors[-1].evalue}") if errors else ""

    def _note_reply(self, *, execute_reply: Mapping[str, Any], **_: Any) -> None:
        self._reply = execute_reply["content"]

    def process_message(self, msg: dict[str, Any], cell: NotebookNode, cell_index: int) -> Any:
        """Keep what is shown in both views."""
        kind, content = msg["msg_type"], msg["content"]
        if kind in _SHOWN:
            shown = {"output_type": kind, **{name: content[name] for name in _SHOWN[kind]}}
            self.shown.append(from_dict(shown))  # type: ignore[no-untyped-call]
        if kind.startswith("comm"):
            return None
        with suppress(ValidationError):  # what no notebook can hold; nbval compares it all the same
            return super().process_message(msg, cell, cell_index)

    def shut_local_sockets(self) -> None:
        """Now that the kernel has its own sockets, let no code in it make others."""
        words = {"shut": "__import__('sitecustomize').shut_local_sockets()"}
        assert self.kc is not None
        request = self.kc.execute("", silent=True, store_history=False, user_expressions=words)
        reply = self.wait_for_reply(request) or {"content": {}}
        if reply["content"].get("user_expressions", {}).get("shut", {}).get("status") != "ok":
            raise RuntimeError("the network could not be shut to it")


@contextmanager
def start_kernel(
    notebook: NotebookNode,
    folder: Path,
    environ: Mapping[str, str],
    *,
    sockets: Path | None = None,
    timeout: float = 600.0,
) -> Iterator[CodeRunner]:
    """Start a kernel for *notebook* in *folder*; end it when left.

    Given a folder for its *sockets* it is sealed, and ended at once; else it has the time to write down what it spent.
    """
    kernel, own = OwnKernel(), dict[str, str]()
    if sockets is not None:
        kernel, own = OwnKernel(transport="ipc", ip=str(sockets / "k")), {OWN_SOCKETS: "1"}
    runner = CodeRunner(
        notebook,
        kernel,
        timeout=timeout,
        resources={"metadata": {"path": str(folder)}},
        shutdown_kernel="graceful" if sockets is None else "immediate",
    )
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with ExitStack() as stack:
        try:
            stack.enter_context(runner.setup_kernel(cleanup_kc=True, env={**environ, **own}, **silent))
            if sockets is not None:
                runner.shut_local_sockets()
        except Exception as error:
            raise QwenError(f"No kernel could be started in {folder} ({error}).") from error
        yield runner
