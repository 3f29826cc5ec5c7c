"""Both Bologna challenges: layouts, labels, Einstein radii, masked pixels, missing ids."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from fits_files import noise, sky_header, write_plane

from lensaudit.errors import DataError, UsageError
from lensaudit.lensset.header import Listed
from lensaudit.lensset.ingest import PixelPolicy, ingest, plan_blf1, plan_blf2
from lensaudit.lensset.ingest.challenges import read_catalogue, theta_e_arcsec
from lensaudit.lensset.ingest.plan import challenge, label_rule, wilde

NAN = math.nan


def space(root: Path, lenses: tuple[int, ...] = (1, 3), others: tuple[int, ...] = (2,)) -> Path:
    for folder, ids in (("lens", lenses), ("nolens", others)):
        for i in ids:
            pixels = noise(i, scale=1e-12)
            write_plane(root / folder / f"imageEUC_VIS-{100000 + i}.fits", pixels, sky_header(0.1))
    return root


def ground(root: Path, masked: int = 10) -> Path:
    for number, band in enumerate("RIGU", 1):
        pixels = noise(number, scale=1e-12)
        pixels.flat[:masked] = 100
        write_plane(root / "Public" / f"Band{number}" / f"imageSDSS_{band}-100007.fits", pixels, sky_header(0.2))
    return root


def euclid(root: Path, ids: tuple[int, ...] = (200001, 200002), bands: str = "VIS J Y H") -> Path:
    for i in ids:
        for band in bands.split():
            side = 12 if band == "VIS" else 4
            pixels = noise(i, (side, side), 1e-11)
            write_plane(root / "Public" / f"EUC_{band}" / f"imageEUC_{band}-{i}.fits", pixels)
    return root


def log(path: Path, rows: list[str], columns: str = ",ID,ein_area,n_pix_source,n_source_im,mag_eff,n_sources") -> Path:
    path.write_text("# catalogue\n# ein_area : steradian\n" + columns + "\n" + "\n".join(rows) + "\n")
    return path


def test_space_labels_come_from_folders_and_tiny_fluxes_survive(tmp_path):
    s = ingest(plan_blf1(space(tmp_path / "in")), tmp_path / "out")
    assert s.ids == ["100001", "100002", "100003"]
    assert s.labels.tolist() == [1, 0, 1]
    assert (s.bands, s.instrument, s.has_truth) == (("VIS",), "euclid", False)
    np.testing.assert_array_equal(s.images("VIS", 0)[0], noise(1, scale=1e-12))
    assert s.pixel_scale_arcsec["VIS"] == pytest.approx(0.1, rel=1e-6)
    assert s.scene(0) is None
    with pytest.raises(DataError, match="has no truth"):
        s.source_light("VIS", 0)


def test_labels_are_read_from_the_name_of_the_folder_itself(tmp_path):
    assert [system.row["label"] for system in plan_blf1(space(tmp_path / "in") / "nolens").systems] == [0]


def test_challenge_1_catalogue_gives_label_and_einstein_radius(tmp_path):
    area = math.pi * (1.5 / 206265) ** 2  # θ_E = 1.5″
    catalogue = tmp_path / "classifications.csv"
    catalogue.write_text(
        "ID,is_lens,Einstein_area,numb_pix_lensed_image,flux_lensed_image_in_sigma\n"
        f"100001,1,{area},321,55.5\n100002,0,0,0,0\n100099,1,{area},1,1\n"
    )
    s = ingest(plan_blf1(space(tmp_path / "in"), catalogue=catalogue), tmp_path / "out")
    assert s.column("theta_e_arcsec")[0] == pytest.approx(1.5, rel=1e-5)  # 206265 is rounded
    assert np.isnan(s.column("theta_e_arcsec")[1:]).all()
    assert s.column("n_arc_pixels")[0] == 321
    assert s.header.source.ids_without_image == Listed(count=1, ids=("100099",))
    assert s.header.source.ids_without_catalogue_row.ids == ("100003",)
    assert "100099" in s.header.source.notes[0]


def test_folder_and_catalogue_must_agree(tmp_path):
    catalogue = tmp_path / "c.csv"
    catalogue.write_text("ID,is_lens\n100001,0\n")
    with pytest.raises(DataError, match="id 100001"):
        plan_blf1(space(tmp_path / "in"), catalogue=catalogue)


@pytest.mark.parametrize(("policy", "value"), [("zero", 0.0), ("median", None)])
def test_masked_ground_pixels(tmp_path, policy, value):
    s = ingest(plan_blf1(ground(tmp_path / "in"), policy=PixelPolicy(masked=policy)), tmp_path / "out")
    assert s.bands == ("R", "I", "G", "U")
    assert s.labels.tolist() == [-1]
    good = noise(1, scale=1e-12).ravel()[10:]
    expected = np.median(good) if value is None else value
    np.testing.assert_array_equal(s.images("R", 0)[0].ravel(), np.r_[np.full(10, expected, np.float32), good])
    assert s.column("n_masked_R")[0] == 10
    assert policy in s.header.source.pixels["masked"]


def test_masked_pixels_refused_on_request(tmp_path):
    plan = plan_blf1(ground(tmp_path / "in"), policy=PixelPolicy(masked="fail"))
    with pytest.raises(DataError, match=r"band R: 10 of 144 pixels are masked; choose --masked zero"):
        ingest(plan, tmp_path / "out")


def test_a_wholly_masked_band_is_refused_or_skipped(tmp_path):
    root = ground(tmp_path / "in", masked=144)
    with pytest.raises(DataError, match="all 144 pixels are masked"):
        ingest(plan_blf1(root), tmp_path / "out")
    with pytest.raises(DataError, match="none of 1 systems can be used"):
        ingest(plan_blf1(root), tmp_path / "out2", skip_bad=True)


def test_space_and_ground_together_are_refused(tmp_path):
    ground(space(tmp_path / "in"))
    with pytest.raises(UsageError, match="both space and ground"):
        plan_blf1(tmp_path / "in")


def test_an_id_in_two_folders_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"id 100001 is also .*remove one"):
        plan_blf1(space(tmp_path / "in", (1,), (1,)))


@pytest.mark.parametrize("plan", [plan_blf1, plan_blf2])
def test_folders_without_images_are_refused(tmp_path, plan):
    with pytest.raises(UsageError, match="no image"):
        plan(tmp_path)
    with pytest.raises(UsageError, match="no such folder"):
        plan(tmp_path / "nowhere")


def test_challenge_2_layout_labels_and_missing_ids(tmp_path):
    area = math.pi * (0.8 / 206265) ** 2
    rows = [f"0,200001,{area},50,2,3.5,1", "1,200002,,,0,,0", *(f"{i},{210000 + i},,,0,,0" for i in range(9))]
    plan = plan_blf2(euclid(tmp_path / "in"), catalogue=log(tmp_path / "log.csv", rows))
    s = ingest(plan, tmp_path / "out")
    assert s.shape == {"VIS": (12, 12), "J": (4, 4), "Y": (4, 4), "H": (4, 4)}
    assert s.pixel_scale_arcsec == {"VIS": 0.1, "J": 0.3, "Y": 0.3, "H": 0.3}
    assert s.labels.tolist() == [1, 0]
    assert s.column("theta_e_arcsec")[0] == pytest.approx(0.8, rel=1e-5)  # 206265 is rounded
    assert s.column("magnification")[0] == 3.5
    assert s.units["ein_area"] == "sr"
    missing = s.header.source.ids_without_image
    assert missing.count == 9
    assert missing.ids[0] == "210000"
    assert s.header.source.label_rule == "wilde"
    assert s.header.provenance.inputs.keys() == {"log.csv"}
    assert s.wcs(0, "VIS").wcs.crpix.tolist() == [6.5, 6.5]  # files without sky coordinates get plain ones


def test_without_a_catalogue_labels_are_unknown_and_that_is_said(tmp_path):
    plan = plan_blf2(euclid(tmp_path / "in"))
    assert {system.row["label"] for system in plan.systems} == {-1}
    assert "unlabelled" in plan.notes[0]


@pytest.mark.parametrize(
    ("row", "by_wilde", "by_challenge"),
    [
        ({"n_source_im": 2, "mag_eff": 3.0, "n_pix_source": 21, "n_sources": 1}, 1, 1),
        ({"n_source_im": 2, "mag_eff": 3.0, "n_pix_source": 20, "n_sources": 1}, 0, 1),
        ({"n_source_im": 2, "mag_eff": 1.8, "n_pix_source": 30, "n_sources": 1}, 1, -1),
        ({"n_source_im": 2, "mag_eff": 1.6, "n_pix_source": 30, "n_sources": 1}, 0, -1),
        ({"n_source_im": 2, "mag_eff": 2.0, "n_pix_source": 30, "n_sources": 1}, 1, -1),
        ({"n_source_im": 1, "mag_eff": 1.1, "n_pix_source": 30, "n_sources": 1}, 0, 0),
        ({"n_source_im": 0, "mag_eff": NAN, "n_pix_source": NAN, "n_sources": 0}, 0, 0),
        ({"n_source_im": 0, "mag_eff": NAN, "n_pix_source": NAN, "n_sources": 1}, 0, -1),
    ],
)
def test_label_rules(row, by_wilde, by_challenge):
    assert wilde(row) == by_wilde
    assert challenge(row) == by_challenge


def test_label_rules_bear_releases_with_one_count_and_name_missing_columns():
    assert wilde({"n_sources": 1, "mag_eff": 3, "n_pix_source": 30}) == 1
    assert challenge({"n_source_im": 0, "mag_eff": NAN}) == 0
    with pytest.raises(DataError, match="no column n_pix_source"):
        wilde({"n_source_im": 1, "mag_eff": 3})
    with pytest.raises(UsageError, match="wilde, challenge"):
        label_rule("mine")


def test_a_missing_band_names_the_system(tmp_path):
    root = euclid(tmp_path / "in")
    (root / "Public/EUC_Y/imageEUC_Y-200002.fits").unlink()
    with pytest.raises(DataError, match="system 200002: band Y is missing"):
        ingest(plan_blf2(root), tmp_path / "out")
    s = ingest(plan_blf2(root, bands=("VIS", "J", "H")), tmp_path / "three")
    assert s.bands == ("VIS", "J", "H")


def test_steradian_to_arcsec():
    assert theta_e_arcsec(math.pi * (2 / 206264.806) ** 2) == pytest.approx(2.0, rel=1e-8)  # digits of the constant
    assert math.isnan(theta_e_arcsec(0.0))
    assert math.isnan(theta_e_arcsec(NAN))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id,x\n1,2,3\n", "line 2 has 3 cells, 2 are needed"),
        ("# c\nid,x\n1,blue\n2,1\n", "line 3: column x: 'blue' is not a number"),
        ("id,x\n1,2\n1,3\n", r"line 3: id 1 is there twice \(also line 2\)"),
        ("name,x\n1,2\n", "no column id; the columns are name, x"),
        ("", "is empty"),
    ],
)
def test_bad_catalogues_name_the_line(tmp_path, text, said):
    (tmp_path / "c.csv").write_text(text)
    with pytest.raises(DataError, match=said):
        read_catalogue(tmp_path / "c.csv", [])


def test_catalogue_ids_written_as_floats_match_files(tmp_path):
    (tmp_path / "c.csv").write_text(",ID,x\n0,200001.0,\n1, 200002 ,4\n")
    assert read_catalogue(tmp_path / "c.csv", ["200001", "200002"])[0].keys() == {"200001", "200002"}
    with pytest.raises(UsageError, match="no such file"):
        read_catalogue(tmp_path / "nowhere.csv", [])


def test_ingest_is_the_same_tree_for_two_workers_and_after_an_interruption(tmp_path):
    root = space(tmp_path / "in", tuple(range(1, 12)), tuple(range(12, 21)))
    plan = plan_blf1(root)
    one, two = tmp_path / "one", tmp_path / "two"
    ingest(plan, one)
    bad = root / "nolens" / "imageEUC_VIS-100018.fits"
    whole = bad.read_bytes()
    bad.write_bytes(whole[:3000])
    with pytest.raises(DataError, match="100018"):
        ingest(plan, two)
    with pytest.raises(DataError, match="unfinished"):
        type(ingest(plan, one)).open(two)
    bad.write_bytes(whole)
    ingest(plan, two, workers=2)
    trees = [{str(p.relative_to(r)): p.read_bytes() for p in r.rglob("*") if p.is_file()} for r in (one, two)]
    assert trees[0] == trees[1]


def test_resuming_with_other_files_is_refused(tmp_path):
    root = space(tmp_path / "in")
    ingest(plan_blf1(root), tmp_path / "out")
    (root / "lens" / "imageEUC_VIS-100003.fits").rename(root / "nolens" / "imageEUC_VIS-100003.fits")
    with pytest.raises(UsageError, match=r"source\.files"):
        ingest(plan_blf1(root), tmp_path / "out")


def test_skipped_systems_are_counted_and_explained(tmp_path):
    root = space(tmp_path / "in")
    write_plane(root / "lens" / "imageEUC_VIS-100003.fits", np.full((12, 12), np.nan, np.float32), sky_header())
    s = ingest(plan_blf1(root), tmp_path / "out", skip_bad=True)
    skipped = json.loads((tmp_path / "out" / "lensset.json").read_text())["source"]["skipped"]
    assert s.ids == ["100001", "100002"]
    assert skipped["count"] == 1
    assert "all 144 pixels are NaN" in skipped["why"]["100003"]
