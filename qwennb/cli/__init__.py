"""The command line: `qwennb doctor`, `models`, `cache`, `simulate`, `local`, `demo`."""

from __future__ import annotations

from qwennb.cli.command import main
