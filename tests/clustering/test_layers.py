"""The autoencoder's layers by hand, and the mixture as a layer against scikit-learn."""

import numpy as np
import pytest
import torch
from torch import nn

from lensaudit.clustering.embed import fit_mixture, fold, logits, responsibilities, sklearn_mixture
from lensaudit.errors import DataError, UsageError
from lensaudit.finders.architectures import initialised
from lensaudit.finders.layers import SUREST, MixtureHead, convolutions, decoder, sides_of


def shapes(layers, images):
    found = []
    for layer in layers:
        images = layer(images)
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d | nn.Flatten | nn.Linear | nn.Upsample):
            found.append((type(layer).__name__, *images.shape[1:]))
    return found, images


def test_layer_shapes_are_those_of_the_paper():
    module = initialised("cae-bgm", 1, 1, size=101, generator=torch.Generator().manual_seed(1))
    found, _ = shapes(module.encoder, torch.zeros(1, 1, 101, 101))
    convolved = [shape for name, *shape in found if name == "Conv2d"]
    pooled = [shape for name, *shape in found if name == "MaxPool2d"]
    filters = [128, 64, 32, 16, 8]
    assert convolved == [[n, side, side] for n, side in zip(filters, [101, 51, 26, 13, 7], strict=True)]
    assert pooled == [[n, side, side] for n, side in zip(filters, [51, 26, 13, 7, 4], strict=True)]
    assert [shape[0] for name, *shape in found if name in ("Flatten", "Linear")] == [128, 128, 64, 32, 24]
    kernels = [layer.kernel_size[0] for layer in module.encoder if isinstance(layer, nn.Conv2d)]
    assert kernels == [8, 7, 3, 3, 3]


def test_the_decoder_mirrors_the_encoder():
    found, images = shapes(decoder(1, 128, 101, 24), torch.zeros(1, 24))
    assert [shape[0] for name, *shape in found if name == "Linear"] == [32, 64, 128, 128]
    upsampled = [shape for name, *shape in found if name == "Upsample"]
    assert upsampled == [[n, s, s] for n, s in zip([8, 16, 32, 64, 128], [7, 13, 26, 51, 101], strict=True)]
    assert images.shape == (1, 1, 101, 101)


def test_a_pool_on_an_odd_size_takes_what_there_is():
    pool = next(layer for layer in convolutions(1, 8) if isinstance(layer, nn.MaxPool2d))
    image = -torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]])[None, None]
    # by hand, all negative so that a padding by zeros would show: windows {1,2,4,5}, {3,6}, {7,8}, {9}
    assert pool(image)[0, 0].tolist() == [[-1.0, -3.0], [-7.0, -9.0]]
    assert sides_of(101) == (101, 51, 26, 13, 7, 4)


def test_an_even_kernel_has_three_zeros_before_and_four_behind_as_keras():
    pad, convolution = convolutions(1, 8)[:2]
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        convolution.weight.normal_(generator=generator)
        convolution.bias.zero_()
    image = torch.randn(1, 1, 11, 11, generator=generator)
    kernel, pixels = convolution.weight[0, 0].detach().double().numpy(), image[0, 0].double().numpy()
    expected = np.zeros((11, 11))
    for y in range(11):
        for x in range(11):  # output (y, x) sees rows y − 3 … y + 4, TensorFlow's rule for an even width of 8
            for i in range(8):
                for j in range(8):
                    if 0 <= y - 3 + i < 11 and 0 <= x - 3 + j < 11:
                        expected[y, x] += kernel[i, j] * pixels[y - 3 + i, x - 3 + j]
    found = convolution(pad(image))[0, 0].detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5)  # 64 float32 products of order one


def test_upsampling_repeats_and_drops_what_runs_over():
    layers = [layer for layer in decoder(1, 8, 101, 3) if isinstance(layer, nn.Upsample)]
    for layer, (before, after) in zip(layers, [(4, 7), (7, 13), (13, 26), (26, 51), (51, 101)], strict=True):
        numbers = torch.arange(before, dtype=torch.float32).expand(1, 1, before, before)
        assert layer(numbers)[0, 0, 0].tolist() == np.repeat(np.arange(before), 2)[:after].tolist()


def points(n=300, features=4, seed=5):
    rng = np.random.default_rng(seed)
    centres = rng.normal(scale=4, size=(5, features))
    stretched = rng.normal(size=(n, features)) @ rng.normal(size=(features, features))
    return centres[rng.integers(5, size=n)] + stretched


def test_responsibilities_are_scikit_learn_s():
    known = points()
    mixture = sklearn_mixture(known, 6, seed=1)
    head = MixtureHead(6, 4)
    head.reset_parameters()
    fold(head, mixture)
    new = points(seed=6)
    expected = mixture.predict_proba(new)
    assert 0.05 < expected.max(axis=1).min() < 0.95, "some of the points lie between clusters"
    found = head.log_responsibilities(torch.from_numpy(new)).exp().numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)  # float64 in both


def test_the_logit_is_equation_7_and_has_a_gradient():
    head = MixtureHead(5, 4)
    head.reset_parameters()
    fit_mixture(head, points(), seed=1)
    lens = np.array([0.1, 0.9, 0.4, 0.0, 1.0])
    head.known.copy_(torch.from_numpy(lens))
    new = points(seed=7).astype(np.float32)
    shares = responsibilities(head, new)
    p_lens, p_non = shares @ lens.clip(SUREST, 1 - SUREST), shares @ (1 - lens).clip(SUREST, 1 - SUREST)
    # float32 of log-odds up to 14
    np.testing.assert_allclose(logits(head, new), np.log(p_lens / p_non), rtol=1e-6, atol=1e-6)
    embedding = torch.from_numpy(new).requires_grad_()
    head(embedding).sum().backward()
    assert torch.isfinite(embedding.grad).all()
    assert embedding.grad.abs().sum() > 0
    both = MixtureHead(5, 4, outputs=2)
    both.load_state_dict(head.state_dict())
    np.testing.assert_allclose(logits(both, new), logits(head, new), rtol=1e-5, atol=1e-5)  # difference of float32


def test_marks_decide_where_they_are_asked_for():
    head = MixtureHead(5, 4)
    head.reset_parameters()
    fit_mixture(head, points(), seed=1)
    head.marks[:] = torch.tensor([0.0, 1.0, 0.5, 0.0, 1.0])
    new = points(seed=7).astype(np.float32)
    assert not logits(head, new).any(), "known fractions of 0.5 say nothing"
    marked = head.going_by(True)
    assert np.array_equal(logits(marked, new) > 0, responsibilities(head, new) @ head.marks.numpy() > 0.5)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (np.ones((50, 4)), "embeddings of all images are the same"),
        (np.full((50, 4), np.nan), "embeddings of all images are the same"),
        (points(3), "3 images cannot make 5 clusters; give more images"),
    ],
)
def test_embeddings_that_make_no_clusters_are_refused(given, says):
    with pytest.raises(DataError, match=says):
        fit_mixture(MixtureHead(5, 4), given, seed=1)


def test_three_outputs_are_refused():
    with pytest.raises(UsageError, match="one or two outputs, not 3"):
        initialised("cae-bgm", 1, 3, size=20, generator=torch.Generator())


def test_a_pose_free_embedding_is_the_same_in_every_orientation():
    words = {"filters": 8, "embedding": 3}
    images = torch.rand(2, 1, 20, 20, generator=torch.Generator().manual_seed(3))
    plain, free = (
        initialised("cae-bgm", 1, 1, 20, words | {"pose_free": on}, generator=torch.Generator().manual_seed(1)).eval()
        for on in (False, True)
    )
    turned = torch.rot90(images, 1, (2, 3))
    # the sum of eight float32 embeddings in another order
    torch.testing.assert_close(free.embedding(images), free.embedding(turned), rtol=1e-5, atol=1e-6)
    assert not torch.allclose(plain.embedding(images), plain.embedding(turned), rtol=1e-3)
