"""Estimates over tables: the labels wherever they stand, every kind of table, and what is refused."""

from __future__ import annotations

import re

import numpy as np
import pandas
import polars as pl
import pytest

import qwennb
from qwennb.errors import BadInput, QwenFrameWarning

chance = np.random.default_rng(1)
ROWS = 2000
TRUE = chance.random(ROWS) < 0.15
SAID = np.where(chance.random(ROWS) < 0.92, TRUE, ~TRUE)
STARS = chance.integers(1, 6, ROWS)
TABLE = pl.DataFrame(
    {
        "id": range(ROWS),
        "product": chance.choice(["jam", "tea"], ROWS),
        "age": chance.normal(40, 9, ROWS).round(1),
        "label": ["complaint" if one else "praise" for one in SAID],
        "stars": np.clip(STARS + chance.integers(-1, 2, ROWS), 1, 5),
    },
    schema_overrides={"label": pl.Enum(["praise", "complaint"])},
)
TRUTH = pl.DataFrame(
    {"id": range(ROWS), "human": ["complaint" if one else "praise" for one in TRUE], "true_stars": STARS}
)
LABELLED = TABLE.qwen.draw("label", n=200, seed=3).join(TRUTH, on="id", how="left", maintain_order="left")
SHARE = {"of": "complaint", "human": "human"}


def figures(found):
    return [(round(one.value, 9), round(one.low, 9), round(one.high, 9)) for one in found]


def test_labels_are_read_wherever_they_stand():
    """In the drawn frame beside the table, joined into the table with nulls elsewhere, or in the drawn frame alone."""
    beside = TABLE.qwen.estimate.share("label", **SHARE, drawn=LABELLED)
    joined = TABLE.join(LABELLED.select("id", "human", "draw_id", "draw_weight"), on="id", how="left")
    assert beside.low < TRUE.mean() < beside.high and len(joined) == ROWS
    assert figures(joined.qwen.estimate.share("label", **SHARE)) == figures(beside)
    assert figures(LABELLED.qwen.estimate.share("label", **SHARE)) == figures(beside)
    assert LABELLED.qwen.estimate.share("label", **SHARE).lines[0].rows == ROWS


def test_the_line_says_estimate_interval_labels_naive_worth_and_size():
    found = TABLE.qwen.estimate.share("label", **SHARE, drawn=LABELLED)
    assert re.fullmatch(
        r"complaint: 0\.\d{3} \[0\.\d{3}, 0\.\d{3}\] · 200 human labels · model alone said 0\.\d{3} · worth \d\.\d× the labels · table: 2,000 rows",
        str(found),
    )
    assert found._repr_markdown_().startswith("**complaint**: ")
    line = found.lines[0]
    assert line.model == pytest.approx(SAID.mean()) and line.labels == 200 and line.worth > 1.3


def test_every_kind_of_table_gives_the_same_estimate():
    want = figures(TABLE.qwen.estimate.share("label", **SHARE, drawn=LABELLED))
    frame = pandas.DataFrame(TABLE.with_columns(pl.col("label").cast(pl.String)).to_dict(as_series=False))
    drawn = pandas.DataFrame(LABELLED.with_columns(pl.col("label").cast(pl.String)).to_dict(as_series=False))
    assert figures(frame.qwen.estimate.share("label", **SHARE, drawn=drawn)) == want
    assert (
        figures(qwennb.estimate(TABLE.to_arrow()).share("label", **SHARE, drawn=LABELLED.to_arrow())) == want
    )
    with pytest.warns(QwenFrameWarning, match="were collected"):
        assert figures(TABLE.lazy().qwen.estimate.share("label", **SHARE, drawn=LABELLED)) == want


def test_each_label_has_its_line_and_shares_add_up():
    found = TABLE.qwen.estimate.share("label", human="human", drawn=LABELLED)
    assert [line.of for line in found] == ["praise", "complaint"]
    assert sum(line.value for line in found) == pytest.approx(1)
    assert found["complaint"].value == pytest.approx(
        TABLE.qwen.estimate.share("label", **SHARE, drawn=LABELLED).value
    )
    with pytest.raises(BadInput, match="There are 2 estimates; take one by its name"):
        _ = found.value


def test_each_group_has_its_line_and_the_frame_names_it():
    found = TABLE.qwen.estimate.share("label", **SHARE, drawn=LABELLED, by="product")
    frame = found.frame()
    assert frame["product"].to_list() == ["jam", "tea"] and frame["rows"].sum() == ROWS
    assert frame["labels"].sum() == 200 and {"value", "low", "high", "model", "worth"} <= set(frame.columns)
    true = [TRUE[(TABLE["product"] == one).to_numpy()].mean() for one in ("jam", "tea")]
    assert all(low < one < high for low, one, high in zip(frame["low"], true, frame["high"], strict=True))
    assert "| jam · complaint |" in found._repr_markdown_() and "---:" in found._repr_markdown_()


def test_a_count_is_of_whole_rows():
    found = TABLE.qwen.estimate.count("label", **SHARE, drawn=LABELLED)
    assert found.low < TRUE.sum() < found.high
    assert re.match(r"complaint: \d{3} \[\d{3}, \d{3}\] · 200 human labels", str(found))


def test_exact_bounds_are_wider():
    plain = TABLE.qwen.estimate.share("label", **SHARE, drawn=LABELLED)
    exact = TABLE.qwen.estimate.share("label", **SHARE, drawn=LABELLED, exact=True)
    assert exact.low < plain.low and exact.high > plain.high and "exact bounds" in str(exact)
    with pytest.raises(BadInput, match="exact=True is about the rows of the table"):
        TABLE.qwen.estimate.share("label", **SHARE, drawn=LABELLED, exact=True, population="beyond")


def test_means_and_quantiles_are_of_what_humans_would_say():
    labelled = TABLE.qwen.draw("stars", n=200).join(TRUTH, on="id", how="left", maintain_order="left")
    mean = TABLE.qwen.estimate.mean("stars", human="true_stars", drawn=labelled)
    assert mean.low < STARS.mean() < mean.high and mean.lines[0].worth > 1.5
    median = TABLE.qwen.estimate.quantile("stars", 0.5, human="true_stars", drawn=labelled)
    assert median.low <= np.median(STARS) <= median.high
    by = TABLE.qwen.estimate.mean("stars", human="true_stars", drawn=labelled, by="product")
    assert [line.by for line in by] == ["jam", "tea"]
    # A draw by one column serves a question about another.
    other = TABLE.qwen.estimate.mean("stars", human="true_stars", drawn=LABELLED)
    assert other.low < STARS.mean() < other.high


def test_accuracy_is_that_of_the_whole_table():
    found = TABLE.qwen.estimate.accuracy("label", human="human", drawn=LABELLED)
    truths = {
        "accuracy": (SAID == TRUE).mean(),
        "complaint: precision": TRUE[SAID].mean(),
        "complaint: recall": SAID[TRUE].mean(),
        "complaint: F1": 2 * (SAID & TRUE).sum() / (SAID.sum() + TRUE.sum()),
    }
    for name, true in truths.items():
        assert found[name].low < true < found[name].high, name


def test_regressions_take_the_label_on_either_side():
    outcome = TABLE.qwen.estimate.ols("stars", on=["age", "product"], human="true_stars", drawn=LABELLED)
    assert [line.of for line in outcome] == ["(intercept)", "age", "product=tea"]
    covariate = TABLE.qwen.estimate.ols(
        "age", on=["label"], human={"label": "human"}, drawn=LABELLED, cluster="product"
    )
    assert [line.of for line in covariate] == ["(intercept)", "label=complaint"]
    assert "2 clusters of `product`" in str(covariate)
    logit = TABLE.qwen.estimate.logit("label", on="age", of="complaint", human="human", drawn=LABELLED)
    assert logit["age"].low < 0 < logit["age"].high


def test_rows_without_an_answer_are_a_stratum_of_their_own():
    failed = TABLE.with_columns(label=pl.when(pl.col("id") % 20 == 0).then(None).otherwise("label"))
    labelled = failed.qwen.draw("label", n=200).join(TRUTH, on="id", how="left", maintain_order="left")
    assert labelled["label"].is_null().sum() >= 10
    found = failed.qwen.estimate.share("label", **SHARE, drawn=labelled)
    assert found.low < TRUE.mean() < found.high and found.lines[0].rows == ROWS


def test_who_stops_in_the_middle_has_labelled_a_sample_all_the_same():
    half = LABELLED.with_columns(human=pl.when(pl.int_range(pl.len()) < 90).then("human"))
    found = TABLE.qwen.estimate.share("label", **SHARE, drawn=half)
    assert found.lines[0].labels == 90 and found.low < TRUE.mean() < found.high


def test_lists_of_labels_are_counted_by_what_they_hold():
    table = TABLE.with_columns(several=pl.concat_list(pl.col("label").cast(pl.String), pl.lit("all")))
    labelled = table.qwen.draw("several", n=100).with_columns(human=pl.col("several"))
    found = table.qwen.estimate.share("several", of="complaint", human="human", drawn=labelled)
    assert found.value == pytest.approx(SAID.mean(), abs=1e-9)


def test_a_picture_shows_intervals_beside_what_the_model_alone_said():
    pytest.importorskip("matplotlib")
    figure = TABLE.qwen.estimate.share("label", human="human", drawn=LABELLED).plot()
    assert figure._repr_png_().startswith(b"\x89PNG") and len(figure.axes[0].lines) == 6


def test_labels_of_no_design_are_refused_unless_it_is_typed():
    """Whoever picks rows picks those that are like something; nothing in the figures would tell."""
    first = TABLE.join(TRUTH.head(100), on="id", how="left")
    with pytest.raises(
        BadInput, match=r"no `draw_id`.*nothing says how these rows were chosen.*as if random"
    ):
        first.qwen.estimate.share("label", **SHARE)
    found = first.qwen.estimate.share("label", **SHARE, design="as if random")
    assert "as if drawn at random" in str(found) and found.lines[0].labels == 100


def test_labels_that_pass_over_drawn_rows_are_refused():
    holes = LABELLED.with_columns(human=pl.when(pl.int_range(pl.len()) % 5 > 0).then("human"))
    joined = TABLE.join(holes.select("id", "human", "draw_id", "draw_weight"), on="id", how="left")
    for call in (
        lambda **more: TABLE.qwen.estimate.share("label", **SHARE, drawn=holes, **more),
        lambda **more: joined.qwen.estimate.share("label", **SHARE, **more),
        lambda **more: holes.qwen.estimate.share("label", **SHARE, **more),
    ):
        with pytest.raises(BadInput, match=r"drawn rows that came before labelled ones have no label"):
            call()
        assert "as if drawn at random" in str(call(design="as if random"))
    kept = holes.filter(pl.col("human").is_not_null())
    with pytest.raises(BadInput, match="drawn rows that came before labelled ones"):
        TABLE.qwen.estimate.share("label", **SHARE, drawn=kept)


def test_a_draw_that_does_not_fit_the_table_is_refused():
    swapped = TABLE.with_columns(label=pl.when(pl.col("id") < 300).then(pl.lit("praise")).otherwise("label"))
    with pytest.raises(BadInput, match="The draw does not fit this table"):
        swapped.qwen.estimate.share("label", **SHARE, drawn=LABELLED)
    changed = TABLE.with_columns(age=pl.col("age") + 1)
    with pytest.raises(BadInput, match="200 drawn rows of 200 can't be found in this table"):
        changed.qwen.estimate.share("label", **SHARE, drawn=LABELLED)
    # Columns that were made since are no matter, on either side.
    more, drawn = TABLE.with_columns(new=pl.lit(1)), LABELLED.with_columns(new=pl.lit(1))
    for labelled in (LABELLED, drawn, drawn.select(reversed(LABELLED.columns))):
        assert more.qwen.estimate.share("label", **SHARE, drawn=labelled).lines[0].labels == 200


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda e: e.share("label", of="complaint", human="nobody"), "human='nobody' names no column"),
        (lambda e: e.share("label", of="complant", human="human", drawn=LABELLED), "of='complant' is no label of `label`"),
        (lambda e: e.share("label", human="human", drawn=TRUTH), "drawn= has no `draw_id`"),
        (lambda e: e.share("label", human="human", drawn=LABELLED.with_columns(human=pl.lit(None, pl.String))), "No row has a label in `human`"),
        (lambda e: e.share("label", human="human", drawn=LABELLED.with_columns(human=pl.lit("Complaint"))), "'Complaint' in `human` is none of the labels"),
        (lambda e: e.share("label", human="human", drawn=LABELLED, level=1.5), "level=1.5 is out of range"),
        (lambda e: e.share("label", human="human", drawn=LABELLED, population="world"), "population='world' is not known"),
        (lambda e: e.share("label", human="human", drawn=LABELLED, design="random"), "design='random' is not known"),
        (lambda e: e.share("label", human="human", drawn=LABELLED, by="shop"), "by='shop' names no column"),
        (lambda e: e.mean("label", human="human", drawn=LABELLED), "a mean or a quantile is of numbers"),
        (lambda e: e.quantile("stars", 2, human="true_stars", drawn=LABELLED), "q=2 is out of range"),
        (lambda e: e.ols("stars", on=[], human="true_stars", drawn=LABELLED), "on=[] must name columns"),
        (lambda e: e.ols("stars", on="id", human={"label": "human"}, drawn=LABELLED), "human= names `label`, which is neither"),
        (lambda e: e.ols("label", on="age", human="human", drawn=LABELLED), "say which label is the outcome"),
        (lambda e: e.logit("stars", on="age", human="true_stars", drawn=LABELLED), "holds other numbers than 0 and 1"),
        (lambda e: e.ols("stars", on="age", human="true_stars", drawn=LABELLED.head(15)), "15 labels for 2 coefficients"),
    ],
)  # fmt: skip
def test_what_can_not_be_estimated_is_said_in_one_sentence(call, said):
    with pytest.raises(BadInput) as raised:
        call(TABLE.qwen.estimate)
    assert said in str(raised.value) and "\n" not in str(raised.value)


def test_of_the_drawn_frame_alone_only_what_it_tells_is_estimated():
    for call in (
        lambda: LABELLED.qwen.estimate.mean("stars", human="true_stars"),
        lambda: LABELLED.qwen.estimate.share("label", **SHARE, by="product"),
        lambda: LABELLED.head(60).qwen.estimate.share("label", **SHARE),
    ):
        with pytest.raises(BadInput, match=r"Estimate over the table: df\.qwen\.estimate"):
            call()


def test_a_group_of_which_no_row_is_labelled_is_unknown():
    table = TABLE.with_columns(
        shop=pl.when(pl.col("id") == LABELLED["id"].max()).then(pl.lit("one")).otherwise(pl.lit("all"))
    )
    table = table.with_columns(
        shop=pl.when(~pl.col("id").is_in(LABELLED["id"].implode()) & (pl.col("id") < 9))
        .then(pl.lit("none"))
        .otherwise("shop")
    )
    found = table.qwen.estimate.share("label", **SHARE, drawn=LABELLED, by="shop")
    assert "none · complaint: unknown [0.00, 1.00] · 0 human labels" in "\n".join(map(str, found))
    assert "of a kind that has no label in it" in str(found)


def test_what_was_labelled_in_review_is_read_as_it_comes(tmp_path):
    """Review hides the model's answer of drawn rows, keeps labels in a file, and gives the frame with what is true."""
    from qwennb import widgets
    from qwennb.tuning import Labels, row_of

    todo = TABLE.qwen.draw("label", n=60, seed=3)
    true = dict(TRUTH.select("id", "human").rows())
    given = Labels(tmp_path / "labels.jsonl", by="ann")
    for row in todo.iter_rows(named=True):
        is_right = row["label"] == true[row["id"]]
        given.give(
            row_of(str(row["id"]), row["label"]),
            "right" if is_right else "fixed",
            None if is_right else true[row["id"]],
        )
    review = widgets.Review(todo, answer="label", source="id", labels=tmp_path / "labels.jsonl", by="ann")
    found = TABLE.qwen.estimate.share("label", of="complaint", human="label_true", drawn=review.labelled())
    assert found.lines[0].labels == 60 and found.low < TRUE.mean() < found.high
