"""A tool in a cell runs only once the user has seen all of the call and said yes; the question leaves no trace."""

from __future__ import annotations

import json

import pytest

from qwennb.notebook.consent import PART, questions, show_call
from qwennb.request import ToolCall as Call
from qwennb.simulator import Reply, ToolCall

FIND = "ran = []\ndef find(city: str) -> str:\n    'Finds.'\n    ran.append(city)\n    return 'found ' + city[:20]"


def calling(city: str, name: str = "call_1") -> Reply:
    return Reply(None, tool_calls=[ToolCall("find", {"city": city}, id=name)])


@pytest.fixture
def find(kernel, script):
    kernel.run(FIND)
    return script


@pytest.mark.slow
def test_a_long_call_is_shown_to_its_last_character(kernel, find):
    city = "a" * 3_000 + " and the tail"
    find(calling(city), "done")
    ran = kernel.run("%qwen --tools find where is the long one?", answers=["y"])
    assert ran.asked[0].startswith("Run find(") and "and the tail" in ran.asked[0]
    assert kernel.value("len(ran[0])") == str(len(city))


def test_a_call_too_long_for_one_question_is_asked_again_and_allowed_only_at_its_end():
    text = json.dumps({"city": "x" * (2 * PART) + "tail"})
    asked = list(questions(Call("1", "find", text)))
    assert len(asked) == 3 and "tail" in asked[-1][0] and asked[-1][0].startswith("find, part 3 of 3: ")
    assert "" in asked[0][1] and "" not in asked[-1][1]
    shown = "".join(question for question, _ in asked)
    assert shown.count("x") >= 2 * PART and asked[0][0].startswith("Run find(")


def test_a_no_to_a_part_of_a_long_call_is_a_no(kernel, find):
    find(calling("b" * (PART + 50)), "not done")
    ran = kernel.run("%qwen --tools find where is the longest?", answers=["n"])
    assert kernel.value("ran") == "[]" and len(ran.asked) == 1
    assert ran.plain.startswith("[not allowed: find(")


UNSEEN = {
    "an escape": ("\x1b[2K\x1b[1Aharmless", "\\x1b[2K"),
    "a carriage return": ("evil\rharmless", "\\r"),
    "bidi": ("\u202egnp.exe", "\\u202e"),
    "isolates": ("\u2066x\u2069", "\\u2066"),
    "no width": ("a\u200bb", "\\u200b"),
    "a tag": ("\U000e0041", "\\U000e0041"),
    "a hard space": ("a\u00a0b", "\\xa0"),
    "a filler": ("a\u3164b", "\\u3164"),
    "a backspace": ("a\x08b", "\\x08"),
    "C1": ("a\x9bb", "\\x9b"),
    "a line separator": ("a\u2028b", "\\u2028"),
}


@pytest.mark.parametrize("name", UNSEEN)
@pytest.mark.parametrize("escaped", [True, False])
def test_what_can_not_be_seen_in_a_call_is_spelled_out(name, escaped):
    text, spelled = UNSEEN[name]
    shown = show_call(Call("1", "find", json.dumps({"city": text}, ensure_ascii=escaped)))
    assert spelled in shown and shown.isprintable()


def test_a_call_is_shown_as_it_runs_and_not_as_it_is_spelled():
    calls = {
        '{"city":"\\u0072m \\u002drf"}': "find(city='rm -rf')",
        '{"city": "Köln 東京"}': "find(city='Köln 東京')",
        "": "find()",
        "no\x1bjson": "find(no\\u001bjson)",
    }
    assert {text: show_call(Call("1", "find", text)) for text in calls} == calls


def test_the_answer_says_what_was_allowed_and_what_was_not(kernel, find):
    find(calling("Bonn"), "here", "there")
    ran = kernel.run("%qwen --tools find say where", answers=["y"])
    assert "<summary>Allowed find(" in ran.markdown
    assert ran.plain.startswith("[allowed find(") and "found Bonn" in ran.markdown
    find(calling("Ulm"), "nowhere")
    denied = kernel.run("%qwen --tools find say where Ulm is", answers=["n"])
    assert "Not allowed: find(" in denied.markdown and "Called" not in denied.markdown
    assert denied.plain.startswith("[not allowed: find(") and kernel.value("ran") == "['Bonn']"
    find(calling("Trier"), "unsaid")
    nobody = kernel.run("%qwen --tools find say where Trier is")
    assert "Not allowed: find(" in nobody.markdown and kernel.value("ran") == "['Bonn']"


def test_the_question_is_cleared_and_what_else_the_cell_showed_stays(kernel, find):
    find(Reply("Let me look.", tool_calls=[ToolCall("find", {"city": "Bonn"}, id="call_1")]), "It is here.")
    cell = (
        "import sys\nprint('before')\nprint('a warning', file=sys.stderr)\ndisplay({'text/plain': 'shown'}, raw=True)\n"
        "h = display({'text/plain': 'old'}, raw=True, display_id=True)\nh.update({'text/plain': 'new'}, raw=True)\n"
        "%qwen --tools find where is it now?\nprint('after')"
    )
    ran = kernel.run(cell, answers=["y"])
    assert ran.status == "ok" and ran.count("clear_output") == 1
    told = [(kind, one.get("text") or one["data"]["text/plain"].partition("\n")[0]) for kind, one in ran.kept]
    assert told == [
        ("stream", "before\n"),
        ("stream", "a warning\n"),
        ("display_data", "shown"),
        ("display_data", "new"),
        ("display_data", "[allowed find(city='Bonn')]"),
        ("stream", "after\n"),
    ]
    again = kernel.run(cell, answers=["y"])
    assert again.asked == [] and again.count("clear_output") == 0
    assert [one.get("data") for _, one in again.kept] == [one.get("data") for _, one in ran.kept]


def test_a_cell_that_asks_nothing_clears_nothing(kernel, find):
    find(calling("Hof"), "ok")
    ran = kernel.run("print('x')\n%qwen --tools find --yes where is Hof?")
    assert ran.count("clear_output") == 0 and ran.plain.startswith("[called find(")


def test_what_was_denied_is_taken_as_recorded_where_nobody_can_be_asked(kernel, find):
    find(calling("Jena"), "Not found.")
    cell = "%qwen --tools find where is Jena, please?"
    denied = kernel.run(cell, answers=["n"])
    assert kernel.run(cell).data == denied.data, "without stdin"
    replayed = kernel.run(cell.replace("--tools", "--replay --tools"), answers=["y"])
    assert replayed.data == denied.data and replayed.asked == [] and kernel.value("ran") == "[]"


def test_a_pack_runs_no_tool_of_a_cell(kernel, find, tmp_path):
    find(calling("Gotha"), "There.")
    made = (
        "from qwennb.client import Options, runtime\nq = get_ipython().find_magic('qwen').__self__.client()\n"
    )
    made += "r = q.session.build_request('where is Gotha', {}, Options(tools=[find]))\n"
    made += f"a = q.session.answer(r, Options())\nq.pack(a).write({str(tmp_path / 'g.qwenpack')!r})\n"
    kernel.run(made)
    kernel.run(f"from qwennb import Qwen\nhousehold().load({str(tmp_path / 'g.qwenpack')!r})")
    cell = "%qwen --tools find --yes --replay where is Gotha"
    for one in (cell, cell.replace("--yes ", "")):
        ran = kernel.run(one, answers=["y"])
        assert "calls `find`" in ran.error["evalue"] and ran.asked == [] and kernel.value("ran") == "[]"
    kernel.run("runtime().packs.forget()")
