"""Finders beside each other on the same images: one table, one page, and which differences are shown."""

from lensaudit.comparing.build import compare
from lensaudit.comparing.comparison_file import CompareOptions, Entrant, entrant_of, entrants_of, read_comparison
from lensaudit.comparing.page import render_comparison

__all__ = ["CompareOptions", "Entrant", "compare", "entrant_of", "entrants_of", "read_comparison", "render_comparison"]
