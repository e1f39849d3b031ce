"""The bytes of a pack: lines in a file, compressed where its name ends in `.zst`, read as if an enemy had written them.

Reading. Only a plain file is opened, never a link. What comes out of it is counted as it comes: a line, the whole and
its growth in decompression each have a limit, so that no file, however it lies, fills the memory. Behind the compressed
frame stands a second, skippable one with the sha256 of the first: other tools pass over it, and no byte of the file can
change without our noticing.

Writing. A draft beside the file, flushed to the disk, takes the file's place in one step.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from qwennb.errors import PackRefused
from qwennb.files import replace_file

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


MIB = 2**20
LONGEST_LINE = 8 * MIB
MOST_BYTES = 1024 * MIB
MOST_LINES = 1_000_000
# Bytes out of one, once it is more than what is free: a small file of like answers may shrink to nearly nothing.
MOST_GROWTH = 200
FREE_GROWTH = 16 * MIB
WIDEST_WINDOW = 24  # as a power of two: what decompressing may hold in memory
CHUNK = 256 * 1024

ZSTD = b"\x28\xb5\x2f\xfd"
SEAL = b"\x5a\x2a\x4d\x18\x20\x00\x00\x00"  # a skippable frame of 32 bytes
LEVEL: dict[int, int] = {
    zstd.CompressionParameter.compression_level: 9,
    zstd.CompressionParameter.checksum_flag: 1,
    zstd.CompressionParameter.window_log: 23,
}
# What people take for a pack, by its first bytes.
OTHERS = (
    (b"PK\x03\x04", "a zip file"),
    (b"SQLite format 3\x00", "a database"),
    (b"\x1f\x8b", "a gzip file"),
    (b"\x80", "a pickle, which could run anything"),
    (b"\xff\xfe", "not UTF-8"),
    (b"\xfe\xff", "not UTF-8"),
    (b"\xef\xbb\xbf", "text with a byte order mark"),
    (b"version https://git-lfs", "a Git LFS pointer (type: git lfs pull)"),
)


@contextmanager
def open_plain(path: Path) -> Iterator[BinaryIO]:
    """*path*, which must be a plain file, open for reading."""
    flags = (
        os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    )
    try:
        if path.is_symlink():  # where the system has no O_NOFOLLOW
            raise PackRefused(
                f"{path.name} is a link, and a pack is not read through one. Give the file itself."
            )
        number = os.open(path, flags)
    except FileNotFoundError:
        raise PackRefused(
            f"There is no pack {path.name} here. Give its path, or make it: qwennb pack NOTEBOOK."
        ) from None
    except OSError as error:
        raise PackRefused(f"The pack {path.name} can't be opened ({error.strerror}).") from None
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise PackRefused(f"{path.name} is no plain file, so it can't be a pack.")
    with os.fdopen(number, "rb", buffering=0) as file:
        yield file


def lines_of(file: BinaryIO, name: str) -> Iterator[bytes]:
    """Read the lines of a pack's file from its beginning, without their ends; PackRefused at the first thing amiss."""
    file.seek(0)
    first = file.read(CHUNK)
    for mark, what in OTHERS:
        if first.startswith(mark):
            raise PackRefused(f"{name} is {what}, not a pack.")
    if first.startswith(ZSTD):
        return _lines(_decompress(file, first, name), name)
    return _lines(chain([first], iter(partial(file.read, CHUNK), b"")), name)


def _decompress(file: BinaryIO, first: bytes, name: str) -> Iterator[bytes]:
    """Read what the one frame of *file* holds, in pieces."""
    reader = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: WIDEST_WINDOW})
    read = made = 0
    chunk = first
    try:
        while not reader.eof:
            if reader.needs_input:
                if not chunk:
                    raise PackRefused(f"{name} is cut off. Get it again.")
                read += len(chunk)
                piece = reader.decompress(chunk, CHUNK)
                chunk = b"" if reader.eof else file.read(CHUNK)
            else:
                piece = reader.decompress(b"", CHUNK)
            made += len(piece)
            if made > FREE_GROWTH and made > MOST_GROWTH * read:
                raise PackRefused(
                    f"{name} grows to more than {MOST_GROWTH} times its size, as a bomb does. It was not read further."
                )
            yield piece
    except zstd.ZstdError:
        raise PackRefused(f"{name} is damaged: it can't be decompressed. Get it again.") from None
    length = read - len(reader.unused_data)
    file.seek(length)
    behind = file.read(len(SEAL) + 33)
    if behind and behind != SEAL + _digest(file, length):
        raise PackRefused(f"{name} is damaged: its bytes are not those that were written. Get it again.")


def _digest(file: BinaryIO, length: int) -> bytes:
    """Make the sha256 of the first *length* bytes of *file*."""
    file.seek(0)
    made = hashlib.sha256()
    while length > 0 and (chunk := file.read(min(CHUNK, length))):
        made.update(chunk)
        length -= len(chunk)
    return made.digest()


def _lines(pieces: Iterator[bytes], name: str) -> Iterator[bytes]:
    """Cut *pieces* into lines; each ends in a line feed, and none is longer than the limit."""
    begun: list[bytes] = []
    waiting = total = 0
    for piece in pieces:
        total += len(piece)
        if total > MOST_BYTES:
            raise PackRefused(
                f"{name} holds more than {MOST_BYTES // MIB:,} MiB, the most that a pack may hold."
            )
        *whole, rest = piece.split(b"\n")
        for line in whole:
            if waiting:
                line, begun, waiting = b"".join([*begun, line]), [], 0
            _check_length(len(line), name)
            yield line
        begun.append(rest)
        waiting += len(rest)
        _check_length(waiting, name)
    if waiting and total == waiting and not _begins_like_a_pack(b"".join(begun)):
        raise PackRefused(f"{name} is no pack: its first line is not a pack's header.")
    if waiting:
        raise PackRefused(f"{name} is cut off in the middle of a line. Get it again.")


def _begins_like_a_pack(text: bytes) -> bool:
    header = b'{"qwennb_pack":'
    return text.startswith(header) or header.startswith(text)


def _check_length(length: int, name: str) -> None:
    if length > LONGEST_LINE:
        raise PackRefused(
            f"{name} has a line of more than {LONGEST_LINE // MIB} MiB, the most that a line may have."
        )


def write(path: Path, lines: Iterable[bytes]) -> None:
    """Have *path* hold these lines, in one step: whoever looks finds the old file or the new one, whole."""
    pieces = _compress(lines) if path.name.endswith(".zst") else _end_lines(lines)
    try:
        replace_file(path, pieces, private=False, durable=True)  # not private: a pack is for others
    except OSError as error:
        raise PackRefused(f"The pack {path.name} can't be written ({error.strerror}).") from error


def _end_lines(lines: Iterable[bytes]) -> Iterator[bytes]:
    for line in lines:
        yield line + b"\n"


def _compress(lines: Iterable[bytes]) -> Iterator[bytes]:
    writer = zstd.ZstdCompressor(options=LEVEL)
    seal = hashlib.sha256()
    for piece in _end_lines(lines):
        made = writer.compress(piece)
        seal.update(made)
        yield made
    made = writer.flush()
    seal.update(made)
    yield made
    yield SEAL + seal.digest()
