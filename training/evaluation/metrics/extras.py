"""Libraries of the extra `eval`, imported when a metric needs them."""

from __future__ import annotations

import importlib
from typing import Any


def needs(module: str) -> Any:
    """A module of the extra. Raises ImportError with the command that mends its absence."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f'{module} is needed for this metric: pip install "animate-x[eval]" ({error})') from error
