"""What the tests of this room share."""

import time
from contextlib import contextmanager

import pytest


@pytest.fixture
def seconds():
    """`with seconds(1.0):` what stands inside takes at most so much of the processor's time."""

    @contextmanager
    def at_most(limit):
        began = time.process_time()
        yield
        assert time.process_time() - began <= limit

    return at_most
