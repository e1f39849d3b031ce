"""qwennb: Qwen 3.5 in notebooks and data pipelines.

    from qwennb import Qwen
    qwen = Qwen()
    answer = qwen.ask("Summarise {{ doc }}", doc=text)

Names are loaded when they are first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from qwennb import registration

__version__ = "0.1.0"

TYPE_CHECKING = False  # as typing's own, without loading it
if TYPE_CHECKING:
    from typing import Any

    from qwennb.answer import Answer
    from qwennb.cache import Pack
    from qwennb.client import Chat, Qwen, load_pack
    from qwennb.frames import (
        add_to_duckdb,
        ask,
        batches,
        check,
        classify,
        col,
        draw,
        estimate,
        evidence,
        extract,
        plan,
        score,
        summarize,
        translate,
        use,
    )
    from qwennb.frames import filter as filter  # noqa: A004 - polars' own word
    from qwennb.notebook import widgets as widgets
    from qwennb.request import Document, Image, Pdf, Video
    from qwennb.truth import compare

_HOMES = {
    name: room
    for room, names in {
        "qwennb.answer": ["Answer"],
        "qwennb.cache": ["Pack"],
        "qwennb.client": ["Chat", "Qwen", "load_pack"],
        "qwennb.frames": [
            "add_to_duckdb", "ask", "batches", "check", "classify", "col", "draw", "estimate", "evidence", "extract", "filter", "plan", "score", "summarize", "translate", "use",
        ],
        "qwennb.notebook": ["load_ipython_extension", "unload_ipython_extension"],
        "qwennb.notebook.widgets": ["widgets"],
        "qwennb.request": ["Document", "Image", "Pdf", "Video"],
        "qwennb.truth": ["compare"],
    }.items()
    for name in names
}  # fmt: skip

# Not `filter`: `from qwennb import *` would put it in the place of Python's own.
__all__ = [
    "Answer",
    "Chat",
    "Document",
    "Image",
    "Pack",
    "Pdf",
    "Qwen",
    "Video",
    "add_to_duckdb",
    "ask",
    "batches",
    "check",
    "classify",
    "col",
    "compare",
    "draw",
    "estimate",
    "evidence",
    "extract",
    "load_pack",
    "plan",
    "score",
    "summarize",
    "translate",
    "use",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'qwennb' has no attribute {name!r}")
    from importlib import import_module

    home = import_module(_HOMES[name])
    if home.__name__ == "qwennb.request":
        # A missing picture may lie beside a pack, though nobody has asked yet.
        home.look_elsewhere(lambda file, cap: import_module("qwennb.client").source_from_packs(file, cap))
    value = home if name == "widgets" else getattr(home, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})


registration.register()
registration.show_options_on_tab()
