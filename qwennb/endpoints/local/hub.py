"""A GGUF file by its name on a model hub, fetched over https.

    hub:Qwen/Qwen3.5-9B-GGUF/qwen3.5-9b-q4_k_m.gguf          an owner, a repository, a file, perhaps in folders
    hub:Qwen/Qwen3.5-9B-GGUF/qwen3.5-9b-q4_k_m.gguf@abc123   the same, at one revision

The hub answers a HEAD for the file with what it is (`X-Linked-ETag`, its sha256; `X-Linked-Size`; `X-Repo-Commit`) and
with a redirect to where the bytes lie. We take the first from the hub itself, follow the second only to https, ask for
the bytes after those we have (`Range`), and trust nothing but the hash.
"""

from __future__ import annotations

import http.client
import os
import re
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from qwennb.endpoints.local.model_file import ModelFile
from qwennb.errors import ConfigError, UnknownModel, Unreachable
from qwennb.machine import is_loopback
from qwennb.terminal import flatten

HUB = "https://huggingface.co"
PREFIX = "hub:"
BLOCK = 2**18
PATIENCE = 60.0  # seconds without a byte
MOVES = 5  # redirects from one name to another before the file's description

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class HubFile:
    """A GGUF file on a hub: `owner/repository`, the file in it, and a branch, tag or commit."""

    repository: str
    file: str
    revision: str = "main"

    def __post_init__(self) -> None:
        names = [*self.repository.split("/"), *self.file.split("/"), *self.revision.split("/")]
        sound = all(_NAME.fullmatch(name) for name in names) and self.repository.count("/") == 1
        if not sound or not self.file.endswith(".gguf"):
            raise UnknownModel(
                f"`{self}` names no file on a hub. Write {PREFIX}owner/repository/file.gguf, "
                "with @revision after it where it matters."
            )

    @classmethod
    def parse(cls, text: str) -> HubFile:
        """From `hub:owner/repository/file.gguf[@revision]`."""
        name, _, revision = text.removeprefix(PREFIX).partition("@")
        owner, _, rest = name.partition("/")
        repository, _, file = rest.partition("/")
        return cls(f"{owner}/{repository}", file, revision or "main")

    def __str__(self) -> str:
        revision = "" if self.revision == "main" else f"@{self.revision}"
        return flatten(f"{PREFIX}{self.repository}/{self.file}{revision}")

    def address(self, base: str, revision: str | None = None) -> str:
        """Where the hub at *base* answers for it."""
        return f"{base.rstrip('/')}/{self.repository}/resolve/{quote(revision or self.revision, safe='')}/{self.file}"


class Hub:
    """The source of one `HubFile` at the hub *base*."""

    spare = 0

    def __init__(self, wanted: HubFile, *, base: str = HUB, patience: float = PATIENCE) -> None:
        if not _is_safe(base):
            raise ConfigError(f"The hub's address `{base}` must begin with https://.")
        self._patience = patience
        self._wanted = wanted
        self._base = base
        self._address = wanted.address(base)
        self._sha256 = ""
        self._size = 0

    def describe(self) -> ModelFile:
        """What the hub says the file is. Later bytes are asked for at this very commit."""
        headers = self._head()
        sha256 = headers.get("X-Linked-ETag", "").removeprefix("W/").strip('"').lower()
        size = headers.get("X-Linked-Size", "")
        if not _SHA256.fullmatch(sha256) or not size.isdecimal() or not int(size):
            raise UnknownModel(
                f"The hub gives no sha256 for {self._wanted}, so the file can't be checked and is not fetched."
            )
        commit = headers.get("X-Repo-Commit", "")
        if re.fullmatch(r"[0-9a-f]{40}", commit):
            self._address = self._wanted.address(self._base, commit)
        self._sha256, self._size = sha256, int(size)
        name = self._wanted.file.rpartition("/")[2].removesuffix(".gguf")
        licence = f"see the model's page, {self._wanted.repository}"
        return ModelFile(name, sha256, self._size, origin=str(self._wanted), licence=licence)

    def fetch(self, part: Path, say: Callable[[int], None]) -> None:
        """Append the bytes that *part* lacks. A broken line is taken up again for as long as each try brings some."""
        while (have := part.stat().st_size) < self._size:
            reason = "the answer was short"
            try:
                self._append(part, have, say)
            except _Broken as broken:
                reason = str(broken)
            if part.stat().st_size <= have:
                raise Unreachable(
                    f"The hub broke off {self._wanted} at {have / 1e6:,.0f} of {self._size / 1e6:,.0f} MB ({reason}). "
                    f"What is there is kept; to go on, type: qwennb local pull {self._wanted}"
                )

    def _append(self, part: Path, have: int, say: Callable[[int], None]) -> None:
        with self._open(have) as reply, part.open("r+b") as file:
            goes_on = reply.status == 206 and reply.headers.get("Content-Range", "").startswith(
                f"bytes {have}-"
            )
            if not goes_on:
                have = 0  # it sends the whole file from its start
            file.seek(have)
            file.truncate()
            try:
                while have < self._size and (block := _read(reply, min(BLOCK, self._size - have))):
                    file.write(block)
                    have += len(block)
                    say(have)
            finally:
                file.flush()
                os.fsync(file.fileno())

    def _open(self, have: int) -> http.client.HTTPResponse:
        asked = urllib.request.Request(self._address, headers={"Accept-Encoding": "identity"})  # noqa: S310 (checked)
        if have:
            asked.add_header("Range", f"bytes={have}-")
        try:
            reply: http.client.HTTPResponse = _opener(_OnlySafe()).open(asked, timeout=self._patience)
        except urllib.error.HTTPError as error:
            error.close()
            raise self._refusal(error) from None
        except (OSError, http.client.HTTPException) as error:
            raise _Broken(getattr(error, "reason", None) or error) from None
        return reply

    def _head(self) -> Any:
        address = self._address
        for _ in range(MOVES):
            asked = urllib.request.Request(  # noqa: S310 (checked)
                address, method="HEAD", headers={"Accept-Encoding": "identity"}
            )
            try:
                with _opener(_Stay()).open(asked, timeout=self._patience) as reply:
                    return reply.headers
            except urllib.error.HTTPError as error:
                error.close()
                moved = error.headers.get("Location", "")
                if not 300 <= error.code < 400 or not moved:
                    raise self._refusal(error) from None
                if error.headers.get("X-Linked-ETag"):
                    return error.headers
                # A repository that was renamed: the hub itself says where it is now. Nobody else is asked.
                onward = urljoin(address, moved)
                if urlsplit(onward).netloc != urlsplit(address).netloc or not _is_safe(onward):
                    return error.headers
                address = onward
            except (OSError, http.client.HTTPException) as error:
                reason = getattr(error, "reason", None) or error
                raise Unreachable(
                    f"The hub at {self._base} can't be reached for {self._wanted} ({reason}). "
                    "Without it there is the bundled model; type: qwennb local pull"
                ) from None
        raise Unreachable(f"The hub at {self._base} sends {self._wanted} round in a circle.")

    def _refusal(self, error: urllib.error.HTTPError) -> Exception:
        if error.code in (401, 403, 404):
            return UnknownModel(
                f"The hub shows nobody a file {self._wanted} ({error.code}): look at its name, or it wants a login; "
                "then download it yourself and give its path as the model."
            )
        return Unreachable(
            f"The hub answered {error.code} for {self._wanted}. To try again, type the same command."
        )


class _Broken(Exception):
    """The line broke, as opposed to the disk: both are an OSError to Python."""


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows nothing: the redirect itself carries what we want to know."""

    def redirect_request(self, *_: Any) -> None:
        return None


class _OnlySafe(urllib.request.HTTPRedirectHandler):
    """Follows to https only."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if not _is_safe(newurl):
            raise urllib.error.URLError("it redirects to an address that is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _read(reply: http.client.HTTPResponse, most: int) -> bytes:
    try:
        return reply.read1(most)
    except (OSError, http.client.HTTPException) as error:
        raise _Broken(error) from None


def _opener(redirects: urllib.request.HTTPRedirectHandler) -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(redirects)


def _is_safe(address: str) -> bool:
    parts = urlsplit(address)
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(address))
