"""The order in which rows are drawn: by a hash of each row and of what is asked, never by its place in the table.

A table that is sorted by date or by difficulty is the normal case, and a table that grew by some rows draws the old ones in the
same order, so that their answers are there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Marks: TypeAlias = NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def mix(values: Marks, salt: int = 0) -> Marks:
    """Scatter 64-bit values (SplitMix64's finaliser): the same ones for the same *salt*, on every machine."""
    with np.errstate(over="ignore"):
        z = values + _GOLDEN * np.uint64((2 * salt + 1) % 2**64)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        made: Marks = z ^ (z >> np.uint64(31))
        return made


def marks_of(keys: Sequence[str], salt: int = 0) -> Marks:
    """Make a mark of each row of the key of its request, which is a hash of the row and of all that is asked of it."""
    return mix(np.array([int(key[:16], 16) for key in keys], dtype=np.uint64), salt)


def marks_by_number(count: int, salt: int = 0) -> Marks:
    """Make a mark of each row of its number alone, for who has no keys."""
    return mix(np.arange(count, dtype=np.uint64), salt)
