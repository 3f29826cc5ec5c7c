"""Finders beside each other on the same images: one table, one page, and which differences are significant.

A comparison is read and its page drawn without torch; what measures is imported when it is first used.
"""

from typing import TYPE_CHECKING, Any

from lensaudit.comparing.comparison import Comparison
from lensaudit.comparing.entrants import CompareOptions, Entrant, entrant_of, entrants_of
from lensaudit.comparing.page import render_comparison

if TYPE_CHECKING:
    from lensaudit.comparing.build import compare

__all__ = ["CompareOptions", "Comparison", "Entrant", "compare", "entrant_of", "entrants_of", "render_comparison"]


def __getattr__(name: str) -> Any:
    if name != "compare":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from lensaudit.comparing.build import compare

    return compare
