"""Who can answer, for how much: models, what each takes at each endpoint, prices, limits, token counts."""

from __future__ import annotations

from qwennb.catalog.abilities import Abilities, Range
from qwennb.catalog.catalog import Catalog, ModelRow
from qwennb.catalog.media import Images, Videos, image_size, image_tokens
from qwennb.catalog.model import Model, Price, RateQuota, plain_name
from qwennb.catalog.tokens import Count, TokenCounter, count_messages, count_tokens, estimate_tokens
