"""What is handed over tells nothing: names, headers, sizes, dates, order."""

from __future__ import annotations

import re
from collections import defaultdict

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.io import fits

from lensaudit.probes import load_definition
from lensaudit.probes.outside import export_cutouts, plan_export
from lensaudit.probes.outside.plan import steps_key
from lensaudit.statistics import auroc

from .conftest import PROBES, SEED, N, manifest


@pytest.fixture(scope="module")
def key(exported):
    return pq.read_table(exported.key / "key.parquet").to_pylist()


def test_the_folder_that_is_handed_over_names_no_probe_and_no_seed(exported):
    names = sorted(path.name for path in exported.cutouts.iterdir())
    ids = [row["id"] for row in manifest(exported.cutouts)]
    assert names == sorted(["README.txt", "manifest.csv", *(f"{name}.fits" for name in ids)])
    assert all(re.fullmatch(r"c[0-9a-f]{16}", name) for name in ids)
    told = " ".join((exported.cutouts / name).read_text() for name in ("README.txt", "manifest.csv")).lower()
    secret = [*PROBES, "probe", "control", "treated", "dose", "seed", "compound", "single", "lensaudit", "key"]
    assert [word for word in secret if re.search(rf"\b{word}\b", told)] == []


def test_all_headers_are_one_but_for_the_id(exported):
    """Byte for byte, in every unit of every file; so are sizes and dates."""
    seen, states = set(), set()
    for row in manifest(exported.cutouts):
        path = exported.cutouts / row["file"]
        with fits.open(path) as hdus:
            texts = tuple(hdu.header.tostring().replace(row["id"], "ID") for hdu in hdus)
            assert all(hdu.header["OBJECT"] == row["id"] for hdu in hdus)
            hdus.verify("exception")
        seen.add(texts)
        states.add((path.stat().st_size, path.stat().st_mtime))
    assert len(seen) == 1
    assert len(states) == 1
    assert states.pop()[0] == exported.n_bytes // exported.n_cutouts


def test_headers_say_what_a_pipeline_asks_for(exported):
    with fits.open(exported.cutouts / manifest(exported.cutouts)[0]["file"]) as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "VIS", "Y", "J", "H"]
        header = hdus["H"].header
        assert (header["BITPIX"], header["NAXIS1"], header["BUNIT"]) == (-32, 66, "electron s-1")
        assert (header["MAGZERO"], header["PIXSCALE"]) == (24.0, 0.3)
        assert abs(header["CDELT2"] * 3600) == pytest.approx(0.3)


def test_names_and_order_do_not_go_with_label_arm_or_probe():
    """Names of 200 systems of all audited probes, without rendering: their ranks are those of a permutation."""
    plan = plan_export(200, 0)
    ranks: dict[str, int] = {}
    groups = defaultdict(set)
    for asked in plan.asked:
        contaminant = asked.definition.nature == "contaminant"
        for number, arm in enumerate(asked.experiment.arms):
            for index in range(200):
                name = plan.name(asked.source, index, steps_key(arm))
                ranks[name] = 0
                groups["treated" if number else "control"].add(name)
                groups["no lens" if contaminant and number else "lens"].add(name)
                groups[asked.definition.name].add(name)
    ranks = {name: rank for rank, name in enumerate(sorted(ranks))}
    assert len(groups["no lens"] | groups["lens"]) == len(ranks)  # no two cutouts share a name
    everything = set(ranks)
    for what, names in groups.items():
        others = everything - names
        value = auroc([ranks[name] for name in names], [ranks[name] for name in others])
        sigma = np.sqrt((len(ranks) + 1) / (12 * len(names) * len(others)))  # of Mann-Whitney's U under no relation
        assert abs(value - 0.5) < 4.5 * sigma, what  # some thirty groups are looked at


def test_within_a_system_files_are_created_in_the_order_of_their_names(exported, key):
    created = {path.stem: path.stat().st_ctime_ns for path in exported.cutouts.glob("*.fits")}
    for index in range(N):
        names = sorted({r["id"] for r in key if r["probe"] != "compound" and r["index"] == index})
        assert sorted(names, key=created.__getitem__) == names


def test_a_cutout_of_several_probes_is_written_once(exported, key):
    """The control at strength 0 of red-source is the drawn scene, which is the control of two other probes."""
    control = defaultdict(set)
    for row in key:
        if row["arm"] == 0 and row["probe"] != "compound":
            control[row["index"]].add(row["id"])
    assert {len(ids) for ids in control.values()} == {1}
    doses = len(load_definition("red-source").doses.values)
    assert exported.n_cutouts == N * (2 * 2 + 1 + doses + 1 + 1)
    assert len({row["id"] for row in key}) == exported.n_cutouts
    pixels = {(path.read_bytes()[2880:]).replace(path.stem.encode(), b"") for path in exported.cutouts.glob("*.fits")}
    assert len(pixels) == exported.n_cutouts


def test_pixels_are_those_of_the_experiment_bit_for_bit(exported, plan, key):
    places = {(row["probe"], row["population"], row["arm"], row["index"]): row["id"] for row in key}
    for asked in plan.asked:
        for arm in (0, len(asked.experiment.arms) - 1):
            images = asked.experiment.images(N - 1, arm)
            name = places[asked.definition.name, asked.label, arm, N - 1]
            for band, image in images.items():
                stored = fits.getdata(exported.cutouts / f"{name}.fits", band)
                assert np.array_equal(stored, image)


def test_another_seed_or_choice_gives_other_names():
    one, two = ["false-positive"], ["false-positive", "band-swap"]
    plans = [
        plan_export(2, SEED, one),
        plan_export(2, SEED + 1, one),
        plan_export(2, SEED, two),
        plan_export(3, 0, one),
    ]
    names = {plan.name(plan.asked[0].source, 0, "same") for plan in plans}
    assert len(names) == len(plans)


def test_one_file_a_band_has_the_same_pixels(exported, tmp_path):
    single = export_cutouts(plan_export(2, SEED, ["false-positive"], ["H", "VIS"], "single"), tmp_path / "single")
    rows = manifest(single.cutouts)
    assert list(rows[0]) == ["id", "file_H", "file_VIS"]
    assert rows[0]["file_VIS"] == f"{rows[0]['id']}_VIS.fits"
    known = {r["index"]: r["id"] for r in pq.read_table(single.key / "key.parquet").to_pylist() if r["arm"] == 1}
    whole = [r for r in pq.read_table(exported.key / "key.parquet").to_pylist() if r["probe"] == "false-positive"]
    for row in whole:
        if row["arm"] == 1 and row["index"] < 2:
            for band in ("H", "VIS"):
                one = fits.getdata(single.cutouts / f"{known[row['index']]}_{band}.fits")
                assert np.array_equal(one, fits.getdata(exported.cutouts / f"{row['id']}.fits", band))
    assert "file_" in (single.cutouts / "README.txt").read_text()
