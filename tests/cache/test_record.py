"""What a column wants of a record, and what it says where there is none of that."""

from __future__ import annotations

import pytest

from qwennb.cache import read_brief

ANSWER = b'"text": "yes", "endpoint": "vllm:m", "attempts": 1, "finish_reason": "stop", "usage": {%s}'


def record(usage=b"", more=b""):
    return b'{"request": {"model": "m"}, "answer": {' + ANSWER % usage + more + b"}}"


def test_what_a_record_leaves_out_is_nothing():
    made = read_brief(record())
    assert (made.text, made.usage.input, made.usage.output, made.cost) == ("yes", 0, 0, None)


def test_what_a_later_version_adds_is_left_alone():
    made = read_brief(
        record(b'"input": 3, "output": 4, "thought": 1', b', "cost": [0.5, "table"], "mood": {"good": []}')
    )
    assert (made.usage.input, made.usage.output, made.cost) == (3, 4, (0.5, "table"))


@pytest.mark.parametrize(
    "value", [b"", b"{", b"[]", b'{"answer": null}', record(b'"input": "many"'), b"\xff"]
)
def test_what_is_no_record_is_a_value_error(value):
    with pytest.raises(ValueError):
        read_brief(value)
