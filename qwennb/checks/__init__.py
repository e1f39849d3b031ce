"""Checks: answers held to rules, to what is right, and to the last run. Pure: plain rows in, a report out.

    rows (a column, a table's file, a pack) ─ rules, truth, gate ─▶ a report: text, Markdown, a frame, JUnit, JSON Lines

Where rows come from is told in frames/check.py and frames/check_source.py.
"""

from __future__ import annotations

from qwennb.checks.check import GATE, CheckSpec, RuleResult, check_needs, run_check
from qwennb.checks.gate import LEVEL, read_last, write_last
from qwennb.checks.report import CheckReport, check_names, explain_broken, join_reports
from qwennb.checks.report_files import json_lines, junit_xml
from qwennb.checks.row import AnswerRow, name_row
from qwennb.checks.rules import RULES, read_rules
