"""What the tests need beside Python packages: Debian packages, axe-core from npm and the local model, the last two by hash."""

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

DEBIAN = {"strace": "strace", "chromium": "chromium", "npm": "npm"}  # command → package
AXE = "axe-core@4.14.1"
AXE_SHA256 = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"
AXE_FILE = (
    Path(__file__).parent / "browser" / "axe.min.js"
)  # not in git: it is fetched, and under a licence of its own


def main() -> int:
    """Install and fetch; say what could not be had."""
    debian()
    axe()
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
    npm = shutil.which("npm")
    if npm is None:
        return
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([npm, "pack", "--silent", AXE], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        archive = next(Path(folder).glob("*.tgz")).read_bytes()
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        member = opened.extractfile("package/axe.min.js")
        assert member is not None
        script = member.read()
    if _sha256(script) != AXE_SHA256:
        raise SystemExit(f"{AXE} is not the file that was expected: sha256 {_sha256(script)}")
    AXE_FILE.parent.mkdir(exist_ok=True)
    AXE_FILE.write_bytes(script)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
