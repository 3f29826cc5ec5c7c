"""Ingest: challenge data and real cutouts into a lens set. A layout makes a `Plan`; `ingest` carries it out."""

from lensaudit.lensset.ingest.challenges import plan_blf1, plan_blf2
from lensaudit.lensset.ingest.euclid_q1 import plan_euclid_q1
from lensaudit.lensset.ingest.layouts import parse_band, plan_fits
from lensaudit.lensset.ingest.npz import plan_npz
from lensaudit.lensset.ingest.plan import BAD_PIXEL_POLICIES, LABEL_RULES, PixelPolicy, Plan
from lensaudit.lensset.ingest.remarks import remarks, skipped_lines
from lensaudit.lensset.ingest.run import ingest
from lensaudit.lensset.ingest.words import parse_bits, parse_by_band, parse_duplicate, parse_filters, parse_masked

__all__ = [
    "BAD_PIXEL_POLICIES",
    "LABEL_RULES",
    "PixelPolicy",
    "Plan",
    "ingest",
    "parse_band",
    "parse_bits",
    "parse_by_band",
    "parse_duplicate",
    "parse_filters",
    "parse_masked",
    "plan_blf1",
    "plan_blf2",
    "plan_euclid_q1",
    "plan_fits",
    "plan_npz",
    "remarks",
    "skipped_lines",
]
