"""All pictures of pixels on the page, from the arrays beside the audit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from lensaudit.display.colour import LEAST_LOG_ODDS, LEAST_P, SignedScale, symmetric_scale
from lensaudit.display.images import (
    bar_length,
    colour_bands,
    colour_words,
    grey,
    main_band,
    over_image,
    png_uri,
    resampled_rgb,
    shrink,
    to_bytes,
)
from lensaudit.display.numbers import decimal, percent, signed, significant
from lensaudit.errors import DataError, UsageError
from lensaudit.explaining.judging.recommending import Advice
from lensaudit.kept import Arrays, read_arrays
from lensaudit.report.audit_file import AUDIT_NAME
from lensaudit.report.chapters import GalleryEntry, JudgedCheck, KnownSet, KnownSystem, MapEntry, MapMethod, MapScore
from lensaudit.report.probe_block import PairShown
from lensaudit.report.schema import Audit
from lensaudit.untrusted import path_within

SHOWN = 8
"""Entries drawn per group at most: about 90 kB each, so that the page stays below 8 MB."""

PAIR_SIDE = 100
"""Pixels of a side of the panels of pairs, which are drawn about so large; there are many of them."""


@dataclass(frozen=True)
class ScaleBar:
    """A bar of a round length on a panel of width 100."""

    length: float
    text: str


@dataclass(frozen=True)
class ColourBar:
    """Colours with the values of both ends."""

    uri: str
    low: str
    high: str


@dataclass(frozen=True)
class Panel:
    """A square of pixels; `light` where a bar on it must be dark."""

    uri: str
    title: str
    alt: str
    bar: ScaleBar | None = None
    note: str = ""
    light: bool = False
    scale: ColourBar | None = None


@dataclass(frozen=True)
class GalleryStrip:
    """An entry of the gallery with its panels, none where its array is missing; `above` the threshold."""

    entry: GalleryEntry
    above: bool
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class StripGroup:
    """A group of the gallery as it is shown."""

    title: str
    note: str
    strips: tuple[GalleryStrip, ...]


@dataclass(frozen=True)
class PairStrip:
    """A pair with its panels: control and treated, grey and colour; none where its array is missing."""

    pair: PairShown
    panels: tuple[Panel, ...]


def gallery_strips(audit: Audit, folder: Path) -> list[StripGroup]:
    """Gallery groups with their panels; an entry whose array is missing has no panels and says so on the page."""
    threshold = audit.performance.threshold
    groups = []
    for group in audit.gallery.groups if audit.gallery else ():
        shown = group.entries[:SHOWN]
        more = len(group.entries) - len(shown)
        note = group.note + (f" {more} more in audit.json." if more else "")
        strips = tuple(GalleryStrip(one, one.p >= threshold, tuple(_entry(one, folder))) for one in shown)
        groups.append(StripGroup(group.title, note, strips))
    return groups


@dataclass(frozen=True)
class KnownStrip:
    """A known system with its panels, none where its array is missing; `above` the threshold."""

    system: KnownSystem
    above: bool
    panels: tuple[Panel, ...]


def known_strips(known: KnownSet, threshold: float, folder: Path) -> list[KnownStrip]:
    """The known systems whose pixels were kept."""
    strips = []
    for one in known.systems:
        if not one.array:
            continue
        arrays = arrays_of(folder, one.array) or {}
        images = {band: shrink(image, PAIR_SIDE) for band, image in _images(arrays).items()}
        panels = _pictures(images, one.fov_arcsec, one.id) if images else []
        strips.append(KnownStrip(one, one.p >= threshold, tuple(panels)))
    return strips


def pair_strips(audit: Audit, folder: Path) -> dict[str, list[PairStrip]]:
    """Probe → its pairs."""
    details = audit.probes.details if audit.probes else ()
    return {detail.probe: [_pair(pair, folder) for pair in detail.pairs] for detail in details}


def arrays_of(folder: Path, name: str) -> Arrays | None:
    """Arrays of the file `name` below `folder`, as `read_arrays`.

    Raises
    ------
    DataError
        It lies elsewhere.
    """
    try:
        return read_arrays(path_within(folder, *name.split("/")))
    except UsageError as outside:
        raise DataError(f"{folder / AUDIT_NAME}: array: {outside}; build the audit again without --from") from outside


def _entry(entry: GalleryEntry, folder: Path) -> list[Panel]:
    arrays = arrays_of(folder, entry.array)
    if arrays is None or "map" not in arrays:
        return []
    images = _images(arrays)
    band = main_band(list(images))
    values, unit, least = _attribution(arrays)
    scale = symmetric_scale(values, least)
    extremes = f"{unit} from {significant(float(values.min()), 2)} to {significant(float(values.max()), 2)}"
    over = to_bytes(over_image(values, shrink(images[band]), scale))
    return [
        *_pictures(images, entry.fov_arcsec, entry.id),
        Panel(
            png_uri(to_bytes(scale.colours(values))),
            "Occlusion map",
            f"Occlusion map of {entry.id}: {extremes}",
            note=extremes,
            scale=colour_bar(scale),
        ),
        Panel(png_uri(over), f"Map over {band}", f"Occlusion map over {band} of {entry.id}"),
    ]


def _attribution(arrays: Arrays) -> tuple[np.ndarray, str, float]:
    """What an occlusion map shows, positive attribution above 0, its name, and the least full colour.

    Audits of earlier versions kept the change of p(lens) only, with the other sign.
    """
    if "attribution" in arrays:
        return arrays["attribution"], "Δ log-odds", LEAST_LOG_ODDS
    return -arrays["map"], "Δp", LEAST_P


def colour_bar(scale: SignedScale) -> ColourBar:
    """Colours with the values of both ends."""
    return ColourBar(png_uri(to_bytes(scale.ramp(101)[None])), signed(-scale.negative), signed(scale.positive))


def _pair(pair: PairShown, folder: Path) -> PairStrip:
    arrays = arrays_of(folder, pair.array)
    shown: list[Panel] = []
    for arm, p in (("control", pair.p_control), ("treated", pair.p_treated)) if arrays else ():
        images = {band: shrink(one, PAIR_SIDE) for band, one in _images(arrays or {}, f"{arm}:").items()}
        score = f"{arm}, p = {decimal(p)}"
        shown += _pictures(images, pair.fov_arcsec, f"{pair.title}, {score}", note=score)
    return PairStrip(pair, tuple(shown))


def _pictures(images: Arrays, fov: float, name: str, note: str = "") -> list[Panel]:
    band = main_band(list(images))
    bar = scale_bar(fov)
    light = png_uri(to_bytes(grey(shrink(images[band]))))
    shown = [Panel(light, f"{band}, asinh", f"{band} cutout of {name}, {fov:.3g}″ wide", bar, note)]
    colour = resampled_rgb(images)
    if colour is not None:
        uri = png_uri(to_bytes(colour))
        words = colour_words(tuple(images))
        shown.append(Panel(uri, words, f"Colour cutout of {name}, {words}", bar, note))
    return shown


def scale_bar(fov_arcsec: float) -> ScaleBar:
    """Bar of a round length on a panel of width 100."""
    length = bar_length(fov_arcsec)
    return ScaleBar(round(100 * length / fov_arcsec, 2), f"{length:g}″")


def _images(arrays: Arrays, prefix: str = "") -> Arrays:
    start = f"{prefix}band:"
    return {name.removeprefix(start): values for name, values in arrays.items() if name.startswith(start)}


FULL_COLOUR = 99.8
"""Percentile of |value| from which colours are full, as in the pictures of ``lensaudit explain``."""

TINY = "no change worth a colour"
"""Instead of a score: a map whose values rounding could give."""


@dataclass(frozen=True)
class MapImage:
    """The cutout that maps are of, drawn once and referred to by its `anchor`."""

    uri: str
    title: str
    alt: str
    bar: ScaleBar
    anchor: str


@dataclass(frozen=True)
class Tile:
    """A map of one method: small with its `score`, enlarged with the score in `words` and its `notes`.

    `first` marks the one to look at first on this kind of scene, `doubt` says why it is not to be believed here.
    """

    anchor: str
    title: str
    alt: str
    uri: str
    scale: ColourBar
    extremes: str
    warning: str
    notes: tuple[str, ...]
    score: str
    words: str
    first: bool = False
    doubt: str = ""


@dataclass(frozen=True)
class MapStrip:
    """A system with the maps of every method, the one to look at first in front; `image` is None without its array."""

    entry: MapEntry
    above: bool
    image: MapImage | None
    tiles: tuple[Tile, ...]
    advice: str = ""


def map_tiles(audit: Audit, folder: Path) -> list[MapStrip]:
    """Systems with their tiles; a system whose arrays are missing has none and says so on the page."""
    if audit.maps is None:
        return []
    checks = {check.method: check for check in (audit.judged.checks if audit.judged else ())}
    warnings = {method.name: _warning(method, checks.get(method.name)) for method in audit.maps.methods}
    return [_map_strip(audit, place, warnings, folder) for place in range(len(audit.maps.entries))]


def _map_strip(audit: Audit, place: int, warnings: dict[str, str], folder: Path) -> MapStrip:
    assert audit.maps is not None
    entry = audit.maps.entries[place]
    arrays = arrays_of(folder, entry.array)
    image, tiles = None, []
    band = next((name for name in arrays or {} if name.startswith("band:")), None)
    if arrays is not None and band is not None:
        image = MapImage(
            uri=png_uri(to_bytes(grey(shrink(arrays[band])))),
            title=f"{band.removeprefix('band:')}, asinh",
            alt=f"{band.removeprefix('band:')} cutout of {entry.id}",
            bar=scale_bar(entry.fov_arcsec),
            anchor=f"pixels-{place}",
        )
        drawn = [method for method in audit.maps.methods if f"map:{method.name}" in arrays]
        tiles = [_tile(entry, one, arrays, (f"map-{place}-{one.name}", warnings[one.name])) for one in drawn]
        tiles = _as_advised(tiles, [one.name for one in drawn], audit.maps.advice_on(entry.kind))
    advice = audit.maps.advice_on(entry.kind)
    words = "" if advice is None else advised(advice, {one.name: one.title for one in audit.maps.methods})
    return MapStrip(entry, entry.p >= audit.performance.threshold, image, tuple(tiles), words)


def _as_advised(tiles: Sequence[Tile], names: Sequence[str], advice: Advice | None) -> list[Tile]:
    """The tile to look at first in front and marked, the others with their doubts; as they are without advice."""
    if advice is None:
        return list(tiles)
    of = dict(zip(names, tiles, strict=True))
    return [
        replace(of[name], first=name == advice.method, doubt=advice.doubts.get(name, ""))
        for name in advice.order(names)
    ]


def advised(advice: Advice, titles: Mapping[str, str]) -> str:
    """The sentence above the maps of a kind of scene."""
    if advice.method:
        return f"On {advice.kind}, look at {titles.get(advice.method, advice.method)} first: {advice.why}."
    return f"On {advice.kind}, believe none of these maps, they are pictures only: {advice.why}."


def _tile(entry: MapEntry, method: MapMethod, arrays: Arrays, words: tuple[str, str]) -> Tile:
    """`words`: anchor, and the warning of the method."""
    name, score = method.name, entry.scores.get(method.name)
    values = arrays[f"map:{name}"]
    title = str(arrays.get(f"title:{name}", method.title))
    # audits of earlier versions do not say the quantity: their occlusion is Δp
    least = LEAST_LOG_ODDS if name == "occlusion" and method.quantity else LEAST_P
    scale = symmetric_scale(values, least, 100.0 if name == "occlusion" else FULL_COLOUR)
    extremes = f"{significant(float(values.min()), 2)} to {significant(float(values.max()), 2)}"
    return Tile(
        anchor=words[0],
        title=title,
        alt=f"{title} of {entry.id}: {extremes}",
        uri=png_uri(to_bytes(scale.colours(values))),
        scale=colour_bar(scale),
        extremes=f"{extremes} ({method.quantity})" if method.quantity else extremes,
        warning=words[1] or ("partial" if title != method.title else ""),
        notes=tuple(str(note) for note in arrays.get(f"notes:{name}", method.notes)),
        score=_short(score) if np.abs(values).max() >= least else TINY,
        words=_words(score, entry.area),
    )


def _warning(method: MapMethod, check: JudgedCheck | None) -> str:
    """What this audit measured of the method; what is known of it where nothing was, or too little."""
    if check is not None and check.verdict in ("passes", "fails"):
        return check.label
    return "fails the randomisation check" if method.known_to_fail else ""


def _short(score: MapScore | None) -> str:
    if score is None:
        return "no truth mask"
    return "nothing positive" if math.isnan(score.share) else f"{percent(score.share)} on the arc"


def _words(score: MapScore | None, area: float | None) -> str:
    if score is None or area is None:
        return "There is no lensed light here, or no truth: no score."
    if math.isnan(score.share):
        return "There is no positive attribution in this map, so there is no fraction."
    pointed = "lies" if score.pointing >= 0.5 else "does not lie"
    return (
        f"{percent(score.share)} of the positive attribution falls on the lensed light, which covers "
        f"{percent(area)} of the image (what chance gives). Of the highest pixels, as many as the lensed light has, "
        f"{percent(score.rank)} lie on it. The highest pixel of all {pointed} on it or beside it."
    )


_STARTS = {"noise": "from noise", "cutout": "from a lens"}


def dream_strips(audit: Audit, folder: Path) -> list[Panel]:
    """Start and dreams, two rows of panels; none where the array is missing."""
    block = audit.dreams
    arrays = None if block is None else arrays_of(folder, block.array)
    if block is None or arrays is None:
        return []
    shown = []
    for start, words in _STARTS.items():
        if f"{start}:start" not in arrays:
            continue
        here = [one for one in block.images if one.start == start]
        p = decimal(here[0].p_start)
        shown.append(_dream_panel(arrays[f"{start}:start"], block.bands, f"start {words}", f"p = {p}"))
        for one in here:
            title, note = f"towards {one.target}, {words}", f"p = {p} → {decimal(one.p_end)}"
            shown.append(_dream_panel(arrays[f"{start}:{one.target}"], block.bands, title, note))
    return shown


def _dream_panel(image: np.ndarray, bands: Sequence[str], title: str, note: str) -> Panel:
    """In colour, linear in what the finder sees; one grey band where it has none."""
    planes = [image[bands.index(band)] for band in colour_bands(bands)] or [image[bands.index(main_band(bands))]] * 3
    rgb = to_bytes(np.nan_to_num(np.stack(planes, axis=-1)))
    return Panel(png_uri(rgb), title, f"Image {title}", note=note)
