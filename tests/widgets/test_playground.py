"""The playground's parts: what can be set, what is asked, and how a run goes and stops."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pandas as pd
import polars as pl
import pytest

from qwennb import Qwen
from qwennb.answer import Answer
from qwennb.catalog import Catalog
from qwennb.errors import BadInput, QwenError, TemplateError
from qwennb.notebook.widgets import playground_record as record
from qwennb.notebook.widgets.playground import Playground
from qwennb.notebook.widgets.playground_controls import NO_CONTROL, WITH_CONTROL, PlaygroundControls
from qwennb.notebook.widgets.playground_inputs import Inputs
from qwennb.notebook.widgets.playground_panel import PlaygroundPanel
from qwennb.notebook.widgets.playground_record import agreement
from qwennb.notebook.widgets.playground_run import VariantOutcome
from qwennb.notebook.widgets.playground_variant import VariantPanel
from qwennb.notebook.widgets.read_only import ReadOnlyText, StatusLabel
from qwennb.request import Message, Request, Text, user_message
from qwennb.simulator import Fault

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
def panel(qwen):
    """A panel over FRAME, and what it kept."""
    made = []

    def make(prompt=PROMPT, inputs=FRAME, given=({},), rows=2):
        made.append(
            PlaygroundPanel(prompt, Inputs(inputs), rows, [(None, dict(options)) for options in given], qwen)
        )
        made[-1].kept = []
        made[-1].keep_record(lambda markdown, plain: made[-1].kept.append((markdown, plain)))
        return made[-1]

    yield make
    for one in made:
        one.stop()


def run(panel):
    ended = threading.Event()
    panel.keep_record(lambda markdown, plain: (panel.kept.append((markdown, plain)), ended.set()))
    ended.clear()
    panel.start()
    assert ended.wait(60)


# ---------------------------------------------------------------------- what can be set


def test_every_option_that_is_sent_has_a_control_or_a_reason_to_have_none():
    assert Catalog.load_bundled().sent == (WITH_CONTROL - {"sample"}) | NO_CONTROL
    assert not WITH_CONTROL & NO_CONTROL


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
    abilities = Catalog.load_bundled().abilities(model, place)
    made = PlaygroundControls(abilities, {}, lambda: None)
    assert set(made.names) - {"sample"} == {name for name in WITH_CONTROL if name in abilities.options}
    assert made.options() == {}  # nothing is sent that nobody set


@pytest.mark.parametrize(("model", "place"), PLACES)
def test_the_ends_of_every_control_are_taken(model, place):
    abilities = Catalog.load_bundled().abilities(model, place)
    for name, field in PlaygroundControls(abilities, {}, lambda: None)._fields.items():
        first = field.box.children[0] if hasattr(field.box, "children") else field.box
        for end in ("min", "max"):
            if hasattr(first, end):
                abilities.check({name: getattr(first, end)})
        if name == "thinking":
            for _, value in first.options:
                first.value = value
                abilities.check({} if field.read() is None else {name: field.read()})


def test_a_number_is_sent_when_it_was_changed_and_left_alone_again_by_its_switch():
    changes = []
    made = PlaygroundControls(
        Catalog.load_bundled().abilities("flash", "openrouter"), {"seed": 7}, lambda: changes.append(1)
    )
    assert made.options() == {"seed": 7}
    number, sent = made._fields["temperature"].box.children
    number.value = 0.3
    assert made.options() == {"temperature": 0.3, "seed": 7} and sent.value and changes
    sent.value = False
    assert made.options() == {"seed": 7}


def test_thinking_is_what_was_given(qwen):
    abilities = Catalog.load_bundled().abilities("flash", "openrouter")
    for given in (None, True, False, "low", 1, 4096):
        read = PlaygroundControls(abilities, {"thinking": given}, lambda: None).options()
        assert read == ({} if given is None else {"thinking": given})
        assert given is None or type(read["thinking"]) is type(given)


def test_another_model_has_other_controls_and_what_it_does_not_take_is_told(client, simulate):
    qwen = client(simulate("dashscope"), model="qwen3.5-plus")
    made = VariantPanel(
        "A", qwen, {"search": True, "seed": 3}, changed=lambda: None, remove=lambda panel: None
    )
    assert "search" in made.controls and made.options()["search"]
    made._model.value = next(name for name in made._model.options if name.startswith("qwen3.5-27b"))
    assert "search" not in made.controls and made.options() == {"model": "qwen3.5-27b", "seed": 3}
    assert "does not take search" in made._problem.value
    qwen.endpoint.abilities(made.model).check({"seed": 3})


def test_what_a_client_sends_with_every_question_is_seen_and_can_be_changed(client, sim):
    qwen = client(sim, model="flash", thinking=False, temperature=0.1, extra={"x": 1})
    made = PlaygroundPanel("Hello", Inputs(), 1, [(None, {"temperature": 0.9})], qwen).panels[0]
    assert made.options() == {
        "model": "qwen3.5-flash", "thinking": False, "temperature": 0.9, "extra": {"x": 1},
    }  # fmt: skip


# ---------------------------------------------------------------------- what is asked


@pytest.mark.slow
def test_the_grid_asks_what_a_column_asks(panel, qwen, sim):
    made = panel(given=[{"thinking": False}, {"thinking": False, "temperature": 0.2}], rows=4)
    run(made)
    answers = made.answers()
    assert list(answers) == ["A1", "B1", "A2", "B2", "A4", "B4"]  # the third row has no review
    asked = sim.ledger.count()
    column = FRAME.qwen.ask(PROMPT, client=qwen, thinking=False, meta=True, temperature=0.2)
    assert sim.ledger.count() == asked
    assert column["answer"].to_list() == [answers["B1"].text, answers["B2"].text, None, answers["B4"].text]
    assert column["answer_meta"][0]["key"] == answers["B1"].key


@pytest.mark.slow
def test_the_grid_says_tokens_cost_and_time_and_the_record_what_does_not_change(panel):
    made = panel(given=[{"thinking": False}, {"thinking": False, "seed": 4}])
    run(made)
    first = made.kept[-1]
    figures = [told.value for _, told in made._cells.values()]
    assert all("→" in told and "$" in told and told.endswith(" s") for told in figures)
    assert made._status.value.startswith("Done: 4 of 4 answered.")
    run(made)
    assert all(told.value.endswith("from the cache") for _, told in made._cells.values())
    assert made.kept[-1] == first  # live and recalled, the notebook keeps the same
    assert "qwen3&#46;5" in first[0] or "qwen3.5-flash" in first[0]
    assert "A: qwen3.5-flash, thinking False" in first[1]


def test_typed_inputs_are_lines_or_objects(panel):
    made = panel("Say {{ word }}", None)
    made._typed.value = "one\n\ntwo\n"
    run(made)
    assert [answer.request.question for answer in made.answers().values()] == ["Say one", "Say two"]
    made._prompt.value = "Say {{ word }} {{ n }}"
    made._typed.value = '{"word": "one", "n": 1}\n{"word": "two", "n": 2.5}'
    run(made)
    assert [answer.request.question for answer in made.answers().values()] == ["Say one 1", "Say two 2.5"]
    made._typed.value = "one"
    made.start()
    assert "write it as a JSON object" in made._status.value


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
    with pytest.raises(QwenError):
        Playground("x", client=qwen, variants=[{"temperature": 5}])


def test_an_error_is_told_in_its_cell_and_costs_no_other_its_answer(panel, sim):
    made = panel(given=[{"thinking": False}])
    sim.script(lambda asked: Fault("400") if "Lovely" in str(asked) else None)
    run(made)
    assert list(made.answers()) == ["A1"]
    assert made._cells[1, 0][0].value.startswith("[RequestRefused: ")
    assert made._status.value.startswith("Done: 1 of 2 answered.")


def test_what_is_wrong_with_a_setting_is_said_before_anything_is_asked(panel, sim):
    made = panel(given=[{"thinking": False}])
    made.panels[0]._controls._fields["schema"].box.value = "item, amount nonsense"
    made.start()
    assert "is not a type of a schema line" in made._status.value
    assert sim.ledger.count() == 0


# ---------------------------------------------------------------------- a run, and its end


@pytest.mark.slow
def test_a_stop_ends_the_run_and_keeps_what_has_answered(panel, sim):
    sim.pace(latency=0.0)
    made = panel(given=[{"thinking": False}], rows=1)
    run(made)
    sim.pace(latency=30.0)
    made._rows.value = 2
    ended = threading.Event()
    made.keep_record(lambda markdown, plain: ended.set())
    ended.clear()
    made.start()
    sim.ledger.wait_for(2, "arrived")
    assert made._start.disabled and not made._stop.disabled
    made.stop()
    assert ended.wait(60)
    assert list(made.answers()) == ["A1"]
    assert made._cells[1, 0][0].value == "[stopped]"
    assert made._status.value.startswith("Stopped: 1 of 2 answered.")
    assert not made._start.disabled and made._stop.disabled


@pytest.mark.slow
def test_run_pressed_twice_runs_once(panel, sim):
    sim.pace(latency=60.0)
    made, before = panel(rows=2), set(threading.enumerate())
    made.start()
    made.start()
    begun = [thread.name for thread in set(threading.enumerate()) - before]
    assert begun.count("qwennb-playground") == 1
    sim.ledger.wait_for(2, "asked")
    with pytest.raises(TimeoutError):
        sim.ledger.wait_for(3, "asked", timeout=0.5)


def test_settings_are_added_and_taken_away(panel):
    made = panel(given=[{"seed": 3}])
    assert made.panels[0]._remove.disabled
    made._add.click()
    assert [one.options() for one in made.panels] == [{"model": "qwen3.5-flash", "seed": 3}] * 2
    assert made._which.options == ("A1", "B1", "A2", "B2")
    made.panels[1]._controls._fields["seed"].box.children[0].value = 9
    made.panels[0]._remove.click()
    assert [one.options()["seed"] for one in made.panels] == [9]
    assert made.panels[0]._model.description == "model A" and made._which.options == ("A1", "A2")


def test_a_copy_is_shown_where_it_can_be_copied_and_has_no_key(panel):
    made = panel(given=[{"thinking": False}])
    for text, copy in (("%%qwen", made._cell), ("qwen.ask(", made._column), ("curl -sS", made._curl)):
        assert text in copy() and "sk-sim" not in copy()
    made._rows.value = 3
    made._which.value = "A3"
    with pytest.raises(BadInput, match="A3 asks nothing"):
        made._cell()


# ---------------------------------------------------------------------- texts of others


def test_a_text_to_read_is_put_back_when_somebody_types_into_it():
    shown = ReadOnlyText("A1", text="as it was")
    shown.value = "changed"
    assert shown.value == "as it was"
    shown.show("new")
    assert shown.value == "new"


def test_no_line_of_ours_is_read_as_mathematics():
    assert StatusLabel("12 → 34 tokens, $0.0001, 1 s").value == "12 → 34 tokens, $0.0001, 1 s"
    for text in (r"$\href{javascript:alert(1)}{x}$", r"\(x\)", "$0.1 and $0.2"):
        told = StatusLabel(text).value
        assert "\\" not in told and told.count("$") < 2


def test_a_record_is_inert():
    attacks = json.loads((Path(__file__).parents[1] / "answer" / "attacks.json").read_text())
    for attack in attacks:
        request = Request("m", (Message("user", (Text(attack),)),))
        outcomes = {(0, 0): VariantOutcome(Answer(request, text=attack))}
        shown = record.markdown(attack, [attack], [{"model": attack, "system": attack}], outcomes)
        outside = shown.partition("```\n\n")[2]
        assert "<script" not in outside.lower() and "<img" not in outside.lower() and "](" not in outside
        assert "$" not in outside.replace("$0.00", "")


def test_where_nobody_looks_there_is_no_widget(qwen):
    made = Playground(PROMPT, FRAME, client=qwen, variants=[{"temperature": 0.2}])
    made._ipython_display_()
    assert made._panel is None and made._exhibit is None and made.answers == {}


def test_a_playground_takes_a_client_for_each_of_its_settings(client, simulate, qwen):
    other = client(simulate("vllm"))
    made = PlaygroundPanel("Hello", Inputs(), 1, [(None, {}), (other, {})], qwen)
    assert [one.client for one in made.panels] == [qwen, other]
    assert "vllm" in made.panels[1].heading.value
    with pytest.raises(BadInput, match="takes a Qwen"):
        Playground("x", variants=[{"client": "vllm"}])
    assert isinstance(Playground("x", variants=[{"client": other}])._given[0][0], Qwen)


def test_it_is_told_on_how_many_inputs_all_settings_agree():
    def said(*texts: str) -> dict[tuple[int, int], VariantOutcome]:
        asked = Request("m", (user_message("x"),))
        return {(at // 2, at % 2): VariantOutcome(Answer(asked, text=text)) for at, text in enumerate(texts)}

    assert agreement(said("yes", "yes ", "yes", "no"), 2, 2) == "The same answer for 1 of 2 inputs."
    assert agreement(said("yes", "no"), 1, 2) == "The same answer for 0 of 1 inputs."
    assert agreement(said("yes", "yes") | {(0, 1): VariantOutcome(problem="stopped")}, 1, 2) == ""
    assert agreement(said("yes", "yes"), 1, 1) == ""


def test_braces_in_an_input_are_what_stands_there(panel, sim):
    made = panel(prompt="Say {{ x }}", inputs=[{"x": "{{ y }} and {{ x }}"}], rows=1)
    run(made)
    [asked] = sim.ledger.asks()
    assert asked.body["messages"][-1]["content"] == "Say {{ y }} and {{ x }}"
