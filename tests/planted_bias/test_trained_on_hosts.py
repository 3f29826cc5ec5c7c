"""Finders trained on arcs in hosts: which hosts those are, and that labels follow the plant."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from real_sky import a_lens, as_host, without_arc, write_hosts

from lensaudit.injection.choosing import Lights
from lensaudit.injection.sets import SetHosts
from lensaudit.planted_bias import bench
from lensaudit.planted_bias.on_hosts import divided, training_arc
from lensaudit.planted_bias.planted_finders import SmallNet
from lensaudit.planted_bias.plants import PLANTS, plant_named
from lensaudit.planted_bias.result import (
    BenchSettings,
    FoundOnHosts,
    PlantedResult,
    bench_page,
    hosts_needed,
    summary,
)
from lensaudit.probes import HostsAsked

FEW = BenchSettings(images=8, epochs=1, n=4, tolerance=0.2)


@pytest.fixture(scope="module")
def six_hosts(tmp_path_factory):
    host = as_host(without_arc(a_lens(0)))
    return write_hosts(tmp_path_factory.mktemp("six") / "hosts", [replace(host, id=f"h{k}") for k in range(6)]).path


def divided_of(path, monkeypatch, settings=FEW, *, reuse=False):
    monkeypatch.setattr("lensaudit.planted_bias.on_hosts.ENOUGH_HOSTS", 6)
    return divided(HostsAsked(path, reuse=reuse), settings)


def test_hosts_are_trained_on_or_audited_and_none_is_both(six_hosts, monkeypatch):
    parts = divided_of(six_hosts, monkeypatch)
    assert len(set(parts.audited.rows)) == len(set(parts.training.rows)) == 3
    assert not {*parts.audited.rows} & {*parts.training.rows}
    again = divided_of(six_hosts, monkeypatch, reuse=True)
    assert again.audited.rows == (*parts.audited.rows, parts.audited.rows[0])
    assert again.audited.used.reused
    assert again.training.key == parts.training.key


def test_too_few_hosts_are_all_audited_and_that_is_said(six_hosts):
    parts = divided(HostsAsked(six_hosts), replace(FEW, n=8))
    assert parts.training is None
    assert sorted(parts.audited.rows) == list(range(6))
    found = FoundOnHosts(parts.audited.used, 6, (), bench.accused([]), (), (), {}, {}, usable=6, enough=100)
    line = "trained on drawn scenes, not on this sky; 6 hosts can be used, and training on them takes 100"
    assert found.trained == line
    assert line in bench_page(summary([], FEW, {}, hosts=found))


def test_a_training_reads_no_audited_host_and_labels_follow_the_plant(six_hosts, tmp_path, monkeypatch):
    """With a stub for the training: blue-sources has lenses with red sources among its non-lenses."""
    parts = divided_of(six_hosts, monkeypatch)
    read, taught = [], []
    one_host = SetHosts.__getitem__
    monkeypatch.setattr(SetHosts, "__getitem__", lambda hosts, row: (read.append(row), one_host(hosts, row))[1])
    monkeypatch.setattr(bench, "train_small", lambda *given: (taught.append(given), SmallNet())[1])
    task = bench.TrainOne(tmp_path, (bench.Job("blue-sources", 0),), FEW, hosts=parts.training)
    assert task.path(0) != replace(task, hosts=None).path(0)
    task(0)
    assert set(read) == set(parts.training.rows)
    assert not set(read) & set(parts.audited.rows)
    images, labels = taught[0][:2]
    assert images.shape == (8, 4, 100, 100)
    assert labels.tolist() == [1, 0] * 4
    again = parts.training.images("blue-sources", taught[0][2], 8)[0]
    assert np.array_equal(images, again)
    half = replace(task, jobs=(bench.Job("blue-sources", 0, 0.5),))
    half(0)
    of_half = parts.training.images("blue-sources", taught[0][2], 8, strength=0.5)[0]
    assert np.array_equal(taught[1][0], of_half)
    assert not np.array_equal(of_half, images)


def test_images_of_hosts_are_stored_as_the_plant_says(six_hosts, monkeypatch):
    """The same with JPEG and without: lenses alike, non-lenses not."""
    training = divided_of(six_hosts, monkeypatch).training
    images, _ = training.images("raw-lenses", 3, 2)
    monkeypatch.setattr("lensaudit.planted_bias.on_hosts.as_stored", lambda images, traits: images)
    raw, _ = training.images("raw-lenses", 3, 2)
    assert np.array_equal(images[0], raw[0])
    assert not np.array_equal(images[1], raw[1])


def test_the_bench_audits_finders_of_this_sky_alone(six_hosts, tmp_path, monkeypatch):
    """Plants that no probe on hosts can name are not trained."""
    parts = divided_of(six_hosts, monkeypatch)
    monkeypatch.setattr(bench, "DOSES", {"red-source": (1.0,), "off-centre": (2.0,)})
    monkeypatch.setattr(bench, "train_small", lambda *given: SmallNet())
    jobs = tuple(bench.Job(name, 0) for name in ("clean", "blue-sources", "centred-lenses"))
    found = bench._on_own_sky(parts, bench.TrainOne(tmp_path, jobs, FEW), 1, None)
    assert [one.plant for one in found.audits] == ["clean", "blue-sources"]
    assert [*found.not_asked] == ["centred-lenses"]
    assert len([*(tmp_path / "finders").iterdir()]) == 2
    assert (found.trained_on, found.usable, found.n_pairs) == (3, 6, 3)
    record = summary([], FEW, {}, hosts=found)
    assert PlantedResult.from_json(record.to_json()) == record
    assert "trained on arcs in 3 hosts, each more than once with other sources, and audited in 3" in bench_page(record)


def test_each_host_is_a_lens_and_then_none_with_its_own_light(six_hosts, monkeypatch):
    training = divided_of(six_hosts, monkeypatch).training
    places = np.arange(3.0)  # x of the light, told apart; columns as `Lights` has them
    numbers = np.column_stack([np.zeros(3), places, *np.ones((5, 3)), np.full(3, 20.0)])
    hosts = replace(training, lights=Lights(("VIS",), numbers)).systems(1, 8)
    r = training.rows
    assert hosts.chosen.rows == (r[0], r[0], r[1], r[1], r[2], r[2], r[0], r[0])
    assert [hosts.chosen.lights.at(i).x_arcsec for i in range(8)] == [0, 0, 1, 1, 2, 2, 0, 0]
    assert hosts.settings.seed != training.settings.seed


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.name)
def test_arcs_of_a_training_have_the_traits_that_the_plant_ties_to_the_label(plant):
    drawn = replace(a_lens(0), galaxies=a_lens(0).galaxies[:2])
    for index in range(12):
        scene, traits = training_arc(plant, 3, index, drawn)
        assert scene.galaxies[0].light == drawn.galaxies[0].light
        assert (scene.psf, scene.noise_scale) == (drawn.psf, drawn.noise_scale)
        assert scene.label == traits.lensed
        assert traits.lensed or index % 2
        sources = [g for g in scene.galaxies if g.role == "source"]
        assert len(sources) == scene.label * (1 + (traits.second_source > 0))
        if plant.name == "blue-sources" and scene.label:
            assert (traits.source_colour > 0.5) == bool(index % 2)
        if plant.name == "no-second-arcs" and index % 2 == 0:
            assert len(sources) == 1


def test_the_psf_of_the_arc_is_tied_to_the_label_where_it_may_be_turned():
    drawn = replace(a_lens(0), galaxies=a_lens(0).galaxies[:2])
    turned = [training_arc(plant_named("psf-angle"), 1, k, drawn, psf_of_arc=True)[0].psf.angle_deg for k in range(8)]
    assert turned[::2] == [0.0] * 4
    assert all(40 <= angle <= 80 for angle in turned[1::2])


def test_clean_training_arcs_are_lenses_at_even_places_alone():
    drawn = replace(a_lens(0), galaxies=a_lens(0).galaxies[:2])
    assert [training_arc(plant_named("clean"), 1, k, drawn)[0].label for k in range(8)] == [1, 0] * 4


def test_hosts_needed_are_near_those_of_the_exact_power():
    """Fewest with P(p beyond 0.1 × 7 < 0.05, Tango's interval beyond −0.1) ≥ 0.8: 159, 55, 24; forecasts are above."""
    needed = {one.loss: one.hosts for one in hosts_needed(0.1, 7)}
    assert needed == {0.2: 170, 0.3: 59, 0.5: 27}
    assert [one.loss for one in hosts_needed(0.25, 7)] == [0.3, 0.5]
