"""What a widget leaves behind, and what no widget may ever be made of."""

from __future__ import annotations

import ast
from pathlib import Path

import ipywidgets as widgets
import pytest
from ipywidgets.widgets.widget import _instances

import qwennb
from qwennb.notebook.widgets.static import VIEW, PersistentWidget, close
from tests.notebook.conftest import Kernel

FORBIDDEN = {"HTML", "HTMLMath", "Password", "description_allow_html", "Javascript", "DOMWidget"}
SHOW = """
import ipywidgets as widgets
from qwennb.notebook.widgets.static import PersistentWidget
exhibit = PersistentWidget(widgets.VBox([widgets.Text(description="Name")]), about="chat", called="Chat")
exhibit.keep("**kept**", "kept")
exhibit.show()
"""


def names_in(tree: ast.AST):
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.keyword) and node.arg:
            yield node.arg
        elif isinstance(node, ast.alias):
            yield node.name.rpartition(".")[2]


@pytest.mark.parametrize(
    "file", sorted(Path(qwennb.__file__).parent.glob("notebook/**/*.py")), ids=lambda file: file.name
)
def test_no_widget_renders_html_or_holds_a_password(file):
    assert not FORBIDDEN & set(names_in(ast.parse(file.read_text(encoding="utf-8"))))


def test_the_check_for_html_sees_it():
    for source in (
        "widgets.HTML(x)",
        "from ipywidgets import HTMLMath",
        "Button(description_allow_html=True)",
    ):
        assert FORBIDDEN & set(names_in(ast.parse(source)))


def test_closing_leaves_no_model_behind():
    before = set(_instances)
    box = widgets.VBox([widgets.HBox([widgets.Button(), widgets.Text()]), widgets.Dropdown(options=["a"])])
    assert len(set(_instances) - before) > 10
    close(box)
    assert set(_instances) <= before


def test_a_closed_exhibit_leaves_no_model_behind():
    before = set(_instances)
    exhibit = PersistentWidget(widgets.Text(), about="chat", called="Chat")
    exhibit.keep("a", "a")
    exhibit.close()
    exhibit.keep("b", "b")
    exhibit.close()
    assert exhibit.is_closed and set(_instances) <= before


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    running = Kernel(
        {"HOME": str(home), "IPYTHONDIR": str(home / "ipython"), "QWENNB_CACHE_DIR": str(home / "cache")}
    )
    yield running
    running.stop()


@pytest.mark.slow
def test_where_nobody_looks_there_is_the_record_and_no_widget(kernel):
    [shown] = kernel.run(SHOW).outputs
    assert shown["data"] == {"text/markdown": "**kept**", "text/plain": "kept"}
    assert shown["metadata"] == {"qwennb": {"state": "chat"}}


@pytest.mark.slow
def test_who_looks_gets_the_widget_and_a_line_for_readers(kernel):
    record, panel = kernel.run(SHOW, answers=[]).outputs
    assert VIEW not in record["data"] and VIEW in panel["data"]
    assert panel["data"]["text/markdown"] == "*Chat: run this cell to use it.*"
    more = kernel.run("exhibit.keep('**more**', 'more')")
    [(_, _, update)] = [one for one in more.messages if one[1] == "update_display_data"]
    assert update["data"]["text/markdown"] == "**more**"
    assert update["transient"] == record["transient"], "the widget is not drawn anew"
    kernel.run("exhibit.close()")
    assert kernel.displays[panel["transient"]["display_id"]]["data"] == {
        "text/markdown": "",
        "text/plain": "",
    }
    assert kernel.displays[record["transient"]["display_id"]]["data"]["text/plain"] == "more"


@pytest.mark.slow
def test_a_page_that_is_loaded_again_is_shown_the_record_in_the_panel(kernel):
    kernel.run(SHOW, answers=[])
    assert kernel.value("len(exhibit._again.outputs)") == "0"
    kernel.run("widgets.Widget.get_manager_state()")  # what such a page asks for
    assert "**kept**" in kernel.value("exhibit._again.outputs")
    kernel.run("exhibit.show()", answers=[])
    assert kernel.value("len(exhibit._again.outputs)") == "0"
