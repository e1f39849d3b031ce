"""What asking again is tried with: commands."""

from tests.cli.conftest import run  # noqa: F401
