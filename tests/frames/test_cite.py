"""`cite=True` in columns: the quotes stand beside the values, of a type that is known before anything is asked."""

from __future__ import annotations

import pandas as pd
import polars as pl
import pytest

import qwennb
from qwennb.errors import BadInput, QwenFrameWarning
from tests.client.test_cite import claims, fields
from tests.endpoints.real import real_llama_cpp  # noqa: F401

MAILS = pl.DataFrame({"mail": ["Hi,\nfive pots please.\nAda", "One pot, Bob", None, "", "One pot, Bob"]})
QUOTE = {"quote": pl.String, "file": pl.String, "page": pl.Int64, "line": pl.Int64, "found": pl.Boolean}
SCHEMA = "name, count int?"


def orders(asked) -> str:
    if "five" in asked.text:
        return fields(name=("Ada", "Ada"), count=("five pots", 5))
    return fields(name=("Robert", "Bob"), count=("", None))


FIVE = {"quote": "five pots", "file": "mail", "page": None, "line": 2, "found": True}
ADA = {"quote": "Ada", "file": "mail", "page": None, "line": 3, "found": True}
BOB = {"quote": "Robert", "file": None, "page": None, "line": None, "found": False}
QUOTES = [
    {"name": ADA, "count": FIVE},
    {"name": BOB, "count": None},
    None,
    None,
    {"name": BOB, "count": None},
]


def test_extract_gives_a_struct_of_quotes_beside_the_value(simulate, client):
    sim = simulate("vllm", script=orders)
    qwen = client(sim)
    for _ in range(2):  # asked, then recalled
        made = MAILS.qwen.extract("mail", SCHEMA, cite=True, client=qwen)
        assert made.columns == ["mail", "extracted", "extracted_quotes"]
        assert made["extracted"].to_list() == [
            {"name": "Ada", "count": 5},
            {"name": "Bob", "count": None},
            None,
            None,
            {"name": "Bob", "count": None},
        ]
        assert made["extracted_quotes"].to_list() == QUOTES
        assert made["extracted_quotes"].dtype == pl.Struct(dict.fromkeys(("name", "count"), pl.Struct(QUOTE)))
    assert sim.ledger.count("asked") == 2


def test_lazy_frames_expressions_and_pandas_have_the_same_quotes(simulate, client):
    qwen = client(simulate("vllm", script=orders))
    given = {"cite": True, "client": qwen}
    lazy = MAILS.lazy().qwen.extract("mail", SCHEMA, **given)
    assert lazy.collect_schema()["extracted_quotes"] == lazy.collect()["extracted_quotes"].dtype
    assert lazy.collect()["extracted_quotes"].to_list() == QUOTES
    made = MAILS.select(pl.col("mail").qwen.extract(SCHEMA, **given).alias("made")).unnest("made")
    lines = made["extracted_quotes"].struct.field("count").struct.field("line").to_list()
    assert lines == [2, None, None, None, None]
    theirs = qwennb.extract(MAILS.to_pandas(), "mail", SCHEMA, **given)
    assert isinstance(theirs, pd.DataFrame) and list(theirs.columns) == [
        "mail",
        "extracted",
        "extracted_quotes",
    ]


def test_ask_gives_a_list_of_claims_with_their_quotes(simulate, client):
    said = claims(("five pots", "She wants five."), ("now", "At once."))
    qwen = client(simulate("vllm", script=lambda asked: said))
    for _ in range(2):
        made = MAILS.head(1).qwen.ask("What does {{ mail }} want?", cite=True, client=qwen, meta=True)
        assert made.columns == ["mail", "answer", "answer_quotes", "answer_meta"]
        assert made["answer"].item() == "She wants five. [1] At once. [2: not found in the source]"
        assert made["answer_quotes"].dtype == pl.List(pl.Struct({"claim": pl.String, **QUOTE}))
        assert [
            (one["claim"], one["file"], one["line"], one["found"]) for one in made["answer_quotes"].item()
        ] == [
            ("She wants five.", "mail", 2, True),
            ("At once.", None, None, False),
        ]


def test_a_row_that_failed_has_no_quotes_and_costs_no_other_its_own(simulate, client):
    sim = simulate("vllm", script=lambda asked: orders(asked) if "five" in asked.text else "no JSON")
    with pytest.warns(QwenFrameWarning, match="1 of 2 questions"):
        made = MAILS.head(2).qwen.extract("mail", SCHEMA, cite=True, client=client(sim))
    assert made["extracted_quotes"].to_list() == [QUOTES[0], None]


def test_a_cell_that_is_empty_asks_nothing(simulate, client):
    sim = simulate("vllm", script=orders)
    qwen, empty = client(sim), pl.DataFrame({"mail": ["", None]})
    assert empty.qwen.extract("mail", SCHEMA, cite=True, client=qwen)["extracted"].to_list() == [None, None]
    assert empty.qwen.plan.extract("mail", SCHEMA, cite=True, client=qwen).to_ask == 0
    assert sim.ledger.count("asked") == 0


def test_a_column_and_a_call_that_ask_the_same_share_a_key(simulate, client):
    sim = simulate("vllm", script=lambda asked: claims(("five pots", "Five.")))
    qwen = client(sim)
    MAILS.head(1).qwen.ask("How many? {{ mail }}", cite=True, client=qwen)
    assert qwen.ask("How many? {{ mail }}", mail=MAILS["mail"][0], cite=True).cached
    assert sim.ledger.count("asked") == 1


def test_several_questions_have_their_quotes_each(simulate, client):
    qwen = client(simulate("vllm", script=lambda asked: claims(("Bob", asked.text.split("?")[0]))))
    asked = {"who": "Who? {{ mail }}", "what": "What? {{ mail }}"}
    made = MAILS.slice(1, 1).qwen.ask(asked, cite=True, client=qwen)
    assert made.columns == ["mail", "who", "who_quotes", "what", "what_quotes"]
    assert made["what_quotes"].item()[0]["found"] is True


def test_quotes_of_a_column_replay_from_a_pack(simulate, client, tmp_path):
    qwen = client(simulate("vllm", script=orders))
    made = MAILS.qwen.extract("mail", SCHEMA, cite=True, client=qwen, meta=True)
    qwen.pack(made).write(tmp_path / "a.qwenpack")
    qwennb.load_pack(tmp_path / "a.qwenpack")
    reader = qwennb.Qwen(cache="replay", cache_dir=tmp_path / "other")
    again = MAILS.qwen.extract("mail", SCHEMA, cite=True, client=reader)
    assert again["extracted_quotes"].to_list() == QUOTES


def test_a_batch_of_half_the_price_has_its_quotes_too(simulate, client):
    qwen = client(simulate("dashscope", script=orders))
    made = MAILS.qwen.extract("mail", SCHEMA, cite=True, client=qwen, lane="batch", progress=False)
    assert made["extracted_quotes"].to_list() == QUOTES


@pytest.mark.parametrize("verb", ["classify", "score", "summarize", "translate", "filter"])
def test_a_verb_with_nothing_to_quote_refuses_cite_and_names_those_that_have(verb):
    given = {"classify": (["a", "b"],), "score": ("how urgent",), "translate": ("French",)}.get(verb, ())
    subject = "{{ mail }} is long" if verb == "filter" else "mail"
    with pytest.raises(BadInput, match=rf"cite=True goes with ask\(\) and extract\(\).*{verb}\(\)"):
        getattr(MAILS.qwen, verb)(subject, *given, cite=True)
    with pytest.raises(BadInput, match="choices="):
        MAILS.qwen.ask("{{ mail }}", choices=["a", "b"], cite=True)


@pytest.mark.real
@pytest.mark.slow
def test_a_real_model_held_to_the_form_quotes_its_text(real_llama_cpp):  # noqa: F811
    frame = pl.DataFrame({"mail": ["Dear Ada,\nthe pot costs five pounds.\nBob"]})
    given = {"cite": True, "client": real_llama_cpp, "on_error": "raise", "temperature": 0, "max_tokens": 300}
    said = frame.qwen.ask("{{ mail }}\n\nWhat does the pot cost?", **given)["answer_quotes"].item()
    assert any(quote["found"] and quote["line"] == 2 for quote in said.to_list())
    fields = frame.qwen.extract("mail", "writer, price", **given)
    assert fields["extracted_quotes"].item().keys() == fields["extracted"].item().keys()
