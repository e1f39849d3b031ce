"""Frames out of videos: which ones, how many, which way up."""

import io
import struct
import subprocess
import sys

import av
import numpy as np
import pytest
from PIL import Image as Pillow

from qwennb.catalog import Images, Videos
from qwennb.endpoints.media.video import check_length, sample
from qwennb.errors import MediaError
from qwennb.request import Video

IMAGES = Images(forms=("base64",), formats=("png", "jpeg"))
VIDEOS = Videos(forms=("frames",), formats=())


def clip(seconds=3.0, fps=10, size=(64, 48), codec="libx264", form="mp4", gop=12, sound=False):
    """A video that grows brighter: its first frame is black, its last nearly white."""
    file = io.BytesIO()
    with av.open(file, "w", format=form) as container:
        stream = container.add_stream(codec, rate=fps)
        stream.width, stream.height = size
        stream.pix_fmt, stream.gop_size = "yuv420p", gop
        count = round(seconds * fps)
        for i in range(count):
            shade = np.full((size[1], size[0], 3), 250 * i // count, np.uint8)
            shade[: size[1] // 4, : size[0] // 4] = (255, 0, 0)  # the corner that is up and left
            container.mux(stream.encode(av.VideoFrame.from_ndarray(shade, format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()


CLIP = clip()


def frames(content, takes=VIDEOS, least=1, most=100, **options):
    return sample(Video(content, **options), takes, IMAGES, "here", least, most)


def pictures(film):
    return [Pillow.open(io.BytesIO(frame.data)).convert("RGB") for frame in film.frames]


def brightness(picture):
    return picture.getpixel((picture.width * 3 // 4, picture.height * 3 // 4))[0]


@pytest.mark.parametrize("fps", [None, 1, 2, 0.7, 10])
def test_frames_are_spread_evenly_as_many_as_the_rate_asks_for(fps):
    film = frames(CLIP, fps=fps)
    count = int(3 * (fps or 2))
    assert len(film.frames) == count
    assert film.fps == pytest.approx(count / 3, abs=0.001)
    for i, picture in enumerate(pictures(film)):
        assert brightness(picture) == pytest.approx(250 * (i + 0.5) / count, abs=12)


@pytest.mark.parametrize(
    ("form", "codec"),
    [("mp4", "libx264"), ("mov", "libx264"), ("webm", "libvpx-vp9"), ("matroska", "libx264"), ("avi", "mpeg4"),
     ("mpeg", "mpeg2video")],
)  # fmt: skip
def test_every_kind_of_file_is_read(form, codec):
    shades = [brightness(p) for p in pictures(frames(clip(form=form, codec=codec, fps=25), fps=1))]
    assert len(shades) in (2, 3)
    assert shades == sorted(shades)
    assert shades[0] < 80 < 150 < shades[-1]


def test_a_recording_that_does_not_say_how_long_it_is_is_read_to_its_end():
    whole = clip(form="webm", codec="libvpx-vp9", fps=25)
    at = whole.index(
        b"\x44\x89\x88"
    )  # the length, among the notes at the beginning; voided as browsers leave it
    live = whole[:at] + b"\xec\x89" + bytes(9) + whole[at + 11 :]
    with av.open(io.BytesIO(live)) as container:
        assert not container.duration
    assert len(frames(live, fps=2).frames) == 6


def test_a_long_video_is_searched_and_gives_the_same_frames():
    long = clip(seconds=120, fps=5, gop=10)
    film = frames(long, fps=0.1)
    assert len(film.frames) == 12
    for i, picture in enumerate(pictures(film)):
        assert brightness(picture) == pytest.approx(250 * (i + 0.5) / 12, abs=8)


def test_a_slow_video_shows_a_frame_several_times():
    film = frames(clip(seconds=4, fps=1), fps=4)
    assert len(film.frames) == 16
    assert len({frame.data for frame in film.frames}) == 4


def test_a_short_video_gives_at_least_what_a_list_of_frames_needs():
    film = frames(clip(seconds=0.5), least=4)
    assert len(film.frames) == 4
    assert film.fps == pytest.approx(8)


def test_more_frames_than_fit_are_thinned_out_unless_a_rate_was_asked_for():
    film = frames(CLIP, most=3)
    assert (len(film.frames), film.fps) == (3, 1)
    with pytest.raises(
        MediaError, match=r"at fps=5 gives 15 frames; here takes 10 .*give fps=3\.333 or less"
    ):
        frames(CLIP, fps=5, most=10)
    assert len(frames(CLIP, fps=3.333, most=10).frames) <= 10


def test_frames_stay_within_their_pixels():
    large = clip(seconds=1, size=(640, 480))
    assert pictures(frames(large))[0].size == (640, 480)
    assert pictures(frames(large, Videos(forms=(), formats=(), max_pixels=100_000)))[0].size == (352, 256)
    assert pictures(frames(large, max_pixels=20_000))[0].size == (160, 96)
    together = Videos(forms=(), formats=(), total_pixels=200_000)
    assert all(p.width * p.height <= 100_000 for p in pictures(frames(large, together)))


@pytest.mark.parametrize(("degrees", "corner"), [(90, (1, 0)), (180, (1, 1)), (270, (0, 1))])
def test_a_telephone_held_upright_gives_upright_frames(degrees, corner):
    matrix = {
        90: (0, 1, -1, 0, 48, 0), 180: (-1, 0, 0, -1, 64, 48), 270: (0, -1, 1, 0, 0, 64),
    }[degrees]  # fmt: skip
    a, b, c, d, x, y = (value << 16 for value in matrix)
    plain = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    at = CLIP.index(plain, CLIP.index(b"tkhd"))
    turned = CLIP[:at] + struct.pack(">9i", a, b, 0, c, d, 0, x, y, 1 << 30) + CLIP[at + 36 :]
    picture = pictures(frames(turned, fps=1))[0]
    assert picture.size == ((48, 64) if degrees != 180 else (64, 48))
    red, green, _ = picture.getpixel(
        (3 + corner[0] * (picture.width - 7), 3 + corner[1] * (picture.height - 7))
    )
    assert red > 150 > 100 > green


def test_the_same_frames_are_not_cut_twice():
    assert frames(CLIP, fps=3) is frames(CLIP, fps=3)
    assert frames(CLIP, fps=3) is not frames(CLIP, fps=2)


# Refusals


def test_a_length_outside_the_limits_is_refused_with_both_numbers():
    takes = Videos(forms=(), formats=(), min_seconds=2, max_seconds=7200)
    with pytest.raises(MediaError, match=r"lasts 1\.0 s; here takes videos of at least 2 s"):
        check_length(Video(clip(seconds=1)), takes, "here")
    with pytest.raises(MediaError, match=r"lasts 1\.0 s; here takes videos of at least 2 s"):
        frames(clip(seconds=1), takes)
    with pytest.raises(MediaError, match=r"lasts 3 s; here takes at most 2 s"):
        check_length(Video(CLIP), Videos(forms=(), formats=(), max_seconds=2), "here")
    check_length(Video(CLIP), takes, "here")


@pytest.mark.parametrize(
    "content",
    [CLIP[:400], CLIP[:32] + bytes(400), b"\0\0\1\xba" + bytes(999), b"\x1a\x45\xdf\xa3webm" + bytes(99)],
)
def test_a_broken_video_is_refused_in_one_sentence(content):
    with pytest.raises(MediaError) as raised:
        frames(content)
    assert "\n" not in str(raised.value)


def test_sound_alone_is_no_video():
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=44_100)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), format="fltp", layout="mono")
        sound.sample_rate = 44_100
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    with pytest.raises(MediaError, match="has sound only"):
        frames(file.getvalue())


def test_a_video_without_bytes_names_its_hash():
    video = Video.from_json(Video(CLIP).to_json())
    with pytest.raises(MediaError, match=video.digest):
        sample(video, VIDEOS, IMAGES, "here", 1, 9)


@pytest.mark.slow
def test_without_pyav_the_command_that_installs_it_is_named():
    code = f"""
import sys
sys.modules["av"] = None
from qwennb.catalog import Images, Videos
from qwennb.endpoints.media.video import check_length, sample
from qwennb.request import Video
video = Video({CLIP!r})
check_length(video, Videos((), (), min_seconds=99), "here")
try: sample(video, Videos((), ()), Images((), ()), "here", 1, 9)
except ValueError as error: print(error)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert 'type: pip install "qwennb[video]"' in ran.stdout
