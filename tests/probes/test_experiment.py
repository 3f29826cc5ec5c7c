"""Arms of one system: same noise, bit-equal whether made together or apart, kept and taken up again."""

from __future__ import annotations

import pickle
import shutil

import numpy as np
import pytest

from lensaudit.errors import DataError, UsageError
from lensaudit.imaging import EUCLID, render
from lensaudit.lensset import LensSet, simulate
from lensaudit.probes import Arm, Drawn, Experiment, builtin_probes, lenses_of, load_definition
from lensaudit.probes.collect import collect
from lensaudit.probes.experiment import CHUNK, MakeBlock, changed_pixels
from lensaudit.probes.steps import Step
from lensaudit.scenes import draw_scene

from .conftest import SEED, content, formula


def experiment(name, n=2, population=None):
    definition = load_definition(name)
    population = population or next(iter(definition.mode(None)[1].populations.values()))
    return Experiment(Drawn(population, SEED, n, definition.instrument), definition.arms())


def flux(bands):
    return bands["VIS"].sum((1, 2)) - 60.0


@pytest.fixture(scope="module")
def rings():
    """Three compound rings with and without their far source, all bands."""
    return MakeBlock(experiment("compound", 3, "compound-rings"), EUCLID.band_names)(0)


@pytest.mark.parametrize("name", [name for name in builtin_probes() if load_definition(name).audited])
def test_every_dose_of_a_builtin_probe_differs_from_the_control(name):
    """And keeps the label, unless it is a contaminant."""
    arms = experiment(name, 1).arms
    block = MakeBlock(experiment(name, 1), EUCLID.band_names)(0)
    assert block.equal.tolist() == [True] + [False] * (len(arms) - 1)
    treated = 0 if load_definition(name).nature == "contaminant" else 1
    assert [rows[0]["label"] for rows in block.truth] == [1] + [treated] * (len(arms) - 1)
    for other in range(1, len(arms)):
        for one in range(1, other):
            same = all(np.array_equal(images[one], images[other]) for images in block.images.values())
            if name == "psf-rotation" and (arms[one].dose - arms[other].dose) % 120 == 0:
                continue  # the three-fold pattern repeats
            assert not same, f"{arms[one].describe()} and {arms[other].describe()} give the same images"


def test_snr_of_the_arc_is_held_against_noise():
    """S/N = F / (σ √N), N the pixels above 0.5 σ: k times the noise takes k times the light, exactly."""
    asked = experiment("noise-level-held-snr", 1)
    drawn, hardest = (row for _, row in asked.source.arms(0, experiment("noise-level", 1).arms[:: len(asked.arms) - 1]))
    for (_, row), noise in zip(asked.source.arms(0, asked.arms), (1.0, 0.5, 1.5, 2.0, 3.0), strict=True):
        wanted = drawn["mag_source_VIS"] + 2.5 * np.log10(3.0 / noise)
        assert row["mag_source_VIS"] == pytest.approx(wanted, abs=2e-4)  # found to 1e-4 mag, light in float32
        assert row["arc_snr"] == pytest.approx(hardest["arc_snr"], rel=3e-4)
        colour, was = (one["mag_source_VIS"] - one["mag_source_H"] for one in (row, drawn))
        assert colour == pytest.approx(was, abs=1e-9)


def test_an_arm_whose_snr_is_held_needs_no_other_beside_it():
    """The arm that it follows is part of it; another probe's arm beside it changes nothing."""
    asked = experiment("einstein-radius-held-snr", 1)
    together = asked.source.arms(0, asked.arms)
    beside = asked.source.arms(0, (experiment("noise-level", 1).arms[2], asked.arms[1]))
    for band in EUCLID.band_names:
        assert np.array_equal(asked.images(0, 1)[band], together[1][0][band])
        assert np.array_equal(beside[1][0][band], together[1][0][band])


@pytest.mark.parametrize("name", ["psf-rotation", "red-source", "companions", "added-noise", "off-centre"])
def test_an_arm_made_alone_is_the_arm_made_together(name):
    """Each arm by `render` alone, and by the experiment alone: the same bits as in the block."""
    asked = experiment(name, 2)
    block = MakeBlock(asked, EUCLID.band_names)(0)
    for index in range(2):
        scene = draw_scene("single", SEED, index)
        for number, arm in enumerate(asked.arms):
            alone = asked.images(index, number)
            apart = arm.images(render(arm.scene(scene), EUCLID).images, SEED * 1_000_003 + index)
            for band in EUCLID.band_names:
                assert np.array_equal(block.images[band][number, index], alone[band])
                assert np.array_equal(block.images[band][number, index], apart[band])


def test_a_block_depends_on_seed_and_index_alone(rings):
    few = MakeBlock(experiment("compound", 2, "compound-rings"), ("VIS",))(0)
    assert np.array_equal(few.images["VIS"], rings.images["VIS"][:, :2])
    assert few.truth[1][1] == rings.truth[1][1]


def test_the_last_block_holds_the_rest():
    asked = experiment("band-duplicate", CHUNK + 1)
    assert asked.chunks == 2
    block = MakeBlock(asked, ("H",))(1)
    assert block.first == CHUNK
    assert block.images["H"].shape == (2, 1, 66, 66)
    assert list(block.images) == ["H"]  # the first band is looked at, and not kept


@pytest.mark.parametrize("band", ["VIS", "H"])
def test_arms_share_their_noise(rings, band):
    """What is left of the difference once the truth of both arms is taken off is far below the noise."""
    scenes = [draw_scene("compound-rings", SEED, index) for index in range(3)]
    edits = experiment("compound").arms
    light = np.array([[render(arm.scene(s), EUCLID).truth.source_light[band] for s in scenes] for arm in edits])
    difference = (rings.images[band][1] - rings.images[band][0]) - (light[1] - light[0])
    sky = rings.images[band][0]
    sigma = 1.4826 * np.median(np.abs(sky - np.median(sky, axis=(1, 2), keepdims=True)), axis=(1, 2))
    assert (np.median(np.abs(difference), axis=(1, 2)) < 0.1 * sigma).all()  # independent noise: √2 · 0.67 σ


def test_changed_pixels_against_a_loop(rings):
    images = rings.images["VIS"]
    counted = changed_pixels(images)
    assert counted[0].tolist() == [0, 0, 0]
    for index in (0, 2):
        control, treated = images[:, index]
        sigma = 1.4826 * np.median(np.abs(control - np.median(control)))
        far = sum(abs(t - c) > 0.5 * sigma for t, c in zip(treated.flat, control.flat, strict=True))
        assert counted[1, index] == far == rings.changed[1, index]


def test_an_interrupted_run_goes_on_and_ends_with_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr("lensaudit.probes.experiment.CHUNK", 2)
    asked, finder = experiment("band-duplicate", 5), formula(flux, ("VIS", "H"))

    def interrupt(done, total):
        if done >= 4:
            raise KeyboardInterrupt

    [whole] = collect(asked, [finder], tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        collect(asked, [finder], tmp_path / "torn", progress=interrupt)
    assert 0 < len(content(tmp_path / "torn")) < len(content(tmp_path / "whole"))
    reports = []
    [torn] = collect(asked, [finder], tmp_path / "torn", progress=lambda done, total: reports.append((done, total)))
    assert content(tmp_path / "torn") == content(tmp_path / "whole")
    assert reports == [(4, 5), (5, 5)]  # two blocks were kept
    assert np.array_equal(torn.logit, whole.logit)


@pytest.mark.parametrize("source", ["drawn", "set"])
def test_a_worker_makes_the_same_block(small_set, source):
    """What a worker process is handed, it unpickles."""
    asked = experiment("band-duplicate", 2)
    if source == "set":
        asked = Experiment(lenses_of(small_set, 2, SEED), asked.arms)
    task = MakeBlock(asked, ("VIS", "H"))
    here = task(0)
    there = pickle.loads(pickle.dumps(task))(0)
    assert all(np.array_equal(here.images[band], there.images[band]) for band in here.images)


def test_two_finders_are_asked_about_one_rendering(tmp_path, monkeypatch):
    asked = experiment("band-duplicate", 2)
    finders = [formula(flux, ("VIS", "H"), "first"), formula(lambda b: b["H"].sum((1, 2)), ("H",), "second")]
    apart = [collect(asked, [finder], tmp_path / finder.name)[0] for finder in finders]
    rendered, make = [], MakeBlock.__call__
    monkeypatch.setattr(MakeBlock, "__call__", lambda self, chunk: rendered.append(chunk) or make(self, chunk))
    together = collect(asked, finders, tmp_path / "both")
    assert rendered == [0]
    for one, other in zip(apart, together, strict=True):
        assert np.array_equal(one.logit, other.logit)
    collect(asked, finders, tmp_path / "both")
    assert rendered == [0]  # all is kept


def test_what_is_kept_belongs_to_the_question(tmp_path):
    """Another seed, other arms, another finder or another stretch: a place of its own."""
    asked, finder = experiment("band-duplicate", 2), formula(flux, ("VIS", "H"))
    stretched = formula(flux, ("VIS", "H"), "other")
    for one, other in [
        (asked, finder),
        (Experiment(Drawn("single", SEED + 1, 2, "euclid"), asked.arms), finder),
        (Experiment(asked.source, (asked.arms[0], Arm((Step(edit="recolour", strength=0.1),)))), finder),
        (asked, stretched),
    ]:
        collect(one, [other], tmp_path)
    assert len(list((tmp_path / "parts").iterdir())) == 4


def test_truth_has_its_types(tmp_path):
    [asked] = collect(experiment("false-positive"), [formula(flux)], tmp_path)
    assert asked.truth["label"].tolist() == [[1, 1], [0, 0]]
    assert asked.truth["label"].dtype == np.int64
    assert set(asked.truth["kind"][1]) == {"companions"}
    assert np.isnan(asked.truth["magnification"][1]).all()  # nothing is lensed
    assert (asked.truth["magnification"][0] > 1).all()


def test_a_finder_that_answers_nan_is_named(tmp_path):
    finder = formula(lambda bands: np.where(np.arange(len(bands["VIS"])) == 0, np.nan, 0.0), name="broken")
    words = r"finder 'broken' cannot score 1 of 4 images, the first is compound-arcs-000000, control: .*returned nan"
    with pytest.raises(DataError, match=words):
        collect(experiment("compound", 2), [finder], tmp_path)


def test_a_dose_that_changes_nothing_is_named(tmp_path):
    same = Arm((Step(edit="psf-angle", strength=120.0),), 120.0)  # the pattern repeats every 120°
    asked = Experiment(Drawn("plain", SEED, 2, "euclid"), (Arm((Step(edit="psf-angle", strength=0.0),)), same))
    with pytest.raises(UsageError, match="psf-angle at 120 changes no pixel"):
        collect(asked, [formula(flux)], tmp_path)


def test_lenses_of_a_set_are_edited_and_keep_their_names_and_truth(small_set):
    opened = LensSet.open(small_set)
    lenses = np.flatnonzero(opened.labels == 1)
    source = lenses_of(small_set, None, SEED)
    assert source.n == len(lenses) >= 2
    images, row = source.arms(1, load_definition("orientation").arms())[2]
    assert source.id(1) == opened.ids[lenses[1]]
    stored = opened.images("VIS", [int(lenses[1])])[0]
    assert np.array_equal(images["VIS"], np.rot90(stored, 2))
    assert row["theta_e_arcsec"] == opened.column("theta_e_arcsec")[lenses[1]]
    assert lenses_of(small_set, 1, SEED).n == 1


def test_another_set_in_the_same_folder_is_asked_about_anew(tmp_path):
    arms = load_definition("band-duplicate").arms()
    answers = []
    for seed in (1, 2):
        shutil.rmtree(tmp_path / "set", ignore_errors=True)
        simulate("euclid", "single", 2, seed, tmp_path / "set")
        asked = Experiment(lenses_of(tmp_path / "set", None, SEED), arms)
        answers.append(collect(asked, [formula(flux, ("VIS", "H"))], tmp_path / "out")[0].logit)
    assert not np.array_equal(*answers)


def test_a_set_without_lenses_is_refused(tmp_path):
    simulate("euclid", "no-source", 2, 1, tmp_path / "set")
    with pytest.raises(UsageError, match="holds no system labelled as a lens"):
        lenses_of(tmp_path / "set", 2, SEED)
