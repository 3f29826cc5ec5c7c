"""A simulated set as hosts: it stores neither PSF nor noise, and knows both."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lensaudit.imaging import get_instrument, kernel
from lensaudit.injection import InjectionSettings
from lensaudit.injection.sets import SetHosts, inject
from lensaudit.lensset import LensSet, simulate


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> LensSet:
    return simulate("euclid", "no-source", 4, 3, tmp_path_factory.mktemp("drawn") / "set")


def test_hosts_have_the_psf_and_noise_they_were_drawn_with(drawn: LensSet):
    hosts = SetHosts(drawn)
    for row in range(len(drawn)):
        cutout, scene = hosts[row], drawn.scene(row)
        for band in get_instrument("euclid").bands:
            np.testing.assert_array_equal(cutout.psf[band.name], kernel(scene.psf, band))
            assert np.unique(cutout.rms[band.name]).tolist() == [np.float32(band.background_sigma)]
            assert cutout.electrons_per_unit[band.name] == band.total_exposure_s


def test_what_is_written_can_be_hosts_again(drawn: LensSet, tmp_path: Path):
    made = inject(drawn, tmp_path / "once", InjectionSettings(seed=2, any_host=True))
    assert all(made.has_psf(band) and made.has_rms(band) for band in made.bands)
    assert set(made.column("arc_noise")) == {"shot", "no arc"}
    alone = np.flatnonzero(made.column("arm") == "host")
    for place in alone:
        row = drawn.ids.index(made.column("host_id")[place])
        np.testing.assert_array_equal(made.images("VIS", [place]), drawn.images("VIS", [row]))
        np.testing.assert_array_equal(
            made.psf("VIS", [place])[0],
            kernel(drawn.scene(row).psf, get_instrument("euclid").band("VIS")).astype(np.float32),
        )
