"""What ``score`` prints and writes: the most likely lenses first, five formats, positions, and nothing written over."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from hostile import EVERY

from lensaudit.errors import DataError, UsageError
from lensaudit.finders import check_scores_path, read_scores
from lensaudit.finders.score import Scores
from lensaudit.finders.scores_file import write_scores
from lensaudit.lensset import LensSet, sky_positions
from lensaudit.untrusted import in_header, printable

ENDINGS = (".parquet", ".csv", ".ecsv", ".fits", ".vot")
SCORES = Scores(
    ("a", "b", "galaxy 3, north"),
    np.array([0.25, np.nan, 0.9990889488055994]),
    np.array([np.log(1 / 3), np.nan, 7.0]),
    ("ok", "VIS is constant", "ok"),
)
RECORD = {"finder": "f", "provenance": {"inputs": {"finder": "ab", "set": "cd"}}}
SKY = {"ra": np.array([150.1, 150.2, np.nan]), "dec": np.array([2.5, -2.5, np.nan])}


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_format_reads_back_bit_for_bit(ending, tmp_path):
    path = tmp_path / f"scores{ending}"
    write_scores(SCORES, path, RECORD, SKY)
    found, record = read_scores(path)
    assert found.ids == SCORES.ids
    assert found.status == SCORES.status
    np.testing.assert_array_equal(found.p_lens, SCORES.p_lens)
    np.testing.assert_array_equal(found.logit, SCORES.logit)
    assert record.to_json() == ({} if ending == ".csv" else RECORD)
    before = path.read_bytes()
    write_scores(SCORES, path, RECORD, SKY)
    assert path.read_bytes() == before


@pytest.mark.parametrize("ending", ENDINGS)
def test_why_an_image_has_no_score_is_written_whatever_it_says(ending, tmp_path):
    """A status names files and bands of other people."""
    for number, word in enumerate(EVERY.values()):
        path = tmp_path / f"{number}{ending}"
        write_scores(replace(SCORES, status=("ok", word, "ok")), path, RECORD, SKY)
        found = read_scores(path)[0]
        assert found.ids == SCORES.ids
        assert found.status[1] == (in_header(word) if ending == ".fits" else printable(word)).strip()


def test_a_byte_order_mark_hides_no_record(tmp_path):
    """As an editor of Windows saves a text: the scores were read, and how they were made was not."""
    path = tmp_path / "scores.ecsv"
    write_scores(SCORES, path, RECORD, SKY)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read_scores(path)[1].to_json() == RECORD


@pytest.mark.parametrize("ending", ENDINGS)
def test_astropy_reads_every_format_with_units(ending, tmp_path):
    path = tmp_path / f"scores{ending}"
    write_scores(SCORES, path, RECORD, SKY)
    table = pq.read_table(path).to_pydict() if ending == ".parquet" else Table.read(path)
    np.testing.assert_allclose(np.asarray(table["ra"][:2], float), SKY["ra"][:2], rtol=0, atol=0)
    if ending in {".ecsv", ".fits", ".vot"}:
        assert str(table["dec"].unit) == "deg"


def test_other_endings_are_refused_before_scoring(tmp_path):
    with pytest.raises(UsageError, match=r"scores are written as \.parquet, .*\.csv"):
        check_scores_path(tmp_path / "scores.docx", ["a"])
    with pytest.raises(UsageError, match=r"cannot hold the id 'θ1'; write \.ecsv or \.parquet"):
        check_scores_path(tmp_path / "scores.fits", ["a", "θ1"])
    with pytest.raises(UsageError, match=r"cannot hold the id 'a\\nb'"):
        check_scores_path(tmp_path / "scores.vot", ["a\nb"])
    check_scores_path(tmp_path / "scores.ecsv", ["θ1", "a\nb"])


def test_the_most_likely_lenses_come_first(lensaudit, saved_ou66, make_set, make_cutouts, tmp_path):
    make_set("s", make_cutouts(12))
    out = tmp_path / "scores.csv"
    code, text, _ = lensaudit("score", saved_ou66, tmp_path / "s", "--out", out, "--top", 4)
    assert code == 0
    scores = read_scores(out)[0]
    order = [scores.ids[row] for row in np.argsort(-scores.logit)[:4]]
    lines = text.splitlines()
    assert lines[0].split() == ["rank", "id", "p(lens)", "log-odds"]
    assert [line.split()[1] for line in lines[2:6]] == order
    assert max(map(len, lines[:6])) <= 80
    assert lines[6].startswith(f"{out}: 12 of 12 images scored")

    code, text, _ = lensaudit("score", saved_ou66, tmp_path / "s", "--out", out, "--force", "--json", "--top", 2)
    assert [one["id"] for one in json.loads(text)["top"]] == order[:2]
    code, text, _ = lensaudit("score", saved_ou66, tmp_path / "s", "--out", out, "--force", "--top", 0)
    assert text.startswith(f"{out}: 12 of 12")


@pytest.mark.parametrize("ending", ENDINGS)
def test_nothing_is_written_over_unasked(ending, lensaudit, saved_ou66, make_set, make_cutouts, tmp_path):
    make_set("one", make_cutouts(2))
    make_set("two", make_cutouts(2, seed=9))
    out = tmp_path / f"scores{ending}"
    assert lensaudit("score", saved_ou66, tmp_path / "one", "--out", out)[0] == 0
    before = out.read_bytes()
    for words in (("two",), ("one", "--prior", 0.01)):
        code, _, err = lensaudit("score", saved_ou66, tmp_path / words[0], *words[1:], "--out", out)
        assert code == 2
        assert "give another --out, or --force to replace it" in err
        assert out.read_bytes() == before
    again = lensaudit("score", saved_ou66, tmp_path / "one", "--out", out)[0]
    assert again == (2 if ending == ".csv" else 0), "a CSV does not say what it is from"
    assert out.read_bytes() == before
    assert lensaudit("score", saved_ou66, tmp_path / "two", "--out", out, "--force")[0] == 0
    assert out.read_bytes() != before


def test_somebodys_own_table_is_never_replaced(lensaudit, saved_ou66, make_set, make_cutouts, tmp_path):
    make_set("s", make_cutouts(2))
    own = tmp_path / "catalogue.csv"
    own.write_text("id,ra,dec\n1,2,3\n")
    assert lensaudit("score", saved_ou66, tmp_path / "s", "--out", own)[0] == 2
    assert own.read_text() == "id,ra,dec\n1,2,3\n"


@pytest.fixture
def on_the_sky(lensaudit, tmp_path) -> LensSet:
    """Two cutouts ingested with world coordinates, one of which is galactic."""
    rng = np.random.default_rng(1)
    (tmp_path / "fits").mkdir()
    for name, kind in (("a", ("RA---TAN", "DEC--TAN")), ("b", ("GLON-TAN", "GLAT-TAN"))):
        wcs = WCS(naxis=2)
        wcs.wcs.ctype, wcs.wcs.cunit = kind, ["deg", "deg"]
        wcs.wcs.crpix, wcs.wcs.crval, wcs.wcs.cdelt = [10.5, 10.5], [150.0, 2.0], [-1 / 3600, 1 / 3600]
        image = rng.normal(size=(20, 20)).astype(np.float32)
        fits.PrimaryHDU(image, wcs.to_header()).writeto(tmp_path / "fits" / f"{name}.fits")
    code, _, err = lensaudit("ingest", "fits", tmp_path / "fits", "--band", "VIS=*.fits", "--out", tmp_path / "set")
    assert code == 0, err
    return LensSet.open(tmp_path / "set")


def test_positions_are_the_centres_of_the_cutouts(on_the_sky):
    from astropy.coordinates import SkyCoord

    ra, dec = sky_positions(on_the_sky)
    galactic = SkyCoord(l=150.0, b=2.0, unit="deg", frame="galactic").icrs
    np.testing.assert_allclose(ra, [150.0, galactic.ra.deg], rtol=0, atol=1e-9)  # of a milliarcsecond: 3e-7
    np.testing.assert_allclose(dec, [2.0, galactic.dec.deg], rtol=0, atol=1e-9)


def test_columns_of_the_catalogue_win(lensaudit, on_the_sky, tmp_path: Path):
    (tmp_path / "cat.csv").write_text("id,RA,Dec\na,10.5,-3\nb,11.5,4\n")
    words = ("--band", "VIS=*.fits", "--catalogue", tmp_path / "cat.csv", "--out", tmp_path / "with")
    assert lensaudit("ingest", "fits", tmp_path / "fits", *words)[0] == 0
    ra, dec = sky_positions(LensSet.open(tmp_path / "with"))
    assert (ra.tolist(), dec.tolist()) == ([10.5, 11.5], [-3.0, 4.0])


def test_a_set_without_coordinates_has_none(make_set, make_cutouts):
    assert sky_positions(make_set("s", make_cutouts(1))) is None


def test_the_record_of_scores_has_attributes_and_is_written_as_it_was_read(tmp_path):
    said = {"prior": 0.01, "finder": "ou-h", "own": [1], "provenance": {"inputs": {"set": "ab"}, "host": "nova"}}
    write_scores(SCORES, tmp_path / "s.parquet", said)
    found = read_scores(tmp_path / "s.parquet")[1]
    assert (found.finder, found.prior, found.provenance.inputs) == ("ou-h", 0.01, {"set": "ab"})
    assert found.to_json() == said


@pytest.mark.parametrize("said", [{"provenance": 3}, {"provenance": {"inputs": ["ab"]}}, {"prior": "small"}])
def test_a_record_of_scores_that_is_not_ours_is_one_line(tmp_path, said):
    write_scores(SCORES, tmp_path / "s.parquet", said)
    with pytest.raises(DataError, match=r"its record: .*write it with lensaudit score"):
        read_scores(tmp_path / "s.parquet")
