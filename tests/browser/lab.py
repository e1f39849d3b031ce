"""A real JupyterLab, seen in a real Chromium.

One server, one browser and one page of it serve all browser tests, for loading JupyterLab takes ten times as long as
opening a notebook in it. Each notebook has a kernel of its own, and the page while it is open. A test takes the fixture
`notebook` (see conftest.py) and gives it cells:

    def test_an_answer_is_seen(notebook):
        opened = notebook(["%load_ext qwennb", "%qwen hello"], QWENNB_ENDPOINT=f"openrouter+{sim.base_url}")
        opened.run_all()                     # returns at once
        opened.wait_text("Hello")            # until some output shows it
        opened.wait_done()                   # until every cell has ended; a failing cell ends the run too
        saved = opened.save()                # the .ipynb as it is on disk
        opened.begin([…])                    # other cells; the same kernel, if there is one yet
        opened.reopen()                      # closed and opened again; the kernel lives on
        opened.reload()                      # all of JupyterLab anew; the kernel lives on
        opened.reopen_without_kernel()       # as a reader sees it, who has only the file
        opened.picture("cell.png", 1)        # the second cell as a PNG
        assert opened.strangers() == []      # every request that left for another host
        assert opened.dialogs == []          # every alert(), confirm(), prompt()
        assert opened.complaints() == []     # what axe-core finds, for the outputs only

`opened.page` is Playwright's page, `opened.output(n)` the output area of cell n, `opened.shown(n)` its text. Names given
by keyword go into the kernel's environment, over a home, an IPython folder and an answers' cache of the notebook's own.

Playwright runs an event loop in the thread that uses it: a test here can't call `asyncio.run`. The fixtures end with
this folder, so that the tests of other folders can.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Locator, Page, Playwright
from playwright.sync_api import TimeoutError as TooLate

AXE = Path(__file__).parent / "axe.min.js"  # fetched by the set-up step
LABEXTENSION = Path(__file__).parents[2] / "qwennb" / "notebook" / "labextension"
FORMULA_FILES = {
    name: Path(__file__).parent / f"{name}.tgz" for name in ("mathjax", "katex", "mermaid")
}  # as npm has them
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-dev-shm-usage",
    # No name is ever resolved: an attack that got through is seen to ask, and reaches nobody.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)

SETTINGS: dict[str, dict[str, Any]] = {
    "apputils-extension/notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
        "doNotDisturbMode": True,
    },
    "docmanager-extension/plugin": {"autosave": False},
    "completer-extension/manager": {
        "providerTimeout": 60_000
    },  # a second by default; a busy machine takes longer
    # Every cell and every output is in the page, seen or not.
    "notebook-extension/tracker": {"windowingMode": "none", "maxNumberOutputs": 5_000},
}

# The notebook's own indicator says idle before there is a kernel.
READY = """() => {
  const shown = window.jupyterapp && jupyterapp.shell.currentWidget, session = shown && shown.sessionContext;
  const kernel = session && session.session && session.session.kernel;
  return !!(kernel && session.isReady && !session.hasNoKernel && kernel.connectionStatus === 'connected'
            && kernel.status === 'idle');
}"""
RUN = """command => {
  window.running = true;
  jupyterapp.commands.execute(command).finally(() => { window.running = false; });
}"""
# A run has ended when its promise has, and the kernel has nothing left to do.
DONE = """() => {
  const kernel = jupyterapp.shell.currentWidget.sessionContext.session.kernel;
  const cells = jupyterapp.shell.currentWidget.content.model.cells;
  for (let i = 0; i < cells.length; i++) if (cells.get(i).executionState === 'running') return false;
  return !window.running && kernel.status === 'idle';
}"""
# What the cells have is in the page: Markdown and mathematics are drawn some time after their output has come.
DRAWN = """() => {
  const shown = window.jupyterapp && jupyterapp.shell.currentWidget;
  return !!(shown && shown.content && shown.content.widgets) && shown.content.widgets.every(cell => {
    const outputs = cell.model.outputs;
    if (!outputs || !outputs.length) return true;
    const drawn = [...cell.node.querySelectorAll('.jp-OutputArea-output')];
    return drawn.length && drawn.every(one => one.childNodes.length);
  });
}"""
OPEN = """async path => {
  await jupyterapp.serviceManager.kernelspecs.refreshSpecs();  // each notebook has a kind of kernel of its own
  jupyterapp.commands.execute('docmanager:open', {path});
}"""
CLOSE = """() => {
  for (const one of [...jupyterapp.shell.widgets('main')].filter(one => one.context)) {
    one.context.model.dirty = false;
    one.dispose();
  }
  window.running = false;
  return !document.querySelector('.jp-Dialog, .jp-Notebook');
}"""
OUTPUT = ".jp-Cell-outputArea"
SIZE: Any = {"width": 1280, "height": 900}
UNCHOSEN = ".jp-cell-toolbar, .jp-Collapser { visibility: hidden !important; }"


def chromium() -> str | None:
    """Where Chromium is, if it is."""
    return (
        os.environ.get("QWENNB_TEST_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    )


class Lab:
    """The server and the browser."""

    def __init__(self, folder: Path, playwright: Playwright) -> None:
        self.folder, self.root = folder, folder / "notebooks"
        self._playwright = playwright
        self._token = secrets.token_hex(16)
        self._opened = 0
        self._desk: Page | None = None
        self._ends: list[threading.Thread] = []

    def start(self) -> Lab:
        """Start both; returns when the server answers."""
        self.root.mkdir()
        for name, values in SETTINGS.items():
            file = self.folder / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(values))
        # What JupyterLab shows is as it stands here, installed or not.
        (self.folder / "data" / "labextensions").mkdir(parents=True)
        (self.folder / "data" / "labextensions" / "qwennb").symlink_to(LABEXTENSION)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = (self.folder / "lab.log").open("wb")
        self._server = subprocess.Popen(
            [
                sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={self.port}",
                "--ServerApp.port_retries=0", f"--IdentityProvider.token={self._token}", f"--ServerApp.root_dir={self.root}",
                "--LabApp.extension_manager=readonly", "--LabApp.expose_app_in_browser=True", "--LabApp.news_url=None",
                "--JupyterNotebookApp.expose_app_in_browser=True",
                # Hundreds of attacks are shown as fast as the machine can.
                "--ZMQChannelsWebsocketConnection.limit_rate=False",
            ],
            env=self._environ(), start_new_session=True, stdout=self._log, stderr=subprocess.STDOUT,
        )  # fmt: skip
        end = time.monotonic() + 200
        while not self._answers():
            if self._server.poll() is not None or time.monotonic() > end:
                raise RuntimeError((self.folder / "lab.log").read_text(errors="replace"))
        self.chromium = self.launch()
        return self

    def stop(self) -> None:
        """End both, and every kernel that is left."""
        for end in self._ends:
            end.join()
        self.chromium.close()
        os.killpg(self._server.pid, signal.SIGTERM)
        try:
            self._server.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self._server.pid, signal.SIGKILL)
            self._server.wait(20)
        self._log.close()

    def launch(self, *flags: str) -> Browser:
        """Another Chromium, such as one that writes a log of its network: launch("--log-net-log=…")."""
        return self._playwright.chromium.launch(executable_path=chromium(), args=[*FLAGS, *flags])

    def open(
        self,
        cells: Sequence[str | dict[str, Any]],
        environ: dict[str, str],
        *,
        metadata: dict[str, Any] | None = None,
        browser: Browser | None = None,
    ) -> Notebook:
        """A notebook of these *cells* (code as text, any other as nbformat has it), its kernel ready.

        It is opened in the page that all share, one after the other; in a page of its own in another *browser*.
        """
        self._opened += 1
        name = f"notebook-{self._opened}"
        home = self.folder / "homes" / name
        home.mkdir(parents=True)
        spec = self.folder / "data" / "kernels" / name / "kernel.json"
        spec.parent.mkdir(parents=True)
        spec.write_text(
            json.dumps(
                {
                    "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
                    "display_name": name, "language": "python", "interrupt_mode": "signal",
                    "env": {
                        "HOME": str(home), "IPYTHONDIR": str(home / "ipython"),
                        "QWENNB_CACHE_DIR": str(home / "answers"), **environ,
                    },
                }
            )
        )  # fmt: skip
        book = {"kernelspec": {"name": name, "display_name": name, "language": "python"}, **(metadata or {})}
        opened = Notebook(self, self._page(browser), self.root / f"{name}.ipynb", home, book)
        opened.begin(cells)
        return opened

    def address(self, notebook: Path | None = None, *, classic: bool = False) -> str:
        """Where JupyterLab is, without a notebook or with one; where Notebook 7 shows it, with *classic*."""
        if classic and notebook:
            return f"{self.url}/notebooks/{notebook.name}?token={self._token}"
        tree = f"/tree/{notebook.name}" if notebook else ""
        return f"{self.url}/lab/workspaces/tests{tree}?reset&token={self._token}"

    def leave(self, page: Page) -> None:
        """Have *page* ready for the next notebook; another one where something in it could not be closed."""
        if page is self._desk and not page.is_closed() and page.evaluate(CLOSE):
            return
        self._desk = None
        page.context.close()

    def ask(self, route: str, method: str = "GET") -> Any:
        """What the server's own interface says."""
        request = urllib.request.Request(
            f"{self.url}/api/{route}", method=method, headers={"Authorization": f"token {self._token}"}
        )
        with urllib.request.urlopen(request, timeout=120) as answer:
            read = answer.read()
        return json.loads(read) if read else None

    def end_kernels(self, notebook: Path, *, wait: bool = True) -> None:
        """End the kernels of *notebook*."""
        end = threading.Thread(target=self._end_kernels, args=[notebook])
        end.start()
        if wait:
            end.join()
        else:
            self._ends.append(end)

    def _end_kernels(self, notebook: Path) -> None:
        for session in self.ask("sessions"):
            if session["path"] == notebook.name:
                self.ask(f"sessions/{session['id']}", "DELETE")

    def _page(self, browser: Browser | None) -> Page:
        """A page with JupyterLab in it."""
        if browser is None and self._desk is not None:
            return self._desk
        page = (browser or self.chromium).new_context(viewport=SIZE, service_workers="block").new_page()
        page.goto(self.address())
        page.wait_for_function(
            "() => window.jupyterapp && jupyterapp.restored.then(() => true)", timeout=60_000
        )
        if browser is None:
            self._desk = page
        return page

    def _answers(self) -> bool:
        try:
            self.ask("status")
        except OSError:
            return False
        return True

    def _environ(self) -> dict[str, str]:
        folder = self.folder
        return {
            **os.environ, "HOME": str(folder), "IPYTHONDIR": str(folder / "ipython"),
            "JUPYTER_CONFIG_DIR": str(folder / "config"), "JUPYTER_DATA_DIR": str(folder / "data"),
            "JUPYTER_RUNTIME_DIR": str(folder / "runtime"), "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
            "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
        }  # fmt: skip


@dataclass
class Notebook:
    """A notebook in a page of the browser."""

    lab: Lab
    page: Page
    path: Path
    home: Path
    metadata: dict[str, Any]
    requests: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for what, kind, heard in self._heard:
            what.on(kind, heard)

    def begin(self, cells: Sequence[str | dict[str, Any]]) -> None:
        """Have these *cells* and nothing that was seen before. What its kernel knows stays; one that was ended is replaced."""
        self.page.evaluate(CLOSE)
        made = [cell if isinstance(cell, dict) else code(cell, n) for n, cell in enumerate(cells)]
        book = {"nbformat": 4, "nbformat_minor": 5, "cells": made, "metadata": self.metadata}
        self.path.write_text(json.dumps(book), encoding="utf-8")
        self.requests.clear()
        self.dialogs.clear()
        self.go()

    def go(self) -> None:
        """Show the notebook, and wait for its kernel."""
        self._show()
        self.page.wait_for_function(READY, timeout=60_000, polling=50)

    def run_all(self) -> None:
        """Run every cell; returns at once."""
        self._start("notebook:run-all-cells")

    def run(self, cell: int) -> None:
        """Run one cell; returns at once."""
        self.page.evaluate(
            "n => { jupyterapp.shell.currentWidget.content.activeCellIndex = n }", self._at(cell)
        )
        self._start("notebook:run-cell")

    def restart_and_run_all(self) -> None:
        """A new kernel, and every cell; returns at once."""
        self.page.evaluate("() => jupyterapp.shell.currentWidget.sessionContext.restartKernel()")
        self.page.wait_for_function(READY, timeout=60_000, polling=50)
        self.run_all()

    def interrupt(self) -> None:
        """What the button with the square does."""
        self.page.evaluate("() => { jupyterapp.commands.execute('notebook:interrupt-kernel') }")

    def wait_done(self, timeout: float = 100) -> None:
        """Until every cell has ended, well or not, and what it said is seen."""
        self.page.wait_for_function(DONE, timeout=timeout * 1000, polling=50)
        self._wait_drawn()

    def wait_text(self, text: str | re.Pattern[str], timeout: float = 100) -> Locator:
        """Until an output shows *text*."""
        found = self.page.locator(OUTPUT).filter(has_text=text).first
        found.wait_for(timeout=timeout * 1000)
        return found

    def cell(self, number: int) -> Locator:
        """A cell; -1 is the last."""
        return self.page.locator(".jp-Notebook .jp-Cell").nth(number)

    def output(self, number: int) -> Locator:
        """The output area of a cell."""
        return self.cell(number).locator(OUTPUT)

    def shown(self, number: int) -> str:
        """What the outputs of a cell show, as text."""
        return self.output(number).inner_text()

    def type_into(self, number: int, source: str) -> None:
        """Give a cell another source."""
        self.page.evaluate(
            "([n, text]) => jupyterapp.shell.currentWidget.content.widgets[n].model.sharedModel.setSource(text)",
            [self._at(number), source],
        )

    def save(self) -> dict[str, Any]:
        """Save, and read what was written."""
        self.page.evaluate("() => jupyterapp.commands.execute('docmanager:save')")
        return json.loads(self.path.read_text(encoding="utf-8"))

    def reopen(self) -> None:
        """The saved notebook, closed and opened again; its kernel lives on."""
        self.page.evaluate(CLOSE)
        self.go()
        self._wait_drawn()

    def reload(self) -> None:
        """The saved notebook in a JupyterLab that is loaded anew; its kernel lives on."""
        self.page.goto(self.lab.address(self.path))
        self.page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
        self.page.wait_for_function(READY, timeout=60_000, polling=50)
        self._wait_drawn()

    def reopen_without_kernel(self, *, trusted: bool = True, fresh: bool = False) -> None:
        """The saved notebook, and no kernel; with *fresh*, in a JupyterLab that is loaded anew.

        With *trusted* off, as one who got the file from somebody else.
        """
        self.lab.end_kernels(self.path)
        saved = json.loads(self.path.read_text(encoding="utf-8"))
        saved["metadata"]["kernelspec"] = {"name": "gone", "display_name": "gone", "language": "python"}
        if not trusted:  # the server knows what it ran here by a signature of the whole content
            saved["cells"].append(
                {"cell_type": "markdown", "id": "theirs", "metadata": {}, "source": "Theirs."}
            )
        self.page.evaluate(CLOSE)
        self.path.write_text(json.dumps(saved), encoding="utf-8")
        if fresh:
            self.page.goto(self.lab.address(self.path))
        else:
            self._show()
        chosen = self.page.locator(".jp-Dialog")
        chosen.wait_for(timeout=60_000)
        chosen.locator("select").select_option(label="No Kernel")
        chosen.locator("button.jp-mod-accept").click()
        chosen.wait_for(state="detached")
        self._wait_drawn()

    def picture(self, file: str | Path, first: int = 0, last: int | None = None) -> Path:
        """A PNG of the cells from *first* to *last*, as they are when none is chosen."""
        self.page.set_viewport_size({"width": 1280, "height": 2400})  # what is scrolled away has no picture
        top = self.cell(first)
        top.scroll_into_view_if_needed()
        begin, end = top.bounding_box(), self.cell(first if last is None else last).bounding_box()
        assert begin is not None and end is not None
        clip = {"x": begin["x"], "y": begin["y"], "width": begin["width"]}
        clip["height"] = end["y"] + end["height"] - begin["y"]
        self.page.screenshot(path=file, clip=clip, style=UNCHOSEN)  # type: ignore[arg-type]
        self.page.set_viewport_size(SIZE)
        return Path(file)

    def strangers(self) -> list[str]:
        """Every address off this machine that the page asked for."""
        ours = {"", urlsplit(self.lab.url).netloc}
        return [asked for asked in self.requests if urlsplit(asked).netloc not in ours]

    def complaints(self, within: str = OUTPUT) -> list[str]:
        """What axe-core finds wrong in *within*: one line for each element."""
        self.page.evaluate(AXE.read_text(encoding="utf-8"))
        found = self.page.evaluate(
            "where => axe.run(where, {resultTypes: ['violations']}).then(r => r.violations)", within
        )
        return [f"{one['id']}: {node['html']}" for one in found for node in one["nodes"]]

    def close(self) -> None:
        """Leave the page, and end the kernel."""
        for what, kind, heard in self._heard:
            what.remove_listener(kind, heard)
        for page in self.page.context.pages:
            if page is not self.page:
                page.close()
        self.lab.leave(self.page)
        self.lab.end_kernels(self.path, wait=False)

    def _show(self) -> None:
        self.page.evaluate(OPEN, self.path.name)
        self.page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)

    def _wait_drawn(self) -> None:
        """What holds nothing to draw, an output that was cleared or is empty, is not waited for without an end."""
        with suppress(TooLate):
            self.page.wait_for_function(DRAWN, timeout=5_000, polling=50)

    def _start(self, command: str) -> None:
        self.page.evaluate(RUN, command)

    def _at(self, number: int) -> int:
        return number if number >= 0 else self.page.locator(".jp-Notebook .jp-Cell").count() + number

    @cached_property
    def _heard(self) -> list[tuple[Any, str, Callable[[Any], None]]]:
        """What is listened to: the page, and every window that it opens."""

        def asked(one: Any) -> None:
            self.requests.append(one.url)

        def opened(window: Page) -> None:
            window.on("websocket", asked)

        around = self.page.context
        return [
            (around, "request", asked), (around, "dialog", self._dismiss), (around, "page", opened),
            (self.page, "websocket", asked),
        ]  # fmt: skip

    def _dismiss(self, dialog: Any) -> None:
        if dialog.type != "beforeunload":
            self.dialogs.append(dialog.message)
        dialog.dismiss() if dialog.type != "beforeunload" else dialog.accept()


def code(source: str, number: int) -> dict[str, Any]:
    """A cell of code."""
    return {
        "cell_type": "code", "id": f"cell-{number}", "metadata": {}, "execution_count": None, "outputs": [],
        "source": source,
    }  # fmt: skip


def markdown(source: str, number: int) -> dict[str, Any]:
    """A cell of Markdown."""
    return {"cell_type": "markdown", "id": f"cell-{number}", "metadata": {}, "source": source}
