"""An audit of believable size by the real builders, of a drawn catalogue and drawn answers: no image is rendered."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lensaudit.files import write_bytes
from lensaudit.finders import load_finder
from lensaudit.provenance import Clipping, Pixels, Provenance
from lensaudit.report.audit_file import SCHEMA, write_audit
from lensaudit.report.build import concluded, finder_block, set_block
from lensaudit.report.chapters import (
    Certificate,
    CleanFinders,
    Gallery,
    GalleryEntry,
    GalleryGroup,
    MapEntry,
    MapMethod,
    Maps,
    MapScore,
    PlantedBias,
)
from lensaudit.report.options import AuditOptions
from lensaudit.report.performance import performance_block, selection_block, selection_function_block
from lensaudit.report.plots import Pictures, pictures_of
from lensaudit.report.probe_block import PairShown
from lensaudit.report.render import render_report
from lensaudit.report.schema import Audit, AuditedFinder, LabelledMetric, Measured, Settings
from tests.report.answers import probes_block
from tests.report.drawn import DrawnScores, DrawnSet, drawn_catalogue

TOLERANCE = 0.1
OPTIONS = AuditOptions(
    seed=3, tolerance=TOLERANCE, occlusion_n=0, maps_n=0, judge_n=0, kernels=False, embed=False, dream_steps=0
)
PROVENANCE = Provenance(
    lensaudit="0.1.0",
    command="lensaudit report ou66 --set sets/audit --out reports/latest",
    seed=3,
    inputs={"finder": "ab" * 32, "set": "cd" * 32},
    python="3.11.9",
    packages={"numpy": "2.2.0", "torch": "2.10.0", "captum": None},
)
PIXELS = Pixels(
    units={"VIS": "electron / s at 24 mag", "H": "unknown"},
    finder_units={"VIS": "unknown"},
    clipping={"VIS": Clipping(below=0.314, above=0.0)},
    remarks=("finder ou66 does not record the pixel unit of its statistics",),
)
CERTIFICATE = Certificate(
    command="lensaudit planted-bias --out runs/planted --n 300",
    measured=True,
    planted=(
        PlantedBias("red sources", 6, 6, 0.61, 1.0, told="red"),
        PlantedBias("psf angle", 6, 5, 0.44, 0.97, strength=0.5),
    ),
    clean=CleanFinders(audits=20, accused=1, low=0.009, high=0.236),
    probes=("red-source", "psf-rotation"),
    n_pairs=300,
)
"""Eleven of twelve planted biases named, one of twenty clean finders accused."""


def audit_of(catalogue: dict[str, np.ndarray], finder: AuditedFinder, labelled: bool = True) -> Audit:
    """What follows of the drawn answers; without labels only the scores remain."""
    label = catalogue["label"] if labelled else np.full(len(catalogue["label"]), -1)
    lens_set: Any = DrawnSet(catalogue | {"label": label})
    scores: Any = DrawnScores(catalogue["p"])
    seed, threshold = OPTIONS.seed, finder.threshold
    measured = Measured(
        schema=SCHEMA,
        finder=finder,
        set=set_block(lens_set),
        provenance=PROVENANCE,
        options=Settings.asked(OPTIONS, "cpu"),
        performance=performance_block(label, scores, threshold, OPTIONS),
        pixels=PIXELS,
        selection=selection_block(lens_set, catalogue["p"], threshold, seed) if labelled else None,
        selection_function=selection_function_block(lens_set, scores, threshold, seed) if labelled else None,
        gallery=None,
        maps=None,
        judged=None,
        kernels=None,
        dreams=None,
        probes=probes_block() if labelled else None,
        certificate=CERTIFICATE,
    )
    return concluded(measured, TOLERANCE)


def with_metric(audit: Audit, name: str, **values: Any) -> Audit:
    """The audit with other values of one metric."""
    metrics = (replace(one, **values) if one.name == name else one for one in audit.performance.metrics)
    return replace(audit, performance=replace(audit.performance, metrics=tuple[LabelledMetric, ...](metrics)))


def write_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write arrays as the audit does."""
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    write_bytes(path, stream.getvalue())


def drawn_image(size: int, fov: float, theta: float, rng: np.random.Generator) -> np.ndarray:
    """A round galaxy, an arc at `theta` arcsec where it is positive, and noise; electron/s, float32 (size, size)."""
    y, x = (np.mgrid[:size, :size] - (size - 1) / 2) * fov / size
    radius = np.hypot(x, y)
    light = 40 * np.exp(-3 * (radius / 0.8) ** 0.5)
    if theta > 0:
        light += 0.6 * np.exp(-0.5 * ((radius - theta) / 0.12) ** 2) * np.exp(-0.5 * (np.arctan2(y, x) / 0.8) ** 2)
    return (light + rng.normal(0, 0.05, radius.shape)).astype(np.float32)


def drawn_cutout(theta: float, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """VIS 200×200 and Y, J, H 66×66, 20″ wide."""
    sizes = {"VIS": 200, "Y": 66, "J": 66, "H": 66}
    return {f"band:{band}": drawn_image(size, 20.0, theta, rng) for band, size in sizes.items()}


def drawn_gallery(catalogue: dict[str, np.ndarray], folder: Path, n: int) -> Gallery:
    """Three groups of `n` entries, their pixels written under ``arrays/``."""
    rng = np.random.default_rng(5)
    lens, p = catalogue["label"] == 1, catalogue["p"]
    orders = {
        "Hits": np.argsort(-np.where(lens, p, -1)),
        "Worst misses": np.argsort(np.where(lens, p, 2)),
        "Worst false positives": np.argsort(-np.where(lens, -1, p)),
    }
    groups = (
        GalleryGroup(title, "by score", tuple(_entry(catalogue, int(i), folder, rng) for i in order[:n]))
        for title, order in orders.items()
    )
    return Gallery(4, 4, tuple(groups))


def _entry(catalogue: dict[str, np.ndarray], i: int, folder: Path, rng: np.random.Generator) -> GalleryEntry:
    theta = float(np.nan_to_num(catalogue["theta_e_arcsec"][i]))
    y, x = (np.mgrid[:50, :50] - 24.5) * 0.4
    ring = -0.4 * np.exp(-0.5 * ((np.hypot(x, y) - theta) / 0.4) ** 2) + 0.01 * rng.normal(size=x.shape)
    name = f"arrays/occlusion-{i:06d}.npz"
    write_npz(folder / name, {**drawn_cutout(theta, rng), "map": ring.astype(np.float32)})
    facts = f"{catalogue['kind'][i]}, θ_E {theta:.2f}″" if theta else str(catalogue["kind"][i])
    return GalleryEntry(f"euclid-{i:06d}", float(catalogue["p"][i]), facts, name, 20.0)


def drawn_maps(folder: Path) -> Maps:
    """One lens explained by two methods, and a third that could not."""
    rng = np.random.default_rng(9)
    arrays = {f"map:{name}": rng.normal(size=(50, 50)).astype(np.float32) for name in ("gradcam", "guided-gradcam")}
    arrays["band:VIS"] = drawn_cutout(1.2, rng)["band:VIS"]
    write_npz(folder / "arrays/maps-0.npz", arrays)
    paper = "Selvaraju et al. 2017"
    methods = (
        MapMethod("gradcam", "Grad-CAM", paper, known_to_fail=False, notes=()),
        MapMethod("guided-gradcam", "Guided Grad-CAM", paper, known_to_fail=True, notes=("fails",)),
        MapMethod("deeplift", "DeepLIFT", paper, known_to_fail=False, notes=()),
    )
    entry = MapEntry(
        group="Hits",
        id="euclid-000001",
        p=0.97,
        facts="single",
        array="arrays/maps-0.npz",
        fov_arcsec=20.0,
        area=0.02,
        scores={"gradcam": MapScore(share=0.41, rank=0.5, pointing=1.0), "guided-gradcam": None},
        failed={"deeplift": "DeepLIFT cannot explain ou66"},
    )
    return Maps(methods, (entry,))


def drawn_pairs(folder: Path) -> tuple[PairShown, ...]:
    """Four pairs, their pixels written under ``arrays/``."""
    rng, pairs = np.random.default_rng(7), []
    for k in range(4):
        name = f"arrays/pair-{k}.npz"
        arms = {"control": drawn_cutout(1.2, rng), "treated": drawn_cutout(1.8, rng)}
        write_npz(folder / name, {f"{arm}:{key}": arms[arm][key] for arm in arms for key in arms[arm]})
        pairs.append(PairShown(f"compound-arcs-{k:06d}", "largest loss", name, 20.0, p_control=0.97, p_treated=0.12))
    return tuple(pairs)


@pytest.fixture(scope="session")
def catalogue() -> dict[str, np.ndarray]:
    return drawn_catalogue()


@pytest.fixture(scope="session")
def audited_finder() -> AuditedFinder:
    """OU-66 as shipped, with its training."""
    return finder_block(load_finder("ou66"))


@pytest.fixture(scope="session")
def audit(catalogue: dict[str, np.ndarray], audited_finder: AuditedFinder) -> Audit:
    """A complete audit without pixels."""
    return audit_of(catalogue, audited_finder)


@pytest.fixture(scope="session")
def bare_audit(catalogue: dict[str, np.ndarray], audited_finder: AuditedFinder) -> Audit:
    """An audit of a set without labels and truth."""
    return audit_of(catalogue, audited_finder, labelled=False)


@pytest.fixture
def write_folder(tmp_path: Path) -> Callable[[Audit], Path]:
    """Write an audit into a folder, to be rendered."""

    def write(audit: Audit) -> Path:
        write_audit(tmp_path, audit)
        return tmp_path

    return write


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory, audit: Audit, catalogue: dict[str, np.ndarray]) -> Path:
    """A complete audit with gallery and pairs on disk, drawn once; to be read only."""
    folder = write_full(audit, catalogue, tmp_path_factory.mktemp("audit"), 2)
    render_report(folder)
    return folder


@pytest.fixture
def full_folder(tmp_path: Path, shared_folder: Path) -> Path:
    """A copy of the complete audit, to be changed."""
    return Path(shutil.copytree(shared_folder, tmp_path / "audit"))


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the line plots empty: a test of words or panels need not wait for them."""
    monkeypatch.setattr("lensaudit.display.figures.svg_bytes", lambda figure: b"")


@pytest.fixture(scope="session")
def no_plots(audit: Audit) -> Pictures:
    """Line plots of the audit, each without a line."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lensaudit.display.figures.svg_bytes", lambda figure: b"")
        return pictures_of(audit)


@pytest.fixture
def unplotted(monkeypatch: pytest.MonkeyPatch, no_plots: Pictures) -> None:
    """The same where the line plots are those of `audit`: they are not even begun, which takes a second a page."""
    monkeypatch.setattr("lensaudit.report.render.pictures_of", lambda audit: no_plots)


def write_full(audit: Audit, catalogue: dict[str, np.ndarray], folder: Path, n: int) -> Path:
    """Write the audit with `n` entries per gallery group, maps and pairs."""
    assert audit.probes is not None
    first, *others = audit.probes.details
    probes = replace(audit.probes, details=(replace(first, pairs=drawn_pairs(folder)), *others))
    gallery, maps = drawn_gallery(catalogue, folder, n), drawn_maps(folder)
    write_audit(folder, replace(audit, gallery=gallery, maps=maps, probes=probes))
    return folder
