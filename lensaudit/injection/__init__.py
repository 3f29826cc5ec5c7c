"""Injection: simulated arcs in real cutouts. The host's own pixels stay; through its own PSF comes an arc."""

from lensaudit.injection.choosing import Chosen
from lensaudit.injection.hosts import HostCutout
from lensaudit.injection.inject import ARC_CUT_SIGMA, Hosts
from lensaudit.injection.sets import ARMS, inject, of_set
from lensaudit.injection.settings import InjectionSettings, numbers_by_band, words_by_band

__all__ = [
    "ARC_CUT_SIGMA",
    "ARMS",
    "Chosen",
    "HostCutout",
    "Hosts",
    "InjectionSettings",
    "inject",
    "numbers_by_band",
    "of_set",
    "words_by_band",
]
