"""How far two answers agree, by kind; which answer stands beside which; and a report that nothing in an answer can bring to life."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwennb import Answer
from qwennb.answer import with_quotes
from qwennb.notebook.drift import CellQuestions, agreement, drift, page_of
from qwennb.notebook.drift.agreement import kind_of, similarity
from qwennb.request import CitedSchema, Message, Request, Schema, Settings, Text, ToolCall


def answer(text, question="q", **request) -> Answer:
    made = Request(request.pop("model", "old"), (Message("user", (Text(question),)),), **request)
    return Answer(made, text=text, endpoint="vllm:m", served_by="m")


def called(*calls: tuple[str, str]) -> Answer:
    return replace(answer(""), tool_calls=tuple(ToolCall(f"c{i}", *call) for i, call in enumerate(calls)))


# ---------------------------------------------------------------------- by kind


def test_a_choice_agrees_or_it_does_not():
    yes, no, wrapped = (answer(t, choices=("yes", "no")) for t in ("yes", "no", '{"answer": "yes"}'))
    assert agreement(yes, yes).share == 1 and agreement(yes, no).share == 0
    assert not agreement(yes, wrapped).changed, "how the choice was spelled is no difference"
    assert kind_of(yes) == "choice"


@pytest.mark.parametrize(
    ("before", "after", "tolerance", "same"),
    [
        ("100", "101", 0.01, True),
        ("100", "102", 0.01, False),
        ("-5", "5", 0.01, False),
        ("0", "0.001", 0.01, False),
        ("1,200", "1200", 0.0, True),
        ("0.70", "0.7", 0.0, True),
    ],
)
def test_a_number_agrees_within_the_tolerance(before, after, tolerance, same):
    found = agreement(answer(before), answer(after), tolerance=tolerance)
    assert found.kind == "number" and found.changed != same


def test_claims_with_quotes_are_compared_as_the_text_that_they_are():
    said = '{"claims": [{"quotes": ["q"], "claim": "It is five pounds."}]}'
    before = with_quotes(answer(said, schema=CitedSchema.around(None)))
    after = with_quotes(answer(said.replace("five", "six"), schema=CitedSchema.around(None)))
    found = agreement(before, after)
    assert found.kind == "text" and 0.5 < found.share < 1


def test_a_score_in_a_schema_is_a_number():
    schema = Schema.of("score float")
    assert kind_of(answer('{"score": 0.5}', schema=schema)) == "number"
    assert not agreement(
        answer('{"score": 0.5}', schema=schema), answer('{"score": 0.502}', schema=schema)
    ).changed


def test_a_schema_agrees_by_the_share_of_its_fields_and_names_those_that_do_not():
    schema = Schema.of({"type": "object", "properties": {"item": {"type": "string"}}})
    before = answer(
        '{"item": "Tea ", "amount": 2, "to": {"city": "Ulm", "zip": null}, "tags": ["a", "b"]}', schema=schema
    )
    after = answer('{"item": "tea", "amount": 3, "to": {"city": "Ulm"}, "tags": ["a"]}', schema=schema)
    found = agreement(before, after)
    assert found.kind == "schema" and found.fields == ("amount", "to.zip", "tags[1]")
    assert found.share == pytest.approx(3 / 6)


def test_a_number_and_a_flag_are_not_the_same():
    schema = Schema.of("a int, b str")
    assert agreement(
        answer('{"a": 1, "b": "x"}', schema=schema), answer('{"a": true, "b": "x"}', schema=schema)
    ).fields == ("a",)


def test_a_tool_call_agrees_by_function_and_argument():
    found = agreement(
        called(("find", '{"city": "Ulm", "day": 1}')), called(("find", '{"day": 2, "city": "Ulm"}'))
    )
    assert found.kind == "tool call" and found.share == 0.5 and found.fields == ("[0].find.day",)
    assert agreement(called(("find", "{}")), answer("I would look it up.")).share < 1


def test_texts_agree_by_the_words_they_share_in_order():
    assert similarity("The sky is blue.", "the sky, is  BLUE") == 1
    assert similarity("a b c d", "a x c d") == pytest.approx(0.75)
    assert similarity("a b c d", "d c b a") == pytest.approx(0.25)
    assert similarity("今天天气很好", "今天天气不好") == pytest.approx(5 / 6)
    assert similarity("", "") == 1 and similarity("…", "!") == 0 and similarity("words", "") == 0


def plain_lcs(one: list[str], other: list[str]) -> int:
    row = [0] * (len(other) + 1)
    for a in one:
        new = [0]
        for j, b in enumerate(other):
            new.append(row[j] + 1 if a == b else max(row[j + 1], new[j]))
        row = new
    return row[-1]


@given(st.lists(st.sampled_from("abcd"), max_size=40), st.lists(st.sampled_from("abcd"), max_size=40))
def test_the_fast_way_to_compare_is_the_plain_one(one, other):
    if one or other:
        assert similarity(" ".join(one), " ".join(other)) == 2 * plain_lcs(one, other) / (
            len(one) + len(other)
        )
    assert similarity(" ".join(one), " ".join(other)) == similarity(" ".join(other), " ".join(one))


def test_what_was_not_answered_agrees_with_nothing():
    assert agreement(answer("text"), None).share == 0


# ---------------------------------------------------------------------- pairs


def asked(number, *answers, outputs="", trouble="") -> CellQuestions:
    return CellQuestions(number, f"cell {number}", answers, outputs, trouble)


def test_answers_to_the_same_question_are_a_pair_in_whatever_order_they_came():
    before = [asked(1, answer("a", "one"), answer("b", "two"))]
    after = [asked(1, answer("b", "two", model="new"), answer("x", "one", model="new"))]
    report = drift("n.ipynb", before, after, day="2026-11-21")
    assert [(p.before.text, p.after.text, p.agreement.changed, p.otherwise) for p in report.pairs] == [
        ("a", "x", True, False),
        ("b", "b", False, False),
    ]
    assert report.before == "old at vllm" and report.after == "new at vllm"


def test_a_question_that_holds_an_earlier_answer_is_paired_by_its_place_and_said_so():
    before = [asked(1, answer("a", "one")), asked(2, answer("b", "shorten a"), answer("c", "same"))]
    after = [asked(1, answer("x", "one")), asked(2, answer("y", "shorten x"), answer("c", "same"))]
    pairs = drift("n", before, after, day="").pairs
    assert [(p.cell, p.position, p.after.text, p.otherwise) for p in pairs] == [
        (1, 1, "x", False),
        (2, 1, "y", True),
        (2, 2, "c", False),
    ]


def test_other_settings_are_no_other_question():
    cold, warm = {"settings": Settings.of(temperature=0)}, {"settings": Settings.of(temperature=0.9)}
    before = [asked(1, answer("a", "one", **cold), answer("b", "two", **cold))]
    after = [asked(1, answer("b", "two", **warm), answer("x", "one", **warm))]
    report = drift("n", before, after, day="", options="temperature=0.9")
    assert [(p.before.text, p.after.text, p.otherwise) for p in report.pairs] == [
        ("a", "x", False),
        ("b", "b", False),
    ]
    assert report.after == "old at vllm with temperature=0.9"


def test_a_question_asked_with_several_settings_stands_beside_the_one_with_the_same():
    low, high = ({"settings": Settings.of(temperature=t)} for t in (0.1, 0.9))
    before = [asked(1, answer("low", "q", **low), answer("high", "q", **high))]
    after = [asked(1, answer("high", "q", **high), answer("low", "q", **low))]
    assert [p.after.text for p in drift("n", before, after, day="").pairs] == ["low", "high"]


def test_what_is_missing_counts_as_changed_and_what_is_new_is_counted():
    report = drift("n", [asked(1, answer("a", "one"))], [asked(1), asked(2, answer("z", "z"))], day="")
    assert report.pairs[0].after is None and report.agreement == 0
    report = drift(
        "n", [asked(1, answer("a", "one"))], [asked(1, answer("a", "one"), answer("b", "two"))], day=""
    )
    assert report.added == 1 and report.agreement == 1


def test_a_cell_that_shows_something_else_or_fails_is_told():
    before = [asked(1, outputs="3 yes"), asked(2, outputs="fine"), asked(3, outputs="same")]
    after = [asked(1, outputs="2 yes"), asked(2, trouble="ValueError: no"), asked(3, outputs="same")]
    assert [(m.number, m.before, m.after) for m in drift("n", before, after, day="").moved] == [
        (1, "3 yes", "2 yes"),
        (2, "fine", "ValueError: no"),
    ]


def test_the_sums_are_by_kind_and_of_all():
    before = [
        asked(
            1,
            answer("yes", "a", choices=("yes", "no")),
            answer("a b", "b"),
            answer("no", "c", choices=("yes", "no")),
        )
    ]
    after = [
        asked(
            1,
            answer("no", "a", choices=("yes", "no")),
            answer("a c", "b"),
            answer("no", "c", choices=("yes", "no")),
        )
    ]
    sums = {
        row.kind: (row.answers, row.changed, row.agreement)
        for row in drift("n", before, after, day="").sums()
    }
    assert sums == {"choice": (2, 1, 0.5), "text": (1, 1, 0.5), "all": (3, 2, 0.5)}


# ---------------------------------------------------------------------- the page


class Tags(HTMLParser):
    """Every tag and attribute of a page, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags, self.attributes, self.text = set(), set(), []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data):
        self.text.append(data)


ATTACK = (
    '<script>alert(1)</script><img src=x onerror=go()> "\' </pre></style><a href="javascript:x">\u202e\x1b[2J'
)


def test_nothing_in_an_answer_comes_to_life_in_the_page():
    before, after = answer("a", ATTACK), answer(ATTACK, ATTACK)
    report = drift(
        ATTACK,
        [CellQuestions(1, ATTACK, (before,), ATTACK)],
        [CellQuestions(1, ATTACK, (after,), "else")],
        day="2026-11-21",
    )
    page = Tags(page_of(report))
    assert page.tags <= {"html", "head", "meta", "title", "style", "body", "main", "h1", "h2", "h3", "p", "table", "thead",
        "tbody", "tr", "th", "td", "section", "div", "b", "pre", "del", "ins"}  # fmt: skip
    assert page.attributes <= {"lang", "charset", "http-equiv", "content", "name", "class", "scope"}
    shown = "".join(page.text)
    assert "<script>alert(1)</script>" in shown and "[U+202E]" in shown and "[U+001B]" in shown
    assert "\x1b" not in page_of(report) and "\u202e" not in page_of(report)
    assert "default-src 'none'" in page_of(report)


def test_the_page_marks_what_only_one_of_them_has():
    report = drift("n", [asked(1, answer("a cold soup"))], [asked(1, answer("a hot soup"))], day="")
    assert "<del>cold</del> soup" in page_of(report) and "<ins>hot</ins> soup" in page_of(report)


def test_how_a_model_broke_the_lines_of_its_json_is_no_difference_to_look_at():
    schema = Schema.of("item, amount int")
    before = answer('{\n "item": "tea",\n "amount": 2\n}', schema=schema)
    after = answer('{"item":"tea","amount":3}', schema=schema)
    page = page_of(drift("n", [asked(1, before)], [asked(1, after)], day=""))
    assert "{&quot;item&quot;: &quot;tea&quot;, &quot;amount&quot;: <del>2</del>}" in page


@pytest.mark.slow
def test_very_many_changed_answers_make_a_page_that_can_be_opened():
    before = [asked(1, *(answer("a", f"q{n}") for n in range(700)))]
    after = [asked(1, *(answer("b " * 2_100, f"q{n}") for n in range(700)))]
    page = page_of(drift("n", before, after, day=""))
    assert "… and 200 more" in page and page.count("<section>") == 500 and len(page) < 3_000_000
