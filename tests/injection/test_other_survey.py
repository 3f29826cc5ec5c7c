"""A survey that is not Euclid from files to probes on hosts: HSC's bands, as `docs/hsc.md` does it, but small."""

from __future__ import annotations

import numpy as np
import pytest
from torch import nn

import lensaudit as la
from lensaudit.finders import declare_finder
from lensaudit.imaging import INSTRUMENTS, kernel
from lensaudit.probes import HostsAsked, load_definition
from lensaudit.probes.on_hosts import on_hosts
from lensaudit.scenes.scene import Psf

BANDS = ("g", "r", "i", "z")


class Bluer(nn.Module):
    """Log-odds by how much of the light is in g."""

    def forward(self, images):
        light = images.sum((2, 3))
        return (light[:, :1] - 0.05 * light[:, 2:3]) / 50


@pytest.mark.filterwarnings("ignore:.*:lensaudit.errors.LensauditWarning")
def test_hsc_from_files_to_a_probe_on_hosts(tmp_path):
    instrument, rng = INSTRUMENTS["hsc"], np.random.default_rng(3)
    away = np.hypot(*(np.indices((64, 64)) - 32))
    noise = np.array([instrument.band(band).background_sigma for band in BANDS])[:, None, None]
    pixels = [noise * (peak * np.exp(-away / 4) + rng.normal(size=(len(BANDS), 64, 64))) for peak in (40, 60)]
    psfs = np.stack([kernel(Psf("gaussian"), instrument.band(band)) for band in BANDS])
    np.savez(tmp_path / "coadds.npz", images=np.array(pixels, "f4"), psfs=psfs, bands=np.array(BANDS))

    hosts = la.ingest(tmp_path / "coadds.npz", layout="npz", instrument="hsc", label="non-lens", out=tmp_path / "hosts")
    known = [(one.zero_point_mag, one.pixel_scale_arcsec, one.filter) for one in hosts.header.bands]
    assert known == [(27.0, 0.168, instrument.band(band).filter) for band in BANDS]

    injected = la.inject(hosts, out=tmp_path / "injected", any_host=True)
    assert injected.labels.tolist() == [0, 1] * 2
    assert "colour_source_g_z" in injected.columns

    finder = declare_finder(Bluer(), BANDS, 64, name="bluer", stretch="native", field_of_view_arcsec=10.752)
    assert np.isfinite(la.score(finder, injected).logit).all()
    moved = on_hosts(load_definition("red-source"), HostsAsked(hosts.path).chosen(2, 0))
    physical = moved.doses.physical
    assert (physical.column, physical.at) == ("colour_source_g_z", "whose source has g − z = {value}")
