"""A GGUF file by its name on a model hub, fetched over https.

    hub:Qwen/Qwen3.5-9B-GGUF/qwen3.5-9b-q4_k_m.gguf          an owner, a repository, a file, perhaps in folders
    hub:Qwen/Qwen3.5-9B-GGUF/qwen3.5-9b-q4_k_m.gguf@abc123   the same, at one revision

The hub answers a HEAD for the file with what it is (`X-Linked-ETag`, its sha256; `X-Linked-Size`; `X-Repo-Commit`) and
with a redirect to where the bytes lie. We take the first from the hub itself, follow the second only to https, ask for
the bytes after those we have (`Range`), and trust nothing but the hash.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urljoin, urlsplit

import httpx2

from qwennb.endpoints.local.model_folder import ModelFile
from qwennb.endpoints.transports import connect
from qwennb.errors import ConfigError, UnknownModel, Unreachable
from qwennb.machine import is_loopback
from qwennb.terminal import flatten

HUB = "https://huggingface.co"
PREFIX = "hub:"
PATIENCE = 60.0  # seconds without a byte
MOVES = 5  # redirects, from one name to another or to where the bytes lie; the hub's own are one or two

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
            goes_on = reply.status_code == 206 and reply.headers.get("Content-Range", "").startswith(
                f"bytes {have}-"
            )
            if not goes_on:
                have = 0  # it sends the whole file from its start
            file.seek(have)
            file.truncate()
            try:
                for block in _blocks(reply):
                    have += file.write(block[: self._size - have])
                    say(have)
                    if have == self._size:
                        return
            finally:
                file.flush()
                os.fsync(file.fileno())

    @contextmanager
    def _open(self, have: int) -> Iterator[httpx2.Response]:
        """Open the file's bytes after the first *have*, wherever the hub says that they lie."""
        address = self._address
        for _ in range(MOVES):
            with self._ask("GET", address, {"Range": f"bytes={have}-"} if have else {}) as reply:
                if reply.has_redirect_location:
                    address = urljoin(address, reply.headers["Location"])
                    if not _is_safe(address):
                        raise _Broken("it redirects to an address that is not https")
                    continue
                if reply.status_code not in (200, 206):
                    raise self._refusal(reply.status_code)
                yield reply
                return
        raise self._circle()

    def _head(self) -> Mapping[str, str]:
        address = self._address
        for _ in range(MOVES):
            try:
                with self._ask("HEAD", address) as reply:
                    headers = reply.headers
            except _Broken as broken:
                raise Unreachable(
                    f"The hub at {self._base} can't be reached for {self._wanted} ({broken}). "
                    "Without it there is the bundled model; type: qwennb local pull"
                ) from None
            if not reply.has_redirect_location:
                if reply.status_code != 200:
                    raise self._refusal(reply.status_code)
                return headers
            # A repository that was renamed: the hub itself says where it is now. Nobody else is asked.
            onward = urljoin(address, headers["Location"])
            is_elsewhere = urlsplit(onward).netloc != urlsplit(address).netloc
            if headers.get("X-Linked-ETag") or is_elsewhere or not _is_safe(onward):
                return headers
            address = onward
        raise self._circle()

    @contextmanager
    def _ask(
        self, method: str, address: str, headers: Mapping[str, str] | None = None
    ) -> Iterator[httpx2.Response]:
        """Ask for *address*, and nothing that it redirects to."""
        sent = {"Accept-Encoding": "identity", "User-Agent": connect.user_agent(), **(headers or {})}
        with ExitStack() as stack:
            try:
                client = stack.enter_context(
                    httpx2.Client(
                        proxy=connect.proxy_of(address),
                        verify=connect.certificates(),
                        trust_env=False,
                        timeout=self._patience,
                    )
                )
                reply = client.send(client.build_request(method, address, headers=sent), stream=True)
            except (httpx2.HTTPError, httpx2.InvalidURL) as error:  # the second: a mistyped proxy
                raise _Broken(connect.http_reason(error)) from None
            stack.callback(reply.close)
            yield reply

    def _circle(self) -> Exception:
        return Unreachable(f"The hub at {self._base} sends {self._wanted} round in a circle.")

    def _refusal(self, status: int) -> Exception:
        if status in (401, 403, 404):
            return UnknownModel(
                f"The hub shows nobody a file {self._wanted} ({status}): look at its name, or it wants a login; "
                "then download it yourself and give its path as the model."
            )
        return Unreachable(
            f"The hub answered {status} for {self._wanted}. To try again, type the same command."
        )


class _Broken(Exception):
    """The line broke, as opposed to the disk."""


def _blocks(reply: httpx2.Response) -> Iterator[bytes]:
    try:
        yield from reply.iter_raw()
    except httpx2.HTTPError as error:
        raise _Broken(connect.http_reason(error)) from None


def _is_safe(address: str) -> bool:
    parts = urlsplit(address)
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(address))
