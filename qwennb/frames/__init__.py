"""Columns: a prompt over a dataframe. `df.qwen`, `lf.qwen`, `pl.col(…).qwen`, and `ask` for pandas.

Start with `Evaluator` in evaluator.py: prompts are rendered by polars, unique questions asked once, answers laid out in the
order of the rows. `evaluation` is why polars may run it as often as it likes.
"""

from __future__ import annotations

from qwennb import registration
from qwennb.errors import QwenFrameWarning
from qwennb.frames.default import default_client, forget_default, use
from qwennb.frames.evaluator import EVALUATIONS
from qwennb.frames.interop import as_polars, ask
from qwennb.frames.interrupt import INTERRUPTS
from qwennb.frames.namespaces import QwenExpr, QwenFrame, QwenLazyFrame
from qwennb.frames.open_batches import batches
from qwennb.frames.plan import ColumnPlan
from qwennb.frames.progress import Progress, watch
from qwennb.frames.prompts import prompts

registration.columns_are_loaded()
