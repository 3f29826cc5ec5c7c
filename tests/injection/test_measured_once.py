"""Measuring a host: as photutils has it, and once for all that is done with it."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from real_sky import a_lens, as_host, without_arc
from scipy.ndimage import gaussian_filter

from lensaudit.injection import Hosts, InjectionSettings, choosing
from lensaudit.injection.light import LEAST_CONTRAST, LEAST_PIXELS, LEVELS, _groups, _is_single, _parted


def lumpy(seed: int) -> np.ndarray:
    """Noise with an extended object and, in every second image, a knot on it."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-30:31, -30:31]
    seen = rng.normal(size=x.shape) + 40 * np.exp(-(x**2 + y**2) / 150)
    return seen + (seed % 2) * 60 * np.exp(-((x - 13) ** 2 + (y - 4) ** 2) / 6)


@pytest.mark.parametrize("smooth", [0.0, 1.0])
def test_groups_are_those_of_photutils(smooth):
    from photutils.segmentation import detect_sources

    for seed in range(4):
        image = gaussian_filter(lumpy(seed), smooth)
        labels, n = _groups(image > 0.8)
        theirs = detect_sources(image, 0.8, LEAST_PIXELS)
        assert n == theirs.n_labels
        pairs = set(zip(labels.ravel().tolist(), theirs.data.ravel().tolist(), strict=True))
        assert len(pairs) == n + 1  # one of ours for each of theirs, and what is in none


def test_an_object_is_parted_as_photutils_parts_it_and_only_asked_about_where_it_has_several_peaks():
    from photutils.segmentation import SegmentationImage, deblend_sources

    single = Counter()
    for seed in range(12):
        image = gaussian_filter(lumpy(seed), 0.8)
        labels, _ = _groups(image > 0.8)
        peak = tuple(int(i) for i in np.unravel_index(image.argmax(), image.shape))
        segment = labels == labels[peak]
        theirs = deblend_sources(
            np.where(segment, image, 0.0), SegmentationImage(segment.astype(int)), LEAST_PIXELS, n_levels=LEVELS,
            contrast=LEAST_CONTRAST, progress_bar=False,
        )  # fmt: skip
        assert np.array_equal(_parted(image, segment, peak), theirs.data == theirs.data[peak])
        single[_is_single(image, segment)] += 1
    assert single[True] > 2
    assert single[False] > 2


def test_a_host_is_measured_once_and_its_systems_are_the_same(monkeypatch):
    pool = [as_host(without_arc(a_lens(i))) for i in range(2)]
    settings = InjectionSettings(n=3, reuse=True)
    asked = []
    true = choosing.measure
    monkeypatch.setattr(choosing, "measure", lambda host: asked.append(host.id) or true(host))
    found = choosing.choose(pool, settings)
    looked_at = len(asked)
    assert found.lights is not None
    kept = [Hosts(pool, settings, found).scene(i) for i in range(3)]
    assert len(asked) == looked_at  # in choosing, and never again
    again = [Hosts(pool, settings, choosing.Chosen(found.rows, {}, {})).scene(i) for i in range(3)]
    assert len(asked) == looked_at + 3
    assert kept == again
