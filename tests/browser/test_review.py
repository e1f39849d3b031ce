"""Review in a browser: labels by keyboard and by mouse, durable, seen without a kernel."""

from __future__ import annotations

import json

import nbformat
import pytest
from nbconvert import HTMLExporter

CELL = """
import polars as pl
from qwennb import widgets
frame = pl.DataFrame({
    "review": ["The soup was cold.", "What a lovely evening!", "We waited an hour.", "Fine."],
    "label": pl.Series(["complaint", "praise", "praise", "praise"], dtype=pl.Enum(["praise", "complaint", "other"])),
    "sure": [0.9, 0.8, 0.4, 0.6],
})
review = widgets.Review(frame, answer="label", source="review", labels="{labels}", by="ada", confidence="sure",
                prompt="Praise or complaint? {{ review }}")
review
"""


@pytest.fixture(scope="module")
def one_kernel(notebooks):
    """A notebook for all tests here."""
    return notebooks([])


@pytest.fixture
def review(one_kernel, tmp_path):
    """The notebook with a review in it, and the file of its labels."""

    def open_one():
        labels = tmp_path / "labels.jsonl"
        one_kernel.begin([CELL.replace("{labels}", str(labels))])
        one_kernel.run_all()
        one_kernel.wait_done()
        return one_kernel, labels

    return open_one


def verdicts(labels):
    return [json.loads(line)["verdict"] for line in labels.read_text().splitlines()]


def field(opened, name):
    return opened.page.get_by_label(name, exact=True)


def expect(opened, name, value):
    opened.page.wait_for_function(
        """([name, value]) => [...document.querySelectorAll('.jp-Cell-outputArea label')].some(label =>
             label.textContent === name && label.control && label.control.value === value)""",
        arg=[name, value],
        timeout=60_000,
    )


def test_a_column_is_reviewed_with_the_keyboard_alone(review):
    opened, labels = review()
    keyboard = opened.page.keyboard
    field(opened, "show").focus()
    keyboard.press("Tab")  # over what is shown …
    for _ in range(4):
        if opened.page.evaluate(
            "document.activeElement === [...document.querySelectorAll('label')]"
            ".find(l => l.textContent === 'label').control"
        ):
            break
        keyboard.press("Tab")  # … to the letters
    keyboard.type("rr", delay=20)
    expect(opened, "source", "We waited an hour.")
    keyboard.type("f")
    opened.page.wait_for_function(
        "() => document.activeElement.matches('input[list]')"  # the correction has the keyboard
    )
    keyboard.type("complaint")
    keyboard.press("Tab")
    keyboard.press("Enter")
    expect(opened, "source", "Fine.")
    opened.page.wait_for_function("() => document.activeElement.placeholder === 'r w f u n p'")
    keyboard.type("w", delay=20)
    opened.wait_text("4 of 4 rows labelled. 50.0% right")
    keyboard.type("u", delay=20)
    opened.wait_text("3 of 4 rows labelled. 66.7% right")
    assert verdicts(labels) == ["right", "right", "fixed", "wrong", None]
    assert json.loads(labels.read_text().splitlines()[2])["fix"] == "complaint"


def test_labels_by_mouse_a_filter_and_the_matrix(review, tmp_path):
    opened, _ = review()

    def press(name):
        opened.page.get_by_role("button", name=name).click()

    field(opened, "show").select_option("low confidence")
    expect(opened, "source", "We waited an hour.")
    press("Wrong (w)")
    expect(opened, "source", "Fine.")
    press("Right (r)")
    opened.wait_text("2 of 4 rows labelled")
    press("Draw confusion matrix")
    picture = opened.page.locator(".jp-OutputArea img")
    picture.wait_for()
    assert "Confusion matrix of 2 labelled rows" in picture.get_attribute("alt")
    assert picture.evaluate("image => image.naturalWidth") > 100
    press("Fix (f)")
    field(opened, "correction").fill("other")
    press("Save correction")
    opened.wait_text("0.0% right (0 of 2")
    field(opened, "file").fill(str(tmp_path / "corrected.jsonl"))
    press("Export")
    opened.wait_text("Written:")
    [line] = (tmp_path / "corrected.jsonl").read_text().splitlines()
    assert [message["content"] for message in json.loads(line)["conversations"]] == [
        "Praise or complaint? Fine.",
        "other",
    ]
    assert opened.complaints() == [] and opened.strangers() == []


def test_labels_outlive_the_page_and_the_kernel(review):
    opened, labels = review()
    field(opened, "label").click()
    opened.page.keyboard.type("rw", delay=20)
    opened.wait_text("2 of 4 rows labelled")
    saved = opened.save()
    opened.reopen()
    opened.wait_text("2 of 4 rows labelled")
    field(opened, "label").click()
    opened.page.keyboard.type("r", delay=20)
    opened.wait_text("3 of 4 rows labelled")
    opened.restart_and_run_all()
    opened.wait_done()
    opened.wait_text("3 of 4 rows labelled")
    expect(opened, "source", "Fine.")
    assert verdicts(labels) == ["right", "wrong", "right"]
    assert "50&#46;0" in json.dumps(saved) or "50.0% right" in json.dumps(saved)


def test_a_saved_review_is_read_without_a_kernel(review):
    opened, _ = review()
    field(opened, "label").click()
    opened.page.keyboard.type("rw", delay=20)
    opened.wait_text("2 of 4 rows labelled")
    opened.page.get_by_role("button", name="Draw confusion matrix").click()
    opened.page.locator(".jp-OutputArea img").wait_for()
    opened.save()
    saved = nbformat.read(opened.path, as_version=4)
    nbformat.validate(saved)
    assert "widgets" not in saved["metadata"]
    page, _ = HTMLExporter().from_notebook_node(saved)
    assert "2 of 4 rows labelled" in page and "50.0% right" in page and "data:image/png;base64," in page
    opened.reopen_without_kernel(trusted=False)
    assert "2 of 4 rows labelled" in opened.shown(0) and "50.0% right (1 of 2" in opened.shown(0)
    assert opened.page.locator(".jp-OutputArea img").evaluate("image => image.naturalWidth") > 100
    assert "Error displaying widget" not in opened.shown(0)
