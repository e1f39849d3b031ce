"""`cite=True`: what is asked, what comes back, and that no quote passes for proof that does not stand in what was sent."""

from __future__ import annotations

import json
import re
import warnings
from contextlib import suppress

import polars as pl
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Picture

from qwennb import Document, Qwen, load_pack
from qwennb.client import QwenWarning
from qwennb.errors import BadInput, InvalidAnswer, SchemaError
from qwennb.request import CitedSchema, Request, Schema, claims_in, parse_cited
from qwennb.simulator import Reply, ToolCall
from tests.papers import pdf

MAIL = "Dear Ada,\nthe pot costs five pounds.\nBob"


def claims(*pairs: tuple[str, str]) -> str:
    return json.dumps({"claims": [{"quotes": [quote], "claim": claim} for quote, claim in pairs]})


def fields(**pairs: tuple[str, object]) -> str:
    values = {name: value for name, (_, value) in pairs.items()}
    return json.dumps({"values": values, "quotes": {name: quote for name, (quote, _) in pairs.items()}})


SAID = claims(("The pot costs\nfive pounds", "It is 5 pounds."), ("six pounds", "Or 6."), ("", "It is blue."))


class Order(pydantic.BaseModel):
    """What is looked for."""

    name: str
    count: int | None = None


def test_each_claim_has_its_quote_with_its_place_or_a_mark_that_it_is_none(simulate, client):
    answer = client(simulate(script=[SAID])).ask("What is it? {{ mail }}", mail=MAIL, cite=True)
    assert answer.text == "It is 5 pounds. [1] Or 6. [2: not found in the source] It is blue. [no quote]"
    told = [(one.claim, one.quote, one.file, one.page, one.line, one.found) for one in answer.quotes]
    assert told == [
        ("It is 5 pounds.", "The pot costs\nfive pounds", "mail", None, 2, True),
        ("Or 6.", "six pounds", None, None, None, False),
        ("It is blue.", "", None, None, None, False),
    ]
    assert answer.said == SAID and answer.data is None


def test_words_of_fields_end_the_system_text_and_of_a_conversation_its_question(simulate, client):
    sim = simulate("vllm", script=[fields(name=("Bob", "Bob"))] * 4)
    qwen = client(sim)

    def sent():
        return [(one["role"], one["content"]) for one in sim.ledger.last().body["messages"]]

    words = qwen.ask(MAIL, schema="name", cite=True).request.schema.words
    assert sent() == [("system", words), ("user", MAIL)]
    qwen.ask(MAIL, schema="name", cite=True, system="Be brief.")
    assert sent()[0] == ("system", f"Be brief.\n\n{words}")
    chat = qwen.chat(system="Be kind.")
    chat.ask("Hello", cache="off")
    assert chat.ask(MAIL, schema="name", cite=True).quotes[0].found
    assert sent()[0] == ("system", "Be kind.") and sent()[-1] == ("user", f"{MAIL}\n\n{words}")
    mails = pl.DataFrame({"mail": [MAIL]})
    asked = mails.qwen.ask("{{ mail }}", schema="name", cite=True, client=qwen, progress=False)
    assert asked["answer"].to_list() == [{"name": "Bob"}] and sim.ledger.count("asked") == 4


def test_words_and_form_are_asked_for_in_the_request_and_named_by_its_key(simulate, client):
    sim = simulate("vllm", script=[SAID])
    qwen = client(sim)
    answer = qwen.ask("What is it? {{ mail }}", mail=MAIL, cite=True)
    body = sim.ledger.last().body
    words = answer.request.schema.words
    assert body["messages"][-1]["content"] == f"What is it? {MAIL}\n\n{words}"
    claim = body["response_format"]["json_schema"]["schema"]["properties"]["claims"]["items"]
    assert list(claim["properties"]) == ["quotes", "claim"], "a quote is copied before anything is claimed"
    again = Request.from_json(json.loads(json.dumps(answer.request.canonical())))
    assert again.key == answer.key and again.is_cited
    plain = qwen.session.build_request(
        "What is it? {{ mail }}", {"mail": MAIL}, qwen.session.split("", {})[0]
    )
    assert plain.key != answer.key and "cite" not in plain.canonical()
    off = qwen.session.split("", {"cite": False})[0]
    assert qwen.session.build_request("What is it? {{ mail }}", {"mail": MAIL}, off).key == plain.key


def test_a_recalled_answer_is_checked_anew_and_says_the_same(simulate, client):
    sim = simulate(script=[SAID])
    qwen = client(sim)
    first = qwen.ask("What is it? {{ mail }}", mail=MAIL, cite=True)
    again = qwen.ask("What is it? {{ mail }}", mail=MAIL, cite=True)
    assert again.cached and sim.ledger.count("asked") == 1
    assert (again.text, again.quotes, again.said) == (first.text, first.quotes, first.said)
    assert again.to_json()["text"] == SAID and "quotes" not in again.to_json()


def test_a_pack_replays_cited_answers_without_a_server(simulate, client, tmp_path):
    qwen = client(simulate(script=[SAID, fields(name=("Ada", "Ada"), count=("", None))]))
    asked = {"mail": MAIL, "cite": True}
    first = qwen.ask("What is it? {{ mail }}", **asked)
    order = qwen.ask("{{ mail }}", schema=Order, **asked)
    path = tmp_path / "answers.qwenpack"
    qwen.pack(first, order).write(path)
    pack = load_pack(path)
    reader = Qwen(cache="replay", cache_dir=tmp_path / "other")
    assert reader.ask("What is it? {{ mail }}", **asked).quotes == first.quotes
    assert reader.ask("{{ mail }}", schema=Order, **asked).data == Order(name="Ada")
    # Read from the pack itself, nobody gives the values: a place is one in the question, and what is proof stays proof.
    found = {answer.key: [one.found for one in answer.quotes] for answer in pack}
    assert found == {answer.key: [one.found for one in answer.quotes] for answer in (first, order)}


def test_a_schema_gives_its_own_value_and_a_quote_for_each_field(simulate, client):
    said = fields(name=("Dear Ada", "Ada"), count=("five", 5))
    for schema, value in (
        (Order, Order(name="Ada", count=5)),
        ("name, count int?", {"name": "Ada", "count": 5}),
    ):
        answer = client(simulate(script=[said]), cache="off").ask("{{ m }}", m=MAIL, schema=schema, cite=True)
        assert answer.data == value
        assert json.loads(answer.text) == {"name": "Ada", "count": 5}
        assert [(one.claim, one.line, one.found) for one in answer.quotes] == [
            ("name", 1, True),
            ("count", 2, True),
        ]


def test_a_field_that_is_null_claims_nothing(simulate, client):
    said = fields(name=("Ada", "Ada"), count=("five", None))
    answer = client(simulate(script=[said])).ask("{{ m }}", m=MAIL, schema=Order, cite=True)
    assert [one.claim for one in answer.quotes] == ["name"]


def test_a_value_that_the_schema_refuses_is_asked_again(simulate, client):
    sim = simulate(
        "dashscope",
        script=[fields(name=("Ada", 5), count=("", None)), fields(name=("Ada", "Ada"), count=("", None))],
    )
    answer = client(sim).ask("{{ m }}", m=MAIL, schema=Order, cite=True)
    assert answer.attempts == 2 and answer.data == Order(name="Ada")
    with pytest.raises(InvalidAnswer):
        client(simulate("dashscope", script=["It is five."] * 3)).ask("{{ m }}", m=MAIL, cite=True)


def test_a_claim_may_rest_on_several_quotes(simulate, client):
    both = {
        "claims": [
            {"quotes": ["Dear Ada", "six", "five pounds"], "claim": "Five."},
            {"quotes": [" "], "claim": "So."},
        ]
    }
    answer = client(simulate(script=[json.dumps(both)])).ask("What? {{ m }}", m=MAIL, cite=True)
    assert answer.text == "Five. [1] [2: not found in the source] [3] So. [no quote]"
    assert [(one.claim, one.line) for one in answer.quotes] == [
        ("Five.", 1),
        ("Five.", None),
        ("Five.", 2),
        ("So.", None),
    ]


def test_the_same_claim_with_the_same_quote_is_said_once(simulate, client):
    twice = claims(("five pounds", "Five."), ("five pounds", "Five."))
    assert client(simulate(script=[twice])).ask("What? {{ m }}", m=MAIL, cite=True).text == "Five. [1]"


def test_the_words_that_ask_for_quotes_are_no_source(simulate, client):
    sim = simulate("vllm", script=lambda asked: claims(("the sentences of the text", "It is so.")))
    answer = client(sim).ask("What? {{ m }}", m=MAIL, cite=True)
    assert "the sentences of the text" in answer.request.question
    assert answer.quotes[0].found is False


def test_what_was_not_asked_by_name_is_looked_for_in_the_question(simulate, client):
    (quote,) = client(simulate(script=[claims(("five", "5"))])).ask(f"What?\n{MAIL}", cite=True).quotes
    assert (quote.file, quote.line, quote.place) == (None, 3, "the question, line 3")


def test_a_picture_may_have_the_words_so_their_absence_proves_nothing(simulate, client):
    said = claims(("five", "5"), ("in the picture", "6"))
    answer = client(simulate(script=[said])).ask(
        "What? {{ m }}", m=MAIL, images=[Picture.new("RGB", (9, 9))], cite=True
    )
    assert [one.found for one in answer.quotes] == [True, None]
    assert answer.text == "5 [1] 6 [2: not checked]"


def test_a_stream_gives_its_text_whole_once_the_quotes_are_checked(simulate, client):
    half = len(SAID) // 2
    sim = simulate(script=[Reply(SAID, reasoning="hm", chunks=[SAID[:half], SAID[half:]])])
    qwen = client(sim)
    for _ in range(2):
        stream = qwen.stream("What is it? {{ mail }}", mail=MAIL, cite=True)
        assert [piece.text for piece in stream if piece.text] == [stream.answer.text]
        assert stream.answer.quotes[0].line == 2


def test_a_chat_quotes_all_that_was_asked_and_goes_on_from_what_was_said(simulate, client):
    sim = simulate(script=["A mail.", claims(("five pounds", "5"), ("A mail.", "A mail."))])
    chat = client(sim).chat(system="Be brief.")
    chat.ask("What is this? {{ m }}", m=MAIL)
    answer = chat.ask("What does it cost?", cite=True)
    assert [one.found for one in answer.quotes] == [True, False], "what the model said itself proves nothing"
    assert chat.messages[-1].text == answer.said


def test_what_a_tool_gave_may_be_quoted(simulate, client):
    def look_up(item: str) -> str:
        """Look up a price."""
        return f"{item}: seven pounds"

    sim = simulate(
        script=[Reply(tool_calls=[ToolCall("look_up", {"item": "pot"})]), claims(("seven pounds", "7"))]
    )
    answer = client(sim).ask("What does a pot cost?", tools=[look_up], cite=True)
    assert [(one.file, one.found) for one in answer.quotes] == [("look_up", True)]


def test_many_are_cited_like_one(simulate, client):
    sim = simulate(script=lambda asked: claims((asked.text.split()[0], "Said.")))
    answers = client(sim).ask_many([{"m": "one"}, {"m": "two"}], prompt="{{ m }}", cite=True)
    assert [(answer.quotes[0].quote, answer.quotes[0].file) for answer in answers] == [
        ("one", "m"),
        ("two", "m"),
    ]


def test_clients_of_the_openai_package_are_answered_without_quotes(simulate, client):
    qwen = client(simulate(script=["Five."]), cite=True)
    made = qwen.openai.chat.completions.create(model="", messages=[{"role": "user", "content": "What?"}])
    assert made.choices[0].message.content == "Five."


def test_a_schema_without_fields_is_refused_with_what_to_type(simulate, client):
    qwen = client(simulate())
    for schema in (list[str], {"type": "string"}, {"type": "object", "properties": {"a": {"$ref": "#"}}}):
        with pytest.raises(SchemaError, match=r"cite=True puts a quote beside each field"):
            qwen.ask("What?", schema=schema, cite=True)


def test_what_has_nothing_to_quote_is_refused_with_what_has(simulate, client):
    sim = simulate()
    qwen = client(sim)
    with pytest.raises(BadInput, match=r"choices= asks for one word.*schema="):
        qwen.ask("What?", choices=["a", "b"], cite=True)
    with pytest.raises(BadInput, match=r"pages of the web are not"):
        qwen.ask("What?", search=True, cite=True)
    assert sim.ledger.count("asked") == 0


def test_a_class_that_holds_itself_can_be_cited():
    class Node(pydantic.BaseModel):
        name: str
        inside: list[Node] = []

    form = CitedSchema.around(Schema.of(Node))
    value = form.read(fields(name=("a", "a"), inside=("b", [{"name": "b", "inside": []}])))
    assert value == Node(name="a", inside=[Node(name="b")])


def test_a_quote_from_a_file_has_its_page_and_line(simulate, client, tmp_path):
    (tmp_path / "report.pdf").write_bytes(pdf("Cover", "Sales rose.\nCosts fell\nby a tenth."))
    (tmp_path / "notes.md").write_text("# Notes\n\nThe oven broke.\n")
    said = claims(
        ("costs fell by a tenth", "Costs fell."),
        ("The oven broke.", "It broke."),
        ("Sales fell", "Sales fell."),
    )
    files = [Document(tmp_path / "report.pdf"), tmp_path / "notes.md"]
    sim = simulate(script=[said])
    for _ in range(2):
        answer = client(sim).ask("What happened?", files=files, cite=True)
        assert [one.place for one in answer.quotes] == [
            "report.pdf, page 2, line 2",
            "notes.md, line 3",
            "not found in the source",
        ]


def test_a_page_that_is_a_picture_may_have_the_words(simulate, client, tmp_path):
    (tmp_path / "scan.pdf").write_bytes(pdf("Sales rose.", None))
    said = claims(("Sales rose.", "Up."), ("Costs fell.", "Down."))
    answer = client(simulate(script=[said])).ask("What?", files=[tmp_path / "scan.pdf"], cite=True)
    assert [one.found for one in answer.quotes] == [True, None]


def test_lines_of_a_piece_are_counted_in_the_whole_document(simulate, client):
    text = "one\ntwo\nthree\nfour\n"
    piece = Document(text.encode(), name="a.txt", span=(8, len(text)))
    answer = client(simulate(script=[claims(("four", "4"))])).ask("What?", files=[piece], cite=True)
    assert answer.quotes[0].place == "a.txt, line 4"


SMALL = "qwen2.5-coder-0.5b-instruct"  # of a window of 8,192 tokens
FIGURE = re.compile(r"The figure of page 57 is \d+")


def find(asked):
    """A model that quotes the figure of page 57, in a piece and where all is combined; and makes up a quote there."""
    said = FIGURE.search(asked.text)
    if "read in" in asked.text:
        return claims(
            (said[0], "It is 1057."), ("Part 1 of", "There are parts."), ("says nothing", "Nothing.")
        )
    return claims((said[0], "It is 1057.")) if said else claims(("", "This part says nothing."))


def test_quotes_of_pieces_are_kept_through_the_combining_and_found_in_the_whole(simulate, client, tmp_path):
    pages = [f"The figure of page {i} is {1000 + i}.\n" + "It says little. " * 40 for i in range(1, 101)]
    (tmp_path / "report.pdf").write_bytes(pdf(*pages))
    qwen = client(simulate("llama.cpp", models=[SMALL], script=find))
    asked = {"files": [Document(tmp_path / "report.pdf")], "overflow": "map", "cite": True}
    for _ in range(2):
        answer = qwen.ask("What is the figure of page 57?", **asked)
        assert [one.place for one in answer.quotes] == [
            "report.pdf, page 57, line 1",
            "not found in the source",
            "not found in the source",
        ], "what a piece was answered is the model's own, and proves nothing"
    assert '"The figure of page 57 is 1057" (report.pdf, page 57, line 1)' in answer.request.question
    (read,) = qwen.pack(answer)
    assert {one.found for one in read.quotes} == {None}, "in the line of a pack the report is not"


def test_a_long_text_asked_in_pieces_is_cited_by_its_own_lines(simulate, client):
    text = "".join(
        f"The figure of page {i} is {1000 + i}.\n" + "It says little. " * 40 + "\n" for i in range(1, 101)
    )
    qwen = client(simulate("llama.cpp", models=[SMALL], script=find))
    answer = qwen.ask("{{ doc }}\n\nWhat is the figure of page 57?", doc=text, overflow="map", cite=True)
    assert answer.quotes[0].place == f"doc, line {2 * 56 + 1}"
    assert [one.found for one in answer.quotes] == [True, False, False]


def test_of_claims_that_were_cut_the_whole_ones_are_given_and_it_is_told(simulate, client):
    cut = SAID[: SAID.index("It is blue") + 4]
    sim = simulate("vllm", script=[Reply(cut, finish_reason="length", usage={"completion_tokens": 50})])
    qwen = client(sim)
    with pytest.warns(QwenWarning, match="cut"):
        answer = qwen.ask("What is it? {{ mail }}", mail=MAIL, cite=True, max_tokens=50)
    assert answer.text == "It is 5 pounds. [1] Or 6. [2: not found in the source]"
    assert (answer.said, answer.is_cut) == (cut, True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        again = qwen.ask("What is it? {{ mail }}", mail=MAIL, cite=True, max_tokens=50)
    assert again.text == answer.text and sim.ledger.count("asked") == 1


@pytest.mark.parametrize("said", ['{"claims": [{"quotes": ["The pot co', '{"values": {"name": "Bob"}'])
def test_what_was_cut_before_a_claim_was_whole_or_within_fields_is_an_error(simulate, client, said):
    qwen = client(
        simulate("vllm", script=[Reply(said, finish_reason="length", usage={"completion_tokens": 9})])
    )
    form = {} if "claims" in said else {"schema": "name"}
    with pytest.raises(InvalidAnswer, match="larger max_tokens"):
        qwen.ask("What is it? {{ mail }}", mail=MAIL, cite=True, max_tokens=9, **form)


def test_claims_that_end_by_themselves_and_are_not_whole_are_asked_for_again(simulate, client):
    sim = simulate("vllm", script=[SAID[:-8], SAID])
    assert len(client(sim).ask("What is it? {{ mail }}", mail=MAIL, cite=True).quotes) == 3
    assert sim.ledger.count("asked") == 2


@given(st.integers(0, len(SAID)))
def test_wherever_claims_are_cut_no_claim_is_made_up(end):
    whole = list(claims_in(parse_cited(SAID)))
    with suppress(ValueError):
        assert (
            list(claims_in(parse_cited(SAID[:end]))) == whole[: len(list(claims_in(parse_cited(SAID[:end]))))]
        )
