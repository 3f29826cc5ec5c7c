"""How the page calls truth columns and populations; imports nothing, so that the page needs no torch."""

from __future__ import annotations

TRUTH = {
    "theta_e_arcsec": ("Einstein radius θ_E", "″"),
    "arc_snr": ("arc S/N", ""),
    "colour_source_VIS_H": ("source colour VIS − H", "mag"),
    "colour_lens_VIS_H": ("lens colour VIS − H", "mag"),
    "mag_source_VIS": ("source magnitude VIS", "mag"),
    "mag_lens_VIS": ("lens magnitude VIS", "mag"),
}
"""Truth columns of the doses → how an astronomer calls them, and the unit."""

POPULATIONS = {"arcs": "compound arcs", "rings": "double rings"}
"""Labels of populations that have a better name."""
