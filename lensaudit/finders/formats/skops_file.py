"""Classifiers of scikit-learn on numbers of an image, from files of skops: types of a list alone, no pickle.

skops builds objects from a description. It trusts scikit-learn's estimators and numpy's plain types; a few more of
scikit-learn's are trusted here, trees once their nodes are known to point at nodes and features that there are.
"""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lensaudit.errors import DataError, MachineError
from lensaudit.files import sha256
from lensaudit.finders.formats.declaration import SKOPS, Features, FinderFile
from lensaudit.lensset.image_statistics import band_statistics, with_colours
from lensaudit.untrusted import printable

TRUSTED = (
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.tree._tree.Tree",
)
"""Types beyond those that skops trusts by itself."""
LARGEST_DESCRIPTION, LARGEST = 64 << 20, 2 << 30
MOST_MEMBERS = 200_000
AGAIN = "save it again with skops.io.dump"


def features(images: NDArray[np.floating], bands: tuple[str, ...], kind: Features) -> NDArray[np.float64]:
    """What a classifier takes of preprocessed images (n, bands, size, size): float64 (n, d).

    ``pixels``: all of them, band by band, row by row. ``statistics``: those of `lensaudit.lensset.image_statistics`,
    band by band, and the colours of each band and the next; 0 where one does not exist.
    """
    images = np.asarray(images)
    if kind == "pixels":
        return images.reshape(len(images), -1).astype(np.float64)
    found = with_colours({band: band_statistics(images[:, place]) for place, band in enumerate(bands)})
    return np.nan_to_num(np.stack(list(found.values()), axis=1).astype(np.float64), nan=0.0)


class Classifier(nn.Module):
    """A classifier of scikit-learn on features of images: probabilities, or log-odds where it has none.

    Parameters
    ----------
    weights
        Numbers in its arrays.
    """

    differentiable = False

    def __init__(self, model: Any, bands: tuple[str, ...], kind: Features, weights: int) -> None:
        super().__init__()
        self.model, self.bands, self.kind, self.n_weights = model, bands, kind, weights
        self.gives = model.predict_proba if hasattr(model, "predict_proba") else model.decision_function

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Probabilities (n, classes), or log-odds (n,)."""
        found = self.gives(features(images.detach().cpu().numpy(), self.bands, self.kind))
        return torch.from_numpy(np.asarray(found, np.float32)).to(images.device)


def read_classifier(path: Path, told: FinderFile) -> tuple[Classifier, tuple[int | None, ...], str]:
    """The classifier in a skops file as a module, the shape of its input, and the file's hash.

    Raises
    ------
    MachineError
        skops or scikit-learn is not installed.
    DataError
        The file is torn, names a type that is not trusted, or takes another number of features.
    """
    try:
        from skops import io
    except ImportError as missing:
        raise MachineError(f"{path}: is a skops file, which needs skops; pip install 'lensaudit[skops]'") from missing
    kind: Features = told.features or "pixels"
    try:
        weights = _checked_archive(path)
        untrusted = [one for one in io.get_untrusted_types(file=path) if one not in TRUSTED]
        if untrusted:
            raise DataError(
                f"{path}: holds the type {printable(min(untrusted), 80)}, which is not among those that are built from "
                "a file; leave it out of the pipeline, or export the network as ONNX"
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = io.load(path, trusted=list(TRUSTED))
        _check_trees(model, path)
    except DataError:
        raise
    except (MemoryError, RecursionError, Exception) as broken:  # skops' errors have no type in common
        reason = printable(" ".join(f"{type(broken).__name__}: {broken}".split()), 80)
        raise DataError(f"{path}: is torn or of another version of skops ({reason}); {AGAIN}") from broken
    if not (hasattr(model, "predict_proba") or hasattr(model, "decision_function")):
        what = printable(type(model).__name__, 40)
        raise DataError(
            f"{path}: is a {what}, which has neither predict_proba nor decision_function; give a classifier"
        )
    example = features(np.zeros((1, told.channels, told.size, told.size), np.float32), told.channel_names, kind)
    takes = getattr(model, "n_features_in_", None)
    if takes != example.shape[1]:
        raise DataError(
            f"{path}: takes {printable(takes, 20)} features, {kind} of {told.channels} channel(s) of {told.size}×"
            f"{told.size} pixels are {example.shape[1]}; correct bands, size or features in the declaration"
        )
    _in_one_thread(model)
    shape = (None, told.channels, told.size, told.size)
    return Classifier(model, told.channel_names, kind, weights), shape, sha256(path)


def _checked_archive(path: Path) -> int:
    """Numbers in the arrays of an archive whose size is bounded."""
    numbers = 0
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if len(members) > MOST_MEMBERS or sum(one.file_size for one in members) > LARGEST:
            raise DataError(f"{path}: unpacks to more than {LARGEST >> 30} GB or {MOST_MEMBERS} members; {AGAIN}")
        if archive.getinfo(SKOPS).file_size > LARGEST_DESCRIPTION:
            raise DataError(f"{path}: its description has more than {LARGEST_DESCRIPTION >> 20} MB; {AGAIN}")
        if broken := archive.testzip():
            raise DataError(f"{path}: is damaged ({printable(broken, 60)} fails its checksum); {AGAIN}")
        for one in members:
            if one.filename.endswith(".npy"):
                with archive.open(one) as stream:
                    numbers += int(np.load(stream, allow_pickle=False).size)
    return numbers


def _objects(value: Any, seen: set[int]) -> Iterator[Any]:
    """Everything that hangs on an object."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if id(one) in seen or isinstance(one, str | bytes | int | float | type(None) | type):
            continue
        seen.add(id(one))
        yield one
        if isinstance(one, np.ndarray):
            waiting += list(one.ravel()) if one.dtype == object else []
        elif isinstance(one, Mapping):
            waiting += [*one.keys(), *one.values()]
        elif isinstance(one, list | tuple | set):
            waiting += list(one)
        else:
            waiting += list(getattr(one, "__dict__", {}).values())


def _check_trees(model: Any, path: Path) -> None:
    """Refuse trees whose nodes point at what is not there: their code trusts them with memory."""
    for one in _objects(model, set()):
        kind = type(one).__name__
        if kind == "Tree":
            nodes = one.__getstate__()["nodes"]
            left, right, inner = nodes["left_child"], nodes["right_child"], nodes["left_child"] != -1
            sound = one.node_count == len(nodes) and bool((nodes["feature"][inner] < one.n_features).all())
            sound &= bool((right[~inner] == -1).all()) and bool((nodes["feature"][inner] >= 0).all())
        elif kind == "TreePredictor":
            nodes = one.nodes
            left, right, inner = nodes["left"].astype(np.int64), nodes["right"].astype(np.int64), nodes["is_leaf"] == 0
            takes = getattr(model, "n_features_in_", 0)
            sound = not nodes["is_categorical"].any() and bool((nodes["feature_idx"][inner] >= 0).all())
            sound &= bool((nodes["feature_idx"][inner] < takes).all())
        else:
            continue
        place = np.arange(len(nodes))[inner]
        for child in (left[inner], right[inner]):
            sound = sound and bool(((child > place) & (child < len(nodes))).all())
        if not (sound and len(nodes)):
            raise DataError(f"{path}: a tree of it points at nodes or features that are not there; {AGAIN}")


def _in_one_thread(model: Any) -> None:
    """Threads are those of torch: many for a few numbers cost more than they save."""
    for one in _objects(model, set()):
        if "n_jobs" in getattr(one, "__dict__", {}):
            one.n_jobs = 1
