"""Lens sets: cutouts, truth and catalogue on disk; simulating them, and ingesting real and challenge data."""

from lensaudit.lensset.cutouts import Cutouts, Index
from lensaudit.lensset.header import BandHeader, CatalogueColumn, Header, PsfHeader, RmsHeader, chunk_for
from lensaudit.lensset.opening import open_cutouts
from lensaudit.lensset.part import sky_positions
from lensaudit.lensset.simulation import Reddened, instrument_of, pixel_units_of, simulate
from lensaudit.lensset.store import LensSet
from lensaudit.lensset.writer import LensSetWriter, Records

__all__ = [
    "BandHeader",
    "CatalogueColumn",
    "Cutouts",
    "Header",
    "Index",
    "LensSet",
    "LensSetWriter",
    "PsfHeader",
    "Records",
    "Reddened",
    "RmsHeader",
    "chunk_for",
    "instrument_of",
    "open_cutouts",
    "pixel_units_of",
    "simulate",
    "sky_positions",
]
