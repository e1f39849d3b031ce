"""Pictures made ready: as they are where that will do, else upright, within the budgets, and without metadata."""

import io
import math
import struct
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import PIL
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow
from PIL import ImageDraw

from qwennb.catalog import Images
from qwennb.endpoints.media import scale_size
from qwennb.endpoints.media.metadata import orientation, without_metadata
from qwennb.endpoints.media.picture import prepare_image
from qwennb.errors import MediaError
from qwennb.request import Image

EVERY = ("png", "jpeg", "webp", "gif", "bmp", "tiff")
FEW = ("png", "jpeg")
FORMS = {**{kind: kind.upper() for kind in EVERY}, "avif": "AVIF"}
GPS = {1: "N", 2: (48.0, 51.0, 29.0), 3: "E", 4: (2.0, 17.0, 40.0)}
CORNERS = [(255, 0, 0), (0, 160, 0), (0, 0, 255), (255, 255, 0)]  # clockwise from the top left


def takes(formats=FEW, **limits):
    return Images(forms=("base64",), formats=formats, **limits)


def encoded(picture, form, **options):
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def quarters(width=64, height=32):
    picture = Pillow.new("RGB", (width, height), CORNERS[0])
    half = (width // 2, height // 2)
    picture.paste(CORNERS[1], (half[0], 0, width, half[1]))
    picture.paste(CORNERS[2], (*half, width, height))
    picture.paste(CORNERS[3], (0, half[1], half[0], height))
    return picture


def corners(data):
    picture = Pillow.open(io.BytesIO(data)).convert("RGB")
    wide, high = picture.size
    at = [
        (wide // 8, high // 8),
        (wide * 7 // 8, high // 8),
        (wide * 7 // 8, high * 7 // 8),
        (wide // 8, high * 7 // 8),
    ]
    nearest = [min(CORNERS, key=lambda c: math.dist(c, picture.getpixel(point))) for point in at]
    return [CORNERS.index(colour) for colour in nearest]


def photograph(width=640, height=480, seed=1):
    noise = np.random.default_rng(seed).integers(0, 255, (height // 8, width // 8, 3), dtype=np.uint8)
    return Pillow.fromarray(noise).resize((width, height), Pillow.Resampling.BICUBIC)


def lying(turned):
    """A picture stored so that *turned* puts it upright again."""
    turn = Pillow.Transpose
    back = {2: turn.FLIP_LEFT_RIGHT, 3: turn.ROTATE_180, 4: turn.FLIP_TOP_BOTTOM, 5: turn.TRANSPOSE, 6: turn.ROTATE_90,
            7: turn.TRANSVERSE, 8: turn.ROTATE_270}  # fmt: skip
    picture = quarters() if turned == 1 else quarters().transpose(back[turned])
    exif = Pillow.Exif()
    exif[0x0112] = turned
    return picture, exif


def located():
    exif = Pillow.Exif()
    exif[0x0110] = "Camera of Ada"
    exif.get_ifd(0x8825).update(GPS)
    return exif


def opened(picture):
    return Pillow.open(io.BytesIO(picture.data))


def prepared(content, images=None, **options):
    return prepare_image(Image(content, **options), images or takes(), "here")


# As it is


@pytest.mark.parametrize("kind", [kind for kind in EVERY if kind != "tiff"])
def test_what_needs_nothing_goes_through_byte_for_byte(kind):
    content = encoded(quarters(), FORMS[kind])
    picture = prepared(content, takes(EVERY))
    assert picture.data == content
    assert picture.mime == f"image/{kind}"
    assert picture.uri.startswith(f"data:image/{kind};base64,")


def test_heic_goes_through_where_it_is_read_and_is_refused_elsewhere():
    content = b"\0\0\0\x18ftypheic" + bytes(64)
    assert prepared(content, takes(("heic",))).data == content
    with pytest.raises(MediaError, match=r"is HEIC, which here does not take.*save it as JPEG"):
        prepared(content)
    with pytest.raises(MediaError, match="is HEIC"):
        prepared(content, takes(("heic",), base64_bytes=64))


@pytest.mark.parametrize("kind", sorted(set(FORMS) - set(FEW)))
def test_a_format_that_is_not_read_there_is_converted(kind):
    picture = prepared(encoded(quarters(), FORMS[kind]))
    assert picture.mime in ("image/png", "image/jpeg")
    assert opened(picture).size == (64, 32)
    assert corners(picture.data) == [0, 1, 2, 3]


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "YCbCr", "LAB", "I;16"])
def test_a_picture_of_any_mode_can_be_sent(mode):
    made = (
        Pillow.fromarray((np.arange(800, dtype=np.uint16) * 80).reshape(20, 40)) if mode == "I;16" else None
    )
    if mode == "YCbCr" and int(PIL.__version__.partition(".")[0]) < 13:
        pytest.skip("Pillow before 13 can't read such a TIFF that it wrote itself")
    content = encoded(made or quarters(40, 20).convert(mode), "TIFF")
    assert opened(prepared(content)).mode in ("L", "RGB", "RGBA")


def test_sixteen_bits_are_scaled_and_not_clipped():
    deep = Pillow.fromarray((np.arange(64, dtype=np.uint16) * 1000).reshape(8, 8))
    assert opened(prepared(encoded(deep, "TIFF"))).getextrema() == (0, 246)


def test_only_the_first_picture_of_many_is_looked_at():
    frames = [Pillow.new("P", (50, 50), i % 7) for i in range(300)]
    content = encoded(frames[3], "GIF", save_all=True, append_images=frames)
    assert opened(prepared(content)).n_frames == 1


# Upright


@pytest.mark.parametrize("turned", range(1, 9))
@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "tiff"])
@pytest.mark.parametrize("budget", [64 * 32, 32 * 32])
def test_every_orientation_ends_upright(kind, turned, budget):
    stored, exif = lying(turned)
    content = encoded(stored, FORMS[kind], exif=exif, **({"quality": 95} if kind == "jpeg" else {}))
    assert orientation(kind, content) == turned
    picture = prepared(content, takes(EVERY), max_pixels=budget)
    assert corners(picture.data) == [0, 1, 2, 3]
    assert opened(picture).size == ((64, 32) if budget == 64 * 32 else (32, 22))
    assert opened(picture).getexif().get(0x0112, 1) == 1


@pytest.mark.parametrize("junk", [0, 9, 65535])
def test_an_orientation_that_means_nothing_is_upright(junk):
    exif = Pillow.Exif()
    exif[0x0112] = junk
    assert orientation("jpeg", encoded(quarters(), "JPEG", exif=exif)) == 1


@given(st.sampled_from(["jpeg", "png", "webp", "tiff", "gif"]), st.binary(max_size=120), st.integers(0, 200))
def test_metadata_of_any_damage_is_read_or_left(kind, junk, at):
    content = (
        encoded(quarters(), FORMS[kind], exif=located()) if kind != "gif" else encoded(quarters(), "GIF")
    )
    damaged = content[:at] + junk + content[at + len(junk) :]
    assert 1 <= orientation(kind, damaged) <= 8
    without_metadata(kind, damaged)


# Where it was taken


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "tiff", "avif"])
@pytest.mark.parametrize("max_pixels", [None, 1024], ids=["as it is", "scaled"])
def test_the_place_where_a_photograph_was_taken_never_leaves(kind, max_pixels):
    content = encoded(quarters(), FORMS[kind], exif=located())
    assert b"Ada" in content
    picture = prepared(content, takes(EVERY), max_pixels=max_pixels)
    assert b"Ada" not in picture.data
    assert not opened(picture).getexif().get_ifd(0x8825)
    assert corners(picture.data) == [0, 1, 2, 3]


def test_texts_and_comments_never_leave_either():
    for content in (
        encoded(quarters(), "JPEG", comment=b"by Ada"),
        encoded(quarters(), "JPEG", xmp=b"<x:xmpmeta>Ada</x:xmpmeta>"),
        encoded(quarters(), "JPEG") + encoded(quarters(), "JPEG", comment=b"Ada"),
        encoded(quarters(), "PNG") + b"Ada",
        encoded(quarters(), "WEBP", xmp=b"<x:xmpmeta>Ada</x:xmpmeta>"),
    ):
        for max_pixels in (None, 1024):
            assert b"Ada" not in prepared(content, takes(EVERY), max_pixels=max_pixels).data


def test_cutting_metadata_out_changes_no_pixel():
    for kind in ("jpeg", "png"):
        content = encoded(photograph(), FORMS[kind], exif=located(), icc_profile=b"a colour profile")
        bare = prepared(content, takes(EVERY)).data
        assert len(bare) < len(content)
        assert opened(prepared(content, takes(EVERY))).tobytes() == Pillow.open(io.BytesIO(content)).tobytes()
        assert b"profile" in bare if kind == "jpeg" else True


def test_a_progressive_jpeg_is_whole_to_its_last_scan():
    content = encoded(photograph(), "JPEG", progressive=True, exif=located())
    assert opened(prepared(content)).tobytes() == Pillow.open(io.BytesIO(content)).tobytes()


# Size


sides = st.integers(1, 9000)


@given(sides, sides, st.integers(1, 20_000_000))
def test_a_size_is_never_above_the_budget_and_never_above_its_own(width, height, budget):
    wide, high = scale_size(width, height, budget)
    assert wide * high <= budget or (wide, high) == (1, 1)
    assert 1 <= wide <= width
    assert 1 <= high <= height
    if width * height <= budget:
        assert (wide, high) == (width, height)


@given(sides, sides, st.integers(200_000, 20_000_000))
def test_a_scaled_side_lies_on_the_grid_and_keeps_the_proportions_within_one_square(width, height, budget):
    wide, high = scale_size(width, height, budget)
    if width * height > budget:
        shrink = math.sqrt(budget / (width * height))
        for side, whole in ((wide, width), (high, height)):
            assert side % 32 == 0 or side < 32
            assert 0 <= whole * shrink - side < 32 or side == 1


def test_a_photograph_of_twelve_megapixels_uses_the_budget_and_no_more():
    assert scale_size(4000, 3000, 2_621_440) == (1856, 1376)


@given(st.integers(1, 300), st.integers(1, 300), st.integers(64, 40_000))
def test_what_is_sent_has_the_size_that_was_worked_out(width, height, budget):
    picture = Pillow.new("RGB", (width, height), "red")
    images = takes(max_aspect=1000)
    assert opened(prepared(encoded(picture, "PNG"), images, max_pixels=budget)).size == scale_size(
        width, height, budget
    )


def test_a_users_budget_replaces_the_models_up_to_the_hard_limit():
    images = takes(max_pixels=10_000, hard_pixels=40_000)
    content = encoded(photograph(400, 300), "JPEG")
    sizes = [opened(prepared(content, images, max_pixels=most)).size for most in (None, 5_000, 30_000, 10**9)]
    assert sizes == [scale_size(400, 300, most) for most in (10_000, 5_000, 30_000, 40_000)]


@pytest.mark.slow
def test_a_very_large_picture_is_sent_only_as_jpeg_or_png():
    content = encoded(Pillow.new("L", (4000, 2100)), "WEBP")
    assert prepared(content, takes(EVERY, max_pixels=10**7)).mime == "image/png"


@pytest.mark.parametrize(
    ("size", "said"),
    [((5, 500), "at least 11 pixels a side"), ((11, 2300), "a long side of at most 200 short ones")],
)
def test_a_shape_that_is_refused_there_is_refused_here(size, said):
    with pytest.raises(MediaError, match=said):
        prepared(encoded(Pillow.new("L", size), "PNG"), takes(min_side=11))


# Drawn or photographed


def test_what_is_drawn_becomes_png_and_what_is_photographed_jpeg():
    drawing = Pillow.new("RGB", (300, 200), "white")
    ImageDraw.Draw(drawing).text((20, 20), "Revenue", fill="black", font_size=40)
    assert prepared(encoded(drawing, "BMP")).mime == "image/png"
    assert prepared(encoded(photograph(), "BMP")).mime == "image/jpeg"
    assert prepared(encoded(drawing, "JPEG"), max_pixels=9000).mime == "image/jpeg"
    assert prepare_image(Image(drawing), takes(), "here").mime == "image/png"
    assert prepare_image(Image(photograph()), takes(), "here").mime == "image/jpeg"


def test_a_drawing_without_loss_keeps_every_pixel():
    pixels = np.kron(np.random.default_rng(2).integers(0, 2, (20, 30)), np.ones((4, 4))).astype(bool)
    assert (
        np.asarray(opened(prepare_image(Image(pixels), takes(), "here")).convert("L")) == pixels * 255
    ).all()


@pytest.mark.slow
def test_transparency_is_kept_and_an_opaque_alpha_dropped():
    see_through = photograph().convert("RGBA")
    assert opened(prepared(encoded(see_through, "TIFF"))).mode == "RGB"
    see_through.putalpha(100)
    assert opened(prepared(encoded(see_through, "TIFF"))).mode == "RGBA"
    assert opened(prepared(encoded(see_through, "TIFF"))).getpixel((0, 0))[3] == 100
    by_palette = quarters().convert("P")
    assert (
        opened(prepared(encoded(by_palette, "GIF", transparency=by_palette.getpixel((0, 0))))).mode == "RGBA"
    )


def test_transparency_becomes_white_where_no_png_is_read():
    see_through = Pillow.new("RGBA", (40, 40), (0, 0, 0, 0))
    picture = prepared(encoded(see_through, "PNG"), takes(("jpeg",)))
    assert picture.mime == "image/jpeg"
    assert opened(picture).getpixel((20, 20)) == (255, 255, 255)


# Bytes


@pytest.mark.parametrize("limit", [400_000, 60_000, 12_000, 3_000])
@pytest.mark.parametrize("alpha", [None, 100])
def test_the_limit_on_base64_is_kept_by_quality_first_and_size_last(limit, alpha):
    picture = photograph(600, 400)
    if alpha:
        picture.putalpha(alpha)
    sent = prepare_image(Image(picture), takes(base64_bytes=limit), "here")
    assert len(sent.uri) <= limit
    assert opened(sent).size[0] <= 600
    if limit == 400_000 and not alpha:
        assert opened(sent).size == (600, 400)


def test_a_file_that_is_too_long_only_by_its_bytes_keeps_its_pixels():
    content = encoded(photograph(), "JPEG", quality=98)
    sent = prepared(content, takes(base64_bytes=len(content)))
    assert len(sent.data) < len(content) * 3 / 4
    assert opened(sent).size == (640, 480)


def test_a_limit_that_nothing_can_meet_is_said():
    with pytest.raises(MediaError, match="can't be made small enough for here"):
        prepare_image(Image(photograph()), takes(base64_bytes=100), "here")


# Bombs, and files that are broken


def png_claiming(width, height):
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    chunks = b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b""))
    )
    return b"\x89PNG\r\n\x1a\n" + chunks


def test_a_pixel_bomb_is_refused_with_its_numbers_before_it_is_decoded():
    with pytest.raises(MediaError, match=r"60000×60000, 3,600 megapixels; at most 89"):
        prepared(png_claiming(60_000, 60_000), takes(EVERY))
    gif = bytearray(encoded(quarters(), "GIF"))
    gif[6:10] = struct.pack("<HH", 60_000, 60_000)
    with pytest.raises(MediaError, match="3,600 megapixels"):
        prepared(bytes(gif))
    bmp = bytearray(encoded(quarters(), "BMP"))
    bmp[18:26] = struct.pack("<ii", 60_000, -60_000)
    with pytest.raises(MediaError, match="3,600 megapixels"):
        prepared(bytes(bmp))
    tiff = encoded(Pillow.new("L", (1, 1)), "TIFF")
    tiff = tiff.replace(struct.pack("<HHIHH", 256, 3, 1, 1, 0), struct.pack("<HHII", 256, 4, 1, 60_000))
    tiff = tiff.replace(struct.pack("<HHIHH", 257, 3, 1, 1, 0), struct.pack("<HHII", 257, 4, 1, 60_000))
    tiff = tiff.replace(struct.pack("<HHII", 256, 4, 1, 1), struct.pack("<HHII", 256, 4, 1, 60_000))
    tiff = tiff.replace(struct.pack("<HHII", 257, 4, 1, 1), struct.pack("<HHII", 257, 4, 1, 60_000))
    with pytest.raises(MediaError, match="3,600 megapixels"):
        prepared(tiff)


@pytest.mark.parametrize("kind", [*EVERY, "avif"])
@pytest.mark.parametrize("share", [0.95, 0.5, 0.1])
def test_a_file_that_breaks_off_is_refused_wherever_it_would_go(kind, share):
    content = encoded(photograph(160, 120), FORMS[kind])
    broken = content[: max(64, int(len(content) * share))]
    with pytest.raises(MediaError) as raised:
        prepared(broken, takes(EVERY))
    assert "\n" not in str(raised.value)


@given(st.sampled_from([*EVERY, "avif"]), st.integers(20, 3000), st.binary(min_size=1, max_size=40))
@pytest.mark.slow
def test_a_damaged_file_is_sent_or_refused_in_one_sentence(kind, at, junk):
    content = encoded(quarters(), FORMS[kind])
    try:
        prepared(content[:at] + junk + content[at + len(junk) :], takes(()))
    except MediaError as error:
        assert "\n" not in str(error)


def test_measurements_are_not_taken_for_shades():
    content = encoded(Pillow.fromarray(np.ones((20, 20), np.float32)), "TIFF")
    with pytest.raises(MediaError, match="holds measurements"):
        prepared(content)


def test_a_picture_without_bytes_names_its_hash():
    image = Image.from_json(Image(encoded(quarters(), "PNG")).to_json())
    with pytest.raises(MediaError, match=image.digest):
        prepare_image(image, takes(), "here")


# Memory and speed


def test_a_picture_that_was_prepared_is_not_prepared_again():
    image = Image(photograph(seed=7))
    assert prepare_image(image, takes(), "here") is prepare_image(Image(photograph(seed=7)), takes(), "here")
    assert prepare_image(image, takes(max_pixels=9000), "here") is not prepare_image(image, takes(), "here")


@pytest.mark.slow
def test_photographs_of_twelve_megapixels_take_half_the_work_of_a_plain_loop():
    grain = np.random.default_rng(1).normal(0, 4, (3000, 4000, 1)).astype(np.int16)
    scene = np.asarray(photograph(4000, 3000)).astype(np.int16)
    photos = [
        encoded(Pillow.fromarray(np.clip(scene + grain + shade, 0, 255).astype(np.uint8)), "JPEG", quality=90)
        for shade in range(12)
    ]
    size = scale_size(4000, 3000, 2_621_440)

    def plain(content):
        picture = Pillow.open(io.BytesIO(content)).resize(size, Pillow.Resampling.LANCZOS)
        return encoded(picture, "JPEG", quality=90)

    def ours(content):
        return prepared(content, takes(max_pixels=2_621_440, base64_bytes=10_485_760))

    def rates(prepare, some):
        began, worked = time.perf_counter(), time.process_time()
        list(pool.map(prepare, some))
        return len(some) / (time.perf_counter() - began), (time.process_time() - worked) / len(some)

    with ThreadPoolExecutor(2) as pool:
        # In turns, so that a busy moment of the machine falls on both; and judged by the work of the processor, since
        # the clock also counts what other processes take from us.
        rounds = [(rates(ours, photos[i : i + 2]), rates(plain, photos[i : i + 2])) for i in range(0, 12, 2)]
    mine, theirs = (
        [max(rate for rate, _ in runs), sum(work for _, work in runs)] for runs in zip(*rounds, strict=True)
    )
    print(f"12-megapixel photographs a second: {mine[0]:.1f}, plain loop {theirs[0]:.1f}")
    print(f"processor time of the plain loop: {theirs[1] / mine[1]:.2f} times as much")
    assert theirs[1] >= 2 * mine[1]
