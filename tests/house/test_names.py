"""Names that files bring are checked where they are read: none of them can be a path or act on a terminal."""

from __future__ import annotations

import json

import pytest
import yaml
from pydantic import ValidationError

from lensaudit.errors import DataError, UsageError
from lensaudit.files import builtin_folder
from lensaudit.finders import Recipe, load_recipe
from lensaudit.finders.store import read_record
from lensaudit.lensset.header import BandHeader, Header, read_header
from lensaudit.lensset.ingest import parse_band, parse_duplicate
from lensaudit.probes.definition import builtin_probes, load_definition
from lensaudit.probes.outside.importing import OutsideFinder, import_scores
from lensaudit.untrusted import as_identifier, identifier, label

EVIL = ["/somewhere/evil", "../evil", "a/../b", "", "evil\x1b[31m", "e\nvil", "$\\frac{", "x" * 65, "\ud800"]


@pytest.fixture
def record(tmp_path):
    """Write a ``finder.yaml`` with this recipe in it; returns its folder."""

    def write(**changes: object):
        words = yaml.safe_load((builtin_folder("models") / "ou66" / "finder.yaml").read_text(encoding="utf-8"))
        words["recipe"].update(changes)
        (tmp_path / "finder.yaml").write_text(json.dumps(words), encoding="utf-8")  # JSON is YAML, escapes and all
        return tmp_path

    return write


@pytest.mark.parametrize("name", EVIL)
def test_a_finder_s_name_and_bands_are_identifiers(record, name):
    with pytest.raises(DataError, match=r"recipe.name: .* is not a name|not readable as YAML"):
        read_record(record(name=name))
    with pytest.raises(DataError, match=r"recipe.bands.0: .* is not a name|not readable as YAML"):
        read_record(record(bands=[name, "J", "Y", "VIS"]))
    member = load_recipe("ou66").model_dump() | {"name": name}
    with pytest.raises(ValidationError, match="is not a name"):
        Recipe(name="two", architecture="ou-tsne", bands=("VIS",), size=9, members=(member, member))


@pytest.mark.parametrize("name", EVIL)
def test_names_in_a_lens_set_are_checked(tmp_path, name):
    band = BandHeader(name="VIS", shape=(9, 9), pixel_scale_arcsec=0.1, unit="")
    header = Header(instrument="euclid", bands=(band,), n=1, chunk=1, columns=(), population="euclid")
    for field, words in {
        "instrument": {"instrument": name},
        "population": {"population": name},
        "bands.0.name": {"bands": [band.model_dump() | {"name": name}]},
    }.items():
        (tmp_path / "lensset.json").write_text(json.dumps(header.model_dump() | words), encoding="utf-8")
        with pytest.raises(DataError, match=f"lensset.json: ({field}|is not readable)"):
            read_header(tmp_path / "lensset.json")


@pytest.mark.parametrize("name", ["HST ACS", "HST/ACS.WFC", "HST (WFC3)", "KiDS", "Télescope 2.2m", "unknown"])
def test_instruments_of_older_sets_keep_opening(name):
    band = BandHeader(name="VIS", shape=(9, 9), pixel_scale_arcsec=0.1, unit="")
    assert Header(instrument=name, bands=(band,), n=1, chunk=1, columns=()).instrument == name


@pytest.mark.parametrize("name", EVIL)
def test_names_in_a_probe_definition_are_checked(tmp_path, name):
    words = yaml.safe_load(builtin_probes()["red-source"].read_text(encoding="utf-8"))
    mode = words["modes"].pop("physical")
    for change in (
        {"name": name},
        {"instrument": name},
        {"modes": {name: mode}, "default_mode": name},
        {"modes": {"physical": mode | {"populations": {name: "single"}}}},
    ):
        (tmp_path / "p.yaml").write_text(json.dumps({**words, "modes": {"physical": mode}, **change}))
        shown_safely = ("modes" in change) and name in ("/somewhere/evil", "../evil", "a/../b", "$\\frac{")
        if not shown_safely:  # labels of populations and modes are drawn and printed, and never part of a path
            with pytest.raises(UsageError, match=r"p\.yaml"):
                load_definition(tmp_path / "p.yaml")


@pytest.mark.parametrize("name", EVIL)
def test_names_typed_by_a_user_are_checked(cli, tmp_path, name):
    with pytest.raises(UsageError):
        parse_band(f"{name}=*_vis.fits")
    with pytest.raises(UsageError):
        parse_duplicate(f"VIS:J,{name}/")
    words = ["ingest", "fits", str(tmp_path), "--out", str(tmp_path / "o"), "--band", "VIS=*.fits", "--instrument"]
    with pytest.raises(UsageError):
        cli(*words, f"{name}!")


@pytest.mark.parametrize("name", EVIL)
def test_any_text_has_an_identifier_next_to_it(name):
    assert identifier(as_identifier(name))
    assert as_identifier("ou66-p4m") == "ou66-p4m"


def test_a_label_is_one_short_line_that_shows():
    assert label("single lenses, θ_E > 1″") == "single lenses, θ_E > 1″"
    for text in ("", "  ", "a\nb", "\x1b[31m", "x" * 65, "\u202e"):
        with pytest.raises(ValueError, match="is not a label"):
            label(text)


def test_an_outside_finder_s_name_is_checked_before_anything_is_written(exported_key, tmp_path):
    with pytest.raises(UsageError, match=r"--name: '\.\./evil' is not a name"):
        import_scores(exported_key, tmp_path / "s.csv", tmp_path / "out", OutsideFinder("../evil"))
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def exported_key(tmp_path_factory):
    """A small export."""
    from lensaudit.probes.outside import export_cutouts, plan_export

    folder = tmp_path_factory.mktemp("export") / "e"
    export_cutouts(plan_export(2, 3, ["band-swap"]), folder)
    return folder
