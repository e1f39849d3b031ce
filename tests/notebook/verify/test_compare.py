"""What differs between an output and the one that was saved: the real thing first, word by word, both sides named."""

from __future__ import annotations

import json
import time

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from qwennb.notebook.verify import Sandbox, run_notebook
from qwennb.notebook.verify.compare import first_difference

MIME = "application/vnd.qwennb.answer+json"
LIVE = {"version": 1, "key": "ab", "usage": {"output": 3, "input": 20}, "endpoint": "vllm", "text": "Blue."}


def shown(markdown, plain="", data=LIVE):
    return new_output(
        "display_data", data={"text/plain": plain or markdown, "text/markdown": markdown, MIME: data}
    )


def saved(*outputs):
    """*outputs* as a file holds them: nbformat sorts the names of everything."""
    notebook = new_notebook(cells=[new_code_cell("x", outputs=list(outputs))])
    return nbformat.reads(nbformat.writes(notebook), as_version=4).cells[0].outputs


def told(before, after):
    found = first_difference(saved(*before), list(after))
    return found.part, "\n".join(found.lines)


def test_the_order_of_names_in_a_file_is_no_difference_and_a_real_one_is_told():
    part, lines = told([shown("The sky is **blue** today.")], [shown("The sky is **green** today.")])
    assert part == "text/markdown"
    assert "saved: The sky is [**blue**] today." in lines and "now:   The sky is [**green**] today." in lines


def test_markdown_comes_first_and_json_last_whatever_the_order_of_the_parts():
    other = {**LIVE, "text": "Green."}
    assert told([shown("a b")], [shown("a c", data=other)])[0] == "text/markdown"
    assert told([shown("same", "plain a")], [shown("same", "plain b", data=other)])[0] == "text/plain"
    assert told([shown("same")], [shown("same", data=other)])[0] == MIME


def test_a_difference_within_json_names_the_place_and_both_values():
    part, lines = told([shown("same")], [shown("same", data={**LIVE, "usage": {"output": 4, "input": 20}})])
    assert part == MIME
    assert (
        "usage.output" in lines and "saved: [3]" in lines and "now:   [4]" in lines and "input" not in lines
    )
    _, lines = told(
        [shown("same")], [shown("same", data={name: v for name, v in LIVE.items() if name != "key"})]
    )
    assert "key" in lines and 'saved: ["ab"]' in lines and "now:   (nothing)" in lines
    long = " ".join(f"w{n}" for n in range(500))
    _, lines = told(
        [shown("same", data={**LIVE, "text": long})],
        [shown("same", data={**LIVE, "text": long.replace("w250", "x")})],
    )
    assert "text" in lines and "[w250]" in lines and "[x]" in lines and len(lines) < 400


def test_what_is_missing_and_what_is_new_are_told_with_their_side():
    said = new_output("stream", name="stdout", text="one two\n")
    assert told([said], []) == ("stdout", "saved: [one two]\nnow:   (nothing)")
    assert told([], [said]) == ("stdout", "saved: (nothing)\nnow:   [one two]")
    part, lines = told([shown("a b c d")], [shown("a b d")])
    assert part == "text/markdown" and "saved: a b [c] d" in lines and "now:   a b [] d" in lines


def test_a_long_output_is_no_flood_and_takes_no_time():
    words = [f"word{n}" for n in range(60_000)]
    changed = [word + "x" if n % 3 == 0 else word for n, word in enumerate(words)]
    began = time.process_time()
    _, lines = told([shown(" ".join(words))], [shown(" ".join(changed))])
    assert time.process_time() - began < 5
    assert len(lines) < 2000 and len(lines.splitlines()) < 20 and "more" in lines.splitlines()[-1]
    assert "[word0]" in lines and "[word0x]" in lines


def test_one_word_of_a_line_without_end_is_shown_where_it_differs():
    one, other = "x" * 9000 + "A" + "y" * 9000, "x" * 9000 + "B" + "y" * 9000
    _, lines = told([shown(one)], [shown(other)])
    assert "A" in lines and "B" in lines and len(lines) < 400


def test_the_line_is_named_where_there_are_several():
    before = "\n".join(f"row {n} is fine" for n in range(50))
    _, lines = told([shown(before)], [shown(before.replace("row 30 is fine", "row 30 is bad"))])
    assert "line 31" in lines and "[fine]" in lines and "[bad]" in lines and "row 12" not in lines


@pytest.mark.parametrize(
    ("one", "other"), [("a  b", "a b"), ("a b\n", "a b"), ("a\tb", "a b"), ("a\nb", "a b")]
)
def test_blanks_that_differ_are_made_visible(one, other):
    _, lines = told([shown(one, "p")], [shown(other, "p")])
    assert repr(one)[1:-1] in lines and repr(other)[1:-1] in lines and "saved" in lines and "now" in lines


def test_what_could_act_in_a_terminal_is_made_harmless():
    _, lines = told([shown("red \x1b[31m text")], [shown("red \x1b]0;title\x07 \u202etext")])
    assert not {"\x1b", "\x07", "\u202e"} & set(lines)


def test_an_error_that_differs_is_told_by_its_words():
    def fails(value):
        return new_output("error", ename="ValueError", evalue=value, traceback=[])

    assert told([fails("bad 1")], [fails("bad 2")]) == (
        "error",
        "saved: ValueError: bad [1]\nnow:   ValueError: bad [2]",
    )


def test_the_same_words_in_fewer_outputs_are_said_to_be_that():
    outputs = [new_output("display_data", data={"text/plain": text}) for text in ("a", "b", "a\nb")]
    assert first_difference(outputs[:2], outputs[2:]).lines == ("saved: as 2 outputs", "now:   as 1 output")


@pytest.mark.parametrize("value", ["\ud800", 2**80, None, float("inf"), [], {}, True])
def test_whatever_data_holds_is_told(value):
    _, lines = told([shown("same")], [shown("same", data={**LIVE, "text": value})])
    assert "text" in lines and "saved: [" in lines and len(lines) < 300


def test_the_same_parts_in_another_order_are_said_to_be_that():
    one = new_output("display_data", data={"text/plain": "a"})
    other = new_output("stream", name="stdout", text="b")
    assert first_difference([one, other], [other, one]).lines == ("the outputs come in another order",)


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_a_saved_answer_that_was_edited_is_told_by_its_markdown(tmp_path):
    source = (
        "from IPython.display import display\n"
        f"display({{'text/plain': 'p', 'text/markdown': 'The sky is blue.', {MIME!r}: {LIVE!r}}}, raw=True)"
    )
    cell = new_code_cell(source, execution_count=1, outputs=[shown("The sky is red.", "p")])
    path = tmp_path / "n.ipynb"
    nbformat.write(new_notebook(cells=[cell]), path)
    assert list(json.loads(path.read_text())["cells"][0]["outputs"][0]["data"][MIME]) == sorted(LIVE)
    with Sandbox.create(sealed=True) as place:
        [ran] = run_notebook(path, place, {"cache": "replay"})
    assert ran.difference.part == "text/markdown"
    assert ran.difference.lines == ("saved: The sky is [red.]", "now:   The sky is [blue.]")
