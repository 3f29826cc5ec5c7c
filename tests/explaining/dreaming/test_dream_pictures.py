"""Pictures of dreams: the right band in the right colour, everything drawn once, small animations."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageSequence

from lensaudit.display.images import prepared_rgb
from lensaudit.explaining.dreaming.dream import Dream
from lensaudit.explaining.dreaming.dream_files import Tile, layer_figure
from lensaudit.explaining.dreaming.dream_picture import (
    MOST_BYTES,
    Beside,
    View,
    colour_words,
    dream_figure,
    legend,
    path_gif,
)
from lensaudit.explaining.dreaming.settings import ClassTarget, DreamSettings, KernelTarget, Regularisation

BANDS = ("J", "Y", "H", "VIS")


KERNEL = KernelTarget("0", 3)


def made(target=KERNEL, bands=BANDS, size=20, dead=False, frames=16, **settings) -> Dream:
    rng = np.random.default_rng(3)
    image = rng.normal(0.5, 0.5, (len(bands), size, size)).astype(np.float32)
    return Dream(
        target=target,
        settings=DreamSettings(**{"steps": 100, "rate": 0.1, **settings}),
        bands=bands,
        start=np.clip(image, 0, 1),
        image=image,
        values=np.linspace(-1, 5, 101),
        p_steps=np.array([0, 5, 100]),
        p_lens=np.array([0.2, 0.4, 0.9999]),
        path_steps=np.arange(frames),
        path=rng.integers(0, 256, (frames, len(bands), size, size)).astype(np.uint8),
        dead=dead,
        fault="",
    )


def texts(figure) -> str:
    from matplotlib.text import Text

    return " | ".join(text.get_text() for text in figure.findobj(Text) if text.get_text())


def test_red_green_and_blue_are_h_j_and_y_linear_and_clipped():
    image = np.stack([np.full((2, 2), value) for value in (0.2, 0.3, 0.1, 0.9)])
    np.testing.assert_allclose(prepared_rgb(image, BANDS), np.full((2, 2, 3), (0.1, 0.2, 0.3)))
    np.testing.assert_allclose(prepared_rgb(image, BANDS, brighten=150)[0, 0], (0.25, 0.5, 0.75))
    np.testing.assert_allclose(prepared_rgb(image * 5, BANDS)[0, 0], (0.5, 1, 1))
    np.testing.assert_allclose(prepared_rgb(-image, BANDS), 0)
    assert colour_words(BANDS, 150) == "NISP, R G B = H J Y, 150 % brighter"


def test_without_the_three_bands_it_is_grey_and_never_brightened():
    image = np.stack([np.full((2, 2), 0.2), np.full((2, 2), 0.6)])
    np.testing.assert_allclose(prepared_rgb(image, ("J", "VIS"), brighten=150), 0.6)
    np.testing.assert_allclose(prepared_rgb(image, ("J", "Y")), 0.2)
    assert colour_words(("J", "VIS"), 150) == "VIS"


def test_the_picture_shows_bands_path_curves_and_cutouts():
    beside = tuple(Beside(np.zeros((9, 9, 3)), f"system-{n}", n % 2, 1.5 - n) for n in range(4))
    view = View("ou66", "uniform noise, seed 0", beside, "highest of 10 of 12 of test", 150)
    figure = dream_figure(made(regularisation=Regularisation(jitter=4)), view)
    words = texts(figure)
    assert len(figure.axes) == 6 + 9 + 2 + 4
    for part in (
        "layer 0 kernel 3",
        "−1 → 5",
        "p(lens): 0.200 → 1 − 1.0×10⁻⁴",
        "VIS",
        "step 15",
        "−1.5, lens",
        "1.5, non",
    ):
        assert part in words
    for part in ("uniform noise, seed 0", "150 % brighter", "jitter 4 px", "100 steps of ascent at rate 0.1"):
        assert part in words.replace(" | ", " ")
    assert "highest of 10 of 12 of test" in legend(made(), view)


def test_a_dead_kernel_and_a_single_band_are_drawn_too():
    figure = dream_figure(made(dead=True), View("ou66", "noise"))
    assert "dead: no gradient reaches the image" in texts(figure)
    single = dream_figure(made(ClassTarget(False), bands=("VIS",)), View("mine", "noise"))
    assert "output “non-lens”" in texts(single)
    assert len(single.axes) == 2 + 9 + 2


def test_the_page_of_a_layer_has_a_tile_for_each_kernel_and_names_the_dead():
    beside = Beside(np.zeros((9, 9, 3)), "system-1", 1, 0.25)
    tiles = [Tile(made(KernelTarget("7", n), dead=n == 2), beside) for n in range(12)]
    figure = layer_figure(tiles, View("ou66", "noise", (beside,), "highest of 10 of 12 of test"))
    words = texts(figure)
    assert len(figure.axes) == 24
    assert "the 12 kernels of layer 7, 1 of them dead" in words
    assert "2: dead" in words
    assert "11: 5" in words
    assert words.count("0.25") == 12
    assert len(layer_figure(tiles[:3], View("ou66", "noise")).axes) == 6
    bare = [Tile(tile.dream, None) for tile in tiles]
    assert len(layer_figure(bare, View("ou66", "noise")).axes) == 12


@pytest.mark.parametrize("size", [20, 66, 200, 300])
def test_the_animation_ends_with_the_image_and_stays_below_a_megabyte(size):
    dream = made(size=size)
    content = path_gif(dream)
    assert len(content) < MOST_BYTES
    with Image.open(BytesIO(content)) as gif:
        frames = [frame.convert("RGB").copy() for frame in ImageSequence.Iterator(gif)]
    times = -(-200 // size)
    assert frames[0].size == (2 * size * times, size * times)
    shown = np.asarray(frames[-1], dtype=float)[::-1][::times, ::times]
    last = dream.path[-1].astype(float)
    np.testing.assert_allclose(shown[:, size:, 0], last[3], atol=255 / 6)  # four greys at least
    np.testing.assert_allclose(shown[:, :size], last[[2, 0, 1]].transpose(1, 2, 0), atol=255 / 2)  # two levels at least


def test_a_small_animation_keeps_all_frames_and_many_colours():
    dream = made()
    with Image.open(BytesIO(path_gif(dream))) as gif:
        frames = [np.asarray(frame.convert("RGB"), dtype=float) for frame in ImageSequence.Iterator(gif)]
    assert len(frames) == 16
    np.testing.assert_allclose(frames[3][::-1][::10, 200::10, 1], dream.path[3, 3], atol=255 / 126 + 0.5)
    np.testing.assert_allclose(frames[3][::-1][::10, :200:10, 1], dream.path[3, 0], atol=255 / 8 + 0.5)
