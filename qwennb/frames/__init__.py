"""Columns: a prompt over a table. `qwennb.classify(df, …)`, `df.qwen`, `lf.qwen`, `pl.col(…).qwen`.

A row takes four stops: a verb (verbs.py) makes a `Column`, a value; the evaluator has polars render the prompts and lays out
the answers as the rows were; the asker recalls what is known and asks the engine for the rest. exactly_once.py is why polars
may run it as often as it likes.
"""

from __future__ import annotations

from qwennb.errors import QwenFrameWarning
from qwennb.frames.accessors import Plans, QwenExpr, QwenFrame, QwenSeries, col, plan
from qwennb.frames.any_table import as_polars
from qwennb.frames.batch_lane import batches
from qwennb.frames.check import Beside, add_answers, check, list_labels, open_values, read_answers
from qwennb.frames.column_plan import ColumnPlan
from qwennb.frames.default import default_client, forget_default, use
from qwennb.frames.draw import draw
from qwennb.frames.duckdb_function import add_to_duckdb
from qwennb.frames.estimate import Estimator, estimate
from qwennb.frames.estimates import Estimate, Estimates
from qwennb.frames.evaluator import EVALUATIONS
from qwennb.frames.evidence_of import evidence
from qwennb.frames.interrupt import INTERRUPTS
from qwennb.frames.progress import Progress, WrittenProgress
from qwennb.frames.prompts import prompts
from qwennb.frames.verbs import ask, classify, extract, filter, score, summarize, translate  # noqa: A004
