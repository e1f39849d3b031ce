"""Who is told how far every run of a column is: one or nobody.

It stands outside the rooms, for a notebook that watches must not be the one who loads that of columns.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

watchers: list[Callable[[Any], None]] = []
