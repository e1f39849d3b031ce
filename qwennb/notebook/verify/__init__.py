"""Running a saved notebook from start to end: in a kernel of its own, watched, and compared with what was saved.

`kernel` runs cells, `sandbox` is where, `network_guard` what refuses it the network, `runner` the way through a
notebook, `cells` what came of it, `compare` where it is not as it was; `replay` runs one on its pack alone, and
`verdict` says what that has shown.
"""

from __future__ import annotations

from qwennb.notebook.verify.cells import RanCell, tells_state
from qwennb.notebook.verify.kernel import start_kernel
from qwennb.notebook.verify.replay import verify
from qwennb.notebook.verify.runner import run_notebook
from qwennb.notebook.verify.sandbox import Sandbox
from qwennb.notebook.verify.verdict import Verdict
