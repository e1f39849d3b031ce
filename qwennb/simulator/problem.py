"""What a server has to say when it will not answer, before it is put into that server's shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Problem"]


@dataclass(frozen=True, slots=True)
class Problem:
    """A refusal or a failure. Each dialect takes from it what its error bodies carry.

    `code` is the machine's word for it, `kind` the class of error, `param` the field at fault, `extra` what only one
    server adds. `flat` asks for the flat shape where a server knows two.
    """

    status: int
    message: str
    code: str = ""
    kind: str = ""
    param: str | None = None
    flat: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)
