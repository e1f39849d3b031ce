"""What a strict checker knows of columns, and what it refuses: never run, as public.py."""

from __future__ import annotations

from typing import assert_type

import polars as pl

import qwennb
from qwennb.frames import ColumnPlan

df = pl.DataFrame({"review": ["a"]})
lf = df.lazy()
labels = ["praise", "complaint"]
assert_type(qwennb.ask(df, "Say {{ review }}", choices=labels, thinking=False), pl.DataFrame)
assert_type(qwennb.ask(lf, "Say {{ review }}", on_error="column"), pl.LazyFrame)
assert_type(qwennb.ask("Why?"), qwennb.Answer)
assert_type(qwennb.classify(df, "review", labels, into="mood"), pl.DataFrame)
assert_type(qwennb.extract(lf, "review", "name, age int", meta="run"), pl.LazyFrame)
assert_type(qwennb.summarize(df, "review", budget=1.0), pl.DataFrame)
assert_type(qwennb.translate(df, "review", to="French"), pl.DataFrame)
assert_type(qwennb.score(df, "review", "how urgent", low=1, high=5, integer=True), pl.DataFrame)
assert_type(qwennb.filter(lf, "{{ review }} is urgent"), pl.LazyFrame)
assert_type(qwennb.plan(df, "Say {{ review }}"), ColumnPlan)
assert_type(qwennb.col("review").classify(labels, model="plus"), pl.Expr)
assert_type(qwennb.ask(df, {"mood": "{{ lang }}: {{ review }}"}, values={"lang": "French"}), pl.DataFrame)
assert_type(qwennb.classify(df, "review", labels, draws=5, truth="gold"), pl.DataFrame)
assert_type(qwennb.compare(["praise"], df["review"]).accuracy.value, float | None)
qwennb.classify(df, "review", labels, draws="five")  # type: ignore[arg-type]
qwennb.classify(df, "review", labels, on_error="never")  # type: ignore[arg-type]
qwennb.classify(df, "review", labels, temprature=1.0)  # type: ignore[call-arg]
qwennb.classify(df, "review", labels, schema="name")  # type: ignore[call-arg]
qwennb.ask(df, "Say {{ review }}", tools=[])  # type: ignore[call-overload]
