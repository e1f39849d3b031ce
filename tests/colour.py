"""`poe colour`: write the hash of what JupyterLab is served into its package.json, by which browsers know what is new."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

LABEXTENSION = Path(__file__).parents[1] / "qwennb" / "notebook" / "labextension"


def main() -> None:
    """Write the hash."""
    package = LABEXTENSION / "package.json"
    version = hashlib.sha256((LABEXTENSION / "static" / "remoteEntry.js").read_bytes()).hexdigest()[:20]
    text = package.read_text(encoding="utf-8")
    package.write_text(
        re.sub(r"remoteEntry\.js\?v=\w+", f"remoteEntry.js?v={version}", text), encoding="utf-8"
    )


if __name__ == "__main__":
    main()
