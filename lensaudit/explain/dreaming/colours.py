"""Images as a finder sees them, in colour: linear, unlike cutouts, as they have no sky to measure a stretch by."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lensaudit.explain.colour import NISP_RGB, has_colour


def prepared_rgb(image: np.ndarray, bands: Sequence[str], brighten: float = 0.0) -> NDArray[np.float64]:
    """Colour picture of a prepared image, R, G, B = H, J, Y, linear: float64 (h, w, 3) in [0, 1].

    Draw it with ``origin="lower"``. Without all three bands it is grey: ``VIS`` where there is one, else the first.

    Parameters
    ----------
    image
        (bands, h, w); what is beyond [0, 1] is clipped.
    bands
        Their names.
    brighten
        Per cent that H, J and Y are made brighter by; 150 multiplies them by 2.5. Wilde et al. 2022 did so with their
        Deep Dreams (Fig. 16). Grey pictures stay as they are.
    """
    if not has_colour(tuple(bands)):
        return np.repeat(np.clip(image[grey_band(bands)], 0, 1)[..., None].astype(np.float64), 3, axis=2)
    planes = [np.asarray(image[list(bands).index(band)], dtype=np.float64) for band in NISP_RGB]
    return np.clip(np.nan_to_num(np.stack(planes, axis=-1)) * (1 + brighten / 100), 0, 1)


def grey_band(bands: Sequence[str]) -> int:
    """Index of the band that is shown where there is no colour, and beside it where there is."""
    return list(bands).index("VIS") if "VIS" in bands else 0


def colour_words(bands: Sequence[str], brighten: float) -> str:
    """What the picture shows, in words."""
    if not has_colour(tuple(bands)):
        return str(bands[grey_band(bands)])
    return "NISP, R G B = H J Y" + (f", {brighten:g} % brighter" if brighten else "")
