"""The judge of the test kit: it knows what is right, errs as it is told, and reads what is asked from the request alone."""

from __future__ import annotations

import json

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwennb.errors import BadInput, QwenFrameWarning, RequestRefused
from qwennb.request import (
    Block,
    groups_schema,
    matches_schema,
    order_schema,
    read_blocks,
    write_blocks,
)
from qwennb.testing import judge

MAILS = pl.DataFrame(
    {"id": range(200), "mail": [f"Mail number {n:03d}, {'late' if n % 4 else 'lovely'}." for n in range(200)]}
)


def is_late(row):
    return "late" if "late" in row["mail"] else "lovely"


def test_a_judge_answers_every_row_verb_by_what_is_right():
    few = MAILS.head(8)
    with judge(rows=few, label=is_late) as j:
        assert few.qwen.classify("mail", ["late", "lovely"], client=j.client)["label"].to_list() == list(
            map(is_late, few.to_dicts())
        )
        assert few.qwen.ask("In a word: {{ mail }}", client=j.client)["answer"][1] == "late"
        assert (
            few.qwen.ask("{{ id }}. {{ mail }}?", choices=["lovely", "late"], client=j.client)["answer"][1]
            == "late"
        )
        assert j.kinds == {"label": 16, "text": 8} and j.calls == 24
    with judge(rows=few, label=lambda row: row["id"] == 3) as j:
        assert few.qwen.filter("{{ mail }} is the third", client=j.client)["id"].to_list() == [3]
    with judge(rows=few, label=lambda row: row["id"] / 10) as j:
        assert few.qwen.score("mail", "how late", client=j.client)["score"].to_list() == [
            n / 10 for n in range(8)
        ]
    with judge(rows=few, label=lambda row: {"number": row["id"], "word": is_late(row)}) as j:
        got = few.qwen.extract("mail", "number int, word", into="got", client=j.client)["got"]
        assert got[3] == {"number": 3, "word": "late"}
    with judge(rows=few, label=lambda row: [is_late(row)]) as j:
        both = few.qwen.classify("mail", ["late", "lovely"], several=True, client=j.client)["label"]
        assert both.to_list()[:2] == [["lovely"], ["late"]]


def test_a_judge_errs_as_often_as_it_is_told_and_always_in_the_same_rows():
    with judge(rows=MAILS, label=is_late, agree={"flash": 0.9}) as j:
        asked = {
            model: MAILS.qwen.classify("mail", ["late", "lovely", "neither"], model=model, client=j.client)[
                "label"
            ]
            for model in ("plus", "flash")
        }
        right = pl.Series(map(is_late, MAILS.to_dicts()))
        again = MAILS.qwen.classify(
            "mail", ["late", "lovely", "neither"], model="flash", cache="refresh", client=j.client
        )["label"]
        assert j.models == {"qwen3.5-plus": 200, "qwen3.5-flash": 400}
    assert (asked["plus"].cast(pl.String) == right).all()
    assert 0.83 < (asked["flash"].cast(pl.String) == right).mean() < 0.96
    assert again.equals(asked["flash"])


def test_a_judge_may_err_by_the_row():
    with judge(rows=MAILS, label=is_late, agree=lambda row: 1.0 if row["id"] < 100 else 0.0) as j:
        said = MAILS.qwen.classify("mail", ["late", "lovely"], client=j.client)["label"].cast(pl.String)
    right = pl.Series(map(is_late, MAILS.to_dicts()))
    assert (said == right).to_list() == [n < 100 for n in range(200)]


def test_what_a_judge_says_unreadably_is_a_failed_row_as_from_any_model():
    with (
        judge(rows=MAILS, label=is_late, unreadable=0.1) as j,
        pytest.warns(QwenFrameWarning, match="failed"),
    ):
        said = MAILS.qwen.classify("mail", ["late", "lovely"], client=j.client)["label"]
    assert 8 < said.null_count() < 35


def test_a_judge_may_take_what_stands_first():
    with judge(rows=MAILS, label=is_late, position_bias=1.0) as j:
        said = MAILS.qwen.classify("mail", ["neither", "late", "lovely"], client=j.client)["label"]
    assert said.unique().to_list() == ["neither"]


def test_a_judge_that_can_not_tell_the_row_says_so_where_the_answer_is_missing():
    frame = pl.DataFrame({"mail": ["one mail", "of two minds", "of two minds"], "id": [1, 2, 3]})
    with judge(rows=frame, label=lambda row: str(row["id"])) as j:
        with pytest.raises(RequestRefused, match="The judge can't tell: BadInput: none of rows= stands in"):
            j.client.ask("Which word is this? zzz")
        with pytest.raises(
            RequestRefused, match="2 rows of rows= stand in 'of two minds', and what is right"
        ):
            j.client.ask("of two minds")
        assert j.client.ask("one mail").text == "1"
    with judge(rows=frame, label=lambda row: row["mail"]) as j:  # where it is the same of both, both will do
        assert j.client.ask("Of which? of two minds").text == "of two minds"


WINDOW = ["Mail number 004, lovely.", "Mail number 001, late.", "Mail number 008, lovely."]


def ask_window(j, question, schema, texts=WINDOW, left=None):
    blocks = write_blocks(texts, "row" if left is None else "right")
    before = "" if left is None else write_blocks([left], "left") + "\n"
    answer = j.client.ask(f"{question}\n{before}{blocks}", schema=schema)
    return next(iter(answer.data.values()))


def test_a_judge_groups_orders_and_matches_the_rows_of_a_window():
    with judge(
        rows=MAILS,
        same=lambda a, b: is_late(a) == is_late(b),
        order=lambda a, b: a["id"] - b["id"],
    ) as j:
        assert ask_window(j, "Which are the same?", groups_schema(3)) == [[1, 3], [2]]
        assert ask_window(j, "Which is last?", order_schema(3)) == [3, 1, 2]
        assert ask_window(j, "Which match?", matches_schema(3), left="Mail number 012, lovely.") == [1, 3]
        assert j.kinds == {"groups": 1, "order": 1, "matches": 1}


def test_a_judge_of_a_join_knows_both_sides():
    left, right = pl.DataFrame({"a": ["alpha"]}), pl.DataFrame({"b": ["beta", "alphabet"]})
    with judge(rows=(left, right), same=lambda a, b: b["b"].startswith(a["a"])) as j:
        assert ask_window(j, "Which match?", matches_schema(2), ["beta", "alphabet"], left="alpha") == [2]


def test_a_judge_may_go_against_its_own_order_and_do_so_again():
    texts = MAILS["mail"].to_list()[:12]
    with judge(rows=MAILS, order=lambda a, b: a["id"] - b["id"], intransitive=0.2) as j:
        first = ask_window(j, "Which is last?", order_schema(12), texts)
        again = ask_window(j, "And again, which?", order_schema(12), texts)
    assert sorted(first) == list(range(1, 13)) and first == again != list(range(12, 0, -1))


@given(st.lists(st.text(st.sampled_from('<>/&;\n row lt amp n="1" left right')), max_size=4))
def test_what_stands_in_a_block_is_read_back_as_it_was(texts):
    assert read_blocks(f"Which?\n{write_blocks(texts)}\nSay.") == [
        Block("row", number, text) for number, text in enumerate(texts, start=1)
    ]


@given(
    st.lists(
        st.sampled_from(
            ["<", "</", "&lt;", "&amp;", "row", "left", ' n="2">', "\n", "</row>", '<row n="1">', "x"]
        ),
        max_size=9,
    )
)
def test_a_text_that_looks_like_a_block_ends_none(pieces):
    texts = ["".join(pieces), "b"]
    assert [block.text for block in read_blocks(write_blocks(texts))] == texts


def test_a_judge_refuses_a_share_that_is_none_and_rows_that_are_no_table():
    with (
        pytest.raises(BadInput, match="agree=2 must be from 0 to 1"),
        judge(rows=MAILS, label=is_late, agree=2),
    ):
        pass
    with pytest.raises(BadInput, match="unreadable=-1"), judge(rows=MAILS, label=is_late, unreadable=-1):
        pass
    with pytest.raises(BadInput, match="rows="), judge(rows=5, label=is_late):
        pass


def test_a_function_that_a_judge_was_not_given_is_named_where_it_is_missed():
    with judge(rows=MAILS, label=is_late) as j, pytest.raises(RequestRefused, match="was given no same="):
        ask_window(j, "Which are the same?", groups_schema(3))


def test_forms_of_windows_hold_each_position():
    for schema in (groups_schema(3), order_schema(3), matches_schema(3)):
        assert json.dumps(schema).count('"maximum": 3') == 1
