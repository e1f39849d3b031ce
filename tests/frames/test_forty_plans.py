"""Exactly once: however polars runs a plan, each unique request goes out once, the failing ones included.

Every plan runs in each mode against a simulator that refuses 2 of the 20 texts; its ledger counts the calls. A plan
that is collected twice asks what failed a second time, and nothing else.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable

import polars as pl
import pytest

from qwennb.frames import QwenFrameWarning

ROWS, UNIQUE, FAILING = 50, 20, 2
SCHEMA = "name, age int, tags list[str]"

pytestmark = pytest.mark.filterwarnings("ignore::qwennb.frames.QwenFrameWarning")

Ask = Callable[..., pl.LazyFrame]
PLANS: dict[str, tuple[Callable[..., object], int]] = {}


def plan(calls: int = UNIQUE) -> Callable[[Callable[..., object]], Callable[..., object]]:
    """One of the forty, with the calls it may make."""

    def add(run: Callable[..., object]) -> Callable[..., object]:
        PLANS[run.__name__.replace("_", " ")] = (run, calls)
        return run

    return add


class Table:
    """The table that all plans begin with, and what asks."""

    def __init__(self, options: dict[str, object], folder) -> None:
        self.options = options
        self.folder = folder
        self.frame = pl.DataFrame(
            {"row": range(ROWS), "text": [f"text {i % UNIQUE:02}" if i else None for i in range(ROWS)]}
        )
        self.lazy = self.frame.lazy()

    def say(self, column: str = "text") -> pl.Expr:
        return pl.col(column).qwen.ask("Say {{ it }}", **self.options)

    def person(self) -> pl.Expr:
        return pl.col("text").qwen.extract(SCHEMA, **self.options)

    def asked(self) -> pl.LazyFrame:
        return self.lazy.qwen.ask("Say {{ text }}", **self.options)

    def people(self) -> pl.LazyFrame:
        return self.lazy.qwen.extract("text", SCHEMA, into="who", **self.options)


@plan()
def eager_frame(t):
    return t.frame.qwen.ask("Say {{ text }}", **t.options)


@plan()
def eager_expression(t):
    return t.frame.with_columns(t.say())


@plan()
def lazy(t):
    return t.asked().collect()


@plan()
def streaming(t):
    return t.asked().collect(engine="streaming")


@plan()
def two_struct_fields_eager(t):
    who = t.person()
    return t.frame.with_columns(a=who.struct.field("name"), b=who.struct.field("age"))


@plan()
def two_struct_fields_lazy(t):
    who = t.person()
    return t.lazy.with_columns(a=who.struct.field("name"), b=who.struct.field("age")).collect()


@plan()
def three_struct_fields_streaming(t):
    fields = [pl.col("who").struct.field(name) for name in ("name", "age", "tags")]
    return t.people().select("row", *fields).collect(engine="streaming")


@plan()
def unnest_eager(t):
    return t.frame.qwen.extract("text", SCHEMA, into="who", **t.options).unnest("who")


@plan()
def unnest_lazy(t):
    return t.people().unnest("who").collect()


@plan()
def unnest_streaming(t):
    return t.people().unnest("who").collect(engine="streaming")


@plan()
def every_field_by_a_wildcard(t):
    return t.lazy.select(t.person().struct.unnest()).collect()


@plan()
def the_same_expression_twice(t):
    return t.frame.with_columns(a=t.say(), b=t.say())


@plan()
def the_same_expression_twice_lazily(t):
    return t.lazy.with_columns(a=t.say(), b=t.say()).collect()


@plan()
def the_same_expression_twice_streaming(t):
    return t.lazy.with_columns(a=t.say(), b=t.say()).collect(engine="streaming")


@plan()
def the_same_column_in_two_steps(t):
    return t.lazy.with_columns(a=t.say()).with_columns(b=t.say()).collect()


@plan()
def value_meta_and_error(t):
    return t.lazy.qwen.ask("Say {{ text }}", meta=True, on_error="column", **t.options).collect()


@plan()
def value_meta_and_error_streaming(t):
    made = t.lazy.qwen.ask("Say {{ text }}", meta="run", on_error="column", **t.options)
    return made.collect(engine="streaming")


@plan()
def meta_of_an_expression_unnested(t):
    said = pl.col("text").qwen.ask("Say {{ it }}", meta=True, **t.options)
    return t.lazy.select(said).unnest("text").collect()


@plan()
def collect_all(t):
    lf = t.asked()
    return pl.collect_all([lf, lf.select("answer"), lf.filter(pl.col("answer").is_null())])


@plan()
def collect_all_of_two_plans(t):
    return pl.collect_all([t.asked(), t.asked().select("answer")])


@plan(UNIQUE + FAILING)
def collect_twice(t):
    lf = t.asked()
    return lf.collect(), lf.collect()


@plan(UNIQUE + FAILING)
def collect_in_memory_then_streaming(t):
    lf = t.asked()
    return lf.collect(), lf.collect(engine="streaming")


@plan(UNIQUE + FAILING)
def sink_then_collect(t):
    lf = t.asked()
    lf.sink_parquet(t.folder / "out.parquet")
    assert pl.read_parquet(t.folder / "out.parquet").height == ROWS
    return lf.collect()


@plan()
def sink_parquet(t):
    t.asked().sink_parquet(t.folder / "out.parquet")
    assert pl.read_parquet(t.folder / "out.parquet")["row"].to_list() == list(range(ROWS))


@plan()
def scan_and_sink_in_row_groups(t):
    t.frame.write_parquet(t.folder / "in.parquet", row_group_size=7)
    scanned = pl.scan_parquet(t.folder / "in.parquet").qwen.ask("Say {{ text }}", **t.options)
    scanned.sink_csv(t.folder / "out.csv")
    assert pl.read_csv(t.folder / "out.csv")["row"].to_list() == list(range(ROWS))


@plan()
def two_threads(t):
    lf, made = t.asked(), []
    threads = [threading.Thread(target=lambda: made.append(lf.collect())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made[0].drop("answer").equals(made[1].drop("answer"))


@plan()
def self_join(t):
    lf = t.asked()
    return lf.join(lf, on="row").collect()


@plan()
def self_join_streaming(t):
    lf = t.asked()
    return lf.join(lf, on="row").collect(engine="streaming")


@plan()
def concat(t):
    lf = t.asked()
    return pl.concat([lf, lf]).collect()


@plan()
def concat_of_halves(t):
    halves = [t.lazy.head(25), t.lazy.slice(25)]
    return pl.concat([half.qwen.ask("Say {{ text }}", **t.options) for half in halves]).collect()


@plan(4)
def head_after(t):
    return t.asked().head(5).collect()  # the first of the five is null


@plan(4)
def head_after_streaming(t):
    return t.asked().head(5).collect(engine="streaming")


@plan(3)
def filter_after(t):
    return t.asked().filter(pl.col("row").is_in([5, 6, 7, 25])).collect()


@plan()
def when_then(t):
    said = t.say()
    return t.frame.with_columns(a=pl.when(pl.col("row") % 2 == 0).then(said).otherwise(said))


@plan()
def when_then_on_the_answer(t):
    said = t.say()
    return t.lazy.with_columns(a=pl.when(said.is_null()).then(pl.lit("none")).otherwise(said)).collect()


@plan()
def over(t):
    return t.frame.with_columns(a=t.say().first().over("text"))


@plan()
def group_by_agg(t):
    return t.asked().group_by("text").agg(pl.col("answer").first(), pl.len()).collect()


@plan()
def group_by_agg_of_the_expression(t):
    return t.lazy.group_by("text").agg(a=t.say().first()).collect()


@plan()
def unpivot(t):
    twice = t.lazy.with_columns(a=t.say(), b=t.say())
    return twice.unpivot(["a", "b"], index="row").collect()


@plan()
def sort(t):
    return t.asked().sort("answer", descending=True).collect()


@plan(0)
def column_that_is_not_selected(t):
    return t.asked().select("row").collect()


@plan(0)
def empty_frame(t):
    made = t.frame.head(0).lazy().qwen.extract("text", SCHEMA, into="who", **t.options).collect()
    assert made.height == 0 and made.schema["who"] == pl.Struct(
        {"name": pl.String, "age": pl.Int64, "tags": pl.List(pl.String)}
    )


@plan(0)
def all_null_column(t):
    made = t.lazy.with_columns(pl.lit(None, pl.String).alias("text")).qwen.ask("Say {{ text }}", **t.options)
    assert made.collect()["answer"].null_count() == ROWS


@pytest.mark.parametrize("mode", ["on", "refresh", "off"])
@pytest.mark.parametrize("name", PLANS)
def test_calls_are_unique_requests(simulate, client, tmp_path, name, mode):
    run, calls = PLANS[name]
    sim = simulate()
    sim.fault("400", when=lambda asked: "text 03" in asked.text or "text 13" in asked.text)
    run(Table({"client": client(sim), "cache": mode}, tmp_path))
    assert sim.ledger.count("asked") == calls
    if calls == UNIQUE:
        assert sim.ledger.count("status 400") == FAILING


def test_there_are_forty():
    assert len(PLANS) >= 40


def test_failures_end_in_one_warning_with_count_and_first_cause(simulate, client, tmp_path):
    sim = simulate()
    sim.fault("400", when=lambda asked: "text 03" in asked.text or "text 13" in asked.text)
    table = Table({"client": client(sim)}, tmp_path)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        table.asked().with_columns(b=pl.col("answer")).collect()
        eager_frame(table)
    told = [w for w in seen if w.category is QwenFrameWarning]
    assert len(told) == 2
    assert all("questions of column `answer` failed" in str(w.message) for w in told)
    assert all("RequestRefused" in str(w.message) for w in told)
    assert "2 of 20 questions" in str(told[1].message) and told[1].filename == __file__
