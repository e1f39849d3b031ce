"""A chat without a browser: what its controls do, and what goes over the wire."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
from ipywidgets import Widget
from ipywidgets.widgets.widget import _instances

from qwennb.client import Chat
from qwennb.errors import BadInput
from qwennb.notebook.widgets import ChatPanel
from qwennb.notebook.widgets.chat_attach import TypedQuestion, attach, value_named
from qwennb.request import ToolCall as Called
from qwennb.simulator import Reply, ToolCall
from tests.conftest import until

CANARY = "sk-canary-91c0ffee21"


def weather(city: str) -> str:
    """The weather in a city."""
    ran.append(city)
    return f"sunny in {city}"


ran: list[str] = []


@pytest.fixture
def sim(simulate):
    ran.clear()
    return simulate(api_key=CANARY)


@pytest.fixture
def panel(sim, client):
    made: list[ChatPanel] = []

    def make(**given):
        made.append(ChatPanel(client(sim, api_key=CANARY), **given))
        return made[-1]

    yield make
    for one in made:
        one.close()


def asked(panel, text: str):
    """Type *text* and Enter, and wait for the answer."""
    panel._controls._text.value = text + "\n"
    until(lambda: not panel.is_busy, "no answer came")
    panel._draw()
    return panel._talk.turns[-1]


def slow(words: int = 2000) -> Reply:
    pieces = [f"w{n} " for n in range(words)]
    return Reply("".join(pieces), chunks=pieces, chunk_delay=0.05)


def contents(sim) -> list[str]:
    return [str(message["content"]) for message in sim.ledger.asks()[-1].body["messages"]]


def test_enter_at_the_end_sends_and_every_other_break_is_a_break(sim, panel):
    chat = panel()
    text = chat._controls._text
    for typed in ("one", "one\ntwo", "pasted\nlines\nand a last\n"):
        text.value = typed
        assert text.value == typed and not sim.ledger.asks()
    text.value = ""
    text.value = "first\\\n"
    assert text.value == "first\n"
    text.value = "first\nsecond\n"
    until(lambda: not chat.is_busy, "no answer came")
    assert text.value == "" and contents(sim) == ["first\nsecond"]


def test_the_kernel_is_not_waited_for_and_stop_is_at_once(sim, panel):
    chat = panel()
    sim.script([slow(), "whole"])
    began = time.monotonic()
    chat._controls._text.value = "a long story\n"
    until(lambda: chat._talk.asking and "w3" in chat._talk.asking.text, "nothing came")
    assert chat.is_busy and chat._controls._go.disabled is False
    chat._controls._go.click()
    assert not chat.is_busy and time.monotonic() - began < 60
    [turn] = chat._talk.turns
    assert turn.ended == "stopped" and "w3" in turn.partial and turn.messages == ()
    asked(chat, "next")
    assert contents(sim) == ["next"], "what was stopped is no part of the conversation"


def test_a_second_question_waits_for_the_first(sim, panel):
    chat = panel()
    sim.script([slow()])
    chat._controls._text.value = "one\n"
    with pytest.raises(BadInput, match="still being answered"):
        chat.send("two")
    chat.stop()


def test_editing_and_asking_again_lose_nothing(sim, panel):
    chat = panel()
    sim.script(["A1", "A2", "B1", "C1"])
    asked(chat, "one")
    asked(chat, "two")
    chat.edit(0)
    assert chat._controls.text == "one"
    asked(chat, "one, edited")
    assert [t.question.text for t in chat._talk.turns] == ["one, edited"] and contents(sim) == ["one, edited"]
    chat.again(0)
    until(lambda: not chat.is_busy, "no answer came")
    assert [t.answers[0].text for t in chat._talk.turns] == ["C1"], "another draw, not the remembered answer"
    assert [[t.answers[0].text for t in turns] for turns in chat._talk.branches] == [
        ["A1", "A2"],
        ["B1"],
        ["C1"],
    ]
    every = [turn.answers[0] for turns in chat._talk.branches for turn in turns]
    assert f"4 answers, {sum(answer.usage.input for answer in every):,} tokens in" in chat._talk.summary
    chat.go_to(0)
    chat.branch(0)
    asked(chat, "from there")
    assert contents(sim)[:2] == ["one", "A1"]


def test_a_failed_question_says_why_and_can_be_asked_again(sim, panel):
    chat = panel(timeout=1)
    sim.fault("401")
    assert "401" in asked(chat, "hello").ended or "key" in chat._talk.turns[-1].ended
    sim.reset()
    chat.again(0)
    until(lambda: not chat.is_busy, "no answer came")
    assert chat._talk.turns[0].answers and len(chat._talk.branches) == 1


def test_a_tool_runs_only_with_consent_and_a_refusal_is_not_remembered(sim, panel):
    chat = panel(tools=[weather])
    call = Reply(None, tool_calls=[ToolCall("weather", {"city": "Lima"}, id="call_1")])
    sim.script([call, "refused", "allowed"])
    chat._controls._text.value = "how is it?\n"
    until(lambda: chat._talk.asking and chat._talk.asking.call, "nothing was called")
    chat._draw()
    assert "Lima" in chat._controls._call.value and not ran
    chat._talk.asking.consent(Called("call_0", "weather", '{"city": "Rome"}'), True)  # of an earlier call
    chat.consent(allowed=False)
    until(lambda: not chat.is_busy, "no answer came")
    assert not ran and "did not allow" in contents(sim)[-1]
    chat._talk.branch(0)
    chat._controls._text.value = "how is it?\n"
    until(lambda: chat._talk.asking and chat._talk.asking.call, "it was not asked again")
    chat._draw()
    chat.consent(allowed=True)
    until(lambda: not chat.is_busy, "no answer came")
    assert ran == ["Lima"] and contents(sim)[-1] == "sunny in Lima"


def test_stop_while_a_tool_waits_runs_nothing(sim, panel):
    chat = panel(tools=[weather])
    sim.script([Reply(None, tool_calls=[ToolCall("weather", {"city": "Rome"})])])
    chat._controls._text.value = "and there?\n"
    until(lambda: chat._talk.asking and chat._talk.asking.call, "nothing was called")
    asking = chat._talk.asking
    chat.stop()
    asking.consent(asking.call, allowed=True)
    assert not chat.is_busy and not ran


def test_braces_are_what_was_typed_and_nothing_is_evaluated(sim, panel):
    asked(panel(), "what is {{ __import__('os') }}?")
    assert contents(sim) == ["what is {{ __import__('os') }}?"]


def test_switches_and_attachments_are_sent(sim, panel):
    import polars as pl

    chat = panel(system="Be short.")
    chat._attached = [attach("cities", pl.DataFrame({"city": ["Lima"]}))]
    chat._controls._model.value = "plus"
    chat._controls._thinking.value = "off"
    asked(chat, "which?")
    body = sim.ledger.asks()[-1].body
    assert (
        "plus" in body["model"]
        and body["reasoning"] == {"enabled": False}
        and body["messages"][0]["content"] == "Be short."
    )
    assert "which?\n\ncities:\n" in contents(sim)[1] and "Lima" in contents(sim)[1]
    assert asked(chat, "and then?").question.attached == (), "what was sent is not attached to the next"


@pytest.mark.parametrize("name", ["cities.clear()", "os.system('x')", "__import__('os')", "", "a b"])
def test_only_a_name_is_looked_up(name):
    with pytest.raises(BadInput, match="not the name"):
        value_named(name, {"cities": 1})


def test_a_question_is_the_same_however_often_it_is_drawn():
    assert TypedQuestion("a").prompt == TypedQuestion("a", draw=3).prompt == ("a", {})


def test_it_is_saved_as_what_it_says(sim, panel, client, tmp_path):
    chat, qwen = panel(), client(sim, api_key=CANARY)
    sim.script(["an answer"])
    asked(chat, "keep")
    chat.save(str(tmp_path / "chat.json"))
    assert [m.text for m in Chat.load(tmp_path / "chat.json", qwen).messages] == [
        "keep",
        "an answer",
    ]
    chat.save(str(tmp_path / "chat.md"))
    assert "an answer" in (tmp_path / "chat.md").read_text()
    chat.save(str(tmp_path / "chat.md"))  # its own file may be written again
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(BadInput, match="there already"):
        chat.save(str(tmp_path / "mine.txt"))
    assert (tmp_path / "mine.txt").read_text() == "precious"
    with pytest.raises(BadInput, match="control characters"):
        chat.save("chat\0.json")
    again = panel(chat=Chat.load(tmp_path / "chat.json", qwen))
    assert "an answer" in again._exhibit._kept[0]
    sim.script(["more"])
    asked(again, "go on")
    assert contents(sim) == ["keep", "an answer", "go on"]


def test_no_widget_knows_the_key_or_the_bytes_of_a_picture(sim, panel):
    import base64
    import json
    from io import BytesIO

    from PIL import Image as Picture

    drawn = BytesIO()
    Picture.new("RGB", (3, 3), "red").save(drawn, "PNG")
    chat = panel()
    chat._controls._upload.value = (
        {
            "name": "p.png",
            "type": "image/png",
            "size": 1,
            "content": drawn.getvalue(),
            "last_modified": datetime.now(UTC),
        },
    )
    asked(chat, "hello")
    assert "image_url" in contents(sim)[-1]
    state = json.dumps(Widget.get_manager_state(), default=str)
    assert CANARY not in state and base64.b64encode(drawn.getvalue()).decode()[:40] not in state


def test_a_closed_chat_leaves_no_model_behind(sim, client):
    before = set(_instances)
    chat = ChatPanel(client(sim))
    chat.close()
    assert set(_instances) <= before


def test_a_button_that_can_do_nothing_says_why(panel):
    chat = panel()
    for press in (chat._controls._go.click, chat.insert):
        chat.tell(press)
        assert chat._controls._said.value
        chat._controls.say("")
