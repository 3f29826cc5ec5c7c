"""What is known of a rendered scene: the mask of its arcs, their S/N, and one row of the catalogue."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from lensaudit.imaging.band import Instrument
from lensaudit.scenes import EUCLID_SKY, LSST_SKY, Galaxy, Scene
from lensaudit.scenes.cosmology import einstein_radius_arcsec

ARC_THRESHOLD_SIGMA = 0.5
CATALOGUE_BANDS = ("VIS", "Y", "J", "H", "g")
CATALOGUE_COLOUR = ("VIS", "H")
"""Of the sets of Euclid's bands and of LSST's g, whose catalogues all have one layout."""


@dataclass(frozen=True)
class Column:
    """One column of the catalogue: name, unit (astropy notation, '' if none), meaning, and dtype name."""

    name: str
    unit: str
    description: str
    dtype: str = "float64"


_OF_THE_SYSTEM = (
    Column("label", "", "1 lens, 0 non-lens", "int8"),
    Column("kind", "", "kind of scene", "str"),
    Column("theta_e_arcsec", "arcsec", "Einstein radius of the nearest deflector for the farthest lensed galaxy"),
    Column("theta_e_mid_arcsec", "arcsec", "Einstein radius of the middle deflector for the farthest lensed galaxy"),
    Column("arc_snr", "", "S/N of the lensed light in the first band: F / (σ √N_pix), Lanusse et al. 2018"),
    Column("n_arc_pixels", "", "pixels of the first band where the noiseless lensed light exceeds 0.5 σ", "int64"),
    Column("magnification", "", "lensed over unlensed flux of all lensed galaxies, first band, within the cutout"),
    Column("z_lens", "", "redshift of the nearest deflector or main galaxy"),
    Column("z_source", "", "redshift of the farthest lensed galaxy"),
    Column("sigma_v_km_s", "km / s", "velocity dispersion of the nearest deflector"),
    Column("lens_axis_ratio", "", "axis ratio of the nearest deflector's mass"),
    Column("lens_angle_rad", "rad", "position angle of the nearest deflector's mass"),
    Column("lens_x_arcsec", "arcsec", "x of the nearest deflector or main galaxy"),
    Column("lens_y_arcsec", "arcsec", "y of the nearest deflector or main galaxy"),
    Column("source_x_arcsec", "arcsec", "x of the farthest lensed galaxy in its own plane"),
    Column("source_y_arcsec", "arcsec", "y of the farthest lensed galaxy in its own plane"),
    Column("source_r_eff_arcsec", "arcsec", "half-light radius of the farthest lensed galaxy's first component"),
    Column("source_n_sersic", "", "Sérsic index of the farthest lensed galaxy's first component"),
    Column("lens_r_eff_arcsec", "arcsec", "half-light radius of the main galaxy's first component"),
    Column("arc_angle_rad", "rad", "position angle of the lensed light's centroid as seen from the main galaxy"),
    Column("arc_offset_arcsec", "arcsec", "distance of the lensed light's centroid from the cutout's centre"),
    Column("psf_angle_deg", "deg", "turn of the point-spread function"),
    Column("n_field", "", "field galaxies drawn", "int64"),
)


def _columns(bands: Sequence[str], colour: Sequence[str]) -> tuple[Column, ...]:
    def per_band(stem: str, unit: str, what: str) -> tuple[Column, ...]:
        return tuple(Column(f"{stem}_{band}", unit, f"{what} in {band}") for band in bands)

    ends, named = " − ".join(colour), "_".join(colour)
    galaxies = (("lens", "main galaxy"), ("source", "farthest lensed galaxy")) if colour else ()
    return (
        *_OF_THE_SYSTEM,
        *(Column(f"colour_{stem}_{named}", "mag", f"{ends} of the {which}") for stem, which in galaxies),
        *per_band("mag_lens", "mag", "AB magnitude of the main galaxy"),
        *per_band("mag_source", "mag", "AB magnitude of the farthest lensed galaxy, unlensed,"),
        *per_band("mag_arc", "mag", "AB magnitude of all lensed light within the cutout"),
        *per_band("arc_snr", "", "S/N of the lensed light"),
    )


TRUTH_COLUMNS: tuple[Column, ...] = _columns(CATALOGUE_BANDS, CATALOGUE_COLOUR)
"""Of instruments of Euclid's bands, and of LSST's g; `truth_columns` gives those of any."""


def truth_columns(instrument: Instrument) -> tuple[Column, ...]:
    """Columns of the catalogue of a set that `instrument` sees."""
    if _has_catalogue_bands(instrument):
        return TRUTH_COLUMNS
    return _columns(instrument.band_names, instrument.colour)


def _has_catalogue_bands(instrument: Instrument) -> bool:
    return instrument.shows(EUCLID_SKY) or instrument.shows(LSST_SKY)


Sigma = float | NDArray[np.float32]
"""σ of a band's pixels: one for all, or an image (h, w), +inf where a pixel is bad."""


@dataclass(frozen=True)
class Truth:
    """Truth of one rendered scene.

    Attributes
    ----------
    source_light
        Noiseless light of all lensed galaxies per band after the PSF, float32 (h, w) in electron/s.
    mask
        Where that light exceeds 0.5 σ of the scene's background, bool (h, w).
    sigma
        That σ, of all pixels of a band or of each (h, w).
    row
        One value per `truth_columns`; NaN where a quantity does not apply.
    """

    source_light: dict[str, NDArray[np.float32]]
    mask: dict[str, NDArray[np.bool_]]
    sigma: Mapping[str, Sigma]
    row: dict[str, float | int | str]


def measure_truth(
    scene: Scene,
    instrument: Instrument,
    source_light: dict[str, NDArray[np.float32]],
    sigma: Mapping[str, Sigma] | None = None,
) -> Truth:
    """Derive masks and the catalogue row of a scene from its noiseless lensed light.

    Parameters
    ----------
    sigma
        Noise of each band, by which the mask and the S/N go; by default the instrument's background.
    """
    if sigma is None:
        sigma = {band.name: scene.noise_scale * band.background_sigma for band in instrument.bands}
    mask = {name: source_light[name] > ARC_THRESHOLD_SIGMA * sigma[name] for name in sigma}
    row: dict[str, float | int | str] = {column.name: math.nan for column in truth_columns(instrument)}
    row.update(label=scene.label, kind=scene.kind, psf_angle_deg=scene.psf.angle_deg)
    row["n_field"] = sum(galaxy.role == "field" for galaxy in scene.galaxies)
    row["n_arc_pixels"] = int(mask[instrument.bands[0].name].sum())
    main = _main_galaxy(scene)
    row.update(_galaxy_columns(scene, main, instrument))
    if scene.lensed:
        row.update(_lensing_columns(scene, instrument))
        row.update(_arc_columns(main, instrument, source_light, mask, sigma))
        row["magnification"] = _first_band_flux(instrument, source_light) / _unlensed_flux(scene, instrument)
    return Truth(source_light, mask, sigma, row)


def arc_signal_to_noise(light: NDArray[np.float32], mask: NDArray[np.bool_], sigma: Sigma) -> float:
    """S/N = F / (σ √N_pix) of lensed light over its mask (Lanusse et al. 2018); 0 where the mask is empty.

    Where σ differs from pixel to pixel, σ² N_pix is their sum.
    """
    pixels = int(mask.sum())
    if not pixels:
        return 0.0
    if isinstance(sigma, np.ndarray):
        return float(light[mask].sum() / math.sqrt(float((sigma[mask].astype(np.float64) ** 2).sum())))
    return float(light[mask].sum() / (sigma * math.sqrt(pixels)))


MOST_BRIGHTER_MAG = 10.0


def brighter_by_mag(light: NDArray[np.float32], sigma: Sigma, snr: float) -> float | None:
    """Magnitudes by which lensed light must become brighter to have a given S/N.

    Parameters
    ----------
    light
        Noiseless lensed light of one band (h, w).
    sigma
        Noise of its pixels.
    snr
        What `arc_signal_to_noise` is to give.

    Returns
    -------
    float or None
        Within 1e-4 mag, or to the step that a pixel at the edge of the mask makes; negative where the light must become
        fainter. None where no change within ± 10 mag does it.
    """

    def beyond(mag: float) -> float:
        scaled = light * np.float32(10 ** (0.4 * mag))
        return arc_signal_to_noise(scaled, scaled > ARC_THRESHOLD_SIGMA * sigma, sigma) - snr

    if snr <= 0 or beyond(-MOST_BRIGHTER_MAG) >= 0 or beyond(MOST_BRIGHTER_MAG) <= 0:
        return None
    return float(brentq(beyond, -MOST_BRIGHTER_MAG, MOST_BRIGHTER_MAG, xtol=1e-4))


def _main_galaxy(scene: Scene) -> Galaxy:
    for role in ("lens", "mid", "source", "companion", "field"):
        for galaxy in scene.galaxies:
            if galaxy.role == role:
                return galaxy
    raise AssertionError("a scene has at least one galaxy")


def _galaxy_columns(scene: Scene, main: Galaxy, instrument: Instrument) -> dict[str, float]:
    row = {
        "z_lens": main.redshift,
        "lens_x_arcsec": main.x_arcsec,
        "lens_y_arcsec": main.y_arcsec,
        "lens_r_eff_arcsec": main.light[0].r_eff_arcsec,
        **_colour_column("lens", main, instrument),
    }
    if main.mass is not None:
        row["sigma_v_km_s"] = main.mass.sigma_v_km_s
        row["lens_axis_ratio"] = main.mass.axis_ratio
        row["lens_angle_rad"] = main.mass.angle_rad
    for band in instrument.bands:
        row[f"mag_lens_{band.name}"] = main.magnitude(band.name)
    return row


def _colour_column(stem: str, galaxy: Galaxy, instrument: Instrument) -> dict[str, float]:
    colour = CATALOGUE_COLOUR if _has_catalogue_bands(instrument) else instrument.colour
    if not colour:
        return {}
    blue, red = colour
    return {f"colour_{stem}_{blue}_{red}": galaxy.magnitude(blue) - galaxy.magnitude(red)}


def _lensing_columns(scene: Scene, instrument: Instrument) -> dict[str, float]:
    source = scene.lensed[-1]
    row = {
        "z_source": source.redshift,
        "source_x_arcsec": source.x_arcsec,
        "source_y_arcsec": source.y_arcsec,
        "source_r_eff_arcsec": source.light[0].r_eff_arcsec,
        "source_n_sersic": source.light[0].n_sersic if source.light[0].stamp is None else math.nan,
        **_colour_column("source", source, instrument),
    }
    for name, deflector in zip(("theta_e_arcsec", "theta_e_mid_arcsec"), scene.deflectors[:2], strict=False):
        assert deflector.mass is not None
        row[name] = einstein_radius_arcsec(deflector.mass.sigma_v_km_s, deflector.redshift, source.redshift)
    for band in instrument.bands:
        row[f"mag_source_{band.name}"] = source.magnitude(band.name)
    return row


def _unlensed_flux(scene: Scene, instrument: Instrument) -> float:
    band = instrument.bands[0]
    return sum(band.flux(galaxy.magnitude(band.name)) for galaxy in scene.lensed)


def _first_band_flux(instrument: Instrument, source_light: Mapping[str, NDArray[np.float32]]) -> float:
    return float(source_light[instrument.bands[0].name].astype(np.float64).sum())


def _arc_columns(
    main: Galaxy,
    instrument: Instrument,
    source_light: Mapping[str, NDArray[np.float32]],
    mask: Mapping[str, NDArray[np.bool_]],
    sigma: Mapping[str, Sigma],
) -> dict[str, float]:
    row: dict[str, float] = {}
    for band in instrument.bands:
        light = source_light[band.name]
        flux = float(light.sum(dtype=np.float64))
        row[f"mag_arc_{band.name}"] = band.zero_point_mag - 2.5 * math.log10(flux) if flux > 0 else math.nan
        row[f"arc_snr_{band.name}"] = arc_signal_to_noise(light, mask[band.name], sigma[band.name])
    first = instrument.bands[0]
    row["arc_snr"] = row[f"arc_snr_{first.name}"]
    light = source_light[first.name].astype(np.float64)
    if light.sum() > 0:
        axis = (np.arange(first.pixels) - (first.pixels - 1) / 2) * first.pixel_scale_arcsec
        x, y = float(light.sum(axis=0) @ axis / light.sum()), float(light.sum(axis=1) @ axis / light.sum())
        row["arc_angle_rad"] = math.atan2(y - main.y_arcsec, x - main.x_arcsec)
        row["arc_offset_arcsec"] = math.hypot(x, y)
    return row
