"""`python -m qwennb.cli`, where the script `qwennb` is not on the path."""

from __future__ import annotations

import sys

from qwennb.cli import main

sys.exit(main())
