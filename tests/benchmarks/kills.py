"""A run that is killed with -9 at 50 random moments."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.client.killing import IN_FLIGHT, kill_again_and_again


def fifty() -> str:
    """50 kills, 3,000 questions."""
    with tempfile.TemporaryDirectory() as folder:
        toll = kill_again_and_again(Path(folder), kills=50, rows=3000, seed=50)
    return (
        f"{toll.kills} kills -9: of {toll.acknowledged} acknowledged answers {toll.acknowledged_and_asked_again} were asked for again "
        f"(required: 0); asked again in all {toll.asked_again}, {toll.asked_again / toll.kills:.1f} a kill, at most "
        f"{toll.most_asked_again_after_a_kill} after one (in flight: up to {IN_FLIGHT})"
    )
