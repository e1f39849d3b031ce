"""What we remember: the store, its one writer, the modes, packs, and what was spent."""

from __future__ import annotations

from qwennb.cache.leaks import Leaks
from qwennb.cache.memory import Memory
from qwennb.cache.nearest import difference
from qwennb.cache.orders import Claim, Order, Orders
from qwennb.cache.pack import Pack
from qwennb.cache.pack_merge import Keep, MergedPack, merge_packs
from qwennb.cache.packs import Conflict, Loaded, Packs, find_packs_beside
from qwennb.cache.place import CacheWarning
from qwennb.cache.prune import Kept, PrunePlan, kept, plan_prune, prune
from qwennb.cache.record import Name
from qwennb.cache.recorded import (
    ShortBeside,
    read_answer,
    read_record,
    read_short,
    read_short_beside,
    record_of,
)
from qwennb.cache.shelf import open_store
from qwennb.cache.sources import Sources
from qwennb.cache.spending import Spending, Spendings
from qwennb.cache.store import Store
from qwennb.cache.trace import Trace
from qwennb.cache.used import News, Used
from qwennb.cache.writer import Writer, wait_for_retiring

__all__ = [
    "CacheWarning",
    "Claim",
    "Conflict",
    "Keep",
    "Kept",
    "Leaks",
    "Loaded",
    "Memory",
    "MergedPack",
    "Name",
    "News",
    "Order",
    "Orders",
    "Pack",
    "Packs",
    "PrunePlan",
    "ShortBeside",
    "Sources",
    "Spending",
    "Spendings",
    "Store",
    "Trace",
    "Used",
    "Writer",
    "difference",
    "find_packs_beside",
    "kept",
    "merge_packs",
    "open_store",
    "plan_prune",
    "prune",
    "read_answer",
    "read_record",
    "read_short",
    "read_short_beside",
    "record_of",
    "wait_for_retiring",
]
