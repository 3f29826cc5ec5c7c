"""The Scene: a frozen, JSON-able record of everything in a cutout.

Positions are in arcsec from the cutout's centre, x to the right (columns), y up (rows); angles in radian
counter-clockwise from x; magnitudes AB. A position is where the object stands in its own plane, so a galaxy
behind a deflector is *seen* elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from math import isfinite
from types import MappingProxyType
from typing import Any

from lensaudit.errors import DataError

LENS_KINDS = ("single", "compound-arcs", "compound-rings")
NON_LENS_KINDS = ("no-source", "spiral", "ring-galaxy", "merger", "edge-on", "companions")
KINDS = LENS_KINDS + NON_LENS_KINDS
PROFILES = ("sersic", "spiral", "ring", "stamp")
ROLES = ("lens", "mid", "source", "companion", "field")
SKY_PSFS = ("drawn", "gaussian", "instrument")
PSF_KINDS = ("gaussian", "trefoil", "fits", "instrument")


class FrozenMapping(Mapping[str, float]):
    """A read-only, hashable, picklable mapping of names to numbers."""

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[str, float]) -> None:
        self._items = MappingProxyType(dict(items))

    def __getitem__(self, key: str) -> float:
        return self._items[key]

    def __iter__(self) -> Any:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __hash__(self) -> int:
        return hash(tuple(sorted(self._items.items())))

    def __reduce__(self) -> Any:
        return (FrozenMapping, (dict(self._items),))

    def __repr__(self) -> str:
        return repr(dict(self._items))


def _freeze(value: Any, *names: str) -> None:
    for name in names:
        given = getattr(value, name)
        if not isinstance(given, FrozenMapping):
            object.__setattr__(value, name, FrozenMapping({key: float(item) for key, item in given.items()}))


def _check(condition: bool, message: str) -> None:
    if not condition:
        raise DataError(f"scene: {message}")


@dataclass(frozen=True, slots=True)
class Stamp:
    """Where the image of a real galaxy lies: file, place in it, and SHA-256 of its pixels and its PSF's."""

    path: str
    index: int
    sha256: str

    def __post_init__(self) -> None:
        _check(self.index >= 0, f"a stamp's index must not be negative, it is {self.index}")


@dataclass(frozen=True, slots=True)
class Light:
    """One light component of a galaxy.

    Attributes
    ----------
    profile
        ``sersic``; ``spiral``: an exponential disc whose surface brightness is modulated along logarithmic arms
        (`shape`: ``arms``, ``pitch_rad``, ``contrast``); ``ring``: a Gaussian annulus of radius `r_eff_arcsec`
        (`shape`: ``width_arcsec``); ``stamp``: the image of a real galaxy, see `lensaudit.imaging.stamps`.
    magnitudes
        AB magnitude of the whole component in each band.
    r_eff_arcsec
        Half-light radius (sersic, spiral, stamp) or radius of the annulus (ring); product average of both axes.
    axis_ratio, angle_rad
        Minor over major axis (0 < q ≤ 1) and the major axis' position angle. A stamp is turned by the angle, and
        flattened further where the axis ratio is below 1.
    dx_arcsec, dy_arcsec
        Offset from the galaxy's position.
    """

    profile: str
    magnitudes: Mapping[str, float]
    r_eff_arcsec: float
    n_sersic: float = 1.0
    axis_ratio: float = 1.0
    angle_rad: float = 0.0
    dx_arcsec: float = 0.0
    dy_arcsec: float = 0.0
    shape: Mapping[str, float] = field(default_factory=dict)
    stamp: Stamp | None = None

    def __post_init__(self) -> None:
        _freeze(self, "magnitudes", "shape")
        if isinstance(self.stamp, Mapping):
            object.__setattr__(self, "stamp", Stamp(**self.stamp))
        _check((self.profile == "stamp") == (self.stamp is not None), "a stamp goes with the profile stamp alone")
        _check(self.profile in PROFILES, f"light profile '{self.profile}' is not one of {', '.join(PROFILES)}")
        _check(self.r_eff_arcsec > 0, f"r_eff_arcsec must be positive, not {self.r_eff_arcsec}")
        _check(0 < self.axis_ratio <= 1, f"axis_ratio must lie in (0, 1], not {self.axis_ratio}")
        _check(0.3 <= self.n_sersic <= 20, f"n_sersic must lie in [0.3, 20], not {self.n_sersic}")


@dataclass(frozen=True, slots=True)
class Mass:
    """A singular isothermal ellipsoid with external shear at its own plane.

    `gamma1`, `gamma2` are the reduced shear for the scene's farthest lensed galaxy.
    """

    sigma_v_km_s: float
    axis_ratio: float = 1.0
    angle_rad: float = 0.0
    gamma1: float = 0.0
    gamma2: float = 0.0

    def __post_init__(self) -> None:
        _check(self.sigma_v_km_s >= 0, f"sigma_v_km_s must not be negative, it is {self.sigma_v_km_s}")
        _check(0 < self.axis_ratio <= 1, f"axis_ratio must lie in (0, 1], not {self.axis_ratio}")


@dataclass(frozen=True, slots=True)
class Galaxy:
    """A galaxy: light at a position and redshift, and perhaps a mass that deflects what lies behind.

    `lensed` says whether deflectors in front act on its light; the authors' compound images leave the middle
    galaxy's light unlensed.
    """

    role: str
    redshift: float
    x_arcsec: float
    y_arcsec: float
    light: tuple[Light, ...]
    mass: Mass | None = None
    lensed: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "light", tuple(self.light))
        _check(self.role in ROLES, f"role '{self.role}' is not one of {', '.join(ROLES)}")
        _check(0 < self.redshift < 10, f"redshift must lie in (0, 10), not {self.redshift}")

    def magnitude(self, band: str) -> float:
        """AB magnitude of all components together in `band`; NaN where no component has the band."""
        from math import log10, nan

        flux = sum(10 ** (-0.4 * part.magnitudes[band]) for part in self.light if band in part.magnitudes)
        return -2.5 * log10(flux) if flux > 0 else nan


@dataclass(frozen=True, slots=True)
class Psf:
    """The point-spread function: what it is, and how it is turned.

    Attributes
    ----------
    kind
        ``gaussian`` (the instrument's FWHM per band), ``trefoil`` (three-fold, GalSim), ``fits`` (a kernel file),
        ``instrument`` (the band's own, a GalSim profile or a measured kernel).
    angle_deg
        Counter-clockwise turn of the pattern.
    trefoil_waves
        Amplitude of the trefoil aberration in waves at 700 nm (``trefoil``).
    fwhm_scale
        Multiplies the instrument's FWHM (``gaussian``), the blur added to the optics (``trefoil``), or the whole
        pattern's size (``instrument``).
    path, extension
        The kernel (``fits``): used for every band, resampled to its pixel scale.
    """

    kind: str = "gaussian"
    angle_deg: float = 0.0
    trefoil_waves: float = 0.012
    fwhm_scale: float = 1.0
    path: str = ""
    extension: str = "VIS_PSF"

    def __post_init__(self) -> None:
        _check(self.kind in PSF_KINDS, f"psf kind '{self.kind}' is not one of {', '.join(PSF_KINDS)}")
        _check(self.fwhm_scale > 0, f"fwhm_scale must be positive, not {self.fwhm_scale}")


@dataclass(frozen=True, slots=True)
class Sky:
    """What a scene is drawn for: the bands its galaxies need, and the cutout they stand in.

    Attributes
    ----------
    bands
        Bands in which galaxies have magnitudes.
    reference
        The band whose magnitude stays where an edit changes colours, and in which it says how bright things are.
    half_width_arcsec
        Field galaxies lie within this distance of the centre in x and y.
    filters
        Response of each band, see `lensaudit.scenes.colours.response`; empty where it is not known.
    psf
        ``drawn``: as the population draws it (Euclid's three-fold one); ``gaussian``: round, of the instrument's FWHM;
        ``instrument``: the band's own.
    """

    bands: tuple[str, ...]
    reference: str
    half_width_arcsec: float
    filters: tuple[str, ...]
    psf: str = "drawn"

    def __post_init__(self) -> None:
        object.__setattr__(self, "bands", tuple(self.bands))
        object.__setattr__(self, "filters", tuple(self.filters))
        _check(len(self.filters) == len(self.bands), "sky: give one filter per band, empty where it is not known")
        _check(self.reference in self.bands, f"sky: the reference band {self.reference} is none of its bands")
        _check(self.psf in SKY_PSFS, f"sky: psf '{self.psf}' is not one of {', '.join(SKY_PSFS)}")

    def filter(self, band: str) -> str:
        """Response of `band`; empty where it is not known."""
        return dict(zip(self.bands, self.filters, strict=True)).get(band, "")


EUCLID_SKY = Sky(("VIS", "Y", "J", "H"), "VIS", 9.9, ("Euclid-VIS", "Euclid-Y", "Euclid-J", "Euclid-H"))
LSST_SKY = Sky(("g",), "g", 4.0, ("lsst2016-g",), "gaussian")


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything in a cutout.

    Attributes
    ----------
    kind
        One of `KINDS`; decides the label.
    galaxies
        All galaxies, in any order; which deflects which follows from their redshifts.
    noise_seed
        Seed of the unit-normal noise fields; two scenes with the same seed get the same noise.
    noise_scale
        Multiplies the standard deviation of the instrument's background noise.
    sky
        The bands it was drawn for; edits of colour and of new galaxies go by it.
    """

    kind: str
    galaxies: tuple[Galaxy, ...]
    psf: Psf = Psf()
    noise_seed: int = 0
    noise_scale: float = 1.0
    sky: Sky = EUCLID_SKY

    def __post_init__(self) -> None:
        object.__setattr__(self, "galaxies", tuple(self.galaxies))
        _check(self.kind in KINDS, f"scene kind '{self.kind}' is not one of {', '.join(KINDS)}")
        finite = isfinite(self.noise_scale)
        _check(finite and self.noise_scale > 0, f"noise_scale must be positive, not {self.noise_scale}")

    @property
    def label(self) -> int:
        """1 for a lens, 0 for a non-lens."""
        return int(self.kind in LENS_KINDS)

    @property
    def deflectors(self) -> tuple[Galaxy, ...]:
        """Galaxies with mass, nearest first."""
        return tuple(sorted((g for g in self.galaxies if g.mass is not None), key=lambda g: g.redshift))

    @property
    def lensed(self) -> tuple[Galaxy, ...]:
        """Galaxies whose light some deflector in front acts on, nearest first."""
        masses = self.deflectors
        if not masses:
            return ()
        behind = (g for g in self.galaxies if g.lensed and g.redshift > masses[0].redshift)
        return tuple(sorted(behind, key=lambda g: g.redshift))

    def to_json(self) -> dict[str, Any]:
        """Plain dictionaries, lists and numbers."""
        record: dict[str, Any] = _plain(self)
        if self.noise_scale == 1.0:
            # Sets stored before the field existed keep their bytes.
            del record["noise_scale"]
        if self.sky in (EUCLID_SKY, LSST_SKY):
            del record["sky"]
        return record

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Scene:
        """Build the scene again; ``Scene.from_json(s.to_json()) == s``.

        Raises
        ------
        DataError
            A field is missing, unknown or out of range.
        """
        try:
            galaxies = tuple(
                Galaxy(
                    **{
                        **galaxy,
                        "light": tuple(Light(**light) for light in galaxy["light"]),
                        "mass": None if galaxy["mass"] is None else Mass(**galaxy["mass"]),
                    }
                )
                for galaxy in record["galaxies"]
            )
            sky = Sky(**record["sky"]) if "sky" in record else _unsaid_sky(galaxies)
            return cls(**{**record, "galaxies": galaxies, "psf": Psf(**record["psf"]), "sky": sky})
        except (KeyError, TypeError) as error:
            raise DataError(f"scene record: {error}; write it with Scene.to_json of this version") from error


def _unsaid_sky(galaxies: tuple[Galaxy, ...]) -> Sky:
    """Of the scenes that do not say it, those of LSST have magnitudes in g alone."""
    bands = {band for galaxy in galaxies for light in galaxy.light for band in light.magnitudes}
    return LSST_SKY if bands == set(LSST_SKY.bands) else EUCLID_SKY


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        # Sets stored before stamps existed keep their bytes.
        named = {f.name: getattr(value, f.name) for f in fields(value)}
        return {name: _plain(item) for name, item in named.items() if name != "stamp" or item is not None}
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value
