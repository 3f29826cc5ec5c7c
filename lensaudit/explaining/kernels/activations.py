"""Kernel activation values of a whole set in one pass (Wilde et al. 2022, Section 5.3)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit
from torch import nn

from lensaudit.errors import DataError, UsageError
from lensaudit.explaining.kernels.kav_table import KavTable, KavWriter, Kernel, writing
from lensaudit.explaining.layers import ConvLayer, convolutions, find_layer
from lensaudit.explaining.trace import evaluating
from lensaudit.finders import Finder
from lensaudit.finders.score import OK, ScoredBatch, scored_batches
from lensaudit.lensset import Cutouts
from lensaudit.provenance import provenance
from lensaudit.spread import Progress

LOOK_EVERY = 16
"""Of so many passes one is searched for the highest pixel of each map: a mean alone does not tell a silent kernel, and
searching every pass would cost a tenth of the speed."""


class Recorder:
    """Kernel activation values of the pass just made; see `recording`."""

    def __init__(self, layers: Sequence[ConvLayer]) -> None:
        self.layers = tuple(layers)
        self._passes = 0
        self._forget()

    def take(self, images: int) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """Values of the pass since the last call, which are forgotten.

        Parameters
        ----------
        images
            How many images of the batch are wanted: the first so many; the others are padding.

        Returns
        -------
        means
            Mean over height and width of each kernel's map before anything that follows, float32 (images, kernels of
            all layers); the mean over its uses where a convolution runs several times, NaN where it does not run.
        highest
            Highest pixel of the same maps, float32 (images, kernels); None in passes that are not searched.
        """
        means = self._table(self._means, torch.mean, images)
        highest = self._table(self._highest, torch.amax, images) if self._looking else None
        self._passes += 1
        self._forget()
        return means, highest

    def expect(self, _module: nn.Module, inputs: tuple[Any, ...]) -> None:
        """Hook before the module's forward: how many images there are."""
        self._images = len(inputs[0])

    def hook(self, index: int) -> Callable[[nn.Module, Any, torch.Tensor], None]:
        """Forward hook of the layer at `index`; takes its numbers at once, before a ReLU in place spoils the map."""

        def note(_module: nn.Module, _inputs: Any, output: torch.Tensor) -> None:
            if output.ndim != 4 or len(output) != self._images:
                raise UsageError(
                    f"convolution {self.layers[index].name} gives {tuple(output.shape)} for {self._images} images, not "
                    "one map of each kernel per image; its kernels have no value for an image"
                )
            self._means[index].append(output.mean(dim=(2, 3)))
            if self._looking:
                self._highest[index].append(output.amax(dim=(2, 3)))

        return note

    @property
    def _looking(self) -> bool:
        return self._passes % LOOK_EVERY == 0

    def _forget(self) -> None:
        self._images = 0
        self._means: list[list[torch.Tensor]] = [[] for _ in self.layers]
        self._highest: list[list[torch.Tensor]] = [[] for _ in self.layers]

    def _table(
        self, found: list[list[torch.Tensor]], combine: Callable[..., torch.Tensor], images: int
    ) -> NDArray[np.float32]:
        columns = []
        for layer, uses in zip(self.layers, found, strict=True):
            device = layer.module.weight.device
            unused = torch.full((self._images, layer.kernels), torch.nan, device=device)
            columns.append(combine(torch.stack(uses), dim=0) if len(uses) > 1 else uses[0] if uses else unused)
        return torch.cat(columns, dim=1)[:images].float().cpu().numpy()


@contextmanager
def recording(module: nn.Module) -> Iterator[Recorder]:
    """Record the kernels of all convolutions in every forward pass of `module` made inside; no hook survives it.

    Raises
    ------
    UsageError
        The module has no convolution, or in a pass: one does not give a map per image.
    """
    recorder = Recorder(convolutions(module))
    handles: list[Any] = []
    try:
        handles.append(module.register_forward_pre_hook(recorder.expect))
        for index, layer in enumerate(recorder.layers):
            # First of all hooks: others may change what the convolution gave.
            handles.append(layer.module.register_forward_hook(recorder.hook(index), prepend=True))
        yield recorder
    finally:
        for handle in handles:
            handle.remove()


def kernel_activations(
    finder: Finder,
    lens_set: Cutouts,
    path: Path,
    *,
    batch_size: int | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> KavTable:
    """Mean feature map of every kernel of every convolution, for every image of a set, as a Parquet table.

    The mean is over height and width of the convolution's own output, before ReLU, batch norm or whatever follows. One
    forward pass per image, streamed: memory grows neither with the set nor with its images. A value does not depend on
    the other images of the batch.

    Parameters
    ----------
    finder, lens_set
        The set must have the finder's bands and field of view.
    path
        The table; one that is there already, of the same finder, set and field of view, is kept.
    batch_size
        Images at a time; by default what runs fastest.
    force
        Make the table anew.
    progress
        Called with images done and all images; not where the table is kept.

    Raises
    ------
    DataError
        A band is missing, the field of view is another, or no image could be scored.
    UsageError
        The module has no convolution, `batch_size` is below 1, or `path` cannot be written.
    MachineError
        Memory or the disk ran out.
    """
    kept = None if force else kept_activations(path, finder, lens_set)
    if kept is not None:
        return kept
    batches = scored_batches(finder, lens_set, batch_size)
    kernels = tuple(Kernel(layer.name, k) for layer in convolutions(finder.module) for k in range(layer.kernels))
    facts, n = _facts(lens_set), len(lens_set)
    with (
        writing(path, kernels, {**_identity(finder, lens_set), **_record(finder, lens_set)}, "kind" in facts) as table,
        evaluating(finder.module),
        recording(finder.module) as recorder,
        closing(batches),
    ):
        done, scored = 0, False
        for batch in batches:
            span = slice(done, done + len(batch.status))
            _add(table, recorder, batch, {name: column[span] for name, column in facts.items()})
            done, scored = span.stop, scored or OK in batch.status
            if progress is not None:
                progress(done, n)
        if not scored:
            raise DataError(f"{lens_set.path}: none of {n} images could be scored (first: {batch.status[0]})")
    return KavTable.open(path)


def _add(table: KavWriter, recorder: Recorder, batch: ScoredBatch, facts: Mapping[str, NDArray[Any]]) -> None:
    """Hand the batch that was just scored over to the table; what could not be scored has no values either."""
    values, highest = recorder.take(len(batch.status))
    good = np.array([word == OK for word in batch.status])
    if highest is not None:
        table.search(highest[good])
    columns = {**facts, "p_lens": expit(batch.logit), "logit": batch.logit, "status": batch.status}
    table.add(columns, np.where(good[:, None], values, np.float32(np.nan)))


def _facts(lens_set: Cutouts) -> dict[str, NDArray[Any]]:
    """Columns of the catalogue that the table repeats: id, label, and kind where the set knows it."""
    facts: dict[str, NDArray[Any]] = {"id": np.array(lens_set.ids, object), "label": lens_set.labels}
    return facts | ({"kind": lens_set.column("kind")} if "kind" in lens_set.columns else {})


def _identity(finder: Finder, lens_set: Cutouts) -> dict[str, Any]:
    """What makes two tables the same, up to rounding."""
    return {
        "finder_hash": finder.weights_hash,
        "set_hash": lens_set.content_hash,
        "field_arcsec": finder.field_arcsec,
        "recipe": finder.recipe.model_dump(mode="json"),
        "layers": [[layer.name, layer.kernels] for layer in convolutions(finder.module)],
    }


def _record(finder: Finder, lens_set: Cutouts) -> dict[str, Any]:
    inputs = {"finder": finder.weights_hash, "set": lens_set.content_hash}
    return {"finder": finder.name, "provenance": provenance(inputs=inputs)}


def kept_activations(path: Path, finder: Finder, lens_set: Cutouts) -> KavTable | None:
    """The table that is there already, if it is whole and the same."""
    finder.check(lens_set)
    if not path.is_file():
        return None
    try:
        table = KavTable.open(path)
    except DataError:
        return None
    wanted = _identity(finder, lens_set)
    same = {name: table.record.get(name) for name in wanted} == json.loads(json.dumps(wanted))
    return table if same and table.n == len(lens_set) else None


def named_kernels(module: nn.Module, layers: Sequence[str], kernels: Sequence[int]) -> list[Kernel]:
    """Kernels named by layers and numbers, each once.

    Parameters
    ----------
    module
        Of the finder.
    layers
        Names of convolutions.
    kernels
        None: all kernels of the layers. With one layer: these of it. Else one for each layer, in the same order.

    Raises
    ------
    UsageError
        A layer or kernel does not exist (the line lists those that do), or the numbers do not go with the layers.
    """
    if kernels and len(layers) not in (1, len(kernels)):
        raise UsageError(
            f"{len(kernels)} --kernel for {len(layers)} --layer: name one layer and kernels of it, or one "
            "--kernel for each --layer, in the same order"
        )
    found = [find_layer(module, name) for name in layers]
    if not kernels:
        chosen = [Kernel(layer.name, number) for layer in found for number in range(layer.kernels)]
    else:
        pairs = list(zip(found * len(kernels) if len(found) == 1 else found, kernels, strict=True))
        for layer, number in pairs:
            layer.check(number)
        chosen = [Kernel(layer.name, number) for layer, number in pairs]
    return list(dict.fromkeys(chosen))
