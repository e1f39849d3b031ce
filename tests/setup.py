"""What the tests need beside their own Python packages: Debian packages, three packages of npm and the local model, these by
hash, and three environments for other people's libraries.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
DEBIAN = {"strace": "strace", "chromium": "chromium", "npm": "npm"}  # command → package
AXE = "axe-core@4.14.1"
AXE_SHA256 = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"
AXE_FILE = (
    Path(__file__).parent / "browser" / "axe.min.js"
)  # not in git: it is fetched, and under a licence of its own
# What typesets formulas and draws diagrams: MathJax and Mermaid as nbconvert's pages load them, and KaTeX. Kept as npm
# has them.
FORMULAS = {
    "mathjax@2.7.7": "f0054315d40f7288b2373b23520677fd1132a405702dfca05ee6ebe5cd0a8677",
    "mermaid@11.10.0": "9618dd5c3cd142b942ff7482b3df9cc3a7a155a094a3bbb12af3f9c234965ac3",
    "katex@0.19.1": "24da5a599eb2fcede2e270b99a6ff48bca816beecc95feeb84e8cccbd1bb34fd",
}
# The tools whose requests `qwennb export` writes, for tests/cli/test_export.py.
READERS = ("newman@6.2.2", "httpyac@6.16.7")


def main() -> int:
    """Install and fetch; say what could not be had."""
    debian()
    axe()
    formulas()
    readers()
    environment("peers")
    environment("loaders")
    environment("openapi")
    # Missing, the tests of the real model fail in CI.
    return subprocess.run([sys.executable, "-m", "qwennb.cli", "local", "pull"], check=False).returncode


def debian() -> None:
    """The programs, where they are missing and may be installed."""
    missing = [package for command, package in DEBIAN.items() if shutil.which(command) is None]
    if missing and shutil.which("apt-get") and os.geteuid() == 0:
        quiet = {"check": False, "stdout": subprocess.DEVNULL}
        subprocess.run(["apt-get", "update", "-q"], **quiet)
        subprocess.run(["apt-get", "install", "-y", "-q", "--no-install-recommends", *missing], **quiet)
    for command in DEBIAN:
        if shutil.which(command) is None:
            print(f"{command} is not installed; the tests that need it say so.")


def axe() -> None:
    """The accessibility checker that the browser tests put into a page."""
    if AXE_FILE.exists() and _sha256(AXE_FILE.read_bytes()) == AXE_SHA256:
        return
    archive = _packed(AXE)
    if archive is None:
        return
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        member = opened.extractfile("package/axe.min.js")
        assert member is not None
        script = member.read()
    if _sha256(script) != AXE_SHA256:
        raise SystemExit(f"{AXE} is not the file that was expected: sha256 {_sha256(script)}")
    AXE_FILE.parent.mkdir(exist_ok=True)
    AXE_FILE.write_bytes(script)


def formulas() -> None:
    """The readers of formulas and diagrams that the browser tests put into a page."""
    for name, sha256 in FORMULAS.items():
        file = AXE_FILE.with_name(f"{name.partition('@')[0]}.tgz")
        if file.exists() and _sha256(file.read_bytes()) == sha256:
            continue
        archive = _packed(name)
        if archive is None:
            return
        if _sha256(archive) != sha256:
            raise SystemExit(f"{name} is not the package that was expected: sha256 {_sha256(archive)}")
        file.write_bytes(archive)


def readers() -> None:
    """What reads Postman's collections and `.http` files."""
    npm, folder = shutil.which("npm"), ROOT / ".venv-readers"
    if npm is not None and not folder.exists():
        subprocess.run(
            [npm, "install", "--silent", "--no-audit", "--no-fund", "--prefix", folder, *READERS], check=True
        )


def environment(extra: str) -> None:
    """An environment of its own for other people's libraries: the peers hold openai and others at versions of their own, and
    what loads our files, or reads what the simulator says of itself, is heavy.
    """
    folder, uv = ROOT / f".venv-{extra}", [sys.executable, "-m", "uv"]
    if not folder.exists():
        subprocess.run([*uv, "venv", "-q", "--python", sys.executable, folder], check=True)
    subprocess.run([*uv, "pip", "install", "-q", "--python", folder, "-e", f"{ROOT}[{extra}]"], check=True)


def _packed(name: str) -> bytes | None:
    """A package of npm as it is published; None where there is no npm."""
    npm = shutil.which("npm")
    if npm is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([npm, "pack", "--silent", name], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        return next(Path(folder).glob("*.tgz")).read_bytes()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
