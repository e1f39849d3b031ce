"""What was asked about lies beside the pack: a file that a reader does not have is taken from there, if it is the one."""

from __future__ import annotations

import io
import os
import shutil
import struct
import tracemalloc
import zlib
from hashlib import sha256
from pathlib import Path

import polars as pl
import pytest
from PIL import Image as Pillow

from qwennb import Document, Image, Pack, Pdf, Qwen
from qwennb.cache import PackMedia
from qwennb.client import runtime
from qwennb.errors import MediaError, NotRecorded, PackRefused
from qwennb.request import read_files
from qwennb.testing import no_network
from tests.answers import PICTURE

PDF = io.BytesIO()
Pillow.new("RGB", (32, 32), "white").save(PDF, "PDF")
MISSING = r"there is no file chart\.png"


def drawn(path: Path, colour: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    Pillow.new("RGB", (16, 16), colour).save(path)
    return path


@pytest.fixture
def fresh():
    """A runtime without packs, before and after."""
    shared_runtime = runtime()
    shared_runtime.packs.forget()
    yield shared_runtime
    shared_runtime.packs.forget()


@pytest.fixture
def there(tmp_path, fresh):
    """The folder of somebody's notebook, which is the working folder too."""
    folder, before = tmp_path / "there", Path.cwd()
    folder.mkdir()
    os.chdir(folder)
    yield folder
    os.chdir(before)


def work(qwen: Qwen) -> list[str]:
    """Pictures, documents and a folder by path, in asks and in columns."""
    frame = pl.DataFrame({"photo": ["a.png", "b.png", "a.png"]})
    return [
        repr(qwen.ask("What is wrong in this chart?", images=["chart.png"])),
        repr(qwen.ask("And smaller?", images=[Image("./chart.png", max_pixels=64)])),
        repr(qwen.ask("What is it?", files=["report.pdf"])),
        str(frame.qwen.ask("Describe it", image="photo", root="photos", client=qwen)),
        repr(qwen.ask("Who wrote it?", files=["notes.md", Document("report.pdf")])),
        repr(qwen.ask("What is in it?", files="src")),
        repr(qwen.ask("What is in these?", files=["src/*.py", "!src/b.py"])),
        str(pl.DataFrame({"path": ["a.py"]}).qwen.ask("Who?", file="path", root="src", client=qwen)),
    ]


@pytest.fixture
def packed(simulate, client, fresh, there):
    """What `work` showed live; its pack is loaded, the pictures lie beside it, and the files themselves are gone."""
    drawn(there / "chart.png", "green")
    (there / "report.pdf").write_bytes(PDF.getvalue())
    drawn(there / "photos" / "a.png", "red")
    drawn(there / "photos" / "b.png", "blue")
    (there / "notes.md").write_text("By Ada.")
    for name in ("a.py", "b.py", "deep/c.md"):
        (there / "src" / name).parent.mkdir(parents=True, exist_ok=True)
        (there / "src" / name).write_text(f"This is {name}.")
    qwen = client(simulate())
    shown = work(qwen)
    Pack.of_records(dict(qwen.session.memory.store.items())).write("a.qwenpack")
    photos = [Image.under("photos", name) for name in ("a.png", "b.png")]
    PackMedia.beside(there / "a.qwenpack").keep([Image("chart.png"), Pdf("report.pdf"), *photos])
    asked = [read_files(given, {})[0] for given in ("notes.md", "src")]
    PackMedia.beside(there / "a.qwenpack").keep([one for media in asked for one in media])
    for name in ("chart.png", "report.pdf", "notes.md"):
        (there / name).unlink()
    for name in ("photos", "src"):
        shutil.rmtree(there / name)
    fresh.load("a.qwenpack")
    return shown


def test_a_missing_file_is_taken_from_beside_the_pack(packed, there):
    for mode in ("replay", "on"):
        with no_network() as tried:
            assert work(Qwen(cache=mode, cache_dir=there / "empty")) == packed
            assert tried == []


def test_it_is_so_before_anything_is_asked_and_wherever_the_folder_lies(packed, there, fresh):
    content = Image("chart.png").data
    away = there / "away"
    away.mkdir()
    shutil.move("a.qwenpack", away)
    shutil.move("a.qwenpack.media", away)
    fresh.packs.forget()
    with pytest.raises(MediaError, match=MISSING):
        Image("chart.png")
    fresh.load(away / "a.qwenpack")
    assert Image("chart.png").data == content == Image(str(there / "chart.png")).data
    os.chdir(away)
    assert Image("chart.png").data == content


def test_a_file_that_is_there_is_the_one_that_counts(packed, there):
    mine = drawn(there / "chart.png", "white")
    assert Image("chart.png").digest == sha256(mine.read_bytes()).hexdigest()
    with pytest.raises(NotRecorded, match="the picture is another"):
        work(Qwen(cache="replay", cache_dir=there / "empty"))


def test_the_folder_lends_only_what_the_packs_own_requests_were_asked_with(packed, there, fresh):
    known = list(Pack.read("a.qwenpack"))
    for name, kept in {
        "none": [],
        "pdf": [answer for answer in known if answer.request.question == "What is it?"],
    }.items():
        shutil.copytree("a.qwenpack.media", f"{name}.qwenpack.media")
        Pack.of(kept).write(f"{name}.qwenpack")
        fresh.packs.forget()
        fresh.load(f"{name}.qwenpack")
        with pytest.raises(MediaError, match=MISSING):
            Image("chart.png")
    assert Pdf("report.pdf").data == PDF.getvalue()


def test_no_name_stands_in_the_folder(packed, there):
    names = [file.name for file in (there / "a.qwenpack.media").iterdir()]
    written = (there / "a.qwenpack.media" / "names").read_text()
    words = ("chart", "report", "photos", "notes", "src", "deep")
    assert len(names) == 9 and not any(word in f"{names} {written}" for word in words)


def test_one_name_for_two_pictures_is_not_guessed(packed, there):
    drawn(there / "chart.png", "red")  # as photos/a.png, which the pack was asked about as well
    PackMedia.beside(there / "a.qwenpack").keep([Image("chart.png")])
    (there / "chart.png").unlink()
    with pytest.raises(MediaError, match="stood for 2 different files when the pack was made"):
        Image("chart.png")


# ---------------------------------------------------------------------- folders that are not to be trusted


def media(there: Path) -> Path:
    return there / "a.qwenpack.media"


def chart(there: Path) -> Path:
    """The file in the folder that was chart.png."""
    name, lines = sha256(b"chart.png").hexdigest(), (media(there) / "names").read_text().splitlines()
    [kept] = [line.split()[1] for line in lines if line.startswith(name)]
    return media(there) / kept


def swapped(there: Path) -> None:
    chart(there).write_bytes(drawn(there / "other.png", "black").read_bytes())


def linked(there: Path) -> None:
    chart(there).rename(there / "secret.png")
    chart(there).symlink_to(there / "secret.png")


def linked_folder(there: Path) -> None:
    media(there).rename(there / "elsewhere")
    media(there).symlink_to(there / "elsewhere")


def linked_names(there: Path) -> None:
    (media(there) / "names").rename(there / "elsewhere")
    (media(there) / "names").symlink_to(there / "elsewhere")


def outside(there: Path) -> None:
    kept, names = chart(there), media(there) / "names"
    kept.rename(there / kept.name)
    names.write_text(names.read_text().replace(kept.name, f"../{kept.name}"))


def endless_names(there: Path) -> None:
    os.truncate(media(there) / "names", 64 * 2**20)


def endless_file(there: Path) -> None:
    os.truncate(chart(there), 512 * 2**20)


def bomb(there: Path) -> None:
    made = io.BytesIO()
    Pillow.new("L", (1, 1)).save(made, "PNG")
    data = bytearray(made.getvalue())
    data[16:24] = struct.pack(">II", 100_000, 100_000)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    chart(there).write_bytes(data)


def piped(there: Path) -> None:
    chart(there).unlink()
    os.mkfifo(chart(there))


def a_folder(there: Path) -> None:
    chart(there).unlink()
    chart(there).mkdir()


def gone(there: Path) -> None:
    chart(there).unlink()


@pytest.mark.skipif(os.name != "posix", reason="links and pipes are made here")
@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (swapped, "was changed: it is not of sha256"),
        (bomb, "was changed: it is not of sha256"),
        (linked, ".png is a link, and nothing is read through one"),
        (linked_folder, "a.qwenpack.media is a link, and nothing is read through one"),
        (linked_names, "names is a link, and nothing is read through one"),
        (outside, "names is not as qwennb writes it"),
        (endless_names, "names has 64.0 MB; at most"),
        (endless_file, "has 512.0 MB; at most"),
        (piped, "is a pipe or a device"),
        (a_folder, "is a folder"),
        (gone, "there is no file a.qwenpack.media/"),
    ],
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_a_folder_that_lies_is_refused_with_a_reason(packed, there, fresh, harm, told):
    harm(there)
    fresh.packs.forget()
    fresh.load("a.qwenpack")
    with pytest.raises(MediaError) as refused:
        Image("chart.png")
    assert told in str(refused.value)


def test_a_key_in_a_file_that_is_shared_stops_it(there):
    made = PackMedia(there / "made")
    made.keep([Image(PICTURE + b"the key is sk-any-12345")])
    with pytest.raises(PackRefused, match=r"A PNG that is asked about .* the value of MY_KEY") as refused:
        made.check({"MY_KEY": "sk-any-12345"})
    assert "sk-any-12345" not in str(refused.value)
    made.check({"MY_KEY": "sk-any-54321"})


def test_media_are_put_beside_a_pack_without_being_held_in_memory(there):
    made = PackMedia(there / "made")
    made.keep([Image(PICTURE)])
    long = made.folder / f"{'1' * 64}.mp4"
    long.write_bytes(bytes(64 * 2**20))
    tracemalloc.start()
    try:
        PackMedia.beside(there / "a.qwenpack").take_over(made)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 8 * 2**20
    taken = {file.name: file.read_bytes() for file in (there / "a.qwenpack.media").iterdir()}
    assert taken == {file.name: file.read_bytes() for file in made.folder.iterdir()}


def test_nothing_is_written_through_a_link_that_lies_in_the_folder(there):
    victim = there / "victim"
    victim.write_bytes(b"mine")
    (there / "a.qwenpack.media").mkdir()
    (there / "a.qwenpack.media" / "names").symlink_to(victim)
    with pytest.raises(MediaError, match="names is a link"):
        PackMedia.beside(there / "a.qwenpack").keep([Image(str(drawn(there / "chart.png", "green")))])
    assert victim.read_bytes() == b"mine"


# ---------------------------------------------------------------------- what is told where there is none


def test_a_missing_file_is_told_with_the_hash_that_it_had_and_what_to_do(packed, there):
    digest = chart(there).stem
    shutil.rmtree(media(there))
    reader = Qwen(cache="replay", cache_dir=there / "empty")
    with pytest.raises(MediaError) as told:
        reader.ask("What is wrong in this chart?", images=["chart.png"])
    said = str(told.value)
    assert (
        "there is no file chart.png" in said and digest in said and "a.qwenpack.media beside the pack" in said
    )
    assert "qwennb pack NOTEBOOK --media" in said
    with pytest.raises(MediaError, match=sha256(PDF.getvalue()).hexdigest()):
        reader.ask("What is it?", files=["report.pdf"])
    with pytest.raises(MediaError, match="No request is recorded that is near to this one"):
        reader.ask(
            "Nothing like it was ever asked, of this or of any other picture",
            images=["sky.png"],
            seed=4,
            top_k=3,
            top_p=0.5,
        )


def test_without_a_pack_the_hash_is_that_of_ones_own_nearest_question(simulate, client, there):
    qwen = client(simulate())
    chart_png, other = drawn(there / "chart.png", "green"), Pillow.new("RGB", (8, 8))
    digest = sha256(chart_png.read_bytes()).hexdigest()
    for prompt in ("What is this?", "What is it?"):
        qwen.ask(prompt, images=[other, "chart.png"])
    chart_png.unlink()
    with pytest.raises(MediaError, match=f"{MISSING}; check the path .* with sha256 {digest}"):
        qwen.ask("What is this?", images=[other, "chart.png"], cache="replay")
    with pytest.raises(MediaError) as live:
        qwen.ask("What is this?", images=["chart.png"])
    assert "sha256" not in str(live.value)


# ---------------------------------------------------------------------- with real kernels

CELLS = (
    "%load_ext qwennb\nfrom qwennb import Image\nsmall = Image('chart.png', max_pixels=100)",
    "%qwen -m flash --image chart.png What is in it?",
    "%qwen -m flash --image small And smaller?",
    (
        "import polars as pl\n"
        "frame = pl.DataFrame({'photo': ['a.png', 'b.png']})\n"
        "frame.qwen.ask('Describe it', image='photo', root='photos', model='flash')"
    ),
)


@pytest.mark.slow
def test_a_notebook_moved_with_its_pack_and_its_pictures_runs_where_no_picture_is(live, run, away):
    for name, colour in (("chart.png", "green"), ("photos/a.png", "red"), ("photos/b.png", "blue")):
        drawn(live.folder / name, colour)
    notebook = live.notebook(*CELLS, name="pictures.ipynb")
    pack, beside = notebook.with_suffix(".qwenpack"), notebook.with_name("pictures.qwenpack.media")
    beside.mkdir()
    old = beside / f"{'0' * 64}.png"
    old.write_bytes(b"of an earlier pack")
    environ = {**os.environ, "QWENNB_CACHE_DIR": str(live.cache), "HOME": str(live.folder)}
    done = run("pack", str(notebook), "--media", says="n\n", environ=environ)
    assert done.code == 1 and [file.name for file in beside.iterdir()] == [old.name]  # nothing before a yes
    done = run("pack", str(notebook), "--media", "--yes", environ=environ)
    assert done.code == 0, done.err
    assert "pictures.qwenpack.media: 3 files, each under its sha256" in done.out and not old.exists()

    there = away(notebook, pack)
    shutil.copytree(beside, there.with_name(beside.name))
    done = run("verify", str(there), environ=dict(os.environ))
    assert done.code == 0 and "4 of 4 answers replayed, $0.00, outputs as saved" in done.out, (
        done.out + done.err
    )
    again = run("pack", str(there), "--media", "--yes", environ=dict(os.environ))
    assert again.code == 0, again.err
    assert {file.name: file.read_bytes() for file in beside.iterdir() if file.name != "names"} == {
        file.name: file.read_bytes()
        for file in there.with_name(beside.name).iterdir()
        if file.name != "names"
    }

    shutil.rmtree(there.with_name(beside.name))
    done = run("verify", str(there), environ=dict(os.environ))
    digest = sha256((live.folder / "chart.png").read_bytes()).hexdigest()
    [told] = [line for line in done.out.splitlines() if "failed" in line and digest in line]
    assert done.code == 1 and "there is no file chart.png" in told and "pictures.qwenpack.media" in told
