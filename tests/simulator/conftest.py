import pytest

from qwennb.simulator import DIALECTS, Simulator

from .wire import KEY


@pytest.fixture(params=list(DIALECTS))
def each(request):
    """A simulator of each dialect in turn."""
    with Simulator(request.param, api_key=KEY) as sim:
        yield sim


@pytest.fixture
def start():
    """Start simulators that are stopped at the end."""
    running = []

    def run(dialect, **settings):
        sim = Simulator(dialect, **({"api_key": KEY} | settings)).start()
        running.append(sim)
        return sim

    yield run
    for sim in running:
        sim.stop()
