"""Measurements, not tests: each prints a figure beside a yardstick that is measured in the same run."""
