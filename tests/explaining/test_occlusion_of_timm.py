"""ConvNeXt of timm, whose occlusion is exact all through, and a transformer, run in plain batches, which is said."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from occlusion_nets import filled, finder_of

from lensaudit.explaining import Occluder


@pytest.fixture(scope="module")
def networks(let_timm_load):
    let_timm_load()
    from timm.models.convnext import ConvNeXt
    from timm.models.vision_transformer import VisionTransformer

    words = {"in_chans": 2, "num_classes": 2, "depths": (1, 1, 1, 1), "dims": (4, 6, 8, 10), "patch_size": 2}
    vit = {"embed_dim": 12, "depth": 2, "num_heads": 2, "img_size": 32, "patch_size": 8}
    return {
        "1×1 convolutions": lambda: ConvNeXt(conv_mlp=True, **words),
        "dense layers": lambda: ConvNeXt(conv_mlp=False, **words),
        "transformer": lambda: VisionTransformer(in_chans=2, num_classes=2, **vit),
    }


@pytest.mark.parametrize("kind", ["1×1 convolutions", "dense layers", "transformer"])
def test_equals_captum(networks, kind):
    """In float64 the two agree far below the 1e-5 that is stated for every map of p."""
    finder = finder_of(filled(networks[kind]()), 32, outputs=2)
    image = torch.rand(1, 2, 32, 32, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    ours, theirs = Occluder(finder, 4, 4).map(image), Occluder(finder, 4, 4, engine="captum").map(image)
    largest = np.abs(theirs.attribution).max()
    assert largest > 1e-4
    np.testing.assert_allclose(ours.attribution, theirs.attribution, rtol=0, atol=1e-6 * largest)  # kept in float32
    np.testing.assert_allclose(ours.p_lost, theirs.p_lost, rtol=0, atol=1e-6 * largest)
    modes = [layer.mode for layer in ours.layers]
    if kind == "transformer":
        assert ours.fallbacks == ("VisionTransformer",), "attention sees all patches, so there are no windows in it"
        return
    assert not ours.fallbacks
    assert sum(mode == "window" for mode in modes) > 20
    depthwise = next(layer for layer in ours.layers if "conv_dw" in layer.label)
    assert (depthwise.mode, depthwise.window, depthwise.size) == ("window", (7, 7), (8, 8))
