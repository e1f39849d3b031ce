"""Running a saved notebook from start to end: in a kernel of its own, watched, and compared with what was saved.

`place` is where it runs, `guard` what refuses it the network, `kernel` what runs it, `runner` the way through its
cells, `cells` what came of them, `differing` where they are not as they were; `replay` runs one on its pack alone, and
`verdict` says what that has shown.
"""

from __future__ import annotations

from qwennb.notebook.running.cells import RanCell, tells_state
from qwennb.notebook.running.replay import pack_beside, verify
from qwennb.notebook.running.runner import run_notebook
from qwennb.notebook.running.sandbox import Sandbox
from qwennb.notebook.running.verdict import Verdict
