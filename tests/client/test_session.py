"""The inner door: what chats, cells, columns and panels ask through."""

from __future__ import annotations

import sqlite3

import pytest

from qwennb.client import Options, Runtime, Session, runtime, turns_of
from qwennb.errors import CacheError, QwenWarning
from qwennb.testing import Scripted, scripted

CALL = {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": '{"city":"Ulm"}'}}
CALLS = {"content": None, "tool_calls": [CALL]}


def look_up(city: str) -> str:
    """The river of a city."""
    return {"Ulm": "Danube"}.get(city, "none")


def test_whoever_drives_a_tool_loop_asks_each_step_and_hears_of_what_came():
    session, options = scripted(CALLS, "It is the Danube.").session, Options(tools=[look_up])
    asked, heard = [], []

    def ask(request):
        asked.append(request)
        return session.answer(request, options)

    def note(answers):
        heard.append([(answer.text, answer.tool_results) for answer in answers])

    request = session.build_request("Which river?", {}, options)
    answers = session.run_tools(request, options, ask=ask, approve=lambda _: True, note=note)
    called, ran, end = ("", None), ("", ("Danube",)), ("It is the Danube.", None)
    assert heard == [[called], [ran], [ran, end]]
    assert [message.role for message in turns_of(answers)] == ["assistant", "tool", "assistant"]
    assert asked[0] == request and asked[1].messages[1:] == turns_of(answers)[:2]


def test_sessions_share_what_their_runtime_holds_and_nothing_else(tmp_path):
    settings = {"endpoint": "openrouter", "api_key": "scripted", "cache": "on"}
    scripts = Scripted("one", "again"), Scripted("two")
    runtimes = [Runtime({}, transport=script, bridge=runtime().bridge) for script in scripts]
    first, twin, other = (
        Session({**settings, "cache_dir": tmp_path / str(runtimes.index(one))}, lambda one=one: one)
        for one in (runtimes[0], runtimes[0], runtimes[1])
    )
    answers = [s.answer(s.build_request("Why?", {}, Options()), Options()) for s in (first, twin, other)]
    assert [(answer.text, answer.cached) for answer in answers] == [
        ("one", False),
        ("one", True),
        ("two", False),
    ]
    assert first.memory is twin.memory and first.memory is not other.memory


def test_what_a_session_was_told_to_warn_of_is_told_once(recwarn):
    session = scripted("fine").session
    session.warn("The sky falls.")
    session.emit_warnings()
    session.emit_warnings()
    assert [str(one.message) for one in recwarn if one.category is QwenWarning] == ["The sky falls."]


@pytest.mark.parametrize("mode", ["on", "replay", "off", "refresh"])
def test_an_error_keeps_its_cause(simulate, client, tmp_path, mode):
    folder = tmp_path / "cache"
    folder.mkdir(mode=0o700)
    (folder / "cache.db").write_bytes(b"no database, but long enough to be looked at" * 100)
    (folder / "cache.db").chmod(0o600)
    with pytest.raises(CacheError) as raised:
        client(simulate(), cache_dir=folder, cache=mode, model="flash").ask("Why?")
    assert isinstance(raised.value.__cause__, sqlite3.DatabaseError)
