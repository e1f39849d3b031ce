"""Chats and tools in cells."""

from __future__ import annotations

from qwennb.simulator import Reply, ToolCall
from tests.notebook.conftest import body


def said(sim) -> list[str]:
    return [m["content"] for m in body(sim)["messages"] if m["role"] == "user"]


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
    assert ran.asked == ['Run find({"city": "Bonn"})? [y/N] '] and kernel.value("ran") == "[]"
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
