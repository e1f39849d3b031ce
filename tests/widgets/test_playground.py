"""The playground's parts: what can be set, what is asked, and how a run goes and stops."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import polars as pl
import pytest
from pydantic import BaseModel

from qwennb.answer import Answer
from qwennb.catalog import Catalog
from qwennb.errors import BadInput, QwenError, TemplateError
from qwennb.notebook.widgets import playground_record as record
from qwennb.notebook.widgets.playground import Playground, mark_differences
from qwennb.notebook.widgets.playground_inputs import Inputs
from qwennb.notebook.widgets.playground_record import agreement
from qwennb.notebook.widgets.playground_run import VariantOutcome
from qwennb.notebook.widgets.playground_variants import NO_CONTROL, WITH_CONTROL, Variant
from qwennb.request import Message, Request, Text, user_message
from qwennb.simulator import Fault
from tests.conftest import until

FRAME = pl.DataFrame(
    {"review": ["The soup was cold.", "Lovely.", None, "Fine."], "stars": [1.0, 5.0, 3.0, 2.5]}
)
PROMPT = "Praise or complaint? {{ review }} ({{ stars }})"


@pytest.fixture
def sim(simulate):
    return simulate()


@pytest.fixture
def qwen(client, sim):
    return client(sim, model="flash")


@pytest.fixture
def play(qwen):
    """A playground over FRAME."""
    made = []

    def make(prompt=PROMPT, inputs=FRAME, variants=({},), rows=2, **given):
        made.append(Playground(prompt, inputs, variants=variants, rows=rows, **{"client": qwen, **given}))
        made[-1].act("write", prompt=prompt, typed=None, rows=rows)  # as the page does when it is drawn
        return made[-1]

    yield make
    for one in made:
        one.close()


def run(play, **written):
    fields = {"prompt": play.prompt, "typed": play.typed, "rows": play.rows, **written}
    play.act("run", **fields)
    until(lambda: not play.running and play.status.startswith(("Done", "Stopped")), "the end of the run")
    play.draw()


def control(play, name, variant=0):
    [found] = [one for one in play.variants[variant]["controls"] if one["name"] == name]
    return found


# ---------------------------------------------------------------------- what can be set


def test_every_option_that_is_sent_has_a_control_or_a_reason_to_have_none():
    assert Catalog.load_bundled().sent == (WITH_CONTROL - {"sample"}) | NO_CONTROL
    assert not WITH_CONTROL & NO_CONTROL


class Asker:
    """As much of a client as a variant looks at: a model of the catalogue at an endpoint."""

    def __init__(self, model: str, endpoint: str) -> None:
        self.endpoint = self
        self.model_name = lambda name: model
        self.session = SimpleNamespace(config=SimpleNamespace(model=model))
        self.abilities = lambda name: Catalog.load_bundled().abilities(model, endpoint)


PLACES = [
    (row.model.name, row.endpoint)
    for place in (
        "openrouter",
        "dashscope-intl",
        "vllm",
        "ollama",
        "lmstudio",
        "sglang",
        "llama.cpp",
        "mlx-vlm",
    )
    for row in Catalog.load_bundled().rows(place)[:3]
]


@pytest.mark.parametrize(("model", "place"), PLACES)
def test_the_controls_are_exactly_what_the_model_takes_there(model, place):
    variant = Variant(Asker(model, place), {})
    names = {one["name"] for one in variant.controls()}
    taken = Catalog.load_bundled().abilities(model, place).options
    assert names - {"sample"} == {name for name in WITH_CONTROL if name in taken}
    assert variant.options() == {"model": model}  # nothing is sent that nobody set


@pytest.mark.parametrize(("model", "place"), PLACES)
def test_what_a_control_lets_through_is_taken(model, place):
    abilities = Catalog.load_bundled().abilities(model, place)
    for one in Variant(Asker(model, place), {}).controls():
        for written in (*one.get("ways", ()), -(10**30), 10**30) if one["kind"] != "text" else ():
            variant = Variant(Asker(model, place), {})
            if one["kind"] == "number" or isinstance(written, str):
                variant.change(one["name"], written)
                abilities.check({n: v for n, v in variant.options().items() if n not in ("model", "sample")})


def test_a_number_is_sent_once_it_was_changed_and_left_alone_once_it_is_emptied(qwen):
    variant = Variant(qwen, {"seed": 7})
    assert variant.options() == {"model": "qwen3.5-flash", "seed": 7}
    variant.change("temperature", 0.3)
    assert variant.options() == {"model": "qwen3.5-flash", "seed": 7, "temperature": 0.3}
    for nothing in (None, "", "warm", float("nan")):
        variant.change("temperature", 0.3)
        variant.change("temperature", nothing)
        assert "temperature" not in variant.options()
    variant.change("nonsense", 1)
    assert variant.options() == {"model": "qwen3.5-flash", "seed": 7}


def test_thinking_is_what_was_given_or_chosen(qwen):
    for given in (None, True, False, "low", 1, 4096):
        read = Variant(qwen, {} if given is None else {"thinking": given}).options()
        assert read.get("thinking") == given and type(read.get("thinking")) is type(given)
    variant = Variant(qwen, {})
    for written, sent in (
        ("yes", True),
        ("no", False),
        ("low", "low"),
        ("a budget", 1024),
        (70, 70),
        ("", None),
    ):
        variant.change("thinking", written)
        assert variant.options().get("thinking") == sent


def test_a_text_that_is_emptied_is_what_was_given_where_no_field_shows_it():
    class Review(BaseModel):
        item: str

    asker = Asker("qwen3.5-9b", "vllm")
    variant = Variant(asker, {"schema": Review, "choices": ["yes, of course", "no"], "stop": "END"})
    shown = {one["name"]: (one["value"], one["hint"]) for one in variant.controls() if one["kind"] == "text"}
    assert shown["schema"] == ("", "Review") and shown["choices"][0] == "" and shown["stop"][0] == "END"
    for name, written, sent in (
        ("schema", "item", "item"),
        ("choices", "a , b,", ["a", "b"]),
        ("stop", " x", " x"),
    ):
        variant.change(name, written)
        assert variant.options()[name] == sent
        variant.change(name, "")
    assert variant.options() == {
        "model": "qwen3.5-9b", "schema": Review, "choices": ["yes, of course", "no"],
    }  # fmt: skip


def test_another_model_has_other_controls_and_what_it_does_not_take_is_told(client, simulate):
    qwen = client(simulate("dashscope"), model="qwen3.5-plus")
    variant = Variant(qwen, {"search": True, "seed": 3})
    assert variant.options()["search"] and not variant.problem
    variant.change("model", next(name for name in variant.models if name.startswith("qwen3.5-27b")))
    assert variant.options() == {"model": "qwen3.5-27b", "seed": 3}
    assert "search" not in {one["name"] for one in variant.controls()}
    assert "does not take search" in variant.problem
    qwen.endpoint.abilities(variant.model).check({"seed": 3})


def test_what_a_client_sends_with_every_question_is_seen_and_can_be_changed(client, sim, play):
    qwen = client(sim, model="flash", thinking=False, temperature=0.1, extra={"x": 1})
    made = play("Hello", None, [{"temperature": 0.9}], client=qwen)
    run(made)
    assert control(made, "thinking")["value"] == "no" and control(made, "temperature")["value"] == 0.9
    assert made.answers["A1"].request.settings.temperature == 0.9
    assert "extra" in made.variants[0]["summary"]


# ---------------------------------------------------------------------- what is asked


def test_the_grid_asks_what_a_column_asks(play, qwen, sim):
    made = play(variants=[{"thinking": False}, {"thinking": False, "temperature": 0.2}], rows=4)
    run(made)
    answers = made.answers
    assert list(answers) == ["A1", "B1", "A2", "B2", "A4", "B4"]  # the third row has no review
    assert made.grid["rows"][2]["cells"][1]["pieces"] == [["[not asked: a value is missing]", False]]
    asked = sim.ledger.count()
    column = FRAME.qwen.ask(PROMPT, client=qwen, thinking=False, meta=True, temperature=0.2)
    assert sim.ledger.count() == asked
    assert column["answer"].to_list() == [answers["B1"].text, answers["B2"].text, None, answers["B4"].text]
    assert column["answer_meta"][0]["key"] == answers["B1"].key


def test_the_grid_says_tokens_cost_and_time_and_the_record_what_does_not_change(play):
    made = play(variants=[{"thinking": False}, {"thinking": False, "seed": 4}])
    run(made)
    first = made.record
    figures = [cell["figures"] for row in made.grid["rows"] for cell in row["cells"]]
    assert all("→" in told and "$" in told and told.endswith(" s") for told in figures)
    assert made.status.startswith("Done: 4 of 4 answered.")
    assert all(told.startswith("2 of 2 answered, ") for told in made.grid["totals"])
    run(made)
    figures = [cell["figures"] for row in made.grid["rows"] for cell in row["cells"]]
    assert all(told.endswith("from the cache") for told in figures)
    assert made.record == first  # live and recalled, the notebook keeps the same
    assert "A: qwen3.5-flash, thinking False" in first[1]


def test_typed_inputs_are_lines_or_objects(play):
    made = play("Say {{ word }}", None, rows=3)
    run(made, typed="one\n\ntwo\n")
    assert [answer.request.question for answer in made.answers.values()] == ["Say one", "Say two"]
    run(made, prompt="Say {{ word }} {{ n }}", typed='{"word": "one", "n": 1}\n{"word": "two", "n": 2.5}')
    assert [answer.request.question for answer in made.answers.values()] == ["Say one 1", "Say two 2.5"]
    made.act("run", prompt=made.prompt, typed="one", rows=3)
    assert "write it as a JSON object" in made.notice


@pytest.mark.parametrize(
    "inputs",
    [
        pd.DataFrame({"input": ["a", None, "b"]}, index=[3, 1, 2]),
        pl.DataFrame({"input": ["a", None, "b"]}),
        [{"input": "a"}, {"input": None}, {"input": "b"}],
    ],
)
def test_frames_texts_and_dicts_are_inputs(inputs):
    assert Inputs(inputs).questions("x {{ input }}", 3) == ["x a", None, "x b"]
    assert Inputs(["a", "b"]).questions("x {{ input }}", 1) == ["x a"]


def test_what_can_not_be_asked_is_said(qwen):
    with pytest.raises(TemplateError, match="did you mean `review`"):
        Inputs(FRAME).questions("{{ reviw }}", 1)
    for wrong in (5, [], [1, "a"]):
        with pytest.raises(BadInput, match="Give a frame"):
            Inputs(wrong)
    for given in ({"tools": [len]}, {"images": ["x"]}):
        with pytest.raises(BadInput, match="has no"):
            Playground("x", client=qwen, variants=[given])
    with pytest.raises(BadInput, match="for all cells together"):
        Playground("x", client=qwen, variants=[{"budget": 0.01}])
    with pytest.raises(BadInput, match="did you mean `temperature`"):
        Playground("x", client=qwen, variants=[{"temprature": 1}])
    with pytest.raises(BadInput, match="1 to 8"):
        Playground("x", client=qwen, variants=[{}] * 9)
    with pytest.raises(BadInput, match="from 1 to 20"):
        Playground("x", client=qwen, rows=21)
    with pytest.raises(QwenError):
        Playground("x", client=qwen, variants=[{"temperature": 5}])


def test_an_error_is_told_in_its_cell_and_costs_no_other_its_answer(play, sim):
    made = play(variants=[{"thinking": False}])
    sim.script(lambda asked: Fault("400") if "Lovely" in str(asked) else None)
    run(made)
    assert list(made.answers) == ["A1"]
    cell = made.grid["rows"][1]["cells"][0]
    assert cell["state"] == "problem" and cell["pieces"][0][0].startswith("[RequestRefused: ")
    assert made.status.startswith("Done: 1 of 2 answered.")


def test_what_is_wrong_with_a_setting_is_said_before_anything_is_asked(play, sim):
    made = play(variants=[{"thinking": False}])
    made.act("change", variant=0, name="schema", value="item, amount nonsense")
    made.act("run", prompt=made.prompt, typed=None, rows=2)
    assert "is not a type of a schema line" in made.notice
    assert sim.ledger.count() == 0 and not made.running


# ---------------------------------------------------------------------- a run, and its end


def test_a_stop_ends_the_run_and_keeps_what_has_answered(play, sim):
    made = play(variants=[{"thinking": False}], rows=1)
    run(made)
    sim.pace(latency=30.0)
    made.act("run", prompt=made.prompt, typed=None, rows=2)
    sim.ledger.wait_for(2, "arrived")
    assert made.running
    made.act("stop")
    until(lambda: not made.running, "the end of the run")
    assert list(made.answers) == ["A1"]
    assert made.grid["rows"][1]["cells"][0]["pieces"] == [["[stopped]", False]]
    assert made.status.startswith("Stopped: 1 of 2 answered.")


def test_run_pressed_twice_runs_once(play, sim):
    sim.pace(latency=60.0)
    made, before = play(rows=2), set(threading.enumerate())
    for _ in range(2):
        made.act("run", prompt=made.prompt, typed=None, rows=2)
    begun = [thread.name for thread in set(threading.enumerate()) - before]
    assert begun.count("qwennb-playground") == 1


def test_a_playground_that_is_made_again_is_as_it_was_left_unless_its_code_changed(play):
    made = play(rows=2, name="left")
    made.act("change", variant=0, name="seed", value=5)
    run(made, prompt="Shorter: {{ review }}", rows=1)
    who = made.model_id
    again = Playground(PROMPT, FRAME, variants=[{}], rows=2, client=made._client, name="left")
    again.draw()
    assert (again.prompt, again.rows, again.answers) == ("Shorter: {{ review }}", 1, made.answers)
    assert again.model_id == who and control(again, "seed")["value"] == 5 and again.record == made.record
    other = Playground("Other {{ review }}", FRAME, variants=[{}], rows=2, client=made._client, name="left")
    assert (other.prompt, other.rows, other.answers) == ("Other {{ review }}", 2, {})
    other.close()


def test_settings_are_added_and_taken_away(play):
    made = play(variants=[{"seed": 3}])
    made.act("remove", variant=0)
    made.act("add")
    made.act("change", variant=1, name="seed", value=9)
    made.draw()
    assert [(one["letter"], one["model"]) for one in made.variants] == [
        ("A", "qwen3.5-flash"),
        ("B", "qwen3.5-flash"),
    ]
    made.act("remove", variant=0)
    made.draw()
    assert [(one["letter"], one["summary"]) for one in made.variants] == [("A", "seed 9")]
    for _ in range(9):
        made.act("add")
    made.draw()
    assert len(made.variants) == 8


def test_a_copy_is_shown_and_has_no_key(play):
    made = play(variants=[{"thinking": False}])
    for text, form in (("%%qwen", "cell"), ("qwen.ask(", "column"), ("curl -sS", "curl")):
        made.act("copy", cell="A1", form=form)
        assert text in made.copied["text"] and "sk-sim" not in made.copied["text"]
    made.act("write", prompt=PROMPT, typed=None, rows=3)
    assert made.copied == {}
    for nothing in ("A3", "B1", "A9", "", "A0", "A-1"):
        made.act("copy", cell=nothing, form="cell")
        assert f"{nothing} asks nothing" in made.notice and made.copied == {}


# ---------------------------------------------------------------------- what is seen


def test_what_differs_from_the_first_answer_is_marked():
    assert mark_differences("yes", "yes ") == [("yes ", False)]
    assert mark_differences("The soup was cold.", "The fish was cold.") == [
        ("The ", False), ("fish", True), (" was cold.", False),
    ]  # fmt: skip
    assert mark_differences("The soup was cold.", "Nothing to say") == [("Nothing to say", True)]
    assert mark_differences("a " * 3000, "a " * 3000 + "b") == [("a " * 3000 + "b", True)]
    for first, other in (("one two  three", "two  one\nthree"), ("", "x"), ("a\nb", "a\n\nb c")):
        assert "".join(piece for piece, _ in mark_differences(first, other)) == other


def test_the_grid_marks_what_differs(play, sim):
    sim.script(lambda asked: "The fish was good." if asked.body.get("seed") else "The soup was good.")
    made = play(variants=[{}, {"seed": 4}, {}], rows=1)
    run(made)
    first, second, third = made.grid["rows"][0]["cells"]
    assert (first["state"], second["state"], third["state"]) == ("", "other", "same")
    assert [piece for piece, marked in second["pieces"] if marked] == ["fish"]
    assert made.status.endswith("The same answer for 0 of 1 inputs.")


def test_a_record_is_inert():
    attacks = json.loads((Path(__file__).parents[1] / "answer" / "attacks.json").read_text())
    for attack in attacks:
        request = Request("m", (Message("user", (Text(attack),)),))
        outcomes = {(0, 0): VariantOutcome(Answer(request, text=attack))}
        shown = record.markdown(attack, [attack], [{"model": attack, "system": attack}], outcomes)
        outside = shown.partition("```\n\n")[2]
        assert "<script" not in outside.lower() and "<img" not in outside.lower() and "](" not in outside
        assert "$" not in outside.replace("$0.00", "")


def test_where_nobody_looks_there_is_the_record_and_no_client():
    made = Playground(PROMPT, FRAME, variants=[{"temperature": 0.2}])
    made._ipython_display_()
    assert made.variants == [] and made.answers == {} and "temperature 0.2" in made.record[1]
    made.close()


def test_a_playground_takes_a_client_for_each_of_its_settings(client, simulate, qwen, play):
    other = client(simulate("vllm"))
    made = play("Hello", None, [{}, {"client": other}])
    run(made)
    assert "vllm" in made.variants[1]["place"] and "vllm" in made.answers["B1"].endpoint
    with pytest.raises(BadInput, match="takes a Qwen"):
        Playground("x", variants=[{"client": "vllm"}])


def test_it_is_told_on_how_many_inputs_all_settings_agree():
    def said(*texts: str) -> dict[tuple[int, int], VariantOutcome]:
        asked = Request("m", (user_message("x"),))
        return {(at // 2, at % 2): VariantOutcome(Answer(asked, text=text)) for at, text in enumerate(texts)}

    assert agreement(said("yes", "yes ", "yes", "no"), 2, 2) == "The same answer for 1 of 2 inputs."
    assert agreement(said("yes", "no"), 1, 2) == "The same answer for 0 of 1 inputs."
    assert agreement(said("yes", "yes") | {(0, 1): VariantOutcome(problem="stopped")}, 1, 2) == ""
    assert agreement(said("yes", "yes"), 1, 1) == ""


def test_braces_in_an_input_are_what_stands_there(play, sim):
    made = play(prompt="Say {{ x }}", inputs=[{"x": "{{ y }} and {{ x }}"}], rows=1)
    run(made)
    [asked] = sim.ledger.asks()
    assert asked.body["messages"][-1]["content"] == "Say {{ y }} and {{ x }}"
