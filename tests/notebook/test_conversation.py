"""Chats and tools in cells."""

from __future__ import annotations

import pytest

from qwennb.simulator import Reply, ToolCall
from tests.notebook.conftest import body


def said(sim) -> list[str]:
    return [m["content"] for m in body(sim)["messages"] if m["role"] == "user"]


@pytest.mark.slow
def test_cells_are_independent_unless_told_otherwise(kernel, sim, script):
    script("a", "b")
    kernel.run("%qwen first alone")
    kernel.run("%qwen second alone")
    assert said(sim) == ["second alone"]


def test_a_cell_that_is_run_again_replaces_its_turn_and_what_followed(kernel, sim, script):
    script("one", "two", "three", "four")
    kernel.run("%qwen --chat trip where to", cell="c1")
    kernel.run("%qwen --chat trip and then", cell="c2")
    assert said(sim) == ["where to", "and then"]
    kernel.run("%qwen --chat trip from where", cell="c1")
    assert said(sim) == ["from where"]
    kernel.run("%qwen --chat trip at last", cell="c3")
    assert said(sim) == ["from where", "at last"]


def test_going_through_a_chat_again_is_free(kernel, sim, script):
    script("one", "two")
    for _ in range(2):
        kernel.run("%qwen --chat free q1", cell="f1")
        kernel.run("%qwen --chat free q2", cell="f2")
    assert sim.ledger.count("asked") == 2


def test_a_stored_chat_comes_back_only_when_it_is_resumed(kernel, sim, script, tmp_path):
    script("one", "two", "three")
    kernel.run("%qwen --chat kept remember this", cell="k1")
    kernel.run("get_ipython().find_magic('qwen').__self__.chats.named.clear()")  # as in a kernel that starts
    kernel.run("%qwen --chat kept --resume what was it", cell="k2")
    assert said(sim) == ["remember this", "what was it"]
    kernel.run("get_ipython().find_magic('qwen').__self__.chats.named.clear()")
    kernel.run("%qwen --chat kept a new start", cell="k3")
    assert said(sim) == ["a new start"]
    assert "a new start" in kernel.run("%qwen_chat kept").plain
    kernel.run(f"%qwen_chat kept export {tmp_path / 'kept.md'}")
    assert "a new start" in (tmp_path / "kept.md").read_text()


def test_a_tool_runs_only_when_it_is_allowed(kernel, sim, script):
    kernel.run(
        "ran = []\ndef find(city: str) -> str:\n    'Finds a city.'\n    ran.append(city)\n    return 'found ' + city"
    )
    call = Reply(None, tool_calls=[ToolCall("find", {"city": "Bonn"}, id="call_1")])
    script(call, "not found")
    ran = kernel.run("%qwen --tools find where is it?")
    assert kernel.value("ran") == "[]" and "nobody was there to allow" in ran.markdown
    script("not found either")
    ran = kernel.run("%qwen --tools find where is it?", answers=["n"])
    assert ran.asked == ["Run find(city='Bonn')? [y/N] "] and kernel.value("ran") == "[]"
    script("in Germany")
    ran = kernel.run("%qwen --tools find where is it?", answers=["y"])
    assert kernel.value("ran") == "['Bonn']" and "found Bonn" in ran.markdown
    again = kernel.run("%qwen --tools find where is it?")
    assert kernel.value("ran") == "['Bonn']" and again.data == ran.data


def test_yes_allows_the_calls_of_the_cell(kernel, script):
    kernel.run("made = []\ndef make(n: int) -> int:\n    'Makes.'\n    made.append(n)\n    return n")
    script(Reply(None, tool_calls=[ToolCall("make", {"n": 3}, id="call_9")]), "made it")
    assert kernel.run("%qwen --tools make --yes go").plain.startswith("[called make(")
    assert kernel.value("made") == "[3]"


def forget(kernel) -> None:
    kernel.run("get_ipython().find_magic('qwen').__self__.chats.named.clear()")  # as in a kernel that starts


def test_a_chat_that_is_not_to_be_remembered_is_stored_nowhere(kernel, script):
    script("said")
    assert kernel.run("%qwen --no-cache --chat secret between us", cell="s1").status == "ok"
    forget(kernel)
    ran = kernel.run("%qwen --chat secret --resume and now", cell="s2")
    assert "No conversation `secret` is stored here" in ran.error["evalue"]


def test_two_questions_of_one_cell_are_two_turns(kernel, sim, script):
    script("a", "b", "c")
    twice = "%qwen --chat pair first\n%qwen --chat pair second"
    for _ in range(2):
        kernel.run(twice, cell="p1")
        assert said(sim) == ["first", "second"]
    assert sim.ledger.count("asked") == 2
    kernel.run("%qwen --chat pair third", cell="p2")
    assert said(sim) == ["first", "second", "third"]


def test_where_no_cell_has_an_id_turns_follow_each_other(kernel, sim, script):
    script("a", "b")
    kernel.run("%qwen --chat bare one")
    kernel.run("%qwen --chat bare two")
    assert said(sim) == ["one", "two"]


def test_the_system_text_of_a_conversation_stands_in_its_first_cell(kernel, sim, script):
    script("a", "b")
    kernel.run("%qwen --chat mild --system 'Be mild.' one", cell="m1")
    ran = kernel.run("%qwen --chat mild --system 'Be harsh.' two", cell="m2")
    assert "has its system text from its first cell" in ran.error["evalue"]
    kernel.run("%qwen --chat mild two", cell="m2")
    assert [m["content"] for m in body(sim)["messages"]] == ["Be mild.", "one", "a", "two"]


def test_a_conversation_is_saved_emptied_and_asked_for_by_name(kernel, sim, script, tmp_path):
    script("a", "b")
    kernel.run("%qwen --chat filed one", cell="v1")
    kernel.run(f"%qwen_chat filed save {tmp_path / 'filed.json'}")
    loaded = f"[m.text for m in __import__('qwennb').Chat.load({str(tmp_path / 'filed.json')!r}).messages]"
    assert kernel.value(loaded) == "['one', 'a']"
    kernel.run("%qwen_chat filed clear")
    kernel.run("%qwen --chat filed two", cell="v2")
    assert said(sim) == ["two"]
    assert "did you mean `filed`?" in kernel.run("%qwen_chat fild").error["evalue"]


@pytest.mark.slow
def test_a_step_is_shown_without_what_the_one_before_it_said(kernel, script):
    kernel.run("def look(city: str) -> str:\n    'Looks.'\n    return 'looked at ' + city")
    call = Reply("Let me look.", tool_calls=[ToolCall("look", {"city": "Bonn"}, id="call_1")])
    script(call, Reply("", chunks=["It ", "is ", "there."], chunk_delay=0.4))
    ran = kernel.run("%qwen --tools look --yes where?")
    shown = [c["data"]["text/plain"] for _, kind, c in ran.messages if "display_data" in kind]
    assert shown[0].startswith("Let") and shown[-1].startswith("[called look(")
    assert any(one.startswith("It ") for one in shown[1:-1])
    assert not any("Let" in one for one in shown if "It " in one)
