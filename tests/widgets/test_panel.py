"""What every panel has: intents that are checked, drawing in time, a name that stays, and nothing taken from the browser."""

from __future__ import annotations

import threading
import time

import pytest
import traitlets
from ipywidgets import Widget
from ipywidgets.widgets.widget import _instances

from qwennb.errors import BadInput
from qwennb.notebook.widgets.panel import Panel, intent
from tests.conftest import until


class Counter(Panel):
    kind, title = "counter", "Counter"
    count = traitlets.Int().tag(sync=True)

    def __init__(self, **given):
        self.held, self.drawn = 0, 0
        super().__init__(**given)
        if self.former is not None:
            self.held = self.former.held

    @intent
    def add(self, number: int, word: str | None = None) -> None:
        self.held += number

    @intent
    def attach(self, name: str, buffers: list) -> None:
        self.held = sum(map(len, buffers))

    @intent
    def fail(self, how: str) -> None:
        raise {
            "told": BadInput("Type a number."),
            "file": OSError(28, "No space left"),
            "bug": ValueError("x"),
        }[how]

    def secret(self, number: int) -> None:
        self.held = 1_000

    def draw(self) -> None:
        self.drawn += 1
        self.count = self.held
        self.keep(f"**{self.held}**", str(self.held))


@pytest.fixture
def panel():
    made: list[Counter] = []

    def make(**given):
        made.append(Counter(**given))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_an_intent_calls_the_method_of_its_name_and_is_drawn(panel):
    one = panel()
    one.act("add", number=2)
    one.act("add", number=3, word="more")
    until(lambda: one.count == 5, "it was not drawn")
    assert one.record == ("**5**", "5")
    one.act("attach", name="p.png", buffers=[b"abc", b"de"])
    assert one.held == 5


@pytest.mark.parametrize(
    "content",
    [
        None, [], "add", {}, {"kind": None}, {"kind": ["add"]}, {"kind": "add"}, {"kind": "add", "number": "2"},
        {"kind": "add", "number": True}, {"kind": "add", "number": 1.5}, {"kind": "add", "number": 1, "more": 2},
        {"kind": "add", "number": 1, "word": 3}, {"kind": "secret", "number": 1}, {"kind": "close"}, {"kind": "__init__"},
        {"kind": "held"}, {"kind": "attach", "name": "x", "buffers": ["no bytes"]}, {"kind": "add", "self": 1, "number": 1},
    ],
)  # fmt: skip
def test_what_is_no_intent_or_does_not_fit_is_refused_without_a_word(panel, content):
    one = panel()
    one._handle_msg({"content": {"data": {"method": "custom", "content": content}}, "buffers": []})
    assert one.held == 0 and one.notice == "" and one.comm is not None


def test_what_an_intent_raises_is_said_and_reaches_no_comm(panel):
    one = panel()
    for how, told in (("told", "Type a number."), ("file", "No space left"), ("bug", "ValueError: x")):
        one.act("fail", how=how)
        assert told in one.notice


def test_the_browser_changes_no_state_of_pythons(panel):
    one = panel()
    one._handle_msg(
        {"content": {"data": {"method": "update", "state": {"count": 9, "_esm": "alert(1)"}}}, "buffers": []}
    )
    assert one.count == 0 and "alert(1)" not in one._esm


def test_a_flood_of_news_is_drawn_thirty_times_a_second_at_most(panel):
    one = panel()
    began = time.monotonic()
    for _ in range(400):
        one.held += 1
        one.refresh()
        time.sleep(0.001)
    until(lambda: one.count == 400, "the last was not drawn")
    assert one.drawn <= 3 + 30 * (time.monotonic() - began)


def test_a_name_is_who_it_is_and_one_made_anew_finds_the_former(panel):
    first = panel(name="trip")
    known = first.model_id
    first.act("add", number=7)
    second = panel(name="trip")
    assert second.model_id == known
    assert second.held == 7 and second.former is first and first.comm is None
    assert panel(name="other").model_id != second.model_id
    assert panel().model_id != panel().model_id, "where nothing is known of the cell, each is one of its own"


def test_a_closed_panel_leaves_no_model_no_thread_and_its_record():
    before, threads = set(_instances), threading.active_count()
    one = Counter()
    one.act("add", number=1)
    one.close()
    one.close()
    one.act("add", number=1)
    assert set(_instances) <= before and one.record == ("**1**", "1")
    until(lambda: threading.active_count() <= threads, "its thread goes on")


def test_module_and_style_are_ours_and_in_the_wheel(panel):
    one = panel()
    assert "const make" in one._esm and ".qw" in one._css
    assert all(
        word not in one._esm
        for word in (
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "eval(",
            "new Function",
            "fetch(",
            "import(",
        )
    )
    assert one.model_id in Widget.get_manager_state()["state"]
