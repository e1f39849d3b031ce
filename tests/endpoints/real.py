"""A client of a real llama.cpp with the real local model, for the tests marked `real`."""

import os

import pytest

from qwennb import Qwen
from qwennb.config import default_cache_dir
from qwennb.endpoints.local import LocalServer, find, is_installed
from qwennb.errors import UnknownModel


@pytest.fixture(scope="session")
def real_llama_cpp(tmp_path_factory):
    """A client with its cache off; skipped with the reason where the model has not been fetched."""
    if not is_installed():
        pytest.skip("llama.cpp is not installed")
    try:
        model = find(cache_dir=default_cache_dir(os.environ))
    except UnknownModel as missing:
        pytest.skip(str(missing))
    server = LocalServer(model)
    try:
        yield Qwen(
            endpoint=f"llama.cpp+{server.start()}",
            api_key=server.key.reveal(),
            cache="off",
            cache_dir=tmp_path_factory.mktemp("real"),
            timeout=120.0,
        )
    finally:
        server.close()
