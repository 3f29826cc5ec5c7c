"""Declared preprocessing: each step against the library it stands for, and what a recipe makes of the steps."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from astropy import visualization as astro
from network_files import SIZE, declaration, small_network, write_program
from PIL import Image
from pydantic import TypeAdapter, ValidationError
from torch import nn

from lensaudit.errors import DataError, UsageError
from lensaudit.finders import declare_finder, initialised_module, load_finder, save_finder
from lensaudit.finders.finder import Finder
from lensaudit.finders.preprocessing import STEPS, Steps, channel_names, in_pixel_units, preprocessed
from lensaudit.finders.preprocessing.values import IMAGENET
from lensaudit.finders.recipe import Recipe, load_recipe
from lensaudit.finders.store import open_finder

SIDE = 50
ULP = 1.0  # steps divide in single precision where astropy divides by a double
BANDS = ("g", "r", "i")


def steps(*words: dict[str, Any]) -> Any:
    return TypeAdapter(Steps).validate_python(words)


def run(images: np.ndarray, *words: dict[str, Any], size: int | None = None) -> np.ndarray:
    """Images (n, bands, h, w) through the steps."""
    bands = {name: torch.from_numpy(images[:, index].copy()) for index, name in enumerate(BANDS[: images.shape[1]])}
    return preprocessed(steps(*words), bands, size or images.shape[-1]).numpy()


def off(found: np.ndarray, wanted: np.ndarray) -> float:
    """Largest difference in units of the last place."""
    wanted = np.asarray(wanted, np.float32)
    return float((np.abs(found - wanted) / np.maximum(np.spacing(np.abs(wanted)), np.finfo(np.float32).tiny)).max())


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """Three cutouts of three bands with a galaxy, noise and negative pixels."""
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2.2
    galaxy = np.exp(-np.hypot(x, y) / 4.0) * 20.0
    noise = np.random.default_rng(5).standard_normal((3, 3, SIDE, SIDE))
    scale = np.array([0.5, 1.0, 2.0])
    return ((galaxy + noise) * scale[:, None, None] * scale[::-1, None, None, None] + 0.1).astype(np.float32)


@pytest.fixture(scope="module")
def unit(images: np.ndarray) -> np.ndarray:
    return run(images, {"step": "minmax"})


STRETCHED = {
    "asinh": ({"a": 0.02}, astro.AsinhStretch(0.02)),
    "log": ({"a": 500.0}, astro.LogStretch(500.0)),
    "sqrt": ({}, astro.SqrtStretch()),
}


@pytest.mark.parametrize("name", STRETCHED)
def test_stretches_are_astropys_to_the_last_place(unit: np.ndarray, name: str):
    words, stretch = STRETCHED[name]
    assert off(run(unit, {"step": name} | words), stretch(unit, clip=False)) <= ULP


def test_asinh_that_is_not_normalised_is_the_plain_function(images: np.ndarray):
    found = run(images, {"step": "asinh", "a": 0.7, "normalised": False})
    assert off(found, np.arcsinh(images.astype(np.float64) / np.float64(np.float32(0.7)))) <= 2 * ULP  # a of float32


INTERVALS = {
    "minmax": ({}, astro.MinMaxInterval()),
    "percentile": ({"low": 1.0, "high": 99.5}, astro.AsymmetricPercentileInterval(1.0, 99.5)),
    "zscale": ({"contrast": 0.3}, astro.ZScaleInterval(contrast=0.3)),
}


@pytest.mark.parametrize("name", INTERVALS)
@pytest.mark.parametrize("per", ["band", "image"])
def test_intervals_are_astropys_of_each_image_alone(images: np.ndarray, name: str, per: str):
    words, interval = INTERVALS[name]
    found = run(images, {"step": name, "per": per} | words)
    wanted = [[interval(band) for band in one] if per == "band" else interval(one) for one in images]
    assert off(found, np.array(wanted)) <= 2 * ULP  # percentiles are interpolated along another axis
    unclipped = run(images, {"step": name, "per": per, "clip": False} | words)
    assert off(unclipped[1:2], run(images[1:2], {"step": name, "per": per, "clip": False} | words)) == 0


def test_lupton_is_astropys_bit_for_bit(images: np.ndarray):
    found = run(images, {"step": "lupton", "Q": 6, "stretch": 3, "minimum": 0.2})
    wanted = [astro.make_lupton_rgb(*one, Q=6, stretch=3, minimum=0.2) for one in images]
    assert np.array_equal(found, np.moveaxis(wanted, -1, 1))
    assert found.max() > 100
    reordered = run(images, {"step": "channels", "order": ["i", "r", 0]}, {"step": "lupton"})
    assert np.array_equal(reordered[0], np.moveaxis(astro.make_lupton_rgb(*images[0, ::-1]), -1, 0))


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
def test_jpeg_is_pillows_bit_for_bit_in_colour_and_grey(unit: np.ndarray, subsampling: str):
    to_levels = {"step": "to-8-bit"}
    jpeg = {"step": "jpeg", "quality": 60, "subsampling": subsampling}
    levels = np.round(unit * np.float32(255)).astype(np.uint8)
    assert np.array_equal(run(unit, to_levels), levels)
    assert np.array_equal(run(unit, to_levels | {"rounding": "down"}), np.floor(unit * np.float32(255)))

    def again(image: np.ndarray, **words: Any) -> np.ndarray:
        stream = io.BytesIO()
        Image.fromarray(image).save(stream, "JPEG", quality=60, **words)
        return np.asarray(Image.open(stream))

    coloured = np.moveaxis(again(np.moveaxis(levels[0], 0, -1).copy(), subsampling=subsampling), -1, 0)
    assert np.array_equal(run(unit, to_levels, jpeg)[0], coloured)
    assert np.array_equal(run(unit[:, :1], to_levels, jpeg)[0, 0], again(levels[0, 0]))


PILLOW = ("nearest", "box", "bilinear", "bicubic", "lanczos")
TORCH = ("nearest", "nearest-exact", "bilinear", "bicubic", "area", "bilinear-antialias", "bicubic-antialias")


@pytest.mark.parametrize("size", [31, 64])
def test_each_resize_kind_is_that_of_its_library(images: np.ndarray, unit: np.ndarray, size: int):
    from skimage.transform import resize

    for how in PILLOW:
        kind = Image.Resampling[how.upper()]
        found = run(images[:1], {"step": "resize", "kind": f"pillow-{how}"}, size=size)
        assert np.array_equal(found[0, 1], np.asarray(Image.fromarray(images[0, 1]).resize((size, size), kind)))
        levels = run(unit[:1], {"step": "to-8-bit"}).astype(np.uint8)
        eight = run(unit[:1], {"step": "to-8-bit"}, {"step": "resize", "kind": f"pillow-{how}"}, size=size)
        assert np.array_equal(eight[0, 1], np.asarray(Image.fromarray(levels[0, 1]).resize((size, size), kind)))
    for how in TORCH:
        mode, antialias = how.removesuffix("-antialias"), how.endswith("-antialias")
        words = {"align_corners": False, "antialias": antialias} if mode in ("bilinear", "bicubic") else {}
        wanted = nn.functional.interpolate(torch.from_numpy(images[:1]), (size, size), mode=mode, **words)
        assert np.array_equal(run(images[:1], {"step": "resize", "kind": f"torch-{how}"}, size=size), wanted.numpy())
    ours = run(images[:1], {"step": "resize"}, size=size)[0, 0]
    wanted = resize(images[0, 0], (size, size), mode="reflect", anti_aliasing=size < SIDE)
    assert np.abs(ours - wanted).max() <= 1e-6 * images[0, 0].max()  # the matrices are rounded to single precision


def test_frames_constants_and_channels(images: np.ndarray, unit: np.ndarray):
    assert np.array_equal(run(images, {"step": "crop", "size": 33}, size=33), images[..., 8:41, 8:41])
    assert np.array_equal(run(images, {"step": "crop", "fraction": 0.5}, size=25), images[..., 12:37, 12:37])
    one, low = images[:, :1], np.float32(0.3)
    assert np.array_equal(run(one, {"step": "repeat"}), np.repeat(one, 3, axis=1))
    assert np.array_equal(run(images, {"step": "clip", "low": 0.3, "high": 9.0}), np.clip(images, low, 9))
    factors = {"r": 2.0, "g": 0.5, "i": -1.0}
    by_band = np.array([0.5, 2.0, -1.0], np.float32)[:, None, None]
    assert np.array_equal(run(images, {"step": "scale", "factor": factors, "offset": 1.5}), images * by_band + 1.5)
    brought = run(images, {"step": "zero-point", "mag": [27.5, 25.0, 30.0], "to": 27.5})
    assert off(brought, images * np.array([1.0, 10.0, 0.1], np.float32)[:, None, None]) <= ULP
    mean, std = (np.array(one, np.float32)[:, None, None] for one in IMAGENET)
    assert off(run(unit, {"step": "mean-std", "of": "imagenet"}), (unit - mean) / std) <= 4  # of a difference near 0
    assert np.array_equal(
        run(unit, {"step": "to-8-bit"}, {"step": "from-8-bit"}) * 255, run(unit, {"step": "to-8-bit"})
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([{"step": "sharpen"}], "step 1 'sharpen' is not known; allowed: crop, resize"),
        ([{"size": 3}], "step 1 has no name; allowed: crop"),
        ([7], "step 1 has no name"),
        ("minmax", "is no list of steps"),
        ([{"step": "asinh", "b": 1}], "asinh.b: Extra inputs are not permitted"),
        ([{"step": "asinh", "a": 0}], "asinh.a: Input should be greater than 0"),
        ([{"step": "percentile", "low": 99, "high": 1}], "low 99 is not below high 1"),
        ([{"step": "lupton"}], r"step 1 \(lupton\) takes 3 channel\(s\), there are 2: VIS, H"),
        (
            [{"step": "minmax"}, {"step": "jpeg"}],
            r"step 2 \(jpeg\) takes levels of 8 bit; put to-8-bit or lupton",
        ),
        ([{"step": "to-8-bit"}, {"step": "asinh"}, {"step": "jpeg"}], r"step 3 \(jpeg\) takes levels of 8 bit"),
        ([{"step": "scale", "factor": {"VIS": 2}}], r"factor has no H; the channels are VIS, H"),
        ([{"step": "scale", "factor": {"VIS": 2, "H": 1, "K": 3}}], "factor names no channel K"),
        ([{"step": "mean-std", "mean": [0.5] * 3, "std": 1}], "mean has 3 numbers, there are 2 channels"),
        ([{"step": "mean-std", "mean": 0.5, "std": 0}], "std is not above 0"),
        ([{"step": "mean-std", "mean": 0.5}], "give mean and std, or of: imagenet"),
        ([{"step": "channels", "order": ["Y"]}], "there is no channel Y"),
        ([{"step": "repeat"}], r"step 1 \(repeat\) takes 1 channel"),
        ([{"step": "crop"}], "size in pixels or fraction of a side: give one"),
        ([{"step": "resize", "kind": "bicubic"}], "'pillow-bicubic'"),
        ([{"step": "clip"}], "low or high is needed"),
        ([{"step": "zero-point", "mag": 200, "to": 25}], "more than 75 mag"),
    ],
)
def test_a_wrong_declaration_is_one_line(tmp_path: Path, words: list[dict[str, Any]], said: str):
    path = declaration(tmp_path / "net.pt2", preprocessing=words)
    with pytest.raises(UsageError, match=said) as told:
        load_finder(path)
    assert "\n" not in str(told.value)
    assert "preprocessing" in str(told.value)


def test_stretch_and_steps_exclude_each_other(tmp_path: Path):
    with pytest.raises(UsageError, match="stretch sqrt and preprocessing are given; keep one of them"):
        load_finder(declaration(tmp_path / "net.pt2", stretch="sqrt", preprocessing=[{"step": "minmax"}]))
    plain = load_recipe("petrillo").model_dump()
    for more in ({"stretch": "declared"}, {"preprocessing": [{"step": "minmax"}]}):
        with pytest.raises(ValidationError, match="give either"):
            Recipe.model_validate(plain | more)


def finder_of(*words: dict[str, Any], size: int = 20, bands: tuple[str, ...] = BANDS) -> Finder:
    torch.manual_seed(3)
    channels = len(channel_names(steps(*words), bands))
    net = nn.Sequential(nn.Conv2d(channels, 4, 5), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 1))
    return declare_finder(net, bands, size, stretch=words)


WHOLE = (
    {"step": "crop", "size": 40},
    {"step": "lupton"},
    {"step": "jpeg", "quality": 90},
    {"step": "resize", "kind": "pillow-bilinear"},
    {"step": "from-8-bit"},
    {"step": "mean-std", "of": "imagenet"},
)


def cutouts(images: np.ndarray) -> dict[str, np.ndarray]:
    return {band: images[:, index] for index, band in enumerate(BANDS)}


def test_a_finder_scores_what_its_pipeline_makes(images: np.ndarray):
    finder = finder_of(*WHOLE)
    wanted = []
    for one in images[..., 5:45, 5:45]:
        stream = io.BytesIO()
        Image.fromarray(astro.make_lupton_rgb(*one)).save(stream, "JPEG", quality=90, subsampling="4:2:0")
        small = Image.open(stream).resize((20, 20), Image.Resampling.BILINEAR)
        rgb = torch.from_numpy(np.moveaxis(np.asarray(small), -1, 0).copy()).float() / 255
        wanted.append(
            (rgb - torch.tensor([0.485, 0.456, 0.406])[:, None, None])
            / torch.tensor([0.229, 0.224, 0.225])[:, None, None]
        )
    assert torch.equal(finder.preprocess(cutouts(images)), torch.stack(wanted))
    assert torch.equal(finder.preprocess(cutouts(images[1:2])), torch.stack(wanted[1:2]))  # whatever stands beside it


def test_what_leaves_no_number_is_told_by_step_and_image(images: np.ndarray):
    finder = finder_of({"step": "log", "a": 10.0}, {"step": "resize"})
    good = finder.prepare(cutouts(np.abs(images)))[1]
    assert bool(good.all())
    few = np.abs(images)
    few[1, 2, :4, :4] = -3.0
    prepared, good = finder.prepare(cutouts(few))
    assert good.all(dim=1).tolist() == [True, False, True]
    assert bool(prepared[1].isnan().all())
    assert bool(prepared[[0, 2]].isfinite().all())
    with pytest.raises(DataError, match=r"image b: preprocessing step 1 \(log a=10\) leaves 16 of 7500 .*recipe's"):
        finder.preprocess(cutouts(few), ["a", "b", "c"])
    constant = images.copy()
    constant[0, 1] = 4.0
    with pytest.raises(DataError, match="r is constant"):
        finder_of({"step": "zscale"}, {"step": "resize"}).preprocess(cutouts(constant))
    for words, said in (
        ([{"step": "crop", "size": 64}], r"step 1 \(crop\): 64×64 pixels out of 50×50 are asked for"),
        ([{"step": "crop", "size": 44}], "ends with 44×44 pixels, the network takes 20×20; end it in a resize"),
    ):
        with pytest.raises(DataError, match=said):
            finder_of(*words).preprocess(cutouts(images))
    with pytest.raises(DataError, match=r"step 1 \(lupton\): takes channels of one size"):
        finder_of({"step": "lupton"}, {"step": "resize"}).preprocess(cutouts(images) | {"r": images[:, 1, :30, :30]})


def test_steps_are_kept_with_the_weights_and_are_part_of_the_hash(tmp_path: Path, images: np.ndarray):
    plain = load_recipe("petrillo")
    words = plain.model_dump(exclude={"stretch"}) | {"bands": ("VIS",), "size": 40, "architecture_options": {}}
    told = [{"step": "crop", "size": 40}, {"step": "asinh", "a": 0.05}]
    recipe = Recipe.model_validate(words | {"preprocessing": told})
    module = initialised_module(recipe, torch.Generator().manual_seed(2))
    finder = Finder(recipe, module, "here")
    other = replace(finder, recipe=recipe.model_copy(update={"preprocessing": steps(*told[:1])}))
    assert finder.weights_hash != other.weights_hash
    save_finder(finder, tmp_path / "kept", origin="made here")
    again = open_finder(tmp_path / "kept", "kept")
    assert again.recipe == recipe
    assert again.weights_hash == finder.weights_hash
    one = {"VIS": images[:, 0]}
    assert torch.equal(again.logit(again.preprocess(one)), finder.logit(finder.preprocess(one)))
    assert "preprocessing crop size=40 → asinh a=0.05" in (tmp_path / "kept" / "card.md").read_text("utf-8")
    path = tmp_path / "kept" / "finder.yaml"
    kept = yaml.safe_load(path.read_text("utf-8"))
    kept["recipe"]["preprocessing"][1]["a"] = 0.06
    path.write_text(yaml.safe_dump(kept), "utf-8")
    with pytest.raises(DataError, match=r"not the weights that finder\.yaml records"):
        open_finder(tmp_path / "kept", "kept")


def test_shipped_finders_keep_their_hashes():
    for name in ("ou66", "petrillo"):
        finder = load_finder(name)
        assert not finder.recipe.preprocessing
        assert "preprocessing" not in finder.recipe.model_dump()


def test_a_file_with_steps_is_the_stretch_they_spell_out(tmp_path: Path):
    at = tmp_path / "net.pt"
    torch.save(small_network().state_dict(), at)
    common = {"architecture": "petrillo"}
    by_name = load_finder(declaration(at, "named", stretch="minmax", **common))
    told = load_finder(declaration(at, "told", preprocessing=["resize", {"step": "minmax"}], **common))
    native = {band: np.random.default_rng(1).normal(size=(4, 40, 40)).astype(np.float32) for band in ("VIS", "H")}
    one, other = by_name.preprocess(native), told.preprocess(native)
    assert torch.allclose(one, other, rtol=0, atol=1e-7)  # (x − min) / span once in torch and once in numpy
    assert one.shape[-1] == SIZE
    assert told.recipe.scaling == "resize → minmax"


def test_a_pipeline_knows_whether_the_unit_of_a_pixel_matters():
    lupton, asinh = {"step": "lupton"}, {"step": "asinh"}
    assert in_pixel_units(steps({"step": "resize"}, lupton), BANDS)
    assert not in_pixel_units(steps({"step": "sqrt"}, {"step": "minmax"}, asinh), BANDS)
    assert in_pixel_units(steps({"step": "scale", "offset": 1.0}, {"step": "minmax"}), BANDS)
    assert in_pixel_units(steps({"step": "clip", "high": 9.0}, {"step": "minmax"}), BANDS)
    assert not in_pixel_units(steps({"step": "clip", "low": 0.0}, {"step": "minmax"}), BANDS)
    assert in_pixel_units(steps({"step": "percentile", "per": "image"}), BANDS)


GUIDE = Path(__file__).parents[2] / "docs/how-to/preprocessing.md"


def test_the_guides_declaration_is_a_finder_and_its_table_has_every_step(tmp_path: Path, images: np.ndarray, lensaudit):
    text = GUIDE.read_text("utf-8")
    declared = yaml.safe_load(text.split("```yaml")[1].split("```")[0])
    net = nn.Sequential(nn.Conv2d(3, 2, 5), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 1))
    write_program(nn.Sequential(*net, nn.Sigmoid()), tmp_path / "mine.pt2", torch.rand(2, 3, 40, 40))
    path = declaration(tmp_path / "mine.pt2", **declared | {"file": "mine.pt2"})
    finder = load_finder(path)
    assert finder.preprocess(cutouts(images)).shape == (3, 3, 40, 40)
    rows = [
        line.split("`")[1]
        for line in text.split("## The steps")[1].split("\n## ")[0].splitlines()
        if line.startswith("| `")
    ]
    assert sorted(rows) == sorted(STEPS)
    code, shown, _ = lensaudit("models", "show", path)
    assert code == 0
    assert yaml.safe_load(shown.split("Weights SHA")[0])["preprocessing"][-1] == {"step": "mean-std", "of": "imagenet"}
