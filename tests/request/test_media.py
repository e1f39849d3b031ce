"""What a user can give as an image, a video or a PDF, and what it is called in the key."""

import base64
import hashlib
import io
import os
import subprocess
import sys
from dataclasses import FrozenInstanceError

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image as Pillow

from qwennb.errors import MediaError
from qwennb.request import Image, Pdf, Request, Video, media_from_json, recognise, user_message
from qwennb.request.request import Message

SHADES = np.arange(20 * 30 * 3, dtype=np.uint8).reshape(20, 30, 3)
PDF = b"%PDF-1.4\n%%EOF"
MP4 = b"\0\0\0\x20ftypisom" + bytes(40)
KINDS = {"png": "PNG", "jpeg": "JPEG", "webp": "WEBP", "gif": "GIF", "bmp": "BMP", "tiff": "TIFF"}


def encoded(form="PNG", picture=None, **options):
    file = io.BytesIO()
    (picture or Pillow.fromarray(SHADES)).save(file, form, **options)
    return file.getvalue()


def chart(title="sales"):
    figure = Figure(figsize=(3, 2))
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.set_facecolor("lightyellow")
    axes.plot([1, 3, 2])
    axes.set_title(title)
    return figure


# What it is


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_is_known_by_its_first_bytes_and_measured_without_decoding(kind, tmp_path):
    path = tmp_path / "picture.txt"
    path.write_bytes(encoded(KINDS[kind]))
    image = Image(path)
    assert (image.kind, image.size) == (kind, (30, 20))
    assert image.digest == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("options", [{"lossless": True}, {"exif": b"Exif\0\0MM\0*"}, {}])
def test_every_form_of_webp_is_measured(options):
    assert Image(encoded("WEBP", **options)).size == (30, 20)


@pytest.mark.parametrize(
    "options", [{"progressive": True}, {"exif": b"Exif\0\0MM\0*"}, {"comment": b"x" * 999}]
)
def test_every_form_of_jpeg_is_measured(options):
    assert Image(encoded("JPEG", **options)).size == (30, 20)


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"\0\0\0\x20ftypisom", "mp4"),
        (b"\0\0\0\x14ftypqt  ", "mov"),
        (b"\0\0\0\x08wide\0\0\0\0mdat", "mov"),
        (b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\x82\x84webm", "webm"),
        (b"\x1a\x45\xdf\xa3\xa3\x42\x82\x88matroska", "mkv"),
        (b"\0\0\1\xba\x44", "mpeg"),
        (b"RIFF\0\0\0\0AVI LIST", "avi"),
    ],
)
def test_a_video_is_known_by_its_first_bytes(start, kind):
    assert Video(start + bytes(64)).kind == kind


@pytest.mark.parametrize("brand", [b"heic", b"heix", b"mif1"])
def test_heic_is_recognised_and_its_size_left_untold(brand):
    image = Image(b"\0\0\0\x18ftyp" + brand + bytes(64))
    assert (image.kind, image.size) == ("heic", None)


def test_files_are_told_apart_by_what_they_are(tmp_path):
    (tmp_path / "a.png").write_bytes(PDF)
    (tmp_path / "b").write_bytes(encoded())
    assert isinstance(recognise(tmp_path / "a.png"), Pdf)
    assert isinstance(recognise(str(tmp_path / "b")), Image)
    assert isinstance(recognise(MP4), Video)
    assert isinstance(recognise(SHADES), Image)
    assert isinstance(recognise([SHADES, SHADES]), Video)
    pdf = Pdf(PDF)
    assert recognise(pdf) is pdf


@given(st.binary(max_size=200))
def test_any_bytes_are_recognised_or_refused_in_one_sentence(data):
    try:
        medium = recognise(data)
    except MediaError as error:
        assert "\n" not in str(error)
    else:
        assert medium.digest == hashlib.sha256(data).hexdigest()
        repr(medium)


@given(st.sampled_from(sorted(KINDS)), st.integers(18, 400), st.binary(max_size=30))
def test_a_damaged_header_is_measured_or_not_but_never_fails(kind, at, junk):
    whole = encoded(KINDS[kind])
    size = Image(whole[:at] + junk + whole[at + len(junk) :]).size
    assert size is None or all(side > 0 for side in size)


# What can be given


def test_a_data_uri_stands_for_its_bytes():
    data = encoded()
    assert Image("data:image/png;base64," + base64.b64encode(data).decode()) == Image(data)


def test_buffers_of_every_kind_are_read():
    assert Image(bytearray(encoded())) == Image(memoryview(encoded())) == Image(encoded())


def test_a_home_folder_is_understood(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded())
    code = "from qwennb.request import Image; print(Image('~/a.png').kind)"
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "HOME": str(tmp_path)},
        capture_output=True,
        check=True,
    )
    assert ran.stdout == b"png\n"


def test_bytes_are_read_once_so_that_a_later_change_of_the_file_changes_nothing(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(encoded())
    image = Image(path)
    path.write_bytes(encoded("GIF"))
    assert hashlib.sha256(image.content()).hexdigest() == image.digest


def test_an_image_of_an_image_keeps_its_options_unless_others_are_given():
    image = Image(encoded(), max_pixels=100, detail="low")
    assert Image.of(image) is image
    assert Image(image) == image
    assert Image(image, max_pixels=200) == Image(encoded(), max_pixels=200, detail="low")
    video, pdf = Video(MP4, fps=2, max_pixels=9), Pdf(PDF, pages=[1, 2], max_pixels=9)
    assert Video(video) == video
    assert Pdf(pdf, pages=[3]) == Pdf(PDF, pages=[3], max_pixels=9)
    assert Video(Video([SHADES], fps=1), fps=2).frames == (Image(SHADES),)


def test_values_are_frozen_hashable_and_say_little():
    image = Image(encoded())
    with pytest.raises(FrozenInstanceError):
        image.max_pixels = 3
    assert len({image, Image(encoded()), Image(encoded(), detail="high")}) == 2
    assert repr(image) == f"<Image png 30×20 sha256:{image.digest[:8]}…>"
    assert repr(Video(MP4)).startswith("<Video mp4 52 bytes sha256:")
    assert repr(Image("https://example.org/a.png?token=s3cret")) == "<Image https://example.org/a.png>"


def test_telling_things_apart_imports_no_library():
    code = (
        "import sys; from qwennb.request import Image, Video, Pdf\n"
        f"Image({encoded()!r}).size; Pdf({PDF!r}); Video({MP4!r})\n"
        "try: Image(object())\nexcept ValueError: pass\n"
        "print([m for m in ('PIL', 'numpy', 'matplotlib', 'av', 'pypdfium2') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"[]\n"


# Pixels


def test_the_same_pixels_are_the_same_image_whatever_held_them():
    rgba = np.dstack([SHADES, np.full((20, 30), 255, np.uint8)])
    image = Image(SHADES)
    assert image == Image(rgba) == Image(Pillow.fromarray(SHADES)) == Image(Pillow.fromarray(rgba))
    assert image == Image(np.asfortranarray(SHADES)) == Image(SHADES.astype(np.float64) / 255)
    assert image != Image(SHADES[::-1])
    assert image != Image(SHADES.reshape(30, 20, 3))
    assert image.data == rgba.tobytes()


def test_a_picture_without_colour_is_grey_and_a_mask_black_and_white():
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert Image(grey) == Image(np.dstack([grey] * 3)) == Image(Pillow.fromarray(grey))
    mask = grey % 2 == 0
    assert Image(mask) == Image(mask.astype(np.uint8) * 255)


def test_sixteen_bits_are_scaled_and_not_clipped():
    deep = (np.arange(6, dtype=np.uint16) * 10_000).reshape(2, 3)
    assert Image(Pillow.fromarray(deep)) == Image((deep >> 8).astype(np.uint8))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_that_lies_on_its_side_is_turned_upright(orientation):
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    turned = Pillow.open(io.BytesIO(encoded(exif=exif)))
    assert Image(turned).size == ((30, 20) if orientation < 5 else (20, 30))
    assert (Image(turned) == Image(SHADES)) == (orientation == 1)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((2, 2, 2), np.uint8),
        np.zeros((2, 2, 1), np.uint8),
        np.zeros(4, np.uint8),
        np.zeros((0, 3), np.uint8),
        np.zeros((2, 2), np.int64),
        np.zeros((2, 2), complex),
        np.array([["a"]]),
        np.full((2, 2), 1.5),
        np.full((2, 2), np.nan),
        np.full((2, 2), -0.1),
    ],
)
def test_an_array_that_is_no_picture_is_refused_with_what_would_be_one(array):
    with pytest.raises(MediaError, match=r"height × width|between 0 and 1"):
        Image(array)


def test_an_array_too_large_is_refused_before_anything_is_made_of_it():
    huge = np.broadcast_to(np.uint8(0), (60_000, 60_000))
    with pytest.raises(MediaError, match=r"60000×60000 \(3,600 megapixels\)"):
        Image(huge)


def test_a_figure_has_one_key_whatever_the_settings_for_saving_say():
    plain = Image(chart())
    with mpl.rc_context(
        {"savefig.dpi": 300, "savefig.bbox": None, "savefig.transparent": True, "savefig.pad_inches": 2}
    ):
        assert Image(chart()) == plain
    assert Image(chart("costs")) != plain
    figure = chart()
    assert Image(figure.axes[0]) == plain
    canvas = figure.canvas
    assert Image(figure) == plain
    assert figure.canvas is canvas


def test_axes_of_a_nested_figure_stand_for_the_whole_figure():
    figure = Figure(figsize=(3, 2))
    inner = figure.subfigures(1, 2)
    axes = inner[0].subplots()
    assert Image(axes) == Image(figure)


def test_pixels_are_kept_beside_a_pack_as_a_png_that_gives_them_back():
    transparent = np.dstack([SHADES, np.zeros((20, 30), np.uint8)])
    image = Image(transparent, max_pixels=50)
    ending, content = image.as_file()
    assert ending == "png"
    again = Image.from_json(image.to_json(), content)
    assert (again, again.data) == (image, image.data)
    assert Image(encoded("JPEG")).as_file() == ("jpeg", encoded("JPEG"))


# The key


def test_only_what_the_user_set_is_in_the_key():
    data = encoded()
    digest = hashlib.sha256(data).hexdigest()
    assert Image(data).to_json() == {"type": "image", "sha256": digest}
    assert Image(data, max_pixels=9, detail="low").to_json() == {
        "type": "image", "sha256": digest, "max_pixels": 9, "detail": "low",
    }  # fmt: skip
    assert Image("https://example.org/a.png").to_json() == {
        "type": "image",
        "url": "https://example.org/a.png",
    }
    assert Pdf(PDF, pages=range(2, 4)).to_json()["pages"] == [2, 3]
    assert Video(MP4, fps=0.5).to_json()["fps"] == 0.5
    assert repr(Video(MP4, fps=2.0).to_json()["fps"]) == "2"
    assert Video([data, data], fps=1).to_json() == {
        "type": "video", "frames": [{"type": "image", "sha256": digest}] * 2, "fps": 1,
    }  # fmt: skip


def test_the_name_of_the_file_is_not_in_the_key(tmp_path):
    for name in ("one.png", "two.png"):
        (tmp_path / name).write_bytes(encoded())
    one, two = Image(tmp_path / "one.png"), Image(tmp_path / "two.png")
    assert one == two
    assert "one" not in str(one.to_json())


def several():
    yield from (
        Image(encoded(), detail="high"),
        Image("https://example.org/a.png", max_pixels=5),
        Image(SHADES),
    )
    yield from (
        Video(MP4, fps=0.5),
        Video([SHADES, "https://example.org/a.png"], fps=2),
        Pdf(PDF, pages=[3, 1]),
    )


@pytest.mark.parametrize("medium", list(several()), ids=repr)
def test_a_medium_comes_back_from_a_record_equal_but_without_bytes(medium):
    again = media_from_json(medium.to_json())
    assert again == medium
    assert hash(again) == hash(medium)
    assert again.to_json() == medium.to_json()
    assert again.data is None


def test_asking_with_a_record_that_has_no_bytes_names_the_hash():
    image = Image(encoded())
    with pytest.raises(MediaError, match=image.digest):
        media_from_json(image.to_json()).content()


def test_the_key_of_a_request_is_the_same_after_its_pictures_were_forgotten():
    request = Request(
        "qwen3.5-plus", (Message("user", (Image(encoded()), Video([SHADES], fps=1), Pdf(PDF))),)
    )
    assert Request.from_json(request.canonical()).key == request.key


def test_a_record_takes_only_the_bytes_it_was_made_from():
    record = Image(encoded()).to_json()
    assert Image.from_json(record, encoded()).content() == encoded()
    with pytest.raises(MediaError, match="not the one"):
        Image.from_json(record, encoded("GIF"))
    with pytest.raises(MediaError, match="not the one"):
        Pdf.from_json(Pdf(PDF).to_json(), PDF + b" ")


@pytest.mark.parametrize(
    "record",
    [
        {"type": "image", "url": "/etc/hostname"},
        {"type": "image", "url": "file:///etc/hostname"},
        {"type": "image", "sha256": "/etc/hostname"},
        {"type": "image"},
        {"type": "image", "sha256": "0" * 64, "source": "/etc/hostname"},
        {"type": "image", "sha256": "0" * 64, "strange": 1},
        {"type": "video", "frames": [{"type": "image", "url": "/etc/hostname"}]},
        {"type": "pdf", "sha256": "0" * 64, "pages": ["x"]},
    ],
)
def test_nothing_in_a_record_is_taken_for_a_path(record):
    with pytest.raises(MediaError):
        media_from_json(record)


# Files


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"Dear Sir or Madam,\n", "starts like text"),
        ("über alles".encode(), "starts like text"),
        (PDF, r"starts like PDF\); give it as Pdf\(…\)"),
        (MP4, r"starts like MP4\); give it as Video\(…\)"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG.*save it as PNG"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"PK\3\4....", "a zip archive"),
        (b"\0\1\2\3", "nothing known"),
    ],
)
def test_a_file_that_is_no_image_is_told_what_it_is(content, said, tmp_path):
    path = tmp_path / "photo.png"
    path.write_bytes(content)
    with pytest.raises(MediaError, match=f"photo.png is not an image that can be read .*{said}") as raised:
        Image(path)
    assert "Dear" not in str(raised.value)


def test_odd_files_are_refused_without_waiting_for_them(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty").touch()
    (tmp_path / "link").symlink_to("/dev/zero")
    for path, said in [
        (tmp_path / "pipe", "a pipe or a device"),
        ("/dev/zero", "a pipe or a device"),
        (tmp_path / "link", "a pipe or a device"),
        (tmp_path, "is a folder"),
        (tmp_path / "empty", "is empty"),
        (tmp_path / "none.png", "there is no file"),
        ("a\0b", "can't be read"),
        ("x" * 5000, "can't be read: File name too long"),
        ("", "is a folder"),
    ]:
        with pytest.raises(MediaError, match=said) as raised:
            Image(path)
        assert len(str(raised.value)) < 250 + len(str(tmp_path))


def test_a_file_over_the_cap_is_refused_by_its_size_alone(tmp_path):
    with (tmp_path / "big.png").open("wb") as file:
        file.truncate(129 << 20)
    with pytest.raises(MediaError, match=r"has 129\.0 MB; at most 128\.0 MB is read"):
        Image(tmp_path / "big.png")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_says_so(tmp_path):
    (tmp_path / "a.png").touch(mode=0)
    with pytest.raises(MediaError, match="Permission denied"):
        Image(tmp_path / "a.png")


def test_names_that_were_not_typed_stay_in_their_folder(tmp_path):
    root, outside = tmp_path / "photos", tmp_path / "secret.png"
    (root / "deep").mkdir(parents=True)
    (root / "deep" / "a.png").write_bytes(encoded())
    outside.write_bytes(encoded())
    (root / "way-out.png").symlink_to(outside)
    (root / "near.png").symlink_to(root / "deep" / "a.png")
    assert Image.under(root, "deep/a.png", max_pixels=9) == Image(encoded(), max_pixels=9)
    assert Image.under(root, "near.png") == Image(encoded())
    for name in (
        "../secret.png",
        str(outside),
        "way-out.png",
        "deep/../../secret.png",
        "..",
        "",
        ".",
        "~/x",
        "a\0b",
    ):
        with pytest.raises(MediaError):
            Image.under(root, name)
    for name in ("../secret.png", str(outside), "way-out.png", "a\0b"):
        with pytest.raises(MediaError, match="outside the folder"):
            Image.under(root, name)


def test_nothing_is_opened_but_the_path_that_was_given(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(encoded())
    code = f"""
import sys
from qwennb.request import Image, media_from_json
from qwennb.errors import MediaError
seen = []
sys.addaudithook(lambda event, args: seen.append((event, str(args[0]))) if event == "open" or "socket" in event else None)
Image({str(path)!r}).size
for refused in ("https://example.org/a.png", "http://169.254.169.254/a", "file:///etc/passwd", "/dev/zero", "\\\\\\\\host\\\\a"):
    try: Image(refused)
    except MediaError: pass
for name in ("/etc/passwd", "../../etc/passwd"):
    try: Image.under({str(tmp_path)!r}, name)
    except MediaError: pass
try: media_from_json({{"type": "image", "url": "/etc/passwd"}})
except MediaError: pass
assert not any("socket" in event for event, _ in seen), seen
print({{what for _, what in seen if not what.isdigit()}} == {{{str(path)!r}}}, seen)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert ran.stdout.startswith("True"), ran.stdout


# URLs and options


@pytest.mark.parametrize(
    ("url", "medium"),
    [
        ("https://example.org/a.pdf", Pdf),
        ("https://example.org/A.PDF?page=2#x", Pdf),
        ("https://example.org/a.b/report.pdf", Pdf),
        ("https://example.org/a.mp4", Video),
        ("https://example.org/a.MOV?x=b.pdf", Video),
        ("https://example.org/a.png", Image),
        ("https://example.org/a.jpg", Image),
        ("https://example.org/pdf.jpeg", Image),
    ],
)
def test_what_a_file_at_a_url_is_is_told_by_its_ending(url, medium):
    assert type(recognise(url)) is medium
    assert recognise(url).url == url


@pytest.mark.parametrize(
    "url",
    ["https://example.org/", "https://example.org/a", "https://example.org/get?file=a.pdf", "https://pdf", "https://a.pdf",
     "https://example.org/a.pdf/", "https://example.org/report.docx"],
)  # fmt: skip
def test_a_file_at_a_url_that_does_not_tell_what_it_is_is_refused_with_what_to_type(url):
    with pytest.raises(MediaError, match=r"Image\(url\), Video\(url\) or Pdf\(url\)"):
        recognise(url)
    assert recognise(Pdf(url)).url == url


@pytest.mark.parametrize(
    ("option", "url", "told"),
    [
        (
            "images",
            "https://example.org/a.pdf",
            r"a\.pdf is no Image by its ending; give it in files=.*Image\(url\)",
        ),
        ("images", "https://example.org/a.mp4", r"is no Image by its ending; give it in videos="),
        (
            "videos",
            "https://example.org/a.pdf?page=1",
            r"a\.pdf is no Video by its ending; give it in files=",
        ),
        ("videos", "https://example.org/a.png", r"is no Video by its ending; give it in images="),
    ],
)
def test_a_url_that_says_by_its_ending_that_it_is_something_else_is_refused(option, url, told):
    with pytest.raises(MediaError, match=told):
        user_message("What is this?", **{option: [url]})
    medium = Image if option == "images" else Video
    assert user_message("What is this?", **{option: [medium(url)]}).media[0].url == url


@pytest.mark.parametrize(
    "url",
    ["https://example.org/a.png?x=1#y", "http://localhost:8000/a", "http://127.0.0.1/a", "http://[::1]/a"],
)
def test_a_url_is_kept_as_its_text(url):
    image = Image(url)
    assert (image.url, image.kind, image.data, image.size) == (url, "url", None, None)
    with pytest.raises(MediaError, match="never fetched"):
        image.content()


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/a.png",
        "ftp://example.org/a.png",
        "file:///etc/passwd",
        "oss://bucket/a.png",
        "https://user:secret@example.org/a.png",
        "https://",
        "https://example.org/a b.png",
        "https://example.org/ü.png",
        "https://example.org/\n",
        "https://[::1",
        "https://example.org:99999/",
        "http://127.0.0.1.example.org/",
    ],
)
def test_a_url_that_may_not_stand_in_a_request_is_refused(url):
    with pytest.raises(MediaError) as raised:
        Image(url)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("uri", ["data:image/png;base64,###", "data:image/png,abc", "data:"])
def test_a_broken_data_uri_is_refused(uri):
    with pytest.raises(MediaError, match="data: URI"):
        Image(uri)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Image(encoded(), max_pixels=0),
        lambda: Image(encoded(), max_pixels=True),
        lambda: Image(encoded(), max_pixels="big"),
        lambda: Image(encoded(), max_pixels=2.5),
        lambda: Image(encoded(), detail="huge"),
        lambda: Video(MP4, fps=0),
        lambda: Video(MP4, fps=float("nan")),
        lambda: Video(MP4, fps="2"),
        lambda: Video([]),
        lambda: Pdf(PDF, pages=[]),
        lambda: Pdf(PDF, pages=[0]),
        lambda: Pdf(PDF, pages=[1, 1]),
        lambda: Pdf(PDF, pages="1-3"),
        lambda: Pdf(PDF, pages=3),
        lambda: Image(None),
        lambda: Image({"url": "x"}),
        lambda: Video(SHADES),
        lambda: Pdf(encoded()),
    ],
)
def test_an_option_or_a_thing_that_makes_no_sense_is_refused_in_one_sentence(make):
    with pytest.raises(MediaError) as raised:
        make()
    assert "\n" not in str(raised.value)
    assert ";" in str(raised.value) or "such as" in str(raised.value) or "needs" in str(raised.value)
