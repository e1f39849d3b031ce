"""A moulded request is the request that would be made by hand, key and all."""

from __future__ import annotations

import pytest

from qwennb.frames.request_template import RequestTemplate
from qwennb.request import Message, Request, Schema, Settings, Text

TEXTS = ["plain", 'quotes " and \\ and \u2028', "ünïcödé 😀", "{{ x }}", "line\nbreak", "\x00\x1f", "1"]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize(
    ("system", "form"),
    [
        (None, {}),
        ("Be brief.", {"settings": Settings.of(temperature=0.0, thinking=False)}),
        (None, {"choices": ("a", "b")}),
        ("x", {"schema": Schema.of("name, age int")}),
    ],
)
def test_a_key_is_the_requests_own(text, system, form):
    before = (Message("system", (Text(system),)),) if system else ()
    byhand = Request("m", (*before, Message("user", (Text(text),))), **form)
    request_template = RequestTemplate("m", system, **form)
    assert request_template.key(text) == byhand.key == request_template.request(text).key
    assert request_template.request(text, key=request_template.key(text)) == byhand
