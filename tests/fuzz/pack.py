"""Fuzzing the pack reader: whatever the bytes are, it reads a pack or says PackRefused, soon.

    python -m tests.fuzz.pack -max_total_time=600

atheris makes the bytes, guided by which lines of the reader they reach, from a few packs that are sound or nearly so. To
get past the hashes, where random bytes never would, half of the inputs are lines that are made to fit, in both forms.
What is read must also be written again as the same bytes.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["qwennb.cache", "qwennb.request", "qwennb.answer"]):
    import orjson

    from qwennb.cache import Pack
    from qwennb.cache.pack_file import zstd
    from qwennb.cache.pack_format import END, seal_header, seal_line
    from qwennb.errors import PackRefused

FOLDER = Path(tempfile.mkdtemp(prefix="qwennb-fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
FILE, AGAIN = FOLDER / "a.qwenpack", FOLDER / "b.qwenpack"


def one(data: bytes) -> None:
    """Read *data* as a pack; its first byte says how it is wrapped."""
    how, body = (data[0], data[1:]) if data else (0, b"")
    if how & 1:
        fit = fitting if how & 8 else sealing
        body = fit(body.split(b"\n"), sort=bool(how & 4))
    if how & 2:
        body = zstd.compress(body)
    FILE.write_bytes(body)
    try:
        pack = Pack.read(FILE)
    except PackRefused:
        return
    for answer in pack:
        repr(answer)
    lines = b"".join(line + b"\n" for line in pack.lines())
    AGAIN.write_bytes(lines)
    assert Pack.read(AGAIN) == pack
    first, *held = body.split(b"\n")
    is_as_written = first.startswith(b'{"qwennb_pack":2') and held == sorted(set(held[:-2])) + held[-2:]
    assert how & 2 or not is_as_written or lines == body


def fitting(lines: list[bytes], *, sort: bool) -> bytes:
    """A pack's file of these lines, each under its own key where it has a request, with a count and root that fit."""
    lines = [keyed(line) for line in lines if line]
    if sort:
        lines.sort()
    header = {"qwennb_pack": 1, "count": len(lines), "defaults": {"model": "m", "endpoint": "e"}}
    written = b"".join(line + b"\n" for line in [orjson.dumps(header), *lines])
    root = hashlib.sha256(written).hexdigest()
    return b"".join(line + b"\n" for line in [orjson.dumps({**header, "root": root}), *lines])


def sealing(lines: list[bytes], *, sort: bool) -> bytes:
    """As `fitting`, in the form that is written today."""
    lines = [seal_line(keyed(line)) for line in lines if line]
    if sort:
        lines.sort()
    return b"".join(line + b"\n" for line in [seal_header({"model": "m", "endpoint": "e"}), *lines, END])


def keyed(line: bytes) -> bytes:
    """*line* with the key that its request has, if it has one."""
    from qwennb.errors import QwenError
    from qwennb.request import key_of

    try:
        data = orjson.loads(line)
        return orjson.dumps({**data, "key": key_of(data["request"])})
    except (ValueError, KeyError, TypeError, QwenError):
        return line


def corpus(folder: Path) -> None:
    """Sound packs and single lines of every kind, to begin with."""
    from tests.answers import answers

    pack = Pack.of(answers(6))
    lines, bare = list(pack.lines()), [bare for _, bare in pack._lines()]
    (folder / "whole").write_bytes(b"\0" + b"".join(line + b"\n" for line in lines))
    (folder / "compressed").write_bytes(b"\2" + b"".join(line + b"\n" for line in lines))
    (folder / "old").write_bytes(b"\0" + fitting(bare, sort=True))
    for form in (b"\5", b"\r"):
        (folder / f"lines{form[0]}").write_bytes(form + b"\n".join(bare))
        for number, line in enumerate(bare):
            (folder / f"line{form[0]}-{number}").write_bytes(form + line)


def main() -> None:
    """Run until told otherwise; what libFuzzer takes on its command line is taken here."""
    given = FOLDER / "corpus"
    given.mkdir()
    corpus(given)
    limits = ["-max_len=65536", "-timeout=10", "-rss_limit_mb=2048"]
    words = [word for word in sys.argv[1:] if word.startswith("-")]
    atheris.Setup(
        [sys.argv[0], *limits, *words, str(given), *[w for w in sys.argv[1:] if w not in words]], one
    )
    os.environ.setdefault("QWENNB_CACHE_DIR", str(FOLDER))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
