"""A pack made to do harm is refused with a reason, soon, in little memory, and nothing of it is taken."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import sqlite3
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import orjson
import pytest

from qwennb import Pack
from qwennb.cache import Memory, Store, record_of
from qwennb.cache.pack_file import LEVEL, zstd
from qwennb.cache.pack_format import END, seal_header, seal_line
from qwennb.errors import PackRefused
from qwennb.request import key_of
from tests.answers import answer_of, answers

MIB = 2**20
MOST_MEMORY = 128  # MiB above what Python and qwennb take
MOST_SECONDS = 5

# ---------------------------------------------------------------------- how they are made


def line_of(number: int = 0, **changes: object) -> dict:
    """A sound line, as a value, with *changes* in its answer."""
    record = json.loads(record_of(answer_of(number)))
    record["answer"] |= changes
    return {"key": answer_of(number).key, **record}


def with_key(line: dict) -> dict:
    """*line* under the key that its request really has."""
    return {**line, "key": key_of(line["request"])}


def file_of(
    *lines: object, count: int | None = None, root: str | None = None, header: dict | None = None
) -> bytes:
    """A pack's file with these lines and a root that fits them, whatever they are."""
    written = [line if isinstance(line, bytes) else orjson.dumps(line) for line in lines]
    made = {"qwennb_pack": 1, "count": len(written) if count is None else count}
    made |= {"defaults": {"model": "m", "endpoint": "e"}, **(header or {})}
    fits = hashlib.sha256(b"".join(line + b"\n" for line in [orjson.dumps(made), *written])).hexdigest()
    return b"".join(line + b"\n" for line in [orjson.dumps({**made, "root": root or fits}), *written])


def new_file_of(*lines: object, end: bytes = END + b"\n", header: bytes = b"") -> bytes:
    """As `file_of`, in the form that is written today: each line under a seal that fits, whatever it is."""
    written = [line if isinstance(line, bytes) else orjson.dumps(line) for line in lines]
    first = header or seal_header({"model": "m", "endpoint": "e"})
    return b"".join(line + b"\n" for line in [first, *map(seal_line, written)]) + end


def renewed(old: Callable[[], bytes]) -> Callable[[], bytes]:
    """The same harm, where it is in the lines, in the form that is written today."""

    def made() -> bytes:
        first, *lines = old().split(b"\n")[:-1]
        return new_file_of(*lines) if first.startswith(b'{"qwennb_pack":1') else old()

    return made


def sound_lines(count: int, size: int) -> list[bytes]:
    """Lines that are all that they should be, but long and dull."""
    lines = (line_of(6 * number, text="x" * size) for number in range(count))
    return [orjson.dumps(line) for line in sorted(lines, key=lambda line: line["key"])]


@lru_cache
def bomb(size: int) -> bytes:
    """*size* bytes of nothing, in a frame of a thirty-thousandth of it."""
    writer = zstd.ZstdCompressor(options=LEVEL)
    pieces = [writer.compress(b"\0" * MIB) for _ in range(size // MIB)]
    return b"".join([*pieces, writer.flush()])


def database() -> bytes:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE Cache (key, value)")
    return connection.serialize()


def zipped() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("../../etc/passwd", "x")
    return made.getvalue()


def tarred() -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("../x"))
    return made.getvalue()


class Harm:
    def __reduce__(self):
        return os.system, ("touch harm",)


def nested(depth: int) -> bytes:
    line = orjson.dumps(line_of())
    return line.replace(b'"text":', b'"defaults":' + b'{"a":' * depth + b"1" + b"}" * depth + b',"text":')


TEXT = orjson.dumps(line_of())
TOOLS = line_of(3)

# By name: the bytes of the file, and a word of the reason.
HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing": (lambda: b"", "no pack"),
    "an empty line": (lambda: b"\n", "no pack"),
    "noise": (lambda: bytes(range(256)) * 99, "no pack"),
    "a pickle": (lambda: pickle.dumps(Harm()), "pickle"),
    "an old pickle": (lambda: pickle.dumps(Harm(), 0), "no pack"),
    "a database": (lambda: database(), "database"),
    "a zip": (lambda: zipped(), "zip"),
    "a tar": (lambda: tarred(), "no pack|cut off"),
    "a gzip": (lambda: b"\x1f\x8b" + bytes(99), "gzip"),
    "another JSON": (lambda: b'{"cells":[]}\n', "no pack"),
    "a list": (lambda: b"[1]\n", "no pack"),
    "a newer version": (lambda: file_of(header={"qwennb_pack": 3}), "newer"),
    "a newer version that needs much": (lambda: file_of(header={"qwennb_pack": 9, "needs": "\x1b[2J" * 99}), "newer qwennb. Upgrade"),
    "the old header under the new number": (lambda: file_of(header={"qwennb_pack": 2}), "header"),
    "a version that is true": (lambda: file_of(header={"qwennb_pack": True}), "header"),
    "UTF-16": (lambda: file_of(line_of()).decode().encode("utf-16"), "not UTF-8"),
    "a byte order mark": (lambda: b"\xef\xbb\xbf" + file_of(line_of()), "byte order mark"),
    "Latin-1 in a line": (lambda: file_of(TEXT.replace("ö".encode(), b"\xf6")), "not JSON"),
    "half a surrogate": (lambda: file_of(TEXT.replace(b'"text":"', b'"text":"\\ud800')), "not JSON"),
    "overlong UTF-8": (lambda: file_of(TEXT.replace(b'"text":"', b'"text":"\xc0\xaf')), "not JSON"),
    "a raw NUL": (lambda: file_of(TEXT.replace(b'"text":"', b'"text":"\0')), "not JSON"),
    "carriage returns": (lambda: file_of(TEXT + b"\r"), "not spelled"),
    "a name twice": (lambda: file_of(TEXT.replace(b'"text":', b'"text":"another","text":', 1)), "not spelled"),
    "a name twice, the same": (lambda: file_of(TEXT.replace(b'"attempts":1', b'"attempts":1,"attempts":1')), "not spelled"),
    "an escape for a letter": (lambda: file_of(TEXT.replace(b"Question", b"\\u0051uestion")), "not spelled"),
    "a space": (lambda: file_of(TEXT.replace(b'"text":', b'"text": ')), "not spelled"),
    "another order": (lambda: file_of(dict(reversed(line_of().items()))), "not spelled"),
    "a field more": (lambda: file_of({**line_of(), "path": "../x"}), "not spelled"),
    "an unknown field of an answer": (lambda: file_of(line_of(command="rm")), "no request with its answer"),
    "an unknown field of a request": (
        lambda: file_of(with_key({**line_of(), "request": {**line_of()["request"], "base_url": "http://evil"}})), "key",
    ),
    "a wrong key": (lambda: file_of({**line_of(), "key": "0" * 64}), "key is not that of its request"),
    "a key that is a path": (lambda: file_of({**line_of(), "key": "../../etc/passwd"}), "key"),
    "another question under a key": (
        lambda: file_of({**line_of(), "request": line_of(6)["request"]}), "key is not that of its request",
    ),
    "a wrong root": (lambda: file_of(line_of(), root="0" * 64), "root"),
    "a wrong count": (lambda: file_of(line_of(), count=2), "another number"),
    "too few": (lambda: file_of(line_of(), count=0), "another number"),
    "a count below nothing": (lambda: file_of(count=-1), "header"),
    "a count beyond all bounds": (lambda: file_of(count=10**9), "may hold"),
    "the same line twice": (lambda: file_of(line_of(), line_of()), "twice"),
    "a million lines": (lambda: file_of(count=1_000_000) + b"{}\n" * 1_000_000, "no request"),
    "lines in another order": (
        lambda: file_of(*sorted((line_of(i) for i in range(3)), key=lambda line: line["key"], reverse=True)), "wrong place",
    ),
    "deep nesting": (lambda: file_of(nested(100_000)), "not JSON"),
    "nesting as deep as JSON allows": (lambda: file_of(nested(900)), "root|no request|not spelled|not JSON"),
    "a deep schema": (
        lambda: file_of({**line_of(1), "request": {**line_of(1)["request"], "schema": json.loads(
            '{"items":' * 200 + '{"type":"integer"}' + "}" * 200)}}), "no request|key",
    ),
    "a huge line": (lambda: file_of(line_of(text="x" * 9 * MIB)), "line of more than 8 MiB"),
    "no line end at all": (lambda: b'{"qwennb_pack":1' + b" " * 20 * MIB, "line of more than 8 MiB"),
    "a picture named by a path": (
        lambda: file_of(with_key({**line_of(4), "request": json.loads(
            json.dumps(line_of(4)["request"]).replace(answer_of(4).request.media[0].digest, "../../../etc/passwd"))})),
        "no sha256",
    ),
    "a picture at a local address": (
        lambda: file_of(with_key({**line_of(4), "request": json.loads(
            json.dumps(line_of(4)["request"]).replace(
                f'"sha256": "{answer_of(4).request.media[0].digest}"', '"url": "file:///etc/passwd"'))})), "",
    ),
    "an endpoint with a line feed": (lambda: file_of(line_of(endpoint="a\nb")), "endpoint"),
    "an endpoint without end": (lambda: file_of(line_of(endpoint="a" * 9999)), "endpoint"),
    "a text that is none": (lambda: file_of(line_of(text=["x"])), r"array.*\$\.text"),
    "half an answer": (lambda: file_of(line_of(finish_reason="length")), "not whole"),
    "an empty answer": (lambda: file_of(line_of(text="")), "not whole"),
    "a negative cost": (lambda: file_of(line_of(cost=[-1.0, "server"])), "cost"),
    "a likelihood too many": (lambda: file_of(line_of(2, choice_logprobs=[-0.1, -2.0, -3.0])), "log probabilities"),
    "a likelihood without choices": (lambda: file_of(line_of(0, choice_logprobs=[-0.1])), "log probabilities"),
    "a likelihood in words": (lambda: file_of(line_of(2, choice_logprobs=["yes", "no"])), "choice_logprobs"),
    "a likelihood above one": (lambda: file_of(line_of(2, choice_logprobs=[1e308, -2.0])), "choice_logprobs"),
    "an estimate that is a number": (lambda: file_of(line_of(usage={"input": 5, "estimated": 1})), "usage"),
    "negative tokens": (lambda: file_of(line_of(usage={"input": -5})), "usage"),
    "no date": (lambda: file_of(line_of(created="yesterday")), "no request with its answer"),
    "a date without a zone": (lambda: file_of(line_of(created="2026-11-01T12:00:00")), "date"),
    "a tool's result that is none": (lambda: file_of({**TOOLS, "answer": {**TOOLS["answer"], "tool_results": [{}]}}), "tool_results"),
    "a bomb": (lambda: bomb(320 * MIB), "line of more than 8 MiB"),
    "a bomb in a bomb": (lambda: zstd.compress(bomb(320 * MIB)), "no pack|cut off"),
    "a bomb of sound lines": (lambda: zstd.compress(file_of(*sound_lines(5, 7 * MIB))), "bomb"),
    "a bomb behind a pack": (lambda: file_of(line_of()) + bomb(320 * MIB), "line|another number|not JSON"),
    "a bomb behind a compressed pack": (lambda: zstd.compress(file_of(line_of())) + bomb(320 * MIB), "not those that were written"),
    "two frames": (lambda: zstd.compress(file_of(line_of())) * 2, "not those that were written"),
    "a frame with a window of 2 GiB": (
        lambda: b"\x28\xb5\x2f\xfd\x00" + bytes([21 << 3]) + b"\x01\x00\x00", "can't be decompressed",
    ),
    "a frame that wants a dictionary": (lambda: b"\x28\xb5\x2f\xfd\x03\x00\x01\x00\x00\x00" + bytes(9), "can't be decompressed"),
    "half a frame": (lambda: zstd.compress(file_of(*[line_of()] * 1))[:-7], "cut off|decompressed"),
}  # fmt: skip

# What is wrong with a line is wrong in both forms. A line that has no key in front has no place for a seal either.
NOT_RENEWED = (
    "a wrong root", "a wrong count", "too few", "a count below nothing", "a count beyond all bounds", "the same line twice",
    "lines in another order", "a newer version", "a newer version that needs much", "a version that is true", "no line end at all",
    "the old header under the new number", "UTF-16", "a byte order mark", "a bomb of sound lines", "a bomb behind a pack",
)  # fmt: skip
HOSTILE |= {
    f"{name}, in the new form": (renewed(make), f"{reason}|no line of a pack|seal")
    for name, (make, reason) in list(HOSTILE.items())
    if name not in NOT_RENEWED and b'{"qwennb_pack":1' in make()[:20]
}
SEALED_LINE = seal_line(TEXT)
HOSTILE |= {
    "no end": (lambda: new_file_of(line_of(), end=b""), "cut off"),
    "half an end": (lambda: new_file_of(line_of(), end=END), "cut off"),
    "two ends": (lambda: new_file_of(line_of(), end=(END + b"\n") * 2), "behind the end"),
    "a line behind the end": (lambda: new_file_of(line_of()) + seal_line(orjson.dumps(line_of(1))) + b"\n", "behind the end"),
    "a line without a seal": (lambda: new_file_of(end=TEXT + b"\n" + END + b"\n"), "no line of a pack"),
    "a seal of another line": (
        lambda: new_file_of(end=SEALED_LINE.replace(b"yes.", b"no!.", 1) + b"\n" + END + b"\n"), "seal does not fit",
    ),
    "a seal in capitals": (
        lambda: new_file_of(end=SEALED_LINE[:82] + SEALED_LINE[82:114].upper() + SEALED_LINE[114:] + b"\n" + END + b"\n"), "seal",
    ),
    "a header whose seal does not fit": (
        lambda: new_file_of(line_of(), header=seal_header({"model": "m", "endpoint": "e"}).replace(b'"m"', b'"n"')), "header",
    ),
    "a header that needs something else": (
        lambda: new_file_of(line_of(), header=seal_header({"model": "m", "endpoint": "e"}).replace(b"0.2", b"0.1")), "header",
    ),
    "a default that is no text": (lambda: new_file_of(header=seal_header({"model": "m", "endpoint": 5})), "header"),
    "two different answers to one request": (lambda: new_file_of(line_of(), line_of(text="another")), "two different answers"),
    "marks of git": (lambda: new_file_of(end=b"<<<<<<< HEAD\n" + SEALED_LINE + b"\n=======\n>>>>>>> x\n" + END + b"\n"), "left open"),
    "a mark of git in front": (lambda: b"<<<<<<< HEAD\n" + new_file_of(line_of()), "left open"),
    "a million ends": (lambda: new_file_of(end=(END + b"\n") * 1_000_000), "behind the end"),
    "sound lines of the new form as a bomb": (lambda: zstd.compress(new_file_of(*sound_lines(5, 7 * MIB))), "bomb"),
    "a bomb behind the new form": (lambda: new_file_of(line_of()) + bomb(320 * MIB), "line|behind|not JSON"),
}  # fmt: skip

CHILD = """
import json, sys, time
from pathlib import Path
from qwennb.cache import Pack
from qwennb.errors import PackRefused
Pack()
status = Path("/proc/self/status")
def most():
    [line] = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024
if status.exists():
    Path("/proc/self/clear_refs").write_text("5")  # or it is what the parent once took
base = most() if status.exists() else 0
said = []
for path in sorted(Path(sys.argv[1]).iterdir()):
    began = time.process_time()
    try:
        Pack.read(path)
        reason = ""
    except PackRefused as refused:
        reason = str(refused)
    said.append([path.name, reason, time.process_time() - began])
print(json.dumps({"memory": most() - base if status.exists() else 0, "said": said}))
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory) -> dict:
    """What a process of its own says to all of them."""
    folder = tmp_path_factory.mktemp("hostile")
    for number, (content, _) in enumerate(HOSTILE.values()):
        (folder / f"{number:03}").write_bytes(content())
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(folder)], capture_output=True, text=True, check=True, cwd=folder
    )
    made = json.loads(done.stdout)
    assert not (folder / "harm").exists()
    made["said"] = {int(name): (reason, seconds) for name, reason, seconds in made["said"]}
    return made


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_pack_is_refused_with_a_reason(told, name):
    import re

    reason, _ = told["said"][list(HOSTILE).index(name)]
    assert reason, f"{name} was taken"
    assert re.search(HOSTILE[name][1], reason), reason
    assert len(reason) < 500 and "Traceback" not in reason


@pytest.mark.slow
def test_hostile_packs_take_little_time_and_memory(told):
    assert told["memory"] <= MOST_MEMORY, told["memory"]
    slowest = max((seconds, list(HOSTILE)[number]) for number, (_, seconds) in told["said"].items())
    assert slowest[0] <= 4 * MOST_SECONDS, (
        slowest
    )  # of the processor; a busy one takes longer for the same work


# ---------------------------------------------------------------------- what is no plain file


def test_a_link_is_not_followed(tmp_path):
    Pack.of(answers(2)).write(tmp_path / "a.qwenpack")
    (tmp_path / "link.qwenpack").symlink_to(tmp_path / "a.qwenpack")
    with pytest.raises(PackRefused, match="link"):
        Pack.read(tmp_path / "link.qwenpack")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFO")
def test_what_is_no_plain_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "fifo.qwenpack")
    for path in (tmp_path / "fifo.qwenpack", Path(os.devnull), tmp_path):
        with pytest.raises(PackRefused):
            Pack.read(path)


def test_a_pack_that_is_not_there_is_told_with_what_makes_it(tmp_path):
    with pytest.raises(PackRefused, match=r"no pack a\.qwenpack here.*qwennb pack"):
        Pack.read(tmp_path / "a.qwenpack")


# ---------------------------------------------------------------------- nothing is taken, nothing is overwritten


def test_a_refused_pack_leaves_store_and_packs_as_they_were(tmp_path):
    store = Store(tmp_path / "cache")
    memory = Memory(store)
    own = answer_of(0, "own")
    store.put([(name, record) for name, record in Pack.of([own]).records.items()])
    before = dict(store.items())
    path = tmp_path / "a.qwenpack"
    path.write_bytes(file_of(*(orjson.dumps(line_of(i)) for i in (0, 1)), root="1" * 64))
    with pytest.raises(PackRefused):
        memory.packs.load(Pack.read(path))
    assert not memory.packs and dict(store.items()) == before
    assert memory.recall(own.request, None, "replay").text == "own"
    memory.close()
