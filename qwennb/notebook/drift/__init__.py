"""Whether a result survives another model: two runs of one notebook beside each other.

`again` runs the notebook twice, `agreement` compares two answers, `report` pairs and sums them up, `page` shows the
report as HTML.
"""

from __future__ import annotations

from qwennb.notebook.drift.again import ask_again
from qwennb.notebook.drift.agreement import agreement
from qwennb.notebook.drift.page import page_of, plain_answer
from qwennb.notebook.drift.report import CellQuestions, Drift, Moved, Pair, drift
