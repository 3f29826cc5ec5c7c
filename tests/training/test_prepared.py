"""Prepared images: what is read back is what the finder takes as input, whatever was interrupted."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from lensaudit.errors import DataError, MachineError
from lensaudit.finders import Finder
from lensaudit.training.prepared import CODES_FILE, STATE_FILE, _key, decoded, encoded, prepare_set
from lensaudit.training.sets import TrainingData, fit_to


@pytest.fixture
def untrained(tiny) -> Finder:
    return Finder(tiny, nn.Identity(), "test")


def images_of(prepared, rows) -> torch.Tensor:
    return decoded(*prepared.read(np.asarray(rows)))


def test_codes_are_within_half_a_step():
    images = torch.rand((5, 2, 8, 8), generator=torch.Generator().manual_seed(1)) * 3 - 1
    images[3, 1] = 0.25  # constant
    back = decoded(*(torch.from_numpy(part) for part in encoded(images)))
    assert float((back - images).abs().max()) <= 3 / 131_068 + 3e-7  # half a step of the range, and float32 rounding


def test_scaled_images_keep_zero_and_one():
    images = torch.rand((4, 1, 9, 9), generator=torch.Generator().manual_seed(2))
    images[:, 0, 0, 0], images[:, 0, 8, 8] = 0.0, 1.0
    back = decoded(*(torch.from_numpy(part) for part in encoded(images)))
    assert float(back.min()) == pytest.approx(0, abs=1e-7)
    assert float(back.max()) == pytest.approx(1, abs=1e-7)


def test_prepared_is_what_the_finder_takes_as_input(untrained, mixed, tmp_path):
    prepared = prepare_set(untrained, mixed, tmp_path)
    rows = [7, 0, 59, 7]
    prepared_now = untrained.preprocess(mixed.cutouts(rows))
    assert float((images_of(prepared, rows) - prepared_now).abs().max()) < 1e-5  # half a step is 7.6e-6
    assert prepared.labels.tolist() == mixed.labels.tolist()


def test_unlabelled_images_are_not_prepared(untrained, make_set, tmp_path):
    labels = np.array([1, -1, 0, -1, 1])
    lens_set = make_set("some", labels)
    prepared = prepare_set(untrained, lens_set, tmp_path)
    assert prepared.rows.tolist() == [0, 2, 4]
    prepared_now = untrained.preprocess(lens_set.cutouts([4]))
    assert float((images_of(prepared, [2]) - prepared_now).abs().max()) < 1e-5


def test_an_interrupted_preparation_goes_on(untrained, make_set, tmp_path, monkeypatch):
    monkeypatch.setattr("lensaudit.training.prepared._CHUNK", 16)
    lens_set = make_set("mixed", np.arange(60) % 3 == 0)
    whole = prepare_set(untrained, lens_set, tmp_path / "whole")

    class Stopped(BaseException):
        pass

    def stop(done, n):
        if done == 32:
            raise Stopped

    with pytest.raises(Stopped):
        prepare_set(untrained, lens_set, tmp_path / "parts", stop)
    seen = []
    parts = prepare_set(untrained, lens_set, tmp_path / "parts", lambda done, n: seen.append(done))
    assert seen == [48, 60]
    for name in ("codes.i2", "scales.f4"):
        assert (parts.folder / name).read_bytes() == (whole.folder / name).read_bytes()


@pytest.mark.parametrize("damage", ["cut", "no state", "nonsense", "too many"])
def test_files_that_are_not_what_they_say_are_made_again(untrained, mixed, tmp_path, damage):
    prepared = prepare_set(untrained, mixed, tmp_path)
    before, codes, state = images_of(prepared, [3]), prepared.folder / CODES_FILE, prepared.folder / STATE_FILE
    if damage == "cut":
        codes.write_bytes(codes.read_bytes()[:-5])
    elif damage == "no state":
        state.unlink()
    else:
        state.write_text("]" if damage == "nonsense" else json.dumps({"done": 61}), encoding="utf-8")
    seen = []
    prepare_set(untrained, mixed, tmp_path, lambda done, n: seen.append(done))
    assert seen == [60]
    assert torch.equal(images_of(prepared, [3]), before)


def test_a_prepared_set_is_used_again_only_for_what_it_was_made_for(untrained, mixed, make_set, tmp_path, tiny):
    first = prepare_set(untrained, mixed, tmp_path)
    assert prepare_set(untrained, mixed, tmp_path).folder == first.folder
    other = Finder(tiny.model_copy(update={"stretch": "sqrt-minmax"}), nn.Identity(), "test")
    assert prepare_set(other, mixed, tmp_path).folder != first.folder
    assert prepare_set(untrained, make_set("other", mixed.labels, 4), tmp_path).folder != first.folder
    in_counts = replace(untrained, given_unit={"VIS": "adu"})
    assert _key(in_counts, mixed, None) != _key(untrained, mixed, None)  # pixels of another unit are converted


def test_the_count_of_an_earlier_version_is_taken_up_and_a_changed_one_is_not(untrained, mixed, tmp_path):
    state = prepare_set(untrained, mixed, tmp_path).folder / STATE_FILE
    words = json.loads(state.read_text(encoding="utf-8"))
    assert words["done"] == 60
    seen = []
    state.write_text(json.dumps({"done": 48}), encoding="utf-8")  # version 0.1 had no digest
    prepare_set(untrained, mixed, tmp_path, lambda done, n: seen.append(done))
    state.write_text(json.dumps({**words, "done": 59}), encoding="utf-8")
    prepare_set(untrained, mixed, tmp_path, lambda done, n: seen.append(done))
    assert seen == [60, 60]
    assert json.loads(state.read_text(encoding="utf-8")) == words


def test_too_small_a_disk_is_said_before_the_work(untrained, mixed, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 10})())
    with pytest.raises(MachineError, match=r"needs 0\.1 GB, 0\.0 GB are free; .*--cache"):
        prepare_set(untrained, mixed, tmp_path)


def test_a_file_that_shrinks_under_the_reader_is_named(untrained, mixed, tmp_path):
    prepared = prepare_set(untrained, mixed, tmp_path)
    (prepared.folder / CODES_FILE).write_bytes(b"")
    with pytest.raises(MachineError, match="ended early"):
        prepared.read(np.array([0]))


def test_sets_in_another_unit_are_refused_or_brought_to_that_of_the_training_set(tiny, make_set, tmp_path):
    """A stretch by statistics: a validation set without zero point is refused, one with another is prepared alike."""
    labels = np.arange(40) % 2
    recipe = tiny.model_copy(update={"stretch": "clip-log"})
    untrained = Finder(recipe, nn.Identity(), "training")
    trained = make_set("trained", labels, unit=("electron / s", 24.0))
    other = make_set("other", labels, 4, unit=("challenge flux unit", None))
    with pytest.raises(DataError, match="set's pixels are in challenge flux unit"):
        TrainingData(trained, validation=other).check(untrained)
    plain = make_set("plain", labels, 5, unit=("electron / s", 24.0))
    tenfold = {band: images * np.float32(10) for band, images in plain.cutouts(slice(None)).items()}
    tens = make_set("tens", labels, images=tenfold, unit=("ADU", 26.5))
    TrainingData(trained, validation=tens).check(untrained)
    measured, statistics = fit_to([trained], recipe)
    assert measured.pixel_unit == {"H": "electron / s at 24 mag", "VIS": "electron / s at 24 mag"}
    fitted = Finder(measured, nn.Identity(), "training", statistics=statistics)
    seen = [prepare_set(fitted.for_units(one), one, tmp_path / "cache").read(np.arange(40)) for one in (tens, plain)]
    torch.testing.assert_close(decoded(*seen[0]), decoded(*seen[1]), rtol=0, atol=1e-4)  # 16-bit codes of [0, 1]
