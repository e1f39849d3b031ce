"""A column that a cheaper model drafts: taken as far as it is proved to be the model's own, and the rest is asked."""

from __future__ import annotations

import subprocess
import sys

import polars as pl
import pytest

import qwennb
from qwennb import Qwen
from qwennb.errors import BadInput, BudgetExceeded, NotRecorded, QwenFrameWarning, Uncertified
from qwennb.testing import judge

LABELS = ["refund", "thanks", "other"]
ROWS = 400
MAILS = pl.DataFrame(
    {
        "id": range(ROWS),
        "mail": [
            f"Mail {n}: {'a refund please' if n % 3 == 0 else 'thank you'}{', if you would' if n % 4 == 0 else ''}."
            for n in range(ROWS)
        ],
    }
)
AGREE = {"model": "plus", "draft": "flash", "agree": 0.9, "progress": False}


def gold(row):
    return "refund" if "refund" in row["mail"] else "thanks"


def is_refund(row):
    return "refund" in row["mail"]


RIGHT = pl.Series(map(gold, MAILS.to_dicts()))


def errs_where_it_is_polite(row):
    return 0.8 if "would" in row["mail"] else 0.99


@pytest.fixture(scope="module")
def labelled():
    """A judge that has labelled the mails with a draft; whoever asks the same again asks nothing new."""
    with judge(rows=MAILS, label=gold, agree={"flash": errs_where_it_is_polite}) as j:
        j.made = MAILS.qwen.classify("mail", LABELS, meta=True, client=j.client, **AGREE)
        j.first = j.models.copy()
        yield j


def test_a_draft_is_taken_as_far_as_it_is_proved_and_the_rest_is_asked(labelled):
    made, found = labelled.made, qwennb.evidence(labelled.made, "label")
    assert made.schema["label"] == pl.Enum(LABELS)
    assert (made["label"].cast(pl.String) == RIGHT).mean() >= 0.9
    assert labelled.first["qwen3.5-flash"] == ROWS
    assert labelled.first["qwen3.5-plus"] == found.routes["asked"] < ROWS * 0.7
    whose = made["label_meta"].struct.field("model").value_counts()
    assert sorted(whose["count"].to_list()) == sorted(found.routes[one] for one in ("asked", "draft"))
    assert found.rows == ROWS and found.reached == 0.9 and found.labels <= found.routes["asked"]
    assert found.steps["passed"].any() and found.steps.columns == [
        "rows",
        "most",
        "drawn",
        "errors",
        "passed",
    ]
    assert "at least 0.9 of all 400 rows have the answer that qwen3.5-plus gives" in str(found)


def test_a_second_run_costs_nothing_and_proves_the_same(labelled):
    before = labelled.calls
    again = MAILS.qwen.classify("mail", LABELS, meta=True, client=labelled.client, **AGREE)
    assert labelled.calls == before
    assert again.equals(labelled.made)
    assert str(qwennb.evidence(again, "label")) == str(qwennb.evidence(labelled.made, "label"))


def test_the_order_of_the_table_decides_nothing(labelled):
    before = labelled.calls
    turned = MAILS.sort("mail", descending=True).qwen.classify(
        "mail", LABELS, client=labelled.client, **AGREE
    )
    assert labelled.calls == before
    assert turned.sort("id")["label"].equals(labelled.made["label"])


def test_a_replay_recalls_the_certificate_and_asks_nobody(labelled):
    reader = Qwen(cache="replay", cache_dir=labelled.client.session.config.cache_dir)
    before = labelled.calls
    again = MAILS.qwen.classify("mail", LABELS, meta=True, client=reader, **AGREE)
    assert again.equals(labelled.made) and labelled.calls == before
    with pytest.raises(NotRecorded):
        MAILS.tail(300).with_columns(mail="New: " + pl.col("mail")).qwen.classify(
            "mail", LABELS, client=reader, on_error="raise", **AGREE
        )


def test_a_plain_verb_recalls_what_was_asked_for_a_certificate(labelled):
    before = labelled.models["qwen3.5-plus"]
    MAILS.qwen.classify("mail", LABELS, model="plus", client=labelled.client, progress=False)
    assert labelled.models["qwen3.5-plus"] - before == ROWS - labelled.first["qwen3.5-plus"]


def test_evidence_is_found_by_the_rows_in_any_order_and_by_no_others(labelled):
    made = labelled.made.drop("label_meta")
    assert qwennb.evidence(made.reverse(), "label").rows == ROWS
    assert qwennb.evidence(made.to_pandas(), "label").rows == ROWS
    for other in (
        made.head(399),
        made.with_columns(mail=pl.col("mail") + "!"),
        made.rename({"label": "said"}),
    ):
        with pytest.raises(BadInput, match="Nothing is known of how `label` came about"):
            qwennb.evidence(other, "label")


def test_recall_keeps_the_rows_that_it_must_each_asked_of_the_model_itself():
    with judge(rows=MAILS, label=is_refund, agree={"flash": 0.95}) as j:
        options = {"model": "plus", "draft": "flash", "client": j.client, "progress": False}
        kept = MAILS.qwen.filter("{{ mail }} wants a refund", recall=0.9, **options)
        found = qwennb.evidence(kept)
        assert kept["mail"].str.contains("refund").all()
        assert kept.height >= 0.9 * 134
        assert found.goal == "recall" and found.routes["draft"] > 0
        precise = MAILS.qwen.filter("{{ mail }} wants a refund", precision=0.8, **options)
        assert precise["mail"].str.contains("refund").mean() >= 0.8
        assert qwennb.evidence(precise).goal == "precision"


def test_numbers_agree_within_a_tolerance():
    with judge(rows=MAILS, label=lambda row: row["id"] % 10 / 10, agree={"flash": 0.97}) as j:
        made = MAILS.qwen.score("mail", "how urgent", tolerance=0.05, client=j.client, **AGREE)
        near = (made["score"] - MAILS["id"] % 10 / 10).abs() <= 0.05 + 1e-9
    assert near.mean() >= 0.9
    assert ", within 0.05" in str(qwennb.evidence(made, "score"))


def test_a_local_draft_asks_a_tenth_to_learn_from_and_says_when_it_learns_nothing():
    options = {**AGREE, "draft": "local", "agree": 0.85}
    with judge(rows=MAILS, label=gold) as j:
        made = MAILS.qwen.classify("mail", LABELS, meta=True, client=j.client, **options)
        assert (made["label"].cast(pl.String) == RIGHT).mean() >= 0.85
        assert j.models["qwen3.5-plus"] < ROWS / 2
        assert "local" in made["label_meta"].struct.field("model").to_list()
    with judge(rows=MAILS, label=lambda row: LABELS[hash(row["id"] * 7919 % 101) % 3]) as j:
        with pytest.warns(
            QwenFrameWarning, match=r"No draft is taken .* what is learnt from 40 rows is right of"
        ):
            made = MAILS.qwen.classify("mail", LABELS, client=j.client, **options)
        assert j.models == {"qwen3.5-plus": ROWS} and made["label"].null_count() == 0
        assert "No draft was taken" in str(qwennb.evidence(made, "label"))


def test_what_can_not_be_proved_is_said_before_anything_is_drafted():
    few = MAILS.head(9)
    with judge(rows=few, label=gold) as j:
        with pytest.warns(QwenFrameWarning, match="of 9 rows not one may be wrong at 0.9") as told:
            made = few.qwen.classify("mail", LABELS, client=j.client, **AGREE)
        assert len(told) == 1 and j.models == {"qwen3.5-plus": 9}
        assert made["label"].cast(pl.String).equals(RIGHT.head(9), check_names=False)
        before = j.calls
        with pytest.raises(BadInput, match="agree=0.9 can't be proved: of 9 rows"):
            few.qwen.classify("mail", LABELS, client=j.client, on_uncertified="stop", **AGREE)
        assert j.calls == before


def test_recall_of_a_rare_class_is_said_before_the_model_is_asked():
    options = {"model": "plus", "draft": "flash", "recall": 0.95, "progress": False}
    with (
        judge(rows=MAILS, label=lambda row: row["id"] in (3, 300)) as j,
        pytest.warns(QwenFrameWarning, match="there are about 2 of them, so that all rows are asked"),
    ):
        kept = MAILS.qwen.filter("{{ mail }} is rare", client=j.client, **options)
    assert kept["id"].to_list() == [3, 300]


def test_rows_that_are_not_proved_fail_where_the_model_is_not_to_be_asked():
    with judge(rows=MAILS, label=gold, agree={"flash": errs_where_it_is_polite}) as j:
        options = {**AGREE, "agree": 0.95, "on_uncertified": "stop", "client": j.client}
        with pytest.warns(QwenFrameWarning, match="Uncertified: .* are not proved to be qwen3.5-plus's own"):
            made = MAILS.qwen.classify("mail", LABELS, **options)
        found = qwennb.evidence(made, "label")
        assert made["label"].null_count() == found.routes["left"] > 0
        # It is of the rows that have an answer that so many are right: nobody is asked to make up for the others.
        assert (made["label"].cast(pl.String) == RIGHT).drop_nulls().mean() >= 0.95
        assert f"of the {ROWS - found.routes['left']} rows with an answer" in str(found)
        with pytest.raises(Uncertified):
            MAILS.qwen.classify("mail", LABELS, on_error="raise", **options)


def test_a_draft_that_can_not_be_read_is_asked_and_a_row_that_fails_is_no_default():
    with judge(rows=MAILS, label=gold, unreadable=0.05) as j, pytest.warns(QwenFrameWarning, match="failed"):
        made = MAILS.qwen.classify("mail", LABELS, client=j.client, **AGREE)
    known = made["label"].is_not_null()
    assert 0 < made["label"].null_count() < 40
    assert (made["label"].cast(pl.String) == RIGHT).filter(known).all()


@pytest.mark.parametrize("model", ["qwen3.5-flash", "qwen3.5-plus"])
def test_a_run_that_is_stopped_keeps_what_is_finished_and_proves_nothing(model):
    def stop(progress):
        if progress.model == model and progress.done - progress.cached > 5:
            progress.stop()

    with judge(rows=MAILS, label=gold, agree={"flash": 0.7}, concurrency=4) as j:
        made = MAILS.qwen.classify("mail", LABELS, client=j.client, **(AGREE | {"progress": stop}))
        assert made["label"].null_count() > 0
        assert (made["label"].cast(pl.String) == RIGHT).drop_nulls().all()  # no draft is taken unproved
        with pytest.raises(BadInput, match="Nothing is known"):
            qwennb.evidence(made, "label")
        again = MAILS.qwen.classify("mail", LABELS, client=j.client, **AGREE)
        assert again["label"].null_count() == 0 and j.models["qwen3.5-flash"] <= ROWS + 4


def test_a_budget_holds_over_the_draft_and_the_model_together():
    with judge(rows=MAILS, label=gold, agree={"flash": 0.7}) as j:
        with pytest.warns(QwenFrameWarning, match="BudgetExceeded"):
            made = MAILS.qwen.classify("mail", LABELS, client=j.client, meta=True, budget=0.005, **AGREE)
        assert made["label"].null_count() > 0
        assert j.client.session.budget.spent <= 0.005
        with pytest.raises(BudgetExceeded):
            MAILS.with_columns(mail=pl.col("mail") + " ").qwen.classify(
                "mail", LABELS, client=j.client, budget=0.0001, on_error="raise", **AGREE
            )


def test_a_text_that_stands_there_often_is_asked_once_and_weighs_as_often():
    often = pl.concat([MAILS, pl.concat([MAILS.head(1)] * 300), pl.DataFrame({"id": [0], "mail": [None]})])
    with judge(rows=MAILS, label=gold, agree={"flash": errs_where_it_is_polite}) as j:
        made = often.qwen.classify("mail", LABELS, client=j.client, **AGREE)
        assert j.models["qwen3.5-flash"] == ROWS
    found = qwennb.evidence(made, "label")
    assert found.rows == 700 and sum(found.routes.values()) == 700
    assert made["label"].null_count() == 1


def test_a_plan_says_what_the_draft_and_its_certificate_take_before_anything_is_sent():
    with judge(rows=MAILS, label=gold) as j:
        planned = MAILS.qwen.plan.classify(
            "mail", LABELS, model="plus", draft="flash", agree=0.9, client=j.client
        )
        assert planned.draft.model == "qwen3.5-flash" and planned.model == "qwen3.5-plus"
        assert "agree=0.9 is proved by " in str(planned) and "20 more teach where the draft errs" in str(
            planned
        )
        assert "with the draft ≈ $" in str(planned)
        few = MAILS.head(9).qwen.plan.classify(
            "mail", LABELS, model="plus", draft="flash", agree=0.9, client=j.client
        )
        assert "agree=0.9 can't be proved: of 9 rows not one may be wrong" in str(few)
        rare = MAILS.qwen.plan.filter(
            "{{ mail }} wants", model="plus", draft="flash", recall=0.95, client=j.client
        )
        assert "one in a hundred" in str(rare)
        assert j.calls == 0


@pytest.mark.parametrize(
    ("verb", "options", "words"),
    [
        ("classify", {"draft": "flash"}, "how far is not guessed. Say it: agree=0.95."),
        ("filter", {"draft": "flash"}, "or recall= or precision="),
        ("classify", {"agree": 0.9}, 'nobody drafts. Name who does: draft="flash"'),
        ("classify", {"draft": "flash", "recall": 0.9}, "recall= is for filter()"),
        ("filter", {"draft": "flash", "recall": 0.9, "precision": 0.9}, "precision= and recall= are given. Give one"),
        ("classify", {"draft": "plus", "agree": 0.9}, "the model itself"),
        ("classify", {"draft": "flash", "agree": 1}, "agree=1 must be above 0 and below 1"),
        ("classify", {"draft": "flash", "agree": 0.9, "tolerance": 1}, "tolerance= is for score()"),
        ("score", {"draft": "flash", "agree": 0.9}, "Say it: score(…, tolerance=0.5)"),
        ("score", {"draft": "local", "agree": 0.9, "tolerance": 1}, 'draft="local" learns labels'),
        ("classify", {"draft": "flash", "agree": 0.9, "draws": 3}, "draws= and draft= are two ways"),
        ("classify", {"draft": "flash", "agree": 0.9, "lane": "batch"}, "made in rounds"),
        ("filter", {"draft": "flash", "agree": 0.9, "on_uncertified": "stop"}, "must keep or drop each"),
        ("classify", {"draft": "flash", "agree": 0.9, "on_uncertified": "guess"}, "on_uncertified='guess'"),
        ("summarize", {"draft": "flash", "agree": 0.9}, "draft= is for classify(), filter() and score()"),
    ],
)  # fmt: skip
def test_terms_that_can_not_be_meant_are_refused_in_a_sentence(verb, options, words, labelled):
    arguments = {
        "classify": ("mail", LABELS),
        "filter": ("{{ mail }} wants a refund",),
        "score": ("mail", "how urgent"),
        "summarize": ("mail",),
    }[verb]
    with pytest.raises(BadInput) as told:
        getattr(MAILS.qwen, verb)(*arguments, model="plus", client=labelled.client, **options)
    assert words in str(told.value)


@pytest.mark.parametrize(
    "plan",
    [
        lambda: MAILS.lazy().qwen.classify("mail", LABELS, **AGREE),
        lambda: pl.col("mail").qwen.classify(LABELS, **AGREE),
    ],
)
def test_a_plan_of_polars_that_brings_rows_in_pieces_takes_no_draft(plan):
    with pytest.raises(BadInput, match=r"Collect it first: lf.collect\(\)"):
        plan()


def test_without_numpy_a_draft_is_refused_with_what_to_type():
    script = (
        "import sys; sys.modules['numpy'] = None\n"
        "import polars as pl, qwennb\n"
        "df = pl.DataFrame({'t': [str(n) for n in range(99)]})\n"
        "for ask in (df.qwen, df.qwen.plan):\n"
        "    try: ask.classify('t', ['a', 'b'], model='plus', draft='flash', agree=0.9, endpoint='simulator')\n"
        "    except qwennb.errors.BadInput as told: print(told)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.count('Type: pip install "qwennb[tables]"') == 2, done.stdout + done.stderr
