"""Reviewing: which rows are looked at, what a key does, and what comes out."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import polars as pl
import pytest

from qwennb.errors import BadInput, TemplateError
from qwennb.notebook.widgets.review import Review
from qwennb.notebook.widgets.review_panel import ReviewPanel
from qwennb.notebook.widgets.review_rows import ReviewRows
from qwennb.tuning import Labels
from tests.notebook.conftest import Kernel

KINDS = pl.Enum(["praise", "complaint", "other"])
FRAME = pl.DataFrame(
    {
        "review": ["The soup was cold.", "Lovely!", "We waited an hour.", "Fine.", "Nobody answered."],
        "label": pl.Series(["complaint", "praise", "praise", "praise", None], dtype=KINDS),
        "second": ["complaint", "praise", "complaint", "other", "other"],
        "sure": [0.9, 0.8, 0.4, 0.6, 0.1],
    }
)
PROMPT = "Praise or complaint? {{ review }}"


@pytest.fixture
def review(tmp_path):
    def make(**given):
        settings = {"answer": "label", "source": "review", "labels": tmp_path / "labels.jsonl", "by": "ada"}
        return Review(given.pop("frame", FRAME), **{**settings, **given})

    return make


def opened(review):
    """The widget of *review*, as if a notebook had asked for it."""
    panel = ReviewPanel(review, review._rows, review._labels, review._others)
    panel.kept = []
    panel.keep_record(lambda **how: panel.kept.append(review._markdown(**how)))
    return panel


def type_letters(panel, letters):
    """As a browser sends what is typed: the whole field, with every letter or with several at once."""
    for letter in letters:
        panel._letters.value += letter


# ---------------------------------------------------------------------- letters


def test_a_letter_acts_at_once_and_the_next_row_is_shown(review, tmp_path):
    panel = opened(review())
    assert panel._source.value == "The soup was cold." and panel._answer.value == "complaint"
    type_letters(panel, "r")
    assert panel._source.value == "Lovely!"
    type_letters(panel, "w")
    assert panel._source.value == "We waited an hour."
    written = [json.loads(line) for line in (tmp_path / "labels.jsonl").read_text().splitlines()]
    assert [(line["verdict"], line["by"]) for line in written] == [("right", "ada"), ("wrong", "ada")]
    type_letters(panel, "uu")
    assert panel._source.value == "The soup was cold." and panel._labels.labels_by() == {}
    type_letters(panel, "nnp")
    assert panel._source.value == "Lovely!"
    type_letters(panel, "x")
    assert "means nothing here" in panel._status.value


def test_letters_that_come_together_act_one_after_the_other(review):
    panel = opened(review())
    panel._letters.value = "r"
    panel._letters.value = "rwr"  # a browser that is busy sends the last state only
    assert [label.verdict for label in panel._labels.labels_by().values()] == ["right", "wrong", "right"]
    panel._letters.value = "rw"  # a letter taken out of the field is no label
    panel._letters.value = ""
    assert len(panel._labels.labels_by()) == 3
    panel._letters.value = "R"
    assert len(panel._labels.labels_by()) == 4


def test_letters_typed_on_the_way_to_the_correction_label_nothing(review):
    panel = opened(review())
    type_letters(panel, "f")
    assert panel._fixes.layout.display is None
    type_letters(panel, "rw")
    panel._letters.value += "fwr"
    assert panel._labels.labels_by() == {}
    panel._fix.value = "other"
    panel._save.click()
    [label] = panel._labels.labels_by().values()
    assert (label.verdict, label.fix) == ("fixed", "other") and panel._fixes.layout.display == "none"
    type_letters(panel, "r")
    assert len(panel._labels.labels_by()) == 2


def test_a_correction_has_to_be_one(review):
    panel = opened(review())
    panel._save.click()
    assert panel._labels.labels_by() == {}
    panel.fix()
    panel._save.click()
    assert "empty" in panel._status.value
    panel._fix.value = "complaint"
    panel._save.click()
    assert "as it was" in panel._status.value and panel._labels.labels_by() == {}
    panel._leave.click()
    assert panel._labels.labels_by() == {} and panel._fixes.layout.display == "none"


def test_a_text_is_corrected_from_what_it_was(review):
    texts = pl.DataFrame({"q": ["one", "two"], "answer": ["A long answer.", "Another."]})
    panel = opened(review(frame=texts, answer="answer", source="q"))
    panel.fix()
    assert panel._fix.value == "A long answer."
    panel._fix.value = "A long answer,\nmade better."
    panel._save.click()
    panel.go(-1)
    assert panel._answer.value == "A long answer.\n\n[corrected]\nA long answer,\nmade better."
    panel.fix()
    assert panel._fix.value == "A long answer,\nmade better."


def test_the_end_is_said_and_a_label_there_still_counts(review):
    panel = opened(review())
    type_letters(panel, "rrrr")
    assert "No row without a label follows" in panel._status.value
    assert panel._source.value == "Fine."
    type_letters(panel, "w")
    assert [label.verdict for label in panel._labels.labels_by().values()] == [
        "right",
        "right",
        "right",
        "wrong",
    ]


def test_a_review_goes_on_where_it_was_left(review):
    type_letters(opened(review()), "rw")
    assert opened(review())._source.value == "We waited an hour."


def test_a_label_that_could_not_be_kept_is_said_and_does_not_count(review, tmp_path):
    panel = opened(review(labels=tmp_path / "gone" / "labels.jsonl"))
    type_letters(panel, "r")
    assert "not kept" in panel._status.value and panel._source.value == "The soup was cold."
    assert panel._labels.labels_by() == {}


# ---------------------------------------------------------------------- which rows


def test_rows_are_chosen_by_label_by_disagreement_and_by_confidence(review, tmp_path):
    labels = tmp_path / "labels.jsonl"
    rows = ReviewRows(FRAME, answer="label", source="review").all
    ada, bob = Labels(labels, "ada"), Labels(labels, "bob")
    ada.give(rows[0].name, "right")
    ada.give(rows[1].name, "wrong")
    ada.give(rows[2].name, "fixed", "complaint")
    bob.give(rows[0].name, "fixed", "praise")
    bob.give(rows[2].name, "wrong")
    panel = opened(review(other="second", confidence="sure"))

    def numbers(which):
        panel._which.value = which
        return [row.number for row in panel._shown]

    assert numbers("all rows") == [0, 1, 2, 3]  # the last one has no answer
    assert numbers("not labelled") == [3]
    assert [numbers(which) for which in ("right", "wrong", "fixed")] == [[0], [1], [2]]
    assert numbers("answers differ") == [2, 3]
    assert numbers("reviewers differ") == [0]
    assert numbers("low confidence") == [2, 3]  # the least sure first
    panel._low.value = 0.85
    assert [row.number for row in panel._shown] == [2, 3, 1]
    panel._low.value = 0.0
    assert panel._where.value == "No such row." and panel._source.value == ""
    type_letters(panel, "rfu")
    assert Labels(labels, "ada").labels_by().keys() == {
        rows[0].name,
        rows[1].name,
    }  # undone: the last of hers


def test_labels_stay_with_their_rows_when_the_frame_is_sorted_or_an_answer_changes(review):
    type_letters(opened(review()), "rw")
    turned = review(frame=FRAME.reverse())
    assert turned.labelled()["label_label"].to_list() == [None, None, None, "wrong", "right"]
    changed = review(frame=FRAME.with_columns(label=pl.lit("other", dtype=KINDS)))
    assert changed.labelled()["label_label"].null_count() == 5


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"answer": "lable"}, "did you mean `label`"),
        ({"source": ["review", "title"]}, "no column `title`"),
        ({"confidence": "review"}, "a confidence is a number"),
        ({"frame": [1, 2]}, "takes a frame"),
        ({"frame": FRAME.lazy()}, r"LazyFrame\. Give frame\.collect\(\)"),
        ({"prompt": "no name"}, "names no column"),
        ({"prompt": "{{ reviw }}"}, "did you mean `review`"),
    ],
)
def test_what_can_not_be_reviewed_is_said(review, given, said):
    with pytest.raises((BadInput, TemplateError), match=said):
        review(**given)


def test_answers_of_any_type_are_shown_as_text():
    frame = pl.DataFrame({"n": [1, 2], "answer": [{"item": "ä", "amount": 1}, None]})
    assert [row.answer for row in ReviewRows(frame, answer="answer").all] == [
        '{\n  "item": "ä",\n  "amount": 1\n}'
    ]
    frame = pl.DataFrame({"n": [1, 2], "m": ["a", None], "answer": [True, False]})
    rows = ReviewRows(frame, answer="answer")
    assert rows.classes == ["true", "false"] and [row.answer for row in rows.all] == ["true", "false"]
    assert rows.all[1].source == "n: 2\nm: "


# ---------------------------------------------------------------------- what comes out


@pytest.mark.slow
def test_what_the_labels_amount_to(review, tmp_path):
    made = review()
    panel = opened(made)
    assert made.accuracy is None and made.confusion is None and made.agreement == {}
    type_letters(panel, "rr")
    panel.fix()
    panel._fix.value = "complaint"
    panel._save.click()
    type_letters(panel, "w")
    assert str(made.accuracy).startswith("50.0% right (2 of 4; 95 % interval 15.0% to 85.0%)")
    assert made.confusion.counts == ((1, 1, 0, 1), (0, 1, 0, 0), (0, 0, 0, 0))
    assert made.labelled()["label_true"].to_list() == ["complaint", "praise", "complaint", None, None]
    bob = opened(review(by="bob"))
    type_letters(bob, "rrrw")
    found = made.agreement if "bob" in made.agreement else review().agreement
    # right/right twice, not/right once, not/not once: observed 3/4, by chance 1/2 * 3/4 + 1/2 * 1/4 = 1/2
    assert found["bob"].value == pytest.approx(0.5)
    record = panel.kept[-1]
    assert "4 of 4 rows labelled" in record and "1 rows without an answer are left out" in record
    assert "| answered ↓" in record and "data:image/png" not in record
    panel.draw()
    assert "](data:image/png;base64," in panel.kept[-1]


def test_a_colleagues_file_is_compared_and_not_written_to(review, tmp_path):
    theirs = tmp_path / "bob.jsonl"
    type_letters(opened(review(labels=theirs, by="")), "rw")
    before = theirs.read_bytes()
    made = review(colleague=theirs)
    type_letters(opened(made), "rr")
    assert made.agreement["bob"].agreed == 1 and theirs.read_bytes() == before


def test_a_pandas_frame_is_reviewed_and_keeps_its_index(review):
    frame = pd.DataFrame({"review": ["a", "b"], "label": ["x", None]}, index=[7, 3])
    made = review(frame=frame)
    type_letters(opened(made), "r")
    back = made.labelled()
    assert list(back.index) == [7, 3] and back["label_label"].tolist()[0] == "right"
    assert back["label_true"].tolist()[0] == "x" and back["label_true"].isna().tolist() == [False, True]


def test_corrected_rows_are_exported_with_the_question_that_was_asked(review, tmp_path):
    made = review(prompt=PROMPT, system="Be short.")
    panel = opened(made)
    panel.export()
    assert "nothing to export" in panel._status.value
    type_letters(panel, "r")
    panel.fix()
    panel._fix.value = "other"
    panel._save.click()
    type_letters(panel, "w")
    panel._path.value = str(tmp_path / "corrected.jsonl")
    panel.export()
    assert "Written:" in panel._status.value
    [line] = [json.loads(line) for line in (tmp_path / "corrected.jsonl").read_text().splitlines()]
    asked = {"role": "user", "content": "Praise or complaint? Lovely!"}
    system = {"role": "system", "content": "Be short."}
    assert line == {"conversations": [system, asked, {"role": "assistant", "content": "other"}]}
    made.export(tmp_path / "all.jsonl", "llama-factory", right=True)
    both = [
        json.loads(line)["messages"][-1]["content"]
        for line in (tmp_path / "all.jsonl").read_text().splitlines()
    ]
    assert both == ["complaint", "other"]
    plain = review()
    plain.export(tmp_path / "plain.jsonl", "unsloth")
    assert json.loads((tmp_path / "plain.jsonl").read_text())["conversations"][0]["content"] == "Lovely!"


def test_the_panel_exports_pairs_and_says_what_is_left_out(review, tmp_path):
    panel = opened(review(prompt=PROMPT))
    for number, fix in enumerate(["praise", "sk-or-v1-" + "0a1b2c3d" * 4]):
        panel.fix()
        panel._fix.value = fix
        panel._save.click()
        assert len(panel._labels.labels_by()) == number + 1
    panel._form.value, panel._path.value = "dpo", str(tmp_path / "pairs.jsonl")
    panel.export()
    assert "Written:" in panel._status.value and "1 with an API key (sk-…)" in panel._status.value
    [pair] = [json.loads(line) for line in (tmp_path / "pairs.jsonl").read_text().splitlines()]
    assert [pair["chosen"][0]["content"], pair["rejected"][0]["content"]] == ["praise", "complaint"]
    panel._too.value = True
    panel.export()
    assert "right= has no meaning for 'dpo'" in panel._status.value.replace("&#x27;", "'")


def test_the_record_is_inert_whatever_stands_in_the_frame(review, tmp_path):
    attacks = json.loads((Path(__file__).parents[1] / "answer" / "attacks.json").read_text())
    held = [attack.encode(errors="replace").decode() for attack in attacks]  # polars holds no half characters
    for start in range(0, len(attacks), 10):
        labels, some = tmp_path / f"{start}.jsonl", held[start : start + 10]
        frame = pl.DataFrame({"review": some * 4, "label": some * 4})
        mine, theirs = Labels(labels, attacks[start]), Labels(labels, "bob" + attacks[start])
        rows = ReviewRows(frame, answer="label", source="review").all
        mine.give(rows[0].name, "fixed", attacks[start] + "?")
        mine.give(rows[1].name, "wrong")
        for row in rows[2:5]:
            mine.give(row.name, "right")
        theirs.give(rows[0].name, "right")
        made = review(frame=frame, labels=labels, by=attacks[start])
        assert made.agreement and made.confusion
        record = made._markdown().lower()
        assert "<script" not in record and "<img" not in record and "](" not in record and "$" not in record


def test_where_nobody_looks_the_record_is_all_there_is(review):
    made = review()
    made._ipython_display_()
    assert made._panel is None and made._exhibit is None


PANELS = """
import polars as pl
from qwennb import Qwen
from qwennb.notebook.widgets.playground_inputs import Inputs
from qwennb.notebook.widgets.playground_panel import PlaygroundPanel as Playground
from qwennb.notebook.widgets.review import Review
from qwennb.notebook.widgets.review_panel import ReviewPanel as Panel

review = Review(pl.DataFrame({"q": ["a"], "answer": ["b"]}), labels="labels.jsonl")
grid = Playground("x", Inputs(), 1, [(None, {})], Qwen(endpoint="simulator"))
grid.panels[0]._model.value = grid.panels[0]._model.options[-1]
grid._add.click()

def parts(widget):
    yield widget
    for part in getattr(widget, "children", ()):
        yield from parts(part)

for box in (Panel(review, review._rows, review._labels, review._others).box, grid.box):
    heard = [part.comm._reply_subshell_for({}, "theirs") == "theirs" for part in parts(box)]
    print(len(heard) > 20, all(heard))
"""


@pytest.mark.slow
def test_a_field_is_read_before_the_button_that_was_pressed_after_it(tmp_path):
    """The kernel may take the messages of two widgets on two threads; then the last letters of a correction are lost.

    Which thread takes a message is decided by a hook of the kernel's. Where there is none, there is one thread.
    """
    environ = {"HOME": str(tmp_path), "IPYTHONDIR": str(tmp_path), "QWENNB_CACHE_DIR": str(tmp_path)}
    kernel = Kernel({**environ, "PYTHONPATH": str(Path(__file__).parents[2])})
    try:
        kernel.run(f"import os; os.chdir({str(tmp_path)!r})")
        if kernel.value("hasattr(__import__('ipykernel.comm').comm.Comm, '_reply_subshell_for')") == "False":
            pytest.skip("this ipykernel takes all messages on one thread")
        ran = kernel.run(PANELS)
        assert ran.status == "ok", ran.outputs
        assert ran.printed == "True True\nTrue True\n"
    finally:
        kernel.stop()
