"""A label is chosen by what it gains over the model's lean, where the endpoint tells how likely each was."""

from __future__ import annotations

import io
import math

import polars as pl
import pytest
from PIL import Image as Picture

from qwennb.client.runtime import runtime
from qwennb.errors import QwenFrameWarning
from qwennb.frames.columns import classify_column
from qwennb.frames.evaluator import EVALUATIONS, Evaluator
from qwennb.frames.lean import choose, mean_lean
from qwennb.frames.progress import Tally
from qwennb.frames.prompts import Prompt
from qwennb.request import NOTHING
from qwennb.simulator import Fault, Reply

FRAME = pl.DataFrame({"text": ["I love it", "It broke"]})
LABELS = ["praise", "complaint"]
SAYS = {"I love it": 0.3, "It broke": 0.05}


def leaning(asked):
    """A model that says "complaint" to everything, and is only a little less sure of it where somebody is pleased."""
    praise = next((share for words, share in SAYS.items() if words in asked.text), 0.1)
    return Reply("complaint", likely={"complaint": 1 - praise, "praise": praise})


@pytest.fixture(params=["vllm", "llama.cpp", "sglang"])
def sim(request, simulate):
    return simulate(request.param, script=leaning)


def test_a_model_that_leans_to_a_label_is_read_by_what_each_gains(sim, client):
    made = FRAME.qwen.classify("text", LABELS, client=client(sim), meta=True)
    assert made["label"].to_list() == ["praise", "complaint"]
    assert made["label_meta"].struct.field("confidence").is_between(0.5, 1).all()
    assert sim.ledger.count("asked") == len(FRAME) + len(NOTHING)


def test_the_lean_is_asked_for_once_and_kept(sim, client):
    qwen = client(sim)
    FRAME.head(1).qwen.classify("text", LABELS, client=qwen)
    more = pl.concat([FRAME, pl.DataFrame({"text": ["It broke again"]})])
    made = more.qwen.classify("text", LABELS, client=qwen)
    assert made["label"].to_list() == ["praise", "complaint", "complaint"]
    assert sim.ledger.count("asked") == 3 + len(NOTHING)


def test_a_recalled_label_is_the_one_that_was_asked_for(sim, client, tmp_path):
    first = FRAME.qwen.classify("text", LABELS, client=client(sim), meta=True)
    again = FRAME.qwen.classify("text", LABELS, client=client(sim), meta=True)
    replayed = FRAME.qwen.classify("text", LABELS, client=client(sim, cache="replay"), meta=True)
    assert first.equals(again) and first.equals(replayed)
    assert sim.ledger.count("asked") == len(FRAME) + len(NOTHING)


def test_a_row_has_the_same_label_in_every_table(sim, client):
    qwen = client(sim, cache="off")
    whole = FRAME.qwen.classify("text", LABELS, client=qwen)
    alone = pl.concat([FRAME[n : n + 1].qwen.classify("text", LABELS, client=qwen) for n in range(2)])
    assert whole.equals(alone) and FRAME.lazy().qwen.classify("text", LABELS, client=qwen).collect().equals(
        whole
    )


def test_where_no_probabilities_are_told_a_label_is_as_it_was_said(simulate, client):
    sim = simulate("ollama", script=leaning)
    made = FRAME.qwen.classify("text", LABELS, client=client(sim), meta=True)
    assert made["label"].to_list() == ["complaint", "complaint"]
    assert made["label_meta"].struct.field("confidence").to_list() == [None, None]
    assert sim.ledger.count("asked") == len(FRAME)


def test_the_key_is_the_same_with_and_without_probabilities(simulate, client):
    keys = [
        FRAME.qwen.classify(
            "text", LABELS, client=client(simulate(kind, script=leaning), model="9b"), meta=True
        )["label_meta"].struct.field("key")
        for kind in ("vllm", "openrouter", "llama.cpp")
    ]
    assert keys[0].equals(keys[1]) and keys[0].equals(keys[2])


def test_the_plan_counts_the_questions_that_find_the_lean(sim, client):
    qwen = client(sim)
    assert FRAME.qwen.plan.classify("text", LABELS, client=qwen).leaning == len(NOTHING)
    FRAME.head(1).qwen.classify("text", LABELS, client=qwen)
    assert FRAME.qwen.plan.classify("text", LABELS, client=qwen).leaning == 0


def test_draws_are_counted_as_they_were_said(sim, client):
    made = FRAME.qwen.classify("text", LABELS, client=client(sim), draws=3)
    assert made["label"].to_list() == ["complaint", "complaint"]
    assert sim.ledger.count("asked") == 3 * len(FRAME)


def test_a_column_of_the_first_edition_is_recalled_and_asks_nothing(simulate, client):
    sim = simulate("vllm", script=leaning)
    qwen = client(sim)
    old = FRAME.qwen.classify("text", LABELS, client=qwen, prompt_version=1)
    asked = sim.ledger.count("asked")
    assert old["label"].to_list() == ["complaint", "complaint"] and asked == len(FRAME)
    new = FRAME.qwen.classify("text", LABELS, client=qwen)
    replayed = FRAME.qwen.classify("text", LABELS, client=client(sim, cache="replay"))
    assert new.equals(old) and replayed.equals(old) and sim.ledger.count("asked") == asked
    assert FRAME.qwen.plan.classify("text", LABELS, client=qwen).to_ask == 0


def test_only_what_no_words_have_recorded_is_asked_in_the_newest(simulate, client):
    sim = simulate("openrouter", script=lambda asked: "praise")
    qwen = client(sim)
    FRAME.head(1).qwen.classify("text", LABELS, client=qwen, prompt_version=1)
    FRAME.qwen.classify("text", LABELS, client=qwen)
    asks = [one.body["messages"][0]["role"] for one in sim.ledger.asks()]
    assert asks == ["user", "system"], "the row that was known in the old words is not asked again"


def test_a_version_that_is_none_is_refused_with_those_that_are(simulate, client):
    with pytest.raises(ValueError, match=r"prompt_version=7 is none of this verb's: 1, 2"):
        FRAME.qwen.classify("text", LABELS, client=client(simulate()), prompt_version=7)
    with pytest.raises(ValueError, match=r"prompt_version=\[1\] is none of this verb's: 1, 2"):
        FRAME.qwen.classify("text", LABELS, client=client(simulate()), prompt_version=[1])
    with pytest.raises(ValueError, match="no words but yours"):
        FRAME.qwen.ask("{{ text }}?", client=client(simulate()), prompt_version=1)


def test_what_is_the_same_for_every_row_stands_in_the_system_text(simulate, client):
    sim = simulate("vllm", script=leaning)
    FRAME.qwen.classify("text", LABELS, client=client(sim), system="You work in a shop.")
    bodies = [one.body for one in sim.ledger.asks()]
    systems = {body["messages"][0]["content"] for body in bodies}
    (system,) = systems
    assert system.startswith("You work in a shop.\n\n") and all(label in system for label in LABELS)
    texts = [body["messages"][1]["content"] for body in bodies]
    assert "Text: I love it\n\nCategory:" in texts, "and the labels are not said once more at its end"


def test_a_pack_of_a_frame_has_what_its_labels_were_read_beside(sim, client):
    made = FRAME.qwen.classify("text", LABELS, client=client(sim), meta=True)
    pack = client(sim).pack(made)
    assert len(pack) == len(FRAME) + len(NOTHING)


def test_a_verb_over_several_columns_is_read_beside_the_same_questions(sim, client):
    frame, qwen = FRAME.with_columns(n=pl.int_range(pl.len())), client(sim)
    made = frame.qwen.classify("{{ n }}: {{ text }}", LABELS, client=qwen)
    assert made["label"].to_list() == ["praise", "complaint"]
    frame.qwen.classify("text", LABELS, client=qwen)
    assert sim.ledger.count("asked") == 2 * len(FRAME) + len(NOTHING)


def test_where_the_lean_can_not_be_found_out_it_is_told_and_no_row_is_lost(simulate, client):
    sim = simulate("vllm", script=lambda asked: Fault("400") if "lorem" in asked.text else leaning(asked))
    qwen = client(sim)
    with pytest.warns(UserWarning, match="Which way the model leans could not be found out"):
        made = FRAME.qwen.classify("text", LABELS, client=qwen, meta=True)
    assert made["label"].to_list() == ["complaint", "complaint"]
    assert made["label_meta"].struct.field("confidence").to_list() == [None, None]


def test_what_the_lean_costs_is_part_of_what_the_run_tells(sim, client):
    told = []
    FRAME.qwen.classify("text", LABELS, client=client(sim), progress=told.append)
    sent = sum(one.usage["prompt_tokens"] for one in sim.ledger.asks())
    assert told[-1].tokens[0] == sent and told[-1].unique == len(FRAME)


def test_the_lean_is_a_mean_and_a_label_is_chosen_by_what_it_gains():
    assert mean_lean([(0.0, -2.0), (-2.0, -4.0)]) == (-1.0, -3.0)
    label, sure = choose(LABELS, (-2.0, -0.5), (-3.0, -0.1), "complaint")
    assert label == "praise" and sure == pytest.approx(1 / (1 + math.exp(-2 * 1.4)))
    for said in LABELS:
        assert choose(LABELS, (-1.0, -1.0), (-1.0, -1.00004), said) == (said, pytest.approx(0.5, abs=1e-3))


def test_the_lean_is_asked_for_once_by_all_batches_of_a_plan_that_keeps_nothing(sim, client):
    evaluator = Evaluator(classify_column("text", LABELS, {"client": client(sim, cache="off")}))
    made = [evaluator.batch([pl.Series("text", [text])], ["text"], "label")[0] for text in SAYS]
    assert made == ["praise", "complaint"] and sim.ledger.count("asked") == len(SAYS) + len(NOTHING)


def test_what_is_recorded_with_a_column_has_what_its_labels_are_read_beside(sim, client):
    FRAME.qwen.classify("text", LABELS, client=client(sim))
    log = runtime().record()
    FRAME.qwen.classify("text", LABELS, client=client(sim))
    recorded = runtime().pack(log.take())
    runtime().stop(log)
    assert len(recorded) == len(FRAME) + len(NOTHING)


def test_a_lean_that_is_known_in_part_is_not_used_until_it_is_whole(simulate, client):
    broken = True
    sim = simulate(
        "vllm", script=lambda asked: Fault("400") if broken and "lorem" in asked.text else leaning(asked)
    )
    with pytest.warns(UserWarning, match="Which way the model leans"):
        FRAME.qwen.classify("text", LABELS, client=client(sim))
    said = FRAME.qwen.classify("text", LABELS, client=client(sim, cache="replay"))
    assert said["label"].to_list() == ["complaint", "complaint"]
    broken = False
    more = pl.concat([FRAME, pl.DataFrame({"text": ["It broke again"]})])
    made = more.qwen.classify("text", LABELS, client=client(sim))
    assert made["label"].to_list() == ["praise", "complaint", "complaint"], (
        "those that were known are read again"
    )


def test_a_row_in_the_words_of_0_1_is_as_it_was_said_beside_rows_in_the_newest(simulate, client):
    sim = simulate("vllm", script=leaning)
    FRAME.head(1).qwen.classify("text", LABELS, client=client(sim), prompt_version=1)
    for _ in range(2):
        made = FRAME.qwen.classify("text", LABELS, client=client(sim))
        assert made["label"].to_list() == ["complaint", "complaint"]


@pytest.mark.parametrize(
    "options",
    [{"thinking": True}, {"image": "photo"}, {"system": "Be {{ mood }}."}, {"prompt_version": 1}],
    ids=lambda options: next(iter(options)),
)
def test_what_no_text_alone_can_stand_for_is_not_held_against_texts_that_say_nothing(
    simulate, client, options
):
    picture = io.BytesIO()
    Picture.new("RGB", (32, 32), "red").save(picture, "PNG")
    frame = FRAME.with_columns(photo=pl.lit(picture.getvalue()), mood=pl.lit("brief"))
    sim = simulate("vllm", script=leaning)
    made = frame.qwen.classify("text", LABELS, client=client(sim), **options)
    assert made["label"].to_list() == ["complaint", "complaint"] and sim.ledger.count("asked") == len(FRAME)


def test_likelihoods_are_asked_for_only_where_no_thought_comes_first(simulate, client):
    sim = simulate("vllm", script=leaning)
    qwen = client(sim)
    qwen.ask("Which?", choices=LABELS, thinking=False, logprobs=3)
    assert sim.ledger.last().body["top_logprobs"] == 3
    qwen.ask("Which?", choices=LABELS, thinking=True)
    assert "logprobs" not in sim.ledger.last().body
    qwen.ask("Which?", thinking=False)
    assert "logprobs" not in sim.ledger.last().body


@pytest.mark.parametrize("choices", [None, LABELS])
def test_likelihoods_that_the_user_asked_for_in_extra_fields_are_in_the_answer(simulate, client, choices):
    sim = simulate("vllm", script=leaning)
    for qwen in (client(sim), client(sim, cache="replay")):
        extra = {"logprobs": True, "top_logprobs": 2}
        answer = qwen.ask("I love it", choices=choices, thinking=False, extra=extra)
        assert "".join(one.token for one in answer.logprobs).strip() == "complaint"


@pytest.mark.parametrize("kind", ["vllm", "sglang", "llama.cpp"])
def test_choices_are_said_where_the_system_text_does_not_name_them_all(simulate, client, kind):
    sim = simulate(kind, script=leaning)
    systems = pl.DataFrame(
        {"system": ["Say praise or complaint.", "It praises, or has complaints.", "Be kind."]}
    )
    systems.qwen.ask(
        "Which? ({{ system }})", choices=LABELS, system="{{ system }}", thinking=False, client=client(sim)
    )
    said = {
        body["messages"][0]["content"]: body["messages"][1]["content"]
        for body in (one.body for one in sim.ledger.asks())
    }
    assert [systems["system"][n] in said and "exactly one of these" in said[systems["system"][n]] for n in range(3)] == [
        False, True, True
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["vllm", "ollama"])
def test_likelihoods_that_the_user_asked_for_tell_the_lean_too(simulate, client, kind):
    sim = simulate(kind, script=leaning)
    made = FRAME.qwen.classify("text", LABELS, client=client(sim), logprobs=5, meta=True)
    assert made["label"].to_list() == ["praise", "complaint"]
    assert made["label_meta"].struct.field("logprobs").list.len().to_list() == [1, 1]
    assert all(one.body["top_logprobs"] == 5 for one in sim.ledger.asks())


@pytest.mark.parametrize("kind", ["vllm", "llama.cpp", "sglang"])
def test_one_token_is_asked_for_where_it_tells_which_label_it_begins(simulate, client, kind):
    sim = simulate(kind)  # says some label, as far as max_tokens lets it
    made = FRAME.qwen.classify("text", LABELS, client=client(sim), meta=True)
    assert {one.body["max_tokens"] for one in sim.ledger.asks()} == {1}
    assert made["label"].null_count() == 0
    assert made["label_meta"].struct.field("output_tokens").to_list() == [1, 1]
    assert client(sim).ask("Which?", choices=LABELS, thinking=False).text in LABELS
    assert sim.ledger.last().body["max_tokens"] > 20, "a stream shows all of it"


@pytest.mark.parametrize(
    "labels", [["good", "great"], ["good", "Great"], ["été", "êta"], ["good", "Bad", "better", "Best"]]
)
def test_labels_that_begin_alike_have_room_to_be_said(simulate, client, labels):
    sim = simulate("vllm", script=lambda asked: labels[-1])
    assert FRAME.qwen.classify("text", labels, client=client(sim))["label"].to_list() == [labels[-1]] * 2
    assert min(one.body["max_tokens"] for one in sim.ledger.asks()) > 20


def test_a_server_that_does_not_hold_to_labels_is_asked_again_with_room(simulate, client):
    sim = simulate("vllm", script=lambda asked: Reply("The", finish_reason="length") if asked.body["max_tokens"] == 1 else "praise")  # fmt: skip
    assert FRAME.qwen.classify("text", LABELS, client=client(sim))["label"].to_list() == ["praise"] * 2


def test_free_text_that_was_cut_is_no_label_however_it_begins(simulate, client):
    sim = simulate("ollama", script=lambda asked: Reply("comp", finish_reason="length"))
    with pytest.warns(QwenFrameWarning, match="was cut off"):
        FRAME.qwen.classify("text", LABELS, client=client(sim))


def test_the_last_line_is_the_same_in_each_run_and_in_replay(sim, client):
    lines = []
    for options in ({}, {}, {"cache": "replay"}):
        told = []
        FRAME.qwen.classify("text", LABELS, client=client(sim, **options), progress=told.append)
        lines.append(told[-1].line)
    lazy = FRAME.lazy().qwen.classify("text", LABELS, client=client(sim), progress=told.append)
    for _ in range(2):
        lazy.collect()
        EVALUATIONS.settle(at_once=True)
        lines.append(told[-1].line)
    assert len(set(lines)) == 1, lines


def test_the_same_call_asks_again_what_the_lean_is_where_that_had_failed(simulate, client):
    broken = True
    sim = simulate(
        "vllm", script=lambda asked: Fault("400") if broken and "lorem" in asked.text else leaning(asked)
    )
    for _ in range(2):
        with pytest.warns(UserWarning, match="Which way the model leans could not be found out"):
            made = FRAME.qwen.classify("text", LABELS, client=client(sim))
        assert made["label"].to_list() == ["complaint", "complaint"]
    broken = False
    made = FRAME.qwen.classify("text", LABELS, client=client(sim))
    assert made["label"].to_list() == ["praise", "complaint"]
    assert sim.ledger.count("answered") <= len(FRAME) + len(NOTHING)


def test_one_plan_reads_all_its_rows_alike_where_the_lean_had_failed(simulate, client):
    broken = True
    sim = simulate(
        "vllm", script=lambda asked: Fault("400") if broken and "lorem" in asked.text else leaning(asked)
    )
    asker = Evaluator(classify_column("text", LABELS, {"client": client(sim)})).find_asker()
    tally = Tally(2, 2, "m", progress=False)
    with pytest.warns(UserWarning, match="Which way the model leans"):
        first = asker.outcomes([Prompt("Text: I love it\n\nCategory:")], None, tally, batches=False)
    broken = False
    second = asker.outcomes([Prompt("Text: I love it!\n\nCategory:")], None, tally, batches=False)
    assert [first[0].value, second[0].value] == ["complaint", "complaint"]


@pytest.mark.parametrize("said", ["y", "Y", "Yes", "yes"])
def test_the_beginning_of_a_label_tells_it_in_small_and_great_letters(simulate, client, said):
    sim = simulate("vllm", script=lambda asked: Reply(said, finish_reason="length"))
    made = FRAME.qwen.ask("{{ text }}: is it?", choices=["yes", "no"], thinking=False, client=client(sim))
    assert made["answer"].to_list() == ["yes", "yes"]


def test_a_limit_of_the_users_own_is_kept_where_one_token_would_tell(simulate, client):
    sim = simulate("vllm")
    FRAME.qwen.classify("text", LABELS, client=client(sim), max_tokens=30)
    assert {one.body["max_tokens"] for one in sim.ledger.asks()} == {30}


@pytest.mark.parametrize(
    ("kind", "said", "options"),
    [("vllm", "g", {"thinking": False}), ("llama.cpp", "gr", {"thinking": True})],
    ids=["two begin so", "free text behind a thought"],
)
def test_a_beginning_that_does_not_tell_is_no_label(simulate, client, kind, said, options):
    sim = simulate(kind, script=lambda asked: Reply(said, finish_reason="length"))
    with pytest.warns(QwenFrameWarning, match="was cut off"):
        FRAME.qwen.ask("{{ text }}?", choices=["good", "great"], client=client(sim), **options)


def test_it_is_told_where_none_of_the_four_questions_was_answered_and_the_rows_were(simulate, client):
    broken = True
    blank = ("N/A", "[text]", "lorem", "Text: \n")
    sim = simulate(
        "vllm",
        script=lambda asked: (
            Fault("400") if broken and any(one in asked.text for one in blank) else leaning(asked)
        ),
    )
    with pytest.warns(UserWarning, match="Which way the model leans could not be found out"):
        FRAME.qwen.classify("text", LABELS, client=client(sim))
    broken = False
    made = FRAME.qwen.classify("text", LABELS, client=client(sim))
    assert made["label"].to_list() == ["praise", "complaint"]
