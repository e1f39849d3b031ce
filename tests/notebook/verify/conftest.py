"""What verifying is tried with: commands, and notebooks that were run live and moved away."""

from tests.cli.conftest import run  # noqa: F401
from tests.notebooks import away, live  # noqa: F401
