"""The confusion matrix for the eye: a picture where matplotlib is installed, and a table in any case."""

from __future__ import annotations

import base64
import re
from io import BytesIO

from qwennb.answer import markup
from qwennb.notebook.widgets.review_measures import Confusion

WIDE = 24  # signs of a class in the picture


def table(found: Confusion) -> str:
    """*found* as a Markdown table."""
    head = ["answered ↓ · true →", *found.truths]
    rows = [
        [answer, *(f"{count:,}" for count in row)]
        for answer, row in zip(found.answers, found.counts, strict=True)
    ]
    lines = [f"| {' | '.join(markup.literal(cell) or '&nbsp;' for cell in row)} |" for row in [head, *rows]]
    return "\n".join([lines[0], "|---|" + "---:|" * len(found.truths), *lines[1:]])


def picture(found: Confusion) -> bytes | None:
    """*found* as a PNG; None where matplotlib is not installed.

    Every count is written into its field, so that nothing is told by shade alone.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return None
    width = 1.6 + 0.9 * len(found.truths)
    figure = Figure(figsize=(width, 1.2 + 0.55 * len(found.answers)), dpi=96, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.imshow(found.counts, cmap="Blues", aspect="auto", vmin=0)
    top = max(map(max, found.counts)) or 1
    for y, row in enumerate(found.counts):
        for x, count in enumerate(row):
            axes.text(
                x, y, f"{count:,}", ha="center", va="center", color="white" if count > top / 2 else "black"
            )
    axes.set_xticks(range(len(found.truths)), [_short(name) for name in found.truths])
    axes.set_yticks(range(len(found.answers)), [_short(name) for name in found.answers])
    axes.xaxis.tick_top()
    axes.set_xlabel("true")
    axes.xaxis.set_label_position("top")
    axes.set_ylabel("answered")
    kept = BytesIO()
    figure.savefig(kept, format="png", metadata={"Software": None})
    return kept.getvalue()


def render(found: Confusion) -> str:
    """The picture with its description and the table, as Markdown."""
    made = picture(found)
    return table(found) if made is None else describe(found, made)


def describe(found: Confusion, drawn: bytes) -> str:
    """The picture that was *drawn* of it, described in words, and the table."""
    data = base64.b64encode(drawn).decode()
    words = re.sub("</?span>", "", markup.literal(found.describe()))  # there are no tags in an attribute
    return f"![{words}](data:image/png;base64,{data})\n\n{table(found)}"


def _short(name: str) -> str:
    text = " ".join(markup.plain(name).split())
    text = text if len(text) <= WIDE else text[: WIDE - 1] + "…"
    return text.replace("$", r"\$")  # a pair of dollars would be read as mathematics
