"""Imaging: instruments, point-spread functions, rendering of scenes, noise and truth."""

from lensaudit.imaging.instruments import EUCLID, INSTRUMENTS, LSST, Band, Instrument, get_instrument
from lensaudit.imaging.psf import kernel
from lensaudit.imaging.render import Numerics, Rendered, noiseless_images, render, render_arms
from lensaudit.imaging.truth import TRUTH_COLUMNS, Column, Truth

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
