"""Pictures in tokens."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwennb.catalog import image_size, image_tokens

sides = st.integers(1, 20_000)


@pytest.mark.parametrize(
    ("width", "height", "tokens"),
    [
        (512, 512, 256 + 2),
        (1344, 1344, 1764 + 2),
        (1920, 1080, 60 * 34 + 2),
        (256, 256, 64 + 2),
        (10, 10, 64 + 2),
        (4096, 4096, 2500 + 2),
    ],
)
def test_pictures_count_as_documented(width: int, height: int, tokens: int) -> None:
    assert image_tokens(width, height) == tokens


def test_the_caps_are_those_of_the_default_and_the_high_resolution_budget() -> None:
    assert image_tokens(8192, 8192) <= 2560 + 2
    assert image_tokens(4096, 4096, max_pixels=16_777_216) == 16_384 + 2


@given(width=sides, height=sides)
def test_a_picture_is_scaled_into_its_budget_on_the_grid(width: int, height: int) -> None:
    w, h = image_size(width, height)

    assert w % 32 == h % 32 == 0
    if max(width, height) / min(width, height) <= 200:
        assert w * h <= 2_621_440
        assert w * h >= 65_536 or (w, h) == (round(width / 32) * 32, round(height / 32) * 32)


@given(width=sides, height=sides)
def test_turning_a_picture_changes_nothing(width: int, height: int) -> None:
    assert image_size(width, height) == image_size(height, width)[::-1]


def test_a_picture_without_pixels_is_refused() -> None:
    with pytest.raises(ValueError, match="0 × 10 pixels has no content"):
        image_size(0, 10)
