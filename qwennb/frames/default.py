"""The client that columns ask when none is given: the notebook's default."""

from __future__ import annotations

import threading
from typing import Any

from qwennb.client import Qwen

_lock = threading.Lock()
_default: list[Qwen] = []


def use(client: Qwen | None = None, **settings: Any) -> Qwen:
    """Make *client*, or one made of *settings* (model, endpoint, cache, …), what columns ask from now on."""
    if client is not None and settings:
        from qwennb.errors import BadInput

        raise BadInput("Both a client and settings are given. Give use(client), or use(model=…, endpoint=…).")
    made = client if client is not None else Qwen(**settings)
    with _lock:
        _default[:] = [made]
    return made


def default_client() -> Qwen:
    """The client that `use` set; else one with every setting found by the rules."""
    with _lock:
        if not _default:
            _default.append(Qwen())
        return _default[0]


def forget_default() -> None:
    """As before any `use`."""
    with _lock:
        _default.clear()
