"""Injection: simulated arcs in real cutouts. The host's own pixels stay; through its own PSF comes an arc."""

from lensaudit.injection.choosing import Chosen
from lensaudit.injection.cut import cut, read_positions
from lensaudit.injection.galaxies import CutSettings
from lensaudit.injection.hosts import HostCutout
from lensaudit.injection.inject import ARC_CUT_SIGMA, Hosts
from lensaudit.injection.sets import ARMS, inject, of_set
from lensaudit.injection.settings import InjectionSettings, numbers_by_band, words_by_band

__all__ = [
    "ARC_CUT_SIGMA",
    "ARMS",
    "Chosen",
    "CutSettings",
    "HostCutout",
    "Hosts",
    "InjectionSettings",
    "cut",
    "inject",
    "numbers_by_band",
    "of_set",
    "read_positions",
    "words_by_band",
]
