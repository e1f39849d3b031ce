"""A model by its hub name, fetched from a stand-in for the hub that answers as the hub does."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from qwennb.endpoints.local import DownloadProgress, HubFile, find, pull
from qwennb.errors import ConfigError, UnknownModel, Unreachable

CONTENT = b"GGUF" + os.urandom(700_000)
NAME = "hub:Qwen/Tiny-GGUF/tiny-q4_k_m.gguf"
COMMIT = "c" * 40


class StandIn:
    """The hub describes a file and redirects to where its bytes lie, which here is the same server by another name."""

    def __init__(self) -> None:
        self.content = CONTENT
        self.headers = {
            "X-Linked-ETag": f'"{hashlib.sha256(CONTENT).hexdigest()}"',
            "X-Linked-Size": str(len(CONTENT)),
            "X-Repo-Commit": COMMIT,
        }
        self.seen: list[tuple[str, str, str | None]] = []
        self.breaks_after: list[int] = []  # bytes sent before the line breaks, one number a GET
        self.ranges = True
        self.bytes_at: str | None = None
        self.also = "/Qwen/Tiny-GGUF/"  # it answers for what lies there as well
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self) -> None:
                stand_in.seen.append(("HEAD", self.path, None))
                if self.path.startswith("/Old/"):
                    self.short(307, {"Location": self.path.replace("/Old/", "/Qwen/")})
                elif self.path.startswith("/Away/"):
                    self.short(307, {"Location": f"http://localhost:{stand_in.port}/Qwen/x"})
                elif self.path.startswith("/Qwen/Tiny-GGUF/") and "X-Linked-ETag" not in stand_in.headers:
                    self.short(200, {"ETag": '"a small file, kept in git itself"'})
                elif self.path.startswith(("/Qwen/Tiny-GGUF/", stand_in.also)):
                    self.short(302, {**stand_in.headers, "Location": "/anywhere"})
                else:
                    self.short(404, {})

            def do_GET(self) -> None:
                stand_in.seen.append(("GET", self.path, self.headers.get("Range")))
                if "/resolve/" in self.path:
                    self.short(
                        302, {"Location": stand_in.bytes_at or f"http://localhost:{stand_in.port}/bytes"}
                    )
                    return
                start = 0
                asked = self.headers.get("Range")
                if asked and stand_in.ranges:
                    start = int(asked.removeprefix("bytes=").removesuffix("-"))
                    self.send_response(206)
                    last, size = len(stand_in.content) - 1, len(stand_in.content)
                    self.send_header("Content-Range", f"bytes {start}-{last}/{size}")
                else:
                    self.send_response(200)
                self.send_header("Content-Length", str(len(stand_in.content) - start))
                self.end_headers()
                sent = stand_in.content[start:]
                if stand_in.breaks_after:
                    sent = sent[: stand_in.breaks_after.pop(0)]
                    self.close_connection = True
                self.wfile.write(sent)

            def short(self, status: int, headers: dict[str, str]) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ranges_asked(self) -> list[str | None]:
        return [asked for verb, path, asked in self.seen if verb == "GET" and path == "/bytes"]

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def hub() -> Iterator[StandIn]:
    hub = StandIn()
    yield hub
    hub.stop()


def test_a_file_is_fetched_and_checked_by_the_hash_that_the_hub_names(hub: StandIn, tmp_path: Path) -> None:
    told: list[DownloadProgress] = []
    model = pull(NAME, cache_dir=tmp_path, hub=hub.base, say=told.append)
    assert model.path.read_bytes() == CONTENT
    assert model.path.name == f"{hashlib.sha256(CONTENT).hexdigest()[:16]}-tiny-q4_k_m.gguf"
    assert model.path.stat().st_mode & 0o777 == 0o600
    assert model.file.origin == NAME
    assert (told[0].done, told[-1].done) == (0, len(CONTENT))
    assert len(told) > 3


def test_the_bytes_are_those_of_the_commit_that_was_described(hub: StandIn, tmp_path: Path) -> None:
    pull(NAME, cache_dir=tmp_path, hub=hub.base)
    assert [path for _, path, _ in hub.seen] == [
        "/Qwen/Tiny-GGUF/resolve/main/tiny-q4_k_m.gguf",
        f"/Qwen/Tiny-GGUF/resolve/{COMMIT}/tiny-q4_k_m.gguf",
        "/bytes",
    ]


def test_a_fetched_file_is_found_by_its_hub_name_with_no_hub(hub: StandIn, tmp_path: Path) -> None:
    with pytest.raises(UnknownModel, match=f"not on this machine yet. Type: qwennb local pull {NAME}"):
        find(NAME, cache_dir=tmp_path)
    model = pull(NAME, cache_dir=tmp_path, hub=hub.base)
    hub.stop()
    assert find(NAME, cache_dir=tmp_path) == model
    assert pull(NAME, cache_dir=tmp_path, hub=hub.base) == model
    with pytest.raises(UnknownModel):
        find(f"{NAME}@other", cache_dir=tmp_path)


def test_a_broken_line_is_taken_up_where_it_broke(hub: StandIn, tmp_path: Path) -> None:
    hub.breaks_after = [100_000, 200_000]
    assert pull(NAME, cache_dir=tmp_path, hub=hub.base).path.read_bytes() == CONTENT
    assert hub.ranges_asked() == [None, "bytes=100000-", "bytes=300000-"]


def test_a_line_broken_for_good_is_taken_up_by_the_next_pull(hub: StandIn, tmp_path: Path) -> None:
    hub.breaks_after = [100_000, 0]
    with pytest.raises(Unreachable, match=f"broke off.*is kept.*qwennb local pull {NAME}"):
        pull(NAME, cache_dir=tmp_path, hub=hub.base)
    told: list[int] = []
    model = pull(NAME, cache_dir=tmp_path, hub=hub.base, say=lambda progress: told.append(progress.done))
    assert told[0] == 100_000
    assert hub.ranges_asked()[-1] == "bytes=100000-"
    assert model.path.read_bytes() == CONTENT


def test_a_server_that_knows_no_ranges_starts_over(hub: StandIn, tmp_path: Path) -> None:
    hub.ranges = False
    hub.breaks_after = [100_000]
    assert pull(NAME, cache_dir=tmp_path, hub=hub.base).path.read_bytes() == CONTENT
    assert len(hub.ranges_asked()) == 2


def test_other_bytes_than_the_hub_promised_are_deleted(hub: StandIn, tmp_path: Path) -> None:
    hub.content = CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])
    with pytest.raises(ConfigError, match=r"is not that file .*It is deleted"):
        pull(NAME, cache_dir=tmp_path, hub=hub.base)
    assert [path.suffix for path in (tmp_path / "models").iterdir()] == [".lock"]


@pytest.mark.parametrize("missing", ["X-Linked-ETag", "X-Linked-Size"])
def test_a_file_without_a_hash_is_not_fetched(hub: StandIn, tmp_path: Path, missing: str) -> None:
    hub.headers.pop(missing)
    with pytest.raises(UnknownModel, match="gives no sha256"):
        pull(NAME, cache_dir=tmp_path, hub=hub.base)
    assert all(verb == "HEAD" for verb, _, _ in hub.seen)


def test_a_renamed_repository_is_followed_within_the_hub_only(hub: StandIn, tmp_path: Path) -> None:
    model = pull("hub:Old/Tiny-GGUF/tiny-q4_k_m.gguf", cache_dir=tmp_path, hub=hub.base)
    assert model.path.read_bytes() == CONTENT
    with pytest.raises(UnknownModel, match="gives no sha256"):
        pull("hub:Away/Tiny-GGUF/tiny-q4_k_m.gguf", cache_dir=tmp_path, hub=hub.base)


def test_an_unknown_file_says_what_to_look_at(hub: StandIn, tmp_path: Path) -> None:
    with pytest.raises(UnknownModel, match=r"a file hub:No/Such/x\.gguf \(404\).*its name"):
        pull("hub:No/Such/x.gguf", cache_dir=tmp_path, hub=hub.base)


def test_bytes_are_never_fetched_over_plain_http(hub: StandIn, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="must begin with https"):
        pull(NAME, cache_dir=tmp_path, hub="http://hub.example")
    hub.bytes_at = "http://bytes.example/x"
    with pytest.raises(Unreachable, match="not https"):
        pull(NAME, cache_dir=tmp_path, hub=hub.base)


def test_a_hub_out_of_reach_is_said_in_one_sentence(hub: StandIn, tmp_path: Path) -> None:
    hub.stop()
    with pytest.raises(Unreachable, match="can't be reached for hub:Qwen") as caught:
        pull(NAME, cache_dir=tmp_path, environ={"HF_ENDPOINT": hub.base})
    assert hub.base in str(caught.value)


def test_a_hub_name_is_typed() -> None:
    assert HubFile.parse(NAME) == HubFile("Qwen/Tiny-GGUF", "tiny-q4_k_m.gguf", "main")
    deep = HubFile.parse("hub:Qwen/Tiny-GGUF/q4/tiny.gguf@v1")
    assert (deep.file, deep.revision) == ("q4/tiny.gguf", "v1")
    assert str(deep) == "hub:Qwen/Tiny-GGUF/q4/tiny.gguf@v1"


@pytest.mark.parametrize(
    "name",
    ["hub:Qwen", "hub:Qwen/A", "hub:Qwen/A/b.bin", "hub:Qwen/../x.gguf", "hub:Qwen/A/../x.gguf", "hub:/A/x.gguf",
     "hub:Qwen/A/x.gguf@../y", "hub:Qwen/A/x?y.gguf"],
)  # fmt: skip
def test_a_name_that_is_no_hub_name_is_refused(name: str) -> None:
    with pytest.raises(UnknownModel, match="names no file on a hub"):
        HubFile.parse(name)
