"""The chat, driven as the browser drives it: by its intents; and what goes over the wire."""

from __future__ import annotations

import base64
import json
import stat
import time
from io import BytesIO

import polars as pl
import pytest
from ipywidgets import Widget
from ipywidgets.widgets.widget import _instances
from PIL import Image as Picture

from qwennb.client import Chat
from qwennb.errors import BadInput
from qwennb.notebook.widgets import ChatPanel
from qwennb.notebook.widgets import panel as base
from qwennb.notebook.widgets.chat_attach import TypedQuestion, attach, value_named
from qwennb.simulator import Reply, ToolCall
from tests.conftest import until

CANARY = "sk-canary-91c0ffee21"
ran: list[str] = []


def weather(city: str) -> str:
    """The weather in a city."""
    ran.append(city)
    return f"sunny in {city}"


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


def answered(panel, kind: str = "send", **fields):
    """Ask by an intent, and give the turn that is drawn when the answer is there."""
    before = panel.turns[-1:]
    panel.act(kind, **fields)
    until(
        lambda: not panel.is_busy and not panel.asking and panel.turns[-1:] not in ([], before),
        "no answer came",
    )
    assert not panel.turns[-1]["ended"], panel.turns[-1]["ended"]
    return panel.turns[-1]


def waiting(panel, text: str) -> dict:
    """Ask, and give the call that waits for consent."""
    panel.act("send", text=text)
    until(lambda: panel.asking.get("waits"), "nothing was called")
    return panel.asking["waits"]


def words(nodes) -> str:
    return "".join(node if isinstance(node, str) else words(node[2]) for node in nodes)


def slow(words: int = 2000) -> Reply:
    pieces = [f"w{n} " for n in range(words)]
    return Reply("".join(pieces), chunks=pieces, chunk_delay=0.05)


def call(city: str, identity: str = "call_1") -> Reply:
    return Reply(None, tool_calls=[ToolCall("weather", {"city": city}, id=identity)])


def contents(sim) -> list[str]:
    return [str(message["content"]) for message in sim.ledger.asks()[-1].body["messages"]]


def png() -> bytes:
    drawn = BytesIO()
    Picture.new("RGB", (3, 3), "red").save(drawn, "PNG")
    return drawn.getvalue()


def test_a_turn_is_drawn_with_its_thought_its_footer_and_its_text_as_nodes(sim, panel):
    chat = panel()
    sim.script([Reply("It is **bold**.\n\n```python\nprint(1)\n```", reasoning="let me *think*")])
    turn = answered(chat, text="hello {{ there }}")
    assert turn["question"] == "hello {{ there }}" and "model" not in turn["ended"]
    assert ["strong", {}, ["bold"]] in turn["nodes"][0][2] and turn["nodes"][1] == [
        "pre",
        {"lang": "python"},
        ["print(1)"],
    ]
    assert words(turn["thought"]) == "let me think" and turn["thought_tokens"] > 0
    assert "$" in turn["footer"] and chat.summary.startswith("1 answer,")
    assert contents(sim) == ["hello {{ there }}"], "braces are what was typed, and nothing is evaluated"


def test_the_question_is_drawn_at_once_and_the_answer_while_it_comes(sim, panel):
    chat = panel()
    sim.script([slow()])
    began = time.monotonic()
    chat.act("send", text="a long story")
    assert time.monotonic() - began < 1, "the kernel is not waited for"
    until(lambda: chat.asking.get("question") == "a long story", "the question is not seen")
    until(lambda: "w3" in words(chat.tail.get("text", [])), "nothing came")
    assert chat.is_busy


def test_stop_is_at_once_and_what_was_stopped_is_no_part_of_the_conversation(sim, panel):
    chat = panel()
    sim.script([slow(), "whole"])
    chat.act("send", text="a long story")
    until(lambda: "w3" in words(chat.tail.get("text", [])), "nothing came")
    chat.act("stop")
    assert not chat.is_busy
    until(lambda: chat.turns and not chat.asking, "it was not drawn")
    [turn] = chat.turns
    assert turn["stopped"] and "w3" in words(turn["nodes"]) and "stopped: no part" in chat.record[1]
    answered(chat, text="next")
    assert contents(sim) == ["next"]


def test_a_second_question_waits_for_the_first_and_nothing_is_not_sent(sim, panel):
    chat = panel()
    sim.script([slow()])
    chat.act("send", text=" \n")
    assert "nothing to send" in chat.notice and not sim.ledger.asks()
    chat.act("send", text="one")
    chat.act("send", text="two")
    assert "still being answered" in chat.notice
    chat.act("again", number=5)
    assert "no such turn" in chat.notice
    chat.act("stop")


def test_editing_asking_again_and_branching_lose_nothing(sim, panel):
    chat = panel()
    sim.script(["A1", "A2", "B1", "C1"])
    answered(chat, text="one")
    answered(chat, text="two")
    answered(chat, "edit", number=0, text="one, edited")
    assert [turn["question"] for turn in chat.turns] == ["one, edited"] and contents(sim) == ["one, edited"]
    answered(chat, "again", number=0)
    assert words(chat.turns[0]["nodes"]) == "C1", "another draw, not the remembered answer"
    assert chat.branches == [2, 3] and "4 answers" in chat.summary
    chat.act("go_to", branch=0)
    until(lambda: [words(turn["nodes"]) for turn in chat.turns] == ["A1", "A2"], "the first branch is lost")
    chat.act("branch", number=1)
    answered(chat, text="from there")
    assert contents(sim)[:2] == ["one", "A1"] and chat.branches == [3, 4]
    chat.act("branch", number=0)
    until(lambda: chat.turns == [], "it did not start over")
    chat.act("go_to", branch=99)
    assert chat.branches[1] == 5


def test_a_failed_question_says_why_and_can_be_asked_again(sim, panel):
    chat = panel(timeout=1)
    sim.fault("401")
    chat.act("send", text="hello")
    until(lambda: chat.turns and not chat.asking, "it did not end")
    assert "key" in chat.turns[0]["ended"] and "**Failed:**" in chat.record[0]
    sim.reset()
    answered(chat, "again", number=0)
    assert not chat.turns[0]["ended"] and chat.branches == [0, 1]


def test_a_tool_runs_only_with_consent_and_a_refusal_is_not_remembered(sim, panel):
    chat = panel(tools=[weather])
    sim.script([call("Lima"), "refused", "allowed"])
    waits = waiting(chat, "how is it?")
    assert waits["call"] == "weather(city='Lima')" and not ran
    chat.act("allow", call=waits["id"] - 1)
    chat.act("allow", call=waits["id"] + 1)
    assert chat.asking["waits"] and not ran, "a consent that is for another call is for none"
    answered(chat, "deny", call=waits["id"])
    assert (
        not ran
        and "did not allow" in contents(sim)[-1]
        and chat.turns[0]["calls"][0]["said"] == "Not allowed:"
    )
    chat.act("branch", number=0)
    waits = waiting(chat, "how is it?")
    turn = answered(chat, "allow", call=waits["id"])
    assert ran == ["Lima"] and contents(sim)[-1] == "sunny in Lima"
    assert turn["calls"] == [{"said": "Allowed", "call": "weather(city='Lima')", "result": "sunny in Lima"}]


def test_what_would_not_be_seen_of_a_call_is_spelled_out(sim, panel):
    chat = panel(tools=[weather])
    sim.script([call("a\u202eb\u200bc"), "x"])
    assert waiting(chat, "how?")["call"] == r"weather(city='a\u202eb\u200bc')"
    chat.act("stop")


def test_always_here_is_for_one_function_and_ends_with_the_panel_and_its_kernel(sim, panel):
    def weather(city: str) -> str:
        """Another function of the same name."""
        return "rain"

    first = globals()["weather"]
    chat = panel(tools=[first], name="always")
    sim.script([call("Lima"), "1", call("Oslo", "call_2"), "2", call("Bonn", "call_3"), "3"])
    waits = waiting(chat, "a?")
    answered(chat, "allow", call=waits["id"], always=True)
    until(lambda: chat.tools[0]["always"], "it is not seen")
    answered(chat, text="b?")
    assert ran == ["Lima", "Oslo"] and chat.turns[1]["calls"][0]["said"] == "Allowed"
    other = panel(tools=[weather], name="always")
    assert len(other.turns) == 2 and waiting(other, "c?")
    other.act("stop")
    third = panel(tools=[first], name="always")
    third.act("ask_again", tool="weather")
    sim.script([call("Kiel", "call_4"), "4"])
    assert waiting(third, "d?")
    third.act("stop")


def test_stop_while_a_tool_waits_runs_nothing(sim, panel):
    chat = panel(tools=[weather])
    sim.script([call("Rome")])
    waits = waiting(chat, "and there?")
    chat.act("stop")
    chat.act("allow", call=waits["id"])
    assert not chat.is_busy and not ran


def test_switches_and_attachments_are_sent_once(sim, panel):
    chat = panel(system="Be short.")
    chat._attached = [attach("cities", pl.DataFrame({"city": ["Lima"]}))]
    chat.act("attach_file", name="p.png", buffers=[png()])
    chat.act("attach_file", name="q.png", buffers=[png()])
    chat.act("detach", number=2)
    until(lambda: chat.attached == ["cities (table)", "p.png (picture)"], "it is not seen")
    chat.act("choose", model="plus", thinking="off")
    chat.act("choose", thinking="nonsense")
    turn = answered(chat, text="which?")
    body = sim.ledger.asks()[-1].body
    assert "plus" in body["model"] and body["reasoning"] == {"enabled": False}
    assert body["messages"][0]["content"] == "Be short."
    assert (
        "which?\\n\\ncities:\\n" in contents(sim)[1]
        and "Lima" in contents(sim)[1]
        and "image_url" in contents(sim)[1]
    )
    assert turn["attached"] == ["cities (table)", "p.png (picture)"] and chat.attached == []
    state = json.dumps(Widget.get_manager_state(), default=str)
    assert CANARY not in state and base64.b64encode(png()).decode()[:40] not in state
    edited = answered(chat, "edit", number=0, text="and which else?")
    assert edited["attached"] == turn["attached"] and "image_url" in contents(sim)[1]


@pytest.mark.parametrize("name", ["cities.clear()", "os.system('x')", "__import__('os')", "", "a b"])
def test_only_a_name_is_looked_up(name):
    with pytest.raises(BadInput, match="not the name"):
        value_named(name, {"cities": 1})


def test_a_question_is_the_same_however_often_it_is_drawn():
    assert TypedQuestion("a").prompt == TypedQuestion("a", draw=3).prompt == ("a", {})


def test_it_is_saved_as_what_it_says(sim, panel, client, tmp_path):
    chat, qwen = panel(), client(sim, api_key=CANARY)
    sim.script(["an answer"])
    answered(chat, text="keep")
    chat.act("save", where=str(tmp_path / "chat.json"))
    assert [m.text for m in Chat.load(tmp_path / "chat.json", qwen).messages] == ["keep", "an answer"]
    chat.act("save", where=str(tmp_path / "chat.md"))
    chat.act("save", where=str(tmp_path / "chat.md"))  # its own file may be written again
    assert "an answer" in (tmp_path / "chat.md").read_text() and "Saved" in chat.notice
    (tmp_path / "mine.txt").write_text("precious")
    for where, told in (
        (str(tmp_path / "mine.txt"), "there already"),
        ("chat\0.json", "control characters"),
        (" ", "Give a name"),
    ):
        chat.act("save", where=where)
        assert told in chat.notice
    assert (tmp_path / "mine.txt").read_text() == "precious"
    again = panel(chat=Chat.load(tmp_path / "chat.json", qwen))
    assert "an answer" in again.record[0] and words(again.turns[0]["nodes"]) == "an answer"
    sim.script(["more"])
    answered(again, text="go on")
    assert contents(sim) == ["keep", "an answer", "go on"]


def test_what_can_be_no_chat_is_said_when_it_is_made(panel):
    with pytest.raises(BadInput, match="not both"):
        panel(chat=Chat(panel()._talk.client), system="x")
    with pytest.raises(BadInput):
        panel(temprature=1)


def test_a_closed_chat_leaves_no_model_behind(sim, client):
    before = set(_instances)
    ChatPanel(client(sim)).close()
    assert set(_instances) <= before


# ---------------------------------------------------------------------- made anew, and in the next kernel


def test_a_chat_made_anew_under_its_name_goes_on_where_it_was(sim, panel):
    first = panel(name="trip")
    sim.script(["A", "B", "C"])
    answered(first, text="one")
    answered(first, "again", number=0)
    second = panel(name="trip")
    assert second.branches == [1, 2] and words(second.turns[0]["nodes"]) == "B"
    answered(second, text="two")
    assert contents(sim) == ["one", "B", "two"]
    assert panel(name="trip", system="Be brief.").turns == [], "another system text is another conversation"


def journal(tmp_path) -> list:
    return list(tmp_path.rglob("panels/*.json"))


def test_the_next_kernel_goes_on_from_keys_alone_and_asks_nothing(sim, panel, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    chat = panel(name="kept", tools=[weather])
    sim.script([call("Lima"), "sunny, SECRETWORD", "A2", "B2"])
    chat._attached = [
        attach("cities", pl.DataFrame({"city": ["Lima"]})),
        attach("note", "a: b\n\ncities:\nx"),
    ]
    chat.act("attach_file", name="p.png", buffers=[png()])
    waits = waiting(chat, "how is it, SECRETWORD?\n\ncities:")
    answered(chat, "allow", call=waits["id"])
    answered(chat, text="two")
    answered(chat, "again", number=1)
    record, turns, asks = chat.record, chat.turns, len(sim.ledger.asks())
    chat.close()  # as in another kernel, nothing of it is left
    [file] = journal(tmp_path)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    written = file.read_text()
    assert all(word not in written for word in ("SECRETWORD", "sunny", "Lima", CANARY, "sk-"))
    base._PANELS.clear()
    after = panel(name="kept", tools=[weather])
    assert after.record == record and len(sim.ledger.asks()) == asks
    assert [{**turn, "id": ""} for turn in after.turns] == [{**turn, "id": ""} for turn in turns]
    assert after.branches == [1, 2] and ran == ["Lima"]
    after.act("go_to", branch=0)
    until(lambda: words(after.turns[1]["nodes"]) == "A2", "the other branch is lost")
    after.act("send", text="three")
    until(lambda: len(after.turns) == 3, "it did not end")
    assert "give the file itself" in after.turns[2]["ended"], "a journal has no pictures"


def test_a_chat_of_an_earlier_kernel_is_gone_on_with(sim, panel, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    chat = panel(name="going on", system="Be brief.")
    sim.script(["A1", "A2"])
    answered(chat, text="one")
    chat.close()
    base._PANELS.clear()
    after = panel(name="going on", system="Be brief.")
    answered(after, text="two")
    assert contents(sim) == ["Be brief.", "one", "A1", "two"]
    [file] = journal(tmp_path)
    until(lambda: len(json.loads(file.read_text())["branches"][0]) == 2, "it was not written")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        "nonsense",
        '{"version": 1, "branches": 5, "here": "x"}',
        '{"version": 1, "branches": [[{"keys": [["a", "b"]], "typed": 1, "attached": []}]], "here": 7}',
    ],
)
def test_a_journal_that_can_not_be_read_is_no_conversation(sim, panel, tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    chat = panel(name="broken")
    answered(chat, text="one")
    chat.close()
    [file] = journal(tmp_path)
    file.write_text(content)
    base._PANELS.clear()
    assert panel(name="broken").turns == []
