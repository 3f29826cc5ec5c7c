"""The table of activation values: whole sets, bad images, memory, and interruptions."""

import tracemalloc

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from kernel_toys import SIZE, blobs, compass, drawn_places, finder_of, write_blobs
from torch import nn

from lensaudit.errors import DataError, UsageError
from lensaudit.explaining import KavTable, Kernel, kernel_activations
from lensaudit.explaining.kernels import activations, kav_table
from lensaudit.finders import score_set

ROUNDING = 1e-4  # float32 sums of 576 terms up to 6


def small_net() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(inplace=True), nn.Dropout(0.5), nn.Conv2d(4, 3, 3), nn.Flatten(), nn.Linear(1200, 2)
    )


def scaled(images: np.ndarray) -> np.ndarray:
    """What the finder makes of cutouts of its own size: each to [0, 1] by its own least and greatest value."""
    low, high = (end(images, axis=(1, 2), keepdims=True) for end in (np.min, np.max))
    return (images - low) / (high - low)


def all_values(table: KavTable) -> np.ndarray:
    return np.concatenate([block for _, block in table.blocks(2)], axis=1)


def test_values_are_the_closed_form_in_the_order_of_the_set(tmp_path):
    lens_set = write_blobs(tmp_path / "set", drawn_places(11), labels=np.arange(11) % 2)
    module = compass()
    table = kernel_activations(finder_of(module), lens_set, tmp_path / "kav.parquet", batch_size=4)
    images = scaled(blobs(drawn_places(11)).astype(np.float64))
    weight, bias = (tensor.detach().double().numpy() for tensor in (module[0].weight[:, 0], module[0].bias))
    expected = np.einsum("nyx,kyx->nk", images, weight) + bias
    np.testing.assert_allclose(all_values(table), expected, rtol=2e-6, atol=ROUNDING)
    assert table.column("id").tolist() == lens_set.ids
    assert table.column("label").tolist() == [0, 1] * 5 + [0]
    assert set(table.column("kind")) == {"single"}
    assert table.kernels == tuple(Kernel("0", k) for k in range(5))
    np.testing.assert_array_equal(table.values(Kernel("0", 3)), all_values(table)[:, 3])


def test_scores_are_those_of_scoring(tmp_path):
    lens_set = write_blobs(tmp_path / "set", drawn_places(7))
    finder = finder_of(small_net())
    table = kernel_activations(finder, lens_set, tmp_path / "kav.parquet")
    scores = score_set(finder, lens_set)
    np.testing.assert_array_equal(table.column("logit"), scores.logit)
    np.testing.assert_array_equal(table.column("p_lens"), scores.p_lens)
    assert table.column("status").tolist() == ["ok"] * 7


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_values_do_not_depend_on_batches(batch_size, tmp_path):
    finder, lens_set = finder_of(small_net()), write_blobs(tmp_path / "set", drawn_places(7))
    reference = all_values(kernel_activations(finder, lens_set, tmp_path / "one.parquet", batch_size=2))
    other = all_values(kernel_activations(finder, lens_set, tmp_path / "other.parquet", batch_size=batch_size))
    # float32 rounding: another batch size may be another order of the sums
    np.testing.assert_allclose(other, reference, rtol=0, atol=1e-6)


def test_a_value_does_not_depend_on_its_neighbours(tmp_path):
    places, others = drawn_places(7), drawn_places(7, seed=5)
    others[[2, 5]] = places[[2, 5]]
    finder = finder_of(small_net())
    plain, mixed = (
        all_values(kernel_activations(finder, lens_set, tmp_path / f"{i}.parquet", batch_size=4))
        for i, lens_set in enumerate(
            (write_blobs(tmp_path / "plain", places), write_blobs(tmp_path / "mixed", others, spoil={3: np.nan}))
        )
    )
    np.testing.assert_array_equal(mixed[[2, 5]], plain[[2, 5]])
    assert (mixed[[0, 1, 4, 6]] != plain[[0, 1, 4, 6]]).any(axis=1).all()


def test_bad_images_are_left_out_with_their_reason_and_never_searched(tmp_path):
    lens_set = write_blobs(tmp_path / "set", drawn_places(6), spoil={1: np.nan, 4: 7.0})
    module = compass()
    table = kernel_activations(finder_of(module), lens_set, tmp_path / "kav.parquet", batch_size=6)
    values = all_values(table)
    assert np.flatnonzero(np.isnan(values).all(axis=1)).tolist() == [1, 4]
    assert np.isfinite(values[[0, 2, 3, 5]]).all()
    assert table.column("status")[[1, 4]].tolist() == [
        "VIS has 576 of 576 pixels not finite",
        "VIS is constant",
    ]
    assert np.isnan(table.column("p_lens")[[1, 4]]).all()
    assert table.n_searched == 4
    # An image of zeros, which stands in for those that cannot be scored, would give the bias of −1.
    np.testing.assert_allclose(table.highest[3], values[[0, 2, 3, 5], 3].max(), rtol=1e-6)
    assert table.highest[3] < -1


def test_the_highest_pixel_is_that_of_all_images_searched(tmp_path, monkeypatch):
    monkeypatch.setattr(activations, "LOOK_EVERY", 2)
    lens_set = write_blobs(tmp_path / "set", drawn_places(9))
    table = kernel_activations(finder_of(compass()), lens_set, tmp_path / "kav.parquet", batch_size=2)
    searched = [0, 1, 4, 5, 8]
    # Maps of one pixel: the highest is the highest value.
    np.testing.assert_array_equal(table.highest, all_values(table)[searched].max(axis=0))
    assert table.n_searched == len(searched)


def test_a_set_of_bad_images_alone_is_an_error_and_leaves_no_file(tmp_path):
    lens_set = write_blobs(tmp_path / "set", drawn_places(2), spoil={0: 1.0, 1: 2.0})
    with pytest.raises(DataError, match="none of 2 images could be scored"):
        kernel_activations(finder_of(compass()), lens_set, tmp_path / "out" / "kav.parquet")
    assert not list((tmp_path / "out").iterdir())


def test_dropout_and_modes_of_a_module_in_training(tmp_path):
    finder, lens_set = finder_of(small_net()), write_blobs(tmp_path / "set", drawn_places(5))
    reference = all_values(kernel_activations(finder, lens_set, tmp_path / "eval.parquet"))
    finder.module.train()
    finder.module[0].eval()
    modes = [part.training for part in finder.module.modules()]
    other = all_values(kernel_activations(finder, lens_set, tmp_path / "train.parquet"))
    np.testing.assert_array_equal(other, reference)
    assert [part.training for part in finder.module.modules()] == modes


def test_a_table_that_is_there_is_kept_unless_it_is_another(tmp_path):
    path = tmp_path / "kav.parquet"
    finder, lens_set = finder_of(small_net()), write_blobs(tmp_path / "set", drawn_places(5))
    calls = []

    def made(**options):
        calls.clear()
        kernel_activations(finder, lens_set, path, progress=lambda *_: calls.append(1), **options)
        return bool(calls)

    assert made()
    first = path.read_bytes()
    assert not made()
    assert made(force=True)
    assert path.read_bytes() == first, "the same command gives the same bytes"
    path.write_bytes(first[:-20])
    assert made()
    with torch.no_grad():
        finder.module[0].weight[0, 0, 0, 0] += 1
    finder = finder_of(finder.module)  # the hash of the weights is that of the finder as declared
    assert made()
    lens_set = write_blobs(tmp_path / "other", drawn_places(5, seed=6))
    assert made()
    finder = finder.for_field(12.1)
    assert made()
    assert not made()


def test_an_interrupted_run_leaves_nothing_and_can_be_repeated(tmp_path):
    finder, lens_set = finder_of(small_net()), write_blobs(tmp_path / "set", drawn_places(9))
    whole = tmp_path / "whole.parquet"
    kernel_activations(finder, lens_set, whole, batch_size=2)

    def stop(done, _all):
        if done >= 4:
            raise KeyboardInterrupt

    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        kernel_activations(finder, lens_set, out / "kav.parquet", batch_size=2, progress=stop)
    assert not list(out.iterdir())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in finder.module.modules())
    kernel_activations(finder, lens_set, out / "kav.parquet", batch_size=2)
    assert (out / "kav.parquet").read_bytes() == whole.read_bytes()


def test_a_forward_that_fails_half_way_leaves_no_hook_no_mode_and_no_file(tmp_path):
    class Fails(nn.Module):
        def __init__(self):
            super().__init__()
            self.look, self.passes = nn.Conv2d(1, 2, 3), 0

        def forward(self, images):
            self.passes += 1
            if self.passes == 4:
                raise ValueError("half-way")
            return self.look(images).mean(dim=(1, 2, 3))

    finder = finder_of(Fails())
    lens_set = write_blobs(tmp_path / "set", drawn_places(9))
    finder.module.passes = 0
    finder.module.train()
    with pytest.raises(ValueError, match="half-way"):
        kernel_activations(finder, lens_set, tmp_path / "out" / "kav.parquet", batch_size=2)
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in finder.module.modules())
    assert finder.module.training
    assert not list((tmp_path / "out").iterdir())


def test_memory_does_not_grow_with_the_set(tmp_path, monkeypatch):
    monkeypatch.setattr(kav_table, "LARGEST_GROUP", 32)
    kernels = 512
    finder = finder_of(nn.Sequential(nn.Conv2d(1, kernels, 8, stride=8), nn.Flatten(), nn.Linear(9 * kernels, 1)))
    peaks, sets = [], [write_blobs(tmp_path / str(n), drawn_places(n), truth=False) for n in (64, 64, 512)]
    for number, lens_set in enumerate(sets):  # the first warms up
        tracemalloc.start()
        kernel_activations(finder, lens_set, tmp_path / f"{number}.parquet", batch_size=16)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    table = 4 * 512 * kernels
    assert peaks[2] - peaks[1] < table / 4, "a whole table would be 1 MB"
    assert pq.ParquetFile(tmp_path / "2.parquet").metadata.num_row_groups == 512 // 32


def test_dotted_names_of_layers_are_columns_like_others(tmp_path):
    class Nested(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU())
            self.head = nn.Conv2d(2, 1, SIZE - 2)

        def forward(self, images):
            return self.head(self.stem(images)).flatten()

    lens_set = write_blobs(tmp_path / "set", drawn_places(4))
    table = kernel_activations(finder_of(Nested()), lens_set, tmp_path / "kav.parquet")
    assert [kernel.column for kernel in table.kernels] == [
        "layerstem.0_kernel0",
        "layerstem.0_kernel1",
        "layerhead_kernel0",
    ]
    # The one-pixel map of the head is the logit itself.
    np.testing.assert_allclose(table.values(Kernel("head", 0)), table.column("logit"), rtol=1e-6)
    assert np.isfinite(table.values(Kernel("stem.0", 1))).all()


def test_mistakes(tmp_path):
    lens_set = write_blobs(tmp_path / "set", drawn_places(2))
    with pytest.raises(UsageError, match="no convolution"):
        kernel_activations(finder_of(nn.Sequential(nn.Flatten(), nn.Linear(576, 1))), lens_set, tmp_path / "k.parquet")
    with pytest.raises(UsageError, match="--batch 0"):
        kernel_activations(finder_of(compass()), lens_set, tmp_path / "k.parquet", batch_size=0)
    with pytest.raises(DataError, match="needs band H"):
        kernel_activations(finder_of(compass(), ("H",)), lens_set, tmp_path / "k.parquet")
    with pytest.raises(DataError, match="no such file"):
        KavTable.open(tmp_path / "k.parquet")
    (tmp_path / "k.parquet").write_bytes(b"PAR1 something else PAR1")
    with pytest.raises(DataError, match="torn or no table of kernels"):
        KavTable.open(tmp_path / "k.parquet")
