"""Texts of others in widgets: seen as they are, never mathematics, and not changed by typing."""

from __future__ import annotations

import pytest

from qwennb.notebook.widgets.read_only import ReadOnlyText, StatusLabel


@pytest.mark.parametrize(
    "text", [r"$\href{javascript:alert(1)}{x}$", "costs $5 or $6", r"\(x\)", r"\begin{align}x\end{align}"]
)
def test_nothing_in_a_label_is_mathematics(text):
    for told in (StatusLabel(text).value, StatusLabel().value):
        assert told.count("$") < 2 and "\\" not in told
    label = StatusLabel()
    label.say(text)
    assert label.value == StatusLabel(text).value and len(label.value) == len(text)


def test_a_label_is_one_line_without_controls():
    assert StatusLabel("one\n two\x1b[31m\x00").value == "one two"
    assert StatusLabel("it costs $5").value == "it costs $5"


def test_what_is_typed_over_a_text_to_read_is_put_back():
    shown = ReadOnlyText("answer", text="as it was")
    shown.value = "changed"
    assert shown.value == "as it was"
    shown.show("another")
    shown.value = ""
    assert shown.value == "another"
