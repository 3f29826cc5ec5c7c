"""Rendering a four-band Euclid lens: our shared-ray renderer against the straightforward per-band SimAPI loop.

Both draw the same single lens (one deflector, one source) and the same compound lens (two deflectors, one source),
noiseless, sampled at the same points: VIS at its pixel centres, NISP with 3×3 points a pixel. The images must agree
within 1e-3 of the peak. Printed are the medians of paired repeats and their ratio, in one run on one core.

    python benchmarks/simulation.py [--repeats 20]
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from astropy.cosmology import FlatLambdaCDM
from lenstronomy.SimulationAPI.sim_api import SimAPI
from lenstronomy.Util.param_util import phi_q2_ellipticity

from lensaudit.imaging import EUCLID, Band, Numerics, kernel, noiseless_images, render
from lensaudit.scenes import Galaxy, Scene, draw_scene

COSMOLOGY = FlatLambdaCDM(H0=70.0, Om0=0.3)
POINT_SAMPLED = Numerics(core_oversample=1)


def main_galaxies(scene: Scene) -> Scene:
    """The scene without its field, which the loop would draw in the same way."""
    keep = tuple(g for g in scene.galaxies if g.role != "field")
    return Scene(scene.kind, keep, psf=scene.psf, noise_seed=scene.noise_seed)


def simapi_image(scene: Scene, band: Band, oversample: int) -> np.ndarray:
    """One band of a scene by lenstronomy's SimAPI."""
    deflectors, far = scene.deflectors, scene.lensed[-1]
    lit = [*deflectors, far]
    mass_models, mass_kwargs, mass_z = [], [], []
    for galaxy in deflectors:
        mass = galaxy.mass
        assert mass is not None
        theta_e = COSMOLOGY.angular_diameter_distance(galaxy.redshift, far.redshift)
        theta_e = float(theta_e / COSMOLOGY.angular_diameter_distance(far.redshift))
        theta_e *= 4 * np.pi * (mass.sigma_v_km_s / 299792.458) ** 2 * 206264.80624709636
        e1, e2 = phi_q2_ellipticity(mass.angle_rad, mass.axis_ratio)
        centre = {"center_x": galaxy.x_arcsec, "center_y": galaxy.y_arcsec}
        mass_kwargs += [
            {"theta_E": theta_e, "e1": e1, "e2": e2, **centre},
            {"gamma1": mass.gamma1, "gamma2": mass.gamma2, "ra_0": galaxy.x_arcsec, "dec_0": galaxy.y_arcsec},
        ]
        mass_models += ["SIE", "SHEAR"]
        mass_z += [galaxy.redshift] * 2
    model: dict[str, Any] = {
        "lens_model_list": mass_models,
        "source_light_model_list": ["SERSIC_ELLIPSE"] * len(lit[1:]),
        "lens_light_model_list": ["SERSIC_ELLIPSE"],
    }
    if len(deflectors) > 1:
        model |= {
            "lens_redshift_list": mass_z,
            "source_redshift_list": [g.redshift for g in lit[1:]],
            "z_source": far.redshift,
            "z_source_convention": far.redshift,
            "cosmo": COSMOLOGY,
        }
    observation = {
        "read_noise": band.read_noise_e,
        "pixel_scale": band.pixel_scale_arcsec,
        "ccd_gain": band.gain_e_per_adu,
        "exposure_time": band.exposure_s,
        "sky_brightness": band.sky_mag_per_arcsec2,
        "magnitude_zero_point": band.zero_point_mag,
        "num_exposures": band.exposures,
        "psf_type": "PIXEL",
        "kernel_point_source": kernel(scene.psf, band),
    }
    sim = SimAPI(num_pix=band.pixels, kwargs_single_band=observation, kwargs_model=model)
    lens_light, source_light = sim.magnitude2amplitude(
        [light_kwargs(lit[0], band)], [light_kwargs(galaxy, band) for galaxy in lit[1:]]
    )[:2]
    image_model = sim.image_model_class({"supersampling_factor": oversample, "supersampling_convolution": False})
    return np.asarray(image_model.image(mass_kwargs, source_light, lens_light))


def light_kwargs(galaxy: Galaxy, band: Band) -> dict[str, float]:
    """A galaxy's first component in lenstronomy's parameters."""
    light = galaxy.light[0]
    e1, e2 = phi_q2_ellipticity(light.angle_rad, light.axis_ratio)
    return {
        "magnitude": light.magnitudes[band.name],
        "R_sersic": light.r_eff_arcsec,
        "n_sersic": light.n_sersic,
        "e1": e1,
        "e2": e2,
        "center_x": galaxy.x_arcsec,
        "center_y": galaxy.y_arcsec,
    }


def simapi_images(scene: Scene, *, nisp_oversample: int) -> dict[str, np.ndarray]:
    """All bands, one SimAPI each."""
    return {band.name: simapi_image(scene, band, 1 if band.name == "VIS" else nisp_oversample) for band in EUCLID.bands}


def seconds(call: Callable[[], object]) -> float:
    """Processor seconds of one call."""
    start = time.process_time()
    call()
    return time.process_time() - start


def main() -> None:
    """Check that the images agree, then time both in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=20)
    repeats = parser.parse_args().repeats
    for title, population in (("single-plane", "single"), ("multi-plane", "compound-rings")):
        scenes = [main_galaxies(draw_scene(population, 7, index)) for index in range(repeats)]
        worst = 0.0
        for scene in scenes[:5]:
            ours, theirs = noiseless_images(scene, EUCLID, POINT_SAMPLED), simapi_images(scene, nisp_oversample=3)
            worst = max(worst, *(np.abs(ours[b] - theirs[b]).max() / theirs[b].max() for b in ours))
        loop3 = [seconds(partial(simapi_images, s, nisp_oversample=3)) for s in scenes]
        loop1 = [seconds(partial(simapi_images, s, nisp_oversample=1)) for s in scenes]
        shared = [seconds(partial(noiseless_images, s, EUCLID, POINT_SAMPLED)) for s in scenes]
        default = [seconds(partial(render, s, EUCLID)) for s in scenes]
        print(f"{title}: largest difference {worst:.1e} of the peak (n = 5 systems, 4 bands)")
        for name, loop in (("NISP 3×3 points, as ours", loop3), ("NISP 1 point a pixel", loop1)):
            ratio = np.median(np.array(loop) / np.array(shared))
            print(
                f"  SimAPI loop, {name}: {1e3 * np.median(loop):.1f} ms; ours {1e3 * np.median(shared):.1f} ms: ratio "
                f"{ratio:.2f}; with integrated cores, noise and truth {1e3 * np.median(default):.1f} ms: ratio "
                f"{np.median(np.array(loop) / np.array(default)):.2f}"
            )


if __name__ == "__main__":
    main()
