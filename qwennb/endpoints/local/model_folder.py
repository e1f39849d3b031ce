"""A model's file: what it is, and the folder of such files: `models` in the user's own data folder, wherever answers are kept; ours alone (0700, files 0600).

A file is fetched into `<name>.part`, which outlives a break and is gone on with next time. Only when its size and
sha256 are right is it renamed to its own name, which is one step for whoever looks. What is wrong is deleted. A lock
beside it lets one process fetch while others wait, and then find the file in its place.

Hashing half a gigabyte takes seconds, so a hash is remembered with the file's device, number, size and times. Among
these is the time of change, which nobody can set: a file touched since is hashed again.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from qwennb.errors import ConfigError
from qwennb.files import (
    is_foreign,
    is_writable_by_others,
    lock,
    make_private_folder,
    open_private,
    replace_file,
)
from qwennb.terminal import flatten

MAGIC = b"GGUF"
SLACK = 16 * 2**20  # bytes left to the disk when a model has taken its place


@dataclass(frozen=True, slots=True)
class ModelFile:
    """What a model's file is: its name, the hash that it is trusted by, its size in bytes, where it comes from."""

    name: str
    sha256: str
    size: int
    origin: str
    licence: str

    @property
    def identity(self) -> str:
        """Who answers, for the store of answers: the bytes of the model, wherever they lie."""
        return f"local:{self.sha256}"

    @property
    def file_name(self) -> str:
        """What it is called on disk: two models of one name never meet."""
        return f"{self.sha256[:16]}-{self.name}.gguf"

    def __str__(self) -> str:
        return flatten(f"{self.name} ({self.size / 1e6:,.0f} MB, {self.licence}; {self.origin})")


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A model's file on this machine, checked against its hash. `log` is where its server writes what goes wrong."""

    file: ModelFile
    path: Path
    log: Path


def check_gguf(path: Path) -> None:
    """Refuse what is not a GGUF file, before llama.cpp reads a byte of it."""
    try:
        with path.open("rb") as file:
            start = file.read(len(MAGIC))
    except OSError as error:
        raise ConfigError(f"The model file {path} can't be read ({error.strerror}).") from None
    if start != MAGIC:
        raise ConfigError(f"{path} is not a GGUF file, which is the only kind that llama.cpp reads.")


@dataclass(frozen=True, slots=True)
class DownloadProgress:
    """How far a fetch has come: *done* of the file's bytes. The first is told before anything is fetched."""

    file: ModelFile
    done: int

    def __str__(self) -> str:
        size = self.file.size
        return flatten(
            f"{self.file.name}: {self.done / 1e6:,.0f} of {size / 1e6:,.0f} MB ({100 * self.done // size} %)"
        )


class ModelSource(Protocol):
    """Where a file's bytes come from."""

    @property
    def spare(self) -> int:
        """Bytes of room that it needs, beside the file's own, while it fetches."""
        ...

    def fetch(self, part: Path, say: Callable[[int], None]) -> None:
        """Append to *part* what it still lacks; *say* is told how much of it is there."""
        ...


class ModelFolder:
    """The models in one folder."""

    def __init__(self, cache_dir: Path) -> None:
        self.folder = cache_dir / "models"
        self._hashes = self.folder / "hashes.json"

    def place(self, file: ModelFile) -> LocalModel:
        """Where *file* lies or will lie."""
        path = self.folder / file.file_name
        return LocalModel(file=file, path=path, log=path.with_suffix(".log"))

    def find(self, file: ModelFile) -> LocalModel | None:
        """*file*, if it lies here. One that is not what its name says is deleted and refused."""
        model = self.place(file)
        if not model.path.is_file():
            return None
        if model.path.stat().st_size == file.size and self.sha256(model.path) == file.sha256:
            return model
        model.path.unlink(missing_ok=True)
        raise ConfigError(
            f"The file of {file.name} was damaged or changed since it was fetched, and is deleted. "
            "Type: qwennb local pull"
        )

    def find_by_origin(self, origin: str) -> LocalModel | None:
        """The model that was fetched from *origin*, the latest if there are several."""
        found: list[tuple[float, ModelFile]] = []
        for record in self.folder.glob("*.json"):
            with contextlib.suppress(OSError, ValueError, TypeError):
                file = ModelFile(**json.loads(record.read_bytes()))
                if file.origin == origin and (self.folder / file.file_name).is_file():
                    found.append((record.stat().st_mtime, file))
        return self.find(max(found, key=lambda pair: pair[0])[1]) if found else None

    def foreign(self, path: Path) -> LocalModel:
        """A file of the user's own, anywhere. It is named by its hash like any other."""
        check_gguf(path)
        sha256 = self.sha256(path)
        size = path.stat().st_size
        file = ModelFile(path.stem, sha256, size, origin="a file of the user's own", licence="not known")
        return LocalModel(file=file, path=path, log=self.place(file).log)

    def receive(
        self, file: ModelFile, source: ModelSource, say: Callable[[DownloadProgress], None]
    ) -> LocalModel:
        """Fetch *file* from *source*, unless it is here; whoever else fetches it is waited for."""
        self.prepare()
        model = self.place(file)
        part = model.path.with_suffix(".part")
        with open_private(model.path.with_suffix(".lock"), "ab") as held:
            lock(held)
            try:
                if known := self.find(file):
                    return known
            except ConfigError:
                pass  # it is deleted, and fetched anew
            have = _size(part)
            if have > file.size:
                part.unlink()
                have = 0
            self._need(file.size - have + source.spare + SLACK)
            say(DownloadProgress(file, have))
            open_private(part, "ab").close()
            part.chmod(0o600)
            try:
                source.fetch(part, lambda done: say(DownloadProgress(file, done)))
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT):
                    raise _no_space(self.folder, file.size - _size(part)) from None
                raise ConfigError(
                    f"{file.name} can't be written to {self.folder} ({error.strerror})."
                ) from error
            self._check(part, file)
            # Without its record a model from the hub is not found again, so the record comes first.
            self._write(model.path.with_suffix(".json"), asdict(file))
            part.replace(model.path)
            # The rename changes the file's time of change; what it holds was hashed a moment ago, under the lock.
            self._remember(model.path, file.sha256)
            return model

    def sha256(self, path: Path) -> str:
        """The hash of the file *path*, remembered for as long as the file is not touched."""
        try:
            known = self._read_index().get(str(path.resolve()))
            before = _signature(path)
            if isinstance(known, list) and known[:-1] == before:
                return str(known[-1])
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise ConfigError(f"The model file {path} can't be read ({error.strerror}).") from None
        if _signature(path) == before:
            self._remember(path, digest)
        return digest

    def prepare(self) -> None:
        """Make the folder, and refuse one that somebody else could put a file into."""
        for folder in (self.folder.parent, self.folder):
            try:
                facts = make_private_folder(folder)
            except OSError as error:
                raise ConfigError(
                    f"The folder {folder} can't be made ({error.strerror}), and models are kept there."
                ) from None
            if is_foreign(facts) or is_writable_by_others(facts):
                raise ConfigError(
                    f"Others can write into {folder}, so no model is kept there. Type: chmod 700 '{folder}'"
                )

    def _check(self, part: Path, file: ModelFile) -> None:
        size = _size(part)
        with part.open("rb") as fetched:
            digest = hashlib.file_digest(fetched, "sha256").hexdigest()
        if size != file.size or digest != file.sha256:
            part.unlink()
            raise ConfigError(
                f"What was fetched as {file.name} is not that file (sha256 {digest[:16]}… of {size:,} bytes, wanted "
                f"{file.sha256[:16]}… of {file.size:,}). It is deleted, nothing of it was used."
            )
        try:
            check_gguf(part)
        except ConfigError:
            part.unlink()
            raise ConfigError(f"{file.name} is not a GGUF file, so it is deleted.") from None

    def _need(self, wanted: int) -> None:
        if shutil.disk_usage(self.folder).free < wanted:
            raise _no_space(self.folder, wanted)

    def _read_index(self) -> dict[str, Any]:
        try:
            known = json.loads(self._hashes.read_bytes())
        except (OSError, ValueError):
            return {}
        return known if isinstance(known, dict) else {}

    def _remember(self, path: Path, digest: str) -> None:
        """Only a convenience: two processes may lose each other's line, and a full disk is no reason to fail."""
        with contextlib.suppress(OSError, ConfigError):
            self.prepare()
            known = self._read_index() | {str(path.resolve()): [*_signature(path), digest]}
            self._write(self._hashes, {name: kept for name, kept in known.items() if Path(name).exists()})

    def _write(self, path: Path, content: dict[str, Any]) -> None:
        replace_file(path, json.dumps(content, indent=1).encode())


def _no_space(folder: Path, wanted: int) -> ConfigError:
    """Make the error of a disk that is too full."""
    return ConfigError(
        f"The model needs {wanted / 1e6:,.0f} MB more on the disk of {folder}, and there is less. "
        "Make room, or make it a link to a folder on another disk: QWENNB_CACHE_DIR moves answers, and no models."
    )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _signature(path: Path) -> list[int]:
    facts = path.stat()
    return [facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns]
