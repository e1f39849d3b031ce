"""How a reader is run in a process of its own: within bounds, with nothing of our environment but what it needs.

A reader in native code can be made to fill the memory, to work for hours or to crash. Here that costs one document and not the
notebook.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from qwennb.errors import MediaError
from qwennb.machine import keep_needed

# A PDF page of prose takes 2 ms, and a file of 500 pages a second; of pictures, only the bytes are read. What is counted is the
# processor's time, so that a busy machine refuses nothing that an idle one reads.
_SECONDS, _SECONDS_A_MEGABYTE = 4, 0.5
_MEMORY, _MEMORY_A_BYTE = (
    400 << 20,
    3,
)  # beside what the libraries take; a file is held twice, and once more in pieces
_PATIENCE = 10  # on the wall, times the processor's time

_places = threading.BoundedSemaphore(os.cpu_count() or 2)  # of processes at a time


def ask_child(
    file: str, content: bytes, name: str, libraries: tuple[str, ...], **settings: Any
) -> list[dict[str, Any]]:
    """Have *file*, beside this one, read *content* with *libraries*, and give the lines that it told."""
    seconds = int(_SECONDS + _SECONDS_A_MEGABYTE * len(content) / 1e6)
    memory = _MEMORY + _MEMORY_A_BYTE * len(content)
    told = {"seconds": seconds, "bytes": memory, "path": _folders(libraries), **settings}
    command = [sys.executable, "-I", "-S", str(Path(__file__).with_name(file)), json.dumps(told)]
    with _places:
        try:
            done = subprocess.run(  # noqa: S603 (our own interpreter, our own file)
                command,
                input=content,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=keep_needed(os.environ),
                timeout=_PATIENCE * seconds,
                check=False,
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),  # Windows alone has it
            )
        except subprocess.TimeoutExpired:
            done = None
    if done is None or done.returncode:
        raise MediaError(
            f"{name} can't be read within {seconds} s and {memory >> 20} MB: it is damaged, made to use them up, or too much at "
            "once; give a part of it, or save it anew"
        )
    return [json.loads(line) for line in done.stdout.splitlines()]


def is_installed(library: str) -> bool:
    """Tell whether *library* can be imported, without doing it."""
    return importlib.util.find_spec(library) is not None


def _folders(libraries: tuple[str, ...]) -> list[str]:
    """Where *libraries* are imported from."""
    specs = map(importlib.util.find_spec, libraries)
    return sorted({str(Path(spec.origin).parents[1]) for spec in specs if spec is not None and spec.origin})
