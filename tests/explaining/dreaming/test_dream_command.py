"""``lensaudit dream`` from words to files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from astropy.io import fits
from astropy.wcs import WCS
from lens_sets import EUCLID, write_set
from PIL import Image
from skimage.transform import resize

from lensaudit.explaining.dreaming import dream_files as files
from lensaudit.finders import Finder, initialised, load_finder, load_recipe, save_finder
from lensaudit.lensset import LensSet

N = 7


@pytest.fixture(scope="module")
def places(tmp_path_factory) -> tuple[Path, Path]:
    """Folders of a seeded ou66, and of a set of seven systems, the last with an unusable band."""
    folder = tmp_path_factory.mktemp("dreams")
    module = initialised("ou66", 4, generator=torch.Generator().manual_seed(2))
    save_finder(Finder(load_recipe("ou66"), module, "test"), folder / "ou66", origin="He-normal weights of a test")
    write_systems(folder / "set", N)
    return folder / "ou66", folder / "set"


def write_systems(path: Path, n: int, seed: int = 8) -> None:
    rng = np.random.default_rng(seed)
    images = {b: rng.random((n, size, size)).astype(np.float32) for b, (size, _) in EUCLID.items()}
    images["Y"][n - 1] = np.nan
    scales = {band: scale for band, (_, scale) in EUCLID.items()}
    write_set(path, images, scales, {"label": np.arange(n) % 2}, ids="system-{}", zero_point_mag=24.0)


def test_class_images_are_made_kept_drawn_anew_and_made_anew(places, lensaudit, tmp_path):
    words = ("dream", places[0], "--out", tmp_path, "--steps", 3, "--device", "cpu", "--threads", 1)
    code, out, _ = lensaudit(*words)
    assert code == 0
    assert [line.split(",")[0] for line in out.splitlines()] == ["lens: made", "non-lens: made"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        f"{name}.{ending}" for name in ("lens", "non-lens") for ending in ("fits", "gif", "png")
    )
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}

    code, out, _ = lensaudit(*words)
    assert out.count(": kept") == 2
    assert stamps == {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}

    code, out, _ = lensaudit(*words, "--brighten", 150)  # another picture of the same image
    assert out.count(": kept") == 2
    changed = {path.name for path in tmp_path.iterdir() if stamps[path] != path.stat().st_mtime_ns}
    assert changed == {"lens.png", "lens.gif", "non-lens.png", "non-lens.gif"}

    code, out, _ = lensaudit(*words[:4], "--steps", 4)
    assert out.count(": made") == 2
    (tmp_path / "lens.fits").write_bytes((tmp_path / "lens.fits").read_bytes()[:9000])  # torn
    code, out, _ = lensaudit(*words[:4], "--steps", 4)
    assert [line.split(",")[0] for line in out.splitlines()] == ["lens: made", "non-lens: kept"]
    code, out, _ = lensaudit(*words[:4], "--steps", 4, "--force")
    assert out.count(": made") == 2


def test_the_fits_file_tells_how_the_image_was_made(places, lensaudit, tmp_path):
    words = ("--class", "lens", "--steps", 5, "--regularise", "jitter=2,tv", "--seed", 3)
    code, _, _ = lensaudit("dream", places[0], *words, "--out", tmp_path)
    assert code == 0
    with fits.open(tmp_path / "lens.fits") as hdus:
        header = hdus[0].header
        expected = {
            "OBJECT": "lens",
            "FINDER": "ou66",
            "BEGAN": "uniform noise",
            "MAXIMISE": "output",
            "STEPS": 5,
            "RATE": 0.1,
            "OPTIM": "ascent",
            "BOUNDS": "rescale",
        }
        assert {key: header[key] for key in expected} == expected
        assert (header["SEED"], header["JITTER"], header["TV"], header["FOURIER"]) == (3, 2, 0.25, False)
        assert [header[f"BAND{n}"] for n in range(1, 5)] == ["J", "Y", "H", "VIS"]
        assert header["FNDHASH"] == load_finder(str(places[0])).weights_hash
        assert "lensaudit dream" in str(header["HISTORY"])
        assert hdus[0].data.shape == hdus["START"].data.shape == (4, 66, 66)
        assert len(hdus["CURVE"].data) == len(hdus["P_LENS"].data) == 6
        assert hdus["PATH"].data.shape == (6, 4, 66, 66)
        np.testing.assert_array_equal(hdus["START"].data[0], hdus["START"].data[3])
        drawn = torch.rand((66, 66), generator=torch.Generator().manual_seed(3)).numpy()
        np.testing.assert_array_equal(hdus["START"].data[0], drawn)
        finder = load_finder(str(places[0]))
        with torch.no_grad():
            p = finder.logit(torch.from_numpy(hdus[0].data.astype(np.float32))[None]).sigmoid()
        assert header["PLENS1"] == pytest.approx(float(p[0]), abs=1e-5)


def test_a_whole_layer_has_a_page_and_its_dead_kernel_is_named(places, lensaudit, tmp_path):
    words = (
        "dream",
        "dream_nets:with_dead_kernel",
        "--layer",
        "4",
        "--out",
        tmp_path,
        "--steps",
        2,
        "--set",
        places[1],
    )
    code, out, error = lensaudit(*words)
    assert code == 0
    assert out.count(": made") == 6
    assert out.splitlines()[-1] == str(tmp_path / "layer-4.png")
    notes = " ".join(error.split())
    assert "dead, no gradient reaches the image: layer 4 kernel 2" in notes
    assert "1 cutouts left out, first system-6: Y has 4356 of 4356 pixels not finite" in notes
    with fits.open(tmp_path / "layer-4-kernel-02.fits") as hdus:
        assert hdus[0].header["DEAD"] is True
        np.testing.assert_array_equal(hdus[0].data, hdus["START"].data)
    with Image.open(tmp_path / "layer-4.png") as picture:
        assert picture.width > 600
    stamp = (tmp_path / "layer-4.png").stat().st_mtime_ns
    code, out, _ = lensaudit(*words)
    assert out.count(": kept") == 6
    assert stamp == (tmp_path / "layer-4.png").stat().st_mtime_ns


def test_the_cutouts_beside_are_those_with_the_highest_values(places, lensaudit, tmp_path):
    words = ("--class", "lens", "--class", "non-lens", "--kernel", "7:11", "--set", places[1], "--json")
    code, out, _ = lensaudit("dream", places[0], "--out", tmp_path, "--steps", 1, *words)
    assert code == 0
    dreams = json.loads(out)["dreams"]
    finder, lens_set = load_finder(str(places[0]), "cpu"), LensSet.open(places[1])
    usable = list(range(N - 1))
    images = finder.preprocess(lens_set.cutouts(usable))
    with torch.no_grad():
        outputs = finder.module(images).numpy()
        means = finder.module[:8](images).mean(dim=(2, 3)).numpy()[:, 11]
    for entry, values in zip(dreams, (outputs[:, 1], outputs[:, 0], means), strict=True):
        order = np.argsort(-values)[:4]
        assert [cutout["id"] for cutout in entry["most_exciting"]] == [f"system-{n}" for n in order]
        np.testing.assert_allclose([c["value"] for c in entry["most_exciting"]], values[order], rtol=1e-4, atol=1e-5)
        assert [cutout["label"] for cutout in entry["most_exciting"]] == [int(n % 2) for n in order]
    stored = (tmp_path / "exciting.json").stat().st_mtime_ns
    lensaudit("dream", places[0], "--out", tmp_path, "--steps", 1, "--class", "lens", *words[6:])
    assert stored == (tmp_path / "exciting.json").stat().st_mtime_ns
    _, out, _ = lensaudit("dream", places[0], "--out", tmp_path, "--steps", 1, *words, "--scan", 2)
    seen = {cutout["id"] for entry in json.loads(out)["dreams"] for cutout in entry["most_exciting"]}
    assert seen == {"system-0"}  # the first and the last are looked at, and the last is unusable


def test_a_deep_dream_begins_from_the_cutout_with_its_coordinates(places, lensaudit, tmp_path):
    words = ("--from", places[1], "--id", "system-2", "--id", "system-0", "--class", "lens", "--steps", 2, "--json")
    code, out, _ = lensaudit("dream", places[0], "--out", tmp_path, *words)
    assert code == 0
    dreams = json.loads(out)["dreams"]
    assert [(entry["start"], entry["rate"]) for entry in dreams] == [("system-2", 0.001), ("system-0", 0.001)]
    cutout = LensSet.open(places[1]).images("VIS", [2])[0]
    with fits.open(tmp_path / "system-2-lens.fits") as hdus:
        began = resize(cutout, (66, 66))
        began = (began - began.min()) / (began.max() - began.min())
        np.testing.assert_allclose(hdus["START"].data[3], began, rtol=0, atol=1e-5)
        assert hdus[0].header["BEGAN"] == "system-2"
        assert 0 < np.abs(hdus[0].data - hdus["START"].data).max() < 0.1
        scale = WCS(hdus[0].header).celestial.proj_plane_pixel_scales()[0].to_value("arcsec")
    assert scale == pytest.approx(0.3, rel=1e-6)


def test_an_interrupted_run_keeps_what_it_has_and_goes_on(places, lensaudit, tmp_path, monkeypatch):
    words = ("dream", places[0], "--out", tmp_path, "--steps", 3, "--class", "lens", "--kernel", "0:1")
    real = files.dream

    def stopped(*args: object, **options: object) -> object:
        if "layer" in args[1][0].name:
            raise KeyboardInterrupt
        return real(*args, **options)

    monkeypatch.setattr(files, "dream", stopped)
    code, _, error = lensaudit(*words)
    assert code == 130
    assert "run the same command again" in error
    assert (tmp_path / "lens.png").is_file()
    monkeypatch.setattr(files, "dream", real)
    code, out, _ = lensaudit(*words)
    assert [line.split(",")[0] for line in out.splitlines()] == ["lens: kept", "layer 0 kernel 1: made"]
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--class", "ring"], "class 'ring' is not known; allowed: lens, non-lens"),
        (["--layer", "1"], "no convolution '1'; this finder's are 0, 4, 7, 10, 13, 17, 20, 23, 26"),
        (["--kernel", "13:40"], "layer 13 has no kernel 40; it has 0 to 39"),
        (["--kernel", "13"], "not of the form LAYER:KERNEL"),
        (["--steps", "0"], "--steps 0"),
        (["--rate", "-1"], "--rate -1"),
        (["--optimiser", "sgd"], "allowed: ascent, adam"),
        (["--bounds", "none"], "allowed: rescale, clip, free"),
        (["--regularise", "blur"], "allowed: jitter, fourier, tv"),
        (["--brighten", "-5"], "--brighten -5"),
        (["--brighten", "nan"], "--brighten nan"),
        (["--scan", "0"], "--scan 0"),
        (["--seed", "-1"], "'--seed': -1 is not possible; give 0 or more"),
        (["--id", "system-0"], "say which set with --from SET"),
        (["--device", "abacus"], "abacus"),
        (["--set", "/nowhere/at/all"], "no such lens set"),
    ],
)
def test_mistakes_get_one_line_and_exit_code_2(words, message, places, lensaudit, tmp_path):
    code, out, error = lensaudit("dream", places[0], *words, "--out", tmp_path / "dreams")
    assert code == 2
    assert message in error
    assert len(error.strip().splitlines()) == 1
    assert out == ""
    assert not (tmp_path / "dreams").exists()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ([], 2, "needs --id ID (as often as you like), the systems to begin from"),
        (["--id", "sistem-1"], 2, "no system 'sistem-1'; nearest ids: system-1"),
        (["--id", "system-6"], 3, "image system-6: Y has 4356 of 4356 pixels not finite"),
    ],
)
def test_mistakes_with_the_cutout_to_begin_from(words, code, message, places, lensaudit, tmp_path):
    found, _, error = lensaudit("dream", places[0], "--from", places[1], *words, "--out", tmp_path / "dreams")
    assert found == code
    assert message in " ".join(error.split())
    assert not (tmp_path / "dreams").exists()


def test_a_folder_that_cannot_be_written_is_found_before_the_work(places, lensaudit, tmp_path):
    (tmp_path / "file").write_text("x")
    code, _, error = lensaudit("dream", places[0], "--out", tmp_path / "file")
    assert code == 2
    assert "choose another --out" in error
