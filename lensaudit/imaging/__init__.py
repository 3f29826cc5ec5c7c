"""Imaging: instruments, point-spread functions, rendering of scenes, noise and truth."""

from lensaudit.imaging.instruments import EUCLID, INSTRUMENTS, LSST, Band, Instrument, get_instrument
from lensaudit.imaging.psf import kernel
from lensaudit.imaging.render import (
    TRUTH_COLUMNS,
    Column,
    Numerics,
    Rendered,
    Truth,
    noiseless_images,
    render,
    render_arms,
)

__all__ = [
    "EUCLID",
    "INSTRUMENTS",
    "LSST",
    "TRUTH_COLUMNS",
    "Band",
    "Column",
    "Instrument",
    "Numerics",
    "Rendered",
    "Truth",
    "get_instrument",
    "kernel",
    "noiseless_images",
    "render",
    "render_arms",
]
