"""A model's file: what it is, and where one lies on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from qwennb.errors import ConfigError
from qwennb.terminal import flatten

MAGIC = b"GGUF"


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
