"""Colours: told apart on white, one map of recalls, one of signed numbers."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from lensaudit.display.colour import (
    ALARM,
    BLUE,
    LENS,
    NON_LENS,
    QUIET,
    RED,
    SERIES,
    TREATED,
    ink_on,
    lens_fraction_map,
    recall_map,
    series_style,
    signed_map,
)


def luminance(colour: str | tuple[float, ...]) -> float:
    """Relative luminance of WCAG 2."""
    channels = np.array(to_rgb(colour))
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


@pytest.mark.parametrize("colour", [LENS, NON_LENS, TREATED, ALARM, QUIET])
def test_words_in_a_colour_are_read_on_white(colour: str):
    assert 1.05 / (luminance(colour) + 0.05) >= 4.5  # WCAG 2 AA for text


def test_a_recall_map_darkens_throughout():
    lightness = [luminance(tuple(recall_map()(x)[:3])) for x in np.linspace(0, 1, 101)]
    assert np.all(np.diff(lightness) < 0)


def test_a_map_of_fractions_ends_in_the_colours_of_both_classes():
    np.testing.assert_allclose(lens_fraction_map()([0.0, 1.0])[:, :3], [to_rgb(NON_LENS), to_rgb(LENS)])


def test_the_signed_map_is_white_at_zero_and_blue_above():
    low, middle, high = signed_map()([0.0, 0.5, 1.0])[:, :3]
    np.testing.assert_allclose(low, RED)
    np.testing.assert_array_equal(middle, 1)
    np.testing.assert_allclose(high, BLUE)


@pytest.mark.parametrize("x", np.linspace(0, 1, 11))
def test_digits_in_a_cell_are_read(x: float):
    cell = tuple(recall_map()(x)[:3])
    pair = sorted((luminance(cell), luminance(ink_on(cell))))
    assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 3.8  # the middle of any ramp has less than 4.5 with black and white


def test_no_two_series_are_alike():
    styles = [tuple(map(str, series_style(place).values())) for place in range(3 * len(SERIES))]
    assert len(set(styles)) == len(styles)
