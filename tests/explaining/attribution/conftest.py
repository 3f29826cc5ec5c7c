"""World coordinates to place maps with."""

import pytest
from astropy.wcs import WCS


@pytest.fixture
def make_wcs():
    """Pixels along a side → coordinates of a cutout with pixels of 0.3″."""

    def make(size: int) -> WCS:
        wcs = WCS(naxis=2)
        wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
        wcs.wcs.crval = [150.0, 2.2]
        wcs.wcs.crpix = [(size + 1) / 2] * 2
        wcs.wcs.cdelt = [-0.3 / 3600, 0.3 / 3600]
        wcs.wcs.set()
        return wcs

    return make
