"""What the tests need beside Python packages: the local model, by hash, and a few Debian packages where they can be had."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

DEBIAN = {"strace": "strace"}  # command → package


def main() -> int:
    """Install and fetch; say what could not be had."""
    missing = [package for command, package in DEBIAN.items() if shutil.which(command) is None]
    if missing and shutil.which("apt-get") and os.geteuid() == 0:
        subprocess.run(["apt-get", "update", "-q"], check=False, stdout=subprocess.DEVNULL)
        subprocess.run(["apt-get", "install", "-y", "-q", *missing], check=False, stdout=subprocess.DEVNULL)
    for command in DEBIAN:
        if shutil.which(command) is None:
            print(f"{command} is not installed; the tests that need it say so and are left out.")
    # Missing, the tests of the real model fail in CI.
    return subprocess.run([sys.executable, "-m", "qwennb.cli", "local", "pull"], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
