"""One explanation: the record that every method returns, and its FITS file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

from lensaudit.display.figures import figure_of, new_figure, save_figure, styled, svg_bytes
from lensaudit.display.images import data_uri
from lensaudit.errors import DataError, UsageError
from lensaudit.explaining.maps import SIGN, Attributed, Backdrop, Patches, draw_map
from lensaudit.files import replacing, write_bytes
from lensaudit.fits_input import open_fits
from lensaudit.lensset.coordinates import from_cards
from lensaudit.provenance import provenance
from lensaudit.untrusted import in_header

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


P_LOST = "P-LOST"
"""Extension of an occlusion with p(lens) − p(lens | patch hidden)."""

PER_BAND = "-BANDS"
"""Ending of the extension with a method's attribution per band."""

RECORD = "RECORD"
"""Card with the facts of a map as JSON, exact where other cards are rounded or spelled in ASCII."""

Card = tuple[str, Any, str]


def write_fits(path: Path, results: Sequence[Attributed], cards: Sequence[Card] = (), per_band: bool = False) -> None:
    """Write explanations of the same images: an empty primary with the facts, one extension a map, and the image.

    Parameters
    ----------
    path
        FITS file; written whole or not at all.
    results
        One a method. Extensions bear the methods' names; of several images ``EXTVER`` counts them.
    cards
        More for the primary header, as what the maps were made from.
    per_band
        Write the attribution of each band too.

    Raises
    ------
    MachineError
        The disk is full.
    """
    first = results[0]
    primary = fits.Header([fits.Card(*card) for card in {card[0]: card for card in [*_facts(first), *cards]}.values()])
    primary.add_history(in_header(provenance()["command"]))
    hdus: list[Any] = [fits.PrimaryHDU(header=primary)]
    for result in results:
        for index, one in enumerate(result, 1):
            header, name = _header(one), one.method.upper()
            hdus.append(fits.ImageHDU(one.maps[0], header, name=name, ver=index))
            if per_band and one.attributions is not None:
                hdus.append(fits.ImageHDU(one.attributions[0], _sky(one.wcs), name=name + PER_BAND, ver=index))
            if one.patches is not None:
                lost = _sky(one.wcs)
                lost.extend([("QUANTITY", "p(lens) - p(lens|patch hidden)"), ("SIGN", SIGN)])
                hdus.append(fits.ImageHDU(one.patches.p_lost[0], lost, name=P_LOST, ver=index))
    for index, image in enumerate(first.backdrop.images if first.backdrop else (), 1):
        assert first.backdrop is not None
        header = _sky(None if first.backdrop.wcs is None else first.backdrop.wcs[index - 1 : index])
        header["PIXSCALE"] = (first.backdrop.pixel_scale_arcsec, "[arcsec]")
        header["IMAGE"] = in_header(first.backdrop.band)
        hdus.append(fits.ImageHDU(np.asarray(image, np.float32), header, name=header["IMAGE"], ver=index))
    primary = hdus[0].header
    primary["NEXTEND"] = (len(hdus) - 1, "extensions")
    with replacing(path) as partial:
        fits.HDUList(hdus).writeto(partial, overwrite=True)


def creator() -> str:
    """Who wrote a file, with its version."""
    return f"lensaudit {provenance()['lensaudit']}"


def _facts(result: Attributed) -> list[Card]:
    """What is the same for every map of a file."""
    scores = [("LOGIT", float(result.logit[0]), "log-odds of lens"), ("PLENS", float(result.p_lens[0]), "p(lens)")]
    return [
        ("FINDER", in_header(result.finder), ""),
        ("FNDHASH", result.finder_hash, ""),
        ("FIELD", result.field_arcsec, "[arcsec] width of the cutouts"),
        ("SIGN", SIGN, ""),
        *(scores if len(result) == 1 else []),
        ("CREATOR", creator(), ""),
    ]


def _sky(wcs: Sequence[WCS] | None) -> fits.Header:
    return wcs[0].to_header(relax=True) if wcs else fits.Header()


def _header(one: Attributed) -> fits.Header:
    """Of the map of one image."""
    header = _sky(one.wcs)
    header["METHOD"] = in_header(one.title.replace("×", "x"))
    header["QUANTITY"] = in_header(one.quantity.replace("×", "x").replace("−", "-"))
    header["SIGN"] = SIGN
    header["LOGIT"], header["PLENS"] = float(one.logit[0]), float(one.p_lens[0])
    if one.hooked:
        header["HOOKED"] = in_header(one.hooked.replace("×", "x"))
    if one.patches is not None:
        header.extend([fits.Card(*card) for card in patch_cards(one.patches)])
        header["TILING"] = ("all whole" if _tiles(one) else "last of a row or column cut off", "patches at the edge")
    for note in (*one.notes, *_remarks(one.patches)):
        header.add_history(in_header(note))
    header[RECORD] = _to_json(one)
    return header


def patch_cards(patches: Patches) -> list[Card]:
    """How patches were laid and what calculated their effect."""
    return [
        ("PATCH", patches.patch, "[pixel] side of the occluding patch"),
        ("STRIDE", patches.stride, "[pixel] between patches"),
        ("ENGINE", patches.engine, "exact or captum"),
    ]


def _tiles(one: Attributed) -> bool:
    assert one.patches is not None
    return (one.size - one.patches.patch) % one.patches.stride == 0


def _remarks(patches: Patches | None) -> list[str]:
    if patches is None:
        return []
    return [patches.note] * bool(patches.note) + [f"no rule, plain batches from here: {x}" for x in patches.fallbacks]


_PLAIN = ("method", "title", "quantity", "bands", "field_arcsec", "finder", "finder_hash", "hooked", "notes")


def _to_json(one: Attributed) -> str:
    """All but arrays and coordinates, in ASCII without a quotation mark of FITS."""
    facts: dict[str, Any] = {name: getattr(one, name) for name in (*_PLAIN, "known_to_fail")}
    facts["logit"] = float(one.logit[0])
    if one.patches is not None:
        kept = ("patch", "stride", "engine", "fallbacks", "note")
        facts["patches"] = {name: getattr(one.patches, name) for name in kept}
    return json.dumps(facts).replace("'", "\\u0027")


def read_fits(path: Path) -> list[Attributed]:
    """The explanations in a file of `write_fits`, one a method; those of earlier versions are brought to today's sign.

    Raises
    ------
    DataError
        It is no such file, or damaged.
    UsageError
        There is none.
    """
    with open_fits(path) as hdus:
        primary = hdus[0].header
        if str(primary.get("SIGN", "")).startswith("p(lens|occluded)"):
            return [_of_old_occlusion(path, hdus)]
        maps = [hdu for hdu in hdus[1:] if "METHOD" in hdu.header]
        if "FNDHASH" not in primary or not maps:
            raise DataError(f"{path} holds no explanations; give a file of lensaudit occlusion, explain or gradcam")
        backdrop = _backdrop(hdus, len([hdu for hdu in maps if hdu.name == maps[0].name]))
        singles: dict[str, list[Attributed]] = {}
        for hdu in maps:
            read = _read_one if RECORD in hdu.header else _of_old_method
            singles.setdefault(hdu.name, []).append(read(hdus, hdu))
        return [replace(_joined(each), backdrop=backdrop) for each in singles.values()]


def _data(hdu: Any) -> NDArray[np.float32]:
    return np.array(hdu.data, np.float32)[None]


def _wcs_of(header: fits.Header) -> tuple[WCS, ...] | None:
    return (from_cards(header.tostring(sep="\n")),) if "CTYPE1" in header else None


def _read_one(hdus: fits.HDUList, hdu: Any) -> Attributed:
    facts = json.loads(hdu.header[RECORD])
    patches = facts.pop("patches", None)
    names = [(one.name, one.ver) for one in hdus]
    per_band = (hdu.name + PER_BAND, hdu.ver)
    if patches is not None:
        patches["fallbacks"] = tuple(patches["fallbacks"])
        patches = Patches(**patches, p_lost=_data(hdus[P_LOST, hdu.ver]))
    facts |= {"bands": tuple(facts["bands"]), "notes": tuple(facts["notes"]), "logit": np.array([facts["logit"]])}
    attributions = _data(hdus[per_band]) if per_band in names else None
    return Attributed(**facts, maps=_data(hdu), attributions=attributions, wcs=_wcs_of(hdu.header), patches=patches)


def _of_old_method(hdus: fits.HDUList, hdu: Any) -> Attributed:
    """Of ``lensaudit explain`` and ``gradcam`` up to version 0.1: the sign is today's."""
    header, primary = hdu.header, hdus[0].header
    return Attributed(
        method=hdu.name.lower(),
        title=header["METHOD"],
        quantity=header["QUANTITY"],
        maps=_data(hdu),
        attributions=None,
        logit=np.array([primary["LOGIT"]]),
        bands=(),
        field_arcsec=primary["FIELD"],
        finder=primary["FINDER"],
        finder_hash=primary["FNDHASH"],
        hooked=header.get("HOOKED", ""),
        notes=("".join(header["HISTORY"]),) if "HISTORY" in header else (),
        wcs=_wcs_of(header),
    )


def _of_old_occlusion(path: Path, hdus: fits.HDUList) -> Attributed:
    """Of ``lensaudit occlusion`` up to version 0.1, whose primary array had the other sign."""
    header = hdus[0].header
    if "ATTRIBUTION" not in [hdu.name for hdu in hdus]:
        raise DataError(f"{path} has no map of the log-odds; make it again with lensaudit occlusion")
    lost = -_data(hdus[0])
    return Attributed(
        method="occlusion",
        title="Occlusion",
        quantity="log-odds, whole − patch hidden",
        maps=_data(hdus["ATTRIBUTION"]),
        attributions=None,
        logit=np.array([header["LOGIT"]]),
        bands=(),
        field_arcsec=header["FIELD"],
        finder=header["FINDER"],
        finder_hash=header["FNDHASH"],
        wcs=_wcs_of(header),
        patches=Patches(header["PATCH"], header["STRIDE"], header["ENGINE"], lost),
    )


def _backdrop(hdus: fits.HDUList, n: int) -> Backdrop | None:
    images = [hdu for hdu in hdus[1:] if hdu.header.get("IMAGE")][:n]
    if not images:
        return None
    wcs = [_wcs_of(hdu.header) for hdu in images]
    return Backdrop(
        str(images[0].header["IMAGE"]),
        np.concatenate([_data(hdu) for hdu in images]),
        images[0].header["PIXSCALE"],
        tuple(one[0] for one in wcs if one) if all(wcs) else None,
    )


def _joined(singles: Sequence[Attributed]) -> Attributed:
    """Explanations of single images by one method as one of all."""
    first = singles[0]
    if len(singles) == 1:
        return first
    patches = first.patches
    if patches is not None:
        patches = replace(patches, p_lost=np.concatenate([one.patches.p_lost for one in singles if one.patches]))
    per_band = [one.attributions for one in singles if one.attributions is not None]
    return replace(
        first,
        maps=np.concatenate([one.maps for one in singles]),
        attributions=np.concatenate(per_band) if per_band else None,
        logit=np.concatenate([one.logit for one in singles]),
        wcs=None if first.wcs is None else tuple(one.wcs[0] for one in singles if one.wcs),
        patches=patches,
    )


def _save_svg(path: Path, figure: Figure) -> None:
    write_bytes(path, svg_bytes(figure))


_FITS = (".fits", ".fit", ".fts")
_PICTURES = {".png": save_figure, ".svg": _save_svg}


@dataclass(frozen=True, eq=False, repr=False)
class Explanation(Attributed):
    """Attribution of the log-odds of "lens" to the pixels of n images, by any method; see `Attributed` for its fields.

    See Also
    --------
    lensaudit.explaining.explain : makes one from cutouts.

    Examples
    --------
    >>> found = la.explain("ou66", lenses, method="gradcam")  # doctest: +SKIP
    >>> found.plot().figure.savefig("map.png")  # doctest: +SKIP
    >>> Explanation.read(found.write("map.fits")).sign  # doctest: +SKIP
    'positive: for a lens'
    """

    def _picture(self) -> str:
        figure = self.plot().get_figure(root=True) if len(self) else None
        return "" if figure is None else data_uri("image/svg+xml", svg_bytes(figure))

    @styled
    def plot(self, ax: Axes | None = None, *, index: int = 0) -> Axes:
        """Draw one map, blue what speaks for a lens, over its image where there is one.

        Parameters
        ----------
        ax
            Where to draw; by default in a figure of its own.
        index
            Which of the n images.

        Returns
        -------
        matplotlib.axes.Axes
            What was drawn on; its figure is ``.figure``.
        """
        if ax is None:
            ax = new_figure(3.4, 3.9, constrained=False).add_axes((0.03, 0.14, 0.94, 0.74))
        draw_map(ax, self[index])
        return ax

    def write(self, path: str | Path) -> Path:
        """Write the maps, those of each band too, with all that is to be known of them as FITS; `read` gives it back.

        Parameters
        ----------
        path
            Ends in ``.fits`` (``.fit``, ``.fts``), or, for the picture of one map as `plot` draws it, in ``.png`` or
            ``.svg``.

        Raises
        ------
        UsageError
            `path` ends otherwise, or is to be a picture of several images. It is a ValueError too.
        MachineError
            The disk is full.
        """
        path = Path(path)
        ending = path.suffix.lower()
        if ending in _PICTURES:
            if len(self) != 1:
                raise UsageError(f"{path}: a picture shows one map, these are {len(self)}; write explanation[0]")
            _PICTURES[ending](path, figure_of(self.plot()))
        elif ending in _FITS:
            write_fits(path, [self], per_band=True)
        else:
            allowed = ", ".join((*_FITS, *_PICTURES))
            raise UsageError(
                f"{path}: an explanation is not written as {ending or 'a file without ending'}; allowed: {allowed}"
            )
        return path

    @classmethod
    def read(cls, path: str | Path) -> Explanation:
        """The first that a FITS file holds; see `read_fits` for all, and for what is raised."""
        first = read_fits(Path(path))[0]
        return cls(**{one.name: getattr(first, one.name) for one in fields(first)})
