"""Pictures of a review: of the confusion matrix, where matplotlib is installed, and those that a row is about."""

from __future__ import annotations

import base64
import math
import re
from io import BytesIO

from qwennb.answer import markup
from qwennb.notebook.widgets.review_measures import Confusion
from qwennb.request import MOST_PIXELS

WIDE = 24  # signs of a class in the picture
SIZE = (1200, 800)  # of a row's picture, at most: what a panel has room for
PNG = "data:image/png;base64,"


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


def describe(found: Confusion, drawn: bytes) -> str:
    """The picture that was *drawn* of it, described in words, and the table."""
    words = re.sub("</?span>", "", markup.literal(found.describe()))  # there are no tags in an attribute
    return f"![{words}]({PNG}{base64.b64encode(drawn).decode()})\n\n{table(found)}"


def draw_again(content: bytes) -> str:
    """The picture in *content* as the address of a PNG that is drawn anew, so that nothing of the file itself reaches
    the page; empty where there is none."""
    from PIL import Image, ImageOps

    try:
        with Image.open(BytesIO(content)) as opened:
            if math.prod(opened.size) > MOST_PIXELS:
                return ""
            opened.draft("RGB", SIZE)
            upright = ImageOps.exif_transpose(opened)
            upright.thumbnail(SIZE)
            kept = BytesIO()
            upright.convert("RGBA" if upright.has_transparency_data else "RGB").save(kept, "PNG")
    except (OSError, ValueError, SyntaxError):
        return ""
    return PNG + base64.b64encode(kept.getvalue()).decode()


def _short(name: str) -> str:
    text = " ".join(markup.plain(name).split())
    text = text if len(text) <= WIDE else text[: WIDE - 1] + "…"
    return text.replace("$", r"\$")  # a pair of dollars would be read as mathematics
