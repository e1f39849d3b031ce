"""Relations: lazy tables of databases, which have no row identity. A relation of duckdb, a table expression of ibis.

Only the columns that are read are collected. The answers go back beside the values that were read, and are joined on
these, null to null: so the same kind comes back, lazy as it was, and a row has the answer of its values, however often
and in whatever order the database brings it.

    relation ─ the columns that are read ─▶ polars ─ ask ─▶ values with answers ─ join on the values ─▶ relation
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from qwennb.errors import BadInput, QwenFrameWarning, show_value
from qwennb.frames.columns import Column
from qwennb.frames.interop import from_arrow
from qwennb.frames.tables import WholeTable
from qwennb.warn import warn_user

_ID = "qwennb id"  # no column of a user's is called so


class DuckTable(WholeTable):
    """A relation of duckdb. What comes back is on the same connection.

    The values stay there, in its own types, each set of them under a number: no value need be the same once it has been
    to polars and back, and a time with a zone, for one, is not.
    """

    def __init__(self, relation: Any) -> None:
        self._relation = relation

    def list_names(self) -> list[str]:
        """List the names of its columns."""
        return list(self._relation.columns)

    def read(self, column: Column) -> dict[str, pl.Series]:
        """Read the columns; to duckdb two names are one that differ in their capitals only."""
        names = {name.lower(): name for name in self.list_names()}
        for name in column.outputs:
            if (there := names.get(name.lower(), name)) != name:
                raise BadInput(
                    f'There is a column `{there}`, which is `{name}` to duckdb. Give another into="…".'
                )
        return super().read(column)

    def take(self, names: Sequence[str]) -> pl.DataFrame:
        """Collect the columns in the order of the rows, for an error tells the row."""
        listed = ", ".join(map(_quote, names))  # quoted, so that no name is SQL
        # Ranks are equal where values are, and null's is null's.
        values = self._relation.query(
            "relation",
            f'SELECT {listed}, dense_rank() OVER (ORDER BY {listed}) AS "{_ID}" '  # noqa: S608
            f'FROM (SELECT {listed}, row_number() OVER () AS "{_ID} row" FROM relation) ORDER BY "{_ID} row"',
        )
        # So that they are read once; `execute` is its name before duckdb 2.
        self._values = values.materialize() if hasattr(values, "materialize") else values.execute()
        self._names = names
        frame = from_arrow(self._values, names)
        self._ids = frame[_ID]
        try:
            self._answers(self._ids.clear().to_frame())
        except Exception as error:  # said before anything is paid
            raise BadInput(
                f"Answers can't come back to this connection of duckdb ({show_value(str(error))}). Where "
                "python_enable_replacements or enable_external_access is false, ask over relation.pl()."
            ) from None
        _tell_collected("A duckdb relation", names, len(frame))
        return frame.select(names)

    def put(self, made: Mapping[str, pl.Series], column: Column) -> Any:
        """Join the answers on the values."""
        answers = self._answers(pl.DataFrame([self._ids, *made.values()]).unique(_ID))
        places = dict.fromkeys(self.list_names(), "relation") | dict.fromkeys(made, "answers")
        return self._join(answers, "left").select(
            ", ".join(f"{place}.{_quote(name)}" for name, place in places.items())
        )

    def choose(self, is_kept: pl.Series) -> Any:
        """Leave the rows whose values are kept."""
        return self._join(self._answers(self._ids.filter(is_kept).unique().to_frame()), "semi")

    def _answers(self, frame: pl.DataFrame) -> Any:
        """The values of the numbers in *frame*, with the answers in it, as a relation on the connection."""
        values = [f'"values".{_quote(name)} AS "{_ID} {place}"' for place, name in enumerate(self._names)]
        made = [
            f"{_cast(name, dtype)} AS {_quote(name)}" for name, dtype in frame.schema.items() if name != _ID
        ]
        qwennb_answers = BareStream(frame)  # noqa: F841 - duckdb looks the name up here
        return self._values.query(
            "values",
            f"SELECT {', '.join([*values, *made])} "  # noqa: S608
            f'FROM (SELECT DISTINCT * FROM "values") AS "values" JOIN qwennb_answers USING ("{_ID}")',
        )

    def _join(self, answers: Any, how: str) -> Any:
        condition = " AND ".join(
            f'relation.{_quote(name)} IS NOT DISTINCT FROM answers."{_ID} {place}"'
            for place, name in enumerate(self._names)
        )
        return self._relation.set_alias("relation").join(answers.set_alias("answers"), condition, how=how)


class IbisTable(WholeTable):
    """A table expression of *ibis*, the module."""

    def __init__(self, table: Any, ibis: Any) -> None:
        self._table = table
        self._ibis = ibis

    def list_names(self) -> list[str]:
        """List the names of its columns."""
        return list(self._table.columns)

    def take(self, names: Sequence[str]) -> pl.DataFrame:
        """Collect the columns."""
        self._values = from_arrow(self._table.select(*names), names)
        _tell_collected("An ibis table", names, len(self._values))
        return self._values

    def put(self, made: Mapping[str, pl.Series], column: Column) -> Any:
        """Join the answers on the values."""
        answers = self._answers(list(made.values()))
        places = dict.fromkeys(self.list_names(), self._table) | dict.fromkeys(made, answers)
        joined = self._table.left_join(answers, self._conditions(answers))
        return joined.select(**{name: place[name] for name, place in places.items()})

    def choose(self, is_kept: pl.Series) -> Any:
        """Leave the rows whose values are kept."""
        answers = self._answers([], is_kept)
        joined = self._table.semi_join(answers, self._conditions(answers))
        return joined.select(*self.list_names())  # else it is a Join, which is a table only in most ways

    def _answers(self, made: list[pl.Series], is_kept: pl.Series | None = None) -> Any:
        keys = {name: f"{_ID} {place}" for place, name in enumerate(self._values.columns)}
        frame = self._values.rename(keys).with_columns(made)
        frame = frame if is_kept is None else frame.filter(is_kept)
        # As Arrow: of polars' own tables ibis knows neither Map nor Enum.
        return self._ibis.memtable(frame.unique(list(keys.values())).to_arrow())

    def _conditions(self, answers: Any) -> list[Any]:
        return [
            self._table[name].identical_to(answers[f"{_ID} {place}"].cast(self._table[name].type()))
            for place, name in enumerate(self._values.columns)
        ]


class BareStream:
    """A polars frame as nothing but its Arrow stream: as itself, duckdb would ask for pyarrow."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self._frame = frame

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._frame.__arrow_c_stream__(requested_schema)


def _tell_collected(kind: str, names: Sequence[str], rows: int) -> None:
    listed = " and ".join(f"`{name}`" for name in names)
    warn_user(
        f"{kind} has no row identity: {listed} of its {rows:,} rows came into memory, and answers are joined on the values.",
        QwenFrameWarning,
    )


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _cast(name: str, dtype: pl.DataType) -> str:
    """An answer in SQL; labels as the ENUM that they are."""
    value = f"qwennb_answers.{_quote(name)}"
    return f"CAST({value} AS {write_enum(dtype)})" if isinstance(dtype, pl.Enum) else value


def write_enum(dtype: pl.Enum) -> str:
    """The type of labels in SQL: Arrow's own, of texts with numbers, comes to duckdb as VARCHAR."""
    return "ENUM (" + ", ".join("'" + label.replace("'", "''") + "'" for label in dtype.categories) + ")"
