"""What a strict checker knows of columns, and what it refuses: never run, as public.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, assert_type

import pandas as pd
import polars as pl

import qwennb
from qwennb import Qwen
from qwennb.frames import ColumnPlan, Plans, Progress

df = pl.DataFrame({"review": ["a"]})
lf = df.lazy()
pdf = pd.DataFrame({"review": ["a"]})
labels = ["praise", "complaint"]
meanings = {"praise": "they liked it", "complaint": "something was wrong"}


def every_verb_gives_back_the_table_that_it_was_given() -> None:
    assert_type(qwennb.ask(df, "Say {{ review }}"), pl.DataFrame)
    assert_type(qwennb.ask(lf, "Say {{ review }}"), pl.LazyFrame)
    assert_type(qwennb.ask(pdf, "Say {{ review }}"), pd.DataFrame)
    assert_type(qwennb.classify(df, "review", labels), pl.DataFrame)
    assert_type(qwennb.classify(lf, "review", meanings), pl.LazyFrame)
    assert_type(qwennb.classify(pdf, "review", labels), pd.DataFrame)
    assert_type(qwennb.extract(df, "review", "name, age int"), pl.DataFrame)
    assert_type(qwennb.extract(lf, "review", "name, age int"), pl.LazyFrame)
    assert_type(qwennb.extract(pdf, "review", "name, age int"), pd.DataFrame)
    assert_type(qwennb.summarize(df, "review"), pl.DataFrame)
    assert_type(qwennb.summarize(lf, "review"), pl.LazyFrame)
    assert_type(qwennb.summarize(pdf, "review"), pd.DataFrame)
    assert_type(qwennb.translate(df, "review", to="French"), pl.DataFrame)
    assert_type(qwennb.translate(lf, "review", to="French"), pl.LazyFrame)
    assert_type(qwennb.translate(pdf, "review", to="French"), pd.DataFrame)
    assert_type(qwennb.score(df, "review", "how urgent", low=1, high=5, integer=True), pl.DataFrame)
    assert_type(qwennb.score(lf, "review", "how urgent"), pl.LazyFrame)
    assert_type(qwennb.score(pdf, "review", "how urgent"), pd.DataFrame)
    assert_type(qwennb.filter(df, "{{ review }} is urgent"), pl.DataFrame)
    assert_type(qwennb.filter(lf, "{{ review }} is urgent"), pl.LazyFrame)
    assert_type(qwennb.filter(pdf, "{{ review }} is urgent"), pd.DataFrame)
    for table in (df, lf, pdf):
        assert_type(qwennb.plan(table, "Say {{ review }}"), ColumnPlan)
    assert_type(qwennb.ask(df, {"mood": "{{ lang }}: {{ review }}"}, values={"lang": "French"}), pl.DataFrame)
    assert_type(qwennb.classify(df, "review", labels, draws=5, truth="gold"), pl.DataFrame)
    assert_type(qwennb.compare(["praise"], df["review"]).accuracy.value, float | None)
    assert_type(qwennb.check(df, "label", truth="gold", rules={"between": [1, 5]}).passed, bool)
    qwennb.check(["praise"], rules=["no_failed"]).raise_for_failures()
    assert_type(qwennb.ask("Why?"), qwennb.Answer)


def texts_without_a_table_name_no_column(texts: list[str | None]) -> None:
    assert_type(qwennb.ask(texts, "Say {{ it }}"), list[Any])
    assert_type(qwennb.classify(texts, labels), list[Any])
    assert_type(qwennb.classify(df["review"], labels, into="mood"), pl.Series)
    assert_type(qwennb.extract(df["review"], "name, age int"), pl.Series)
    assert_type(qwennb.summarize(texts, budget=1.0), list[Any])
    assert_type(qwennb.translate(df["review"], to="French"), pl.Series)
    assert_type(qwennb.score(texts, "how urgent", low=1, high=5), list[Any])
    assert_type(qwennb.filter(df["review"], "{{ it }} is urgent"), pl.Series)
    assert_type(qwennb.plan(texts), Plans)
    qwennb.classify(df, labels)  # type: ignore[call-overload]


def every_verb_of_an_expression_gives_an_expression() -> None:
    review = qwennb.col("review")
    assert_type(review.ask("Say {{ it }}", choices=labels), pl.Expr)
    assert_type(review.classify(labels, model="plus"), pl.Expr)
    assert_type(review.extract("name, age int"), pl.Expr)
    assert_type(review.summarize(), pl.Expr)
    assert_type(review.translate("French"), pl.Expr)
    assert_type(review.score("how urgent", low=1, high=5, integer=True), pl.Expr)
    assert_type(review.filter("{{ it }} is urgent"), pl.Expr)
    assert_type(df.select("review", review.classify(labels).alias("mood")), pl.DataFrame)
    review.clasify(labels)  # type: ignore[attr-defined]
    review.classify()  # type: ignore[call-arg]
    review.classify("review", labels)  # type: ignore[arg-type, call-arg]
    review.score("how urgent", low="1")  # type: ignore[arg-type]
    review.classify(labels, on_error="never")  # type: ignore[arg-type]
    qwennb.col(3)  # type: ignore[arg-type]


def all_options_are_taken_with_their_types(qwen: Qwen, mode: Literal["on", "replay"]) -> None:
    def tell(progress: Progress) -> None:
        assert_type(progress.done, int)

    qwennb.classify(
        df, "review", labels, into="mood", on_error="column", meta="run", nulls="send", concurrency=4, progress=tell,
        image="photo", file="path", root=Path("photos"), lane="batch", client=qwen,
    )  # fmt: skip
    qwennb.classify(df, "review", labels, endpoint="vllm", api_key="none", model="9b", cache=mode, budget=1)
    qwennb.ask(
        df, "Say {{ review }}", system="Be brief.", schema="name, age int", choices=labels, thinking="low", temperature=0.5,
        top_p=0.9, top_k=20, min_p=0.1, max_tokens=100, seed=1, stop=["END"], presence_penalty=1, frequency_penalty=1,
        repetition_penalty=1.1, logit_bias={15: -50.0}, logprobs=5, search=False, sample=1, extra={"own": 1}, cache="off",
        timeout=30, budget=1.5, max_pixels=500_000, allow_urls=True, progress=False, root="photos", meta=True,
    )  # fmt: skip


def what_is_no_option_of_a_column_is_refused() -> None:
    qwennb.classify(df, "review", labels, temprature=1.0)  # type: ignore[call-overload]
    qwennb.classify(df, "review", labels, schema="name")  # type: ignore[call-overload]
    qwennb.ask(df, "Say {{ review }}", tools=[])  # type: ignore[call-overload]
    qwennb.summarize(df, "review", to="French")  # type: ignore[call-overload]
    qwennb.translate(df, "review")  # type: ignore[call-overload]
    qwennb.plan(df, "Say {{ review }}", images=[])  # type: ignore[call-overload]


def a_value_of_another_type_is_refused(mode: str, tell: Any) -> None:
    qwennb.classify(df, "review", labels, on_error="never")  # type: ignore[call-overload]
    qwennb.classify(df, "review", labels, draws="five")  # type: ignore[call-overload]
    qwennb.classify(df, "review", labels, nulls="drop")  # type: ignore[call-overload]
    qwennb.classify(df, "review", labels, meta="all")  # type: ignore[call-overload]
    qwennb.classify(df, "review", labels, lane="slow")  # type: ignore[call-overload]
    qwennb.extract(df, "review", "name", into=3)  # type: ignore[call-overload]
    qwennb.summarize(lf, "review", concurrency="many")  # type: ignore[call-overload]
    qwennb.summarize(lf, "review", client="vllm")  # type: ignore[call-overload]
    qwennb.translate(df, "review", to=["French"])  # type: ignore[call-overload]
    qwennb.score(df, "review", "how urgent", low=None, high="5")  # type: ignore[call-overload]
    qwennb.filter(df, "{{ review }} is urgent", temperature="hot")  # type: ignore[arg-type]
    qwennb.filter(df, "{{ review }} is urgent", cache=mode)  # type: ignore[arg-type]
    qwennb.plan(df, 3)  # type: ignore[call-overload]
    qwennb.ask(df, "Say {{ review }}", budget="much")  # type: ignore[call-overload]
    qwennb.classify(df, "review", labels, progress=tell)
