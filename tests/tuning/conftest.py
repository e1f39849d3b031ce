"""A picture, and answers that people judged."""

from __future__ import annotations

import pytest

from qwennb import Pack
from qwennb.request import Image
from qwennb.tuning import Labels, row_of


@pytest.fixture
def picture(tmp_path):
    from PIL import Image as Pillow

    Pillow.new("RGB", (8, 6), "red").save(tmp_path / "red.png")
    return Image(tmp_path / "red.png")


@pytest.fixture
def judged(tmp_path):
    """Keep answers in a pack and what people said of them in a file."""

    def make(answers, *verdicts, by="ada", file="labels.jsonl"):
        labels = Labels(tmp_path / file, by)
        for one, verdict in zip(answers, verdicts, strict=False):
            name = row_of(one.request.question, one.text)
            if verdict in ("right", "wrong"):
                labels.give(name, verdict)
            elif verdict is not None:
                labels.give(name, "fixed", verdict)
        return Pack.of(answers), tmp_path / file

    return make
