"""A saved notebook held against its pack without being run: are the answers that it shows in there, and as they are shown?

What cells print and what columns ask leaves no key in the notebook. Whether that replays too, only running it tells (`runner`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qwennb.answer import MIME, markup
from qwennb.cache import Pack, find_pack_of
from qwennb.errors import BadInput, PackRefused

LARGEST = 256 * 2**20  # bytes of a notebook that is read


@dataclass(frozen=True, slots=True)
class SavedAnswer:
    """An answer that a cell shows: the cell's number, the keys of its steps, its own last, and its text as it was saved."""

    cell: int
    keys: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True)
class SavedCheck:
    """What came of it: the answers shown, those that the pack lacks, and those whose text is another one there."""

    notebook: str
    pack: str
    root: str
    packed: int
    shown: tuple[SavedAnswer, ...]
    missing: tuple[SavedAnswer, ...]
    differing: tuple[SavedAnswer, ...]

    @property
    def same(self) -> bool:
        """Whether every answer shown is in the pack, as it is shown."""
        return not self.missing and not self.differing


def check_saved(notebook: Path, file: Path | None = None) -> SavedCheck:
    """Hold what *notebook* shows against the pack in *file*, or the one that has its name. Nothing is run."""
    shown = tuple(_read_answers(notebook))
    found = file or find_pack_of(notebook)
    if found is None:
        raise PackRefused(
            f"There is no pack beside {notebook.name}. Name one, or make it: qwennb pack {notebook.name}"
        )
    pack = Pack.read(found)
    texts: dict[str, list[str]] = {}
    for answer in pack:
        texts.setdefault(answer.key, []).append(markup.plain(answer.text))
    missing = [one for one in shown if any(key not in texts for key in one.keys)]
    differing = [
        one
        for one in shown
        if one not in missing and not any(text in one.text for text in texts[one.keys[-1]])
    ]
    return SavedCheck(
        notebook.name, found.name, pack.root, len(pack), shown, tuple(missing), tuple(differing)
    )


def _read_answers(notebook: Path) -> Iterator[SavedAnswer]:
    for number, cell in enumerate(_read_cells(notebook), 1):
        for output in cell.get("outputs", ()) if isinstance(cell, Mapping) else ():
            data = output.get("data") if isinstance(output, Mapping) else None
            told = data.get(MIME) if isinstance(data, Mapping) else None
            if isinstance(data, Mapping) and isinstance(told, Mapping) and isinstance(told.get("key"), str):
                steps = [step for step in told.get("steps", ()) if isinstance(step, str)]
                text = data.get("text/plain", "")
                yield SavedAnswer(
                    number, (*steps, told["key"]), "".join(text) if isinstance(text, list) else str(text)
                )


def _read_cells(notebook: Path) -> list[Any]:
    try:
        if notebook.stat().st_size > LARGEST:
            raise BadInput(
                f"{notebook.name} is larger than a notebook that is read ({LARGEST // 2**20} MiB)."
            )
        cells = json.loads(notebook.read_bytes())["cells"]
    except FileNotFoundError:
        raise BadInput(f"There is no notebook {notebook.name}.") from None
    except OSError as error:
        raise BadInput(f"The notebook {notebook.name} can't be read ({error.strerror}).") from None
    except (ValueError, RecursionError, KeyError, TypeError):
        cells = None
    if not isinstance(cells, list):
        raise BadInput(f"{notebook.name} is no notebook that can be read.")
    return cells
