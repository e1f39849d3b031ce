"""The client that columns ask when none is given: the notebook's default."""

from __future__ import annotations

import json
import threading
from typing import Any

from qwennb.catalog import Catalog
from qwennb.client import Qwen
from qwennb.endpoints import NAMES as ENDPOINTS
from qwennb.endpoints import check_endpoint, split_endpoint
from qwennb.errors import BadInput, show_value

_lock = threading.Lock()
_default: list[Qwen] = []


def use(client: Qwen | None = None, **settings: Any) -> Qwen:
    """Set what columns and panels ask from now on, where they are given no client.

    Parameters
    ----------
    client : Qwen, optional
        A client; without it one is made of the settings.
    **settings
        What `Qwen` takes: `model`, `endpoint`, `cache`, `budget` …

    Returns
    -------
    Qwen
        The client.

    Raises
    ------
    BadInput
        It is no client, or both a client and settings are given.
    UnknownEndpoint
        There is no endpoint of that name.

    Examples
    --------
    >>> made = qwennb.use(model="qwen3.5-flash", cache="on")
    >>> pl.DataFrame({"n": [1, 2]}).qwen.ask("Say {{ n }}").height
    2
    """
    _check_client(client)
    if client is not None and settings:
        raise BadInput("Both a client and settings are given. Give use(client), or use(model=…, endpoint=…).")
    for name in ("endpoint", "model"):
        if isinstance(given := settings.get(name), str) and not given:
            raise BadInput(f"{name} is empty. Leave it out, or name one.")
    made = client if client is not None else Qwen(**settings)
    if client is None and made.session.config.endpoint is not None:
        check_endpoint(made.session.config.endpoint)
    with _lock:
        _default[:] = [made]
    return made


def _check_client(given: object) -> None:
    if given is not None and not isinstance(given, Qwen):
        shown = json.dumps(given, ensure_ascii=False) if isinstance(given, str) else show_value(given)
        raise BadInput(f"use({shown}) is no client. Type: {_suggest_call(given)}")


def _suggest_call(given: Any) -> str:
    """What whoever gave *given* in place of a client probably wants to type."""
    if isinstance(given, dict):
        return "use(**{…}), or use(model=…, endpoint=…)"
    if not isinstance(given, str):
        return "use(Qwen()), or use(model=…, endpoint=…)"
    written = json.dumps(given, ensure_ascii=False)
    if split_endpoint(given)[0] in ENDPOINTS or "://" in given:
        return f"use(endpoint={written})"
    if Catalog.load_bundled().find(given) is not None:
        return f"use(model={written})"
    return f"use(model={written}) or use(endpoint={written})"


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
