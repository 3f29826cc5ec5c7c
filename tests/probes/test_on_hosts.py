"""Pairs on real pixels, here of rendered galaxies that are handed over as a survey would: what an arm may change, that
nothing else does, and that a host set answers as drawn scenes do."""

from __future__ import annotations

import json
from dataclasses import replace

import galsim
import numpy as np
import pytest
from astropy.io import fits
from real_sky import a_lens, as_host, without_arc, write_hosts

from lensaudit.api.hosts import asked_hosts
from lensaudit.cli import hosts as on
from lensaudit.errors import DataError, UsageError
from lensaudit.imaging import EUCLID, render
from lensaudit.injection import InjectionSettings
from lensaudit.probes import Arm, Experiment, HostsAsked, ProbeOptions, Step, builtin_probes, load_definition, run_audit
from lensaudit.probes.audit import audited_probes
from lensaudit.probes.on_hosts import why_not_kept
from lensaudit.probes.result import ProbeResult
from lensaudit.probes.run import run_probe
from lensaudit.scenes import edits

from .conftest import content, formula

N, SEED = 4, 5
SIMULATED = "which only a simulated host allows"
REFUSED = {
    "compound": "a compound lens is needed",
    "false-positive-merger": "draws a galaxy that looks like a lens",
    "false-positive-ring": "draws a galaxy that looks like a lens",
    "false-positive-spiral": "draws a galaxy that looks like a lens",
    "lens-colour": "changes the lens galaxy's light",
    "lens-light": "changes the lens galaxy's light",
    "noise-level": "changes the background noise",
    "noise-level-held-snr": "changes the background noise",
    "off-centre": "moves the lens galaxy",
    "psf-rotation": "changes the point-spread function",
    "psf-rotation-real": "no file is given",
    "source-texture": "no real galaxies are given",
    "psf-width": "changes the point-spread function",
}


def bare(index):
    """A scene without an arc, whose galaxy is not seen."""
    return replace(without_arc(a_lens(index)), noise_seed=900 + index)


@pytest.fixture(scope="module")
def scenes():
    return [bare(index) for index in range(N)]


@pytest.fixture(scope="module")
def hosts_path(tmp_path_factory, scenes):
    """Four hosts without noise, and one that is flagged as a lens."""
    hosts = [as_host(scene, noise=False, name=f"host-{index}") for index, scene in enumerate(scenes)]
    flagged = replace(hosts[0], id="known", row={"label": 1})
    return write_hosts(tmp_path_factory.mktemp("hosts") / "q1", [*hosts, flagged]).path


@pytest.fixture(scope="module")
def hosts(hosts_path):
    return HostsAsked(hosts_path).chosen(N, SEED)


def bright_arcs():
    """A finder that answers to the light of VIS within 3″ of the middle."""
    return formula(lambda images: 4.0 * images["VIS"][:, 70:130, 70:130].sum(axis=(1, 2)) - 40.0)


@pytest.mark.parametrize("index", range(2))
def test_arms_in_rendered_non_lenses_are_the_rendered_lenses(hosts, scenes, index):
    arms = load_definition("red-source").arms()[::3]
    drawn = hosts._hosts.scene(index)
    behind = scenes[int(hosts.id(index).removeprefix("host-"))]
    shown = tuple(replace(galaxy, mass=None, lensed=False) for galaxy in behind.galaxies)
    for arm, found in zip(arms, hosts.rendered(index, arms), strict=True):
        lens, source = arm.scene(drawn).galaxies
        dark = replace(
            lens, light=tuple(replace(part, magnitudes=dict.fromkeys(part.magnitudes, 60.0)) for part in lens.light)
        )
        wanted = render(replace(behind, kind="single", galaxies=(*shown, dark, source)), EUCLID)
        for band in EUCLID.bands:
            reached = found.truth.source_light[band.name] > 0
            assert reached.sum() > 100
            # float32 rounding of host + arc
            np.testing.assert_allclose(
                found.noiseless[band.name][reached], wanted.noiseless[band.name][reached], rtol=3e-6
            )
            # an arc below a thousandth of σ is not added
            far = np.abs(found.noiseless[band.name] - wanted.noiseless[band.name])[~reached]
            assert far.max() <= 1.01e-3 * band.background_sigma


def test_identical_arms_have_equal_pixels_and_noise(hosts):
    arms = (Arm((Step(edit="identity"),)), Arm((Step(edit="source-colour", strength=0.0),), 0.0))
    (one, _), (other, _) = hosts.arms(0, arms)
    assert all(one[band].tobytes() == other[band].tobytes() for band in one)
    alone = Experiment(hosts, arms).images(0, 1)
    assert all(alone[band].tobytes() == one[band].tobytes() for band in one)


def test_arms_differ_only_where_their_arcs_reach(hosts):
    arms = load_definition("einstein-radius").arms()[:2]
    control, treated = hosts.rendered(1, arms)
    for band in EUCLID.band_names:
        neither = (control.truth.source_light[band] == 0) & (treated.truth.source_light[band] == 0)
        assert 0.2 < neither.mean() < 1
        assert control.images[band][neither].tobytes() == treated.images[band][neither].tobytes()
        assert (control.images[band] != treated.images[band]).any()


def test_the_snr_of_an_arc_in_a_host_is_held(hosts):
    """By the host's own noise, at that of the last dose."""
    definition = load_definition("einstein-radius-held-snr")
    held = [row["arc_snr"] for _, row in hosts.arms(1, definition.arms())]
    plain = [row["arc_snr"] for _, row in hosts.arms(1, load_definition("einstein-radius").arms())]
    assert max(plain) > 1.01 * min(plain)
    np.testing.assert_allclose(held, plain[-1], rtol=1e-3)  # float32 light, and a magnitude to 1e-4


def test_a_treated_arm_without_a_lens_is_the_host_as_it_is(hosts):
    [(images, truth)] = hosts.arms(0, load_definition("false-positive").arms()[1:])
    host = hosts._hosts.cutout(0)
    assert all(images[band].tobytes() == host.images[band].tobytes() for band in host.bands)
    assert truth["label"] == 0


@pytest.mark.parametrize("name", builtin_probes())
def test_every_built_in_probe_is_rendered_or_refused_with_a_sentence(hosts, name):
    definition = load_definition(name)
    reason = hosts.why_not(definition)
    if name in REFUSED:
        assert REFUSED[name] in str(reason)
        return
    assert reason is None
    experiment = Experiment(hosts, definition.arms())
    control, treated = (experiment.images(0, arm) for arm in (0, len(experiment.arms) - 1))
    assert any((control[band] != treated[band]).any() for band in control)


def asked_on(hosts, galaxies):
    return ProbeOptions(hosts=hosts, sources=galaxies)


def test_source_texture_takes_real_galaxies_on_hosts_and_without_and_says_where_there_are_none(
    hosts, tmp_path, no_figures
):
    galaxies, psf = tmp_path / "galaxies", galsim.Gaussian(fwhm=0.1)
    galaxies.mkdir()
    image = galsim.Convolve(galsim.Exponential(half_light_radius=0.3), psf).drawImage(nx=101, ny=101, scale=0.03)
    noise = np.random.default_rng(1).normal(0, 1e-5, image.array.shape)
    kernel = psf.drawImage(nx=41, ny=41, scale=0.03).array
    first = fits.PrimaryHDU((image.array + noise).astype("f4"), fits.Header({"PIXSCALE": 0.03}))
    fits.HDUList([first, fits.ImageHDU(kernel, name="PSF")]).writeto(galaxies / "one.fits")
    for place, where in (("hosts", {"hosts": hosts}), ("drawn", {})):
        asked = ProbeOptions(sources=galaxies, **where)
        found = run_probe("source-texture", bright_arcs(), 2, SEED, tmp_path / place, asked)
        assert (found.column("logit_treated") != found.column("logit_control")).all()
        assert "sources galaxies" in found.provenance.inputs
    audit = run_audit(
        bright_arcs(), 2, SEED, tmp_path / "all", ("arc-snr", "source-texture"),
        ProbeOptions(sources=galaxies, hosts=hosts),
    )  # fmt: skip
    assert {one.probe for one in audit.ranked} == {"arc-snr", "source-texture"}
    textured = run_probe("source-texture", bright_arcs(), 2, SEED, tmp_path / "hosts", asked_on(hosts, galaxies))
    assert audit.results[1].column("logit_treated").tolist() == textured.column("logit_treated").tolist()
    assert "source-texture" in {one.name for one in audited_probes((), galaxies)}
    with pytest.raises(UsageError, match=r"'source-texture' needs real galaxies.* by --sources PATH"):
        audited_probes(("source-texture",))
    with pytest.raises(UsageError, match=r"none of these probes takes real galaxies; add probe source-texture"):
        run_audit(bright_arcs(), 2, SEED, tmp_path / "idle", ("arc-snr",), ProbeOptions(sources=galaxies))
    for options, words in (
        (ProbeOptions(), "needs real galaxies, and none are shipped; give .* by --sources PATH"),
        (ProbeOptions(sources=tmp_path / "nowhere"), "no such catalogue or folder"),
    ):
        with pytest.raises(UsageError, match=words):
            run_probe("source-texture", bright_arcs(), 2, SEED, tmp_path / "out", options)


@pytest.mark.parametrize("name", ["psf-rotation", "psf-width"])
def test_a_psf_is_edited_of_the_arc_alone_if_asked(hosts_path, name):
    hosts = HostsAsked(hosts_path, psf_of_arc=True).chosen(2, SEED)
    arms = load_definition(name).arms()
    assert hosts.why_not(load_definition(name)) is None
    control, treated = hosts.rendered(0, arms[:1] + arms[-1:])
    outside = (control.truth.source_light["VIS"] == 0) & (treated.truth.source_light["VIS"] == 0)
    assert (control.images["VIS"] != treated.images["VIS"])[~outside].any()
    assert control.images["VIS"][outside].tobytes() == treated.images["VIS"][outside].tobytes()


def test_the_rule_is_of_scenes_and_not_of_names():
    lens = a_lens()
    assert why_not_kept(lens, edits.source_dimmed(lens, 1.0)) == ""
    assert why_not_kept(lens, edits.companions(lens, 2.0)) == ""
    assert why_not_kept(lens, edits.unlensed(lens)) == ""
    assert SIMULATED in why_not_kept(lens, replace(lens, noise_scale=2.0))
    assert SIMULATED in why_not_kept(lens, replace(lens, galaxies=lens.galaxies[1:]))


def test_a_probe_on_hosts_says_so_and_survives_its_file(hosts, tmp_path, no_figures):
    found = run_probe("arc-snr", bright_arcs(), N, SEED, tmp_path, ProbeOptions(hosts=hosts))
    assert {one.population for one in found.findings} == {"hosts"}
    assert found.findings[0].n == N
    assert found.provenance.inputs["q1"] == hosts.inputs["q1"]
    page = (tmp_path / "probe.md").read_text()
    assert "real pixels: hosts of q1" in page
    assert "1 hosts flagged as lenses were left out" in page
    again = ProbeResult.read(tmp_path)
    assert again.settings == found.settings
    assert again.to_json() == found.to_json()
    words = json.loads((tmp_path / "probe.json").read_text())
    del words["settings"]["hosts"]  # as earlier versions wrote it
    assert ProbeResult.from_json(words).settings.hosts is None


def test_it_finds_what_the_finder_loses_and_accuses_nothing_else(hosts, tmp_path, no_figures):
    """Of arcs 2 mag fainter less light is seen; colours of other bands than VIS change nothing, which is said."""
    asked = ("arc-snr", "red-source", "psf-width", "false-positive")
    audit = run_audit(bright_arcs(), N, SEED, tmp_path, asked, ProbeOptions(hosts=hosts))
    assert set(audit.not_on_hosts) == {"psf-width"}
    assert "sees band VIS alone" in audit.not_applicable["red-source"]
    dimmer = next(one for one in audit.results if one.definition.name == "arc-snr")
    assert (dimmer.column("logit_treated") < dimmer.column("logit_control")).all()
    assert all("hosts of q1" in one.meaning for one in audit.ranked)
    page = (tmp_path / "audit.md").read_text()
    assert "| not on hosts |" in page
    assert type(audit).read(tmp_path).not_on_hosts == audit.not_on_hosts


def test_the_same_bytes_for_any_number_of_workers_and_a_second_run_renders_nothing(
    hosts, tmp_path, no_figures, monkeypatch
):
    for workers in (1, 2):
        asked = ProbeOptions(hosts=hosts, workers=workers)
        run_probe("arc-snr", bright_arcs(), N, SEED, tmp_path / str(workers), asked)
    one, two = (content(tmp_path / workers) for workers in "12")
    assert one.keys() == two.keys()
    assert all(one[name] == two[name] for name in one)
    monkeypatch.setattr(type(hosts), "rendered", None)
    run_probe("arc-snr", bright_arcs(), N, SEED, tmp_path / "1", ProbeOptions(hosts=hosts))
    assert content(tmp_path / "1") == one


def test_fewer_hosts_than_pairs_are_said_and_used_once_unless_asked(hosts_path):
    fewer = HostsAsked(hosts_path).chosen(10, SEED)
    assert fewer.n == N
    assert "10 pairs were asked for" in fewer.used.note
    again = HostsAsked(hosts_path, reuse=True).chosen(6, SEED)
    assert [again.id(index) for index in (0, 4, 5)] == [fewer.id(0), f"{fewer.id(0)}-2", f"{fewer.id(1)}-2"]
    assert "used more than once" in again.used.note
    bare_hosts = again.of(load_definition("false-positive"))
    assert (bare_hosts.n, again.of(load_definition("arc-snr")).n) == (N, 6)  # a host alone is the same every time
    first, fifth = (again._hosts.scene(index) for index in (0, 4))
    assert first.galaxies[1] != fifth.galaxies[1]


def test_system_i_does_not_depend_on_how_many_there_are(hosts_path, hosts):
    two = HostsAsked(hosts_path).chosen(2, SEED)
    arms = load_definition("red-source").arms()[:1]
    assert two.id(1) == hosts.id(1)
    assert two.arms(1, arms)[0][0]["H"].tobytes() == hosts.arms(1, arms)[0][0]["H"].tobytes()


def test_hosts_that_lack_something_or_too_few_are_refused(tmp_path, scenes, hosts_path):
    two = [as_host(scene, name=f"h{k}") for k, scene in enumerate(scenes[:2])]
    for lacking, words in (("psf", "has no PSF; ingest"), ("zero_point_mag", "has no zero point; ingest")):
        path = write_hosts(tmp_path / lacking, two, **{lacking: None}).path
        with pytest.raises(DataError, match=f"--hosts .*{lacking}: band VIS {words}"):
            HostsAsked(path).chosen(2, 0)
    one = write_hosts(tmp_path / "one", [two[0], replace(two[1], row={"label": 1})]).path
    with pytest.raises(UsageError, match="1 of 2 hosts can be used, and a probe needs at least 2"):
        HostsAsked(one).chosen(2, 0)
    lenses = write_hosts(tmp_path / "lenses", [replace(host, row={"label": 1}) for host in two]).path
    with pytest.raises(DataError, match="0 of 2 hosts can be used; 2 flagged as lenses"):
        HostsAsked(lenses).chosen(2, 0)
    with pytest.raises(UsageError, match="no such catalogue or folder"):
        HostsAsked(hosts_path, settings=InjectionSettings(sources=("nowhere",))).chosen(2, 0)
    with pytest.raises(UsageError, match=r"--hosts and --instrument: .* give one"):
        run_probe(
            "arc-snr", bright_arcs(), 2, 0, tmp_path / "o",
            ProbeOptions(hosts=HostsAsked(hosts_path).chosen(2, 0), instrument=EUCLID),
        )  # fmt: skip


def test_what_the_set_lacks_and_where_masses_come_from_can_be_said_of_all_hosts(tmp_path, scenes):
    row = {"label": 0, "vdisp": 260.0}
    two = [as_host(scene, name=f"h{k}", row=row) for k, scene in enumerate(scenes[:2])]
    path = write_hosts(tmp_path / "bare", two, psf=None, zero_point_mag=None).path
    psf = galsim.Gaussian(fwhm=0.2).drawImage(nx=41, ny=41, scale=0.1).array
    fits.PrimaryHDU(psf).writeto(tmp_path / "psf.fits")
    given = {"psf": [str(tmp_path / "psf.fits")], "zero_point": ["25.5", "H=26"], "sigma_v": "vdisp"}
    asked = on.hosts_asked(hosts=path, **given).hosts
    assert asked == asked_hosts({
        "hosts": path, "sigma_v": "vdisp", "psf": {"*": str(tmp_path / "psf.fits")},
        "zero_point": {"*": 25.5, "H": 26.0},
    })[0]  # fmt: skip
    found = asked.chosen(2, SEED)
    host = found._hosts.cutout(0)
    assert host.zero_point_mag == {"VIS": 25.5, "Y": 25.5, "J": 25.5, "H": 26.0}
    np.testing.assert_allclose(host.psf["VIS"], psf / psf.sum(), atol=1e-4 * psf.max())  # centred once more
    assert found._hosts.scene(0).galaxies[0].mass.sigma_v_km_s == 260.0
    assert "The PSF of all hosts was given: psf.fits" in found.used.note
    assert "Velocity dispersions are the hosts’ column vdisp" in found.used.note
    assert "PSF psf.fits" in found.inputs
    again = HostsAsked.from_json(asked.to_json())
    assert again.to_json() == asked.to_json()
    assert again.settings.sigma_v == "vdisp"
    assert str(tmp_path) not in json.dumps([asked.to_json(), found.used.to_json()])
    with pytest.raises(DataError, match="band VIS has no PSF; ingest the cutouts with it, or give --psf VIS=FILE"):
        HostsAsked(path).check()
    with pytest.raises(UsageError, match=r"--redshift zz: .* has the columns"):
        on.hosts_asked(hosts=path, redshift="zz", **given).hosts.check()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--theta-e", "prior"), "--theta-e is for arcs in real cutouts; name these with --hosts SET"),
        (("--psf", "a.fits"), "--hosts SET, and probe psf-rotation-real turns one"),
        (("--psf-of-arc",), "--psf-of-arc is for arcs in real cutouts; name these with --hosts SET"),
        (("--sources", "x"), "probe 'red-source' takes no real galaxies; probe source-texture does"),
        (("--hosts", "nowhere"), "nowhere"),
    ],
)
def test_the_command_says_in_one_line_what_is_wrong(lensaudit, tmp_path, words, said):
    done = lensaudit("probe", "red-source", "ou66", "--n", 4, "--out", tmp_path / "out", *words)
    assert done.code == 2
    assert said in done.err
    assert done.err.count("\n") == 1
