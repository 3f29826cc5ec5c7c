"""``inject``: a lens set of hosts and of hosts with arcs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from lens_sets import digest
from real_sky import a_lens, as_host, without_arc, write_hosts

import lensaudit as la
from lensaudit.errors import DataError, UsageError
from lensaudit.injection import InjectionSettings, inject, of_set
from lensaudit.lensset import LensSet
from lensaudit.lensset.coordinates import plain_wcs
from lensaudit.scenes import Galaxy, Light, Scene

N = 6


def some_hosts(n: int = N) -> list:
    hosts = [as_host(without_arc(a_lens(i)), name=f"h{i}", row={"label": 0, "zphot": 0.4}) for i in range(n)]
    sky = plain_wcs((200, 200), 0.1)
    sky.wcs.crval = 33, 2
    return [replace(hosts[0], wcs={"VIS": sky.to_header().tostring("\n")}), *hosts[1:]]


@pytest.fixture(scope="module")
def hosts(tmp_path_factory) -> LensSet:
    return write_hosts(tmp_path_factory.mktemp("hosts") / "set", some_hosts())


@pytest.fixture(scope="module")
def made(tmp_path_factory, hosts) -> LensSet:
    return inject(hosts, tmp_path_factory.mktemp("made") / "set")


def test_every_host_is_there_alone_and_with_an_arc(hosts, made):
    assert len(made) == 2 * N
    assert made.labels.tolist() == [0, 1] * N
    assert sorted(set(made.column("host_id"))) == hosts.ids
    assert made.ids[0].endswith("-host")
    assert made.ids[1] == made.ids[0].replace("-host", "-lens")
    for i in range(0, 2 * N, 2):
        row = hosts.index_of(str(made.column("host_id")[i]))
        for band in hosts.bands:
            alone, lens = made.images(band, [i, i + 1])
            own = hosts.images(band, row)[0]
            assert alone.tobytes() == own.tobytes()
            outside = made.source_light(band, i + 1)[0] == 0
            assert lens[outside].tobytes() == own[outside].tobytes()
    assert (made.column("arc_snr")[1::2] > 0).all()
    assert np.isnan(made.column("arc_snr")[::2]).all()
    made.verify()


def test_the_set_says_what_was_assumed_and_keeps_what_the_hosts_brought(hosts, made):
    assert set(made.column("z_lens_from")) == {"column zphot"}
    assert all(words.startswith("Faber-Jackson") for words in made.column("mass_from"))
    assert set(made.column("source_from")) == {"populations", "no source"}
    assert set(made.column("arc_noise")) == {"shot", "no arc"}
    assert set(made.column("zphot")) == {0.4}
    scene = made.scene(1)
    assert scene is not None
    assert [galaxy.role for galaxy in scene.galaxies] == ["lens", "source"]
    assert made.header.source.hosts == hosts.content_hash
    row = hosts.index_of(str(made.column("host_id")[1]))
    np.testing.assert_array_equal(made.rms("VIS", 1), hosts.rms("VIS", row))
    np.testing.assert_allclose(made.psf("H", 1), hosts.psf("H", row), rtol=1e-6)
    located = made.column("host_id") == "h0"
    for i in range(2 * N):
        where = made.own_wcs(i, "VIS")
        assert (where is not None) == located[i]
        assert where is None or where.wcs.crval.tolist() == [33, 2]


def test_the_same_bytes_whatever_the_workers_and_after_an_interruption(tmp_path, hosts, made):
    inject(hosts, tmp_path / "two", workers=2)

    class Stopped(Exception):
        pass

    def stop(stage: str, done: int, n: int) -> None:
        if done and stage == "injecting":
            raise Stopped

    with pytest.raises(Stopped):
        inject(hosts, tmp_path / "stopped", progress=stop)
    assert not (tmp_path / "stopped" / "lensset.json").exists()
    inject(hosts, tmp_path / "stopped")
    assert digest(tmp_path / "two") == digest(made.path) == digest(tmp_path / "stopped")


def test_one_arm_alone(tmp_path, hosts, made):
    lenses = inject(hosts, tmp_path / "lenses", arms=("lens",))
    assert lenses.labels.tolist() == [1] * N
    np.testing.assert_array_equal(lenses.images("VIS", 0), made.images("VIS", 1))
    with pytest.raises(UsageError, match="--arms treated: allowed are host, lens and host,lens"):
        inject(hosts, tmp_path / "none", arms=("treated",))


def test_fewer_hosts_than_asked_for_are_refused_or_reused(tmp_path, hosts):
    with pytest.raises(UsageError, match=r"--n 9: 6 of 6 hosts can be used; give --n 6, or --reuse-hosts"):
        inject(hosts, tmp_path / "nine", InjectionSettings(n=9))
    made = inject(hosts, tmp_path / "nine", InjectionSettings(n=9, reuse=True), arms=("lens",))
    assert len(set(made.ids)) == 9
    assert len(set(made.column("host_id"))) == N
    assert len(set(made.column("source_x_arcsec"))) == 9
    assert "6 hosts are used for 9 systems" in made.header.source.notes
    again = la.inject(hosts, 9, reuse_hosts=True, arms=("lens",))
    assert again.content_hash == made.content_hash


def test_stars_empty_middles_and_lenses_are_left_out_and_counted(tmp_path):
    def other(name: str, light: Light, x: float, label: int = 0):
        return as_host(
            Scene("companions", (Galaxy("companion", 0.5, x, 0.0, (light,)),)), row={"label": label}, name=name
        )

    magnitudes = {"VIS": 19.5, "Y": 19.0, "J": 19.0, "H": 19.0}
    star = other("star", Light("sersic", magnitudes, 0.01, 0.5), 0.0)
    empty = other("empty", Light("sersic", magnitudes, 0.5), 8.0)
    lens = other("lens", Light("sersic", magnitudes, 0.8), 0.0, label=1)
    cutouts = write_hosts(tmp_path / "hosts", [*some_hosts(2), star, empty, lens])
    found = of_set(cutouts).chosen
    assert dict(found.left_out) == {
        "with a star in the middle": 1, "with nothing in the middle": 1, "flagged as lenses": 1,
    }  # fmt: skip
    assert found.distinct == 2
    made = inject(cutouts, tmp_path / "made")
    assert "1 hosts with a star in the middle were left out" in made.header.source.notes
    kept = of_set(cutouts, InjectionSettings(any_host=True))
    assert kept.n == 5
    assert all(kept.render(i, [kept.scene(i)])[0].truth.mask["VIS"].any() for i in range(5))
    lenses = write_hosts(tmp_path / "lenses", [lens, replace(lens, id="other")])
    with pytest.raises(
        DataError, match=r"0 of 2 hosts can be used; 2 flagged as lenses are left out, --any-host keeps"
    ):
        of_set(lenses)


def test_a_flag_column_leaves_hosts_out(tmp_path):
    flagged = [
        replace(host, row={"label": 0, "zphot": 0.4, "vdisp": float(i < 2)}) for i, host in enumerate(some_hosts(4))
    ]
    found = of_set(write_hosts(tmp_path / "hosts", flagged), InjectionSettings(lens_column="vdisp")).chosen
    assert dict(found.left_out) == {"flagged as lenses": 2}


@pytest.mark.parametrize(
    ("lacking", "words"),
    [
        ({"psf": None}, r"no PSF in band VIS, Y, J, H; ingest the hosts with it, or give --psf VIS=FILE"),
        ({"zero_point_mag": None}, r"no zero point in band VIS, Y, J, H; .* give --zero-point VIS=MAG"),
    ],
)
def test_hosts_without_psf_or_zero_point_are_refused_before_a_pixel_is_read(tmp_path, lacking, words):
    bare = write_hosts(tmp_path / "bare", some_hosts(1), **lacking)
    with pytest.raises(DataError, match=words):
        inject(bare, tmp_path / "out")


def test_one_zero_point_for_bands_of_different_units_is_refused(tmp_path):
    cutouts = write_hosts(tmp_path / "hosts", some_hosts(1))
    bands = tuple(b.model_copy(update={"unit": "nJy" if b.name == "H" else b.unit}) for b in cutouts.header.bands)
    mixed = LensSet.open(cutouts.path)
    mixed._header = mixed.header.model_copy(update={"bands": bands})
    with pytest.raises(UsageError, match=r"have different units \(electron / s, nJy\); give one for each"):
        inject(mixed, tmp_path / "out", InjectionSettings(zero_point_mag={"*": 24.0}))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"theta_e": "radius"},
            r"--theta-e radius: .* has the columns id, label, zphot, vdisp, faber-jackson and prior",
        ),
        ({"sigma_v": "sigma"}, r"--sigma-v sigma: .* has the columns"),
        ({"redshift": "zz"}, r"--redshift zz: "),
        ({"zero_point_mag": {"g": 27.0}}, r"--zero-point: .* has no band g"),
        ({"redshift": "id"}, r"--redshift id: .* holds text there; name a column of numbers"),
        ({"n": 0}, r"--n must be at least 1, not 0"),
    ],
)
def test_settings_that_name_what_is_not_there_are_refused(tmp_path, hosts, settings, words):
    with pytest.raises(UsageError, match=words):
        inject(hosts, tmp_path / "out", InjectionSettings(**settings))


def test_the_command_says_what_was_done(lensaudit, tmp_path, hosts):
    code, out, err = lensaudit("inject", str(hosts.path), "--n", "2", "--out", str(tmp_path / "made"))
    assert (code, err.count("Traceback")) == (0, 0)
    assert "2 lenses, 2 non-lenses, 0 unlabelled" in out
    assert "mass from Faber-Jackson" in out
    code, _, err = lensaudit("inject", str(hosts.path), "--sigma-v", "none", "--out", str(tmp_path / "other"))
    assert code == 2
    assert err.count("\n") == 1
