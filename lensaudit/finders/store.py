"""A finder on disk: a folder with ``weights.safetensors``, ``finder.yaml`` and ``card.md``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from pydantic import BaseModel, ConfigDict, Field, field_serializer, field_validator
from safetensors.torch import save as tensors_as_bytes

from lensaudit.documents import read_yaml
from lensaudit.errors import DataError, UsageError
from lensaudit.files import writable_folder, write_bytes, write_text
from lensaudit.finders.build import blueprint
from lensaudit.finders.calibrated import calibration_facts, read_calibrator, write_calibrator
from lensaudit.finders.compact import as_stored, expanded
from lensaudit.finders.facts import FinderMetrics, TrainingFacts
from lensaudit.finders.finder import STATISTICS_PREFIX, Finder
from lensaudit.finders.formats.copying import copy_members
from lensaudit.finders.recipe import CUSTOM, Recipe
from lensaudit.finders.stretch import STRETCHES
from lensaudit.finders.units import scaling_words
from lensaudit.finders.weights_file import as_floats, read_safetensors
from lensaudit.imaging.instruments import INSTRUMENTS
from lensaudit.provenance import Provenance
from lensaudit.records import Json
from lensaudit.statistics import Calibrator
from lensaudit.untrusted import in_markdown, printable


def finder_card(record: Mapping[str, Any]) -> str:
    """Card of a finder from the content of its ``finder.yaml``; what is not recorded is said to be missing."""
    recipe = record["recipe"]
    origin = record["origin"].rstrip(".")
    bands = ", ".join(recipe["bands"])
    scaling = scaling_words(Recipe.model_validate(recipe))
    lines = [
        f"# {recipe['name']}",
        "",
        f"{in_markdown(origin[:1].upper() + origin[1:])}.",
        "",
        "## What it takes and gives",
        f"* Architecture `{recipe['architecture']}`, {record['parameters']} parameters.",
        f"* Bands in this order: {bands}; {recipe['size']}×{recipe['size']} pixels over "
        f"{recipe['field_of_view_arcsec']:g}″; {scaling}.",
        f"* {recipe['outputs']} output(s); p(lens) from output {recipe['lens_index']}; "
        f"called a lens from p = {recipe['threshold']:g}.",
        f"* Weights SHA-256 `{record['weights_hash']}`.",
        "",
        "## Training data",
        *_facts(record["training_data"], "Not recorded."),
        "",
        "## Measured",
        *_facts(record["metrics"], "Nothing was measured when these weights were written."),
        "",
        "## Limits",
        "* It knows the kinds of lenses of its training set only. Run `lensaudit probe` and `lensaudit report` on it "
        "before using its scores for science.",
        *(
            []
            if "calibration" in record["metrics"]
            else ["* Scores are not calibrated probabilities of being a lens in the sky, where lenses are rare."]
        ),
        "",
    ]
    return "\n".join(lines)


def _facts(facts: Mapping[str, Any], otherwise: str) -> list[str]:
    named = {name.replace("_", " "): _shown(value) for name, value in facts.items()}
    return [f"* {in_markdown(name)}: {in_markdown(value)}" for name, value in named.items()] or [otherwise]


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


WEIGHTS_FILE = "weights.safetensors"
FINDER_FILE = "finder.yaml"
CARD_FILE = "card.md"

_HEADER_BYTES = 1 << 20
"""Of a safetensors file's names and shapes: 100 for each tensor."""


class FinderRecord(BaseModel):
    """Content of ``finder.yaml``: the recipe as used, and how the weights came about."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    recipe: Recipe
    parameters: int = Field(ge=0)
    weights_hash: str = Field(max_length=128)
    origin: str = Field(max_length=10_000)
    """One line: trained by whom on what, or imported from which file."""
    training_data: TrainingFacts = Field(default_factory=TrainingFacts)
    """Content hash, number of images and instrument of the set it was trained on; empty if imported."""
    metrics: FinderMetrics = Field(default_factory=FinderMetrics)
    provenance: Provenance | None = None
    """None where the file says nothing of its making."""

    @field_validator("provenance", mode="before")
    @classmethod
    def _whole(cls, words: Any) -> Any:
        return Provenance.of(words) if words else None

    @field_serializer("provenance")
    def _or_nothing(self, found: Provenance | None) -> Json:
        return {} if found is None else found.to_json()


def save_finder(
    finder: Finder,
    folder: Path,
    *,
    origin: str,
    training_data: TrainingFacts | None = None,
    metrics: FinderMetrics | None = None,
    provenance: Provenance | None = None,
    card: str | None = None,
) -> FinderRecord:
    """Write `finder` to `folder`; ``finder.yaml`` comes last, so that a folder with it is whole.

    Parameters
    ----------
    finder
        One of our own architectures; the user's own code cannot be written down.
    folder
        Made if need be; an earlier finder there is replaced.
    origin
        One line for the card: trained on what, or imported from which file.
    training_data, metrics, provenance
        See `FinderRecord`.
    card
        Markdown of the model card; by default one is written from the facts.

    Raises
    ------
    UsageError
        The finder is the user's own module, or the folder cannot be written.
    """
    if finder.recipe.architecture == CUSTOM:
        raise UsageError(
            f"finder {finder.name}: your own module cannot be saved; name it as package.module:factory, or export "
            f"it to a file that a YAML declares"
        )
    record = FinderRecord(
        recipe=finder.recipe,
        parameters=finder.parameters,
        weights_hash=finder.weights_hash,
        origin=origin,
        training_data=training_data or TrainingFacts(),
        metrics=_with_calibration(FinderMetrics.model_validate(metrics or {}), finder.calibrator),
        provenance=provenance,
    )
    folder = writable_folder(folder)
    (folder / FINDER_FILE).unlink(missing_ok=True)
    write_bytes(folder / WEIGHTS_FILE, weights_bytes(finder))
    copy_members(finder.module, folder)
    write_calibrator(folder, finder.calibrator)
    write_text(folder / CARD_FILE, card if card is not None else finder_card(record.model_dump(mode="json")))
    words = yaml.safe_dump(record.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    write_text(folder / FINDER_FILE, words)
    return record


def weights_bytes(finder: Finder) -> bytes:
    """Content of the finder's ``weights.safetensors``: weights and statistics, in the least room that holds them."""
    tensors = finder.module.state_dict() | {
        f"{STATISTICS_PREFIX}{key}": value for key, value in finder.statistics.items()
    }
    return tensors_as_bytes(as_stored(tensors))


def _with_calibration(metrics: FinderMetrics, calibrator: Calibrator | None) -> FinderMetrics:
    """Metrics that say how the finder is calibrated, and no other calibration's."""
    if calibrator is None and metrics.calibration is None:
        return metrics
    words = {name: value for name, value in metrics.to_json().items() if name != "calibration"}
    facts = {} if calibrator is None else {"calibration": calibration_facts(calibrator).to_json()}
    return FinderMetrics.model_validate(words | facts)


def refuse_other_finder(folder: Path, inputs: Mapping[str, str], settings: Mapping[str, Any], fix: str) -> None:
    """Refuse to write a finder where another one lies.

    A finder made of the same inputs with the same settings, as the same command would make again, is replaced.

    Parameters
    ----------
    inputs
        What its provenance names: name → SHA-256.
    settings
        What ``training_data`` says of the making.
    fix
        What can be done beside choosing another folder.

    Raises
    ------
    UsageError
        There is another finder.
    DataError
        What lies there cannot be read.
    """
    if not (Path(folder) / FINDER_FILE).is_file():
        return
    record = read_record(folder)
    known = None if record.provenance is None else record.provenance.inputs
    said = record.training_data.to_json()
    if known != dict(inputs) or any(said.get(key) != value for key, value in settings.items()):
        raise UsageError(
            f"{folder}: holds a finder already ({record.recipe.name}, {record.origin.rstrip('.')}); choose another "
            f"--out, {fix}"
        )


def read_record(folder: Path) -> FinderRecord:
    """The ``finder.yaml`` of a finder's folder.

    Raises
    ------
    DataError
        It is not there, or a field is wrong.
    """
    path = Path(folder) / FINDER_FILE
    if not path.is_file():
        raise DataError(f"{folder}: has no {FINDER_FILE}, so it is not a finder; give a folder written by lensaudit")
    return read_yaml(path, FinderRecord, DataError)


def open_finder(folder: Path, origin: str) -> Finder:
    """Load the finder in `folder`; nothing stored there is executed.

    Raises
    ------
    DataError
        A file is missing or torn, shapes do not fit the architecture, or the weights are not those recorded.
    """
    record = read_record(folder)
    if record.recipe.architecture == CUSTOM:
        raise DataError(f"{folder}: holds a user's own module, never stored; name it as package.module:factory")
    path = Path(folder) / WEIGHTS_FILE
    recipe = record.recipe
    try:
        module = blueprint(recipe)
    except UsageError as error:
        raise DataError(f"{Path(folder) / FINDER_FILE}: {error}") from error
    tensors = expanded(read_tensors(path, module.state_dict(), recipe), module.state_dict(), path)
    named = {key.removeprefix(STATISTICS_PREFIX) for key in tensors if key.startswith(STATISTICS_PREFIX)}
    statistics = checked_statistics(
        {name: tensors.pop(f"{STATISTICS_PREFIX}{name}") for name in sorted(named)}, recipe, path
    )
    fill(module, tensors, path)
    calibrator = read_calibrator(Path(folder), record.metrics.calibration)
    finder = Finder(
        recipe, module, origin, statistics=statistics, trained_scales=_trained_scales(record), calibrator=calibrator
    )
    if finder.weights_hash != record.weights_hash:
        raise DataError(f"{path}: not the weights that {FINDER_FILE} records; restore the file or train again")
    return finder


def _trained_scales(record: FinderRecord) -> dict[str, float]:
    """Band → arcsec per pixel of the training images; older records name only their instrument."""
    told = record.training_data.pixel_scale_arcsec
    if told is None:
        instrument = INSTRUMENTS.get(str(record.training_data.instrument))
        told = {} if instrument is None else {band.name: band.pixel_scale_arcsec for band in instrument.bands}
    return {band: float(told[band]) for band in record.recipe.bands if band in told}


def fill(module: torch.nn.Module, tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    """Load exactly the expected keys and shapes into `module`, which gets its memory here if it has none yet.

    Raises
    ------
    DataError
        A key is missing or foreign, a shape differs, or a value is not a finite float; names the first difference.
    """
    expected = module.state_dict()
    for key in expected:
        if key not in tensors:
            raise DataError(f"{path}: tensor {key!r} is missing; give the weights of this architecture")
    for key, tensor in tensors.items():
        if key not in expected:
            name = printable(key, 80)
            raise DataError(f"{path}: tensor {name!r} does not belong to this architecture; give its own weights")
        if tensor.shape != expected[key].shape:
            raise DataError(
                f"{path}: tensor {key!r} has shape {tuple(tensor.shape)}, {tuple(expected[key].shape)} is needed; "
                f"give the weights of this architecture and number of bands"
            )
    ready = {key: as_floats(tensor, expected[key].dtype, key, path) for key, tensor in tensors.items()}
    module.load_state_dict(ready, strict=True, assign=any(tensor.is_meta for tensor in expected.values()))


def checked_statistics(statistics: Mapping[str, torch.Tensor], recipe: Recipe, path: Path) -> dict[str, torch.Tensor]:
    """The statistics of the recipe's stretch in 32 bit: all of them, or none where the file has none.

    Raises
    ------
    DataError
        One is missing, foreign, of another shape, not finite, or leaves nothing of an image.
    """
    shapes = figure_shapes(recipe)
    if not statistics:
        return {}
    for name in (*shapes, *statistics):
        if name not in statistics or name not in shapes:
            what = "is missing" if name in shapes else f"does not belong to stretch {recipe.stretch}"
            raise DataError(
                f"{path}: statistics {printable(STATISTICS_PREFIX + name, 80)!r} {what}; train the finder again"
            )
        if statistics[name].shape != shapes[name]:
            raise DataError(
                f"{path}: statistics {STATISTICS_PREFIX + name!r} have shape {tuple(statistics[name].shape)}, "
                f"{shapes[name]} is needed; train the finder again"
            )
    ready = {
        name: as_floats(statistics[name], torch.float32, STATISTICS_PREFIX + name, path) for name in sorted(statistics)
    }
    for name in ("sigma", "high"):
        if name in ready and not bool((ready[name] > 0).all()):
            raise DataError(
                f"{path}: statistics {STATISTICS_PREFIX + name!r} are not all above 0; train the finder again"
            )
    return ready


def figure_shapes(recipe: Recipe) -> dict[str, tuple[int, ...]]:
    """Name → shape of the statistics that the recipe's stretch takes."""
    bands, size = len(recipe.bands), recipe.size
    return {name: (bands, size, size) if name == "mean" else (bands,) for name in STRETCHES[recipe.stretch].fitted}


def read_tensors(path: Path, expected: Mapping[str, torch.Tensor], recipe: Recipe) -> dict[str, torch.Tensor]:
    """Tensors of a finder's own safetensors file, if it is no larger than these and its statistics in double precision.

    Raises
    ------
    DataError
        It is missing, torn, of another kind, or too large.
    """
    if not path.is_file():
        raise DataError(f"{path}: is missing; restore it or train the finder again")
    numbers = sum(tensor.numel() for tensor in expected.values()) + sum(map(math.prod, figure_shapes(recipe).values()))
    most = 8 * numbers + _HEADER_BYTES
    if path.stat().st_size > most:
        raise DataError(
            f"{path}: has {path.stat().st_size / 1e6:.4g} MB, the tensors of this architecture at most "
            f"{most / 1e6:.4g}; restore it or train again"
        )
    return read_safetensors(path, most)
