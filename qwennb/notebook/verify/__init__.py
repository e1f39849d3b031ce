"""Running a saved notebook from start to end: in a kernel of its own, watched, and compared with what was saved.

`kernel` runs cells, `sandbox` is where, `network_guard` what refuses it the network, `runner` the way through a
notebook, `compare` where it is not as it was, `verdict` what came of it.
"""

from __future__ import annotations

from qwennb.notebook.verify.kernel import start_kernel
from qwennb.notebook.verify.runner import run_notebook, verify
from qwennb.notebook.verify.sandbox import Sandbox
from qwennb.notebook.verify.saved import check_saved
from qwennb.notebook.verify.verdict import RanCell, Verdict, tells_state
