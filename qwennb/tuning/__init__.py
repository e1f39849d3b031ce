"""Judged answers as examples to learn from: labels, what they amount to, the forms of the frameworks, split and card."""

from __future__ import annotations

from qwennb.tuning.card import Origin
from qwennb.tuning.example import Example, Selection, answer_message, judge
from qwennb.tuning.files import check_form, write_examples
from qwennb.tuning.forms import FORMS, Form
from qwennb.tuning.labels import Label, Labels, Verdict, agreement, row_of
from qwennb.tuning.recorded import add_judges, check_labels_fit, choose_answers, read_labels_of
