"""The YAML that declares a finder which is a file of another program, and which format that file has."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from lensaudit.documents import read_yaml
from lensaudit.errors import DataError, UsageError
from lensaudit.finders.formats.hugging_face import HUB, from_hub, is_saved, read_config, weights_in
from lensaudit.finders.preprocessing import Steps, channel_names
from lensaudit.finders.recipe import LARGEST_SIZE, MOST_BANDS, MOST_OUTPUTS, RECIPE_FILE, OptionValue
from lensaudit.untrusted import TORN_ZIP, Identifier, as_identifier, kind_of, path_within, printable

SUFFIXES = (".yaml", ".yml")

Format = Literal["state-dict", "safetensors", "pt2", "onnx", "keras", "skops"]
Features = Literal["pixels", "statistics"]
Outputs = Literal["logit", "probability", "softmax"]
Layout = Literal["NCHW", "NHWC"]
_Arcsec = Annotated[float, Field(gt=0, le=36_000)]

SKOPS = "schema.json"
"""The member of an archive of skops that describes what it holds."""
_STATE_DICT = "save torch.save(module.state_dict(), FILE) or safetensors, or a program of torch.export"


class FinderFile(BaseModel):
    """What a finder's file takes as input and gives.

    Attributes
    ----------
    file
        Path of the network, in the folder of the YAML or below it: a file, or a folder of Hugging Face. Or
        ``hub:OWNER/NAME``, ``hub`` for timm's own weights of the architecture.
    format
        Of the file; by default what its first bytes say.
    architecture, architecture_options
        Of a file that holds only weights: one of ours; of a folder of Hugging Face by default the one it names.
    size
        Input pixels per side; cutouts are resized to it.
    stretch, preprocessing
        How a cutout becomes the input: a stretch, minmax by default, or steps, see `lensaudit.finders.preprocessing`.
    field_of_view_arcsec, pixel_scale_arcsec
        Width of the training images, and their native pixels; one says the other, as far as images were not resized.
    outputs
        ``logit``: one log-odds, or several numbers before a softmax. ``probability``: of one output, or of several
        that do not exclude each other. ``softmax``: several probabilities that add up to 1.
    n_outputs
        How many numbers it gives for an image; by default as many as it does.
    lens_index
        Which of several is "lens", counted from 0.
    output
        Which result of a network that returns several, counted from 0.
    layout
        Of its input; by default what fits the file.
    features
        What a classifier in a skops file takes of an image: its ``pixels`` (the default), or ``statistics``.
    gradients
        Of an ONNX file: ``onnx2torch`` runs it as a torch module, which has gradients.
    parity
        How far that module may be from onnxruntime, over the largest log-odds of the test images.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    file: str = Field(min_length=1, max_length=1000)
    format: Format | None = None
    name: Identifier | None = None
    bands: tuple[Identifier, ...] = Field(min_length=1, max_length=MOST_BANDS)
    size: int = Field(ge=1, le=LARGEST_SIZE)
    stretch: str | None = None
    preprocessing: Steps = ()
    field_of_view_arcsec: _Arcsec | None = None
    pixel_scale_arcsec: _Arcsec | None = None
    outputs: Outputs = "logit"
    n_outputs: int | None = Field(default=None, ge=1, le=MOST_OUTPUTS)
    lens_index: int = Field(default=1, ge=0)
    output: int | None = Field(default=None, ge=0)
    layout: Layout | None = None
    features: Features | None = None
    gradients: Literal["onnx2torch"] | None = None
    parity: float = Field(default=1e-4, gt=0, le=1)
    threshold: float = Field(default=0.5, gt=0, lt=1)
    pixel_unit: dict[str, str] = Field(default={}, max_length=MOST_BANDS)
    architecture: str | None = None
    architecture_options: dict[str, OptionValue] = Field(default={}, max_length=64)

    @model_validator(mode="after")
    def _with_width(self) -> Self:
        if self.field_of_view_arcsec is None and self.pixel_scale_arcsec is None:
            raise ValueError("neither field_of_view_arcsec nor pixel_scale_arcsec is given; give one")
        if self.stretch is not None and self.preprocessing:
            raise ValueError(f"stretch {self.stretch} and preprocessing are given; keep one of them")
        try:
            channel_names(self.preprocessing, self.bands)
        except ValueError as unfit:
            raise ValueError(f"preprocessing: {unfit}") from unfit
        return self

    @property
    def channels(self) -> int:
        """Of the network's input: as many as bands, unless the preprocessing makes others."""
        return len(self.channel_names)

    @property
    def channel_names(self) -> tuple[str, ...]:
        """Of the network's input: the bands, unless the preprocessing makes others."""
        return tuple(channel_names(self.preprocessing, self.bands))

    @property
    def width_arcsec(self) -> float:
        """Width of the training images in arcseconds."""
        if self.field_of_view_arcsec is not None:
            return self.field_of_view_arcsec
        assert self.pixel_scale_arcsec is not None
        return self.size * self.pixel_scale_arcsec

    @property
    def trained_scales(self) -> dict[str, float]:
        """Band → arcsec per native pixel of the training images; empty where only their width is given."""
        return {} if self.pixel_scale_arcsec is None else dict.fromkeys(self.bands, self.pixel_scale_arcsec)

    def name_for(self, path: Path) -> str:
        """Its name; by default that of the YAML at `path`."""
        return self.name or as_identifier(path.stem)


def declaration_at(path: Path) -> Path | None:
    """The YAML that `path` is or, as a folder, holds as the only one beside a recipe; None where there is none."""
    path = Path(path)
    if path.is_file():
        return path if path.suffix.lower() in SUFFIXES else None
    if not path.is_dir():
        return None
    found = [one for one in path.iterdir() if one.suffix.lower() in SUFFIXES and one.name != RECIPE_FILE]
    return found[0] if len(found) == 1 else None


def read_declaration(path: Path) -> tuple[FinderFile, Path]:
    """The declaration in the YAML `path`, and the file it names.

    Raises
    ------
    UsageError
        A field is wrong, or the file lies outside the YAML's folder or is not there.
    """
    told = read_yaml(path, FinderFile)
    if told.file.split(":")[0] == HUB:
        folder = from_hub(told.file, f"{path}: file", told.architecture)
        return _as_saved(told, folder, path), weights_in(folder)
    try:
        file = path_within(path.parent, *told.file.removeprefix("./").split("/"))
    except UsageError as error:
        where = printable(told.file, 60)
        raise UsageError(f"{path}: file {where!r} is not in the YAML's folder or below; move it there") from error
    if not file.exists():
        raise UsageError(f"{path}: file {printable(told.file, 60)!r} is not there; correct the name")
    if file.is_dir() and is_saved(file):
        return _as_saved(told, file, path), weights_in(file)
    return told, file


def _as_saved(told: FinderFile, folder: Path, path: Path) -> FinderFile:
    """The declaration with the network that a folder of Hugging Face names, where it says none itself."""
    if told.architecture is not None:
        return told
    saved = read_config(folder)
    if saved.outputs == 0 and told.n_outputs is None:
        raise UsageError(
            f"{path}: {printable(told.file, 60)!r} is an encoder without classes, no finder; fine-tune it: lensaudit "
            f"train convnext --pretrained {printable(told.file, 60)} --data SET --out DIR"
        )
    words: dict[str, OptionValue] = {**saved.options, **told.architecture_options}
    outputs = told.n_outputs or saved.outputs
    return told.model_copy(
        update={"architecture": saved.architecture, "architecture_options": words, "n_outputs": outputs}
    )


def format_of(file: Path, told: Format | None) -> Format:
    """The format of a network's file by its bytes.

    Raises
    ------
    DataError
        It is of a kind that carries code or that is not read here, with the way to convert it; or another than `told`.
    """
    found = _format_by_bytes(file)
    if told not in (None, found):
        raise DataError(f"{file}: is {found}, its declaration says {told}; correct format, or leave it out")
    return found


def _format_by_bytes(file: Path) -> Format:
    if file.name == "saved_model.pb" or (file / "saved_model.pb").is_file():
        raise DataError(
            f"{file}: is a SavedModel of TensorFlow, which may carry code; convert it to ONNX with the package tf2onnx"
        )
    if file.is_dir():
        raise DataError(f"{file}: is a folder, not the file of a network; name the file in it")
    kind = kind_of(file)
    if kind.key in ("keras", "hdf5"):
        return "keras"
    if kind.key == "pickle":
        raise DataError(f"{file}: is {kind.words}; {_STATE_DICT}")
    if kind.key == "safetensors":
        return "safetensors"
    if kind.key == "onnx":
        return "onnx"
    if kind.key in ("torch", "zip") or (kind.key == "npz" and SKOPS in _members(file)):
        return _format_in_zip(file)
    raise DataError(f"{file}: is {kind.words}, not a network; {kind.fix or 'give weights, a .pt2 or an ONNX file'}")


def _format_in_zip(file: Path) -> Format:
    """A state dict, also in the form before PyTorch 1.6, or a program; TorchScript is refused."""
    if not zipfile.is_zipfile(file):
        return "state-dict"
    names = _members(file)
    if SKOPS in names:
        return "skops"
    members = {"/".join(name.split("/")[1:]) for name in names}
    if "archive_format" in members or any(name.startswith("models/") for name in members):
        return "pt2"
    if any(name.startswith("code/") for name in members):
        raise DataError(f"{file}: is TorchScript, which is code; {_STATE_DICT} (torch.export.save)")
    if "data.pkl" in members:
        return "state-dict"
    if any("serialized_exported_program" in name for name in members | {""}):
        raise DataError(f"{file}: is a program of torch.export before 2.9; save it again with a newer torch")
    raise DataError(f"{file}: is a zip archive without weights or a program of torch.export; {_STATE_DICT}")


def _members(file: Path) -> list[str]:
    try:
        with zipfile.ZipFile(file) as archive:
            return archive.namelist()
    except TORN_ZIP as torn:
        raise DataError(f"{file}: is a torn zip archive ({printable(torn, 60)}); fetch the file again") from torn
