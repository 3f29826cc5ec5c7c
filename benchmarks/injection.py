"""Arcs in real cutouts: ours against the straightforward loop, arms that share rays, 10³ and 10⁴ hosts, two processes.

The loop draws the same arc with lenstronomy's `ImageModel`, one band after another, convolves it with scipy, adds the
host and shot noise; both are given the same systems, and the images must agree within 0.05 σ. Ours is timed with all it
does besides: the host checked and measured, the system drawn, masks and catalogue. Printed are medians of paired
repeats in one run on one core (its own time, not the clock's), and megabytes of memory of processes of their own.

    python benchmarks/injection.py [--repeats 15] [--sets]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from lenstronomy.Data.imaging_data import ImageData
from lenstronomy.Data.psf import PSF
from lenstronomy.ImSim.image_model import ImageModel
from lenstronomy.LensModel.lens_model import LensModel
from lenstronomy.LightModel.light_model import LightModel
from lenstronomy.Util.param_util import phi_q2_ellipticity
from scipy.signal import fftconvolve

from lensaudit.imaging import EUCLID, kernel, render
from lensaudit.injection import HostCutout, Hosts, InjectionSettings, inject
from lensaudit.lensset import BandHeader, CatalogueColumn, Header, LensSet, LensSetWriter, PsfHeader, Records, RmsHeader
from lensaudit.scenes import Scene, draw_scene
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


def the_loop(host: HostCutout, scene: Scene) -> dict[str, np.ndarray]:
    """Every band by lenstronomy and scipy, one after the other."""
    lens, source = scene.galaxies
    mass, light = lens.mass, source.light[0]
    assert mass is not None
    e1, e2 = phi_q2_ellipticity(mass.angle_rad, mass.axis_ratio)
    at = {"center_x": lens.x_arcsec, "center_y": lens.y_arcsec}
    theta_e = einstein_radius_arcsec(mass.sigma_v_km_s, lens.redshift, source.redshift)
    shear = {"gamma1": mass.gamma1, "gamma2": mass.gamma2, "ra_0": lens.x_arcsec, "dec_0": lens.y_arcsec}
    s1, s2 = phi_q2_ellipticity(light.angle_rad, light.axis_ratio)
    made = {}
    for index, (band, image) in enumerate(host.images.items()):
        scale, pixels = host.pixel_scale_arcsec[band], image.shape[0]
        model = LightModel(["SERSIC_ELLIPSE"])
        profile = {"amp": 1.0, "R_sersic": light.r_eff_arcsec, "n_sersic": light.n_sersic, "e1": s1, "e2": s2}
        profile |= {"center_x": source.x_arcsec, "center_y": source.y_arcsec}
        flux = 10 ** (-0.4 * (light.magnitudes[band] - host.zero_point_mag[band]))
        profile["amp"] = flux / model.total_flux([profile])[0]
        corner = -(pixels - 1) / 2 * scale
        data = ImageData(
            np.zeros((pixels, pixels)), ra_at_xy_0=corner, dec_at_xy_0=corner, transform_pix2angle=np.eye(2) * scale
        )
        numerics = {"supersampling_factor": round(scale / EUCLID.ray_scale_arcsec)}
        drawn = ImageModel(data, PSF("NONE"), LensModel(["SIE", "SHEAR"]), model, kwargs_numerics=numerics)
        sharp = drawn.image([{"theta_E": theta_e, "e1": e1, "e2": e2, **at}, shear], kwargs_source=[profile])
        arc = fftconvolve(sharp, host.psf[band], mode="same")
        unit = np.random.default_rng([scene.noise_seed, index]).standard_normal(arc.shape, dtype=np.float32)
        made[band] = image + arc + unit * np.sqrt(np.maximum(arc, 0.0) / host.electrons_per_unit[band])
    return made


def seconds(work: Callable[[], object], clock: Callable[[], float] = time.process_time) -> float:
    """How long one call takes: of one core, by default, whatever else the machine does."""
    start = clock()
    work()
    return clock() - start


def on_one_core(repeats: int) -> None:
    """The loop and ours, one arm and three, on the same hosts, in turns."""
    pool = [a_host(i) for i in range(repeats)]
    chosen = Hosts(pool, InjectionSettings(n=repeats, any_host=True))
    times: dict[str, list[float]] = {"loop": [], "arc": [], "whole": [], "three": []}
    worst = 0.0
    for i in range(repeats):
        scene, host = chosen.scene(i), chosen.cutout(i)
        source = scene.galaxies[1]
        dimmer = [
            replace(scene, galaxies=(scene.galaxies[0], replace(source, light=(_fainter(source.light[0], by),))))
            for by in (0.3, 0.6)
        ]
        looped = the_loop(host, scene)
        times["loop"].append(seconds(lambda host=host, scene=scene: the_loop(host, scene)))
        found = chosen.render(i, [scene])[0]
        times["arc"].append(seconds(lambda i=i, scene=scene: chosen.render(i, [scene])))
        times["three"].append(seconds(lambda i=i, scenes=[scene, *dimmer]: chosen.render(i, scenes)))
        fresh = Hosts(pool, chosen.settings, chosen.chosen)
        times["whole"].append(seconds(lambda i=i, fresh=fresh: fresh.render(i, [fresh.scene(i)])))
        for band in host.bands:
            apart = np.abs(found.images[band] - looped[band]).max() / host.rms[band][0, 0]
            worst = max(worst, float(apart))
    middle = {name: 1e3 * float(np.median(values)) for name, values in times.items()}
    ratio = float(np.median(np.array(times["loop"]) / np.array(times["arc"])))
    whole = float(np.median(np.array(times["loop"]) / np.array(times["whole"])))
    print(f"largest difference of the images: {worst:.3f} σ (0.05 allowed)")
    assert worst < 0.05
    print(f"the loop {middle['loop']:.1f} ms a system, ours {middle['arc']:.1f} ms: {ratio:.1f} times as fast")
    print(f"  with the host checked and measured and the system drawn {middle['whole']:.1f} ms: {whole:.1f} times")
    print(
        f"three arms that share their rays {middle['three']:.1f} ms: {middle['three'] / middle['arc']:.2f} of one arm"
    )


def _fainter(light, by: float):
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
    """In a process of its own: inject, and print seconds and the largest memory of this process and its children."""
    import resource

    taken = seconds(lambda: inject(hosts, out, InjectionSettings(), workers=int(workers)), time.perf_counter)
    own, children = (
        resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    print(f"{taken:.2f} {max(own, children if int(workers) > 1 else 0):.0f}")


def sets(folder: Path) -> None:
    """Time and memory of 10³ and 10⁴ small hosts, and of 10³ on two processes."""
    measured = {}
    for n, workers in ((1000, 1), (10_000, 1), (1000, 2)):
        hosts = folder / f"hosts-{n}"
        if not hosts.exists():
            small_hosts(hosts, n)
        words = [sys.executable, __file__, "--one", str(hosts), str(folder / f"made-{n}-{workers}"), str(workers)]
        done = subprocess.run(words, check=True, capture_output=True, text=True)
        measured[n, workers] = tuple(float(word) for word in done.stdout.split())
        taken, memory = measured[n, workers]
        print(f"{n} hosts, {workers} process(es): {taken:.1f} s, {1e3 * taken / n:.1f} ms a host, {memory:.0f} MB")
    growth = (measured[10_000, 1][1] - measured[1000, 1][1]) / 9000 * 1024
    print(f"slope: {measured[10_000, 1][0] / measured[1000, 1][0] / 10:.2f} times linear, {growth:.1f} kB a host")
    print(f"two processes: {measured[1000, 1][0] / measured[1000, 2][0]:.2f} times as fast as one")


def main() -> None:
    """Parse and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--sets", action="store_true", help="also write sets of 10³ and 10⁴ hosts: some minutes")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        one_set(*given.one)
        return
    on_one_core(given.repeats)
    if given.sets:
        with TemporaryDirectory() as folder:
            sets(Path(folder))


if __name__ == "__main__":
    main()
