"""Kernels of a finder over a set, as files: tables, sheets and the map of correlations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lensaudit.display.figures import save_figure
from lensaudit.display.images import colour_words, shown_bands
from lensaudit.documents import Json
from lensaudit.errors import DataError, UsageError
from lensaudit.explaining.kernels.activations import kernel_activations
from lensaudit.explaining.kernels.kav_table import KavTable, Kernel
from lensaudit.explaining.kernels.sheet import (
    MEASURES,
    Measure,
    Statement,
    correlation_figure,
    sheet_figure,
    shown_images,
    statements_of,
    strongest_statements,
)
from lensaudit.explaining.kernels.study import BROKEN, CONSTANT, SILENT, UNUSED, KernelStudy, study_kernels, write_study
from lensaudit.files import writable_folder
from lensaudit.finders import Finder
from lensaudit.lensset import Cutouts
from lensaudit.provenance import refuse_other_inputs
from lensaudit.spread import Progress
from lensaudit.untrusted import file_stem

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KAV_NAME, STUDY_NAME, MAP_NAME = "kav.parquet", "kernels.parquet", "correlations.png"

LISTED: dict[Measure, int] = {"rho": 2, "top": 1}
"""Statements of each measure and truth column that are listed."""

MEANING = {
    SILENT: "no pixel of its maps is above 0 in {searched} images searched, a ReLU straight after passes nothing",
    CONSTANT: "the same value for every image",
    UNUSED: "not part of the forward pass",
    BROKEN: "values that are no numbers",
}
"""What a kernel's state says, for kernels that are not live."""


@dataclass(frozen=True)
class KernelWish:
    """What is asked of a finder's kernels.

    Attributes
    ----------
    top
        Images at either end that are named and shown.
    sheets
        Kernels to draw; None: those whose ρ with each truth column is surest.
    batch_size
        Images at a time; by default what runs fastest.
    force
        Make the activation values anew that are there already.
    """

    top: int = 9
    sheets: Sequence[Kernel] | None = None
    batch_size: int | None = None
    force: bool = False


@dataclass(frozen=True, eq=False)
class KernelFiles:
    """What was made.

    Attributes
    ----------
    study
        The numbers.
    activations, kernels
        Parquet: a row per image, a row per kernel.
    correlations
        Picture; None where there is nothing to compare with.
    sheets
        Kernel → picture.
    strongest
        The surest statements of each truth column.
    failed
        Image → why it was left out.
    """

    study: KernelStudy
    activations: Path
    kernels: Path
    correlations: Path | None
    sheets: dict[Kernel, Path]
    strongest: tuple[Statement, ...]
    failed: dict[str, str]

    def statements_of(self, kernel: Kernel) -> list[Statement]:
        """What one kernel goes with, by each measure surest first; significant statements only."""
        index = self.study.kernels.index(kernel)
        return [line for measure in MEASURES for line in statements_of(self.study, index, measure=measure)]

    def notes(self) -> list[str]:
        """What a reader must know besides: missing truth, kernels that are not live, images left out; a line each."""
        lines = [self.study.note] if self.study.note else []
        for state, meaning in MEANING.items():
            found = self.study.in_state(state)
            if found:
                words = meaning.format(searched=self.study.table.n_searched)
                lines.append(f"{state} ({words}): {_listed(found)}")
        if self.failed:
            name, why = next(iter(self.failed.items()))
            lines.append(f"{len(self.failed)} images left out (see column status), first {name}: {why}")
        return lines

    def to_json(self) -> Json:
        """JSON-able facts."""
        study = self.study
        return {
            "finder": study.table.record["finder"],
            "n": study.table.n,
            "n_scored": study.n,
            "n_kernels": len(study.kernels),
            "activations": str(self.activations),
            "kernels": str(self.kernels),
            "correlations": None if self.correlations is None else str(self.correlations),
            "sheets": [
                {
                    "layer": kernel.layer,
                    "kernel": kernel.number,
                    "png": str(path),
                    "goes_with": [line.summary() for line in self.statements_of(kernel)],
                }
                for kernel, path in self.sheets.items()
            ],
            "strongest": [line.summary() for line in self.strongest],
            "not_live": {state: [str(kernel) for kernel in study.in_state(state)] for state in MEANING},
            "n_searched": study.table.n_searched,
            "note": study.note,
            "failed": self.failed,
        }


def look_at_kernels(
    finder: Finder, lens_set: Cutouts, out: Path, wish: KernelWish = KernelWish(), progress: Progress | None = None
) -> KernelFiles:
    """Activation values, their study, and pictures of a finder's kernels over a set, written into `out`.

    ``kav.parquet`` (see `kernel_activations`) is kept from an earlier run of the same finder and set;
    ``kernels.parquet``, ``correlations.png`` and a sheet ``layer…_kernel….png`` per kernel drawn are made anew.

    Parameters
    ----------
    finder, lens_set
        The set must have the finder's bands and field of view.
    out
        Folder.
    progress
        Called with images done and all images.

    Raises
    ------
    DataError
        The finder cannot take the set as input, or no image could be scored.
    UsageError
        The module has no convolution, a number is out of range, or `out` cannot be written.
    """
    if wish.top < 1:
        raise UsageError(f"--top {wish.top} is not allowed; give 1 or more")
    finder.check(lens_set)
    writable_folder(out)
    if not wish.force:
        _refuse_other(out / KAV_NAME, finder, lens_set)
    table = kernel_activations(
        finder, lens_set, out / KAV_NAME, batch_size=wish.batch_size, force=wish.force, progress=progress
    )
    study = study_kernels(table, lens_set, wish.top)
    write_study(study, out / STUDY_NAME)
    picture = None if study.correlations is None else out / MAP_NAME
    if picture is not None:
        _save(correlation_figure(study), picture)
    status = dict(zip(table.column("id"), table.column("status"), strict=True))
    return KernelFiles(
        study=study,
        activations=table.path,
        kernels=out / STUDY_NAME,
        correlations=picture,
        sheets={kernel: _sheet(finder, lens_set, study, kernel, out) for kernel in _to_draw(study, wish)},
        strongest=tuple(line for measure in MEASURES for line in strongest_statements(study, LISTED[measure], measure)),
        failed={name: word for name, word in status.items() if word != "ok"},
    )


def _refuse_other(path: Path, finder: Finder, lens_set: Cutouts) -> None:
    """Refuse to replace the table of another finder or set; what is torn is replaced."""
    try:
        known = KavTable.open(path).record["provenance"]["inputs"]
    except (DataError, KeyError, TypeError):
        return
    inputs = {"finder": finder.weights_hash, "set": lens_set.content_hash}
    refuse_other_inputs(path, known, inputs, "activation values", "or add --force to replace them")


def _to_draw(study: KernelStudy, wish: KernelWish) -> list[Kernel]:
    if wish.sheets is not None:
        return list(wish.sheets)
    return list(dict.fromkeys(line.kernel for line in strongest_statements(study, each=1)))


def _sheet(finder: Finder, lens_set: Cutouts, study: KernelStudy, kernel: Kernel, out: Path) -> Path:
    index = study.kernels.index(kernel)
    bands = shown_bands(finder.recipe.bands)
    top, bottom = (
        shown_images(lens_set, study.table, kernel, [row for row in ends[index] if row >= 0], bands)
        for ends in (study.top, study.bottom)
    )
    words = [line.finding for measure in MEASURES for line in statements_of(study, index, 2, measure)]
    state = study.state[index]
    if state in MEANING:
        words.insert(0, f"{state}: {MEANING[state].format(searched=study.table.n_searched)}")
    if not words:
        words = [study.note or "goes with none of the truth columns"]
    figure = sheet_figure(f"{finder.name} {kernel}", top, bottom, words, _footer(lens_set, bands, study.n))
    path = out / f"{file_stem(kernel.column)}.png"
    _save(figure, path)
    return path


def _footer(lens_set: Cutouts, bands: Sequence[str], n: int) -> str:
    shown = colour_words(bands, "red green blue") if len(bands) == 3 else f"{bands[0]}, log scale"
    width = lens_set.shape[bands[0]][1] * lens_set.pixel_scale_arcsec[bands[0]]
    return (
        f"Of {n} images of {lens_set.path.name}, lenses or not. {shown}, each on its own scale, {width:.3g}″ wide, "
        "first row at the bottom."
    )


def _save(figure: Figure, path: Path) -> None:
    save_figure(path, figure)


def _listed(kernels: Sequence[Kernel], most: int = 20) -> str:
    """Kernels by layer: "layer 4 kernels 1, 7; layer 8 kernel 2", the first `most` of them."""
    by_layer: dict[str, list[int]] = {}
    for kernel in kernels[:most]:
        by_layer.setdefault(kernel.layer, []).append(kernel.number)
    words = [
        f"layer {layer} kernel{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"
        for layer, numbers in by_layer.items()
    ]
    return "; ".join(words) + (f" and {len(kernels) - most} more" if len(kernels) > most else "")
