"""Reviewing: which rows are looked at, what a key does, and what comes out."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import pandas as pd
import polars as pl
import pytest
from PIL import Image

from qwennb.errors import BadInput, TemplateError
from qwennb.notebook.widgets.review import Review
from qwennb.notebook.widgets.review_rows import ReviewRows
from qwennb.tuning import Labels

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


def press(panel, letters):
    """Press *letters*, one after the other, as the page sends them; what is seen then."""
    for letter in letters:
        panel.act("press", letter=letter)
    return seen(panel)


def seen(panel):
    """The row that is seen."""
    with panel.lock:
        panel.draw()
    return panel.row


def source(panel):
    return seen(panel)["source"][0][1]


def verdicts(panel):
    return [label.verdict for label in panel._labels.labels_by().values()]


# ---------------------------------------------------------------------- letters


def test_a_letter_acts_at_once_and_the_next_row_is_shown(review, tmp_path):
    panel = review()
    assert source(panel) == "The soup was cold." and panel.row["answer"] == "complaint"
    press(panel, "r")
    assert source(panel) == "Lovely!"
    press(panel, "w")
    assert source(panel) == "We waited an hour." and panel.notice == "Row 2 is labelled wrong."
    written = [json.loads(line) for line in (tmp_path / "labels.jsonl").read_text().splitlines()]
    assert [(line["verdict"], line["by"]) for line in written] == [("right", "ada"), ("wrong", "ada")]
    press(panel, "uu")
    assert source(panel) == "The soup was cold." and verdicts(panel) == []
    press(panel, "u")
    assert panel.notice == "There is nothing to undo."
    press(panel, "nnp")
    assert source(panel) == "Lovely!"
    press(panel, "xRé0-")
    assert verdicts(panel) == [] and source(panel) == "Lovely!"


def test_after_a_label_comes_the_next_row_that_has_none(review):
    panel = review()
    press(panel, "nrpp")  # the second is labelled; back to the first
    assert press(panel, "w")["number"] == 3
    assert verdicts(panel) == ["right", "wrong"]


def test_the_page_is_told_which_of_its_letters_were_taken(review):
    panel = review()
    panel.act("press", letter="r", turn=7)
    panel.act("fix", text="other", turn=8)
    seen(panel)
    assert panel.turn == 8 and verdicts(panel) == ["right", "fixed"]


def test_a_number_says_which_class_is_true(review):
    panel = review()
    press(panel, "2")  # praise, complaint, other: as it was answered
    press(panel, "3")
    press(panel, "9")
    assert [(label.verdict, label.fix) for label in panel._labels.labels_by().values()] == [
        ("right", None),
        ("fixed", "other"),
    ]


def test_labels_that_are_texts_have_numbers_where_they_come_again(review):
    frame = pl.DataFrame({"q": list("abcd"), "label": ["yes", "no", "no", "yes"]})
    assert review(frame=frame, source="q")._rows.choices == ["no", "yes"]
    assert review(frame=frame.head(2), source="q")._rows.choices == []


def test_a_correction_has_to_be_one(review):
    panel = review()
    panel.act("fix", text=" ")
    assert "empty" in panel.notice
    panel.act("fix", text="complaint")
    assert "as it was" in panel.notice and verdicts(panel) == []
    panel.act("fix", text="other")
    [label] = panel._labels.labels_by().values()
    assert (label.verdict, label.fix) == ("fixed", "other")


def test_a_correction_stands_beside_the_answer_when_its_row_is_seen_again(review):
    texts = pl.DataFrame({"q": ["one", "two"], "answer": ["A long answer.", "Another."]})
    panel = review(frame=texts, answer="answer", source="q")
    panel.act("fix", text="A long answer,\nmade better.")
    press(panel, "p")
    assert panel.row["answer"] == "A long answer." and panel.row["fix"] == "A long answer,\nmade better."


def test_the_end_is_said_and_a_label_there_still_counts(review):
    panel = review()
    press(panel, "rrrr")
    assert "No row without a label follows" in panel.notice
    assert source(panel) == "Fine."
    press(panel, "w")
    assert verdicts(panel) == ["right", "right", "right", "wrong"]


def test_a_review_goes_on_where_it_was_left(review, tmp_path):
    first = review(name="mine")
    press(first, "rw")
    first.act("choose", which="wrong")
    seen(first)
    again = review(name="mine")
    assert source(again) == "Lovely!" and again.chosen["which"] == "wrong", "the panel of that name"
    assert source(review(name="another")) == "We waited an hour.", "the file"
    assert source(review(name="mine", labels=tmp_path / "more.jsonl")) == "The soup was cold."


def test_a_label_that_could_not_be_kept_is_said_and_does_not_count(review, tmp_path):
    panel = review(labels=tmp_path / "gone" / "labels.jsonl")
    press(panel, "r")
    assert "not kept" in panel.notice and source(panel) == "The soup was cold."
    assert verdicts(panel) == []


def test_what_no_page_of_ours_would_send_changes_nothing(review):
    panel = review()
    for kind, fields in [
        ("press", {"letter": 5}), ("press", {}), ("fix", {"text": None}), ("choose", {"which": "nothing"}),
        ("export", {"path": "x", "form": "trl"}), ("_give", {"verdict": "right"}), ("press", {"letter": "rr"}),
    ]:  # fmt: skip
        panel.act(kind, **fields)
    assert verdicts(panel) == [] and panel.chosen.get("which", "all rows") == "all rows"


# ---------------------------------------------------------------------- which rows


def test_of_ten_thousand_rows_no_more_than_one_is_sent(review):
    frame = pl.DataFrame({"review": [f"review {n}" for n in range(10_000)], "label": ["praise"] * 10_000})
    panel = review(frame=frame)
    press(panel, "r")
    assert (
        len(json.dumps({name: getattr(panel, name) for name in ("setup", "chosen", "row", "tally")})) < 2_000
    )


def test_rows_are_chosen_by_label_by_disagreement_and_by_confidence(review, tmp_path):
    labels = tmp_path / "labels.jsonl"
    rows = ReviewRows(FRAME, answer="label", source="review").all
    ada, bob = Labels(labels, "ada"), Labels(labels, "bob")
    ada.give(rows[0].name, "right")
    ada.give(rows[1].name, "wrong")
    ada.give(rows[2].name, "fixed", "complaint")
    bob.give(rows[0].name, "fixed", "praise")
    bob.give(rows[2].name, "wrong")
    panel = review(other="second", confidence="sure")

    def numbers(which, **given):
        panel.act("choose", which=which, **given)
        return [row.number for row in panel._shown]

    assert numbers("all rows") == [0, 1, 2, 3]  # the last one has no answer
    assert numbers("not labelled") == [3]
    assert [numbers(which) for which in ("right", "wrong", "fixed")] == [[0], [1], [2]]
    assert numbers("answers differ") == [2, 3]
    assert numbers("reviewers differ") == [0]
    assert numbers("low confidence") == [2, 3]  # the least sure first
    assert numbers("low confidence", below=0.85) == [2, 3, 1]
    assert numbers("low confidence", below=0) == []
    assert panel.notice == "No such row." and seen(panel) == {}
    press(panel, "r")
    panel.act("fix", text="x")
    press(panel, "u")  # undone: the last of hers
    assert Labels(labels, "ada").labels_by().keys() == {rows[0].name, rows[1].name}


def test_labels_stay_with_their_rows_when_the_frame_is_sorted_or_an_answer_changes(review):
    press(review(), "rw")
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
    assert made.accuracy is None and made.confusion is None and made.agreement == {}
    made.act("picture")
    assert "no confusion matrix" in made.notice
    press(made, "rr")
    made.act("fix", text="complaint")
    press(made, "w")
    assert str(made.accuracy).startswith("50.0% right (2 of 4; 95 % interval 15.0% to 85.0%)")
    assert made.confusion.counts == ((1, 1, 0, 1), (0, 1, 0, 0), (0, 0, 0, 0))
    assert made.labelled()["label_true"].to_list() == ["complaint", "praise", "complaint", None, None]
    assert made.tally["done"] == 4 and made.tally["share"][0] == 0.5 and made.tally["confusion"]["counts"]
    press(review(by="bob"), "rrrw")
    found = review().agreement
    # right/right twice, not/right once, not/not once: observed 3/4, by chance 1/2 * 3/4 + 1/2 * 1/4 = 1/2
    assert found["bob"].value == pytest.approx(0.5)
    record = made.record[0]
    assert "4 of 4 rows labelled" in record and "1 rows without an answer are left out" in record
    assert "| answered ↓" in record and "data:image/png" not in record
    made.act("picture")
    seen(made)
    assert "](data:image/png;base64," in made.record[0]
    press(made, "u")
    assert "data:image/png" not in made.record[0], "a picture of what was"


def test_a_colleagues_file_is_compared_and_not_written_to(review, tmp_path):
    theirs = tmp_path / "bob.jsonl"
    press(review(labels=theirs, by=""), "rw")
    before = theirs.read_bytes()
    made = review(colleague=theirs)
    press(made, "rr")
    assert made.agreement["bob"].agreed == 1 and theirs.read_bytes() == before


def test_a_pandas_frame_is_reviewed_and_keeps_its_index(review):
    frame = pd.DataFrame({"review": ["a", "b"], "label": ["x", None]}, index=[7, 3])
    made = review(frame=frame)
    press(made, "r")
    back = made.labelled()
    assert list(back.index) == [7, 3] and back["label_label"].tolist()[0] == "right"
    assert back["label_true"].tolist()[0] == "x" and back["label_true"].isna().tolist() == [False, True]


def test_corrected_rows_are_exported_with_the_question_that_was_asked(review, tmp_path):
    made = review(prompt=PROMPT, system="Be short.")
    made.act("write", path=str(tmp_path / "none.jsonl"), form="unsloth")
    assert "nothing to export" in made.notice
    press(made, "r")
    made.act("fix", text="other")
    press(made, "w")
    made.act("write", path=str(tmp_path / "corrected.jsonl"), form="unsloth")
    assert "Written:" in made.notice
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
    panel = review(prompt=PROMPT)
    for fix in ["praise", "sk-or-v1-" + "0a1b2c3d" * 4]:
        panel.act("fix", text=fix)
    assert verdicts(panel) == ["fixed", "fixed"]
    panel.act("write", path=str(tmp_path / "pairs.jsonl"), form="dpo")
    assert "Written:" in panel.notice and "1 with an API key (sk-…)" in panel.notice
    [pair] = [json.loads(line) for line in (tmp_path / "pairs.jsonl").read_text().splitlines()]
    assert [pair["chosen"][0]["content"], pair["rejected"][0]["content"]] == ["praise", "complaint"]
    panel.act("write", path=str(tmp_path / "pairs.jsonl"), form="dpo", right=True)
    assert "right= has no meaning for 'dpo'" in panel.notice


# ---------------------------------------------------------------------- without sight of the answer

TODO = FRAME.with_columns(
    label_meta=pl.col("label"), draw_id=pl.lit("label/5/0/review/1"), draw_weight=pl.lit(2.0)
)


def test_of_a_drawn_row_the_page_is_told_no_word_of_the_answer(review):
    panel = review(frame=TODO, source=None, other="second", confidence="sure")
    assert panel._rows.all[0].parts == (("review", "The soup was cold."),), "nor the design, nor its meta"
    for text in ("complaint", "praise", "other", "complaint"):
        seen(panel)
        told = json.dumps([panel.row, panel.tally, panel.chosen["ways"], panel.record])
        assert not any(word in told for word in ("complaint", "praise", "other", "right", 'confusion": {'))
        assert "0.9" not in told and "is told when all rows are labelled" in told
        panel.act("fix", text=text)
        assert panel.notice.startswith(f"Row {len(verdicts(panel))} is labelled {text}.")
    press(panel, "r")
    assert "Say what is true" in panel.notice and len(verdicts(panel)) == 4
    assert seen(panel)["number"] == 5, "a row without an answer has a truth too"
    press(panel, "3")
    assert seen(panel)["answer"] == "(no answer)" and panel.tally["share"][0] == 2 / 5
    assert verdicts(panel) == ["right", "right", "fixed", "fixed", "fixed"]
    assert panel.labelled()["label_true"].to_list() == ["complaint", "praise", "other", "complaint", "other"]
    assert "(no answer)" in panel.record[0]


def test_whether_the_answer_is_seen_can_be_said(review):
    assert "answer" not in seen(review(hide_answer=True))
    assert seen(review(frame=TODO, hide_answer=False))["answer"] == "complaint"


def test_what_was_labelled_blind_is_seen_without_the_answer(review):
    panel = review(frame=TODO)
    press(panel, "1p")
    assert panel.row["fix"] == "praise" and "answer" not in panel.row
    press(panel, "2p")
    assert panel.row["fix"] == "complaint" and panel.row["verdict"] == "given", (
        "as it was answered, and so not told"
    )


# ---------------------------------------------------------------------- pictures


def test_a_column_of_bytes_is_seen_as_pictures_drawn_anew(review):
    drawn = io.BytesIO()
    Image.new("RGB", (3000, 8), "red").save(drawn, "JPEG", comment=b"<script>")
    frame = pl.DataFrame({"photo": [drawn.getvalue(), b"<svg onload=alert(1)>"], "label": ["red", "red"]})
    panel = review(frame=frame, source="photo")
    [[name, text, picture]] = seen(panel)["source"]
    head, _, content = picture.partition(",")
    assert (name, head) == ("photo", "data:image/png;base64") and "bytes, sha256" in text
    with Image.open(io.BytesIO(base64.b64decode(content))) as shown:
        assert shown.format == "PNG" and shown.size == (1200, 3) and shown.getpixel((9, 1))[0] > 250
    assert press(panel, "r")["source"][0][2] is None


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
        seen(made)
        record = made.record[0].lower()
        assert "<script" not in record and "<img" not in record and "](" not in record and "$" not in record


def test_where_nobody_looks_the_record_is_all_there_is(review, capsys):
    made = review()
    made._ipython_display_()
    assert "0 of 4 rows labelled." in made.record[1]


def test_drawn_rows_are_labelled_here_and_give_an_estimate(review):
    gold = ["praise"] * 5 + ["complaint"] * 3
    table = pl.DataFrame({"review": [f"review {n}: {gold[n % 8]}" for n in range(800)]}).with_columns(
        label=pl.when(pl.int_range(800) % 10 == 0).then(None).otherwise(pl.lit("praise")),
        label_meta=pl.lit("x"),
    )
    panel = review(frame=table.qwen.draw("label", n=60, key="review"), source=None)
    for _ in range(60):
        [[name, text, _]] = seen(panel)["source"]
        assert name == "review" and "answer" not in panel.row
        panel.act("fix", text=text.rpartition(" ")[2])
    done = panel.labelled()
    assert done["label_true"].null_count() == 0
    found = table.qwen.estimate.share("label", of="complaint", human="label_true", drawn=done)
    assert abs(found.value - 3 / 8) < 0.2 and "60 human labels" in str(found)
