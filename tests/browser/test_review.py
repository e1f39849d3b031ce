"""Review in a browser: labels by keyboard and by mouse, durable, seen without a kernel."""

from __future__ import annotations

import json
from dataclasses import replace

import nbformat
import pytest
from nbconvert import HTMLExporter
from playwright.sync_api import expect

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
SOURCE = ".qwr-source .qwr-text"


@pytest.fixture(scope="module")
def one_kernel(notebooks):
    """A notebook for all tests here."""
    return notebooks([])


@pytest.fixture
def review(one_kernel, tmp_path):
    """The notebook with a review in it, and the file of its labels."""
    labels = tmp_path / "labels.jsonl"
    one_kernel.begin([CELL.replace("{labels}", str(labels))])
    one_kernel.run_all()
    one_kernel.wait_done()
    reads(one_kernel, "The soup was cold.")
    return one_kernel, labels


def verdicts(labels):
    return [json.loads(line)["verdict"] for line in labels.read_text().splitlines()]


def reads(opened, source):
    """Wait until that is the row that is seen."""
    expect(opened.page.locator(SOURCE)).to_have_text(source)


def press(opened, name):
    opened.page.get_by_role("button", name=name, exact=True).click()


def has_no_complaints(opened):
    for theme in ("JupyterLab Dark", "JupyterLab Light"):
        opened.page.evaluate("theme => jupyterapp.commands.execute('apputils:change-theme', {theme})", theme)
        expect(opened.page.locator("body")).to_have_attribute("data-jp-theme-name", theme)
        assert opened.complaints() == []


def test_a_column_is_reviewed_with_the_keyboard_alone(review):
    opened, labels = review
    keyboard, page = opened.page.keyboard, opened.page
    page.get_by_label("show", exact=True).focus()
    keyboard.press("r")  # wherever the focus is: no field takes the letter, and no shortcut of the notebook's
    reads(opened, "What a lovely evening!")
    for _ in range(5):
        keyboard.press("Tab")
        assert page.evaluate("!!document.activeElement.closest('.qw')")
    keyboard.press("r")
    reads(opened, "We waited an hour.")
    keyboard.press("f")
    expect(page.get_by_label("Correction")).to_be_focused()
    keyboard.type("wrong")
    keyboard.press("Escape")
    expect(page.get_by_label("Correction")).not_to_be_visible()
    keyboard.press("f")
    keyboard.type("complaint")
    keyboard.press("Enter")
    reads(opened, "Fine.")
    keyboard.press("w")
    opened.wait_text("4 of 4 rows labelled")
    opened.wait_text("50.0% right")
    keyboard.press("u")
    opened.wait_text("66.7% right")
    keyboard.press("ArrowLeft")
    reads(opened, "We waited an hour.")
    keyboard.press("2")
    reads(opened, "Fine.")
    keyboard.press("ArrowLeft")
    expect(page.locator(".qwr-fix .qwr-text")).to_have_text("complaint")
    assert verdicts(labels) == ["right", "right", "fixed", "wrong", None, "fixed"]
    assert json.loads(labels.read_text().splitlines()[2])["fix"] == "complaint"
    cells = page.evaluate(
        "jupyterapp.shell.currentWidget.content.widgets.map(cell => cell.model.type).join()"
    )
    assert cells == "code" and page.locator(".jp-mod-editMode").count() == 0


def test_letters_that_are_typed_ahead_act_on_the_rows_that_come(review):
    opened, labels = review
    opened.page.locator(SOURCE).click()
    opened.page.keyboard.type("rwfother")
    expect(opened.page.get_by_label("Correction")).to_have_value("other")
    opened.page.keyboard.press("Enter")
    reads(opened, "Fine.")
    assert verdicts(labels) == ["right", "wrong", "fixed"]


def test_labels_by_mouse_a_filter_the_matrix_and_the_examples(review, tmp_path):
    opened, _ = review
    page = opened.page
    page.get_by_label("show", exact=True).select_option("low confidence")
    reads(opened, "We waited an hour.")
    press(opened, "Wrong")
    reads(opened, "Fine.")
    press(opened, "Right")
    opened.wait_text("2 of 4 rows labelled")
    cells = page.get_by_role("group", name="Confusion matrix").get_by_role("row").nth(1)
    assert cells.inner_text().split() == ["praise", "1", "0", "0", "1"]
    press(opened, "Fix")
    page.get_by_label("Correction").fill("other")
    press(opened, "Save")
    opened.wait_text("0.0% right (0 of 2")
    press(opened, "More")
    page.locator(".qw").get_by_label("file").fill(str(tmp_path / "corrected.jsonl"))
    press(opened, "Export")
    opened.wait_text("Written:")
    [line] = (tmp_path / "corrected.jsonl").read_text().splitlines()
    assert [message["content"] for message in json.loads(line)["conversations"]] == [
        "Praise or complaint? Fine.",
        "other",
    ]
    has_no_complaints(opened)
    assert opened.strangers() == []


def test_in_notebook_7_no_key_reaches_the_notebook(review):
    opened, labels = review
    opened.save()
    page = opened.page.context.new_page()
    page.goto(opened.lab.address(opened.path, classic=True))
    there = replace(opened, page=page)
    page.locator(SOURCE).click()
    for letter, source in [("r", "What a lovely evening!"), ("w", "We waited an hour."), ("3", "Fine.")]:
        page.keyboard.press(letter)
        reads(there, source)
    page.get_by_role("button", name="Next", exact=True).focus()
    for key in ("x", "y", "d", "d", "ArrowLeft", "m", "Escape", "u"):  # cut, delete, Markdown …
        page.keyboard.press(key)
    reads(there, "We waited an hour.")
    assert verdicts(labels) == ["right", "wrong", "fixed", None]
    cells = page.evaluate(
        "jupyterapp.shell.currentWidget.content.widgets.map(cell => cell.model.type).join()"
    )
    assert cells == "code"
    has_no_complaints(there)
    page.close()


def test_labels_outlive_the_page_and_the_kernel(review):
    opened, labels = review
    opened.page.locator(SOURCE).click()
    opened.page.keyboard.press("r")
    reads(opened, "What a lovely evening!")
    opened.page.keyboard.press("w")
    opened.wait_text("2 of 4 rows labelled")
    opened.save()
    opened.reopen()
    reads(opened, "We waited an hour.")
    opened.page.locator(SOURCE).click()
    opened.page.keyboard.press("r")
    opened.wait_text("3 of 4 rows labelled")
    opened.restart_and_run_all()
    opened.wait_done()
    reads(opened, "Fine.")
    assert verdicts(labels) == ["right", "wrong", "right"]


def test_a_saved_review_is_read_without_a_kernel(review):
    opened, _ = review
    opened.page.locator(SOURCE).click()
    opened.page.keyboard.type("rw")
    opened.wait_text("2 of 4 rows labelled")
    press(opened, "More")
    press(opened, "Draw confusion matrix")
    opened.wait_text("The picture is in the record")
    opened.save()
    saved = nbformat.read(opened.path, as_version=4)
    nbformat.validate(saved)
    assert "widgets" not in saved["metadata"]
    page, _ = HTMLExporter().from_notebook_node(saved)
    assert "2 of 4 rows labelled" in page and "50.0% right" in page and "data:image/png;base64," in page
    opened.reopen_without_kernel(trusted=False)
    assert "2 of 4 rows labelled" in opened.shown(0) and "50.0% right (1 of 2" in opened.shown(0)
    picture = opened.page.locator(".jp-OutputArea img")
    assert "Confusion matrix of 2 labelled rows" in picture.get_attribute("alt")
    assert picture.evaluate("image => image.naturalWidth") > 100
    assert "Error displaying widget" not in opened.shown(0)


def test_letters_for_rows_that_nobody_has_seen_yet_are_not_taken(review):
    opened, labels = review
    page = opened.page
    page.evaluate(  # a kernel that hears nothing for a while: what the page says waits before it is sent
        """() => { const kernel = jupyterapp.shell.currentWidget.sessionContext.session.kernel, sent = kernel._sendMessage;
          window.release = () => { kernel._sendMessage = sent; held.forEach(one => sent.apply(kernel, one)); };
          const held = []; kernel._sendMessage = (...message) => { held.push(message); }; }"""
    )
    page.locator(SOURCE).click()
    page.keyboard.type("rrr")
    opened.wait_text("The kernel is busy; letters are not taken.")
    page.keyboard.type("ww")
    page.evaluate("release()")
    reads(opened, "What a lovely evening!")
    expect(page.locator(".qw")).not_to_contain_text("The kernel is busy")
    assert verdicts(labels) == ["right"]
