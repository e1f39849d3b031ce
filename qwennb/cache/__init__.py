"""What we remember: the store, its one writer, the modes, and what was spent."""

from __future__ import annotations

from qwennb.cache.memory import Memory, read_record, record_of
from qwennb.cache.place import CacheWarning
from qwennb.cache.prune import Kept, PrunePlan, kept, plan_prune, prune
from qwennb.cache.record import Name
from qwennb.cache.shelf import open_store
from qwennb.cache.spending import Spending, Spendings
from qwennb.cache.store import Store
from qwennb.cache.writer import Writer

__all__ = [
    "CacheWarning",
    "Kept",
    "Memory",
    "Name",
    "PrunePlan",
    "Spending",
    "Spendings",
    "Store",
    "Writer",
    "kept",
    "open_store",
    "plan_prune",
    "prune",
    "read_record",
    "record_of",
]
