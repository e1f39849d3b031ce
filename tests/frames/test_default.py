"""`qwennb.use(…)`: what can't be meant is refused where it is given."""

from __future__ import annotations

import pytest

import qwennb
from qwennb.errors import BadInput, UnknownEndpoint
from qwennb.frames import forget_default
from qwennb.testing import scripted


@pytest.fixture(autouse=True)
def fresh():
    forget_default()
    yield
    forget_default()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("simulator", r'^use\("simulator"\) is no client\. Type: use\(endpoint="simulator"\)$'),
        ("dashscope-intl", r'use\(endpoint="dashscope-intl"\)'),
        ("https://host/v1", r'use\(endpoint="https://host/v1"\)'),
        ("plus", r'use\(model="plus"\)'),
        ("qwen3.5-9b", r'use\(model="qwen3.5-9b"\)'),
        ("nonsense", r'use\(model="nonsense"\) or use\(endpoint="nonsense"\)'),
        ({"model": "plus"}, r"use\(\{'model': 'plus'\}\) is no client.*use\(\*\*"),
        (5, r"use\(5\) is no client"),
        (qwennb.Qwen, r"is no client.*Qwen\(\)"),
    ],
)
def test_what_is_no_client_is_refused_with_what_to_type(given, told):
    with pytest.raises(BadInput, match=told):
        qwennb.use(given)


@pytest.mark.parametrize(
    ("settings", "kind", "told"),
    [
        (
            {"endpoint": "simulater"},
            UnknownEndpoint,
            r"There is no endpoint `simulater`; did you mean `simulator`",
        ),
        ({"endpoint": "ftp://host/v1"}, UnknownEndpoint, "base URL"),
        ({"endpoint": ""}, BadInput, "endpoint"),
        ({"endpoint": 5}, BadInput, "must be text"),
        ({"model": ""}, BadInput, "model"),
        ({"cache": "reply"}, BadInput, "not a mode"),
        ({"budget": "much"}, BadInput, "not a number"),
        ({"endpont": "vllm"}, BadInput, "endpont"),
        ({"temprature": 1}, BadInput, "temprature"),
    ],
)
def test_settings_that_can_not_be_meant_are_refused_at_once(settings, kind, told):
    with pytest.raises(kind, match=told):
        qwennb.use(**settings)


def test_nothing_is_changed_by_what_is_refused():
    client = qwennb.use(scripted("yes"))
    with pytest.raises(BadInput):
        qwennb.use("simulator")
    from qwennb.frames.default import default_client

    assert default_client() is client


def test_what_can_be_meant_is_taken_and_nothing_is_asked():
    for settings in (
        {"endpoint": "vllm"},
        {"endpoint": "openai+http://127.0.0.1:9/v1"},
        {"model": "plus"},
        {},
    ):
        assert isinstance(qwennb.use(**settings), qwennb.Qwen)
    assert qwennb.use(None) is not None
