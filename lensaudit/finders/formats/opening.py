"""From the YAML of a finder that is a file to the finder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import nn

from lensaudit.documents import complaint, read_yaml
from lensaudit.errors import DataError, UsageError
from lensaudit.finders.architectures import ARCHITECTURES
from lensaudit.finders.finder import Finder
from lensaudit.finders.formats.copying import file_members, member_declaration
from lensaudit.finders.formats.declaration import FinderFile, Format, format_of, read_declaration
from lensaudit.finders.formats.network import FileNetwork, as_finders_module, take_activation_off
from lensaudit.finders.published import read_published
from lensaudit.finders.recipe import CUSTOM, Recipe
from lensaudit.finders.running import tried
from lensaudit.finders.weights_file import read_weights

SATURATES = "its file gives probabilities, so its log-odds end at ±16.6 and have no gradient there"


def open_file(path: Path, origin: str) -> Finder:
    """The finder that the YAML `path` declares; nothing in its file is run.

    Raises
    ------
    UsageError
        The declaration is wrong.
    DataError
        The file is torn, of a kind that is not read, or not what is declared.
    MachineError
        The package that reads its format is not installed.
    """
    told, file = read_declaration(path)
    kind = format_of(file, told.format)
    if kind in ("state-dict", "safetensors"):
        return _with_weights(told, path, file, origin)
    if told.architecture is not None or told.architecture_options:
        raise UsageError(f"{path}: architecture is of files of weights alone, {file.name} has its own; leave it out")
    if told.gradients is not None and kind != "onnx":
        raise UsageError(f"{path}: gradients is of ONNX files, {file.name} is {kind}, which has its own; leave it out")
    if told.features is not None and kind != "skops":
        raise UsageError(f"{path}: features is of skops files, {file.name} is {kind}, which takes images; leave it out")
    network, shape, digest = _read(kind, file, told)
    module, outputs = as_finders_module(network, shape, digest, told, file)
    module.declaration = Path(path)
    bare = take_activation_off(module, told)
    converted: tuple[str, ...] = ()
    if told.gradients is not None:
        from lensaudit.finders.formats.onnx_torch import with_gradients

        converted = (with_gradients(module, told, file),)
    recipe = recipe_of(told, path, CUSTOM, outputs)
    notes = tried(module, recipe.channels, recipe.size, recipe.name).notes
    notes = (*notes, *converted)
    notes += (SATURATES,) if told.outputs == "probability" and not bare else ()
    return Finder(recipe, module, origin, trained_scales=told.trained_scales, notes=notes)


def _read(kind: Format, file: Path, told: FinderFile) -> tuple[nn.Module, tuple[int | None, ...], str]:
    """The network in a file, the shape of its input, and the file's hash; no other library is imported."""
    if kind == "pt2":
        from lensaudit.finders.formats.pt2 import read_program

        return read_program(file, told.output)
    if kind == "onnx":
        from lensaudit.finders.formats.onnx_file import read_session

        return read_session(file, told.output)
    if kind == "skops":
        from lensaudit.finders.formats.skops_file import read_classifier

        return read_classifier(file, told)
    from lensaudit.finders.formats.keras_file import read_model

    return read_model(file, told.output)


def recipe_of(told: FinderFile, path: Path, architecture: str = CUSTOM, outputs: int = 1) -> Recipe:
    """The recipe that a declaration at `path` comes to; UsageError where a field of it is wrong."""
    try:
        return Recipe(
            name=told.name_for(path),
            architecture=architecture,
            bands=told.bands,
            size=told.size,
            **_scaling(told),
            field_of_view_arcsec=told.width_arcsec,
            outputs=outputs,
            lens_index=told.lens_index if outputs > 1 else 0,
            threshold=told.threshold,
            architecture_options=told.architecture_options,
            pixel_unit=told.pixel_unit,
        )
    except ValidationError as invalid:
        raise UsageError(f"{path}: {complaint(invalid)}; correct it") from invalid


def _scaling(told: FinderFile) -> dict[str, Any]:
    return {"preprocessing": told.preprocessing} if told.preprocessing else {"stretch": told.stretch or "minmax"}


def open_members(finder: Finder, folder: Path) -> Finder:
    """The committee in `folder` with the networks of members that are files, which lie beside it; others as they are.

    What a reader should know of a member is a note of the committee.

    Raises
    ------
    DataError
        A file is missing, or not the one that the committee was made of.
    """
    notes: list[str] = []
    for name, member in file_members(finder.module).items():
        declaration = member_declaration(folder, name)
        restore = f"restore {declaration.parent}, or make the committee again"
        if not declaration.is_file():
            raise DataError(f"{declaration}: is missing; {restore}")
        try:
            opened = open_file(declaration, name)
        except UsageError as error:
            raise DataError(f"{error}; {restore}") from error
        told = opened.recipe.model_copy(update={"name": name})
        known = next(one for one in finder.recipe.members if one.name == name)
        if told != known or not (isinstance(opened.module, FileNetwork) and member.hold(opened.module)):
            raise DataError(f"{declaration}: it or its file is not the one that the committee was made of; {restore}")
        notes += [f"member {name}: {note}" for note in opened.notes]
    return replace(finder, notes=(*finder.notes, *notes)) if notes else finder


def training_features(path: Path, cutouts: Mapping[str, NDArray[np.floating]]) -> NDArray[np.float64]:
    """Features (n, d) of native cutouts, band → (n, h, w), as the declaration in the YAML `path` says.

    For the training of a classifier: its file need not be there yet.

    Raises
    ------
    UsageError
        The declaration is wrong.
    DataError
        A band is missing, constant or not finite.
    """
    from lensaudit.finders.formats.skops_file import features

    told = read_yaml(Path(path), FinderFile)
    finder = Finder(recipe_of(told, Path(path)), nn.Identity(), "", trained_scales=told.trained_scales)
    return features(finder.preprocess(cutouts).numpy(), told.channel_names, told.features or "pixels")


def _with_weights(told: FinderFile, path: Path, file: Path, origin: str) -> Finder:
    """One of our architectures with the weights of the file; where not told, with two outputs or one."""
    if told.architecture is None:
        read_weights(file, file.stat().st_size)  # which refuses pickles of whole networks, and what is torn
        raise UsageError(
            f"{path}: {file.name} holds weights alone, so architecture is needed: {', '.join(ARCHITECTURES)}, "
            f"timm:NAME; or export the network with torch.export.save or as ONNX"
        )
    if told.outputs != "logit" or told.output is not None or told.layout not in (None, "NCHW"):
        raise UsageError(f"{path}: our architectures give logits of NCHW; leave outputs, output and layout out")
    first: DataError | None = None
    for outputs in (2, 1) if told.n_outputs is None else (told.n_outputs,):
        recipe = recipe_of(told, path, told.architecture, outputs)
        try:
            read = read_published(file, recipe)
        except DataError as unfit:
            first = first or unfit
            continue
        return Finder(
            recipe, read.module, origin, statistics=read.statistics, trained_scales=told.trained_scales,
            notes=(read.origin,),
        )  # fmt: skip
    assert first is not None
    raise first
