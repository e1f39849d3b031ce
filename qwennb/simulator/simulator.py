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

__all__ = ["Simulator", "is_simulated", "serve_forever"]

LOOPBACK = {"127.0.0.1": "127.0.0.1", "localhost": "127.0.0.1", "::1": "[::1]"}
_running: set[str] = set()  # where this process's simulators listen


class Simulator:
    """An endpoint that behaves like the real one of its dialect, slowly and badly on demand.

    It listens on this machine only, and without a script its answers are no model's: they depend on the seed and the question
    alone. Use it with `with`, or `start()` and `stop()` it.

    Parameters
    ----------
    dialect : str
        Whose wire format: "openrouter", "dashscope", "vllm", "sglang", "mlx-vlm", "llama.cpp", "ollama" or "lmstudio".
    seed : int, optional
        Another seed, other answers.
    api_key : str, optional
        The only key that is taken; any without it.
    models : iterable of str or SimModel, optional
        The models that it serves; the dialect's own without it.
    script : iterable or callable, optional
        Replies used in order (a text, a `Reply`, a `Fault`, None to invent one), or a function of the question.
    faults : iterable of Fault, optional
        What is to go wrong.
    quota : Quota, optional
        How fast it may be asked.
    latency, token_latency : float, optional
        Seconds before an answer begins, and for each token of a stream.
    options : Options, optional
        How this server was started.
    host, port : str, int, optional
        Where it listens: 127.0.0.1, at any free port.
    clock : callable, optional
        What it takes for the time.

    Attributes
    ----------
    base_url : str
        What a client is given.
    root_url, port : str, int
        Where its side routes are, and where it listens.
    ledger : RequestLog
        What it has seen and delivered.
    dialect : str
        Whose wire format it speaks.

    Raises
    ------
    ConfigError
        If there is no such dialect, or it can't listen there.

    Examples
    --------
    >>> from qwennb.simulator import Simulator
    >>> with Simulator("openrouter", script=["It rains.", "It still rains."]) as sim:
    ...     qwen = Qwen(endpoint=f"openrouter+{sim.base_url}", api_key="sk-any")
    ...     [qwen.ask(question).text for question in ("How is it?", "And now?", "How is it?")]
    ['It rains.', 'It still rains.', 'It rains.']
    >>> sim.ledger.count("paid")
    2
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
            raise ConfigError(
                f"There is no dialect {dialect!r}{nearest(dialect, DIALECTS) or '.'} Known: {known}."
            )
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
        """Listen; it returns once connections are taken.

        Returns
        -------
        Simulator
            Itself.

        Raises
        ------
        ConfigError
            If it is running already, or can't listen there.

        Examples
        --------
        >>> from qwennb.simulator import Simulator
        >>> sim = Simulator("vllm").start()
        >>> sim.base_url
        'http://127.0.0.1:.../v1'
        >>> sim.stop()
        """
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
        _running.add(self.root_url)
        return self

    def stop(self) -> None:
        """Drop every connection, and wait until its thread has ended.

        Examples
        --------
        >>> from qwennb.simulator import Simulator
        >>> sim = Simulator("vllm").start()
        >>> sim.stop()
        """
        if self._thread is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()
            self._thread = None
            _running.discard(self.root_url)

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
        """Set another script, from the next question on.

        Parameters
        ----------
        script : iterable or callable or None
            Replies used in order, a function of the question, or None: answers are invented.

        Examples
        --------
        >>> from qwennb.simulator import Simulator
        >>> with Simulator("vllm") as sim:
        ...     sim.script(lambda asked: f"You said: {asked.text}")
        ...     Qwen(endpoint=f"vllm+{sim.base_url}").ask("Hello").text
        'You said: Hello'
        """
        reader = ScriptReader(script)
        self._do(lambda: setattr(self._service, "script", reader))

    def fault(self, *faults: Fault | str, **when: Any) -> None:
        """Lay faults in wait, behind those that are there.

        Parameters
        ----------
        *faults : Fault or str
            What is to go wrong; a name alone makes a `Fault` of it.
        **when
            For names: when it strikes, as `Fault` takes it.

        Raises
        ------
        ConfigError
            If there is no fault of that name.

        Examples
        --------
        >>> from qwennb.simulator import Simulator
        >>> with Simulator("vllm", script=["It rains."] * 2) as sim:
        ...     sim.fault("503", times=1)
        ...     answer = Qwen(endpoint=f"vllm+{sim.base_url}").ask("How is it?")
        >>> answer.text, answer.attempts
        ('It rains.', 2)
        """
        made = [Fault(fault, **when) if isinstance(fault, str) else fault for fault in faults]
        for one in made:
            self._do(lambda one=one: self._service.plan.add(one))  # type: ignore[misc]

    def quota(self, quota: Quota) -> None:
        """Set another quota, from now on.

        Parameters
        ----------
        quota : Quota
            How fast it may be asked.

        Examples
        --------
        >>> from qwennb.simulator import Quota, Simulator
        >>> with Simulator("vllm") as sim:
        ...     sim.quota(Quota(slots=1))
        """
        self._do(lambda: self._meter.set(quota))

    def pace(self, latency: float = 0.0, token_latency: float = 0.0) -> None:
        """Set another latency, from the next question on.

        Parameters
        ----------
        latency : float
            Seconds before an answer begins.
        token_latency : float
            Seconds for each token of a stream.

        Examples
        --------
        >>> from qwennb.simulator import Simulator
        >>> with Simulator("vllm") as sim:
        ...     sim.pace(latency=0.05)
        """
        self._do(lambda: setattr(self._service, "pace", Pace(latency, token_latency)))

    def reset(self) -> None:
        """Make it as it was at the start: the first script, faults and quota, and an empty ledger.

        Examples
        --------
        >>> from qwennb.simulator import Simulator
        >>> with Simulator("vllm") as sim:
        ...     answer = Qwen(endpoint=f"vllm+{sim.base_url}").ask("Hello")
        ...     sim.reset()
        ...     sim.ledger.count("asked")
        0
        """
        self._do(self._prepare)
        self.ledger.clear()


def is_simulated(url: str) -> bool:
    """Tell whether a simulator of this process listens at *url*."""
    return any(url.startswith(f"{root}/") for root in _running)


def serve_forever(dialect: str, *, announce: Callable[[str], None], **settings: Any) -> None:
    """Serve until interrupted. *announce* is told the base URL once it listens; *settings* are the Simulator's."""
    try:
        with Simulator(dialect, **settings) as simulator:
            announce(simulator.base_url)
            threading.Event().wait()
    except KeyboardInterrupt:
        return
