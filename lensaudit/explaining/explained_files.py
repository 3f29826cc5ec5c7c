"""Explanations of systems of a lens set as files: FITS and a picture per system; an interrupted run goes on.

One loop for ``lensaudit occlusion``, ``explain`` and ``gradcam``: they differ in the methods and the picture.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from astropy.io import fits

from lensaudit.display.figures import save_figure
from lensaudit.display.images import main_band
from lensaudit.errors import DataError, LensauditError, UsageError
from lensaudit.explaining.attribution.methods import find_method
from lensaudit.explaining.explainer import OCCLUSION, Explainer
from lensaudit.explaining.explanation import Card, Explanation, creator, write_fits
from lensaudit.explaining.judging.recommending import Advice, kind_of
from lensaudit.explaining.layers import refuse_other_maps
from lensaudit.explaining.maps import (
    LOG_ODDS,
    SHOWN_FROM,
    SIGN,
    VIEWS,
    Backdrop,
    explanations_figure,
    gradcam_figure,
    occlusion_figure,
    title_of,
)
from lensaudit.files import writable_folder
from lensaudit.fits_input import open_fits
from lensaudit.lensset import Cutouts
from lensaudit.records import Json, Record
from lensaudit.spread import Progress
from lensaudit.untrusted import file_stem, in_header

GRADCAM = ("gradcam", "guided-gradcam")
PANELS, THRESHOLD = "panels", "threshold"
PICTURES = {PANELS: "explained", THRESHOLD: "gradcam", **dict.fromkeys(VIEWS, OCCLUSION)}
"""Picture of a system → ending of its files' names. ``panels``: one a method; ``threshold``: Grad-CAM and where Guided
Grad-CAM reaches a threshold; the views of an occlusion."""


@dataclass(frozen=True)
class Request:
    """What is to be explained how.

    Attributes
    ----------
    methods
        Keys of `METHODS`.
    picture
        A key of `PICTURES`.
    seed
        Of methods that draw noise.
    threshold
        Of Guided Grad-CAM, where the picture has one.
    advice
        Which method to look at first on a kind of scene: its panel comes first.
    """

    methods: tuple[str, ...]
    picture: str = PANELS
    seed: int = 0
    threshold: float = SHOWN_FROM
    advice: tuple[Advice, ...] = ()

    def __post_init__(self) -> None:
        for name in self.methods:
            find_method(name)
        if self.picture not in PICTURES:
            views = ", ".join(PICTURES)
            raise UsageError(f"view '{self.picture}' is not known; allowed: {views}")

    def paths(self, out: Path, name: str) -> tuple[Path, Path]:
        """FITS file and picture of a system in the folder `out`; that of the paper's view has a name of its own."""
        stem = f"{file_stem(name)}-{PICTURES[self.picture]}"
        shown = f"{stem}-{self.picture}" if self.picture in VIEWS and self.picture != LOG_ODDS else stem
        return out / f"{stem}.fits", out / f"{shown}.png"


@dataclass(frozen=True)
class ExplainedFiles:
    """One system's files.

    Attributes
    ----------
    id
        Name of the system.
    fits, png
        Paths; None where no method gave a map.
    status
        ``made``, ``kept``, or why there is nothing.
    failed
        Method → why it gave no map.
    results
        The explanations; empty where they were kept from an earlier run.
    """

    id: str
    fits: Path | None
    png: Path | None
    status: str
    failed: Mapping[str, str] = field(default_factory=dict)
    results: tuple[Explanation, ...] = ()

    def to_json(self) -> Json:
        """What a script is told of them."""
        facts: dict[str, Any] = {"id": self.id, "status": self.status, "failed": dict(self.failed)}
        if self.fits is not None:
            facts |= {"fits": str(self.fits), "png": str(self.png)}
        if self.results:
            facts |= {"p_lens": float(self.results[0].p_lens[0]), "logit": float(self.results[0].logit[0])}
            facts["sign"] = SIGN
            facts["titles"] = {result.method: result.title for result in self.results}
            facts["hooked"] = {result.method: result.hooked for result in self.results if result.hooked}
            facts["notes"] = {result.method: list(result.notes) for result in self.results}
        return facts

    def occlusion_summary(self) -> OcclusionSummary:
        """Those of an occlusion alone, with numbers and layers."""
        made = {} if self.fits is None else {"fits": str(self.fits), "png": str(self.png)}
        numbers = [OcclusionNumbers.of(result) for result in self.results]
        return OcclusionSummary(self.id, self.status, **made, numbers=numbers[-1] if numbers else None)


@dataclass(frozen=True)
class OcclusionNumbers(Record):
    """What an occlusion map holds: p of the whole image and its changes, largest attributions, layers recomputed."""

    p_lens: float
    sign: str
    p_lost_min: float
    p_lost_max: float
    attribution_min: float
    attribution_max: float
    attribution_unit: str
    seconds: float
    fallbacks: tuple[str, ...]
    note: str
    layers: tuple[str, ...]

    @classmethod
    def of(cls, result: Explanation) -> OcclusionNumbers:
        """Of an explanation by occlusion."""
        patches = result.patches
        assert patches is not None
        return cls(
            p_lens=float(result.p_lens[0]),
            sign=SIGN,
            p_lost_min=float(patches.p_lost.min()),
            p_lost_max=float(patches.p_lost.max()),
            attribution_min=float(result.maps.min()),
            attribution_max=float(result.maps.max()),
            attribution_unit="log-odds, whole - occluded",
            seconds=round(patches.seconds, 3),
            fallbacks=tuple(patches.fallbacks),
            note=patches.note,
            layers=tuple(str(layer) for layer in patches.layers),
        )


@dataclass(frozen=True)
class OcclusionSummary(Record):
    """An occlusion map in short; `fits` and `png` are None where there is none, `numbers` where an earlier one lies."""

    id: str
    status: str
    fits: str | None = None
    png: str | None = None
    numbers: OcclusionNumbers | None = None

    def to_json(self) -> Json:
        """One object: the numbers beside the rest, and nothing for what there is not."""
        words = {name: value for name, value in super().to_json().items() if value is not None}
        numbers = words.pop("numbers", {})
        return {**words, **numbers}

    @classmethod
    def _modern(cls, words: Json) -> Json:
        return words if "p_lens" not in words else {**words, "numbers": words}


def chosen_systems(lens_set: Cutouts, ids: Sequence[str], first: int | None, every: bool) -> list[int]:
    """Positions in the set that the user named, in one of three ways.

    Raises
    ------
    UsageError
        None or several of the ways are used, an id is not in the set (the nearest are named), or `first` is below 1.
    """
    if sum((bool(ids), first is not None, every)) != 1:
        raise UsageError("say which systems: --id ID (as often as you like), --first N or --all, one of the three")
    if first is not None and first < 1:
        raise UsageError(f"--first {first} names no system; choose 1 to {len(lens_set)}")
    if not ids:
        return list(range(len(lens_set) if first is None else min(first, len(lens_set))))
    known = {name: index for index, name in enumerate(lens_set.ids)}
    for name in ids:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.0)
            raise UsageError(f"{lens_set.path}: no system '{name}'; nearest ids: {', '.join(near)}")
    return [known[name] for name in dict.fromkeys(ids)]


def explain_systems(
    explainer: Explainer,
    request: Request,
    lens_set: Cutouts,
    systems: Sequence[int],
    out: Path,
    *,
    force: bool = False,
    progress: Progress | None = None,
) -> list[ExplainedFiles]:
    """Explain `systems` of `lens_set` and write a FITS file and a picture of each into `out`.

    Parameters
    ----------
    explainer
        Finder, and the patches of occlusion.
    request
        Methods and picture; see `Request.paths` for the files' names.
    systems
        Positions in the set, see `chosen_systems`.
    force
        Make files anew that are there already; by default those of the same finder, set and request are kept.
    progress
        Called with work done and all work.

    Raises
    ------
    DataError
        The set is not what the finder takes, or no system could be explained.
    UsageError
        `out` cannot be written.
    """
    explainer.finder.check(lens_set)
    writable_folder(out)
    if not force:
        paths = [request.paths(out, lens_set.ids[system])[0] for system in systems]
        refuse_other_maps(paths, explainer.finder.weights_hash, lens_set.content_hash)
    work = _System(explainer, request, lens_set, out, force)
    each = explainer.occluder.grid.n**2 if OCCLUSION in request.methods else 1
    files = []
    for number, system in enumerate(systems):

        def report(done: int, _total: int, before: int = number * each) -> None:
            if progress is not None:
                progress(before + done, each * len(systems))

        files.append(work.done(system, report))
        report(each, each)
    if files and all(entry.fits is None for entry in files):
        verb = "mapped" if PICTURES[request.picture] == OCCLUSION else "explained"
        raise DataError(f"{lens_set.path}: none of {len(files)} systems could be {verb} ({files[0].status})")
    return files


@dataclass(frozen=True)
class _System:
    """One call of `explain_systems`."""

    explainer: Explainer
    request: Request
    lens_set: Cutouts
    out: Path
    force: bool

    def done(self, system: int, progress: Progress) -> ExplainedFiles:
        """The files of one system, made or kept."""
        name = self.lens_set.ids[system]
        path, picture = self.request.paths(self.out, name)
        cards = identity_cards(self.explainer, self.request, self.lens_set.content_hash, name)
        if not self.force and picture.is_file() and holds(path, cards):
            return ExplainedFiles(name, path, picture, "kept")
        results, failed = self._explained(system, progress)
        if not results:
            return ExplainedFiles(name, None, None, next(iter(failed.values())), failed)
        shown = self._in_order(system, results)
        self._draw(picture, title_of(name, int(self.lens_set.labels[system]), results[0]), shown)
        write_fits(path, results, cards)  # last: it marks both as whole
        return ExplainedFiles(name, path, picture, "made", failed, tuple(results))

    def _explained(self, system: int, progress: Progress) -> tuple[list[Explanation], dict[str, str]]:
        """Explanations by the methods that gave one, and why the others did not."""
        lens_set, bands = self.lens_set, self.explainer.finder.recipe.bands
        band = main_band(bands)
        try:
            image, wcs = lens_set.images(band, [system]), lens_set.wcs(system, band)
            under = Backdrop(band, image, lens_set.pixel_scale_arcsec[band], (wcs,))
            ready = self.explainer.prepare(
                lens_set.cutouts([system]),
                wcs=[lens_set.wcs(system, bands[0])],
                names=[lens_set.ids[system]],
                backdrop=under,
            )
        except DataError as error:
            return [], dict.fromkeys(self.request.methods, str(error))
        results, failed = [], {}
        for method in self.request.methods:
            try:
                results.append(self.explainer.attribute(ready, method, seed=self.request.seed, progress=progress))
            except DataError as error:
                failed[method] = str(error)
        return results, failed

    def _in_order(self, system: int, results: Sequence[Explanation]) -> Sequence[Explanation]:
        """The one to look at first in front, where the request says so for this kind of scene."""
        kind = kind_of(self.lens_set, system) if self.request.advice else ""
        first = next((one.method for one in self.request.advice if one.kind == kind), "")
        return sorted(results, key=lambda result: result.method != first) if first else results

    def _draw(self, path: Path, title: str, results: Sequence[Explanation]) -> None:
        request = self.request
        if request.picture in VIEWS:
            figure = occlusion_figure(results[0], title, request.picture)
        elif request.picture == THRESHOLD and tuple(result.method for result in results) == GRADCAM:
            figure = gradcam_figure(results[0], results[1], title, request.threshold)
        else:
            figure = explanations_figure(results, title)
        save_figure(path, figure)


def identity_cards(explainer: Explainer, request: Request, set_hash: str, name: str) -> list[Card]:
    """What a file is of, for its primary header: two with equal cards hold the same maps with the same sign."""
    finder, occluder = explainer.finder, explainer.occluder
    cards: list[Card] = [
        ("OBJECT", in_header(name), ""),
        ("FINDER", in_header(finder.name), ""),
        ("FNDHASH", finder.weights_hash, ""),
        ("SETHASH", set_hash, ""),
        ("METHODS", ",".join(request.methods), ""),
        ("SEED", request.seed, ""),
        ("SHOWN", request.threshold if request.picture == THRESHOLD else -1.0, "threshold of the picture; -1: none"),
        ("FIELD", finder.field_arcsec, "[arcsec] width of the cutouts"),
        ("SIGN", SIGN, ""),
        ("CREATOR", creator(), ""),
    ]
    if OCCLUSION in request.methods:
        cards += [
            ("PATCH", occluder.grid.patch, "[pixel] side of the occluding patch"),
            ("STRIDE", occluder.grid.stride, "[pixel] between patches"),
            ("ENGINE", occluder.engine, "exact or captum"),
        ]
    return cards


def holds(path: Path, cards: Sequence[Card]) -> bool:
    """Whether `path` is a whole FITS file that holds exactly the maps these cards describe, by this version."""
    try:
        with open_fits(path) as hdus:
            whole = hdus[0].header.get("NEXTEND") == len(hdus) - 1 and all(hdu.data is not None for hdu in hdus[1:])
            return whole and all(hdus[0].header.get(key) == value for key, value, _ in cards)
    except (LensauditError, OSError, TypeError, ValueError, fits.VerifyError):
        return False
