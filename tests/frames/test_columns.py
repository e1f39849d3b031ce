"""A prompt over a table: what comes back, in which order, and what becomes of a row that fails."""

from __future__ import annotations

import warnings

import polars as pl
import pydantic
import pytest

import qwennb
from qwennb.cache import Pack
from qwennb.errors import BadInput, KeyRefused, RequestRefused, TemplateError, UnsupportedOption
from qwennb.frames import QwenFrameWarning, default_client, forget_default
from qwennb.simulator import Reply

TEXTS = ["a", "b", None, "a", "", "c"]


@pytest.fixture
def frame() -> pl.DataFrame:
    return pl.DataFrame({"text": TEXTS, "n": range(6)})


def test_a_row_gets_the_answer_to_its_own_question(simulate, client, frame):
    sim = simulate()
    made = frame.qwen.ask("Say {{ text }} {{ n }}", client=client(sim))
    assert made.columns == ["text", "n", "answer"]
    for text, n, answer in made.iter_rows():
        assert answer is None if text is None else answer.endswith(f"Say {text} {n}")
    assert sim.ledger.count("asked") == 5


def test_twins_are_asked_once_and_nulls_not_at_all(simulate, client, frame):
    sim = simulate()
    made = frame.qwen.ask("Say {{ text }}", client=client(sim))
    assert sim.ledger.count("asked") == 4
    assert made["answer"][0] == made["answer"][3] and made["answer"][2] is None


def test_every_row_has_its_own_answer_whatever_the_order_in_which_they_are_asked(simulate, client):
    """Several holes: what begins alike is asked one after the other, and comes back where it belongs."""
    table = pl.DataFrame({"n": [3, 1, 2, 0], "word": ["d", "b", "a", "c"]})
    made = table.qwen.ask(
        "Say {{ word }} {{ n }}", client=client(simulate(script=lambda asked: asked.text[4:]))
    )
    assert made["answer"].to_list() == ["d 3", "b 1", "a 2", "c 0"]


def test_the_column_and_qwen_ask_share_their_answers(simulate, client):
    sim = simulate()
    qwen = client(sim)
    alone = qwen.ask("Say {{ text }}", text="hello")
    made = pl.DataFrame({"text": ["hello"]}).qwen.ask("Say {{ text }}", client=qwen, meta="run")
    assert made["answer"][0] == str(alone) and made["answer_meta"][0]["cached"]
    assert made["answer_meta"][0]["key"] == alone.key
    assert sim.ledger.count("asked") == 1


def test_a_failed_row_costs_no_other_row_its_answer(simulate, client, frame):
    sim = simulate()
    sim.fault("400", when=lambda asked: asked.text == "Say b")
    with pytest.warns(
        QwenFrameWarning,
        match=r"1 of 4 questions of column `answer` failed and are null. The first: RequestRefused",
    ):
        made = frame.qwen.ask("Say {{ text }}", client=client(sim))
    assert [answer is None for answer in made["answer"]] == [False, True, True, False, False, False]


def test_on_error_raise_comes_after_everything_else_is_kept(simulate, client, frame):
    sim = simulate()
    sim.fault("400", times=1, when=lambda asked: asked.text == "Say a")
    qwen = client(sim)
    with pytest.raises(RequestRefused, match="1 of 4 failed; all others are kept"):
        frame.qwen.ask("Say {{ text }}", client=qwen, on_error="raise")
    asked = sim.ledger.count("asked")
    assert frame.qwen.ask("Say {{ text }}", client=qwen, on_error="raise")["answer"].null_count() == 1
    assert (asked, sim.ledger.count("asked")) == (4, 5)


def test_on_error_column_says_why_beside_the_value(simulate, client, frame):
    sim = simulate()
    sim.fault("400", when=lambda asked: asked.text == "Say b")
    made = frame.qwen.ask("Say {{ text }}", client=client(sim), on_error="column", into="said")
    assert [error is not None for error in made["said_error"]] == [False, True, False, False, False, False]
    assert made["said_error"][1].startswith("RequestRefused: ")


def test_meta_is_what_was_recorded(simulate, client, frame):
    sim = simulate()
    qwen = client(sim)
    first = frame.qwen.ask("Say {{ text }}", client=qwen, meta=True)
    again = frame.qwen.ask("Say {{ text }}", client=qwen, meta=True)
    assert first.equals(again)
    meta = first["answer_meta"][0]
    assert list(meta) == [
        "key",
        "error",
        "model",
        "endpoint",
        "input_tokens",
        "output_tokens",
        "cost",
        "attempts",
        "finish_reason",
    ]
    assert meta["model"] == "qwen3.5-flash" and meta["cost"] > 0 and meta["finish_reason"] == "stop"


def test_an_error_that_every_row_would_meet_stops_at_the_first(simulate, client):
    sim = simulate()
    sim.fault("401")
    many = pl.DataFrame({"n": range(500)})
    with pytest.raises(KeyRefused):
        many.qwen.ask("Say {{ n }}", client=client(sim), concurrency=4)
    assert sim.ledger.count("asked") <= 4


def test_a_fatal_error_inside_a_plan_has_its_own_class(simulate, client, frame):
    sim = simulate()
    sim.fault("401")
    with pytest.raises(KeyRefused):
        frame.lazy().qwen.ask("Say {{ text }}", client=client(sim)).collect(engine="streaming")


def test_an_existing_column_is_replaced_in_its_place(simulate, client, frame):
    made = frame.qwen.ask("Say {{ text }}", client=client(simulate()), into="text")
    assert made.columns == ["text", "n"] and made["text"][0].endswith("Say a")


def test_an_expression_keeps_its_root_name_and_knows_it_as_it(simulate, client, frame):
    qwen = client(simulate())
    made = frame.select(
        pl.col("text").qwen.ask("Say {{ text }}", client=qwen),
        it=pl.col("text").qwen.ask("Say {{ it }}", client=qwen),
        both=pl.struct("text", "n").qwen.ask("Say {{ text }} {{ n }}", client=qwen),
    )
    assert made["text"].equals(made["it"], check_names=False)
    assert made["both"][1].endswith("Say b 1")


def test_the_type_is_declared_before_the_run(simulate, client, frame):
    sim = simulate()
    lf = frame.lazy().qwen.extract("text", "name, when date, tags list[str]", into="who", client=client(sim))
    assert lf.collect_schema()["who"] == pl.Struct(
        {"name": pl.String, "when": pl.Date, "tags": pl.List(pl.String)}
    )
    assert sim.ledger.count("asked") == 0
    assert lf.collect().schema == lf.collect_schema()


def test_a_schema_that_an_answer_breaks_is_asked_again_then_fails_alone(simulate, client):
    class Person(pydantic.BaseModel):
        name: str

    def script(asked):
        return Reply('{"name": 5}') if "bad" in str(asked.body) else Reply('{"name": "Ann"}')

    sim = simulate(script=script)
    table = pl.DataFrame({"text": ["good", "bad"]})
    made = table.qwen.extract("text", Person, client=client(sim), on_error="column")
    assert made["extracted"].to_list() == [{"name": "Ann"}, None]
    assert made["extracted_error"][1].startswith("InvalidAnswer")


@pytest.mark.parametrize(
    "schema", [dict, "name, age int", {"type": "object", "properties": {"n": {"type": "string"}}}]
)
def test_a_column_of_extract_is_called_extracted_whatever_the_schema_is(frame, schema):
    class Person(pydantic.BaseModel):
        name: str

    plan = frame.lazy().qwen.extract("text", Person if schema is dict else schema)
    assert plan.collect_schema().names()[-1] == "extracted"


def test_advice_about_a_long_row_is_advice_that_can_be_followed(simulate, client):
    qwen = client(simulate("dashscope"))
    table = pl.DataFrame({"text": ["word " * 1_200_000]})
    made = table.qwen.ask("Say {{ text }}", client=qwen, on_error="column")
    said = made["answer_error"][0]
    assert said.startswith("WindowExceeded")
    assert 'Qwen().ask("… {{ doc }}", doc=text, overflow="map")' in said


def test_rows_longer_than_the_window_are_told_before_anything_is_paid(simulate, client):
    sim = simulate("dashscope")
    qwen = client(sim)
    table = pl.DataFrame({"text": ["word " * 1_200_000, "short"]})
    plan = table.qwen.plan("Say {{ text }}", client=qwen)
    assert (plan.refused, plan.to_ask) == (
        1,
        1,
    ) and "1 can't be asked as they stand. The first: The input is" in str(plan)
    told = []
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_: told.append((str(message), sim.ledger.count("asked")))
        warnings.simplefilter("always")
        made = table.qwen.ask("Say {{ text }}", client=qwen)
    assert made["answer"].is_null().to_list() == [True, False]
    [(first, asked), *_] = told
    assert (
        first.startswith("1 of 2 questions are longer than the model takes, and are not asked") and asked == 0
    )
    assert "(row 0)" in told[-1][0] and sim.ledger.count("asked") == 1


def test_explain_names_the_verb_and_the_column_that_it_reads(frame):
    plan = frame.lazy().qwen.classify("text", ["good", "bad"]).explain()
    assert 'alias("qwen.classify(text)").python_udf().alias("label")' in plan


def test_replay_gives_the_same_column_with_no_server(simulate, client, frame, tmp_path):
    sim = simulate()
    live = frame.qwen.ask("Say {{ text }}", client=client(sim), meta=True)
    sim.stop()
    qwen = qwennb.Qwen(cache="replay", cache_dir=tmp_path / "cache", model="qwen3.5-flash")
    assert frame.qwen.ask("Say {{ text }}", client=qwen, meta=True).equals(live)
    with pytest.warns(QwenFrameWarning, match="NotRecorded"):
        frame.qwen.ask("Tell {{ text }}", client=qwen)


def test_nulls_can_be_sent(simulate, client, frame):
    sim = simulate()
    made = frame.qwen.ask("Say {{ text }}", client=client(sim), nulls="send")
    assert made["answer"].null_count() == 0


def test_a_pack_with_a_question_that_is_an_empty_cell_can_be_read(simulate, client, tmp_path):
    sim = simulate("vllm", script=lambda asked: "nothing")
    qwen = client(sim)
    made = pl.DataFrame({"text": [None, "a"]}).qwen.ask("{{ text }}", client=qwen, nulls="send", meta=True)
    qwen.pack(made).write(tmp_path / "a.qwenpack")
    assert len(list(Pack.read(tmp_path / "a.qwenpack"))) == 2


def test_an_answer_that_has_no_place_in_its_column_says_what_asks_anew(simulate, client, frame):
    sim = simulate("vllm", script=lambda asked: '{"n": 12345678901234567890123}')
    with pytest.warns(QwenFrameWarning, match='is kept, and read again each time; cache="refresh" asks anew'):
        frame.head(1).qwen.extract("text", "n int", client=client(sim))


def test_use_sets_the_client_of_columns_and_ask_takes_frames_and_prompts(simulate, frame, tmp_path):
    sim = simulate()
    try:
        qwen = qwennb.use(endpoint=f"openrouter+{sim.base_url}", api_key="sk-sim", cache_dir=tmp_path / "c")
        assert default_client() is qwen
        assert qwennb.ask(frame, "Say {{ text }}").equals(frame.qwen.ask("Say {{ text }}"))
        assert qwennb.ask(frame.lazy(), "Say {{ text }}").collect().columns == ["text", "n", "answer"]
        assert str(qwennb.ask("Say {{ x }}", x="a")) == frame.qwen.ask("Say {{ text }}")["answer"][0]
    finally:
        forget_default()


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda q: q.ask("Say {{ txt }}"), TemplateError, "did you mean `text`"),
        (lambda q: q.ask("Say it"), TemplateError, "names no column"),
        (lambda q: q.ask("{{ text }}", onerror="null"), BadInput, "did you mean `on_error`"),
        (lambda q: q.ask("{{ text }}", on_error="skip"), BadInput, "'null', 'raise', 'column'"),
        (lambda q: q.ask("{{ text }}", tools=[print]), BadInput, "runs no tools"),
        (lambda q: q.ask("{{ text }}", image="text"), BadInput, "never opened by itself"),
        (lambda q: q.classify("text", "yes"), BadInput, "list of labels"),
        (lambda q: q.filter("{{ text }}", into="x"), BadInput, "makes no column"),
        (lambda q: q.score("text", "1 to 0"), BadInput, "range"),
        (lambda q: q.ask("{{ text }}", choices=["a"]), BadInput, "at least two"),
        (lambda q: q.ask("{{ text }}", client="me"), BadInput, "client= takes a Qwen"),
    ],
)
def test_what_is_wrong_is_said_before_anything_runs(frame, call, error, says):
    for namespace in (frame.qwen, frame.lazy().qwen):
        with pytest.raises(error, match=says):
            call(namespace)


def test_an_option_that_the_model_does_not_take_stops_it_before_anything_is_sent(simulate, client, frame):
    sim = simulate("dashscope")
    with pytest.raises(UnsupportedOption):
        frame.qwen.ask("{{ text }}", client=client(sim), min_p=0.1)
    assert sim.ledger.count("asked") == 0
