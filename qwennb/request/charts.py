"""Charts and tables that draw themselves in a browser, as what a model can read: a picture, or a text.

Altair's are drawn by vl-convert, without a browser; Plotly's by kaleido; a table of Great Tables is read out of its HTML.
Nothing of theirs is imported here: what was never imported has made no chart.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from html.parser import HTMLParser
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from qwennb.errors import BadInput, in_words

# The class that says what a value is, by its module; the package that draws it, and how.
_DRAWN = (
    ("altair", "TopLevelMixin", "an Altair chart", "vl_convert", "vl-convert-python"),
    ("plotly.basedatatypes", "BaseFigure", "a Plotly figure", "kaleido", "kaleido"),
)


def is_chart(value: Any) -> bool:
    """Tell whether *value* is a chart of Altair or Plotly."""
    return any(_is_one(value, module, name) for module, name, *_ in _DRAWN)


def draw_chart(value: Any, find: Callable[[str], Any] = find_spec) -> bytes | None:
    """Draw *value* as a PNG if it is a chart of Altair or Plotly; else None. *find* tells whether a package is installed."""
    for module, name, noun, package, typed in _DRAWN:
        if not _is_one(value, module, name):
            continue
        if find(package) is None:
            raise BadInput(f"This is {noun}. To have it drawn, type: pip install {typed}. Or give its data.")
        try:
            return _PAINTERS[package](value)
        except Exception as error:
            raise BadInput(
                f"This is {noun}, and {typed} could not draw it: {in_words(error)}. Or give its data."
            ) from None
    return None


def table_text(value: Any) -> str | None:
    """Write *value* as text if it is a table of Great Tables, a row a line; else None."""
    if not _is_one(value, "great_tables", "GT"):
        return None
    reader = _TableReader()
    reader.feed(value.as_raw_html())
    reader.close()
    return "\n".join(" | ".join(" ".join(cell.split()) for cell in row) for row in reader.rows)


def _is_one(value: Any, module: str, name: str) -> bool:
    kind = getattr(sys.modules.get(module), name, None)
    return isinstance(kind, type) and isinstance(value, kind)


def _draw_altair(chart: Any) -> bytes:
    drawn: bytes = import_module("vl_convert").vegalite_to_png(chart.to_json())
    return drawn


def _draw_plotly(figure: Any) -> bytes:
    drawn: bytes = figure.to_image(format="png")
    return drawn


_PAINTERS: dict[str, Callable[[Any], bytes]] = {"vl_convert": _draw_altair, "kaleido": _draw_plotly}


class _TableReader(HTMLParser):
    """Reads the cells of a table, row by row."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self._is_in_cell = False

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th") and self.rows:
            self.rows[-1].append("")
            self._is_in_cell = True
        elif tag == "br" and self._is_in_cell:
            self.rows[-1][-1] += " "

    def handle_endtag(self, tag: str) -> None:
        self._is_in_cell = self._is_in_cell and tag not in ("td", "th", "tr")

    def handle_data(self, data: str) -> None:
        if self._is_in_cell:
            self.rows[-1][-1] += data
