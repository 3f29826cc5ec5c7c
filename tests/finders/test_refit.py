"""Statistics in one unit, pixels in another: refused, and taken anew when asked."""

import numpy as np
import pytest
import torch

from lensaudit.errors import DataError, UsageError
from lensaudit.finders import Finder, refitted, score_set


@pytest.fixture
def sets(make_set, make_cutouts):
    """The same images in electron/s and a trillion times smaller, both in VIS of 101 pixels of 0.1″."""
    images = make_cutouts(6)["VIS"][:, 50:151, 50:151]
    return make_set("plain", {"VIS": images}), make_set("tiny", {"VIS": images * np.float32(1e-12)})


def finder_on(lens_set, make_finder):
    finder = make_finder("lastro-101")
    recipe = finder.recipe.model_copy(update={"pixel_unit": {"VIS": "electron / s at 24 mag"}})
    return refitted(Finder(recipe, finder.module, "test"), lens_set)


def test_another_unit_is_refused_with_the_mend(sets, make_finder):
    finder = finder_on(sets[0], make_finder)
    finder.check(sets[0])
    recipe = finder.recipe.model_copy(update={"pixel_unit": {"VIS": "challenge flux unit"}})
    other = Finder(recipe, finder.module, "test", statistics=finder.statistics)
    with pytest.raises(DataError, match=r"challenge flux unit, .* electron / s at 24 mag"):
        other.check(sets[0])


def test_refitted_figures_make_the_unit_vanish(sets, make_finder):
    """The clipped logarithm is of ratios alone, so that scores agree to float32 rounding of the percentiles."""
    plain, tiny = (refitted(make_finder("lastro-101"), lens_set) for lens_set in sets)
    ours, theirs = score_set(plain, sets[0]).logit, score_set(tiny, sets[1]).logit
    assert np.isfinite(ours).all()
    assert np.ptp(ours) > 1e-3, "the images differ, and so do their scores"
    np.testing.assert_allclose(theirs, ours, atol=1e-3 * np.ptp(ours))
    assert not torch.equal(plain.statistics["high"], tiny.statistics["high"])


def test_a_stretch_without_figures_cannot_be_refitted(sets, make_finder):
    with pytest.raises(UsageError, match="leave it out"):
        refitted(make_finder("epfl-resnet-101"), sets[0])
