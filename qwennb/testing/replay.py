"""Answers from a pack, and from nothing else."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from qwennb.client import Qwen, runtime
from qwennb.frames import forget_default
from qwennb.testing.network import no_network


@contextmanager
def replaying(pack: str | os.PathLike[str] | None = None) -> Iterator[Qwen]:
    """Let every client that is made while it stands recall from a pack, and from nothing else, without a network.

    Clients that were made before keep their settings. When it is over, everything is as it was.

    Parameters
    ----------
    pack : str or path, optional
        The pack's file; without it nothing is known.

    Yields
    ------
    Qwen
        A client that leaves model and endpoint to the pack.

    Raises
    ------
    PackRefused
        If the file is no pack.
    NotRecorded
        Where something is asked that the pack does not hold.

    Examples
    --------
    >>> from qwennb.testing import replaying
    >>> qwen.pack(qwen.ask("What is the capital of France?")).write("answers.qwenpack")
    >>> with replaying("answers.qwenpack") as reader:
    ...     reader.ask("What is the capital of France?").text
    'Paris'
    >>> with replaying("answers.qwenpack") as reader:
    ...     reader.ask("What is the capital of Italy?")
    Traceback (most recent call last):
        ...
    qwennb.errors.NotRecorded: ...
    """
    shared_runtime = runtime()
    with tempfile.TemporaryDirectory(prefix="qwennb-", ignore_cleanup_errors=True) as folder:
        settings = {
            "QWENNB_CACHE": "replay",
            "QWENNB_CACHE_DIR": folder,
            "QWENNB_ABOVE": '{"cache":"replay"}',
        }
        before = {name: os.environ.get(name) for name in (*settings, "QWENNB_PACK")}
        loaded = shared_runtime.packs.loaded
        os.environ.update(settings)
        os.environ.pop("QWENNB_PACK", None)
        shared_runtime.packs.forget()
        forget_default()
        try:
            if pack is not None:
                shared_runtime.load(pack)
            with no_network():
                yield Qwen(cache_dir=folder)
        finally:
            for name, value in before.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value
            shared_runtime.packs.loaded = loaded
            forget_default()
