"""The one sentence about the packages that only synthetic data needs."""

from __future__ import annotations


def explain(package: str) -> str:
    """What to install."""
    return f'synthetic data needs {package}: pip install "animate-x[synthetic]"'
