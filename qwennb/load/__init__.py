"""How an endpoint bears load: when requests are sent, what each of them measures, the table and the picture.

Start with `Load.run` in run.py. Nothing is recalled or kept here, no twin is joined, and nothing is asked again.
"""

from __future__ import annotations

from qwennb.load.measures import LIMITS, Stage, StageRun
from qwennb.load.prompts import default_prompt, read_prompts
from qwennb.load.report import compare_stages, describe_now, describe_stage, json_lines
from qwennb.load.run import Load, climb
