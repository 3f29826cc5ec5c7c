"""A disk that runs full, and Ctrl-C, late in commands of hosts, realism and calibration: one line, nothing looks whole.

That any moment will do, and that the command then goes on to the same bytes, is for ``make kills``.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from lens_sets import EUCLID, write_set
from matplotlib.figure import Figure

import lensaudit as la
from lensaudit import files, realism_gate
from lensaudit.errors import DataError, MachineError
from lensaudit.lensset import LensSet
from lensaudit.realism_gate import Gate, measure_realism
from tests.realism_gate.toys import drawn_set

STOPS = {
    "a full disk": (lambda: OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), 4, "the disk is full; free some space"),
    "Ctrl-C": (KeyboardInterrupt, 130, "interrupted; run the same command again to go on where it stopped"),
}


def no_whole_set(out: Path) -> bool:
    try:
        LensSet.open(out)
    except DataError:
        return True
    return False


def blob(side: int, sigma: float, flux: float = 1.0) -> np.ndarray:
    away = np.hypot(*(np.indices((side, side)) - side // 2))
    return (flux * np.exp(-((away / sigma) ** 2) / 2) / (2 * np.pi * sigma**2)).astype(np.float32)


def inject(here: Path) -> str:
    la.simulate("vis101", 1, seed=7, out=here / "hosts")
    return f"inject {here / 'hosts'} --n 1 --any-host"


def cut(here: Path) -> str:
    image = np.random.default_rng(1).normal(0, 0.02, (120, 120)) + np.pad(blob(41, 3.0, 90), ((40, 39), (40, 39)))
    psf, variance = blob(17, 1.2)[None, None], np.full((1, 1, 120, 120), 4e-4)
    np.savez(here / "sky.npz", images=image[None, None], variance=variance, psfs=psf, bands=["VIS"])
    la.ingest(here / "sky.npz", layout="npz", pixel_scale={"*": 0.1}, zero_point={"*": 25.0}, out=here / "sky")
    return f"cut {here / 'sky'} --side 41"


def ingest(here: Path) -> str:
    fits.writeto(here / "a_VIS.fits", np.random.default_rng(1).normal(size=(20, 20)).astype("f4"))
    fits.writeto(here / "psf.fits", blob(9, 1.2))
    return f"ingest fits {here} --band VIS=*_VIS.fits --psf VIS={here / 'psf.fits'} --pixel-scale VIS=0.1"


def realism(here: Path) -> str:
    (here / "halfway_toy.py").write_text("from tests.realism_gate.toys import toy_finder as make\n")
    sets = [drawn_set(here / name, 24, seed, labels=0).path for seed, name in enumerate(("sky", "simulated"))]
    return f"realism halfway_toy:make --real {sets[0]} --simulated {sets[1]}"


def calibrate(here: Path) -> str:
    n, rng = 40, np.random.default_rng(1)
    flat = {band: np.zeros((n, side, side), np.float32) for band, (side, _) in EUCLID.items()}
    labels = np.arange(n) % 2
    write_set(here / "set", flat, {band: scale for band, (_, scale) in EUCLID.items()}, {"label": labels})
    rows = (f"image-{i:04d},{p:.4f}" for i, p in enumerate(rng.uniform(0.2, 0.6, n) + 0.2 * labels))
    (here / "scores.csv").write_text("\n".join(["id,p", *rows]))
    return f"calibrate ou66 {here / 'set'} --scores {here / 'scores.csv'} --folds 2"


COMMANDS: dict[Callable[[Path], str], tuple[str, Callable[[Path], bool]]] = {
    inject: ("catalogue.parquet", no_whole_set),
    cut: ("catalogue.parquet", no_whole_set),
    ingest: ("catalogue.parquet", no_whole_set),
    realism: ("cutouts.parquet", lambda out: not (out / "realism.json").exists()),
    calibrate: ("detections.fits", lambda out: not (out / "calibration.json").exists()),
}
"""What makes the words of a command → a file it writes late, and that its folder does not look whole without."""


@pytest.mark.parametrize("made", COMMANDS, ids=lambda one: one.__name__)
@pytest.mark.filterwarnings("ignore:.*:lensaudit.errors.LensauditWarning")
def test_stopped_late_it_is_one_line_and_goes_on(lensaudit, tmp_path, monkeypatch, made):
    late, unfinished = COMMANDS[made]
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(Figure, "savefig", lambda _, path, **__: path.write_bytes(b""))  # most of the time else
    measured: list[Gate] = []

    def once(*asked: Any) -> Gate:
        measured[:] = measured or [measure_realism(*asked)]
        return measured[0]

    monkeypatch.setattr(realism_gate, "measure_realism", once, raising=False)
    words, out, replace = made(tmp_path).split(), tmp_path / "out", os.replace
    for stop, code, said in STOPS.values():

        def stopped(source: Path, target: Path, stop: Callable[[], BaseException] = stop) -> None:
            if Path(target).name == late:
                raise stop()
            replace(source, target)

        with monkeypatch.context() as patch:
            patch.setattr(files.os, "replace", stopped)
            done = lensaudit(*words, "--out", out)
        assert (done.code, done.out) == (code, "")
        assert said in done.err.splitlines()[-1]
        assert sum(line.startswith("lensaudit: ") for line in done.err.splitlines()) == 1
        assert unfinished(out)
        assert not list(out.rglob("*.partial"))
    done = lensaudit(*words, "--out", out)
    assert (done.code, unfinished(out)) == (0, False)


def test_a_full_disk_in_the_words_of_a_library_is_one(tmp_path, monkeypatch):
    """astropy raises an error of its own in place of the system's, without a number."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(fits.file._File, "write", full)
    with (
        pytest.raises(MachineError, match=r"map\.fits: the disk is full"),
        files.replacing(tmp_path / "map.fits") as partial,
    ):
        fits.HDUList([fits.PrimaryHDU(np.zeros((5, 5)))]).writeto(partial)
    assert os.listdir(tmp_path) == []
