"""What we remember: the store, its one writer, the modes, packs, and what was spent."""

from __future__ import annotations

from qwennb.cache.batch_orders import BatchOrder, BatchOrders
from qwennb.cache.memory import Memory
from qwennb.cache.memory_store import open_store
from qwennb.cache.nearest import difference
from qwennb.cache.pack import Pack
from qwennb.cache.pack_media import PackMedia
from qwennb.cache.packs import Packs, find_pack_of, find_packs_beside, merge_packs
from qwennb.cache.prune import PrunePlan, PruneRule, list_kept, plan_prune, prune
from qwennb.cache.record import (
    BriefAnswer,
    DetailedAnswer,
    Name,
    read_answer,
    read_brief,
    read_record,
    record_of,
)
from qwennb.cache.spending import Spending, Spendings, spell_cost
from qwennb.cache.store import Store
from qwennb.cache.usage_log import RecordingLog, TraceLog, UsageLog
from qwennb.cache.writer import Writer, wait_for_retiring
from qwennb.errors import CacheWarning
