"""Imaging: instruments, point-spread functions, rendering of scenes, noise and truth."""

from lensaudit.imaging.band import Band, Instrument, OwnPsf
from lensaudit.imaging.instruments import EUCLID, INSTRUMENTS, LSST, get_instrument, load_instrument
from lensaudit.imaging.psf import kernel
from lensaudit.imaging.render import Numerics, Rendered, noiseless_images, render, render_arms
from lensaudit.imaging.truth import TRUTH_COLUMNS, Column, Truth, brighter_by_mag, truth_columns

__all__ = [
    "EUCLID",
    "INSTRUMENTS",
    "LSST",
    "TRUTH_COLUMNS",
    "Band",
    "Column",
    "Instrument",
    "Numerics",
    "OwnPsf",
    "Rendered",
    "Truth",
    "brighter_by_mag",
    "get_instrument",
    "kernel",
    "load_instrument",
    "noiseless_images",
    "render",
    "render_arms",
    "truth_columns",
]
