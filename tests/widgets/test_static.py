"""What a widget leaves behind, and what no widget may ever be made of."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import qwennb
from qwennb.notebook.widgets.static import VIEW
from tests.notebook.conftest import Kernel

WIDGETS = Path(qwennb.__file__).parent / "notebook" / "widgets"
FORBIDDEN = {"HTML", "HTMLMath", "Password", "description_allow_html", "Javascript", "DOMWidget"}
SHOW = """
from IPython.display import display
from qwennb.notebook.widgets.panel import Panel
class Exhibit(Panel):
    kind, title = "exhibit", "Exhibit"
exhibit = Exhibit()
exhibit.keep("**kept**", "kept")
display(exhibit)
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


@pytest.mark.parametrize("file", sorted(WIDGETS.glob("*.js")), ids=lambda file: file.name)
def test_no_module_of_a_panel_parses_markup_runs_text_or_loads_an_address(file):
    text = file.read_text(encoding="utf-8")
    forbidden = (
        "innerHTML",
        "outerHTML",
        "insertAdjacent",
        "document.write",
        "DOMParser",
        "createContextualFragment",
        "eval(",
    )
    forbidden += (
        "new Function",
        "fetch(",
        "XMLHttpRequest",
        "WebSocket",
        "import(",
        "srcdoc=",
        "localStorage",
        "sendBeacon",
    )
    assert [word for word in forbidden if word in text] == []


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
    assert shown["metadata"] == {"qwennb": {"state": "exhibit"}}


@pytest.mark.slow
def test_who_looks_gets_the_widget_and_a_line_for_readers(kernel):
    record, panel = kernel.run(SHOW, answers=[]).outputs
    assert VIEW not in record["data"] and VIEW in panel["data"]
    assert panel["data"]["text/markdown"] == "*Exhibit: run this cell to use it.*"
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
