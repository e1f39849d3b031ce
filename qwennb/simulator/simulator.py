"""The simulator as a thing to start and stop: a thread of its own with a loop of its own, on the loopback only."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self

from qwennb.errors import ConfigError, nearest

from .connection import Connection
from .dialects import DIALECTS
from .faults import Fault, FaultPlan
from .models import SimModel, models_of
from .options import Options
from .quota import Meter, Quota
from .replies import Script, ScriptReader
from .request_log import RequestLog
from .service import Pace, Service

__all__ = ["Simulator", "serve_forever"]

LOOPBACK = {"127.0.0.1": "127.0.0.1", "localhost": "127.0.0.1", "::1": "[::1]"}


class Simulator:
    """An endpoint that behaves like the real one of its dialect, slowly and badly on demand.

    with Simulator("dashscope", api_key="sk-sim") as sim:
        ... ask sim.base_url ...
        assert sim.ledger.count("paid") == 1
    """

    def __init__(
        self,
        dialect: str,
        *,
        seed: int = 0,
        api_key: str | None = None,
        models: Iterable[str | SimModel] | None = None,
        script: Script | None = None,
        faults: Iterable[Fault] = (),
        quota: Quota | None = None,
        latency: float = 0.0,
        token_latency: float = 0.0,
        options: Options | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if dialect not in DIALECTS:
            known = ", ".join(DIALECTS)
            raise ConfigError(f"There is no dialect {dialect!r}{nearest(dialect, DIALECTS)}. Known: {known}.")
        if host not in LOOPBACK:
            raise ConfigError(
                f"The simulator serves this machine only, not {host!r}. Leave host out, or say 127.0.0.1."
            )
        self.dialect = dialect
        self.ledger = RequestLog()
        self._models = models_of(dialect, models)
        self._options = options or Options()
        self._seed, self._key, self._clock = seed, api_key, clock
        self._pace = Pace(latency, token_latency)
        self._first_script = script if callable(script) or script is None else list(script)
        self._first_faults = list(faults)
        self._first_quota = quota or Quota()
        self._host, self._port = host, port
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop
        self._meter: Meter
        self._service: Service
        self._stop: asyncio.Event

    # Started and stopped.

    def start(self) -> Self:
        """Listen; returns once connections are taken."""
        if self._thread is not None:
            raise ConfigError("This simulator is running already. Make another one.")
        ready: list[BaseException | int] = []
        up = threading.Event()

        def run() -> None:
            try:
                asyncio.run(self._serve(ready, up))
            except BaseException as error:  # told to the thread that waits
                ready.append(error)
            finally:
                up.set()

        self._thread = threading.Thread(target=run, name=f"simulator-{self.dialect}", daemon=True)
        self._thread.start()
        up.wait()
        if isinstance(ready[0], BaseException):
            self._thread.join()
            self._thread = None
            raise ConfigError(
                f"The simulator can't listen on {self._host}:{self._port}: {ready[0]}."
            ) from ready[0]
        self._port = ready[0]
        return self

    def stop(self) -> None:
        """Drop every connection and wait until the thread has ended."""
        if self._thread is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()
            self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def _serve(self, ready: list[BaseException | int], up: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._prepare()
        alive: set[Connection] = set()
        server = await self._loop.create_server(
            lambda: Connection(lambda exchange: self._service.answer(exchange), alive),
            self._host,
            self._port,
            backlog=4096,
        )
        ready.append(server.sockets[0].getsockname()[1])
        up.set()
        try:
            await self._stop.wait()
        finally:
            server.close()
            for connection in list(alive):
                await connection.stop()
            await server.wait_closed()

    def _prepare(self) -> None:
        self._meter = Meter(self._first_quota, self._loop.time)
        self._service = Service(
            DIALECTS[self.dialect](self._models, self._options, self._clock),
            seed=self._seed,
            api_key=self._key,
            options=self._options,
            ledger=self.ledger,
            meter=self._meter,
            pace=self._pace,
            clock=self._clock,
        )
        self._service.script = ScriptReader(self._first_script)
        self._service.plan = FaultPlan(list(self._first_faults))

    # Where it is.

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._port

    @property
    def root_url(self) -> str:
        """Where the side routes are."""
        return f"http://{LOOPBACK[self._host]}:{self._port}"

    @property
    def base_url(self) -> str:
        """What a client is given."""
        return self.root_url + DIALECTS[self.dialect].base

    # Changed while it runs.

    def _do(self, change: Callable[[], Any]) -> None:
        """Make a change on the serving thread, between two questions."""
        done = threading.Event()

        def act() -> None:
            try:
                change()
            finally:
                done.set()

        self._loop.call_soon_threadsafe(act)
        done.wait()

    def script(self, script: Script | None) -> None:
        """Another script from the next question on: replies used in order, or a function of the question."""
        reader = ScriptReader(script)
        self._do(lambda: setattr(self._service, "script", reader))

    def fault(self, *faults: Fault | str, **when: Any) -> None:
        """Lay faults in wait, behind those already there. A name alone makes one: `sim.fault("reset", times=1)`."""
        made = [Fault(fault, **when) if isinstance(fault, str) else fault for fault in faults]
        for one in made:
            self._do(lambda one=one: self._service.plan.add(one))  # type: ignore[misc]

    def quota(self, quota: Quota) -> None:
        """Another quota from now on."""
        self._do(lambda: self._meter.set(quota))

    def pace(self, latency: float = 0.0, token_latency: float = 0.0) -> None:
        """Another latency from the next question on."""
        self._do(lambda: setattr(self._service, "pace", Pace(latency, token_latency)))

    def reset(self) -> None:
        """As it was at the start: the first script, faults and quota, an empty ledger."""
        self._do(self._prepare)
        self.ledger.clear()


def serve_forever(dialect: str, *, announce: Callable[[str], None], **settings: Any) -> None:
    """Serve until interrupted. *announce* is told the base URL once it listens; *settings* are the Simulator's."""
    try:
        with Simulator(dialect, **settings) as simulator:
            announce(simulator.base_url)
            threading.Event().wait()
    except KeyboardInterrupt:
        return
