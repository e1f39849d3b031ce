"""The kit for tests of one's own code: it refuses the network, replays packs, and speaks from a script."""

from __future__ import annotations

import gc
import os
import socket
import urllib.request

import polars as pl
import pytest

from qwennb import Pack, Qwen
from qwennb.client import runtime
from qwennb.errors import NotRecorded, RateLimited
from qwennb.testing import Scripted, ScriptedQwen, no_network, replaying, scripted


def test_inside_no_network_nobody_connects_or_looks_up_a_name():
    server = socket.create_server(("127.0.0.1", 0))
    with no_network() as tried:
        for attempt in (
            lambda: socket.socket().connect(server.getsockname()),
            lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", server.getsockname()),
            lambda: socket.getaddrinfo("example.org", 80),
            lambda: urllib.request.urlopen("http://127.0.0.1:9/", timeout=5),
            lambda: socket.create_server(("127.0.0.1", 0)),
        ):
            with pytest.raises(OSError, match="refused"):
                attempt()
        assert len(tried) == 5 and tried[0].startswith("connect ")
        one, other = socket.socketpair()  # a loop needs a pair of its own
        one.close(), other.close()
        assert len(tried) == 5
    socket.create_connection(server.getsockname(), timeout=5).close()
    assert len(tried) == 5
    server.close()


def test_no_network_may_stand_within_another():
    with no_network() as outer:
        with no_network() as inner, pytest.raises(OSError):
            socket.getaddrinfo("example.org", 80)
        with pytest.raises(OSError):
            socket.getaddrinfo("example.org", 80)
    assert (len(outer), len(inner)) == (2, 1)


def test_a_script_is_spoken_line_by_line_and_its_last_line_for_good():
    qwen = scripted("one", "two")
    with no_network() as tried:
        assert [str(qwen.ask(question)) for question in ("a", "b", "c", "a")] == ["one", "two", "two", "one"]
        assert "".join(piece.text for piece in qwen.stream("d")) == "two"
    assert len(qwen.script.bodies) == 4  # the second "a" came from the memory
    assert tried == []


def test_a_script_may_answer_by_the_prompt_in_columns_too():
    qwen = scripted(says=lambda prompt: "praise" if "good" in prompt else "complaint")
    frame = pl.DataFrame({"review": ["good soup", "cold soup"]})
    made = frame.qwen.classify("review", ["praise", "complaint"], client=qwen)
    assert made["label"].to_list() == ["praise", "complaint"]


def test_a_script_may_call_tools_and_raise_errors():
    call = {"id": "1", "type": "function", "function": {"name": "add", "arguments": '{"a":1,"b":2}'}}

    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    qwen = scripted({"content": "", "tool_calls": [call]}, "It is three.")
    assert str(qwen.ask("1 + 2?", tools=[add])) == "It is three."
    assert qwen.script.bodies[1]["messages"][-1]["content"] == "3"
    with pytest.raises(RateLimited):
        scripted(RateLimited("Too fast.", transient=False)).ask("x")


def test_two_scripts_share_nothing():
    one, other = scripted("one"), scripted("other")
    assert (str(one.ask("x")), str(other.ask("x"))) == ("one", "other")
    assert isinstance(one, ScriptedQwen) and isinstance(one.script, Scripted)
    assert one.session.config.cache_dir != other.session.config.cache_dir


def test_inside_replaying_every_client_recalls_from_the_pack(tmp_path):
    scripted_one = scripted("recorded")
    answer = scripted_one.ask("Why?", temperature=0.5)
    Pack.of([answer]).write(tmp_path / "a.qwenpack")
    before = dict(os.environ)
    with replaying(tmp_path / "a.qwenpack") as qwen:
        assert qwen.ask("Why?", temperature=0.5) == answer
        assert Qwen(cache="on", endpoint="dashscope").ask("Why?", temperature=0.5) == answer
        frame = pl.DataFrame({"q": ["Why?"]})
        assert frame.qwen.ask("{{ q }}", temperature=0.5)["answer"].to_list() == ["recorded"]
        with pytest.raises(NotRecorded):
            qwen.ask("How?")
        with pytest.raises(OSError):
            socket.getaddrinfo("example.org", 80)
    assert dict(os.environ) == before and not runtime().packs


def test_replaying_is_over_after_an_error_too(tmp_path):
    before = dict(os.environ)
    with pytest.raises(NotRecorded), replaying() as qwen:
        qwen.ask("Why?")
    assert dict(os.environ) == before
    with pytest.raises(ValueError, match="no pack"), replaying(tmp_path / "none.qwenpack"):
        pass
    assert dict(os.environ) == before


@pytest.mark.filterwarnings("error::qwennb.errors.CacheWarning")
def test_the_folder_of_a_scripted_client_lasts_as_long_as_what_it_gave():
    assert scripted("x").stream("q").answer.text == "x"
    chat = scripted("x").chat()
    gc.collect()
    assert chat.ask("q").text == "x"
    body = {"model": "qwen3.5-plus", "messages": [{"role": "user", "content": "q"}]}
    assert scripted("x").openai.chat.completions.create(**body).choices[0].message.content == "x"
