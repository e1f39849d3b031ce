"""A picture is bytes, or a path under a stated folder; nothing else in a cell is ever opened or fetched."""

from __future__ import annotations

import io

import polars as pl
import pytest
from PIL import Image as Picture

from qwennb.errors import BadInput
from qwennb.frames import QwenFrameWarning


def png(colour: str) -> bytes:
    out = io.BytesIO()
    Picture.new("RGB", (64, 64), colour).save(out, "png")
    return out.getvalue()


def test_bytes_are_pictures_and_twins_are_asked_once(simulate, client):
    sim = simulate()
    table = pl.DataFrame({"photo": [png("red"), png("blue"), None, png("red")]})
    qwen = client(sim)
    made = table.qwen.ask("Describe it", image="photo", into="alt", client=qwen)
    assert [alt is None for alt in made["alt"]] == [False, False, True, False]
    assert sim.ledger.count("asked") == 2
    assert qwen.ask("Describe it", images=[png("red")]).cached
    lazy = table.lazy().qwen.ask("Describe it", image="photo", into="alt", client=qwen).collect()
    assert lazy.equals(made) and sim.ledger.count("asked") == 2


def test_a_template_may_stand_beside_the_picture(simulate, client):
    sim = simulate()
    table = pl.DataFrame({"photo": [png("red")] * 2, "what": ["colour", "shape"]})
    table.qwen.ask("Which {{ what }}?", image="photo", client=client(sim))
    assert sim.ledger.count("asked") == 2


def test_paths_are_opened_under_the_root_alone(simulate, client, tmp_path):
    sim = simulate()
    root = tmp_path / "photos"
    root.mkdir()
    (root / "a.png").write_bytes(png("red"))
    (tmp_path / "secret.png").write_bytes(png("blue"))
    (root / "link.png").symlink_to(tmp_path / "secret.png")
    cells = [
        "a.png",
        "../secret.png",
        str(tmp_path / "secret.png"),
        "link.png",
        "none.png",
        "https://example.com/a.png",
    ]
    table = pl.DataFrame({"photo": cells})
    with pytest.warns(QwenFrameWarning, match="MediaError"):
        made = table.qwen.ask("Describe it", image="photo", root=root, client=client(sim))
    assert [answer is None for answer in made["answer"]] == [False, True, True, True, True, True]
    assert sim.ledger.count("asked") == 1


def test_text_is_never_opened_without_a_root(frame_of_paths):
    with pytest.raises(BadInput, match='root="photos/"'):
        frame_of_paths.qwen.ask("Describe it", image="photo")


def test_urls_travel_only_where_they_are_allowed(simulate, client, frame_of_paths):
    sim = simulate()
    made = frame_of_paths.qwen.ask(
        "Describe it", image="photo", allow_urls=True, client=client(sim), on_error="column"
    )
    assert "MediaError" in made["answer_error"][0]
    assert sim.ledger.count("asked") == 1
    parts = sim.ledger.last().body["messages"][-1]["content"]
    assert {"url": "https://example.com/a.png"} in [part.get("image_url") for part in parts]


@pytest.fixture
def frame_of_paths() -> pl.DataFrame:
    return pl.DataFrame({"photo": ["/etc/hostname", "https://example.com/a.png"]})
