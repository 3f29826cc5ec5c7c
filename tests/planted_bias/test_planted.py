"""The bench from end to end at toy size, its table against hand counts, and what a user can get wrong."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from real_sky import a_lens, as_host, without_arc, write_hosts

from lensaudit.errors import UsageError
from lensaudit.finders import Finder, Recipe
from lensaudit.imaging import INSTRUMENTS
from lensaudit.planted_bias.bench import (
    DOSES,
    Job,
    TrainOne,
    _on_own_sky,
    audit_blind,
    bench_probes,
    run_planted,
)
from lensaudit.planted_bias.on_hosts import Divided
from lensaudit.planted_bias.planted_finders import SIZE, SmallNet, load_small, save_small, small_finder, train_small
from lensaudit.planted_bias.plants import ALL_PLANTS, training_scene
from lensaudit.planted_bias.result import (
    Audited,
    BenchSettings,
    PlantedResult,
    bench_page,
    summary,
    told_of,
    unblinded,
)
from lensaudit.probes import HostsAsked
from lensaudit.verdicts import PLANTED_IN_PART

TINY = BenchSettings(finders=1, clean=1, images=200, epochs=1, n=3, tolerance=0.3)


@pytest.fixture
def few_probes(monkeypatch):
    """Two probes are enough where the table is not looked at."""
    monkeypatch.setattr(
        "lensaudit.planted_bias.bench.DOSES", {name: DOSES[name] for name in ("red-source", "off-centre")}
    )


def test_small_net_looks_at_the_inner_twelve_arcsec_alone():
    net = SmallNet().eval()
    images = torch.rand(2, 4, SIZE, SIZE)
    changed = images.clone()
    changed[..., :19, :] = 0
    with torch.inference_mode():
        assert torch.equal(net(images), net(changed))
        changed[..., 50, 50] += 1
        assert not torch.equal(net(images), net(changed))


def test_training_is_repeatable_and_weights_survive_the_disk(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.random((64, 4, SIZE, SIZE)).astype(np.float16)
    labels = np.tile([1, 0], 32)
    images[labels == 1, :, 40:60, 40:60] += np.float16(0.5)
    nets = [train_small(images, labels, 5, epochs=6) for _ in range(2)]
    save_small(nets[0], tmp_path / "net.safetensors")
    again = load_small(tmp_path / "net.safetensors")
    batch = torch.from_numpy(images.astype(np.float32))
    with torch.inference_mode():
        first, second, third = (net(batch) for net in (*nets, again))
    assert torch.equal(first, second)
    torch.testing.assert_close(first, third, rtol=0, atol=1e-5)  # float32 rounding in another memory layout
    # A bright square in the middle ranks above none after 12 steps, though the running means have not settled yet.
    assert first[labels == 1].min() > first[labels == 0].max()


def test_bench_doses_lie_within_the_clean_training_set():
    for definition in bench_probes():
        assert definition.doses.values == DOSES[definition.name]
        assert all(arm.label is None for arm in definition.arms())


class Far(torch.nn.Module):
    """Calls lenses what has its brightest VIS pixel within 1″ of the middle: the bias of a centred training set."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        peak = images[:, 0].flatten(1).argmax(1)
        y, x = peak // SIZE - SIZE / 2, peak % SIZE - SIZE / 2
        return torch.where(torch.hypot(x, y) < 5 * 1.0, 4.0, -4.0)


def test_a_finder_of_centred_peaks_is_unblinded_as_centred(tmp_path, monkeypatch):
    keep = {"off-centre": (2.5,), "red-source": DOSES["red-source"]}
    monkeypatch.setattr("lensaudit.planted_bias.bench.DOSES", keep)
    finder = small_finder("finder-00")
    finder.module.forward = Far().forward
    settings = BenchSettings(n=40, tolerance=0.2)
    [audit] = audit_blind([finder], tmp_path, settings)
    found = unblinded(audit, "centred-lenses", 0)
    assert found.leading == "off-centre"
    assert found.effect < -0.5
    assert found.biases == ("off-centre",)


@dataclass(frozen=True, eq=False)
class ByHand(Finder):
    """Calls lenses what has light around 1.8″ of the middle and, where `planted`, blue light there."""

    planted: bool = False

    def prepare(self, cutouts):
        vis, red = (_ring_light(cutouts[band]) for band in ("VIS", "H"))
        found = (vis > 0) & ((vis > BLUE * red) | (not self.planted))
        return torch.from_numpy(np.where(found, 4.0, -4.0))[:, None], torch.ones((len(vis), 2), dtype=torch.bool)


BLUE = 0.18
"""VIS over H in pixel units: 0.23 to 0.5 around plain lenses in these hosts, to 0.14 with arcs as red as the galaxy."""


def _ring_light(images):
    y, x = np.indices(images.shape[1:]) - (images.shape[1] - 1) / 2
    radius = np.hypot(x, y) * 20.0 / images.shape[1]
    return images[:, (radius > 1.4) & (radius < 2.4)].astype(float).sum(axis=1)


def by_hand(name, planted):
    recipe = Recipe(
        name=name, architecture="custom", bands=("VIS", "H"), size=200, stretch="minmax",
        field_of_view_arcsec=20.0, outputs=1, lens_index=0,
    )  # fmt: skip
    return ByHand(recipe, torch.nn.Identity(), "custom", planted=planted)


def test_a_planted_bias_is_named_on_hosts_and_a_clean_finder_is_not_accused(tmp_path, monkeypatch):
    """Two hosts of one galaxy, each four times; the biased finder loses arcs as red as the galaxy."""
    keep = {"red-source": (1.0,), "psf-rotation": (90.0,)}
    monkeypatch.setattr("lensaudit.planted_bias.bench.DOSES", keep)
    host = as_host(without_arc(a_lens(0)), noise=False)
    path = write_hosts(tmp_path / "hosts", [replace(host, id=name) for name in ("one", "two")]).path
    real = HostsAsked(path, reuse=True).chosen(8, 7)
    biased = {("clean", 0): False, ("blue-sources", 0): True, ("blue-sources", 1): False, ("psf-angle", 0): False}
    planted = {Job(*job): wrong for job, wrong in biased.items()}
    finders = {job: by_hand(f"finder-{k}", biased) for k, (job, biased) in enumerate(planted.items())}
    monkeypatch.setattr("lensaudit.planted_bias.bench._train", lambda *_: None)
    monkeypatch.setattr(
        "lensaudit.planted_bias.bench._trained", lambda task, jobs: [finders[task.jobs[k]] for k in jobs]
    )
    task = TrainOne(tmp_path, tuple(planted), BenchSettings(n=8, tolerance=0.2))
    one = _on_own_sky(Divided(real, None, 2), task, 1, None)
    assert [(of.bias, of.named_first, of.finders) for of in one.planted] == [("blue-sources", 1, 2)]
    assert one.audits[1].biases == ("red-source",)
    assert (one.clean.audits, one.clean.accused) == (1, 0)
    assert one.not_asked == {
        "psf-angle": "its probe psf-rotation changes the point-spread function, which only a simulated host allows; "
        "--psf-of-arc changes that of the arc alone"
    }
    assert one.audits[2].shown == ()
    record = summary([], BenchSettings(), dict.fromkeys(DOSES, ""), hosts=one)
    assert PlantedResult.from_json(record.to_json()) == record
    page = bench_page(record)
    assert "## On hosts" in page
    assert "Not asked on hosts: psf-angle, for" in page


def test_the_table_counts_as_by_hand():
    found = [
        Audited("blue-sources", 0, 0.9, "red-source", -0.5, ("red-source",), ("red-source",)),
        Audited("blue-sources", 1, 0.9, "off-centre", -0.6, ("off-centre", "red-source"), ("off-centre", "red-source")),
        Audited("clean", 0, 0.9, None, 0.0, (), ()),
        Audited("clean", 1, 0.9, "einstein-radius", -0.2, (), ("einstein-radius",)),
        Audited("clean", 2, 0.9, "off-centre", -0.2, ("off-centre",), ("off-centre",)),
    ]
    record = summary(found, BenchSettings(), {one.name: told_of(one.doses) for one in bench_probes()})
    [blue] = record.planted
    assert (blue.finders, blue.named_first, blue.named) == (2, 1, 2)
    assert (record.clean.audits, record.clean.accused) == (3, 1)
    assert PlantedResult.from_json(record.to_json()) == record
    page = bench_page(record)
    assert "1 of 2" in page
    assert "**1 of 3**" in page
    assert "* `off-centre`, distance of the lens from the centre [″]; at 1; control at 0" in page
    assert "* `preprocessing-jpeg`, quality of the JPEG; at 75" in page
    half = [replace(found[0], strength=0.5), replace(found[1], leading="red-source", strength=0.5)]
    both = summary([*found, *half], BenchSettings(strengths=(1.0, 0.5)), dict.fromkeys(DOSES, ""))
    assert [(one.strength, one.named_first) for one in both.planted] == [(1.0, 1), (0.5, 2)]
    assert PlantedResult.from_json(both.to_json()) == both
    assert both.command.endswith("--strength 1 --strength 0.5")
    assert PLANTED_IN_PART not in page
    page = bench_page(both)
    assert PLANTED_IN_PART in page
    assert "| blue-sources, in 50 % of the images |" in page
    assert "| **all**, in 50 % of the images | | 2 | **2 of 2**" in page
    assert "| blue-sources 1, in 50 % |" in page


@pytest.mark.usefixtures("few_probes")
def test_bench_runs_resumes_and_grows(tmp_path):
    told = []
    record = run_planted(tmp_path, TINY, plants=("blue-sources",), progress=lambda *words: told.append(words))
    assert told[0] == ("training finders", 0, 1)
    assert json.loads((tmp_path / "planted.json").read_text("utf-8")) == json.loads(json.dumps(record.to_json()))
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "finders").iterdir()}
    told.clear()
    again = run_planted(tmp_path, TINY, plants=("blue-sources", "clean"), progress=lambda *words: told.append(words))
    assert told[0] == ("training finders", 1, 2)
    assert all(path.stat().st_mtime_ns == when for path, when in files.items())
    assert [one.plant for one in again.audits] == ["clean", "blue-sources"]
    assert again.audits[1] == record.audits[0]


@pytest.mark.usefixtures("few_probes")
def test_a_bench_goes_on_from_its_audits_alone(tmp_path, monkeypatch):
    """In another folder, as on another machine: a finder whose audit stands there is not trained, another is."""
    trained = []
    monkeypatch.setattr("lensaudit.planted_bias.bench.training_images", lambda *args: args[:2])
    monkeypatch.setattr(
        "lensaudit.planted_bias.bench.train_small", lambda *args: trained.append(args) or SmallNet().eval()
    )
    first = run_planted(tmp_path / "here", TINY, plants=("blue-sources",))
    trained.clear()
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "audits.json").write_bytes((tmp_path / "here" / "audits.json").read_bytes())
    assert run_planted(tmp_path / "there", TINY, plants=("blue-sources",)).to_json() == first.to_json()
    assert trained == []
    again = run_planted(tmp_path / "there", replace(TINY, clean=2), plants=("blue-sources", "clean"))
    assert (len(trained), again.audits[2]) == (2, first.audits[0])
    run_planted(tmp_path / "there", replace(TINY, tolerance=0.2), plants=("blue-sources",))
    assert len(trained) == 3  # another tolerance is another audit, and the weights of that finder never were here


def test_a_finder_of_another_strength_is_another_finder(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr("lensaudit.planted_bias.bench._train", lambda task, *_: asked.extend([task, *task.jobs]))
    monkeypatch.setattr("lensaudit.planted_bias.bench._trained", lambda *_: exit_now())

    def exit_now():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_planted(tmp_path, replace(TINY, strengths=(1.0, 0.5)), plants=("clean", "blue-sources"))
    task, *jobs = asked
    assert jobs == [Job("clean", 0), Job("blue-sources", 0), Job("blue-sources", 0, 0.5)]
    assert len({task.path(k) for k in range(3)}) == 3


@pytest.mark.parametrize(
    ("settings", "plants", "words"),
    [
        (BenchSettings(images=250), (), "--images 250"),
        (BenchSettings(finders=0), (), "--finders"),
        (BenchSettings(tolerance=1.0), (), "--tolerance 1"),
        (BenchSettings(strengths=(1.0, 0.0)), (), "--strength 1, 0: give fractions of the images"),
        (BenchSettings(), ("green-sources",), "plant 'green-sources' is unknown; allowed: clean, blue-sources"),
    ],
)
def test_wrong_sizes_are_refused(tmp_path, settings, plants, words):
    with pytest.raises(UsageError, match=words):
        run_planted(tmp_path / "out", settings, plants=plants)


def test_where_the_psf_is_round_it_is_neither_planted_nor_asked():
    """Of every shipped survey: training scenes can be drawn, and no probe of the bench turns a round PSF."""
    for name, instrument in INSTRUMENTS.items():
        if len(instrument.bands) < 2:
            continue
        is_round = instrument.sky.psf == "gaussian"
        for plant in ALL_PLANTS:
            assert training_scene(plant, 1, 0, instrument.sky)[0].psf.kind == "gaussian" or not is_round
        asked = {one.name for one in bench_probes(instrument)}
        assert asked == set(DOSES) - ({"psf-rotation"} if is_round else set()), name
    with pytest.raises(UsageError, match=r"plant 'psf-angle': the PSF of hsc.* is round"):
        run_planted("nowhere", TINY, 1, ("psf-angle",), instrument=INSTRUMENTS["hsc"])
