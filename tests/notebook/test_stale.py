"""Which answers rest on something that has changed, found without doing anything again that may do something."""

from __future__ import annotations

import math
import random
from types import SimpleNamespace

import pandas as pd
import polars as pl
import pytest

from qwennb.answer import MIME
from qwennb.notebook.interpolated import Interpolated, digest_of, fingerprint, read_value
from qwennb.notebook.namespace import Scope
from qwennb.notebook.reports import lay_out
from qwennb.notebook.stale import StaleTracker, stale
from qwennb.request import part_of


def reading(source: str, names: dict) -> Interpolated:
    value = eval(source, dict(names))
    return Interpolated.of(source, digest_of(part_of(read_value(value))), names)


def since(source: str, before: dict, after: dict) -> str:
    return reading(source, before).since(after)[0]


@pytest.mark.parametrize(
    ("source", "before", "after", "becomes"),
    [
        ("name", {"name": "a"}, {"name": "a"}, "same"),
        ("name", {"name": "a"}, {"name": "b"}, "changed"),
        ("name", {"name": "a"}, {}, "gone"),
        ("name", {"name": "1"}, {"name": 1}, "same"),  # it is sent as the same text
        ("rows[1:]", {"rows": [1, 2, 3]}, {"rows": [9, 2, 3]}, "same"),
        ("rows[1:]", {"rows": [1, 2, 3]}, {"rows": [1, 2]}, "changed"),
        ("rows[2]", {"rows": [1, 2, 3]}, {"rows": []}, "gone"),
        ("a + b", {"a": 1, "b": 2}, {"a": 2, "b": 1}, "same"),
        ("f'{a:>3}'", {"a": 1}, {"a": 2}, "changed"),
        ("df", {"df": pl.DataFrame({"x": [1]})}, {"df": pl.DataFrame({"x": [1]})}, "same"),
        ("df", {"df": pl.DataFrame({"x": [1]})}, {"df": pl.DataFrame({"x": [2]})}, "changed"),
        ("df.columns", {"df": pl.DataFrame({"x": [1]})}, {"df": pl.DataFrame({"x": [2]})}, "same"),
    ],
)
def test_what_only_looks_is_looked_at_again(source, before, after, becomes):
    assert since(source, before, after) == becomes


def test_what_calls_something_is_not_called_again_and_follows_what_it_reads():
    calls = []

    def shorten(text: str) -> str:
        calls.append(text)
        return text[:2]

    names = {"shorten": shorten, "text": "abcdef"}
    made = reading("shorten(text)", names)
    assert calls == ["abcdef"]
    assert made.since(dict(names))[0] == "same"
    assert made.since({**names, "text": "abX"}) == ("changed", "text")
    assert made.since({**names, "shorten": lambda text: text[:3]}) == ("changed", "shorten")
    assert made.since({"shorten": shorten}) == ("gone", "text")
    assert calls == ["abcdef"]


def test_a_row_far_down_a_frame_counts_for_what_is_called_on_it():
    for make in (pl.DataFrame, pd.DataFrame):
        long = {"x": range(100_000)}
        before, same, other = make(long), make(long), make({"x": [*range(99_999), -1]})
        assert since("df.tail(2)", {"df": before}, {"df": same}) == "same"
        assert since("df.head(2)", {"df": before}, {"df": other}) == "changed"
        swapped = make({"x": [1, 0, *range(2, 100_000)]})
        assert fingerprint(before) == fingerprint(same) != fingerprint(swapped)


def test_what_reads_no_data_can_not_be_told():
    assert since("random.random()", {"random": random}, {"random": random}) == "unknown"
    assert since("'tea'.upper()", {}, {}) == "unknown"  # it is a call, and no call is made for looking
    assert since("math.sqrt(x)", {"math": math, "x": 4}, {"math": math, "x": 4}) == "same"


def test_an_object_without_a_text_of_its_own_can_not_be_told():
    odd = object()
    assert since("len([odd])", {"odd": odd}, {"odd": odd}) == "unknown"


# ---------------------------------------------------------------------- cells


class Notebook:
    """Cells that ask, without a kernel."""

    def __init__(self) -> None:
        self.names: dict = {}
        self.count = 0
        self.stale_tracker = StaleTracker(lambda: self.count)

    def run(self, source: str, *expressions: str, cell: str | None = None, into: str | None = None) -> None:
        self.count += 1
        self.stale_tracker.cell_begins(SimpleNamespace(raw_cell=source, cell_id=cell))
        if expressions:
            read = [reading(expression, self.names) for expression in expressions]
            self.stale_tracker.note_question(read, into=into)

    @property
    def told(self) -> str:
        return " ".join(lay_out(stale(self.stale_tracker, self.names))[0].split())


def test_a_cell_is_stale_when_what_it_read_has_changed_and_fresh_when_it_runs_again():
    book = Notebook()
    book.names["n"] = 1
    book.run("%%qwen\nTell {{ n }}", "n", cell="a")
    assert book.told.startswith("Nothing is stale: what 1 question read")
    book.names["n"] = 2
    assert "[1] %%qwen n has changed" in book.told and "1 of 1 question stale" in book.told
    book.run("%%qwen\nTell {{ n }}", "n", cell="a")
    assert book.told.startswith("Nothing is stale")


def test_what_rests_on_a_stale_answer_is_stale_too():
    book = Notebook()
    book.names |= {"n": 1, "first": "a story", "second": "a summary"}
    book.run("%qwen --into first {{ n }}", "n", cell="a", into="first")
    book.run("%qwen --into second {{ first }}", "first", cell="b", into="second")
    book.run("%qwen {{ second }}", "second", cell="c")
    book.names["n"] = 2
    assert "first comes from [1], which is stale" in book.told
    assert "second comes from [2], which is stale" in book.told and "3 of 3 questions stale" in book.told


def test_a_cell_that_was_edited_or_asks_no_more_is_told_as_it_is_now():
    book = Notebook()
    book.names |= {"n": 1, "m": 1}
    book.run("%qwen {{ n }}", "n", cell="a")
    book.run("%qwen {{ m }}", "m", cell="a")
    book.names["n"] = 2
    assert book.told.startswith("Nothing is stale")


def test_a_front_end_that_tells_no_cells_is_told_by_the_code():
    book = Notebook()
    book.names["n"] = 1
    book.run("%qwen {{ n }}", "n")
    book.names["n"] = 2
    book.run("%qwen {{ n }}", "n")
    assert book.told.startswith("Nothing is stale: what 1 question read")


def test_a_cell_that_nobody_counts_has_no_number():
    book = Notebook()
    book.names["n"] = 1
    book.stale_tracker.cell_begins(
        SimpleNamespace(raw_cell="%qwen {{ n }}", cell_id="a", store_history=False)
    )
    book.stale_tracker.note_question([reading("n", book.names)], into=None)
    book.names["n"] = 2
    assert "[ ] %qwen {{ n }} n has changed" in book.told and book.stale_tracker.number is None


def test_every_question_of_a_loop_counts():
    book = Notebook()
    for n in (1, 2):
        book.names["n"] = n
        if n == 1:
            book.run("for n in (1, 2): …", cell="a")
        book.stale_tracker.note_question([reading("n", book.names)], into=None)
    assert "1 of 2 questions stale" in book.told


def test_an_answer_that_takes_the_place_of_what_it_read_is_no_false_alarm():
    book = Notebook()
    book.names |= {"n": 1, "text": "a story"}
    for cell, question in (("a", "n"), ("b", "text"), ("c", "text")):
        book.stale_tracker.cell_begins(
            SimpleNamespace(raw_cell=f"%qwen --into text {{{{ {question} }}}}", cell_id=cell)
        )
        book.stale_tracker.note_question([reading(question, book.names)], into="text", key=cell)
        book.names["text"] = SimpleNamespace(key=cell)
    assert book.told.startswith("Nothing is stale: what 3 questions read")
    book.names["n"] = 2
    assert "3 of 3 questions stale" in book.told and "text comes from" in book.told
    book.names |= {"n": 1, "text": "another one"}
    assert "text has changed" in book.told


def test_the_last_result_and_the_last_error_are_of_the_moment_and_no_false_alarm():
    book = Notebook()
    book.names |= {"_": 1}
    for name in ("_", "Err"):
        book.run(f"%qwen {{{{ {name} }}}}", cell=name)
        book.stale_tracker.note_question([Interpolated(name, "0" * 16)], into=None)
    assert "None of 2 questions stale for certain, 2 can't be told." in book.told


# ---------------------------------------------------------------------- in a kernel


@pytest.mark.slow
def test_an_output_knows_the_hashes_of_what_was_interpolated(kernel, script):
    script("an answer")
    kernel.run("word = 'soup'\nfrom PIL import Image\npicture = Image.new('RGB', (8, 8), 'red')")
    live = kernel.run("%qwen --image picture What of {{ word }} and {{ word[:2] }}?")
    inputs = live.data[MIME]["inputs"]
    assert set(inputs) == {"word", "word[:2]", "picture"} and all(
        len(digest) == 16 for digest in inputs.values()
    )
    again = kernel.run("%qwen --image picture What of {{ word }} and {{ word[:2] }}?")
    assert again.data == live.data
    assert inputs["word"] == digest_of(part_of("soup"))


def test_stale_cells_are_listed_in_a_notebook(kernel, script):
    script("one", "two")
    kernel.run("%reload_ext qwennb\nlimit = 3")
    first = kernel.run("%qwen --into first Count to {{ limit }}", cell="s1")
    kernel.run("%qwen Go on: {{ first }}", cell="s2")
    assert "Nothing is stale" in kernel.run("%qwen_stale").plain
    kernel.run("limit = 4")
    shown = kernel.run("%qwen_stale")
    assert "limit has changed" in shown.plain and "which is stale" in shown.plain
    [number] = [c["execution_count"] for _, kind, c in first.messages if kind == "execute_input"]
    assert f"[{number}]" in shown.plain
    [output] = [o for o in shown.outputs if o["output_type"] == "display_data"]
    assert output["metadata"] == {"qwennb": {"state": "stale"}}


def test_paths_and_texts_that_are_no_expressions_leave_no_hash(kernel, script):
    script("an answer")
    assert "inputs" not in kernel.run("%qwen nothing of mine in it").data[MIME]


def test_what_was_interpolated_travels_as_it_did(tmp_path):
    shell = SimpleNamespace(user_ns={"n": 3}, ev=lambda source: eval(source, {"n": 3}))
    scope = Scope(shell)
    prompt, values = scope.fill("A {{ n }} and {{ n }}")
    assert prompt == "A {{ value_0 }} and {{ value_1 }}" and [value.text for value in values.values()] == [
        "3",
        "3",
    ]
    assert [one.source for one in scope.readings] == ["n", "n"]
