"""The one door of tables: what a table is, told by its library; what is none is told with the call that makes it one.

Texts without a table, a Series or a list, come in by the same door. They have no columns, so a verb that asks over a
column leaves it out for them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import polars as pl

from qwennb.errors import BadInput
from qwennb.frames.interop import ArrowTable, PandasSeriesTable, PandasTable, StreamTable
from qwennb.frames.relations import DuckTable, IbisTable
from qwennb.frames.tables import (
    AnyTable,
    EagerTable,
    LazyTable,
    ListTable,
    PlannedTable,
    SeriesTable,
    Value,
    WholeTable,
)

# What makes a table, or texts, of what is neither: by its class, or by its library.
_CALLS = {
    "builtins.str": "[text]",
    "builtins.dict": "polars.DataFrame(table)",
    "builtins.tuple": "list(texts)",
    "builtins.set": "sorted(texts)",  # a set has another order in every process
    "builtins.generator": "list(texts)",
    "builtins.dict_values": "list(texts)",
    "numpy.ndarray": "polars.DataFrame(table)",
    "pyarrow.RecordBatchReader": "table.read_all()",  # it can be read once, and its rows are needed twice
    "pyarrow": "polars.Series(texts)",
    "cudf": "table.to_arrow()",
    "dask": "table.compute()",
    "narwhals": "table.to_native()",
    "pyspark": "table.toPandas()",
    "sqlframe": "table.toPandas()",
}


def open_table(table: Any) -> AnyTable:
    """See *table* as the verbs do."""
    if isinstance(table, pl.DataFrame):
        return EagerTable(table)
    if isinstance(table, pl.LazyFrame):
        return LazyTable(table)
    if isinstance(table, WholeTable | LazyTable | PlannedTable | Value):
        return table  # type: ignore[return-value]
    if isinstance(table, pl.Series):
        return SeriesTable(table)
    if isinstance(table, list):
        return ListTable(table)
    return _open_foreign(table)


def _open_foreign(table: Any) -> AnyTable:
    # It takes a third as long to import as polars, whose own tables do without.
    import narwhals.stable.v2 as nw
    from narwhals.stable.v2 import dependencies as kinds

    if kinds.is_pandas_dataframe(table) or kinds.is_modin_dataframe(table):
        return PandasTable(table, nw.get_native_namespace(table))
    if kinds.is_pandas_series(table) or kinds.is_modin_series(table):
        return PandasSeriesTable(table, nw.get_native_namespace(table))
    library, kind = type(table).__module__.partition(".")[0], type(table).__qualname__
    if kinds.is_pyarrow_table(table) or (library, kind) == ("pyarrow", "RecordBatch"):
        return ArrowTable(table)
    if kind == "DuckDBPyRelation":  # narwhals 2.20 does not tell it yet in its stable part
        return DuckTable(table)
    if kinds.is_ibis_table(table):
        return IbisTable(table, nw.get_native_namespace(table))
    call = _CALLS.get(f"{library}.{kind}", _CALLS.get(library))
    if call is None and hasattr(table, "__arrow_c_stream__"):
        return StreamTable(table)
    raise BadInput(
        "A column is asked over a frame (polars, pandas, pyarrow, duckdb, what has an Arrow stream), a Series or a list of "
        f"texts, not {kind if library == 'builtins' else f'{library}.{kind}'}. Make one of it: {call or 'polars.DataFrame(…)'}."
    )


def as_polars(table: Any, names: Sequence[str]) -> pl.DataFrame:
    """The columns *names* of a frame whose rows are there, as a polars frame."""
    opened = open_table(table)
    if not isinstance(opened, WholeTable):
        raise BadInput(f"The rows of {type(table).__name__} are not there yet. Give table.collect().")
    opened.check_unique(names)
    return opened.take(names)


def takes_texts(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Let *verb* be called with texts in place of a table, and then without a column."""
    signature = inspect.signature(verb)
    names = [p.name for p in signature.parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD][2:]

    @wraps(verb)
    def call(table: Any, *arguments: Any, **options: Any) -> Any:
        opened = open_table(table)
        given = ("it", *arguments) if opened.is_texts else arguments
        try:
            signature.bind(opened, *given, **options)
        except TypeError:
            raise BadInput(
                f"A table's column is named, {verb.__name__}({', '.join(['table', 'column', *names])}); texts have none, "
                f"{verb.__name__}({', '.join(['texts', *names])})."
            ) from None
        return verb(opened, *given, **options)

    return call
