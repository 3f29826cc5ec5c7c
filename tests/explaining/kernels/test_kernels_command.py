"""``lensaudit kernels`` from words to files."""

import json

import numpy as np
import pytest
from kernel_toys import drawn_places, write_blobs
from matplotlib.image import imread

FINDER = "kernel_toys:compass_finder"


@pytest.fixture(scope="module")
def set_path(tmp_path_factory):
    """Forty blobs with truth, one of them unusable."""
    path = tmp_path_factory.mktemp("kernels") / "set"
    write_blobs(path, drawn_places(40), spoil={6: np.nan})
    return path


def test_tables_pictures_and_plain_words(set_path, lensaudit, tmp_path):
    code, out, error = lensaudit("kernels", FINDER, set_path, "--out", tmp_path, "--device", "cpu", "--threads", 1)
    assert code == 0
    assert "5 kernels, 39 of 40 images" in out
    assert "layer 0 kernel 0: higher when the arc lies to the right (arc_x_arcsec), rho +1.00 (" in out
    assert "to +1.00), n 39" in out
    assert "highest more often when the arc lies at the top (arc_y_arcsec), AUROC" in out
    assert "top 10 of 39" in out
    assert "silent (no pixel of its maps is above 0 in" in error
    assert "layer 0 kernel 3" in error
    assert "constant (the same value for every image): layer 0 kernel 2" in error
    assert "1 images left out (see column status), first blob-0006: VIS has 576 of 576 pixels not finite" in error
    made = {path.name for path in tmp_path.iterdir()}
    assert {"kav.parquet", "kernels.parquet", "correlations.png", "layer0_kernel0.png"} <= made
    assert not any("partial" in name for name in made)


def test_a_second_run_keeps_the_values_and_draws_what_is_asked(set_path, lensaudit, tmp_path):
    words = ("kernels", FINDER, set_path, "--out", tmp_path, "--top", 3, "--json")
    code, out, _ = lensaudit(*words)
    assert code == 0
    stamp = (tmp_path / "kav.parquet").stat().st_mtime_ns
    code, out, _ = lensaudit(*words, "--layer", 0, "--kernel", 2, "--kernel", 4)
    facts = json.loads(out)
    assert (tmp_path / "kav.parquet").stat().st_mtime_ns == stamp
    assert [(sheet["layer"], sheet["kernel"]) for sheet in facts["sheets"]] == [("0", 2), ("0", 4)]
    code, out, _ = lensaudit(*words, "--layer", 0, "--kernel", 1)
    (sheet,) = json.loads(out)["sheets"]
    assert {(line["measure"], line["column"]) for line in sheet["goes_with"]} >= {
        ("rho", "arc_y_arcsec"),
        ("top", "arc_y_arcsec"),
    }
    assert facts["n"] == 40
    assert facts["failed"] == {"blob-0006": "VIS has 576 of 576 pixels not finite"}
    assert facts["not_live"]["constant"] == ["layer 0 kernel 2"]
    (line,) = [line for line in facts["strongest"] if line["column"] == "arc_y_arcsec" and line["kernel"] == 1]
    assert line["low"] < line["rho"] < line["high"]
    for sheet in facts["sheets"]:
        assert imread(sheet["png"]).shape[2] == 4
    code, out, _ = lensaudit(*words, "--layer", 0)
    assert [sheet["kernel"] for sheet in json.loads(out)["sheets"]] == [0, 1, 2, 3, 4]
    code, *_ = lensaudit(*words, "--force")
    assert (tmp_path / "kav.parquet").stat().st_mtime_ns != stamp


def test_a_set_without_truth_says_so_and_gives_the_rest(lensaudit, tmp_path):
    write_blobs(tmp_path / "set", drawn_places(8), truth=False)
    code, out, error = lensaudit("kernels", FINDER, tmp_path / "set", "--out", tmp_path / "out")
    assert code == 0
    assert "no truth" in error
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"kav.parquet", "kernels.parquet"}
    code, out, _ = lensaudit("kernels", FINDER, tmp_path / "set", "--out", tmp_path / "out", "--layer", "0", "--json")
    facts = json.loads(out)
    assert facts["correlations"] is None
    assert len(facts["sheets"]) == 5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--layer", "9"], "no convolution '9'; this finder's are 0"),
        (["--layer", "0", "--kernel", "5"], "layer 0 has no kernel 5; it has 0 to 4"),
        (["--kernel", "1"], "1 --kernel for 0 --layer"),
        (
            ["--layer", "0", "--layer", "0", "--kernel", "1", "--kernel", "1", "--kernel", "2"],
            "3 --kernel for 2 --layer",
        ),
        (["--top", "0"], "--top"),
        (["--batch", "0"], "--batch"),
        (["--device", "abacus"], "abacus"),
        (["--field-of-view", "-1"], "is not a width"),
    ],
)
def test_mistakes_get_one_line_and_exit_code_2(words, message, set_path, lensaudit, tmp_path):
    code, out, error = lensaudit("kernels", FINDER, set_path, *words, "--out", tmp_path / "out")
    assert code == 2
    assert message in error
    assert len(error.strip().splitlines()) == 1
    assert out == ""
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_found_before_the_work(set_path, lensaudit, tmp_path):
    (tmp_path / "file").write_text("x")
    code, _, error = lensaudit("kernels", FINDER, set_path, "--out", tmp_path / "file")
    assert code == 2
    assert "choose another --out" in error


def test_a_set_that_does_not_fit_is_a_data_error(set_path, lensaudit, tmp_path):
    code, _, error = lensaudit("kernels", "ou66", set_path, "--out", tmp_path / "out")
    assert code == 3
    assert "needs band J" in error
    assert not (tmp_path / "out").exists()
