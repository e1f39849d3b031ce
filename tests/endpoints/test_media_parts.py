"""How each kind of server is shown a picture, a video and a PDF."""

import base64
import io
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image as Pillow

from qwennb.catalog import Catalog, Images
from qwennb.endpoints.media import MediaLimits, prepare
from qwennb.errors import MediaError
from qwennb.request import Image, Pdf, Video
from tests.endpoints.test_media_pdf import paper
from tests.endpoints.test_media_video import CLIP, clip

CATALOG = Catalog.load_bundled()
HOSTED = ("openrouter", "dashscope", "dashscope-intl", "dashscope-us")
OWN = ("vllm", "sglang", "mlx-vlm", "llama.cpp", "ollama", "lmstudio", "local")
PICTURE = Pillow.new("RGB", (64, 32), "red")
URL = "https://example.org/a"
ROOT = str(Path(__file__).parents[2])


def limits(endpoint):
    model = "qwen3.5-plus" if endpoint in HOSTED else "qwen3.5-9b"
    return MediaLimits.of(CATALOG.abilities(model, endpoint))


def only(parts):
    (part,) = parts
    return part


def content(uri):
    head, _, text = uri.partition(",")
    return head, base64.b64decode(text, validate=True)


def file_of(form):
    file = io.BytesIO()
    PICTURE.save(file, form)
    return file.getvalue()


# Images


@pytest.mark.parametrize("endpoint", HOSTED + OWN)
def test_every_server_is_shown_a_picture_as_a_data_uri(endpoint):
    part = only(prepare(Image(PICTURE), limits(endpoint)))
    assert part.keys() == {"type", "image_url"}
    assert part["image_url"].keys() == {"url"}
    head, data = content(part["image_url"]["url"])
    assert (part["type"], head) == ("image_url", "data:image/png;base64")
    assert Pillow.open(io.BytesIO(data)).size == (64, 32)


@pytest.mark.parametrize("endpoint", HOSTED + OWN)
def test_a_url_is_passed_on_as_it_is_or_refused_where_nobody_fetches_it(endpoint):
    if "url" in limits(endpoint).images.forms:
        assert prepare(Image(URL), limits(endpoint)) == [{"type": "image_url", "image_url": {"url": URL}}]
    else:
        with pytest.raises(
            MediaError, match=r"does not fetch .* neither does qwennb; download it and give the path"
        ):
            prepare(Image(URL), limits(endpoint))


def test_ollama_is_never_given_a_url():
    assert "url" not in limits("ollama").images.forms


def test_llama_cpp_is_never_given_webp():
    head, _ = content(only(prepare(Image(file_of("WEBP")), limits("llama.cpp")))["image_url"]["url"])
    assert head == "data:image/png;base64"
    head, _ = content(only(prepare(Image(file_of("WEBP")), limits("vllm")))["image_url"]["url"])
    assert head == "data:image/webp;base64"


def test_detail_goes_where_it_is_read_and_is_refused_elsewhere():
    image = Image(URL, detail="low")
    assert prepare(image, limits("openrouter")) == [
        {"type": "image_url", "image_url": {"url": URL, "detail": "low"}}
    ]
    with pytest.raises(MediaError, match="does not read detail="):
        prepare(image, limits("mlx-vlm"))


def test_a_pixel_budget_is_told_to_dashscope_and_used_by_us_elsewhere():
    large = Pillow.new("RGB", (640, 320), "red")
    told = only(prepare(Image(large, max_pixels=20_000), limits("dashscope")))
    assert told["max_pixels"] == 20_000
    assert only(prepare(Image(URL, max_pixels=10**9), limits("dashscope")))["max_pixels"] == 16_777_216
    for endpoint in ("dashscope", "vllm"):
        part = only(prepare(Image(large, max_pixels=20_000), limits(endpoint)))
        assert Pillow.open(io.BytesIO(content(part["image_url"]["url"])[1])).size == (192, 96)
    with pytest.raises(MediaError, match="can't be told max_pixels= for a URL; leave it out, or download"):
        prepare(Image(URL, max_pixels=20_000), limits("vllm"))


def test_a_model_that_sees_nothing_is_shown_nothing():
    blind = replace(limits("openrouter"), images=None, videos=None, pdf="pages")
    for medium in (Image(PICTURE), Video(CLIP), Video([PICTURE]), Pdf(paper(0))):
        with pytest.raises(MediaError, match="sees no pictures"):
            prepare(medium, blind)


def test_limits_follow_what_the_model_sees():
    blind = CATALOG.abilities("qwen3.5-plus", "openrouter")
    made = MediaLimits.of(replace(blind, modalities=frozenset({"text"})))
    assert (made.images, made.videos) == (None, None)
    assert made.endpoint == "qwen3.5-plus at openrouter"
    assert MediaLimits.of(blind, "llama.cpp").spelling.input_video


# Videos


def test_a_video_url_is_passed_on_with_what_the_server_reads_beside_it():
    plain = {"type": "video_url", "video_url": {"url": URL}}
    for endpoint in ("openrouter", "dashscope", "vllm", "sglang", "mlx-vlm"):
        assert prepare(Video(URL), limits(endpoint)) == [plain]
    assert prepare(Video(URL, fps=1, max_pixels=9000), limits("dashscope")) == [
        plain | {"fps": 1, "max_pixels": 9000}
    ]
    assert prepare(Video(URL, fps=1), limits("sglang")) == [
        {"type": "video_url", "video_url": {"url": URL, "fps": 1}}
    ]
    assert prepare(Video(URL), limits("llama.cpp")) == [{"type": "input_video", "input_video": {"url": URL}}]
    with pytest.raises(MediaError, match="can't be told fps= for a URL"):
        prepare(Video(URL, fps=1), limits("vllm"))
    with pytest.raises(MediaError, match="does not fetch the video"):
        prepare(Video(URL), limits("ollama"))


@pytest.mark.parametrize("endpoint", ["openrouter", "dashscope", "vllm", "sglang", "mlx-vlm"])
def test_a_small_video_goes_whole_where_it_may(endpoint):
    part = only(prepare(Video(CLIP), limits(endpoint)))
    assert part.keys() == {"type", "video_url"}
    assert content(part["video_url"]["url"]) == ("data:video/mp4;base64", CLIP)


def test_llama_cpp_takes_a_video_in_a_part_of_its_own():
    part = only(prepare(Video(CLIP), limits("llama.cpp")))
    assert part == {"type": "input_video", "input_video": {"data": base64.b64encode(CLIP).decode()}}


@pytest.mark.parametrize("endpoint", ["vllm", "openrouter", "ollama", "lmstudio", "mlx-vlm"])
def test_a_server_that_can_t_be_told_the_rate_is_shown_frames_as_pictures(endpoint):
    told, *frames = prepare(Video(CLIP, fps=1), limits(endpoint))
    assert told == {"type": "text", "text": "3 frames of a video in their order, 1 a second:"}
    assert [part["type"] for part in frames] == ["image_url"] * 3
    assert all(content(part["image_url"]["url"])[0] == "data:image/jpeg;base64" for part in frames)


def test_dashscope_takes_frames_as_one_list_with_their_rate():
    part = only(prepare(Video(clip(form="matroska")), limits("dashscope")))
    assert part.keys() == {"type", "video", "fps"}
    assert (part["type"], len(part["video"]), part["fps"]) == ("video", 6, 2)
    assert content(part["video"][0])[0] == "data:image/jpeg;base64"


def test_a_video_too_long_in_bytes_is_cut_into_frames():
    narrow = limits("dashscope")
    narrow = replace(narrow, videos=replace(narrow.videos, base64_bytes=len(CLIP)))
    assert only(prepare(Video(CLIP), narrow))["type"] == "video"


def test_a_video_shorter_than_dashscope_takes_is_refused_here():
    with pytest.raises(MediaError, match="at least 2 s"):
        prepare(Video(clip(seconds=1)), limits("dashscope"))


def test_a_list_of_images_is_a_video():
    frames = Video([PICTURE] * 4, fps=2)
    part = only(prepare(frames, limits("dashscope")))
    assert (part["type"], len(part["video"]), part["fps"]) == ("video", 4, 2)
    assert "fps" not in only(prepare(Video([PICTURE] * 4), limits("dashscope")))
    assert only(prepare(Video([URL] * 4), limits("dashscope")))["video"] == [URL] * 4
    told, *pictures = prepare(frames, limits("vllm"))
    assert told["text"] == "4 frames of a video in their order, 2 a second:"
    assert len(pictures) == 4
    assert prepare(Video([PICTURE]), limits("vllm"))[0]["text"] == "1 frame of a video:"


def test_a_list_too_short_or_too_long_is_refused():
    with pytest.raises(MediaError, match="at least 4 images"):
        prepare(Video([PICTURE] * 3), limits("dashscope"))
    with pytest.raises(MediaError, match="takes 250 in a request; leave some out"):
        prepare(Video([PICTURE] * 251), limits("dashscope"))
    assert len(only(prepare(Video([URL] * 251), limits("dashscope")))["video"]) == 251


@pytest.mark.parametrize("fps", [0.05, 11])
def test_a_rate_out_of_range_is_refused_with_the_range(fps):
    with pytest.raises(
        MediaError, match=r"out of range for qwen3.5-plus at dashscope, which takes 0\.1 to 10"
    ):
        prepare(Video(CLIP, fps=fps), limits("dashscope"))


# PDFs


def test_openrouter_takes_a_pdf_as_a_file_under_a_neutral_name(tmp_path):
    (tmp_path / "secret-merger.pdf").write_bytes(paper(0))
    part = only(prepare(Pdf(tmp_path / "secret-merger.pdf", as_="file"), limits("openrouter")))
    data = "data:application/pdf;base64," + base64.b64encode(paper(0)).decode()
    assert part == {"type": "file", "file": {"filename": "document.pdf", "file_data": data}}
    part = only(prepare(Pdf(URL), limits("openrouter")))
    assert part == {"type": "file", "file": {"filename": "document.pdf", "file_data": URL}}


def test_pages_of_a_pdf_at_a_url_can_t_be_chosen_by_anyone():
    with pytest.raises(MediaError, match="can't be told pages= for a URL"):
        prepare(Pdf(URL, pages=[1]), limits("openrouter"))


@pytest.mark.parametrize("endpoint", ["dashscope", *OWN])
def test_everyone_else_is_shown_the_pages(endpoint):
    parts = prepare(Pdf(paper(0, 0.5), as_="pictures"), limits(endpoint))
    assert [part["type"] for part in parts] == ["image_url"] * 2
    with pytest.raises(MediaError, match="takes no PDF as a file.*leave as_= out, and its text is sent"):
        prepare(Pdf(paper(0), as_="file"), limits(endpoint))
    with pytest.raises(MediaError, match="does not fetch"):
        prepare(Pdf(URL), limits(endpoint))


def test_a_pdf_of_too_many_pages_says_how_to_choose():
    with pytest.raises(
        MediaError, match=r"at most 100 as pictures, so choose some: Pdf\(…, pages=range\(1, 20\)\)"
    ):
        prepare(Pdf(paper(*[0] * 101), as_="pictures"), limits("dashscope"))


# All of them


@pytest.mark.slow
def test_preparing_opens_no_file_and_no_socket():
    code = f"""
import sys
sys.path.insert(0, {ROOT!r})
from tests.endpoints.test_media_parts import *
warm = [Image(PICTURE), Image(file_of("WEBP")), Video(CLIP, fps=1), Pdf(paper(0)), Image(file_of("TIFF")), Image(file_of("JPEG"))]
cold = [Image(URL), Image(Pillow.new("RGB", (65, 33))), Video(clip(seconds=2.5), fps=2), Pdf(paper(0.3, 0.2)),
        Image(file_of("TIFF"), max_pixels=1024), Image(file_of("JPEG"), max_pixels=1024), Video(URL)]
everyone = [limits(endpoint) for endpoint in HOSTED + OWN]
for medium in warm:
    for one in everyone:
        prepare(medium, one)
seen = []
sys.addaudithook(lambda event, args: seen.append((event, args)) if event in ("open", "os.open") or "socket" in event else None)
for medium in cold:
    for one in everyone:
        try: prepare(medium, one)
        except MediaError: assert medium.url
# What reads PDFs is a process, which is talked to over pipes.
print([one for one in seen if one[0] != "open" or not (isinstance(one[1][0], int) or one[1][0] == "/dev/null")])
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (ran.stdout, ran.returncode) == ("[]\n", 0), ran.stdout + ran.stderr


def test_a_picture_within_every_limit_is_sent_as_its_file_is():
    for endpoint in HOSTED + OWN:
        for form in ("PNG", "JPEG"):
            _, data = content(only(prepare(Image(file_of(form)), limits(endpoint)))["image_url"]["url"])
            assert data == file_of(form)


def test_the_limit_on_base64_counts_the_whole_string():
    narrow = replace(limits("dashscope"), images=Images(("base64",), ("png", "jpeg"), base64_bytes=2000))
    noise = Pillow.effect_noise((200, 200), 90)
    assert len(only(prepare(Image(noise), narrow))["image_url"]["url"]) <= 2000
