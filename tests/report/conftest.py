"""A made-up audit, complete and of believable size, so that the page is tested without a finder or a lens set."""

from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lensaudit.evaluation.metric import roc_band
from lensaudit.files import write_bytes
from lensaudit.report.audit_file import SCHEMA, write_audit
from lensaudit.report.findings import find
from lensaudit.report.performance import AXES, rate, rates_by_kind, recall_along
from lensaudit.report.probes import laid_out
from lensaudit.report.render import render_report
from lensaudit.report.verdict import verdict
from tests.report.made_up_probes import TITLES, made_up_audit
from tests.report.made_up_probes import N as N_PAIRS
from tests.report.made_up_selection import fake_selection_function

NON_LENS_KINDS = ("no-source", "spiral", "ring-galaxy", "merger", "edge-on", "companions")
TOLERANCE = 0.1
N = 400


def fake_catalogue(seed: int = 1) -> dict[str, np.ndarray]:
    """200 lenses, 200 non-lenses; the made-up finder loses small and faint lenses."""
    rng = np.random.default_rng(seed)
    label = np.repeat([1, 0], N // 2)
    theta = np.where(label == 1, rng.uniform(0.3, 2.8, N), np.nan)
    snr = np.where(label == 1, rng.lognormal(3.0, 0.8, N), np.nan)
    logit = np.where(
        label == 1, 2.2 * (np.nan_to_num(theta) - 1.0) + 0.5 * rng.normal(size=N), rng.normal(-2.5, 1.5, N)
    )
    return {
        "label": label,
        "kind": np.where(label == 1, "single", rng.choice(NON_LENS_KINDS, N)),
        "theta_e_arcsec": theta,
        "arc_snr": snr,
        "mag_source_VIS": np.where(label == 1, rng.normal(24.5, 0.8, N), np.nan),
        "colour_source_VIS_H": np.where(label == 1, rng.normal(0.9, 0.3, N), np.nan),
        "p": 1 / (1 + np.exp(-logit)),
    }


def fake_image(size: int, fov: float, theta: float, rng: np.random.Generator) -> np.ndarray:
    """A round galaxy, an arc at `theta` arcsec where it is positive, and noise; electron/s, float32 (size, size)."""
    y, x = (np.mgrid[:size, :size] - (size - 1) / 2) * fov / size
    radius = np.hypot(x, y)
    light = 40 * np.exp(-3 * (radius / 0.8) ** 0.5)
    if theta > 0:
        light += 0.6 * np.exp(-0.5 * ((radius - theta) / 0.12) ** 2) * np.exp(-0.5 * (np.arctan2(y, x) / 0.8) ** 2)
    return (light + rng.normal(0, 0.05, radius.shape)).astype(np.float32)


def fake_cutout(theta: float, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """VIS 200×200 and Y, J, H 66×66, 20″ wide."""
    sizes = {"VIS": 200, "Y": 66, "J": 66, "H": 66}
    return {f"band:{band}": fake_image(size, 20.0, theta, rng) for band, size in sizes.items()}


def write_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write arrays as the audit does."""
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    write_bytes(path, stream.getvalue())


def fake_audit(catalogue: dict[str, np.ndarray], labelled: bool = True) -> dict[str, Any]:
    """The audit dict of the made-up finder; without labels only scores and gallery remain."""
    label = catalogue["label"] if labelled else np.full(N, -1)
    audit: dict[str, Any] = {
        "schema": SCHEMA,
        "finder": fake_finder(),
        "set": fake_set(label),
        "provenance": {
            "lensaudit": "0.1.0",
            "command": "lensaudit report ou66 --set sets/audit --out reports/latest",
            "seed": 3,
            "inputs": {"finder": "ab" * 32, "set": "cd" * 32},
            "python": "3.11.9",
            "packages": {"numpy": "2.2.0", "torch": "2.10.0", "captum": None},
        },
        "options": {"seed": 3, "tolerance": TOLERANCE, "beta": 0.03, "device": "cpu"},
        "performance": fake_performance(label, catalogue["p"]),
        "pixels": fake_pixels(),
        "selection": fake_selection(catalogue) if labelled else None,
        "selection_function": fake_selection_function(catalogue) if labelled else None,
        "gallery": None,
        "maps": None,
        "judged": None,
        "kernels": None,
        "dreams": None,
        "probes": fake_probes() if labelled else None,
        "certificate": fake_certificate(),
        "limits": ["All cutouts are simulated: nothing here was measured on the sky."],
        "not_measured": [{"what": "Red sources", "why": "No probe of source colour was run."}],
        "findings_note": f"Tolerance {TOLERANCE}.",
    }
    audit["findings"] = find(audit, TOLERANCE)
    audit["verdict"] = verdict(audit)
    return audit


def fake_pixels() -> dict[str, Any]:
    return {
        "units": {"VIS": "electron / s at 24 mag", "H": "unknown"},
        "finder_units": {"VIS": "unknown"},
        "clipping": {"VIS": {"below": 0.314, "above": 0.0, "remark": ""}},
        "remarks": ["finder ou66 does not record the pixel unit of its statistics"],
    }


def fake_finder() -> dict[str, Any]:
    fall = [(e, 0.72 * 0.94**e + 0.0006 * e * e, 1 - 0.5 * 0.95**e) for e in range(30)]
    names = ("epoch", "train_loss", "validation_loss", "validation_accuracy")
    history = [dict(zip(names, (e, 0.7 * 0.93**e, loss, accuracy), strict=True)) for e, loss, accuracy in fall]
    return {
        "name": "ou66",
        "origin": "built-in",
        "weights_hash": "ab" * 32,
        "architecture": "ou66",
        "parameters": 203192,
        "bands": ["J", "Y", "H", "VIS"],
        "size": 66,
        "stretch": "minmax",
        "field_of_view_arcsec": 20.0,
        "threshold": 0.5,
        "training": {
            "history": history,
            "data": {"set": "ef" * 32, "n_training": 18750, "n_validation": 1250},
            "origin": "Trained by lensaudit on 18750 images",
        },
    }


def fake_set(label: np.ndarray) -> dict[str, Any]:
    return {
        "name": "sets/audit",
        "content_hash": "cd" * 32,
        "instrument": "euclid",
        "n": len(label),
        "n_lenses": int(np.sum(label == 1)),
        "n_non_lenses": int(np.sum(label == 0)),
        "n_unlabelled": int(np.sum(label == -1)),
        "bands": ["VIS 200×200 at 0.1″", "Y 66×66 at 0.3″", "J 66×66 at 0.3″", "H 66×66 at 0.3″"],
        "seed": 3,
        "population": "euclid",
        "simulated": True,
        "has_truth": True,
        "made_by": "lensaudit simulate euclid --n 400 --seed 3",
    }


def fake_performance(label: np.ndarray, p: np.ndarray) -> dict[str, Any]:
    lenses, others = p[label == 1], p[label == 0]
    edges = np.linspace(0, 1, 26)
    block: dict[str, Any] = {
        "threshold": 0.5,
        "n": len(p),
        "n_above": int(np.sum(p >= 0.5)),
        "n_lenses": len(lenses),
        "n_non_lenses": len(others),
        "scores": {
            "edges": edges.tolist(),
            **{
                name: np.histogram(p[label == value], edges)[0].tolist()
                for name, value in (("lenses", 1), ("non_lenses", 0), ("unlabelled", -1))
            },
        },
        "unscored": [],
        "metrics": [],
        "roc": None,
        "confusion": None,
        "false_positive_rate": None,
    }
    if len(lenses) == 0:
        return block
    found, alarms = rate(lenses >= 0.5), rate(others >= 0.5)
    curve = roc_band(lenses, others, np.random.default_rng(0)).to_json()
    block["roc"] = {**curve, "n_lenses": len(lenses), "n_non_lenses": len(others)}
    block["confusion"] = {
        "tp": found["k"],
        "fn": found["n"] - found["k"],
        "fp": alarms["k"],
        "tn": alarms["n"] - alarms["k"],
    }
    block["false_positive_rate"] = alarms
    block["metrics"] = [
        fake_metric("recall", "Recall", found["value"], (found["low"], found["high"]), found["n"]),
        fake_metric("auroc", "AUROC", 0.93, (0.90, 0.95), N),
        fake_metric("tpr0", "TPR0", np.nan, (np.nan, np.nan), N) | {"status": "not defined: for the test"},
    ]
    return block


def fake_metric(name: str, label: str, value: float, span: tuple[float | None, float | None], n: int) -> dict[str, Any]:
    return {
        "name": name,
        "label": label,
        "value": value,
        "low": span[0],
        "high": span[1],
        "n": n,
        "method": "Wilson",
        "status": "",
    }


def fake_selection(catalogue: dict[str, np.ndarray]) -> dict[str, Any]:
    lens, called, rng = catalogue["label"] == 1, catalogue["p"] >= 0.5, np.random.default_rng(0)
    return {
        "curves": [recall_along(catalogue[axis.column][lens], called[lens], axis, rng) for axis in AXES],
        "absent": [],
        "lens_kinds": rates_by_kind(catalogue["kind"][lens], called[lens], rng),
        "non_lens_kinds": rates_by_kind(catalogue["kind"][~lens], called[~lens], rng),
    }


def fake_probes() -> dict[str, Any]:
    """The probes' block of the made-up answers, without pairs."""
    return laid_out(made_up_audit(), TITLES, "ou66", (N_PAIRS, 3)).to_json()


def fake_certificate() -> dict[str, Any]:
    """Eleven of twelve planted biases named, one of twenty clean finders accused."""
    planted = [
        {"bias": "red sources", "told": "red", "finders": 6, "named_first": 6, "low": 0.61, "high": 1.0},
        {"bias": "psf angle", "told": "", "finders": 6, "named_first": 5, "low": 0.44, "high": 0.97},
    ]
    return {
        "measured": True,
        "command": "lensaudit planted-bias --out runs/planted --n 300",
        "planted": planted,
        "clean": {"audits": 20, "accused": 1, "low": 0.009, "high": 0.236},
        "probes": ["red-source", "psf-rotation"],
        "n_pairs": 300,
    }


def fake_gallery(catalogue: dict[str, np.ndarray], folder: Path, n: int) -> dict[str, Any]:
    """Three groups of `n` entries, their pixels written under ``arrays/``."""
    rng = np.random.default_rng(5)
    lens, p = catalogue["label"] == 1, catalogue["p"]
    orders = {
        "hits": np.argsort(-np.where(lens, p, -1)),
        "worst misses": np.argsort(np.where(lens, p, 2)),
        "worst false positives": np.argsort(-np.where(lens, -1, p)),
    }
    groups = []
    for title, order in orders.items():
        entries = [fake_entry(catalogue, int(i), folder, rng) for i in order[:n]]
        groups.append({"title": title.capitalize(), "note": "by score", "entries": entries})
    return {"patch": 4, "stride": 4, "groups": groups}


def fake_entry(catalogue: dict[str, np.ndarray], i: int, folder: Path, rng: np.random.Generator) -> dict[str, Any]:
    theta = float(np.nan_to_num(catalogue["theta_e_arcsec"][i]))
    y, x = (np.mgrid[:50, :50] - 24.5) * 0.4
    ring = -0.4 * np.exp(-0.5 * ((np.hypot(x, y) - theta) / 0.4) ** 2) + 0.01 * rng.normal(size=x.shape)
    name = f"arrays/occlusion-{i:06d}.npz"
    write_npz(folder / name, {**fake_cutout(theta, rng), "map": ring.astype(np.float32)})
    facts = f"{catalogue['kind'][i]}, θ_E {theta:.2f}″" if theta else str(catalogue["kind"][i])
    return {"id": f"euclid-{i:06d}", "p": float(catalogue["p"][i]), "facts": facts, "array": name, "fov_arcsec": 20.0}


def fake_maps(folder: Path) -> dict[str, Any]:
    """One lens explained by two methods, and a third that could not."""
    rng = np.random.default_rng(9)
    arrays = {f"map:{name}": rng.normal(size=(50, 50)).astype(np.float32) for name in ("gradcam", "guided-gradcam")}
    arrays["band:VIS"] = fake_cutout(1.2, rng)["band:VIS"]
    write_npz(folder / "arrays/maps-0.npz", arrays)
    facts = {"paper": "Selvaraju et al. 2017"}
    methods = [
        {"name": "gradcam", "title": "Grad-CAM", "known_to_fail": False, "notes": [], **facts},
        {"name": "guided-gradcam", "title": "Guided Grad-CAM", "known_to_fail": True, "notes": ["fails"], **facts},
        {"name": "deeplift", "title": "DeepLIFT", "known_to_fail": False, "notes": [], **facts},
    ]
    entry = {
        "group": "Hits",
        "id": "euclid-000001",
        "p": 0.97,
        "facts": "single",
        "array": "arrays/maps-0.npz",
        "fov_arcsec": 20.0,
        "area": 0.02,
        "scores": {"gradcam": {"share": 0.41, "rank": 0.5, "pointing": 1.0}, "guided-gradcam": None},
        "failed": {"deeplift": "DeepLIFT cannot explain ou66"},
    }
    return {"methods": methods, "entries": [entry]}


def fake_pairs(folder: Path) -> list[dict[str, Any]]:
    rng, pairs = np.random.default_rng(7), []
    for k in range(4):
        name = f"arrays/pair-{k}.npz"
        arms = {"control": fake_cutout(1.2, rng), "treated": fake_cutout(1.8, rng)}
        write_npz(folder / name, {f"{arm}:{key}": arms[arm][key] for arm in arms for key in arms[arm]})
        pair = {"title": f"compound-arcs-{k:06d}", "facts": "largest loss", "array": name, "fov_arcsec": 20.0}
        pairs.append({**pair, "p_control": 0.97, "p_treated": 0.12})
    return pairs


@pytest.fixture(scope="session")
def catalogue() -> dict[str, np.ndarray]:
    return fake_catalogue()


@pytest.fixture
def audit(catalogue: dict[str, np.ndarray]) -> dict[str, Any]:
    """A complete audit without pixels."""
    return fake_audit(catalogue)


@pytest.fixture
def bare_audit(catalogue: dict[str, np.ndarray]) -> dict[str, Any]:
    """An audit of a set without labels and truth."""
    return fake_audit(catalogue, labelled=False)


@pytest.fixture
def write_folder(tmp_path: Path):
    """Write an audit into a folder, to be rendered."""

    def write(audit: dict[str, Any]) -> Path:
        write_audit(tmp_path, audit)
        return tmp_path

    return write


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory, catalogue: dict[str, np.ndarray]) -> Path:
    """A complete audit with gallery and pairs on disk, drawn once; to be read only."""
    folder = write_full(tmp_path_factory.mktemp("audit"), catalogue, 2)
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


def write_full(folder: Path, catalogue: dict[str, np.ndarray], n: int) -> Path:
    audit = fake_audit(catalogue)
    audit["gallery"] = fake_gallery(catalogue, folder, n)
    audit["maps"] = fake_maps(folder)
    audit["probes"]["details"][0]["pairs"] = fake_pairs(folder)
    write_audit(folder, audit)
    return folder


@pytest.fixture
def full_audit_writer():
    """Write a complete audit with `n` entries per gallery group."""
    return write_full
