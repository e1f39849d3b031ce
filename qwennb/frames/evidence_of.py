"""`evidence`: what is proved of a column in a frame of any library."""

from __future__ import annotations

from typing import Any

from qwennb.frames.any_table import as_polars
from qwennb.frames.evidence import Evidence, find_evidence


def evidence(frame: Any, into: str | None = None) -> Evidence:
    """Find what is proved of a column that was made with `draft=`.

    It is found by what the frame holds, in any order of its rows; a frame carries nothing else. It lasts as long as the process: in
    another one the same call makes it again, and costs nothing.

    Parameters
    ----------
    frame : DataFrame
        What the call gave.
    into : str, optional
        The column that it made; left out for `filter`, which makes none.

    Returns
    -------
    Evidence
        What is proved, of how many rows, by how many answers.

    Raises
    ------
    BadInput
        If nothing is known of it: other rows, changed cells, or it was made without a draft.

    Examples
    --------
    >>> mails = pl.DataFrame({"mail": [f"Mail {n}" for n in range(300)]})
    >>> labels = mails.qwen.classify("mail", ["good", "bad"], model="plus", draft="flash", agree=0.8)
    >>> qwennb.evidence(labels, "label").rows
    300
    """
    columns = list(frame.columns) if hasattr(frame, "columns") else []
    return find_evidence(columns, lambda names: as_polars(frame, names).select(names), into or "")
