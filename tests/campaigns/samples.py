"""Small valid files of every kind that lensaudit reads, made by lensaudit itself, once per campaign."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
import yaml
from astropy.io import fits
from campaigns.harness import command
from container_files import EXACT, Sample, pictures
from torch import nn

from lensaudit.files import builtin_folder
from lensaudit.finders import ARCHITECTURES, Finder, Recipe, initialised_module, load_finder, load_recipe, save_finder
from lensaudit.finders.architectures import Architecture, unfilled
from lensaudit.probes.definition import builtin_probes

SIDE = 20
OWN_MODULE = '''"""A finder of one's own."""
import torch
from torch import nn
from lensaudit.finders import declare_finder


def finder():
    net = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 1))
    return declare_finder(net, bands=("VIS", "H"), size=20, name="own")
'''


def build_tiny(bands: int, outputs: int = 2) -> nn.Sequential:
    """(n, bands, 20, 20) → (n, outputs)."""
    return nn.Sequential(
        nn.Conv2d(bands, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten(),
        nn.Linear(196, 8), nn.ReLU(), nn.Linear(8, outputs),
    )  # fmt: skip


def register_tiny() -> None:
    """Make the architecture ``tiny`` known in this process and its forks."""
    ARCHITECTURES.setdefault("tiny", Architecture("tiny", SIDE, build_tiny))


def save_tiny(folder: Path, name: str, seed: int = 1, bands: tuple[str, ...] = ("VIS", "H")) -> None:
    """A finder's folder that scores in a millisecond."""
    recipe = Recipe(name=name, architecture="tiny", bands=bands, size=SIDE)
    module = initialised_module(recipe, torch.Generator().manual_seed(seed))
    save_finder(Finder(recipe, module, "test"), folder, origin="seeded weights of a test")


def run_quietly(*words: object) -> None:
    """Run a command in this process; it must succeed."""
    said = io.StringIO()
    before = sys.argv
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            command(*words)()
    except SystemExit as leaving:
        if leaving.code:
            raise RuntimeError(f"lensaudit {' '.join(map(str, words))}: {said.getvalue()[-2000:]}") from leaving
    finally:
        sys.argv = before


def make_samples(root: Path) -> None:
    """Fill `root`, the working folder, with one good file of every kind; takes half a minute of a core."""
    register_tiny()
    with contextlib.chdir(root):
        run_quietly("simulate", "euclid", "--n", 32, "--seed", 3, "--out", "set")
        run_quietly("simulate", "euclid", "--n", 64, "--seed", 6, "--out", "graded")  # 20 of each class and more
        save_tiny(Path("finder"), "tiny-a")
        save_tiny(Path("other"), "tiny-b", 2, ("H",))
        Path("own.py").write_text(OWN_MODULE)
        _make_tables()
        _make_recipes()
        _make_cutouts(Path("cutouts"))
        _make_state_dict(Path("state.pt"))
        _make_containers(Path("boxes"))
        _make_finder_files()
        run_quietly("ingest", "fits", "cutouts", "--band", "VIS=[VIS]", "--band", "H=[H]", "--out", "real")
        _make_hosts(Path("hosts.npz"))
        run_quietly("ingest", "npz", "hosts.npz", "--pixel-scale", 0.1, "--zero-point", 24.6, "--out", "hosts")
        shutil.copy(builtin_folder("reports") / "planted-bias" / "planted.json", "planted.json")
        run_quietly("probe", "export", "--probe", "band-swap", "--n", 2, "--out", "export")
        _score_export(Path("export"))
        run_quietly("report", "finder", "--set", "set", "--out", "audit", *REPORT)
        run_quietly("compare", "finder", "other", "--set", "set", "--out", "comparison", *COMPARE)
        run_quietly("cluster", "set", "--recipe", "cae.yaml", "--out", "clusters", *CLUSTER)
        _mark(Path("clusters"))
        run_quietly("ensemble", "finder", "other", "--data", "set", "--out", "ensemble")
        _without_checksums(Path("set"), Path("oldset"))


REPORT = ("--probe", "band-swap", "--probe-n", 2, "--occlusion-n", 1, "--maps-n", 0, "--judge-n", 0, "--no-kernels",
          "--no-embed", "--dream-steps", 0)  # fmt: skip
COMPARE = ("--probe", "none", "--judge-n", 0, "--no-speed")
ENSEMBLE = ("--cells", 2, "--perplexity", 3)
CLUSTER = ("--epochs", 1, "--denoiser-epochs", 1, "--seed", 4)


def _make_tables() -> None:
    run_quietly("score", "finder", "set", "--out", "scores.parquet")
    ids = [f"euclid-{i:06d}" for i in range(32)]
    Path("grades.csv").write_text("id,grade\n" + "".join(f"{name},{'ABC'[i % 3]}\n" for i, name in enumerate(ids)))
    Path("known.csv").write_text("id,label\n" + "".join(f"{name},1\n" for name in ids[:9]))
    names = [f"obj{i}" for i in range(3)]
    rows = [f"{name},{i % 2},{20 + i}.5,{150 + i},2.{i}\n" for i, name in enumerate(names)]
    Path("catalogue.csv").write_text("id,label,mag,ra,dec\n" + "".join(rows))
    run_quietly("score", "finder", "set", "--part-rows", 12, "--workers", 1, "--out", "parts")
    run_quietly("embed", "finder", "set", "--only-vectors", "--out", "vectors")
    run_quietly("audit-plan", "parts", "--budget", 8, "--strata", 2, "--least", 2, "--out", "plan")
    named = Path("plan/labels.csv").read_text().splitlines()
    place = named[0].split(",").index("label")
    filled = [
        ",".join([*row[:place], f"{i % 2}", *row[place + 1 :]]) for i, row in enumerate(r.split(",") for r in named[1:])
    ]
    Path("plan/labels.csv").write_text("\n".join([named[0], *filled, ""]))


def _make_hosts(path: Path) -> None:
    """Three round galaxies in VIS, with what an injection needs."""
    noise = np.random.default_rng(8)
    square = np.hypot(*np.mgrid[-20:21, -20:21]) ** 2
    images = [3.0 * np.exp(-square / (40.0 + 10 * i)) + noise.normal(0, 0.01, square.shape) for i in range(3)]
    psf = np.exp(-square[10:-10, 10:-10] / 3.0)
    np.savez(
        path,
        images=np.float32(images)[:, None],
        variance=np.full((3, 1, 41, 41), 1e-4, np.float32),
        psfs=np.float32([[psf / psf.sum()]] * 3),
        bands=["VIS"],
        ids=["a", "b", "c"],
    )


def _make_recipes() -> None:
    words = {
        "tiny.yaml": Recipe(name="tiny-c", architecture="tiny", bands=("VIS", "H"), size=SIDE),
        "cae.yaml": Recipe(
            name="cae-small", architecture="cae-bgm", bands=("VIS",), size=SIDE, outputs=1, lens_index=0,
            architecture_options={"filters": 8, "embedding": 3},
        ),
    }  # fmt: skip
    for name, recipe in words.items():
        Path(name).write_text(yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False))
    definition = yaml.safe_load(builtin_probes()["background-offset"].read_text(encoding="utf-8"))
    Path("probe.yaml").write_text(yaml.safe_dump(definition, sort_keys=False, allow_unicode=True))


def _make_cutouts(folder: Path) -> None:
    """Three objects with two bands each, a sky position and a zero point."""
    folder.mkdir()
    rng = np.random.default_rng(5)
    for i in range(3):
        units = [fits.PrimaryHDU()]
        for band, side, scale in (("VIS", 21, 0.1), ("H", 7, 0.3)):
            unit = fits.ImageHDU(rng.normal(1, 0.1, (side, side)).astype(np.float32), name=band)
            cards = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 150.0 + i, "CRVAL2": 2.0}
            cards |= {"CRPIX1": side / 2, "CRPIX2": side / 2, "CD1_1": -scale / 3600, "CD2_2": scale / 3600}
            unit.header.update(cards | {"MAGZERO": 24.5, "BUNIT": "adu", "OBJECT": f"obj{i}"})
            units.append(unit)
        fits.HDUList(units).writeto(folder / f"obj{i}.fits")
    kernel = np.outer(*[np.exp(-(np.linspace(-2, 2, 21) ** 2))] * 2)
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(kernel / kernel.sum(), name="VIS_PSF")]).writeto("psf.fits")


def _make_containers(folder: Path) -> None:
    """A container of every format, of the field of view of the finders."""
    sample = Sample.drawn(n=6, side=8)
    for name, write in [*EXACT.items(), ("pictures", pictures)]:
        (folder / name).mkdir(parents=True)
        path = write(folder / name, sample if name != "pictures" else Sample.drawn(6, 8, ("H", "VIS", "R")))
        words = yaml.safe_load(path.read_text()) | {"field_of_view_arcsec": 20.0}
        words.pop("pixel_scale_arcsec")
        path.write_text(yaml.safe_dump(words))


def _without_checksums(source: Path, target: Path) -> None:
    """The same set as versions before checksums wrote it."""
    shutil.copytree(source, target)
    words = json.loads((target / "lensset.json").read_text())
    words.pop("checksums", None)
    (target / "lensset.json").write_text(json.dumps(words))


def _make_state_dict(path: Path) -> None:
    """Weights of ou66 under the names of the paper's files."""
    generator = torch.Generator().manual_seed(4)
    renamed = OrderedDict()
    for key, tensor in unfilled("ou66", len(load_recipe("ou66").bands)).state_dict().items():
        index, kind = key.split(".")
        new = f"layer.{index}.{kind}" if int(index) < 31 else f"fc_layer.{int(index) - 31}.{kind}"
        renamed[new] = torch.randn(tensor.shape, generator=generator).half().float()
    torch.save(renamed, path)


def _make_finder_files() -> None:
    """One small network as a program, ONNX and Keras, and a classifier of its pixels: a folder each, with its YAML."""
    import skops.io
    from network_files import declaration, small_network, write_onnx, write_program
    from sklearn.ensemble import RandomForestClassifier

    net = small_network()
    for name in ("pt2", "onnx", "keras", "skops"):
        Path(f"as-{name}").mkdir()
    declaration(write_program(net, Path("as-pt2/network.pt2")))
    declaration(write_onnx(net, Path("as-onnx/network.onnx")))
    os.environ |= {"KERAS_BACKEND": "torch", "KERAS_HOME": str(Path("keras-home").absolute())}
    import keras

    layers = keras.layers
    small = keras.Sequential([layers.Input((16, 16, 2)), layers.Conv2D(3, 3), layers.Flatten(), layers.Dense(1)])
    small.save("as-keras/network.keras")
    declaration(Path("as-keras/network.keras"))
    pixels = np.random.default_rng(2).normal(size=(30, 512))
    skops.io.dump(RandomForestClassifier(3, random_state=0).fit(pixels, np.arange(30) % 2), "as-skops/forest.skops")
    declaration(Path("as-skops/forest.skops"), outputs="softmax")


def _score_export(export: Path) -> None:
    lines = (export / "cutouts" / "manifest.csv").read_text().splitlines()[1:]
    ids = sorted({line.split(",")[0] for line in lines})
    (export.parent / "outside.csv").write_text(
        "id,p\n" + "".join(f"{name},{0.1 + 0.8 * (i % 7) / 7:.3f}\n" for i, name in enumerate(ids))
    )


def _mark(folder: Path) -> None:
    from lensaudit.clustering import clusters_hash
    from lensaudit.clustering.page import Marks

    Marks(clusters=clusters_hash(load_finder(str(folder / "finder")).module), marks={0: 1.0, 1: 0.0}).write(
        Path("marks.json")
    )
