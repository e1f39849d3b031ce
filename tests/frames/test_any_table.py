"""Any frame: the same kind comes back, whatever its library, with its order, its nulls and what is its own."""

from __future__ import annotations

from typing import Any, NamedTuple

import arro3.core
import duckdb
import ibis
import pandas
import polars as pl
import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import qwennb
from qwennb import Qwen
from qwennb.errors import BadInput, QwenFrameWarning
from qwennb.simulator import Simulator

LABELS = ["praise", "complaint"]
REVIEWS = pl.DataFrame({"id": [1, 2, 3, 4], "review": ["Cold.", "Lovely.", None, "Cold."]})


class Kind(NamedTuple):
    """A kind of table: how one is made of a polars frame, and read as one."""

    make: Any
    read: Any


KINDS = {
    "polars": Kind(lambda frame: frame, lambda table: table),
    "polars, lazy": Kind(lambda frame: frame.lazy(), lambda table: table.collect()),
    "pandas": Kind(
        lambda frame: pandas.DataFrame(frame.to_dict(as_series=False)),
        lambda table: pl.DataFrame(
            {
                name: values.astype(object).where(values.notna(), None).to_list()
                for name, values in table.items()
            }
        ),
    ),
    "pandas over arrow": Kind(
        lambda frame: frame.to_arrow().to_pandas(types_mapper=pandas.ArrowDtype),
        lambda table: pl.DataFrame(
            {
                name: values.astype(object).where(values.notna(), None).to_list()
                for name, values in table.items()
            }
        ),
    ),
    "pyarrow": Kind(lambda frame: frame.to_arrow(), pl.DataFrame),
    "a record batch": Kind(
        lambda frame: pyarrow.RecordBatch.from_pydict(frame.to_dict(as_series=False)), pl.DataFrame
    ),
    "arro3, by its Arrow stream": Kind(arro3.core.Table.from_arrow, pl.DataFrame),
    "duckdb": Kind(lambda frame: duckdb.connect().from_arrow(frame.to_arrow()), pl.DataFrame),
    "ibis": Kind(ibis.memtable, lambda table: table.to_polars()),
}
RELATIONS = ("duckdb", "ibis")  # their rows come in any order
pytestmark = pytest.mark.filterwarnings("ignore:.* has no row identity:qwennb.errors.QwenFrameWarning")


@pytest.fixture(scope="module")
def qwen(tmp_path_factory):
    with Simulator("vllm") as sim:
        yield Qwen(endpoint=f"vllm+{sim.base_url}", cache_dir=tmp_path_factory.mktemp("cache"))


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


def plain(frame: pl.DataFrame) -> dict[str, list[Any]]:
    return (
        frame.sort("id", maintain_order=True)
        .with_columns(pl.selectors.enum().cast(pl.String))
        .to_dict(as_series=False)
    )


def test_the_same_kind_comes_back_with_the_same_answers(qwen, kind):
    table = kind.make(REVIEWS)
    for verb, arguments in {
        qwennb.ask: ["Say {{ review }}"],
        qwennb.classify: ["review", LABELS],
        qwennb.extract: ["review", "dish, stars int"],
        qwennb.summarize: ["review"],
        qwennb.translate: ["review", "French"],
        qwennb.score: ["review", "how urgent"],
        qwennb.filter: ["{{ review }} is about food"],
    }.items():
        made = verb(table, *arguments, client=qwen)
        assert type(made) is type(table)
        assert plain(kind.read(made)) == plain(verb(REVIEWS, *arguments, client=qwen)), verb
    assert plain(kind.read(table)) == plain(REVIEWS)


def test_every_kind_is_planned(qwen, kind):
    planned = qwennb.plan(kind.make(REVIEWS), "Plan {{ review }}", client=qwen)
    assert (planned.rows, planned.skipped, planned.unique, planned.to_ask) == (4, 1, 2, 2)
    planned = qwennb.plan(kind.make(REVIEWS)).translate("review", "Dutch", client=qwen)
    assert (planned.rows, planned.skipped, planned.unique, planned.to_ask) == (4, 1, 2, 2)


def test_a_name_that_is_given_replaces_a_column_in_its_place(qwen, kind):
    made = kind.read(qwennb.summarize(kind.make(REVIEWS), "review", into="id", client=qwen))
    assert made.columns == ["id", "review"] and made["id"].null_count() == 1 and made["id"].dtype == pl.String
    taken = kind.make(REVIEWS.rename({"id": "summary"}))
    with pytest.raises(BadInput, match="There is a column `summary` already"):
        qwennb.summarize(taken, "review", client=qwen)


def test_meta_and_errors_stand_beside_in_every_kind(qwen, kind):
    made = kind.read(
        qwennb.summarize(kind.make(REVIEWS), "review", meta=True, on_error="column", client=qwen)
    )
    assert made.columns == ["id", "review", "summary", "summary_meta", "summary_error"]
    assert (
        made["summary_meta"].struct.field("model").null_count() == 1
        and made["summary_error"].null_count() == 4
    )


@settings(max_examples=20)
@given(st.lists(st.none() | st.sampled_from(["", "a", "b", "NaN", "☃", "null"]), max_size=6))
@pytest.mark.slow
def test_order_nulls_and_duplicates_are_those_of_polars(qwen, texts):
    frame = pl.DataFrame({"id": range(len(texts)), "text": texts}, schema_overrides={"text": pl.String})
    expected = plain(qwennb.classify(frame, "text", LABELS, client=qwen))
    for name, kind in KINDS.items():
        made = kind.read(qwennb.classify(kind.make(frame), "text", LABELS, client=qwen))
        assert name in RELATIONS or made["id"].to_list() == [*range(len(texts))]
        assert plain(made) == expected
    assert qwennb.classify(texts, LABELS, client=qwen) == expected["label"]
    assert qwennb.classify(frame["text"], LABELS, client=qwen).cast(pl.String).to_list() == expected["label"]


# ---------------------------------------------------------------------- texts without a table


def test_a_series_gives_a_series_and_a_list_gives_plain_values(qwen):
    series = REVIEWS["review"]
    made = qwennb.classify(series, LABELS, client=qwen)
    assert made.name == "review" and made.dtype == pl.Enum(LABELS) and made[0] == made[3] and made[2] is None
    assert series.qwen.classify(LABELS, into="mood", client=qwen).equals(made.alias("mood"))
    assert qwennb.classify(series.to_list(), LABELS, client=qwen) == made.to_list()
    [first, *_] = qwennb.extract(series.to_list(), "dish, stars int", client=qwen)
    assert set(first) == {"dish", "stars"}
    kept = qwennb.filter(series.to_list(), "{{ it }} is about food", client=qwen)
    assert kept == series.qwen.filter("{{ it }} is about food", client=qwen).to_list()
    assert qwennb.plan(series.to_list(), "Say {{ it }}", client=qwen).unique == 2
    assert series.qwen.plan.classify(LABELS, client=qwen).rows == 4
    assert qwennb.plan(series.to_list()).classify(LABELS, client=qwen).unique == 2


def test_a_series_of_pandas_keeps_its_index_and_its_name(qwen):
    series = pandas.Series(["Cold.", None, "Lovely."], index=[7, 7, 9], name="review")
    made = series.qwen.classify(LABELS, client=qwen)
    assert (
        list(made.index) == [7, 7, 9]
        and made.name == "review"
        and made.isna().tolist() == [False, True, False]
    )
    assert made.dtype == pandas.CategoricalDtype(LABELS)
    assert qwennb.summarize(series, into="said", client=qwen).name == "said"


def test_what_stands_beside_an_answer_over_texts_comes_in_a_struct(qwen):
    made = qwennb.summarize(REVIEWS["review"], meta=True, client=qwen)
    assert [field.name for field in made.dtype.fields] == ["summary", "summary_meta"]
    assert qwennb.summarize(["Cold."], on_error="column", client=qwen)[0]["summary_error"] is None


def test_a_column_over_texts_or_none_over_a_table_is_told_with_both_calls(qwen):
    told = r"classify\(table, column, labels\); texts have none, classify\(texts, labels\)"
    with pytest.raises(BadInput, match=told):
        qwennb.classify(["Cold."], "review", LABELS, client=qwen)
    with pytest.raises(BadInput, match=told):
        qwennb.classify(REVIEWS, LABELS, client=qwen)
    with pytest.raises(BadInput, match='A list of answers has no name. Leave into="mood" out'):
        qwennb.classify(["Cold."], LABELS, into="mood", client=qwen)


def test_half_a_character_in_a_list_is_told_with_its_place(qwen):
    with pytest.raises(BadInput, match="Text 1 of the list holds half a character"):
        qwennb.summarize(["a", "b\ud800"], client=qwen)


# ---------------------------------------------------------------------- what is its own


def test_an_arrow_table_keeps_its_types_and_what_its_schema_says(qwen):
    table = pyarrow.table(
        {"review": ["Cold."], "at": pyarrow.array([1], pyarrow.timestamp("s")), "span": pyarrow.array([(1, 2, 3)], pyarrow.month_day_nano_interval())},
        metadata={"source": "a survey"},
    )  # fmt: skip
    made = qwennb.classify(table, "review", LABELS, client=qwen)
    assert made.schema.metadata == {b"source": b"a survey"} and made.select(["review", "at", "span"]).equals(
        table
    )
    assert made["label"].type.value_type == pyarrow.large_string()


def test_a_column_of_a_stream_that_polars_can_not_take_is_told_in_a_sentence(qwen):
    table = pyarrow.table(
        {"review": ["Cold."], "span": pyarrow.array([(1, 2, 3)], pyarrow.month_day_nano_interval())}
    )
    with pytest.raises(BadInput, match="One of its columns holds what polars can't take"):
        qwennb.classify(arro3.core.Table.from_arrow(table), "review", LABELS, client=qwen)


@pytest.fixture
def connection():
    with duckdb.connect() as connection:
        yield connection


def test_only_what_is_read_of_a_relation_is_collected_and_it_is_told_once(qwen, connection):
    connection.sql(
        "CREATE TABLE reviews AS SELECT n % 7 AS stars, INTERVAL 1 MONTH AS span FROM range(1000) AS t(n)"
    )
    with pytest.warns(QwenFrameWarning) as told:
        made = qwennb.classify(connection.table("reviews"), "stars", LABELS, client=qwen)
    assert [str(one.message) for one in told] == [
        "A duckdb relation has no row identity: `stars` of its 1,000 rows came into memory, and answers are joined on the values."
    ]
    assert str(made.types[-1]) == "ENUM('praise', 'complaint')"
    assert made.aggregate("count(*), count(span), count(label)").fetchall() == [(1000, 1000, 1000)]
    with pytest.raises(BadInput, match="Column `span` holds what polars can't take"):
        qwennb.summarize(connection.table("reviews"), "span", client=qwen)


def test_a_relation_comes_back_on_its_connection_and_stays_lazy(qwen, connection):
    connection.sql("CREATE TABLE reviews AS SELECT * FROM (VALUES (1, 'Cold.'), (2, NULL)) AS t(id, review)")
    made = qwennb.summarize(connection.table("reviews"), "review", client=qwen)
    assert connection.sql("SELECT count(summary) FROM made JOIN reviews USING (id)").fetchall() == [(1,)]
    connection.sql("INSERT INTO reviews VALUES (3, 'Cold.'), (4, 'Never asked.')")
    assert made.order("id").select("summary IS NULL").fetchall() == [(False,), (True,), (False,), (True,)]
    assert connection.sql("SELECT table_name FROM duckdb_tables()").fetchall() == [("reviews",)]


@pytest.mark.parametrize("setting", ["python_enable_replacements", "enable_external_access"])
def test_a_connection_that_takes_nothing_of_pythons_is_told_before_it_costs(
    simulate, client, connection, setting
):
    connection.sql(f"SET {setting} = false")
    sim = simulate()
    with pytest.raises(BadInput, match=rf"can't come back.*{setting}.* ask over relation\.pl\(\)"):
        qwennb.summarize(connection.sql("SELECT 'Cold.' AS review"), "review", client=client(sim))
    assert sim.ledger.count("arrived") == 0


def test_values_are_joined_in_the_types_of_the_database(qwen, connection):
    relation = connection.sql(
        """SELECT * FROM (VALUES
            (1, 'NaN'::DOUBLE, TIMETZ '12:00:00+02', {'a': [1, NULL]}, '1'::HUGEINT, MAP {'a': 1}),
            (2, 'NaN'::DOUBLE, TIMETZ '12:00:00+03', {'a': [1, NULL]}, '170141183460469231731'::HUGEINT, MAP {'b': 1}),
            (3, NULL, NULL, NULL, NULL, NULL)) AS t(id, f, t, s, h, m)"""
    )
    for name in ("f", "t", "s", "h", "m"):
        made = qwennb.ask(relation, f"Say {{{{ {name} }}}}", nulls="send", into="said", client=qwen)
        assert made.aggregate("count(*), count(said)").fetchall() == [(3, 3)], name


def test_maps_and_spans_of_time_come_back_in_relations(qwen, connection):
    frame = pl.DataFrame(
        {"id": [1, 2], "kinds": pl.Series([{"a": 1}, None], dtype=pl.Map(pl.String, pl.Int64))}
    )
    for table in (connection.from_arrow(frame.to_arrow()), ibis.memtable(frame.to_arrow())):
        made = qwennb.ask(table, "Count {{ kinds }}", schema=dict[str, int], into="counts", client=qwen)
        made = qwennb.ask(made, "How long? {{ counts }}", schema="took duration", into="time", client=qwen)
        if isinstance(made, ibis.Table):
            read = made.mutate(
                took=made.time.took.cast("string"), time=None, kinds=None, counts=None
            ).to_polars()
        else:
            read = made.select("id, time.took::VARCHAR AS took").pl()
        assert read.sort("id")["took"].null_count() == 1 and ":" in read.sort("id")["took"][0]


def test_a_name_that_differs_by_capitals_only_is_one_to_duckdb(qwen, connection):
    relation = connection.sql("SELECT 'Cold.' AS review, 'x' AS Summary")
    with pytest.raises(BadInput, match="There is a column `Summary`, which is `summary` to duckdb"):
        qwennb.summarize(relation, "review", client=qwen)
    odd = connection.sql("""SELECT 'Cold.' AS "a ""quoted"" name" """)
    assert qwennb.summarize(odd, 'a "quoted" name', into='an "x"', client=qwen).columns[1] == 'an "x"'


@pytest.mark.parametrize(
    ("table", "call"),
    [
        ({"review": ["Cold."]}, r"polars\.DataFrame\(table\)"),
        (("Cold.",), r"list\(texts\)"),
        ({"Cold."}, r"sorted\(texts\)"),
        ("Cold.", r"\[text\]"),
        (pyarrow.table({"a": ["x"]}).to_reader(), r"table\.read_all\(\)"),
        (pyarrow.array(["x"]), r"polars\.Series\(texts\)"),
        (pandas.Index(["x"]), r"polars\.DataFrame\(…\)"),
        (None, r"polars\.DataFrame\(…\)"),
        ([1, 2], r"item 0 is int. Make a table of it: polars\.DataFrame\(…\)"),
    ],
)
def test_what_is_no_table_is_told_with_the_call_that_makes_one_of_it(table, call):
    for ask in (qwennb.ask, qwennb.plan):
        with pytest.raises(BadInput, match=call):
            ask(table, "Say {{ it }}") if table != "Cold." else qwennb.summarize(table)
