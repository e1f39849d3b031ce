"""Estimates: what is so of a whole table, from the labels of a few rows and the model's answers to all.

    strata of the table ─ allocate ─▶ labels a stratum ─ humans ─▶ labels ─ estimate_… ─▶ an interval that holds

Pure functions over numpy arrays, without a frame, a file or a model. `frames/draw.py` and `frames/estimate.py` are their doors
for tables. What each does stands above its code; `docs/tables.md` says how well the intervals hold.
"""

from qwennb.errors import BadInput

try:
    import numpy
except ImportError:
    raise BadInput(
        'An estimate is computed by numpy, which is not installed. Type: pip install "qwennb[tables]"'
    ) from None

from qwennb.estimates.accuracy import estimate_f1, estimate_recall
from qwennb.estimates.design import Interval, allocate, most_strata
from qwennb.estimates.means import estimate_mean
from qwennb.estimates.quantiles import estimate_quantile
from qwennb.estimates.regression import estimate_coefficients, fit_logit, fit_ols
from qwennb.estimates.shares import bound_share_exactly, bound_shares, estimate_share
