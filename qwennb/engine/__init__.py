"""How we ask, many at a time: single flight, limits, retries, budgets, the ledger.

Start with `Engine.answer` in engine.py: the whole river is there.
"""

from __future__ import annotations

from qwennb.engine.batch import BatchRun
from qwennb.engine.budget import Budget, Ledger, Reservation, are_limited
from qwennb.engine.context import CallContext
from qwennb.engine.drafts import check_whole, estimate_usage
from qwennb.engine.engine import Engine
from qwennb.engine.limiter import Limiter
from qwennb.engine.retry import Retry
