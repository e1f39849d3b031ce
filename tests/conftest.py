"""What every test may use: a folder of its own, clients in it, and no key or proxy from outside."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from hypothesis import settings

from qwennb import Qwen
from qwennb.client import runtime
from qwennb.simulator import Simulator

# Who starts a run in the background may have switched interrupts off, for us and for every child of ours.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes is the machine's affair, not the code's.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")

# A developer's keys and settings must decide nothing here. Set before anything reads them.
for _name in list(os.environ):
    if _name.startswith("QWENNB_") and not _name.startswith("QWENNB_TEST_"):
        del os.environ[_name]
for _name in ("DASHSCOPE_API_KEY", "OPENROUTER_API_KEY", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
    os.environ.pop(_name, None)

# The name under which the client speaks each of the simulator's dialects.
NAMES = {
    "openrouter": "openrouter", "dashscope": "dashscope-intl", "vllm": "vllm", "sglang": "sglang",
    "mlx-vlm": "mlx-vlm", "llama.cpp": "llama.cpp", "ollama": "ollama", "lmstudio": "lmstudio",
}  # fmt: skip


def group_of(file: str) -> str:
    """What runs on one worker: a file, whose kernels and servers start once; of the browser, all files."""
    return "tests/browser" if file.startswith("tests/browser/") else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Give each worker a group at a time, in our order: xdist's own marks for groups go unheard with this pytest."""
    from xdist.scheduler import LoadScopeScheduling

    class ByGroup(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid.partition("::")[0])

    config.option.loadscopereorder = False
    return ByGroup(config, log)


def pytest_collection_modifyitems(items):
    """Begin with the files that have the most slow tests, so that no worker is left alone with a long one at the end."""
    group = {item: group_of(item.nodeid.partition("::")[0]) for item in items}
    slow: Counter[tuple[str, str]] = Counter()
    for item in items:
        if item.get_closest_marker("slow") is not None:
            slow[group[item], item.function.__name__] += 1
    first = Counter({"tests/browser": 1_000})  # its own conftest says later than this that all of it is slow
    for (name, _), times in slow.items():
        first[name] += min(times, 15)  # of very many rows, a fixture that all of them share is what is slow
    items.sort(key=lambda item: -first[group[item]])


def until(condition: Callable[[], object], what: str, seconds: float = 60) -> None:
    """Return once *condition* holds. That it does not is told as *what*: a test that waits says for what."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.01)


@pytest.fixture(autouse=True)
def no_pack_stays_loaded() -> Iterator[None]:
    """A pack that is loaded says for the whole process what model a question means."""
    yield
    runtime().packs.forget()


@pytest.fixture
def simulate() -> Iterator[Callable[..., Simulator]]:
    """Start simulators that are stopped when the test is over."""
    started: list[Simulator] = []

    def start(dialect: str = "openrouter", **settings: object) -> Simulator:
        settings.setdefault("api_key", "sk-sim" if dialect in ("openrouter", "dashscope") else None)
        started.append(Simulator(dialect, **settings).start())
        return started[-1]

    yield start
    for simulator in started:
        simulator.stop()


@pytest.fixture
def client(tmp_path) -> Callable[..., Qwen]:
    """Make clients of a simulator, with a cache folder that belongs to the test."""

    def make(simulator: Simulator, **settings: object) -> Qwen:
        settings.setdefault("cache_dir", tmp_path / "cache")
        settings.setdefault("api_key", "sk-sim")
        return Qwen(endpoint=f"{NAMES[simulator.dialect]}+{simulator.base_url}", **settings)

    return make
