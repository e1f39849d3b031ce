"""Load folders of examples with `datasets`, as a user would; run by the Python of `.venv-loaders`.

python -m tests.tuning.loading FOLDER…      one line of JSON a folder: {split: [row, …]}
"""

from __future__ import annotations

import hashlib
import json
import os
import sys

import datasets


def load(folder: str) -> dict[str, object]:
    """The rows of each split; of a picture, size and the colour of its first pixel."""
    loaded = datasets.load_dataset(folder)
    rows = {split: list(part) for split, part in loaded.items()}
    if any(row.get("images") for part in rows.values() for row in part):
        os.chdir(folder)
        seen = loaded["train"].cast_column("images", datasets.List(datasets.Image()))
        rows["seen"] = [
            [
                [*picture.size, hashlib.sha256(picture.convert("RGB").tobytes()).hexdigest()]
                for picture in row["images"]
            ]
            for row in seen
        ]
    return rows


datasets.disable_progress_bars()
for name in sys.argv[1:]:
    print(json.dumps(load(name)))
