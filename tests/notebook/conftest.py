"""Real kernels, one a module, that ask a simulator of the test's own."""

from __future__ import annotations

import os
import re
import sys
import time
from dataclasses import dataclass, field
from typing import Any

import pytest
from jupyter_client import KernelManager
from jupyter_client.kernelspec import KernelSpec

from qwennb.simulator import Simulator

CANARY = "sk-canary-5f2c81d09e"


@dataclass
class Ran:
    """What running a cell brought: its outputs as a notebook would save them, and every message, with when it was sent."""

    status: str = "ok"
    outputs: list[dict[str, Any]] = field(default_factory=list)
    messages: list[tuple[float, str, dict[str, Any]]] = field(default_factory=list)
    payload: list[dict[str, Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    @property
    def markdown(self) -> str:
        return self.data["text/markdown"]

    @property
    def plain(self) -> str:
        return self.data["text/plain"]

    @property
    def data(self) -> dict[str, Any]:
        [shown] = [o for o in self.outputs if o["output_type"] in ("display_data", "execute_result")]
        return shown["data"]

    @property
    def printed(self) -> str:
        return "".join(
            o["text"] for o in self.outputs if o["output_type"] == "stream" and o["name"] == "stdout"
        )

    @property
    def error(self) -> dict[str, Any]:
        [error] = [o for o in self.outputs if o["output_type"] == "error"]
        return error

    @property
    def kept(self) -> list[tuple[str, dict[str, Any]]]:
        """What a front end has kept of it: cleared where it was told to, each display in its last state."""
        made: list[tuple[str, dict[str, Any]]] = []
        clears = False
        for _, kind, content in self.messages:
            if kind == "clear_output":
                made, clears = (made if content["wait"] else []), content["wait"]
            elif kind == "update_display_data":
                for _, one in made:
                    if one.get("transient", {}).get("display_id") == content["transient"]["display_id"]:
                        one["data"] = content["data"]
            elif kind in ("stream", "display_data", "execute_result", "error"):
                made = [] if clears else made
                clears = False
                if kind == "stream" and made and made[-1][1].get("name") == content["name"]:
                    made[-1][1]["text"] += content["text"]  # one print may be sent in two pieces
                else:
                    made.append((kind, dict(content)))
        return made

    def count(self, kind: str) -> int:
        return sum(name == kind for _, name, _ in self.messages)


class Kernel:
    """A running ipykernel."""

    def __init__(self, environ: dict[str, str]) -> None:
        self.manager = KernelManager()
        self.manager._kernel_spec = KernelSpec(
            argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
            display_name="test",
            language="python",
        )
        self.manager.start_kernel(env={**os.environ, **environ})
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=120)
        self.displays: dict[str, dict[str, Any]] = {}

    def stop(self) -> None:
        """End it, with every socket that it was spoken to by: what is left open, a later test hears of."""
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        self.client.context.destroy(linger=0)
        self.manager.context.destroy(linger=0)

    def run(
        self,
        code: str,
        *,
        cell: str | None = None,
        answers: list[str] | None = None,
        interrupt_at: str | None = None,
        timeout: float = 100,
    ) -> Ran:
        """Run *code* as the cell of this id; *answers* are typed when it asks for input."""
        message = self.client.session.msg(
            "execute_request",
            {
                "code": code, "silent": False, "store_history": True, "user_expressions": {},
                "allow_stdin": answers is not None, "stop_on_error": False,
            },
            # A notebook that can be typed into says which cell runs; "" is a console, which does not.
            metadata={"cellId": cell or "typed-into"} if cell or (answers is not None and cell is None) else {},
        )  # fmt: skip
        self.client.shell_channel.send(message)
        wanted, ran = message["header"]["msg_id"], Ran()
        end = time.monotonic() + timeout
        waiting = list(answers or [])
        while True:
            if waiting and self.client.stdin_channel.msg_ready():
                ran.asked.append(self.client.get_stdin_msg(timeout=120)["content"]["prompt"])
                self.client.input(waiting.pop(0))
            try:
                got = self.client.get_iopub_msg(timeout=0.05)
            except Exception:
                assert time.monotonic() < end, "the cell did not end"
                continue
            if got["parent_header"].get("msg_id") != wanted:
                continue
            kind, content = got["msg_type"], got["content"]
            if kind == "status" and content["execution_state"] == "idle":
                break
            ran.messages.append((got["header"]["date"].timestamp(), kind, content))
            self._take(kind, content, ran)
            if interrupt_at is not None and interrupt_at in str(content.get("data", content.get("text", ""))):
                interrupt_at = None
                self.manager.interrupt_kernel()
        reply = self.client.get_shell_msg(timeout=120)
        while reply["parent_header"].get("msg_id") != wanted:
            reply = self.client.get_shell_msg(timeout=120)
        ran.status = reply["content"]["status"]
        ran.payload = reply["content"].get("payload", [])
        return ran

    def complete(self, code: str, at: int | None = None) -> list[str]:
        reply = self.client.complete(code, len(code) if at is None else at, reply=True, timeout=120)
        return reply["content"]["matches"]

    def inspect(self, code: str) -> str:
        [page] = self.run(code).payload
        return page["data"]["text/plain"]

    def value(self, expression: str) -> str:
        return self.run(f"print({expression})").printed.rstrip("\n")

    def _take(self, kind: str, content: dict[str, Any], ran: Ran) -> None:
        if kind in ("display_data", "execute_result", "error"):
            output = {"output_type": kind, **content}
            ran.outputs.append(output)
            if name := content.get("transient", {}).get("display_id"):
                self.displays[name] = output
        elif kind == "update_display_data":
            self.displays[content["transient"]["display_id"]].update(
                data=content["data"], metadata=content["metadata"]
            )
        elif kind == "stream":
            ran.outputs.append({"output_type": "stream", **content})


@pytest.fixture(scope="module")
def sim():
    with Simulator("openrouter", api_key=CANARY) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def kernel(sim, tmp_path_factory):
    """A kernel with the extension loaded, that asks `sim`."""
    home = tmp_path_factory.mktemp("home")
    running = Kernel(
        {
            "QWENNB_ENDPOINT": f"openrouter+{sim.base_url}", "QWENNB_API_KEY": CANARY, "QWENNB_CACHE_DIR": str(home / "cache"),
            "HOME": str(home), "IPYTHONDIR": str(home / "ipython"), "JPY_SESSION_NAME": "/folder/analysis.ipynb",
        }
    )  # fmt: skip
    try:
        assert running.run("%load_ext qwennb").status == "ok"
        yield running
    finally:
        running.stop()


@pytest.fixture
def script(sim):
    """Say what the simulator answers next."""

    def set_script(*replies):
        sim.ledger.clear()
        sim.script(list(replies))

    yield set_script
    sim.script(None)


def body(sim) -> dict[str, Any]:
    """The last request as it went over the wire."""
    return sim.ledger.asks()[-1].body


def no_colours(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)
