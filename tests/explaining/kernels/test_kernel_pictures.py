"""Sheets and the map of correlations."""

import numpy as np
import pytest
import torch
from kernel_toys import compass, drawn_places, finder_of, write_blobs
from torch import nn

from lensaudit.display.images import grey, shown_bands
from lensaudit.errors import UsageError
from lensaudit.explaining import Kernel, KernelWish, colour_picture, look_at_kernels, named_kernels
from lensaudit.explaining.kernels import kernel_files
from lensaudit.explaining.kernels.sheet import ExcitingImage, correlation_figure, sheet_figure, shown_images


@pytest.mark.parametrize(
    ("bands", "shown"),
    [
        (("J", "Y", "H", "VIS"), ("H", "J", "Y")),
        (("VIS",), ("VIS",)),
        (("g", "r", "i", "z", "y"), ("i", "r", "g")),
        (("H", "VIS"), ("VIS",)),
        (("J",), ("J",)),
    ],
)
def test_a_sheet_shows_what_the_finder_sees(bands, shown):
    assert shown_bands(bands) == shown


def test_cutouts_carry_their_own_numbers(tmp_path):
    grey_set = write_blobs(tmp_path / "grey", drawn_places(6))
    table = look_at_kernels(finder_of(compass()), grey_set, tmp_path / "out", KernelWish(sheets=())).study.table
    kernel = Kernel("0", 1)
    shown = shown_images(grey_set, table, kernel, [4, 2], ("VIS",))
    assert [one.name for one in shown] == ["blob-0004", "blob-0002"]
    assert [one.value for one in shown] == table.values(kernel)[[4, 2]].tolist()
    assert [one.p_lens for one in shown] == table.column("p_lens")[[4, 2]].tolist()
    np.testing.assert_array_equal(shown[1].picture, grey(grey_set.images("VIS", [2])[0]))


def test_nisp_cutouts_are_in_colour(tmp_path):
    torch.manual_seed(2)
    bands = ("H", "J", "Y")
    module = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(2 * 22 * 22, 1))
    lens_set = write_blobs(tmp_path / "set", drawn_places(5), bands=bands)
    made = look_at_kernels(
        finder_of(module, bands), lens_set, tmp_path / "out", KernelWish(top=2, sheets=[Kernel("0", 1)])
    )
    (path,) = made.sheets.values()
    assert path.name == "layer0_kernel1.png"
    (one,) = shown_images(lens_set, made.study.table, Kernel("0", 1), [3], bands)
    np.testing.assert_array_equal(one.picture, colour_picture({band: lens_set.images(band, [3])[0] for band in bands}))


def test_every_panel_has_name_value_and_score():
    one = ExcitingImage(np.zeros((4, 4)), "an-exceedingly-long-name-of-a-cutout", 1, -0.5, 0.25)
    figure = sheet_figure("toy layer 0 kernel 1", [one] * 5, [one] * 3, ["a word"], "below")
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert len(titles) == 8
    assert titles[0] == "an-exceedingly-…a-cutout\nKAV −0.5, lens, p 0.25"
    words = [text.get_text() for text in figure.texts]
    assert {"toy layer 0 kernel 1", "a word", "below", "highest activation values"} <= set(words)
    assert not figure.axes[0].yaxis_inverted(), "the first row is at the bottom"


def test_a_dead_kernel_gets_a_sheet_that_says_so(tmp_path, monkeypatch):
    drawn = []
    draw = kernel_files.sheet_figure
    monkeypatch.setattr(kernel_files, "sheet_figure", lambda *words: drawn.append(words) or draw(*words))
    lens_set = write_blobs(tmp_path / "set", drawn_places(5))
    made = look_at_kernels(finder_of(compass()), lens_set, tmp_path / "out", KernelWish(sheets=[Kernel("0", 2)]))
    assert (tmp_path / "out" / "layer0_kernel2.png").is_file()
    assert any(note.startswith("constant") for note in made.notes())
    ((_, top, bottom, words, _),) = drawn
    assert top == bottom == []
    assert words == ["constant: the same value for every image"]
    figure = sheet_figure("toy", [], [], ["constant: the same value for every image"], "")
    assert sum(text.get_text() == "no activation values" for text in figure.texts) == 2


def test_the_map_blanks_what_is_not_significant(tmp_path):
    lens_set = write_blobs(tmp_path / "set", drawn_places(40))
    study = look_at_kernels(finder_of(compass()), lens_set, tmp_path / "out", KernelWish(sheets=())).study
    figure = correlation_figure(study)
    panels = [ax for ax in figure.axes if ax.get_title(loc="left")]
    assert len(panels) == len(study.correlations.columns)
    for index, ax in enumerate(panels):
        assert ax.get_title(loc="left").endswith(f"n {study.correlations.n[index]}")
        drawn = ax.images[0].get_array()[0]
        sure = study.correlations.significant[:, index]
        np.testing.assert_array_equal(drawn[sure], study.correlations.rho[sure, index])
        assert drawn.mask.tolist() == [False, False, True, False, False], "a dead kernel is grey"
        assert not drawn[~sure].filled(0).any()
        assert ax.images[0].to_rgba(np.zeros(1))[0].tolist() == [1, 1, 1, 1], "0 is white"


def test_kernels_are_named_in_three_ways():
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Conv2d(2, 3, 3))
    assert named_kernels(module, ["2"], []) == [Kernel("2", k) for k in range(3)]
    assert named_kernels(module, ["2"], [2, 0, 2]) == [Kernel("2", 2), Kernel("2", 0)]
    assert named_kernels(module, ["2", "0"], [1, 0]) == [Kernel("2", 1), Kernel("0", 0)]
    with pytest.raises(UsageError, match="layer 0 has no kernel 2"):
        named_kernels(module, ["2", "0"], [1, 2])


def test_nisp_bands_of_different_pixels_are_shown_grey(tmp_path, monkeypatch):
    bands = ("H", "J", "Y")
    torch.manual_seed(2)
    module = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(2 * 22 * 22, 1))
    lens_set = write_blobs(tmp_path / "set", drawn_places(5), bands=bands)
    table = look_at_kernels(finder_of(module, bands), lens_set, tmp_path / "out", KernelWish(sheets=())).study.table
    native = type(lens_set).images

    def coarser(self, band, index):
        images = native(self, band, index)
        return images[:, ::2, ::2] if band == "Y" else images  # twice the pixel scale over the same field

    monkeypatch.setattr(type(lens_set), "images", coarser)
    [shown] = shown_images(lens_set, table, Kernel("0", 1), [3], bands)
    np.testing.assert_array_equal(shown.picture, grey(native(lens_set, "H", [3])[0]))
