"""Arcs in real cutouts: ours against the straightforward loop, arms that share rays, 10³ and 10⁴ hosts, two processes.

The loop draws the same arc with lenstronomy's `SimAPI`, one band after another, convolves it with scipy, adds the
host and shot noise; both are given the same systems, and the arcs must agree within 0.02 σ. Ours is timed with all it
does besides: the host checked and measured, the system drawn, masks and catalogue. Printed are medians of paired
repeats in one run on one core (its own time, not the clock's), and megabytes of memory of processes of their own.

    python benchmarks/injection.py [--repeats 15] [--sets] [--grow 100000 FOLDER]
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from lenstronomy.SimulationAPI.sim_api import SimAPI
from lenstronomy.Util.param_util import phi_q2_ellipticity
from scipy.signal import fftconvolve

from lensaudit.imaging import EUCLID, kernel, render
from lensaudit.injection import HostCutout, Hosts, InjectionSettings, inject
from lensaudit.lensset import BandHeader, CatalogueColumn, Header, LensSet, LensSetWriter, PsfHeader, Records, RmsHeader
from lensaudit.scenes import Light, Scene, draw_scene
from lensaudit.scenes.cosmology import einstein_radius_arcsec


def a_host(index: int) -> HostCutout:
    """A galaxy of the populations as a survey would hand it over."""
    lens = draw_scene("single-centred", 1, index)
    scene = replace(lens, kind="no-source", galaxies=tuple(g for g in lens.galaxies if g.role != "source"))
    seen, bands = render(scene, EUCLID), EUCLID.bands
    return HostCutout(
        id=f"host-{index:05d}",
        images=seen.images,
        psf={b.name: kernel(scene.psf, b) for b in bands},
        rms={b.name: np.full((b.pixels, b.pixels), b.background_sigma, np.float32) for b in bands},
        zero_point_mag={b.name: b.zero_point_mag for b in bands},
        pixel_scale_arcsec={b.name: b.pixel_scale_arcsec for b in bands},
        electrons_per_unit={b.name: b.total_exposure_s for b in bands},
    )


def the_loop(host: HostCutout, scene: Scene) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Every band by lenstronomy's `SimAPI` and scipy, one after the other: images, and arcs without noise."""
    lens, source = scene.galaxies
    mass, light = lens.mass, source.light[0]
    assert mass is not None
    e1, e2 = phi_q2_ellipticity(mass.angle_rad, mass.axis_ratio)
    at = {"center_x": lens.x_arcsec, "center_y": lens.y_arcsec}
    theta_e = einstein_radius_arcsec(mass.sigma_v_km_s, lens.redshift, source.redshift)
    shear = {"gamma1": mass.gamma1, "gamma2": mass.gamma2, "ra_0": lens.x_arcsec, "dec_0": lens.y_arcsec}
    s1, s2 = phi_q2_ellipticity(light.angle_rad, light.axis_ratio)
    made, arcs = {}, {}
    for index, (band, image) in enumerate(host.images.items()):
        scale, pixels = host.pixel_scale_arcsec[band], image.shape[0]
        observed = {
            "pixel_scale": scale, "exposure_time": host.electrons_per_unit[band], "num_exposures": 1,
            "sky_brightness": 22.0, "magnitude_zero_point": host.zero_point_mag[band], "read_noise": 4.0,
            "ccd_gain": 1.0, "psf_type": "NONE", "seeing": 0.1,
        }  # fmt: skip
        models = {"lens_model_list": ["SIE", "SHEAR"], "source_light_model_list": ["SERSIC_ELLIPSE"]}
        simulated = SimAPI(pixels, observed, models)
        profile = {"magnitude": light.magnitudes[band], "R_sersic": light.r_eff_arcsec, "n_sersic": light.n_sersic}
        profile |= {"e1": s1, "e2": s2, "center_x": source.x_arcsec, "center_y": source.y_arcsec}
        _, amplitude, _ = simulated.magnitude2amplitude(kwargs_source_mag=[profile])
        drawn = simulated.image_model_class({"supersampling_factor": round(scale / EUCLID.ray_scale_arcsec)})
        sharp = drawn.image([{"theta_E": theta_e, "e1": e1, "e2": e2, **at}, shear], amplitude)
        arc = arcs[band] = fftconvolve(sharp, host.psf[band], mode="same")
        unit = np.random.default_rng([scene.noise_seed, index]).standard_normal(arc.shape, dtype=np.float32)
        made[band] = image + arc + unit * np.sqrt(np.maximum(arc, 0.0) / host.electrons_per_unit[band])
    return made, arcs


def seconds(work: Callable[[], object], clock: Callable[[], float] = time.process_time) -> float:
    """How long one call takes: of one core, by default, whatever else the machine does."""
    start = clock()
    work()
    return clock() - start


OURS = ("one", "one, measured", "three", "three, measured")


def on_one_core(repeats: int) -> None:
    """The loop and ours, one arm and three, on the same hosts, in turns."""
    pool = [a_host(i) for i in range(repeats)]
    chosen = Hosts(pool, InjectionSettings(n=repeats, any_host=True))
    warm = Hosts(pool, chosen.settings, chosen.chosen)
    for i in range(repeats):  # imports and tables of a process are no part of a system
        warm.render(i, [warm.scene(i)])
    times: dict[str, list[float]] = {name: [] for name in ("loop", "loop, three", *OURS)}
    worst = 0.0
    for i in range(repeats):
        scene, host = chosen.scene(i), chosen.cutout(i)
        source = scene.galaxies[1]
        arms = [scene] + [
            replace(scene, galaxies=(scene.galaxies[0], replace(source, light=(_fainter(source.light[0], by),))))
            for by in (0.3, 0.6)
        ]
        looped = [the_loop(host, arm) for arm in arms]
        times["loop"].append(seconds(partial(the_loop, host, scene)))
        times["loop, three"].append(seconds(partial(list, map(partial(the_loop, host), arms))))
        found = chosen.render(i, arms)
        for name, drawn in (("one", arms[:1]), ("three", arms)):
            times[name].append(seconds(partial(chosen.render, i, drawn)))

            def measured(i: int = i, drawn: list[Scene] = drawn) -> None:
                fresh = Hosts(pool, chosen.settings, chosen.chosen)
                fresh.render(i, [fresh.scene(i), *drawn[1:]])

            times[f"{name}, measured"].append(seconds(measured))
        for ours, (_, theirs) in zip(found, looped, strict=True):
            for band in host.bands:
                apart = np.abs(ours.truth.source_light[band] - theirs[band]).max() / host.rms[band][0, 0]
                worst = max(worst, float(apart))
    print(f"largest difference of the arcs: {worst:.3f} σ (0.02 allowed)")
    assert worst < 0.02
    for words, loop, own in (
        ("one arm", "loop", "one"),
        ("  with the host checked and measured and the system drawn", "loop", "one, measured"),
        ("three arms that share their rays", "loop, three", "three"),
        ("  with the host checked and measured and the system drawn", "loop, three", "three, measured"),
    ):
        ratio = float(np.median(np.array(times[loop]) / np.array(times[own])))
        their_ms, our_ms = (1e3 * float(np.median(times[name])) for name in (loop, own))
        print(f"{words}: the loop {their_ms:.1f} ms a system, ours {our_ms:.1f} ms: {ratio:.1f} times as fast")


def _fainter(light: Light, by: float) -> Light:
    return replace(light, magnitudes={band: magnitude + by for band, magnitude in light.magnitudes.items()})


PIXELS = 41


def small_hosts(path: Path, n: int) -> LensSet:
    """`n` hosts of 41 × 41 pixels in one band."""
    whole = [a_host(i) for i in range(16)]
    cut = slice(100 - PIXELS // 2, 101 + PIXELS // 2)
    images = np.stack([host.images["VIS"][cut, cut] for host in whole])
    band = BandHeader(
        name="VIS", shape=(PIXELS, PIXELS), pixel_scale_arcsec=0.1, zero_point_mag=24.0, unit="electron / s",
        electrons_per_unit=5400.0, psf=PsfHeader(side=41, per_cutout=False), rms=RmsHeader(per_cutout=False),
    )  # fmt: skip
    label = CatalogueColumn(name="label", unit="", description="1 lens, 0 non-lens, -1 unknown", dtype="int64")
    writer = LensSetWriter(path, Header(instrument="mine", bands=(band,), n=n, chunk=100, columns=(label,)))
    writer.start()
    for chunk in range(writer.header.n_chunks):
        span = writer.header.span(chunk)
        rows = range(span.start, span.stop)
        writer.write(
            chunk,
            Records(
                ids=[f"host-{i:06d}" for i in rows],
                images={"VIS": np.stack([images[i % len(images)] for i in rows])},
                rows=[{"label": 0} for _ in rows],
                psf={"VIS": whole[0].psf["VIS"][None].astype("f4")},
                rms={"VIS": whole[0].rms["VIS"][None, cut, cut]},
            ),
        )
    writer.finish()
    return LensSet.open(path)


def one_set(hosts: str, out: str, workers: str) -> None:
    """In a process of its own: inject, and print seconds, processor seconds and the largest memory of a process."""
    began = processor_seconds()
    taken = seconds(lambda: inject(hosts, out, InjectionSettings(), workers=int(workers)), time.perf_counter)
    print(f"{taken:.2f} {processor_seconds() - began:.2f} {largest_memory(int(workers)):.0f}")


def processor_seconds() -> float:
    """Of this process and those it has ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(part.ru_utime + part.ru_stime for part in used)


def largest_memory(workers: int = 1) -> float:
    """Megabytes."""
    own, children = (
        resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return max(own, children if workers > 1 else 0)


def grow(n: int, folder: Path) -> None:
    """Inject `n` small hosts in one process; tell time and memory on the way. What lies in `folder` is taken up."""
    hosts = folder / f"hosts-{n}"
    if not (hosts / "lensset.json").exists():
        small_hosts(hosts, n)
    marks = {"looking at hosts": 1000, "injecting": 1000}
    began: dict[str, tuple[int, float]] = {}

    def tell(stage: str, done: int, total: int) -> None:
        first, at = began.setdefault(stage, (done, processor_seconds()))
        if done >= marks[stage] or done == total:
            marks[stage] = done + max(1000, min(done, 10_000))
            each = 1e3 * (processor_seconds() - at) / max(done - first, 1)
            print(f"{stage} {done} of {total}: {each:.2f} ms each, {largest_memory():.0f} MB", flush=True)

    inject(hosts, folder / f"made-{n}", InjectionSettings(), progress=tell)


def sets(folder: Path) -> None:
    """Time and memory of 10³ and 10⁴ small hosts, in one process and in two."""
    measured = {}
    for n, workers in ((1000, 1), (1000, 2), (10_000, 1), (10_000, 2)):
        hosts = folder / f"hosts-{n}"
        if not hosts.exists():
            small_hosts(hosts, n)
        words = [sys.executable, __file__, "--one", str(hosts), str(folder / f"made-{n}-{workers}"), str(workers)]
        done = subprocess.run(words, check=True, capture_output=True, text=True)
        measured[n, workers] = tuple(float(word) for word in done.stdout.split())
        taken, work, memory = measured[n, workers]
        print(
            f"{n} hosts, {workers} process(es): {taken:.1f} s, of processors {1e3 * work / n:.1f} ms a host, "
            f"{memory:.0f} MB",
            flush=True,
        )
    growth = (measured[10_000, 1][2] - measured[1000, 1][2]) / 9000 * 1024
    print(f"slope: {measured[10_000, 1][1] / measured[1000, 1][1] / 10:.2f} times linear, {growth:.1f} kB a host")
    for n in (1000, 10_000):
        print(f"two processes, {n} hosts: {measured[n, 1][0] / measured[n, 2][0]:.2f} times as fast as one")


def main() -> None:
    """Parse and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--sets", action="store_true", help="also write sets of 10³ and 10⁴ hosts: some minutes")
    parser.add_argument("--grow", nargs=2, metavar=("N", "FOLDER"), help="only inject N small hosts, resumable")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        one_set(*given.one)
        return
    if given.grow:
        grow(int(given.grow[0]), Path(given.grow[1]))
        return
    on_one_core(given.repeats)
    if given.sets:
        with TemporaryDirectory() as folder:
            sets(Path(folder))


if __name__ == "__main__":
    main()
