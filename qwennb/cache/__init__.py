"""What we remember: the store, its one writer, the modes, packs, and what was spent."""

from __future__ import annotations

from qwennb.cache.batch_orders import BatchOrder, BatchOrders, Claim
from qwennb.cache.folder import CacheWarning
from qwennb.cache.memory import Memory
from qwennb.cache.memory_store import open_store
from qwennb.cache.nearest import difference
from qwennb.cache.pack import Pack
from qwennb.cache.pack_media import PackMedia
from qwennb.cache.pack_merge import Keep, MergedPack, merge_packs
from qwennb.cache.packs import Conflict, Loaded, Packs, find_packs_beside
from qwennb.cache.prune import Kept, PrunePlan, list_kept, plan_prune, prune
from qwennb.cache.record import Name
from qwennb.cache.recorded import (
    ShortBeside,
    read_answer,
    read_record,
    read_short,
    read_short_beside,
    record_of,
)
from qwennb.cache.secrets import SecretScanner
from qwennb.cache.spending import Spending, Spendings
from qwennb.cache.store import Store
from qwennb.cache.trace import TraceLog
from qwennb.cache.usage_log import RecordingLog, UsageLog
from qwennb.cache.writer import Writer, wait_for_retiring

__all__ = [
    "BatchOrder",
    "BatchOrders",
    "CacheWarning",
    "Claim",
    "Conflict",
    "Keep",
    "Kept",
    "Loaded",
    "Memory",
    "MergedPack",
    "Name",
    "Pack",
    "PackMedia",
    "Packs",
    "PrunePlan",
    "RecordingLog",
    "SecretScanner",
    "ShortBeside",
    "Spending",
    "Spendings",
    "Store",
    "TraceLog",
    "UsageLog",
    "Writer",
    "difference",
    "find_packs_beside",
    "list_kept",
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
