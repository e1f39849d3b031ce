"""From what a user typed to a message: how each value travels."""

import datetime
import decimal
import enum
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image as Pillow

from qwennb.answer import Answer
from qwennb.documents import frame_text
from qwennb.errors import BadInput, MediaError
from qwennb.request import Image, Message, Request, Text, merge_texts, part_of, user_message


class Shade(enum.StrEnum):
    RED = "red"


class Colour(str, enum.Enum):  # noqa: UP042
    RED = "red"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", "a"),
        (Shade.RED, "red"),
        (Colour.RED, "red"),
        (3, "3"),
        (3.0, "3"),
        (0.1, "0.1"),
        (True, "True"),
        (None, "None"),
        (decimal.Decimal("1.10"), "1.10"),
        (datetime.date(2026, 11, 21), "2026-11-21"),
        (datetime.datetime(2026, 11, 21, 1, tzinfo=datetime.UTC), "2026-11-21 01:00:00+00:00"),
        (np.float64(2.5), "2.5"),
        (np.int64(7), "7"),
        ([1, "é", None], '[\n  1,\n  "é",\n  null\n]'),
        ({"a": {"b": 1}}, '{\n  "a": {\n    "b": 1\n  }\n}'),
        ({1: "x"}, '{\n  "1": "x"\n}'),
        ({"z", "a"}, '[\n  "a",\n  "z"\n]'),
        (
            [{"z", "a"}, decimal.Decimal("1.10"), Path("x")],
            '[\n  [\n    "a",\n    "z"\n  ],\n  "1.10",\n  "x"\n]',
        ),
        ([2**70], f"[{2**70}]"),
        ([], "[]"),
        ("/etc/passwd", "/etc/passwd"),
        ("https://example.org/a.png", "https://example.org/a.png"),
        (Path("/etc/passwd"), "/etc/passwd"),
        (ValueError("told"), "told"),
    ],
)
def test_a_value_becomes_its_text(value, text):
    assert part_of(value) == Text(text)


def test_an_answer_is_its_text_and_a_frame_its_table():
    answer = Answer(Request("m", (user_message("q"),)), text="forty-two")
    frame = pl.DataFrame({"a": [1]})
    assert part_of(answer) == Text("forty-two")
    assert part_of([answer]) == Text('[\n  "forty-two"\n]')
    assert part_of(frame) == Text(frame_text(frame))


def test_a_picture_an_array_bytes_and_a_figure_are_images():
    matplotlib = pytest.importorskip("matplotlib.figure")
    figure = matplotlib.Figure()
    picture = Pillow.new("RGB", (2, 2))
    for value in (picture, np.zeros((2, 2, 3), dtype=np.uint8), figure, figure.add_subplot(), Image(picture)):
        assert isinstance(part_of(value), Image)
    with pytest.raises(MediaError):
        part_of(b"not a picture")


@dataclass
class Described:
    n: int


class Bare:
    pass


class Inner:
    def __repr__(self):
        return f"<Inner of {object()}>"


@pytest.mark.parametrize(
    "value",
    [
        Bare(),
        Described(Bare()),  # type: ignore[arg-type]
        [2**70, Bare()],
        Inner(),
        [Bare()],
        {"a": Bare()},
        object(),
        lambda: 1,
        Bare().__init__,
        (x for x in ()),
        {"a": {"b": [Bare()]}},
    ],
)
def test_what_has_no_text_but_its_address_is_refused(value):
    """Its text differs from run to run: the question would be paid for again each time."""
    with pytest.raises(BadInput, match=r"has no text of its own to put into a prompt\. Pass text, numbers"):
        part_of(value)


def test_what_has_a_text_of_its_own_is_taken():
    assert part_of(Described(3)) == Text("Described(n=3)")
    assert part_of(ValueError("lost <Bare object at 0x7f00>")) == Text("lost <Bare object at 0x7f00>")
    assert part_of([Described(3)]) == Text('[\n  {\n    "n": 3\n  }\n]')
    assert part_of(f"<Bare object at {'0x7f00'}> said so") == Text("<Bare object at 0x7f00> said so")


def test_a_message_is_the_same_whatever_the_seed_of_hashes():
    program = (
        "from qwennb.request import *\n"
        "print(Request('m', (user_message('{{ s }} {{ d }}', {'s': set('abcdefgh'), 'd': {'x': frozenset('klmnop'), 'f': {1, 2}}}),)).key)"
    )
    keys = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(keys) == 1


def test_media_come_after_the_prompt_in_the_order_given(tmp_path):
    files = []
    for n, colour in enumerate(["red", "blue", "green"]):
        Pillow.new("RGB", (2, 2), colour).save(tmp_path / f"{n}.png")
        files.append(tmp_path / f"{n}.png")
    message = user_message(
        "Look at {{ it }}!", {"it": Image(files[2])}, images=files[:1], files=str(files[1])
    )
    assert [type(part).__name__ for part in message.parts] == ["Text", "Image", "Text", "Image", "Image"]
    assert [part.digest for part in message.media] == [
        Image(f).digest for f in (files[2], files[0], files[1])
    ]
    assert user_message("x", images=None) == user_message("x")
    assert user_message("x", images=files[0]) == user_message("x", images=[files[0]])
    with pytest.raises(BadInput, match="images= takes a list, not a dict"):
        user_message("x", images={"a": 1})


def test_neighbouring_texts_are_one_and_empty_ones_are_gone():
    assert merge_texts([Text("a"), Text(""), Text("b")]) == (Text("ab"),)
    assert merge_texts([Text("")]) == ()
    assert user_message("") == Message("user", ())


def test_a_value_that_nothing_asks_for_is_an_error():
    with pytest.raises(BadInput, match=r"`town` is given and not used: the prompt has no \{\{ town \}\}"):
        user_message("About {{ city }}", {"city": "Bonn", "town": "Ulm"})
