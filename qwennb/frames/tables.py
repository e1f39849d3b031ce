"""`qwennb.ask(table, …)`: a pandas frame in, a pandas frame out, with its index; a polars frame likewise; or a question."""

from __future__ import annotations

from typing import Any

import polars as pl

from qwennb.errors import BadInput
from qwennb.frames import verbs
from qwennb.frames.default import default_client
from qwennb.frames.namespaces import QwenFrame, QwenLazyFrame


def ask(table_or_prompt: Any, prompt: str | None = None, **options: Any) -> Any:
    """A table with the answers to *prompt* as a new column; without a table, the answer to a prompt.

    A pandas frame comes back as a pandas frame with the index it had, its own columns untouched.
    """
    if isinstance(table_or_prompt, str) and prompt is None:
        return default_client().ask(table_or_prompt, **options)
    if prompt is None:
        raise BadInput('A table needs a prompt over its columns: ask(table, "… {{ review }}").')
    if isinstance(table_or_prompt, pl.DataFrame):
        return QwenFrame(table_or_prompt).ask(prompt, **options)
    if isinstance(table_or_prompt, pl.LazyFrame):
        return QwenLazyFrame(table_or_prompt).ask(prompt, **options)
    if type(table_or_prompt).__module__.split(".")[0] == "pandas" and hasattr(table_or_prompt, "columns"):
        return _pandas(table_or_prompt, prompt, options)
    raise BadInput(f"ask() takes a polars or pandas frame, not {type(table_or_prompt).__name__}.")


def _pandas(table: Any, prompt: str, options: dict[str, Any]) -> Any:
    column = verbs.asked(prompt, options)
    # Only what the prompt names travels to polars: the other columns may hold what polars has no type for.
    named = [name for name in column.columns if name in table.columns]
    frame = pl.DataFrame({name: pl.Series(name, table[name], nan_to_null=True) for name in named})
    if not named:
        frame = pl.DataFrame(
            {str(name): [] for name in table.columns}
        )  # for the error that names the nearest
    made = QwenFrame(frame).ask(prompt, **options).select(list(column.outputs)).to_pandas()
    made.index = table.index
    return table.assign(**{name: made[name] for name in made.columns})
